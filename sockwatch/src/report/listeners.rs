//! What came to listeners, and what became of it.

use std::{collections::HashMap, sync::Arc};

use super::{
    Id,
    bounded::{Bounded, Weigh},
    durations::Histogram,
    findings::{List, Listener, Only, Program, SameProgram},
};
use crate::{
    event::Endpoint,
    lifecycle::{Life, Origin},
};

/// Every listener, by its id: connections name it so, before and after it ended.
#[derive(Debug)]
pub(super) struct Listeners {
    rows: Bounded<Id, Row>,
}

/// One listener, or those that are alike.
#[derive(Debug, Default)]
struct Row {
    /// Of these many, those that pass the filter.
    sockets: u64,
    known: Option<Known>,
    accepted: u64,
    not_accepted: u64,
    waiting: u64,
    older: u64,
    queue: Histogram,
    dropped: Option<u64>,
    /// One did not tell how many it dropped.
    silent: bool,
    backlog: Option<u32>,
    pid: Only<Option<u32>>,
    id: Only<Id>,
}

/// What tells listeners apart for a reader.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Known {
    local: Option<Endpoint>,
    netns: Option<u32>,
    process: Option<SameProgram>,
}

impl Row {
    fn came(&self) -> u64 {
        self.accepted + self.not_accepted + self.waiting + self.older
    }
}

impl Weigh for Row {
    fn weight(&self) -> u64 {
        self.came() + self.sockets
    }
}

impl Listeners {
    pub(super) fn new() -> Self {
        Self { rows: Bounded::new() }
    }

    /// What is known of a listener. It counts if this is its whole life, and passes the filter.
    pub(super) fn describe(&mut self, id: Id, life: &Life, counts: bool) {
        let owner = life.owner.as_ref().map(|owner| &owner.process);
        let row = self.rows.of(id);
        row.known = Some(Known {
            local: life.local,
            netns: life.netns,
            process: owner.map(|process| SameProgram(Arc::clone(process))),
        });
        row.backlog = life.backlog.or(row.backlog);
        if counts {
            row.sockets += 1;
            row.pid.add(owner.and_then(|process| process.pid));
            row.dropped = life.stats.map(|stats| stats.drops.into());
            // What is open was counted when it was found, if at all.
            row.silent = row.dropped.is_none() || life.verdict().is_none();
        }
    }

    /// A connection came to this listener.
    pub(super) fn came(&mut self, listener: Id, life: &Life) {
        let row = self.rows.of(listener);
        if let Some(queued) = life.accept_queue_ns {
            row.queue.add(queued);
        }
        if life.was_accepted() {
            row.accepted += 1;
        } else if life.origin == Origin::Snapshot {
            row.older += 1;
        } else if !life.complete {
            // Its accept may have been missed.
        } else if life.verdict().is_some() {
            row.not_accepted += 1;
        } else {
            row.waiting += 1;
        }
    }

    /// The first of them, those of one process name at one address together.
    pub(super) fn finish(self, top: usize, name: impl Fn(Id) -> String) -> List<Listener> {
        let lower_bound = self.rows.is_lower_bound();
        let mut merged: HashMap<Option<Known>, Row> = HashMap::new();
        let mut rows: Vec<(Id, Row)> = self.rows.into_rows().filter(|(_, row)| row.weight() > 0).collect();
        rows.sort_unstable_by_key(|&(id, _)| id);
        for (id, row) in rows {
            let sum = merged.entry(row.known.clone()).or_default();
            sum.sockets += row.sockets;
            sum.accepted += row.accepted;
            sum.not_accepted += row.not_accepted;
            sum.waiting += row.waiting;
            sum.older += row.older;
            sum.queue.merge(&row.queue);
            sum.dropped = match (sum.dropped, row.dropped) {
                (Some(sum), Some(dropped)) => Some(sum + dropped),
                (sum, dropped) => sum.or(dropped),
            };
            sum.silent |= row.silent;
            sum.backlog = row.backlog.or(sum.backlog);
            if let Some(pid) = row.pid.one() {
                sum.pid.add(pid);
            }
            sum.id.add(id);
        }
        let mut rows: Vec<(Option<Known>, Row)> = merged.into_iter().collect();
        let total = rows.len() as u64;
        rows.sort_by_cached_key(|(known, row)| {
            let place = known.as_ref().map(|known| (known.local.map(|local| (local.address, local.port)), known.netns));
            (std::cmp::Reverse(row.came()), place)
        });
        rows.truncate(top);
        let rows = rows.into_iter().map(|(known, row)| row.finish(known, &name)).collect();
        List { total, lower_bound, rows }
    }
}

impl Row {
    fn finish(self, known: Option<Known>, name: &impl Fn(Id) -> String) -> Listener {
        let process = known.as_ref().and_then(|known| known.process.as_ref()).map(|SameProgram(process)| Program {
            pid: self.pid.one().flatten(),
            several: self.pid == Only::Several,
            ..Program::of(process)
        });
        Listener {
            socket: self.id.one().map(name),
            sockets: self.sockets,
            local: known.as_ref().and_then(|known| known.local),
            netns: known.as_ref().and_then(|known| known.netns),
            process,
            accepted: self.accepted,
            not_accepted: self.not_accepted,
            waiting: self.waiting,
            older: self.older,
            queue_p50_ns: self.queue.quantile(0.5),
            queue_p99_ns: self.queue.quantile(0.99),
            queue_max_ns: self.queue.max(),
            dropped: self.dropped,
            dropped_lower_bound: self.dropped.is_some() && self.silent,
            backlog: self.backlog,
        }
    }
}
