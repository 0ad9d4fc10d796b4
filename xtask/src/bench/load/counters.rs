//! What the kernel counts of TCP in a network namespace.

use std::fs;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Some of /proc/net/snmp and /proc/net/netstat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counters {
    /// TcpActiveOpens: SYNs sent by connect().
    pub(crate) active_opens: u64,
    /// TcpPassiveOpens: sockets that listeners made.
    pub(crate) passive_opens: u64,
    /// TcpAttemptFails: of those, closed before they were established.
    pub(crate) attempts_failed: u64,
    /// TcpRetransSegs: segments sent again.
    pub(crate) sent_again: u64,
    /// TcpExtListenOverflows: connections that did not fit an accept queue.
    pub(crate) overflows: u64,
}

impl Counters {
    /// Those of the network namespace of this process.
    pub(super) fn now() -> Result<Self> {
        let [snmp, netstat] = ["/proc/self/net/snmp", "/proc/self/net/netstat"].map(fs::read_to_string);
        Self::read(&snmp?, &netstat?)
    }

    fn read(snmp: &str, netstat: &str) -> Result<Self> {
        let tcp = |name| counter(snmp, "Tcp:", name);
        Ok(Self {
            active_opens: tcp("ActiveOpens")?,
            passive_opens: tcp("PassiveOpens")?,
            attempts_failed: tcp("AttemptFails")?,
            sent_again: tcp("RetransSegs")?,
            overflows: counter(netstat, "TcpExt:", "ListenOverflows")?,
        })
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self {
            active_opens: self.active_opens - before.active_opens,
            passive_opens: self.passive_opens - before.passive_opens,
            attempts_failed: self.attempts_failed - before.attempts_failed,
            sent_again: self.sent_again - before.sent_again,
            overflows: self.overflows - before.overflows,
        }
    }
}

/// One counter: a line of names is followed by one of numbers, both with the same first word.
fn counter(text: &str, group: &str, name: &str) -> Result<u64> {
    let mut lines = text.lines().filter(|line| line.split_whitespace().next() == Some(group));
    let (names, numbers) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let place = names.split_whitespace().position(|other| other == name);
    let number = place.and_then(|place| numbers.split_whitespace().nth(place));
    number.and_then(|number| number.parse().ok()).with_context(|| format!("the kernel has no counter {group} {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNMP: &str = "Ip: Forwarding DefaultTTL\nIp: 1 64\n\
        Tcp: RtoAlgorithm MaxConn ActiveOpens PassiveOpens AttemptFails RetransSegs\nTcp: 1 -1 107 100 7 3\n\
        Udp: InDatagrams\nUdp: 9\n";
    const NETSTAT: &str = "TcpExt: SyncookiesSent ListenOverflows\nTcpExt: 0 2\n";

    #[test]
    fn counters_are_found_by_name_wherever_they_stand() {
        let found = Counters::read(SNMP, NETSTAT).unwrap();
        let expected =
            Counters { active_opens: 107, passive_opens: 100, attempts_failed: 7, sent_again: 3, overflows: 2 };
        assert_eq!(found, expected);
        assert_eq!(expected.since(expected), Counters::default());
    }

    #[test]
    fn a_counter_that_is_missing_is_an_error_not_a_zero() {
        let error = Counters::read("Tcp: ActiveOpens\nTcp: 1\n", NETSTAT).unwrap_err();
        assert!(error.to_string().contains("PassiveOpens"), "{error}");
        Counters::now().unwrap();
    }
}
