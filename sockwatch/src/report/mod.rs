//! The report: what recordings come to, on one page, as text, as one JSON object, or as an HTML page with a timeline.
//!
//! [`Aggregate`] takes what runs tell of their sockets, and keeps counts: its memory is bounded, whatever is recorded.
//! [`Aggregate::finish`] makes the [`Findings`] of it, which [`text`], [`json`] and [`html`] write.

mod bounded;
mod counts;
mod durations;
mod findings;
mod finish;
pub mod html;
pub mod json;
mod listeners;
mod path;
mod rates;
mod sections;
#[cfg(test)]
mod tests;
pub mod text;
mod timeline;
mod top;

use std::{io, net::IpAddr, sync::Arc};

pub use findings::Findings;
pub use timeline::Timeline;

use self::{
    bounded::Bounded,
    counts::{ENDS, Failing, Often, ResetsOf, TimesOf, Traffic},
    durations::Bands,
    findings::{Example, Program, Resets, SameProgram, Wall},
    listeners::Listeners,
    path::Step,
    rates::{Rates, What},
    top::Top,
};
use crate::{
    event::Time,
    lifecycle::{How, Life, Origin, Report, Role},
    output::{Scene, Sink, Start},
    select::{self, Filter},
};

/// What the report is to hold.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many rows each list has.
    pub top: usize,
    /// How many sockets are kept for the timeline of the HTML page; none without a page. Each takes up to about 600 bytes,
    /// 200 as a rule.
    pub timeline: Option<usize>,
}

/// What whoever read the recordings knows of them.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What each says of its host.
    pub starts: Vec<Start>,
    /// Kernel events.
    pub events: u64,
    /// Events that were not recorded.
    pub lost: u64,
    /// Parts that could not be read.
    pub unreadable: u64,
    /// Whether they are whole.
    pub complete: bool,
}

/// A socket of one of several runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
struct Id {
    run: usize,
    number: u64,
}

/// A run, known by what its sockets' ids begin with.
#[derive(Debug)]
struct Run {
    scene: Scene,
    /// The last that was heard of it.
    last: Time,
}

/// Counts what runs tell of their sockets.
#[derive(Debug)]
pub struct Aggregate {
    filter: Filter,
    options: Options,
    runs: Vec<Run>,
    span: Option<(i128, i128)>,
    gaps: u64,
    sockets: u64,
    incomplete: u64,
    omitted: u64,
    roles: [u64; 4],
    ends: [u64; ENDS.len()],
    all: Traffic,
    times: TimesOf,
    lifetimes: Bands,
    rates: Rates,
    listeners: Listeners,
    processes: Bounded<Option<SameProgram>, Traffic>,
    peers: Bounded<Option<IpAddr>, Traffic>,
    failed_connects: Bounded<Failing, Often>,
    failed_calls: Bounded<Failing, Often>,
    resets: Resets,
    reset_peers: Bounded<Option<IpAddr>, ResetsOf>,
    retransmits: Option<u64>,
    slowest_handshakes: Top<Example>,
    slowest_connects: Top<Example>,
    longest_queued: Top<Example>,
    most_retransmits: Top<Example>,
    longest: Top<Example>,
    timeline: Option<Timeline>,
}

impl Aggregate {
    /// Counts the sockets that pass the filter.
    #[must_use]
    pub fn new(filter: Filter, options: Options) -> Self {
        let top = || Top::new(options.top);
        Self {
            filter,
            options,
            runs: Vec::new(),
            span: None,
            gaps: 0,
            sockets: 0,
            incomplete: 0,
            omitted: 0,
            roles: [0; 4],
            ends: [0; ENDS.len()],
            all: Traffic::default(),
            times: TimesOf::default(),
            lifetimes: Bands::default(),
            rates: Rates::default(),
            listeners: Listeners::new(),
            processes: Bounded::new(),
            peers: Bounded::new(),
            failed_connects: Bounded::new(),
            failed_calls: Bounded::new(),
            resets: Resets::default(),
            reset_peers: Bounded::new(),
            retransmits: None,
            slowest_handshakes: top(),
            slowest_connects: top(),
            longest_queued: top(),
            most_retransmits: top(),
            longest: top(),
            timeline: options.timeline.map(Timeline::new),
        }
    }

    /// Which run this is.
    fn run(&mut self, scene: &Scene) -> usize {
        // Mostly the same as before: then the comparison is short.
        if let Some(run) = self.runs.iter().position(|run| run.scene.prefix == scene.prefix) {
            return run;
        }
        self.runs.push(Run { scene: scene.clone(), last: 0 });
        self.runs.len() - 1
    }

    /// Something was heard of a run at this time.
    fn heard(&mut self, scene: &Scene, run: usize, time: Time) {
        let last = &mut self.runs[run].last;
        *last = time.max(*last);
        let wall = scene.clock.nanoseconds(time);
        self.span = Some(self.span.map_or((wall, wall), |(first, last)| (first.min(wall), last.max(wall))));
    }

    fn socket(&mut self, scene: &Scene, run: usize, life: &Life) {
        self.heard(scene, run, life.first);
        if let Some(destroyed) = life.destroyed {
            self.heard(scene, run, destroyed);
        }
        let id = Id { run, number: life.number };
        let passes = self.filter.matches(life);
        if life.role == Some(Role::Listener) {
            self.listeners.describe(id, life, passes);
        }
        if !passes {
            if let Some(timeline) = &mut self.timeline {
                timeline.forget(id);
            }
            return;
        }
        self.sockets += 1;
        self.incomplete += u64::from(!life.complete);
        self.omitted += life.path_omitted;
        self.roles[life.role.map_or(3, |role| role as usize)] += 1;
        self.ends[counts::end_of(life)] += 1;
        self.walk(scene, id, life);
        let failed = select::has_failed(life);
        if matches!(life.role, Some(Role::Server | Role::Client)) {
            self.connection(scene, id, life, failed);
        }
        let last = self.runs[run].last;
        if let Some(timeline) = &mut self.timeline {
            timeline.add(scene, id, life, failed, last);
        }
    }

    /// Takes in each step of its path.
    fn walk(&mut self, scene: &Scene, id: Id, life: &Life) {
        let Self { rates, failed_connects, failed_calls, resets, reset_peers, .. } = self;
        path::walk(life, |time, step| {
            let mut rate = |what| rates.add(scene.clock.nanoseconds(time), what);
            match step {
                Step::Opened => rate(What::Opened),
                Step::Closed(bad) => {
                    rate(What::Closed);
                    if bad {
                        rate(What::Failed);
                    }
                }
                Step::Reset(peer, verdict) => {
                    rate(What::Closed);
                    rate(What::Failed);
                    resets.add(verdict);
                    let row = reset_peers.of(peer.map(|peer| peer.address));
                    row.resets.add(verdict);
                    row.port.add(peer.map(|peer| peer.port));
                }
                Step::ConnectFailed(failure) => {
                    rate(What::Failed);
                    counts::count(failed_connects, id, &failure);
                }
                Step::CallFailed(failure) => {
                    rate(What::Failed);
                    counts::count(failed_calls, id, &failure);
                }
            }
        });
    }

    /// Takes in a connection.
    fn connection(&mut self, scene: &Scene, id: Id, life: &Life, failed: bool) {
        let owner = life.owner.as_ref().map(|owner| &owner.process);
        self.all.add(life, failed);
        let traffic = self.processes.of(owner.map(|process| SameProgram(Arc::clone(process))));
        traffic.add(life, failed);
        traffic.pid.add(owner.and_then(|process| process.pid));
        let traffic = self.peers.of(life.peer.map(|peer| peer.address));
        traffic.add(life, failed);
        traffic.port.add(life.peer.map(|peer| peer.port));
        if life.role == Some(Role::Server)
            && let Some(listener) = life.listener
        {
            self.listeners.came(Id { number: listener, ..id }, life);
        }
        let last = self.runs[id.run].last;
        let seen = life.destroyed.unwrap_or(last).saturating_sub(life.first);
        let lifetime = life.lifetime_ns();
        let bound = lifetime.is_none();
        let offer = |top: &mut Top<Example>, value: Option<u64>, lower_bound: bool| {
            if let Some(value) = value {
                top.offer(value, || example(scene, life, value, lower_bound));
            }
        };
        offer(&mut self.longest, Some(seen), bound);
        if let Some(lifetime) = lifetime {
            self.times.lifetime.add(lifetime);
            self.lifetimes.add(lifetime);
        }
        if let Some(handshake) = life.handshake_ns {
            self.times.handshake.add(handshake);
            offer(&mut self.slowest_handshakes, Some(handshake), false);
        }
        if let Some(queued) = life.accept_queue_ns {
            self.times.queue.add(queued);
            offer(&mut self.longest_queued, Some(queued), false);
        }
        if let Some(connect) = life.connect_ns.filter(|_| life.was_established()) {
            self.times.connect.add(connect);
            offer(&mut self.slowest_connects, Some(connect), false);
        }
        if let Some(stats) = life.stats.filter(|stats| stats.counted) {
            let again = u64::from(stats.retransmits);
            *self.retransmits.get_or_insert(0) += again;
            offer(&mut self.most_retransmits, Some(again).filter(|&again| again > 0), false);
        }
    }
}

impl Sink for Aggregate {
    fn report(&mut self, scene: &Scene, report: Report<'_>) -> io::Result<()> {
        let run = self.run(scene);
        match report {
            Report::Milestone { life, index } => {
                self.heard(scene, run, life.path[index].time);
                if life.role == Some(Role::Listener) {
                    let id = Id { run, number: life.number };
                    self.listeners.describe(id, life, false);
                }
            }
            Report::Signal { life, signal } => {
                self.heard(scene, run, signal.time);
                if let Some(timeline) = &mut self.timeline {
                    timeline.signal(Id { run, number: life.number }, signal);
                }
            }
            Report::Socket(life) => self.socket(scene, run, life),
            Report::Lost { .. } => self.gaps += 1,
        }
        Ok(())
    }
}

fn example(scene: &Scene, life: &Life, value: u64, lower_bound: bool) -> Example {
    Example {
        socket: scene.id(life.number).to_string(),
        value,
        lower_bound: lower_bound && (life.destroyed.is_none() || life.origin == Origin::Snapshot),
        role: life.role.map(Role::name),
        local: life.local,
        peer: life.peer,
        process: life.owner.as_ref().map(|owner| Program::of(&owner.process)),
        first: Wall::new(scene.clock.nanoseconds(life.first)),
        how: life.verdict().and_then(|verdict| verdict.how).map(How::name),
        open: life.verdict().is_none(),
    }
}
