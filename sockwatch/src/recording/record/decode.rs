//! Bytes to steps. Nothing in them is trusted: what they say is checked before it is used, and what they ask for is bounded
//! by what they hold.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use foldhash::quality::RandomState;

use super::{ID_COUNT, Piece, changed, counted, holds, kind, unknown};
use crate::{
    event::{Actor, CallKind, Errno, Event, Family, Key, Mark, Process, Sock, State, Stats, Time, Transport, What},
    recording::wire::{Malformed, Reader},
    source::Step,
    untrusted::Untrusted,
};

/// The longest id of a container.
const LONGEST_CONTAINER: usize = 256;

/// Reads the records of one block after another.
#[derive(Clone, Debug, Default)]
pub(in crate::recording) struct Decoder {
    payload: Vec<u8>,
    at: usize,
    sockets: Vec<Sock>,
    pub(super) processes: Vec<Arc<Process>>,
    actors: Vec<Actor>,
    ids: HashMap<u64, u64, RandomState>,
    cookie: u64,
    time: Time,
    known: Known,
}

/// How many processes one generation of those that are known holds; there are two.
const GENERATION: usize = 8_192;

/// Processes that blocks named before: each block names them anew, and lives keep them.
#[derive(Clone, Debug, Default)]
struct Known {
    young: HashSet<Arc<Process>, RandomState>,
    old: HashSet<Arc<Process>, RandomState>,
}

impl Known {
    fn one(&mut self, process: Process) -> Arc<Process> {
        if let Some(known) = self.young.get(&process) {
            return known.clone();
        }
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        let process = self.old.take(&process).unwrap_or_else(|| Arc::new(process));
        self.young.insert(process.clone());
        process
    }
}

impl Decoder {
    /// Begins a block.
    pub(in crate::recording) fn open(&mut self, payload: Vec<u8>) {
        let Self { payload: opened, at, sockets, processes, actors, ids, cookie, time, known: _ } = self;
        sockets.clear();
        processes.clear();
        actors.clear();
        ids.clear();
        (*opened, *at, *cookie, *time) = (payload, 0, 0, 0);
    }

    /// The next step of a block; an error if it says what can't be: then nothing more comes of it.
    /// How much of the block was read, in bytes.
    pub(in crate::recording) fn position(&self) -> usize {
        self.at
    }

    /// Nothing more of the block is read.
    pub(in crate::recording) fn stop(&mut self) {
        self.at = self.payload.len();
    }

    /// The block, of which nothing more is read.
    pub(in crate::recording) fn close(&mut self) -> Vec<u8> {
        self.at = 0;
        std::mem::take(&mut self.payload)
    }

    /// The next step of the block; an error if it says what can't be: then nothing more comes of it.
    pub(in crate::recording) fn step(&mut self) -> Option<Result<Step, Malformed>> {
        self.next(Self::record)
    }

    /// The next piece of a block of a checkpoint; as above.
    pub(in crate::recording) fn next_piece(&mut self) -> Option<Result<Piece, Malformed>> {
        self.next(|this, kind, fields| if this.name(kind, fields)? { Ok(None) } else { this.piece(kind, fields) })
    }

    fn next<T>(
        &mut self,
        record_of: impl Fn(&mut Self, u8, &mut Reader<'_>) -> Result<Option<T>, Malformed>,
    ) -> Option<Result<T, Malformed>> {
        loop {
            let rest = self.payload.get(self.at..).filter(|rest| !rest.is_empty())?;
            let step = record(rest).and_then(|(length, kind, fields)| {
                let (start, end) = (self.at + fields, self.at + length);
                self.at = end;
                // The payload out of itself, so that the tables can be written to.
                let payload = std::mem::take(&mut self.payload);
                let step = record_of(self, kind, &mut Reader::new(&payload[start..end]));
                self.payload = payload;
                step
            });
            match step {
                Ok(Some(step)) => return Some(Ok(step)),
                Ok(None) => {}
                Err(Malformed) => {
                    self.stop();
                    return Some(Err(Malformed));
                }
            }
        }
    }

    /// Whether a record names something: then that is known from now on.
    fn name(&mut self, kind: u8, fields: &mut Reader<'_>) -> Result<bool, Malformed> {
        match kind {
            kind::PROCESS => {
                let process = process(fields)?;
                let process = self.known.one(process);
                self.processes.push(process);
            }
            kind::ACTOR => {
                let process = self.processes.get(fields.small::<usize>()?).ok_or(Malformed)?.clone();
                let tid = fields.optional()?;
                let descendant = fields.byte()? != 0;
                self.actors.push(Actor { process, tid, descendant });
            }
            kind::SOCKET => {
                let mut sock = unknown();
                sock.key.addr = fields.number()?;
                self.sockets.push(sock);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// A record; no step if it names something, or is of a kind that a later version made up.
    fn record(&mut self, kind: u8, fields: &mut Reader<'_>) -> Result<Option<Step>, Malformed> {
        match kind {
            kind::PROCESS | kind::ACTOR | kind::SOCKET => return self.name(kind, fields).map(|_| None),
            kind::END => return Ok(Some(Step::End)),
            kind::TRANSITION..=kind::CLOCK => {}
            _ => return Ok(None),
        }
        self.time = fields.delta(self.time)?;
        let time = self.time;
        let what = match kind {
            kind::TRANSITION => self.transition(fields)?,
            kind::STEP => self.change(fields)?,
            kind::CLOSE => {
                let sock = self.sock(fields)?;
                let by = self.actor(fields)?;
                What::Close { sock, by, stats: stats(fields)?, in_call: fields.byte()? != 0 }
            }
            kind::DESTROYED => self.mark(fields, Mark::Destroyed)?,
            kind::RETRANSMIT => self.mark(fields, Mark::Retransmit)?,
            kind::RESET_SENT => self.mark(fields, Mark::ResetSent)?,
            kind::RESET_RECEIVED => self.mark(fields, Mark::ResetReceived)?,
            kind::BIND => self.call(fields, CallKind::Bind)?,
            kind::LISTEN => self.call(fields, CallKind::Listen)?,
            kind::CONNECT => self.call(fields, CallKind::Connect)?,
            kind::ACCEPT => self.call(fields, CallKind::Accept)?,
            kind::EXISTS => {
                let sock = self.sock(fields)?;
                let stats = stats(fields)?;
                let holder = match self.actor(fields)? {
                    Some(actor) => Some((actor, fields.int()?)),
                    None => None,
                };
                What::Exists { sock, stats, holder }
            }
            kind::SURVEYED => What::Surveyed,
            kind::LOST => {
                let since = fields.delta(time)?;
                let known = fields.byte()? != 0;
                let count = fields.number()?;
                What::Lost { count: known.then_some(count), since }
            }
            kind::SETTLED => return Ok(Some(Step::Settled { now: time, events: fields.number()? })),
            kind::CLOCK => return Ok(Some(Step::Clock { since: time, offset: fields.signed()?.into() })),
            _ => return Ok(None),
        };
        Ok(Some(Step::Event(Event { time, what })))
    }

    fn transition(&mut self, fields: &mut Reader<'_>) -> Result<What, Malformed> {
        let sock = self.sock(fields)?;
        let to = state(fields.byte()?)?;
        let by = self.actor(fields)?;
        let srtt = fields.small()?;
        let backlog = fields.small()?;
        let call = if fields.byte()? == 0 { None } else { Some((fields.delta(self.time)?, fields.int()?)) };
        Ok(What::Transition { sock, to, by, call, srtt, backlog })
    }

    fn change(&mut self, fields: &mut Reader<'_>) -> Result<What, Malformed> {
        let (place, bits) = (fields.small()?, fields.number()?);
        let key = self.key(fields, place, bits)?;
        let parent = if bits & changed::PARENT == 0 { None } else { Some(fields.number()?) };
        let told = self.told(place)?;
        told.parent = parent.unwrap_or(told.parent);
        let parent = told.parent;
        let states = fields.byte()?;
        let (from, to) = (state(states >> 4)?, state(states & 15)?);
        Ok(What::Step { key, parent, from, to, by: self.actor(fields)? })
    }

    fn mark(&mut self, fields: &mut Reader<'_>, mark: Mark) -> Result<What, Malformed> {
        let (place, bits) = (fields.small()?, fields.number()?);
        let key = self.key(fields, place, bits)?;
        let mptcp = if bits & changed::MPTCP == 0 { 0 } else { fields.number()? };
        Ok(What::Mark { key, mptcp, state: state(fields.byte()?)?, mark })
    }

    fn call(&mut self, fields: &mut Reader<'_>, call: CallKind) -> Result<What, Malformed> {
        let sock = self.sock(fields)?;
        let by = self.actor(fields)?;
        let bits = fields.byte()?;
        let called = if bits & 1 == 0 { None } else { Some(fields.delta(self.time)?) };
        let fd = if bits & 2 == 0 { None } else { Some(fields.int()?) };
        let error = errno(fields.number()?)?;
        let backlog = (fields.int()?, fields.small()?);
        Ok(What::Call { call, sock, by, called, fd, error, backlog })
    }

    fn told(&mut self, place: usize) -> Result<&mut Sock, Malformed> {
        self.sockets.get_mut(place).ok_or(Malformed)
    }

    pub(super) fn actor(&self, fields: &mut Reader<'_>) -> Result<Option<Actor>, Malformed> {
        match fields.small::<usize>()? {
            0 => Ok(None),
            place => self.actors.get(place - 1).cloned().map(Some).ok_or(Malformed),
        }
    }

    fn key(&mut self, fields: &mut Reader<'_>, place: usize, bits: u64) -> Result<Key, Malformed> {
        if bits & changed::ID != 0 {
            let giver = fields.number()?;
            let last = self.ids.get(&giver).copied().unwrap_or(0);
            let count = fields.delta(last)?;
            if giver >> (64 - ID_COUNT) != 0 || count >> ID_COUNT != 0 {
                return Err(Malformed);
            }
            self.ids.insert(giver, count);
            self.told(place)?.key.id = giver << ID_COUNT | count;
        }
        let told = self.told(place)?;
        Ok(if bits & changed::NO_ID == 0 { told.key } else { Key { id: 0, addr: told.key.addr } })
    }

    fn sock(&mut self, fields: &mut Reader<'_>) -> Result<Sock, Malformed> {
        let (place, bits) = (fields.small()?, fields.number()?);
        let key = self.key(fields, place, bits)?;
        let has = |bit| bits & bit != 0;
        if has(changed::COOKIE) {
            self.cookie = fields.delta(self.cookie)?;
        }
        let cookie = self.cookie;
        let told = self.told(place)?;
        if has(changed::COOKIE) {
            told.cookie = cookie;
        }
        if has(changed::LOCAL_PORT) {
            told.local.port = fields.small()?;
        }
        if has(changed::PEER_PORT) {
            told.peer.port = fields.small()?;
        }
        if has(changed::LOCAL_ADDRESS) {
            told.local.address = {
                let family = fields.byte()?;
                address(fields, family)?
            };
        }
        if has(changed::PEER_ADDRESS) {
            told.peer.address = {
                let family = fields.byte()?;
                address(fields, family)?
            };
        }
        if has(changed::PARENT) {
            told.parent = fields.number()?;
        }
        if has(changed::NETNS) {
            told.netns = fields.small()?;
        }
        if has(changed::KIND) {
            let code = fields.byte()?;
            (told.family, told.transport) = (family(code & 15)?, transport(code >> 4)?);
        }
        if has(changed::MPTCP) {
            told.mptcp = fields.number()?;
        }
        told.state = state(fields.byte()?)?;
        Ok(Sock { key, ..told.clone() })
    }
}

/// Length and kind of the record that these bytes begin with, and where its fields begin.
fn record(bytes: &[u8]) -> Result<(usize, u8, usize), Malformed> {
    let mut reader = Reader::new(bytes);
    let length = reader.small::<usize>()?;
    let start = bytes.len() - reader.len();
    let kind = reader.byte()?;
    let end = start.checked_add(length).filter(|&end| end <= bytes.len() && length > 0).ok_or(Malformed)?;
    Ok((end, kind, start + 1))
}

/// Whether a step is counted as one of a block's events.
pub(in crate::recording) fn is_event(step: &Step) -> bool {
    matches!(step, Step::Event(event) if !matches!(event.what, What::Surveyed | What::Lost { .. }))
}

fn process(fields: &mut Reader<'_>) -> Result<Process, Malformed> {
    let pid = fields.optional()?;
    let start = fields.number()?;
    let name = Untrusted::new(fields.text()?);
    let uid = fields.optional()?;
    let executable = fields.optional_text()?.map(Untrusted::new);
    let container = match fields.optional_text()? {
        None => None,
        // It is shown as it is.
        Some(id) if id.len() <= LONGEST_CONTAINER && id.iter().all(u8::is_ascii_alphanumeric) => {
            Some(String::from_utf8_lossy(id).into())
        }
        Some(_) => return Err(Malformed),
    };
    Ok(Process { pid, start, name, uid, executable, container })
}

pub(super) fn stats(fields: &mut Reader<'_>) -> Result<Stats, Malformed> {
    let flags = fields.byte()?;
    let bits = fields.number()?;
    let mut stats = Stats {
        counted: flags & holds::COUNTED != 0,
        fin_received: flags & holds::FIN_RECEIVED != 0,
        orphan: flags & holds::ORPHAN != 0,
        unheld: flags & holds::UNHELD != 0,
        nothing_sent: flags & holds::NOTHING_SENT != 0,
        ..Stats::default()
    };
    let has = |bit| bits & bit != 0;
    if has(counted::RECEIVED) {
        stats.received = fields.number()?;
    }
    if has(counted::ACKED) {
        stats.acked = fields.number()?;
    }
    let counts = [
        (&mut stats.srtt, counted::SRTT),
        (&mut stats.unacked, counted::UNACKED),
        (&mut stats.retransmits, counted::RETRANSMITS),
        (&mut stats.unread, counted::UNREAD),
    ];
    for (count, bit) in counts {
        if has(bit) {
            *count = fields.small()?;
        }
    }
    if has(counted::ERROR) {
        stats.error = errno(fields.number()?)?;
    }
    let counts = [
        (&mut stats.queue, counted::QUEUE),
        (&mut stats.backlog, counted::BACKLOG),
        (&mut stats.drops, counted::DROPS),
    ];
    for (count, bit) in counts {
        if has(bit) {
            *count = fields.small()?;
        }
    }
    Ok(stats)
}

pub(super) fn address(fields: &mut Reader<'_>, family: u8) -> Result<IpAddr, Malformed> {
    match family {
        4 => {
            let mut octets = [0; 4];
            octets.copy_from_slice(fields.take(4)?);
            Ok(octets.into())
        }
        6 => {
            let mut octets = [0; 16];
            octets.copy_from_slice(fields.take(16)?);
            Ok(IpAddr::from(octets).to_canonical())
        }
        _ => Err(Malformed),
    }
}

pub(super) fn state(code: u8) -> Result<State, Malformed> {
    State::from_kernel(code.into()).ok_or(Malformed)
}

pub(super) fn family(code: u8) -> Result<Family, Malformed> {
    match code {
        4 => Ok(Family::Ipv4),
        6 => Ok(Family::Ipv6),
        _ => Err(Malformed),
    }
}

pub(super) fn transport(code: u8) -> Result<Transport, Malformed> {
    match code {
        0 => Ok(Transport::Tcp),
        1 => Ok(Transport::Mptcp),
        2 => Ok(Transport::Sctp),
        _ => Err(Malformed),
    }
}

pub(super) fn errno(number: u64) -> Result<Option<Errno>, Malformed> {
    i32::try_from(number).map(Errno::new).map_err(|_| Malformed)
}
