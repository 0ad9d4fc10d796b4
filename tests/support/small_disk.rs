//! A disk that is soon full.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::Scratch;

/// A tmpfs, unmounted with it.
pub(crate) struct SmallDisk {
    scratch: Scratch,
}

impl SmallDisk {
    /// One of so many bytes.
    pub(crate) fn new(bytes: u64) -> Self {
        let scratch = Scratch::new("disk");
        let options = format!("size={bytes},mode=700");
        mount(Some("tmpfs"), scratch.path(), Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
            .expect("root may mount a tmpfs");
        Self { scratch }
    }

    pub(crate) fn path(&self) -> &Path {
        self.scratch.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Leaves no more than so many bytes free.
    pub(crate) fn fill(&self, left: usize) {
        let mut filler = File::create(self.filler()).expect("a file");
        while filler.write(&[0; 4096]).is_ok_and(|written| written > 0) {}
        let length = filler.metadata().expect("it is open").len();
        filler.set_len(length.saturating_sub(left as u64)).expect("it gets shorter");
    }

    /// Takes back what filled it.
    pub(crate) fn make_room(&self) {
        fs::remove_file(self.filler()).expect("it was filled");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = umount2(self.scratch.path(), MntFlags::MNT_DETACH);
    }
}
