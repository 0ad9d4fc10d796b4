//! What the page's timeline shows: compact rows of the sockets that tell most.
//!
//! A row is a JSON array, mostly of numbers; `page/model.js` reads it. Times are nanoseconds: of a row's beginning since the page's
//! base, of all else in it since that beginning. -1 is not known.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BinaryHeap, HashMap},
    fmt::Write as _,
};

use super::Id;
use crate::{
    event::{Errno, State, Time, Transport},
    lifecycle::{By, How, Life, Milestone, Origin, Phase, Role, Signal, SignalKind},
    output::Scene,
    untrusted::Untrusted,
};

/// Most steps of one socket that are shown: the first and the last ones.
const STEPS: usize = 24;

/// Most names of processes; later ones have none on the page.
const NAMES: usize = 1 << 16;

/// Longest name, in characters.
const NAME: usize = 64;

/// Most open sockets whose first FIN is remembered.
const CLOSING: usize = 1 << 20;

/// The sockets of the timeline.
#[derive(Debug)]
pub struct Timeline {
    most: usize,
    /// Nanoseconds since 1970 that times of rows begin with.
    base: Option<i128>,
    span: (i64, i64),
    /// When the first FIN of a socket that is open came or went.
    closing: HashMap<Id, Time>,
    names: HashMap<Box<str>, usize>,
    errors: BTreeMap<i32, String>,
    listeners: Pool,
    failed: Pool,
    longest: Pool,
    others: Pool,
}

/// The rows with the smallest keys.
#[derive(Debug)]
struct Pool {
    most: usize,
    offered: u64,
    rows: BinaryHeap<Row>,
}

/// A row, and what decides whether it stays.
#[derive(Debug)]
struct Row {
    key: u64,
    /// Even over all sockets.
    chance: u64,
    text: Box<str>,
}

/// What the page is given.
#[derive(Debug)]
pub(super) struct Shown<'a> {
    /// Nanoseconds since 1970.
    pub(super) base: i128,
    /// The first and the last moment, nanoseconds since the base.
    pub(super) span: (i64, i64),
    /// Processes' names, containers and namespaces, escaped as text is.
    pub(super) names: Vec<&'a str>,
    /// Names of errnos.
    pub(super) errors: &'a BTreeMap<i32, String>,
    /// The rows.
    pub(super) rows: Vec<&'a str>,
    /// Sockets that are not shown: listeners, sockets that failed, others.
    pub(super) left_out: [u64; 3],
}

impl Timeline {
    /// One of at most this many sockets.
    pub(super) fn new(most: usize) -> Self {
        let pool = |most| Pool { most, offered: 0, rows: BinaryHeap::new() };
        Self {
            most,
            base: None,
            span: (i64::MAX, i64::MIN),
            closing: HashMap::new(),
            names: HashMap::new(),
            errors: BTreeMap::new(),
            listeners: pool(most / 10),
            failed: pool(most / 2),
            longest: pool(most / 20),
            others: pool(most),
        }
    }

    /// A change of state: the first FIN is in no path.
    pub(super) fn signal(&mut self, id: Id, signal: &Signal) {
        let fin = matches!(signal.kind, SignalKind::State { to: State::FinWait1 | State::CloseWait, .. });
        if fin && self.closing.len() < CLOSING {
            self.closing.entry(id).or_insert(signal.time);
        }
    }

    /// A socket ended that is not asked for.
    pub(super) fn forget(&mut self, id: Id) {
        self.closing.remove(&id);
    }

    /// A whole life. What is open lasts until `last`.
    pub(super) fn add(&mut self, scene: &Scene, id: Id, life: &Life, failed: bool, last: Time) {
        let fin = self.closing.remove(&id);
        let end = life.destroyed.unwrap_or(last);
        let duration = end.saturating_sub(life.first);
        let chance = mix(id);
        if life.role == Some(Role::Listener) {
            self.listeners.offered += 1;
            if self.listeners.takes(chance) {
                let text = self.row(scene, life, fin, last, failed);
                self.listeners.add(Row { key: chance, chance, text });
            }
        } else if failed {
            self.failed.offered += 1;
            if self.failed.takes(chance) {
                let text = self.row(scene, life, fin, last, failed);
                self.failed.add(Row { key: chance, chance, text });
            }
        } else {
            self.others.offered += 1;
            let key = u64::MAX - duration;
            if self.longest.takes(key) {
                let text = self.row(scene, life, fin, last, failed);
                if let Some(row) = self.longest.add(Row { key, chance, text }) {
                    self.others.add(Row { key: row.chance, ..row });
                }
            } else if self.others.takes(chance) {
                let text = self.row(scene, life, fin, last, failed);
                self.others.add(Row { key: chance, chance, text });
            }
        }
    }

    fn row(&mut self, scene: &Scene, life: &Life, fin: Option<Time>, last: Time, failed: bool) -> Box<str> {
        let first = scene.clock.nanoseconds(life.first);
        let base = *self.base.get_or_insert(first);
        let first = i64::try_from(first - base).unwrap_or(0);
        let since = |time: Time| time.saturating_sub(life.first);
        let end = life.destroyed.map(since);
        let lasts = end.unwrap_or_else(|| since(last)).max(life.path.last().map_or(0, |last| since(last.time)));
        let before = life.handshake_ns.unwrap_or(0).min(1 << 40) as i64;
        self.span.0 = self.span.0.min(first - before);
        self.span.1 = self.span.1.max(first.saturating_add_unsigned(lasts));
        let owner = life.owner.as_ref().map(|owner| &owner.process);
        let name = owner.map_or(-1, |process| self.name(&process.name.to_string()));
        let container =
            owner.and_then(|process| process.container.as_deref()).map_or(-1, |id| self.name(&text(id.as_bytes())));
        let netns = life.netns.map_or(-1, |inode| self.name(&inode.to_string()));
        let verdict = life.verdict();
        let how = verdict.and_then(|verdict| verdict.how);
        let flags = u32::from(life.complete)
            | u32::from(life.origin == Origin::Snapshot) << 1
            | u32::from(failed) << 2
            | u32::from(verdict.is_some()) << 3;
        let mut row = String::with_capacity(192);
        let _ = write!(
            row,
            r#"["{}",{},{},{},{},{name},{},{container},{first},{lasts},{},{},{},{flags},"#,
            scene.id(life.number),
            role(life.role),
            transport(life.transport),
            Quoted(life.local),
            Quoted(life.peer),
            number(owner.and_then(|process| process.pid)),
            number(end),
            how.map_or(0, how_number),
            verdict.and_then(|verdict| verdict.by).map_or(0, by_number),
        );
        self.path(&mut row, life);
        let bytes = life.bytes();
        let listener = (life.role == Some(Role::Listener)).then_some(life);
        let counted = life.stats.filter(|stats| stats.counted && listener.is_none());
        let error = verdict.and_then(|verdict| verdict.error);
        let omitted = life.path_omitted + life.path.len().saturating_sub(STEPS) as u64;
        let details = [
            number(fin.map(since)),
            number(bytes.map(|bytes| bytes.received)),
            number(bytes.map(|bytes| bytes.sent)),
            number(life.handshake_ns),
            number(life.accept_queue_ns),
            number(life.connect_ns),
            number(life.rtt_us()),
            number(counted.map(|stats| stats.retransmits)),
            number(life.listener),
            netns,
            number(life.fd.and_then(|fd| u32::try_from(fd).ok())),
            number(life.peer_socket),
            error.map_or(-1, |error| self.error(error)),
            number(listener.map(|life| life.accepted)),
            number(listener.and_then(|life| life.backlog)),
            number(listener.and_then(|life| life.stats).map(|stats| stats.drops)),
            number(Some(omitted).filter(|&omitted| omitted > 0)),
        ];
        // What is missing at the end is -1 too.
        let known = details.iter().rposition(|&detail| detail != -1).map_or(0, |last| last + 1);
        for detail in &details[..known] {
            let _ = write!(row, ",{detail}");
        }
        row.push(']');
        row.into_boxed_str()
    }

    /// `[phase, time, pid, errno]`, the last two only if there is something to say.
    fn path(&mut self, row: &mut String, life: &Life) {
        row.push('[');
        let middle = life.path.len().saturating_sub(STEPS);
        let left_out = STEPS / 2..STEPS / 2 + middle;
        let shown = life.path.iter().enumerate().filter(|(at, _)| !left_out.contains(at));
        for (nth, (_, milestone)) in shown.enumerate() {
            let Milestone { phase, time, actor, error, .. } = milestone;
            if nth > 0 {
                row.push(',');
            }
            // A socket's beginning may be later than what its first call tells of.
            let since = i128::from(*time) - i128::from(life.first);
            let _ = write!(row, "[{},{since}", phase_number(*phase));
            let pid = actor.as_ref().and_then(|actor| actor.process.pid);
            if let Some(error) = error {
                let _ = write!(row, ",{},{}", number(pid), self.error(*error));
            } else if let Some(pid) = pid {
                let _ = write!(row, ",{pid}");
            }
            row.push(']');
        }
        row.push(']');
    }

    fn name(&mut self, name: &str) -> i64 {
        let cut = name.char_indices().nth(NAME).map_or(name, |(at, _)| &name[..at]);
        if let Some(&at) = self.names.get(cut) {
            return at as i64;
        }
        if self.names.len() >= NAMES {
            return -1;
        }
        let at = self.names.len();
        self.names.insert(cut.into(), at);
        at as i64
    }

    fn error(&mut self, error: Errno) -> i64 {
        // Errnos that exist are fewer.
        if self.errors.len() < 1024 {
            self.errors.entry(error.0).or_insert_with(|| error.name());
        }
        error.0.into()
    }

    /// What the page shows.
    pub(super) fn shown(&self) -> Shown<'_> {
        let Self { most, base, span, closing: _, names, errors, listeners, failed, longest, others } = self;
        let mut rows: Vec<&Row> = [listeners, failed, longest].into_iter().flat_map(|pool| &pool.rows).collect();
        let room = most.saturating_sub(rows.len());
        let mut sample: Vec<&Row> = others.rows.iter().collect();
        sample.sort_unstable();
        sample.truncate(room);
        let kept = [listeners.rows.len(), failed.rows.len(), longest.rows.len() + sample.len()];
        let mut left_out = [listeners.offered, failed.offered, others.offered];
        left_out.iter_mut().zip(kept).for_each(|(left, kept)| *left -= kept as u64);
        rows.append(&mut sample);
        let mut by_place: Vec<(&str, usize)> = names.iter().map(|(name, &at)| (&**name, at)).collect();
        by_place.sort_unstable_by_key(|&(_, at)| at);
        Shown {
            base: base.unwrap_or(0),
            span: if span.0 <= span.1 { *span } else { (0, 0) },
            names: by_place.into_iter().map(|(name, _)| name).collect(),
            errors,
            rows: rows.into_iter().map(|row| &*row.text).collect(),
            left_out,
        }
    }
}

impl Pool {
    /// Whether a row with this key would stay.
    fn takes(&self, key: u64) -> bool {
        self.rows.len() < self.most || self.rows.peek().is_some_and(|last| key < last.key)
    }

    /// Takes a row; returns the one that has to leave.
    fn add(&mut self, row: Row) -> Option<Row> {
        self.rows.push(row);
        if self.rows.len() > self.most { self.rows.pop() } else { None }
    }
}

impl Ord for Row {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.key, self.chance).cmp(&(other.key, other.chance))
    }
}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Row {}

/// What it is, or null.
struct Quoted<T>(Option<T>);

impl<T: std::fmt::Display> std::fmt::Display for Quoted<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(value) => write!(f, "\"{value}\""),
            None => f.write_str("null"),
        }
    }
}

fn number(value: Option<impl Into<u64>>) -> i64 {
    value.map_or(-1, |value| i64::try_from(value.into()).unwrap_or(i64::MAX))
}

fn text(bytes: &[u8]) -> String {
    Untrusted::new(bytes).to_string()
}

/// An even spread over all sockets, the same each time (SplitMix64).
fn mix(id: Id) -> u64 {
    let mut z = id.number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add((id.run as u64) << 32);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

// The numbers of `page/model.js`.

fn role(role: Option<Role>) -> u8 {
    match role {
        None => 0,
        Some(Role::Listener) => 1,
        Some(Role::Server) => 2,
        Some(Role::Client) => 3,
    }
}

fn transport(transport: Transport) -> u8 {
    match transport {
        Transport::Tcp => 0,
        Transport::Mptcp => 1,
        Transport::Sctp => 2,
    }
}

fn phase_number(phase: Phase) -> u8 {
    match phase {
        Phase::Bind => 0,
        Phase::Listen => 1,
        Phase::Connect => 2,
        Phase::SynReceived => 3,
        Phase::Established => 4,
        Phase::Accept => 5,
        Phase::Close => 6,
    }
}

fn by_number(by: By) -> u8 {
    match by {
        By::Local => 1,
        By::Peer => 2,
        By::Kernel => 3,
    }
}

fn how_number(how: How) -> u8 {
    match how {
        How::Fin => 1,
        How::Reset => 2,
        How::Timeout => 3,
        How::Refused => 4,
        How::Unreachable => 5,
        How::Failed => 6,
        How::Aborted => 7,
        How::Unaccepted => 8,
        How::Closed => 9,
    }
}
