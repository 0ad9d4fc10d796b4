//! How the view says things, in as little room as there is.

use std::fmt::{self, Display};

use jiff::tz::TimeZone;

use super::{
    board::{Acceptor, Board},
    tree::{Group, Listener, is_over},
};
use crate::{
    event::{Errno, Time},
    lifecycle::{Life, Origin, Phase},
    output::{
        Scene,
        text::{
            holders,
            table::SEPARATOR,
            time_of_day,
            words::{self, grouped},
        },
    },
    select::Target,
};

const SECOND: Time = 1_000_000_000;

/// What is needed to put something into words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speaker<'a> {
    pub(crate) scene: &'a Scene,
    pub(crate) zone: &'a TimeZone,
    pub(crate) board: &'a Board,
    pub(crate) now: Time,
}

impl Speaker<'_> {
    /// A time of day.
    pub(crate) fn when(&self, time: Time) -> impl Display {
        time_of_day(self.zone.to_datetime(self.scene.clock.wall(time)))
    }

    /// A time of day, and its day.
    pub(crate) fn moment(&self, time: Time) -> String {
        let date = self.zone.to_datetime(self.scene.clock.wall(time)).date();
        format!("{} on {date}", self.when(time))
    }

    /// How long ago.
    pub(crate) fn since(&self, time: Time) -> Age {
        Age(self.now.saturating_sub(time))
    }

    /// A listener, in its own line.
    pub(crate) fn listener(&self, listener: &Listener<'_>) -> String {
        let Listener { life, open, hidden, waiting, folded: _, place } = *listener;
        let open = match hidden {
            0 => format!("{} open", grouped(open as u64)),
            hidden => format!("{} of {} open", grouped((open - hidden) as u64), grouped(open as u64)),
        };
        let mut facts = vec![words::end(life.local, true).to_string()];
        if let Some(verdict) = life.verdict() {
            let since = self.since(super::board::ended_at(life));
            facts.push(format!("{} {since} ago", words::ending(life, &verdict)));
            facts.push(open);
            facts.push(format!("accepted {}", grouped(life.accepted)));
            return facts.join(SEPARATOR);
        }
        let began =
            life.path.iter().rev().find(|milestone| milestone.phase == Phase::Listen && milestone.error.is_none());
        match began {
            Some(began) => facts.push(format!("listens for {}", self.since(began.time))),
            None => facts.push("listens".to_owned()),
        }
        facts.push(open);
        let stats = self.board.stats(life);
        let known = |count: Option<u32>| count.map_or_else(|| "?".to_owned(), |count| grouped(count.into()));
        // Between two looks, and in a recording: those that are known to wait.
        let looked = stats.filter(|_| self.board.was_looked_at(life)).map(|stats| grouped(stats.queue.into()));
        let queue = looked.unwrap_or_else(|| grouped(waiting as u64));
        // What a listening call said last is newer than what it said when it began.
        let limit = stats.map(|stats| stats.backlog).filter(|&limit| limit > 0).or(life.backlog);
        facts.push(format!("queue {queue} of {}", known(limit)));
        if let Some(dropped) = stats.map(|stats| stats.drops).filter(|&drops| drops > 0) {
            let now = self.board.drops(life).map_or(0, |drops| drops.last(self.now));
            let now = if now == 0 { String::new() } else { format!(", {}/s now", grouped(now.into())) };
            facts.push(format!("overflowed {}{now}", grouped(dropped.into())));
        }
        if let (nth, all @ 2..) = place {
            facts.push(format!("{nth} of {all} on this address"));
        }
        facts.join(SEPARATOR)
    }

    /// Who bound a listener, and when.
    pub(crate) fn bound(&self, life: &Life) -> String {
        let bind = life.path.iter().find(|milestone| milestone.phase == Phase::Bind && milestone.error.is_none());
        let by = bind.and_then(|bind| bind.actor.as_ref()).or(life.owner.as_ref());
        let by = by.map_or_else(|| "?".to_owned(), |actor| words::process(&actor.process).to_string());
        let mut facts = Vec::new();
        match bind {
            Some(bind) => facts.push(format!("bound by {by} at {}", self.when(bind.time))),
            None if life.origin == Origin::Snapshot => facts.push(format!("owned by {by}, bound before this trace")),
            // listen() without bind().
            None => facts.push(format!("owned by {by}")),
        }
        if let Some(given) = life.backlog_given {
            facts.push(format!("listen({given})"));
        }
        if life.transport != crate::event::Transport::Tcp {
            facts.push(life.transport.name().to_owned());
        }
        if let Some(netns) = life.netns {
            facts.push(format!("netns {netns}"));
        }
        facts.join(SEPARATOR)
    }

    /// Who holds a socket.
    pub(crate) fn held(&self, life: &Life) -> String {
        let looked = self.board.was_looked_at(life);
        let life = self.board.fresh(life);
        let held = match life.holders.as_deref() {
            None => return "it is not known who holds it".to_owned(),
            Some([one]) => format!("held by {} as fd {}", words::process(&one.process), one.fd),
            Some(_) => holders(&life).unwrap_or_else(|| "held by ?".to_owned()),
        };
        // A recording does not look again.
        if looked { held } else { format!("when the trace began {held}") }
    }

    /// How many are accepted from a listener, for the graph of that.
    pub(crate) fn accept_rate(&self, life: &Life) -> u32 {
        self.board.service(life.number).map_or(0, |service| service.accepts.last(self.now))
    }

    /// Who accepts from a listener, busiest first.
    pub(crate) fn acceptors(&self, life: &Life) -> String {
        let acceptors = self.board.service(life.number).map_or(&[][..], |service| &service.acceptors);
        let mut all: Vec<(u32, &Acceptor)> = acceptors.iter().map(|each| (each.rate.last(self.now), each)).collect();
        all.sort_by_key(|(rate, each)| std::cmp::Reverse((*rate, each.total)));
        let mut text = format!("{} so far", grouped(life.accepted));
        for (at, (rate, each)) in all.iter().enumerate() {
            let separator = if at == 0 { ": " } else { ", " };
            let process = words::process(&each.process);
            text.push_str(&format!("{separator}{process} {}/s ({})", grouped((*rate).into()), grouped(each.total)));
        }
        text
    }

    /// The state of a socket, or how it ended.
    pub(crate) fn state(&self, life: &Life) -> String {
        if let Some(verdict) = life.verdict() {
            return match failed_call(life) {
                Some((phase, error)) if !words::is_trouble(&verdict) => format!("{} {}", phase.name(), error.name()),
                _ => words::short_ending(&verdict).to_owned(),
            };
        }
        match failed_call(life) {
            Some((phase, error)) if life.role.is_none() => format!("{} {}", phase.name(), error.name()),
            _ if life.role.is_none() => "bound".to_owned(),
            _ => life.state.name().to_owned(),
        }
    }

    /// How old a socket is, or how long ago it ended.
    pub(crate) fn age(&self, life: &Life) -> String {
        if is_over(life) {
            return format!("{} ago", self.since(super::board::ended_at(life)));
        }
        match life.origin {
            Origin::Traced => self.since(life.first).to_string(),
            Origin::Snapshot => format!(">{}", self.since(self.board.began)),
        }
    }
}

/// The last bind, listen or connect that failed.
fn failed_call(life: &Life) -> Option<(Phase, Errno)> {
    let called = |phase| matches!(phase, Phase::Bind | Phase::Listen | Phase::Connect);
    life.path
        .iter()
        .rev()
        .filter(|milestone| called(milestone.phase))
        .find_map(|milestone| Some((milestone.phase, milestone.error?)))
}

/// `1 listener`, `2 listeners`.
pub(crate) fn count(count: usize, one: &str, more: &str) -> String {
    format!("{} {}", grouped(count as u64), if count == 1 { one } else { more })
}

/// A heading.
pub(crate) fn group(group: Group, target: Target, open: usize, ended: usize) -> String {
    let what = match group {
        Group::Orphans => format!("connections to {target} whose listener is gone or not known"),
        Group::Clients => format!("clients that connect to {target}"),
        Group::Others => "bound, but not listening".to_owned(),
    };
    format!("{what}{SEPARATOR}{} open{SEPARATOR}{} ended", grouped(open as u64), grouped(ended as u64))
}

/// `0s`, `59s`, `2m03s`, `1h02m`, `3d04h`: whole seconds at most, and never more than six characters for a year.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Age(pub(crate) u64);

impl Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 / SECOND {
            seconds @ ..60 => write!(f, "{seconds}s"),
            seconds @ ..3_600 => write!(f, "{}m{:02}s", seconds / 60, seconds % 60),
            seconds @ ..86_400 => write!(f, "{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
            seconds => write!(f, "{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_two_units_at_most() {
        for (seconds, said) in
            [(0, "0s"), (59, "59s"), (123, "2m03s"), (3_599, "59m59s"), (3_720, "1h02m"), (273_600, "3d04h")]
        {
            assert_eq!(Age(seconds * SECOND + SECOND / 2).to_string(), said);
        }
    }
}
