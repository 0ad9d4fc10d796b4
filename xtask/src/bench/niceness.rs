//! Going before others, where they are at work too.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::command::run;

/// The scheduler shares processors among sessions first, where it groups them (CONFIG_SCHED_AUTOGROUP): the niceness of a
/// session is set here, that of a process counts only within its session.
const SESSION: &str = "/proc/self/autogroup";

/// This process and what it starts are this nice while this is there.
pub(crate) struct Niceness {
    /// Of the session, before.
    before: Option<String>,
}

impl Niceness {
    /// From now on. The process itself stays so.
    pub(crate) fn set(nice: i8) -> Result<Self> {
        let own = std::process::id().to_string();
        run(Command::new("renice").args(["-n", &nice.to_string(), "-p", &own]).stdout(Stdio::null()))?;
        let before = fs::read_to_string(SESSION).ok().and_then(|text| niceness(&text));
        if before.is_some() {
            fs::write(SESSION, nice.to_string()).with_context(|| format!("can't write {SESSION}"))?;
        }
        Ok(Self { before })
    }
}

impl Drop for Niceness {
    fn drop(&mut self) {
        if let Some(before) = &self.before
            && let Err(error) = fs::write(SESSION, before)
        {
            eprintln!("xtask: {SESSION} could not be put back to {before}: {error}");
        }
    }
}

/// Of a session: `/autogroup-6 nice 0`.
fn niceness(text: &str) -> Option<String> {
    let (_, nice) = text.trim().rsplit_once(" nice ")?;
    nice.parse::<i8>().ok().map(|nice| nice.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_s_niceness_is_read_as_the_kernel_writes_it() {
        assert_eq!(niceness("/autogroup-6 nice -15\n").as_deref(), Some("-15"));
        assert_eq!(niceness("").as_deref(), None);
    }
}
