//! Parts of a checkpoint to bytes, and back.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Decoder, Encoder,
    decode::{address, errno as read_errno, family, state as read_state, stats as read_stats, transport},
    encode::{errno, family_code, state, transport_code, write_address},
    kind,
};
use crate::{
    event::{Actor, Endpoint, Key, Process, State, Time},
    lifecycle::{
        By, End, Holder, How, Life, Milestone, Origin, Part, Phase, Role, Signal, SignalKind, Tell, Then, Verdict,
    },
    recording::wire::{Malformed, Reader, Writer},
};

/// The phases in the order of their codes, from 0. So with those below.
const PHASES: [Phase; 7] =
    [Phase::Bind, Phase::Listen, Phase::Connect, Phase::SynReceived, Phase::Established, Phase::Accept, Phase::Close];
const ROLES: [Role; 3] = [Role::Listener, Role::Server, Role::Client];
const BYS: [By; 3] = [By::Local, By::Peer, By::Kernel];
const HOWS: [How; 9] = [
    How::Fin,
    How::Reset,
    How::Timeout,
    How::Refused,
    How::Unreachable,
    How::Failed,
    How::Aborted,
    How::Unaccepted,
    How::Closed,
];

/// Bits of a life.
mod life {
    pub(super) const SNAPSHOT: u64 = 1;
    pub(super) const COMPLETE: u64 = 1 << 1;
    pub(super) const DESCENDANT: u64 = 1 << 2;
    pub(super) const VANISHED: u64 = 1 << 3;
    pub(super) const BEGUN: u64 = 1 << 4;
    pub(super) const MAYBE_SUBFLOW: u64 = 1 << 5;
    pub(super) const ACCEPT_SEEN: u64 = 1 << 6;
    pub(super) const FAILURE_SEEN: u64 = 1 << 7;
    pub(super) const RESET_SENT: u64 = 1 << 8;
    pub(super) const RESET_RECEIVED: u64 = 1 << 9;
    pub(super) const LISTENER_GONE: u64 = 1 << 10;
    pub(super) const TAKEN: u64 = 1 << 11;
}

fn code<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter().position(|other| other == one).map_or(u8::MAX, |place| place as u8)
}

/// 0 for none, else one more than the code.
fn optional_code<T: PartialEq>(all: &[T], one: Option<&T>) -> u8 {
    one.map_or(0, |one| code(all, one).saturating_add(1))
}

fn decoded<T: Copy>(all: &[T], code: u8) -> Result<T, Malformed> {
    all.get(usize::from(code)).copied().ok_or(Malformed)
}

fn optional_decoded<T: Copy>(all: &[T], code: u8) -> Result<Option<T>, Malformed> {
    match code.checked_sub(1) {
        None => Ok(None),
        Some(code) => decoded(all, code).map(Some),
    }
}

impl Encoder {
    /// Writes a part of a checkpoint.
    pub(in crate::recording) fn part(&mut self, part: &Part<&Life>) {
        match part {
            Part::Run { last_number, surveyed } => self.out.record(kind::RUN, |out| {
                out.number(*last_number);
                out.byte((*surveyed).into());
            }),
            Part::Life(life) => self.life(life),
            Part::Unpaired { life, local, peer, netns } => self.out.record(kind::UNPAIRED, |out| {
                out.number(*life);
                end(out, Some(*local));
                end(out, Some(*peer));
                out.optional(*netns);
            }),
            Part::Subflow { addr, socket } => {
                let (addr, socket) = (self.veil.token(*addr), self.veil.token(*socket));
                self.out.record(kind::SUBFLOW, |out| {
                    out.number(addr);
                    out.number(socket);
                });
            }
            Part::Waiting { time, life, what } => self.waiting(*time, *life, what),
            Part::Loss { since, until } => self.out.record(kind::LOSS, |out| {
                out.number(*since);
                out.number(*until);
            }),
            Part::PendingLoss { count, since, until } => self.out.record(kind::PENDING_LOSS, |out| {
                long(out, *count);
                out.number(*since);
                out.number(*until);
            }),
        }
    }

    /// Writes that a checkpoint is whole: it has so many parts.
    pub(in crate::recording) fn whole(&mut self, parts: u64) {
        self.out.record(kind::WHOLE, |out| out.number(parts));
    }

    fn place_of(&mut self, actor: Option<&Actor>) -> u64 {
        actor.map_or(0, |actor| u64::from(self.actor(actor)) + 1)
    }

    fn waiting(&mut self, time: u64, life: u64, what: &Tell) {
        let actor = match what {
            Tell::Signal(signal) => self.place_of(signal.actor.as_ref()),
            _ => 0,
        };
        self.out.record(kind::WAITING, |out| {
            out.number(time);
            out.number(life);
            match what {
                Tell::End => out.byte(0),
                Tell::Milestone(nth) => {
                    out.byte(1);
                    out.number(*nth);
                }
                Tell::Signal(signal) => {
                    let Signal { time, kind, actor: _, local, peer } = &**signal;
                    out.byte(2);
                    out.number(*time);
                    match kind {
                        SignalKind::State { from, to } => {
                            out.byte(0);
                            out.byte(state(*from) << 4 | state(*to));
                        }
                        SignalKind::Retransmit => out.byte(1),
                        SignalKind::ResetSent => out.byte(2),
                        SignalKind::ResetReceived => out.byte(3),
                    }
                    out.number(actor);
                    end(out, *local);
                    end(out, *peer);
                }
            }
        });
    }

    fn life(&mut self, of: &Life) {
        let Life {
            number,
            told: _,
            cookie,
            netns,
            transport,
            family,
            role,
            local,
            peer,
            listener,
            peer_socket,
            owner,
            fd,
            path,
            path_omitted,
            state: now,
            first,
            destroyed,
            handshake_ns,
            accept_queue_ns,
            connect_ns,
            stats,
            accepted,
            backlog_given,
            backlog,
            origin,
            complete,
            descendant,
            holders,
            vanished,
            key: Key { id, addr },
            connect_called,
            established,
            listening,
            end: ending,
            begun,
            last_change,
            maybe_subflow,
            beyond,
            last_connect,
            accept_seen,
            taken,
            failure_seen,
            listens_as,
        } = of;
        let owner = self.place_of(owner.as_ref());
        let token = self.veil.token(*addr);
        let actors: Vec<u64> =
            path.iter().chain(beyond).map(|milestone| self.place_of(milestone.actor.as_ref())).collect();
        let held: Vec<u64> =
            holders.iter().flatten().map(|holder| u64::from(self.place_of_process(&holder.process))).collect();
        let bits = [
            (*origin == Origin::Snapshot, life::SNAPSHOT),
            (*complete, life::COMPLETE),
            (*descendant, life::DESCENDANT),
            (*vanished, life::VANISHED),
            (*begun, life::BEGUN),
            (*maybe_subflow, life::MAYBE_SUBFLOW),
            (*accept_seen, life::ACCEPT_SEEN),
            (*taken, life::TAKEN),
            (*failure_seen, life::FAILURE_SEEN),
            (ending.reset_sent, life::RESET_SENT),
            (ending.reset_received, life::RESET_RECEIVED),
            (ending.listener_gone, life::LISTENER_GONE),
        ];
        let start = self.out.begin(kind::LIFE);
        let out = &mut self.out;
        out.number(*number);
        out.number(bits.into_iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum());
        out.number(*id);
        out.number(token);
        out.byte(transport_code(*transport) << 4 | family.map_or(0, family_code));
        out.byte(optional_code(&ROLES, role.as_ref()));
        out.byte(state(*now));
        out.byte(last_change.map_or(0, state));
        out.number(*first);
        for time in [destroyed, connect_called, established, listening] {
            long(out, *time);
        }
        for duration in [handshake_ns, accept_queue_ns, connect_ns] {
            long(out, *duration);
        }
        for other in [cookie, listener, peer_socket, last_connect] {
            long(out, *other);
        }
        out.optional(*netns);
        end(out, *local);
        end(out, *peer);
        out.number(owner);
        descriptor(out, *fd);
        out.number(*accepted);
        descriptor(out, *backlog_given);
        out.optional(*backlog);
        let End { from, first_fin, reset_sent: _, reset_received: _, listener_gone: _, subflow_error, connect_failed } =
            ending;
        out.byte(from.map_or(0, state));
        out.byte(optional_code(&BYS, first_fin.as_ref()));
        out.number(errno(*subflow_error));
        out.number(connect_failed.map_or(0, |error| errno(error) + 1));
        out.number(listens_as.len() as u64);
        listens_as.iter().for_each(|id| out.number(*id));
        out.byte(stats.is_some().into());
        if let Some(stats) = stats {
            self.stats(stats);
        }
        let out = &mut self.out;
        out.number(holders.as_ref().map_or(0, |holders| holders.len() as u64 + 1));
        for (process, Holder { fd, .. }) in held.iter().zip(holders.iter().flatten()) {
            out.number(*process);
            out.signed((*fd).into());
        }
        out.number(*path_omitted);
        out.number(path.len() as u64);
        out.number(beyond.len() as u64);
        for (milestone, actor) in path.iter().chain(beyond).zip(actors) {
            write_milestone(out, milestone, actor);
        }
        self.out.end(start);
    }
}

fn write_milestone(out: &mut Writer, milestone: &Milestone, actor: u64) {
    let Milestone { phase, time, actor: _, fd, error, asked, then } = milestone;
    out.byte(code(&PHASES, phase));
    out.number(*time);
    out.number(actor);
    descriptor(out, *fd);
    out.number(errno(*error));
    end(out, *asked);
    out.byte(then.is_some().into());
    if let Some(then) = then {
        let Then { local, peer, verdict } = &**then;
        end(out, *local);
        end(out, *peer);
        out.byte(verdict.is_some().into());
        if let Some(Verdict { by, how, time_wait, error }) = verdict {
            out.byte(optional_code(&BYS, by.as_ref()));
            out.byte(optional_code(&HOWS, how.as_ref()));
            out.byte(time_wait.map_or(0, |waits| 1 + u8::from(waits)));
            out.number(errno(*error));
        }
    }
}

/// A byte, 0 for none, and the number.
fn long(out: &mut Writer, value: Option<u64>) {
    out.byte(value.is_some().into());
    if let Some(value) = value {
        out.number(value);
    }
}

/// A byte, 0 for none, and the signed number.
fn descriptor(out: &mut Writer, value: Option<i32>) {
    out.byte(value.is_some().into());
    if let Some(value) = value {
        out.signed(value.into());
    }
}

/// A byte, 0 for none, else the address, and the port.
fn end(out: &mut Writer, end: Option<Endpoint>) {
    match end {
        None => out.byte(0),
        Some(Endpoint { address, port }) => {
            write_address(out, address);
            out.number(port.into());
        }
    }
}

/// What a checkpoint's record says.
#[derive(Debug, PartialEq)]
pub(in crate::recording) enum Piece {
    /// A part.
    Part(Part),
    /// The wall clock was set.
    Clock {
        /// From then on
        since: Time,
        /// it is ahead by so many nanoseconds.
        offset: i64,
    },
    /// So many parts were all.
    Whole(u64),
}

impl Decoder {
    /// A record of a checkpoint; none if it is of no kind that is known.
    pub(super) fn piece(&mut self, kind: u8, fields: &mut Reader<'_>) -> Result<Option<Piece>, Malformed> {
        let part = match kind {
            kind::RUN => Part::Run { last_number: fields.number()?, surveyed: fields.byte()? != 0 },
            kind::LIFE => Part::Life(Box::new(self.read_life(fields)?)),
            kind::UNPAIRED => Part::Unpaired {
                life: fields.number()?,
                local: read_end(fields)?.ok_or(Malformed)?,
                peer: read_end(fields)?.ok_or(Malformed)?,
                netns: fields.optional()?,
            },
            kind::SUBFLOW => Part::Subflow { addr: fields.number()?, socket: fields.number()? },
            kind::WAITING => Part::Waiting {
                time: fields.number()?,
                life: fields.number()?,
                what: match fields.byte()? {
                    0 => Tell::End,
                    1 => Tell::Milestone(fields.number()?),
                    2 => Tell::Signal(Box::new(self.read_signal(fields)?)),
                    _ => return Err(Malformed),
                },
            },
            kind::LOSS => Part::Loss { since: fields.number()?, until: fields.number()? },
            kind::PENDING_LOSS => {
                Part::PendingLoss { count: read_long(fields)?, since: fields.number()?, until: fields.number()? }
            }
            kind::CLOCK => {
                return Ok(Some(Piece::Clock { since: fields.delta(0)?, offset: fields.signed()? }));
            }
            kind::WHOLE => return Ok(Some(Piece::Whole(fields.number()?))),
            _ => return Ok(None),
        };
        Ok(Some(Piece::Part(part)))
    }

    fn read_signal(&mut self, fields: &mut Reader<'_>) -> Result<Signal, Malformed> {
        let time = fields.number()?;
        let kind = match fields.byte()? {
            0 => {
                let (from, to) = read_states(fields.byte()?)?;
                SignalKind::State { from, to }
            }
            1 => SignalKind::Retransmit,
            2 => SignalKind::ResetSent,
            3 => SignalKind::ResetReceived,
            _ => return Err(Malformed),
        };
        let actor = self.actor(fields)?;
        Ok(Signal { time, kind, actor, local: read_end(fields)?, peer: read_end(fields)? })
    }

    fn read_life(&mut self, fields: &mut Reader<'_>) -> Result<Life, Malformed> {
        let number = fields.number()?;
        let bits = fields.number()?;
        let has = |bit| bits & bit != 0;
        let key = Key { id: fields.number()?, addr: fields.number()? };
        let kinds = fields.byte()?;
        let family = if kinds & 15 == 0 { None } else { Some(family(kinds & 15)?) };
        let transport = transport(kinds >> 4)?;
        let role = optional_decoded(&ROLES, fields.byte()?)?;
        let state = read_state(fields.byte()?)?;
        let last_change = optional_state(fields.byte()?)?;
        let first = fields.number()?;
        let destroyed = read_long(fields)?;
        let connect_called = read_long(fields)?;
        let established = read_long(fields)?;
        let listening = read_long(fields)?;
        let handshake_ns = read_long(fields)?;
        let accept_queue_ns = read_long(fields)?;
        let connect_ns = read_long(fields)?;
        let cookie = read_long(fields)?;
        let listener = read_long(fields)?;
        let peer_socket = read_long(fields)?;
        let last_connect = read_long(fields)?;
        let netns = fields.optional()?;
        let (local, peer) = (read_end(fields)?, read_end(fields)?);
        let owner = self.actor(fields)?;
        let fd = read_descriptor(fields)?;
        let accepted = fields.number()?;
        let backlog_given = read_descriptor(fields)?;
        let backlog = fields.optional()?;
        let end = End {
            from: optional_state(fields.byte()?)?,
            first_fin: optional_decoded(&BYS, fields.byte()?)?,
            reset_sent: has(life::RESET_SENT),
            reset_received: has(life::RESET_RECEIVED),
            listener_gone: has(life::LISTENER_GONE),
            subflow_error: read_errno(fields.number()?)?,
            connect_failed: match fields.number()? {
                0 => None,
                error => Some(read_errno(error - 1)?),
            },
        };
        // Each takes a byte at least, so that a length can't ask for more memory than the record has bytes.
        let mut listens_as = Vec::new();
        for _ in 0..fields.number()? {
            listens_as.push(fields.number()?);
        }
        let stats = if fields.byte()? == 0 { None } else { Some(read_stats(fields)?) };
        let holders = match fields.number()?.checked_sub(1) {
            None => None,
            Some(count) => {
                let mut holders = Vec::new();
                for _ in 0..count {
                    let process = self.process_at(fields.small()?)?;
                    holders.push(Holder { process, fd: fields.int()? });
                }
                Some(holders)
            }
        };
        let path_omitted = fields.number()?;
        let (kept, waiting) = (fields.number()?, fields.number()?);
        let mut path = Vec::new();
        for _ in 0..kept {
            path.push(self.read_milestone(fields)?);
        }
        let mut beyond = VecDeque::new();
        for _ in 0..waiting {
            beyond.push_back(self.read_milestone(fields)?);
        }
        Ok(Life {
            number,
            told: 0,
            cookie,
            netns,
            transport,
            family,
            role,
            local,
            peer,
            listener,
            peer_socket,
            owner,
            fd,
            path,
            path_omitted,
            state,
            first,
            destroyed,
            handshake_ns,
            accept_queue_ns,
            connect_ns,
            stats,
            accepted,
            backlog_given,
            backlog,
            origin: if has(life::SNAPSHOT) { Origin::Snapshot } else { Origin::Traced },
            complete: has(life::COMPLETE),
            descendant: has(life::DESCENDANT),
            holders,
            vanished: has(life::VANISHED),
            key,
            connect_called,
            established,
            listening,
            end,
            begun: has(life::BEGUN),
            last_change,
            maybe_subflow: has(life::MAYBE_SUBFLOW),
            beyond,
            last_connect,
            accept_seen: has(life::ACCEPT_SEEN),
            taken: has(life::TAKEN),
            failure_seen: has(life::FAILURE_SEEN),
            listens_as,
        })
    }

    fn process_at(&self, place: usize) -> Result<Arc<Process>, Malformed> {
        self.processes.get(place).cloned().ok_or(Malformed)
    }

    fn read_milestone(&mut self, fields: &mut Reader<'_>) -> Result<Milestone, Malformed> {
        let phase = decoded(&PHASES, fields.byte()?)?;
        let time = fields.number()?;
        let actor = self.actor(fields)?;
        let fd = read_descriptor(fields)?;
        let error = read_errno(fields.number()?)?;
        let asked = read_end(fields)?;
        let then = if fields.byte()? == 0 { None } else { Some(Box::new(read_then(fields)?)) };
        Ok(Milestone { phase, time, actor, fd, error, asked, then })
    }
}

fn read_then(fields: &mut Reader<'_>) -> Result<Then, Malformed> {
    let (local, peer) = (read_end(fields)?, read_end(fields)?);
    let verdict = if fields.byte()? == 0 {
        None
    } else {
        Some(Verdict {
            by: optional_decoded(&BYS, fields.byte()?)?,
            how: optional_decoded(&HOWS, fields.byte()?)?,
            time_wait: match fields.byte()? {
                0 => None,
                1 => Some(false),
                2 => Some(true),
                _ => return Err(Malformed),
            },
            error: read_errno(fields.number()?)?,
        })
    };
    Ok(Then { local, peer, verdict })
}

fn read_long(fields: &mut Reader<'_>) -> Result<Option<u64>, Malformed> {
    if fields.byte()? == 0 { Ok(None) } else { fields.number().map(Some) }
}

fn read_descriptor(fields: &mut Reader<'_>) -> Result<Option<i32>, Malformed> {
    if fields.byte()? == 0 { Ok(None) } else { fields.int().map(Some) }
}

fn read_end(fields: &mut Reader<'_>) -> Result<Option<Endpoint>, Malformed> {
    match fields.byte()? {
        0 => Ok(None),
        family => Ok(Some(Endpoint { address: address(fields, family)?, port: fields.small()? })),
    }
}

fn optional_state(code: u8) -> Result<Option<State>, Malformed> {
    if code == 0 { Ok(None) } else { read_state(code).map(Some) }
}

fn read_states(both: u8) -> Result<(State, State), Malformed> {
    Ok((read_state(both >> 4)?, read_state(both & 15)?))
}
