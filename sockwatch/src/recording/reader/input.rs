//! Where a recording is read from.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read},
    os::{
        fd::AsFd,
        unix::fs::{FileTypeExt, OpenOptionsExt},
    },
    path::PathBuf,
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::{Problem, shown};

/// Where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// In a file.
    File(PathBuf),
    /// In a file that may still be written: its end is waited for.
    Growing(PathBuf),
    /// It comes on stdin.
    Stdin,
}

/// What was opened.
pub(super) struct Opened {
    /// Its name, for people.
    pub(super) name: String,
    pub(super) bytes: Box<dyn Read>,
    /// The file, if it can be read anywhere.
    pub(super) file: Option<File>,
}

impl Input {
    pub(super) fn open(self) -> Result<Opened, Problem> {
        let (path, grows) = match self {
            Self::Stdin => return Ok(Opened { name: "stdin".into(), bytes: Box::new(io::stdin()), file: None }),
            Self::File(path) => (path, false),
            Self::Growing(path) => (path, true),
        };
        let name = shown(&path);
        let failed = |error| Problem::Io { name: name.clone(), error };
        // Not waiting for ever for somebody to write to a FIFO.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).map_err(failed)?;
        let kind = file.metadata().map_err(failed)?.file_type();
        if !kind.is_file() && !kind.is_fifo() {
            return Err(Problem::NotAFile(name));
        }
        fcntl(&file, FcntlArg::F_SETFL(OFlag::empty())).map_err(|error| failed(error.into()))?;
        if kind.is_fifo() {
            wait_for_writer(&file).map_err(|error| failed(error.into()))?;
        }
        if grows && kind.is_file() {
            return Ok(Opened { name, bytes: Box::new(Growing(file)), file: None });
        }
        let anywhere = if kind.is_file() { Some(file.try_clone().map_err(failed)?) } else { None };
        Ok(Opened { name, bytes: Box::new(file), file: anywhere })
    }
}

/// How many milliseconds somebody is waited for who writes to a FIFO: whoever does may be started together with its reader.
const WRITER: u16 = 2_000;

/// Until there is something to read from a FIFO, or all who wrote to it are gone. Without a writer it would seem to be at its end
/// (`pipe_read` in fs/pipe.c); to be polled it is at its end only once there was one (`pipe_poll`).
fn wait_for_writer(file: &File) -> nix::Result<()> {
    let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::from(WRITER)) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error),
    }
}

/// How often a file that grows is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A file whose end is where its writer stops.
struct Growing(File);

impl Read for Growing {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            // Asked before it is read: what is written in between is read the next time.
            let written = matches!(self.0.try_lock_shared(), Err(TryLockError::WouldBlock));
            let read = self.0.read(into)?;
            if read > 0 || !written {
                return Ok(read);
            }
            std::thread::sleep(LOOK);
        }
    }
}
