//! Ctrl-C: what is being measured is given up, and everything that was started or set is put back on the way out.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// How often it is looked for.
const OFTEN: Duration = Duration::from_millis(5);

/// Whether the user wants it to end.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Watches for signals from now on.
    pub(crate) fn watch() -> Result<Self> {
        let raised = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&raised)).context("can't watch for signals")?;
        }
        Ok(Self(raised))
    }

    /// An error, if the user wants it to end.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            bail!("interrupted: nothing is written");
        }
        Ok(())
    }

    /// Waits until `happened`; false if that takes longer than `most`.
    pub(crate) fn wait(&self, most: Duration, mut happened: impl FnMut() -> Result<bool>) -> Result<bool> {
        let deadline = Instant::now() + most;
        loop {
            self.check()?;
            if happened()? {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            thread::sleep(OFTEN);
        }
    }

    /// Waits for a while.
    pub(crate) fn pause(&self, length: Duration) -> Result<()> {
        self.wait(length, || Ok(false)).map(drop)
    }
}
