//! What tools say at their end, read from their standard error.

/// As far as it was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// Events received.
    pub(crate) events: Option<u64>,
    /// Events lost.
    pub(crate) lost: Option<u64>,
}

impl Said {
    /// By sockwatch: `sockwatch: 12 events, 3 sockets, none lost`; follow: `…; 12 events, none lost`.
    pub(crate) fn of_ours(lines: &[String]) -> Self {
        let summary = lines.iter().rev().find(|line| line.starts_with("sockwatch: ") && line.contains(" events, "));
        let Some(summary) = summary else { return Self::default() };
        // "Some sockets are incomplete" says that there are losses, and not how many.
        let lost = if summary.contains("none lost") {
            Some(0)
        } else {
            before(summary, " events lost").or_else(|| before(summary, " lost"))
        };
        Self { events: before(summary, " events, "), lost }
    }

    /// By sockwatch where its summary goes to standard output: `sockwatch: 12 events lost (…)`.
    pub(crate) fn of_our_losses(lines: &[String]) -> Self {
        let lost = lines.iter().rev().find_map(|line| before(line.strip_prefix("sockwatch: ")?, " events lost"));
        Self { events: None, lost }
    }

    /// By the tools of libbpf-tools: `lost 12 events on CPU #1`, as often as it happens.
    pub(crate) fn of_peer(lines: &[String]) -> Self {
        let lost = lines.iter().filter_map(|line| {
            let (_, behind) = line.split_once("lost ")?;
            behind.split_once(" events")?.0.trim().parse::<u64>().ok()
        });
        Self { events: None, lost: Some(lost.sum()) }
    }
}

/// The number that stands before these words.
fn before(text: &str, words: &str) -> Option<u64> {
    let (front, _) = text.split_once(words)?;
    let digits = front.rsplit(|letter: char| !letter.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_summary_of_sockwatch_is_read() {
        let said = |text| Said::of_ours(&lines(text));
        let none = said(
            "sockwatch: ready (12 probes, 7 existing sockets, 41 ms)\nsockwatch: 3080 events, 822 sockets, none lost",
        );
        assert_eq!(none, Said { events: Some(3080), lost: Some(0) });
        let some = said("sockwatch: 3080 events, 822 sockets; 17 events lost (a larger --buffer may help)");
        assert_eq!(some, Said { events: Some(3080), lost: Some(17) });
        let record =
            said("sockwatch: 9 events, 2 sockets, none lost\nsockwatch: recorded 9 events about sockets in 1.2 kB");
        assert_eq!(record, Said { events: Some(9), lost: Some(0) });
        let follow = said(
            "sockwatch: followed for 3.0 s; connections: 0 established, 0 accepted, 0 closed, 0 failed; 5 events, 4 lost \
             (a larger --buffer may help)",
        );
        assert_eq!(follow, Said { events: Some(5), lost: Some(4) });
    }

    #[test]
    fn what_sockwatch_lost_is_read_where_its_summary_is_elsewhere() {
        let said = |text| Said::of_our_losses(&lines(text)).lost;
        let some = "sockwatch: ready (12 probes, 7 existing sockets, 41 ms)\n\
                    sockwatch: 12 events lost (a larger --buffer may help)";
        assert_eq!(said(some), Some(12));
        assert_eq!(said("sockwatch: ready (12 probes, 7 existing sockets, 41 ms)"), None);
    }

    #[test]
    fn losses_that_nobody_counted_are_not_known() {
        let some = "sockwatch: 12 events, 3 sockets; some sockets are incomplete: events about them are missing";
        assert_eq!(Said::of_ours(&lines(some)), Said { events: Some(12), lost: None });
    }

    #[test]
    fn what_was_not_said_is_not_known() {
        assert_eq!(Said::of_ours(&lines("sockwatch: ready (12 probes, 7 existing sockets, 41 ms)")), Said::default());
    }

    #[test]
    fn what_a_peer_lost_is_summed() {
        let text = "lost 12 events on CPU #1\ntcpstates: lost 3 events on CPU #0!\nsomething else";
        assert_eq!(Said::of_peer(&lines(text)).lost, Some(15));
        assert_eq!(Said::of_peer(&[]).lost, Some(0));
    }
}
