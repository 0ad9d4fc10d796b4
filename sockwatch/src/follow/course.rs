//! Where a recording is, and how it goes on.

use std::fmt::{self, Display};

use super::words::Age;
use crate::{
    event::Time,
    output::{SocketId, text::table::SEPARATOR},
    untrusted::Untrusted,
};

/// How time passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Motion {
    Paused,
    /// On the way to where someone wants to be.
    Seeking,
    /// So many times as fast as it happened.
    Times(u32),
    /// As fast as can be.
    Max,
    /// There is no more.
    Over,
}

/// See the module's documentation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course<'a> {
    pub(crate) motion: Motion,
    /// Since its beginning, nanoseconds.
    pub(crate) elapsed: Time,
    /// From its beginning to its end, if that is known.
    pub(crate) length: Option<Time>,
    /// Which run it is, of how many, and of which host, where there are several.
    pub(crate) run: Option<(usize, usize, &'a Untrusted)>,
    /// The event that it was stopped at: of which socket, and what.
    pub(crate) event: Option<(SocketId<'a>, &'static str)>,
    /// What could not be done.
    pub(crate) refused: Option<&'a str>,
}

impl Course<'_> {
    /// The line about it. `when`: the time that it is there.
    pub(crate) fn line(&self, when: impl Display) -> String {
        let mut facts = vec![format!("at {when}")];
        facts.push(match self.length {
            Some(length) => format!("{} of {}", Span(self.elapsed), Span(length)),
            None => format!("{} from its beginning", Span(self.elapsed)),
        });
        facts.push(match self.motion {
            Motion::Paused => "paused".to_owned(),
            Motion::Seeking => "seeking".to_owned(),
            Motion::Times(times) => format!("{times}x"),
            Motion::Max => "as fast as can be".to_owned(),
            Motion::Over => "end".to_owned(),
        });
        if let Some((nth, all, host)) = self.run {
            facts.push(format!("{nth} of {all}: {host} (Tab: the next)"));
        }
        facts.extend(self.event.map(|(id, what)| format!("{id} {what}")));
        facts.extend(self.refused.map(str::to_owned));
        facts.join(SEPARATOR)
    }

    /// A bar of this width, with a mark where it is; none if that is not known.
    pub(crate) fn bar(&self, width: usize) -> Option<String> {
        let length = self.length.filter(|_| width >= 8)?.max(1);
        let last = width - 1;
        let at = u128::from(self.elapsed.min(length)) * last as u128 / u128::from(length);
        let at = usize::try_from(at).unwrap_or(last);
        Some(format!("{}●{}", "━".repeat(at), "─".repeat(last - at)))
    }
}

/// `12.3s`, and from two minutes on as an age.
struct Span(Time);

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const TENTH: Time = 100_000_000;
        match self.0 / TENTH {
            tenths @ ..1_200 => write!(f, "{}.{}s", tenths / 10, tenths % 10),
            _ => Age(self.0).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_has_its_mark_where_the_recording_is() {
        let bar = |elapsed, length| {
            Course { motion: Motion::Paused, elapsed, length, run: None, event: None, refused: None }
                .bar(9)
                .unwrap_or_default()
        };
        for (elapsed, drawn) in [(0, "●────────"), (50, "━━━━●────"), (100, "━━━━━━━━●"), (900, "━━━━━━━━●")]
        {
            assert_eq!(bar(elapsed, Some(100)), drawn);
        }
        assert_eq!(bar(0, Some(0)), "●────────", "one that has no length");
        assert_eq!(bar(u64::MAX, Some(u64::MAX)), "━━━━━━━━●");
        assert_eq!(bar(1, None), "");
    }
}
