//! SIGINT and SIGTERM, for commands that are busy: they look now and then whether one came.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

/// Whether it is time to end in order.
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Watches from now on. A second signal ends the program at once: it may be stuck.
    pub(super) fn watch() -> anyhow::Result<Self> {
        let came = Arc::new(AtomicBool::new(false));
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("can't start the event loop")?;
        let guard = runtime.enter();
        let mut interrupted = signal(SignalKind::interrupt()).context("can't watch for SIGINT")?;
        let mut terminated = signal(SignalKind::terminate()).context("can't watch for SIGTERM")?;
        drop(guard);
        let note = came.clone();
        let watch = move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = interrupted.recv() => {}
                        _ = terminated.recv() => {}
                    }
                    if note.swap(true, Ordering::Relaxed) {
                        std::process::exit(130);
                    }
                }
            });
        };
        std::thread::Builder::new().name("sockwatch-signals".into()).spawn(watch).context("can't start a thread")?;
        Ok(Self(came))
    }

    /// Whether one came.
    pub(super) fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
