//! What the kernel side logs: only in a sockwatch with the feature `kernel-log`, for debugging.

use std::io::{self, Write};

use ::log::{Log, Metadata, Record};
use aya::Ebpf;
use aya_log::{EbpfLogger, Error};
use tokio::io::{Interest, unix::AsyncFd};

use super::load::LoadError;

/// The kernel object that logs, built by `cargo xtask build-ebpf --log`.
pub(super) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/sockwatch-log.bpf.o"));

/// aya-log's own map.
const MAP: &str = "AYA_LOGS";

/// Prints what the programs log from now on, until the runtime ends.
pub(super) fn print(ebpf: &mut Ebpf) -> Result<(), LoadError> {
    let logger = EbpfLogger::init_with_logger(ebpf, Stderr).map_err(|error| match error {
        Error::MapError(error) => LoadError::Map(MAP, error),
        Error::MapNotFound | Error::ProgramNotFound | Error::ProgramError(_) => LoadError::Stale(MAP),
    })?;
    // SAFETY: the logger's descriptor is its map's, the same one for as long as the logger lives.
    let mut logger = unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) }
        .map_err(|error| LoadError::Poll(error.into()))?;
    tokio::spawn(async move {
        while let Ok(mut ready) = logger.readable_mut().await {
            ready.get_inner_mut().flush();
            ready.clear_ready();
        }
    });
    Ok(())
}

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // With standard error closed there is nobody to tell.
        let _ = writeln!(io::stderr(), "sockwatch: kernel: {}", record.args());
    }

    fn flush(&self) {}
}
