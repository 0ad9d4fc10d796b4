//! The files of a recording, or stdout.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, IsTerminal, Write},
    os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::libc;

use super::Target;

/// Only its owner reads it: it tells who talked to whom.
const MODE: u32 = 0o600;

/// Why there is nothing to write to.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is there already.
    #[error("{0} exists; --force overwrites it")]
    Exists(PathBuf),
    /// Segments of an earlier recording of that name are there.
    #[error("{0} exists, which this recording would need; remove it, or choose another name")]
    SegmentExists(PathBuf),
    /// Another recorder is at it.
    #[error("{0} is being written by another recorder")]
    Locked(PathBuf),
    /// It is a directory, a device, a FIFO, a symbolic link.
    #[error("{0} is not a regular file; `-o -` writes to stdout, for pipes")]
    NotAFile(PathBuf),
    /// A person would see bytes.
    #[error("stdout is a terminal; send the recording to a file or a program")]
    Terminal,
    /// The system says no.
    #[error("can't create {path}: {error}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// What is written to.
pub(in crate::recording) enum Out {
    File(Segments),
    Pipe { out: io::Stdout, written: u64 },
}

/// A file, and those that it follows.
pub(in crate::recording) struct Segments {
    file: File,
    path: PathBuf,
    /// How long the part of it is that is whole.
    length: u64,
    /// Of the earlier ones, in all.
    before: u64,
    earlier: VecDeque<PathBuf>,
}

/// Opens it, so that nobody else writes to it. `segments`: whether it may come to have more than one.
pub(in crate::recording) fn open(target: &Target, segments: bool) -> Result<Out, OpenError> {
    let Target::File { path, force } = target else {
        if io::stdout().is_terminal() {
            return Err(OpenError::Terminal);
        }
        return Ok(Out::Pipe { out: io::stdout(), written: 0 });
    };
    if segments && let Some(sibling) = sibling(path) {
        return Err(OpenError::SegmentExists(sibling));
    }
    let error = |error| OpenError::Io { path: path.clone(), error };
    let file = match create(path) {
        Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => over(path, *force)?,
        Err(other) => return Err(error(other)),
        Ok(file) => {
            lock(&file, path)?;
            file
        }
    };
    // Or a loss of power may leave a file that no directory knows.
    sync_directory(path).map_err(error)?;
    Ok(Out::File(Segments { file, path: path.clone(), length: 0, before: 0, earlier: VecDeque::new() }))
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)
}

/// A file that exists, emptied; refused if that was not asked for, or it is no file.
fn over(path: &Path, force: bool) -> Result<File, OpenError> {
    let error = |error| OpenError::Io { path: path.to_owned(), error };
    if !fs::symlink_metadata(path).map_err(error)?.is_file() {
        return Err(OpenError::NotAFile(path.to_owned()));
    }
    // Neither through a link that came in between, nor waiting for the reader of a FIFO.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().write(true).custom_flags(flags).open(path).map_err(error)?;
    lock(&file, path)?;
    if !force {
        return Err(OpenError::Exists(path.to_owned()));
    }
    if !file.metadata().map_err(error)?.is_file() {
        return Err(OpenError::NotAFile(path.to_owned()));
    }
    file.set_permissions(fs::Permissions::from_mode(MODE)).map_err(error)?;
    file.set_len(0).map_err(error)?;
    Ok(file)
}

fn lock(file: &File, path: &Path) -> Result<(), OpenError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(path.to_owned())),
        // A file system without locks.
        Err(TryLockError::Error(_)) => Ok(()),
    }
}

/// A file that is named like an earlier segment.
fn sibling(path: &Path) -> Option<PathBuf> {
    let mut start = path.file_name()?.to_owned();
    start.push(".");
    let entries = fs::read_dir(directory(path)).ok()?;
    entries.flatten().map(|entry| entry.path()).find(|other| {
        let name = other.file_name().map_or(&[][..], |name| name.as_encoded_bytes());
        name.strip_prefix(start.as_encoded_bytes())
            .is_some_and(|rest| !rest.is_empty() && rest.iter().all(u8::is_ascii_digit))
    })
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    match File::open(directory(path))?.sync_all() {
        // Some file systems can't.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        outcome => outcome,
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

impl Out {
    pub(super) fn is_pipe(&self) -> bool {
        matches!(self, Self::Pipe { .. })
    }

    /// Leaves nothing of it.
    pub(super) fn discard(&self) -> io::Result<()> {
        match self {
            Self::File(segments) => fs::remove_file(&segments.path),
            Self::Pipe { .. } => Ok(()),
        }
    }

    /// Bytes in what is written to now.
    pub(in crate::recording) fn length(&self) -> u64 {
        match self {
            Self::File(segments) => segments.length,
            Self::Pipe { written, .. } => *written,
        }
    }

    /// Bytes written in all.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::File(segments) => segments.before + segments.length,
            Self::Pipe { written, .. } => *written,
        }
    }

    /// Writes all of these bytes behind what is there. If that fails, the next ones take their place.
    pub(in crate::recording) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File(Segments { file, length, .. }) => {
                file.write_all_at(bytes, *length)?;
                *length += bytes.len() as u64;
            }
            Self::Pipe { out, written } => {
                out.write_all(bytes)?;
                out.flush()?;
                *written += bytes.len() as u64;
            }
        }
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        match self {
            Self::File(segments) => segments.file.sync_data(),
            Self::Pipe { .. } => Ok(()),
        }
    }

    /// No more comes. What an attempt that failed left behind goes.
    pub(in crate::recording) fn close(&mut self) -> io::Result<()> {
        match self {
            Self::File(Segments { file, length, .. }) => {
                file.set_len(*length)?;
                file.sync_all()
            }
            Self::Pipe { out, .. } => out.flush(),
        }
    }

    /// Begins the next file under the same name; this one, the segment of that number, is called so. No more than `keep`
    /// are left, the new one counted.
    pub(super) fn next(&mut self, segment: u32, keep: Option<u32>) -> io::Result<()> {
        self.close()?;
        let Self::File(segments) = self else { return Ok(()) };
        let Segments { file, path, length, before, earlier } = segments;
        // What goes makes room for what comes.
        while keep.is_some_and(|keep| earlier.len() + 2 > keep as usize) {
            let Some(oldest) = earlier.pop_front() else { break };
            match fs::remove_file(&oldest) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let called = with_suffix(path, &format!(".{segment}"));
        if fs::symlink_metadata(&called).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} exists", called.display())));
        }
        let fresh = with_suffix(path, ".next");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let new = create(&fresh)?;
        let _ = new.try_lock();
        if let Err(error) = fs::rename(&*path, &called).and_then(|()| fs::rename(&fresh, &*path)) {
            let _ = fs::remove_file(&fresh);
            return Err(error);
        }
        sync_directory(path)?;
        *before += *length;
        *length = 0;
        *file = new;
        if keep == Some(1) {
            fs::remove_file(&called)?;
        } else {
            earlier.push_back(called);
        }
        Ok(())
    }
}
