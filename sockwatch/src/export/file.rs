//! The file that is written: whole under its name, or not there at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::{Context, bail};
use nix::sys::signal::{SigSet, Signal};

use crate::untrusted::Untrusted;

/// Names that are tried. One may be left of a process that was killed, and had the same id.
const ATTEMPTS: u32 = 100;

/// A file that gets its name when it is whole. Dropped before that, it leaves nothing; so it does at SIGINT and SIGTERM.
#[derive(Debug)]
pub struct Output {
    file: File,
    path: PathBuf,
    force: bool,
    /// Where it is until then: beside the file, as a rename can't lead to another disk. None once it is not there.
    temporary: Arc<Mutex<Option<PathBuf>>>,
}

impl Output {
    /// Makes the temporary file, readable for its owner alone: what sockets do is not for everyone to know.
    ///
    /// # Errors
    /// If the file can't be made, or there is one already and it is not to be replaced.
    pub fn create(path: &Path, force: bool) -> anyhow::Result<Self> {
        Self::check(path, force)?;
        let (file, temporary) = (0..ATTEMPTS)
            .map(|attempt| {
                let temporary = path.with_file_name(format!(".sockwatch-{}-{attempt}", std::process::id()));
                let mut options = OpenOptions::new();
                let file = options.write(true).create_new(true).mode(0o600).open(&temporary);
                file.map(|file| (file, temporary))
            })
            .find(|made| !made.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists))
            .unwrap_or_else(|| Err(io::ErrorKind::AlreadyExists.into()))
            .with_context(|| format!("can't write {}", shown(path)))?;
        Ok(Self { file, path: path.to_owned(), force, temporary: Arc::new(Mutex::new(Some(temporary))) })
    }

    fn check(path: &Path, force: bool) -> anyhow::Result<()> {
        match fs::symlink_metadata(path) {
            // A rename would put a file in the place of a device.
            Ok(found) if !found.is_file() => bail!("{} is not a regular file; write to - and redirect", shown(path)),
            Ok(_) if !force => bail!("{} exists; --force replaces it", shown(path)),
            _ => Ok(()),
        }
    }

    /// From now on SIGINT and SIGTERM end the process with code 1, and leave nothing of the file. To be called while there
    /// is one thread: others would be hit by the signals.
    ///
    /// # Errors
    /// If the signals can't be waited for.
    pub fn end_with_signals(&self) -> anyhow::Result<()> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGINT);
        signals.add(Signal::SIGTERM);
        signals.thread_block().context("can't hold back SIGINT and SIGTERM")?;
        let (temporary, path) = (self.temporary.clone(), self.path.clone());
        let wait = move || {
            if signals.wait().is_ok() {
                // Held until the process is gone: the file can't get its name any more.
                let mut temporary = temporary.lock().unwrap_or_else(PoisonError::into_inner);
                if remove(&mut temporary) {
                    let _ = writeln!(io::stderr(), "sockwatch: interrupted: {} was not written", shown(&path));
                    std::process::exit(1);
                }
                // It is whole, or given up: the process is about to end by itself.
            }
        };
        thread::Builder::new().name("signals".into()).spawn(wait).context("can't wait for SIGINT and SIGTERM")?;
        Ok(())
    }

    /// Gives the file its name, now that it is whole and on the disk.
    ///
    /// # Errors
    /// If it can't be brought to the disk or renamed. Then there is nothing of it.
    pub fn finish(self) -> anyhow::Result<()> {
        let named = || format!("can't write {}", shown(&self.path));
        self.file.sync_all().with_context(named)?;
        // It may have come into being meanwhile.
        Self::check(&self.path, self.force)?;
        let mut temporary = self.temporary.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(from) = temporary.as_ref() {
            fs::rename(from, &self.path).with_context(named)?;
            *temporary = None;
        }
        drop(temporary);
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // That the name survives a power failure too. Not every file system can promise it.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

impl Write for &Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&self.file).write(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            kind => io::Error::new(kind, format!("can't write {}: {error}", shown(&self.path))),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        remove(&mut self.temporary.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Removes the temporary file, if it is there still.
fn remove(temporary: &mut Option<PathBuf>) -> bool {
    temporary.take().is_some_and(|path| fs::remove_file(path).is_ok())
}

fn shown(path: &Path) -> Untrusted {
    Untrusted::new(path.as_os_str().as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A folder of its own, gone with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("sockwatch-{}-{name}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_file_is_there_when_it_is_whole_and_only_its_owner_may_read_it() {
        let folder = Folder::new("whole");
        let path = folder.0.join("out.csv");
        let output = Output::create(&path, false).unwrap();
        (&output).write_all(b"all of it").unwrap();
        assert!(!path.exists());
        output.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"all of it");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(folder.names(), ["out.csv"]);
    }

    #[test]
    fn of_a_file_that_is_given_up_nothing_is_left() {
        let folder = Folder::new("dropped");
        let output = Output::create(&folder.0.join("out.csv"), false).unwrap();
        (&output).write_all(b"half").unwrap();
        assert_eq!(folder.names().len(), 1);
        drop(output);
        assert_eq!(folder.names(), [""; 0]);
    }

    #[test]
    fn what_exists_is_replaced_only_by_force_and_only_by_what_is_whole() {
        let folder = Folder::new("exists");
        let path = folder.0.join("out.csv");
        fs::write(&path, "old").unwrap();
        let refusal = Output::create(&path, false).unwrap_err().to_string();
        assert!(refusal.ends_with("out.csv exists; --force replaces it"), "{refusal}");
        drop(Output::create(&path, true).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        Output::create(&path, true).unwrap().finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn a_file_that_came_into_being_meanwhile_is_not_replaced() {
        let folder = Folder::new("meanwhile");
        let path = folder.0.join("out.csv");
        let output = Output::create(&path, false).unwrap();
        fs::write(&path, "another's").unwrap();
        output.finish().unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"another's");
        assert_eq!(folder.names(), ["out.csv"]);
    }

    #[test]
    fn what_a_killed_process_left_is_in_nobodys_way() {
        let folder = Folder::new("left");
        fs::write(folder.0.join(format!(".sockwatch-{}-0", std::process::id())), "left").unwrap();
        Output::create(&folder.0.join("out.csv"), false).unwrap().finish().unwrap();
        assert!(folder.0.join("out.csv").exists());
    }

    #[test]
    fn a_disk_that_is_full_is_said_to_be() {
        let folder = Folder::new("full");
        let mut output = Output::create(&folder.0.join("out.csv"), false).unwrap();
        output.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = (&output).write(b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().ends_with("out.csv: No space left on device (os error 28)"), "{error}");
        drop(output);
        assert_eq!(folder.names(), [""; 0]);
    }

    #[test]
    fn a_device_or_a_folder_is_never_replaced() {
        for path in ["/dev/null", "/tmp", "/", ".."] {
            let refusal = Output::create(Path::new(path), true).unwrap_err().to_string();
            assert!(refusal.contains("is not a regular file"), "{refusal}");
        }
        let refusal = format!("{:#}", Output::create(Path::new("/proc/sockwatch/out"), false).unwrap_err());
        assert!(refusal.starts_with("can't write /proc/sockwatch/out: No such file"), "{refusal}");
    }
}
