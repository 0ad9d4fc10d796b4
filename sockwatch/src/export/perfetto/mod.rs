//! A native trace of Perfetto (perfetto.dev): a track for each socket, beneath the process that owns it.
//!
//! Field numbers are those of Perfetto's public protos/perfetto/trace/: trace_packet.proto, clock_snapshot.proto,
//! track_event/{track_descriptor,process_descriptor,track_event,debug_annotation}.proto. Packets may come in any order:
//! Perfetto sorts them. Each socket's are written when its life ends, so that memory stays flat.
//!
//! Times are those of `CLOCK_BOOTTIME`, so that a trace of the same host taken at the same time lies beside them; a
//! snapshot of the clocks tells what the wall clock said. Of several runs, whose boot times have nothing in common, it is
//! the wall clock's time that is given as boot time.

mod phases;
mod proto;

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    io::{self, Write},
};

use self::{
    phases::{ESTABLISHED, LISTENING, Stretch},
    proto::Message,
};
use super::{
    column::{Column, Table, Value},
    sockets::Sockets,
};
use crate::{
    event::{Actor, State, Time},
    lifecycle::{Life, Milestone, Phase, Role, Signal, SignalKind, Verdict},
    output::{Format, Occurrence, Scene, Start, Summary, moment::Moment},
};

/// `BUILTIN_CLOCK_REALTIME` and `BUILTIN_CLOCK_BOOTTIME` of builtin_clock.proto.
const REALTIME: u64 = 1;
const BOOTTIME: u64 = 6;

/// Who writes the packets: a number that no producer of a trace beside which this one is laid is likely to have.
const SEQUENCE: u64 = 0x736f;

/// `TrackEvent.Type`.
const SLICE_BEGIN: u64 = 1;
const SLICE_END: u64 = 2;
const INSTANT: u64 = 3;

/// `TrackDescriptor.ChildTracksOrdering`: in the order of their first events.
const CHRONOLOGICAL: u64 = 2;

/// What a phase tells of its socket beside its name, by the columns of the table of sockets.
const FACTS: [&str; 27] = [
    "socket",
    "cookie",
    "netns",
    "transport",
    "family",
    "role",
    "listener",
    "process_uid",
    "process_executable",
    "process_container",
    "fd",
    "bytes_received",
    "bytes_sent",
    "rtt_us",
    "retransmits",
    "accepted",
    "backlog",
    "dropped",
    "close_by",
    "close_how",
    "close_time_wait",
    "close_error",
    "holders",
    "peer_socket",
    "path",
    "origin",
    "complete",
];

/// Most processes that are remembered as described. One that is described again is the same.
const PROCESSES: usize = 1 << 16;
/// Most FINs that are remembered of sockets that are open.
const FINS: usize = 1 << 20;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Perfetto {
    packets: Message,
    text: String,
    /// The last snapshot of the clocks: when it was taken, and how far apart they were.
    clocks: Option<(Time, i128)>,
    /// Tracks of processes that were described.
    processes: HashSet<u64>,
    /// When the first FIN of a connection came or went, by the socket's track.
    fins: HashMap<u64, Time>,
}

impl Perfetto {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Says what the clocks said, at first and when they have moved against one another.
    fn clocks(&mut self, scene: &Scene, time: Time) {
        let apart = scene.clock.nanoseconds(time) - i128::from(time);
        let told = match self.clocks {
            None => false,
            Some(_) if is_one_of_several(scene) => true,
            Some((last, before)) => before == apart || time <= last,
        };
        if told {
            return;
        }
        self.clocks = Some((time, apart));
        let (boot, wall) = (axis(scene, time), wall(scene, time));
        packet(&mut self.packets, boot, |packet| {
            packet.message(6, |snapshot| {
                for (clock, reading) in [(BOOTTIME, boot), (REALTIME, wall)] {
                    snapshot.message(1, |entry| {
                        entry.varint(1, clock);
                        entry.varint(2, reading);
                    });
                }
                snapshot.varint(2, BOOTTIME);
            });
        });
    }

    /// The track of a process, described before its first socket. None of a socket without one.
    fn process(&mut self, scene: &Scene, owner: &Actor, time: u64) -> u64 {
        let process = &owner.process;
        let track = track(scene, b'p', u64::from(process.pid.unwrap_or(0)) ^ process.start.rotate_left(32));
        if self.processes.len() >= PROCESSES {
            self.processes.clear();
        }
        if self.processes.insert(track) {
            packet(&mut self.packets, time, |packet| {
                packet.message(60, |descriptor| {
                    descriptor.varint(1, track);
                    descriptor.varint(11, CHRONOLOGICAL);
                    match process.pid.filter(|_| !is_one_of_several(scene)) {
                        Some(pid) => descriptor.message(3, |described| {
                            described.varint(1, pid.into());
                            described.text(6, &process.name.to_string());
                        }),
                        // On several hosts the same id is not the same process.
                        None => descriptor.text(2, &format!("{}{}", scene.prefix, title(owner))),
                    }
                });
            });
        }
        track
    }

    /// The track of a socket.
    fn describe(&mut self, scene: &Scene, life: &Life, track: u64, time: u64) {
        let parent = life.owner.as_ref().map(|owner| self.process(scene, owner, time));
        packet(&mut self.packets, time, |packet| {
            packet.message(60, |descriptor| {
                descriptor.varint(1, track);
                if let Some(parent) = parent {
                    descriptor.varint(5, parent);
                }
                descriptor.text(2, &name(scene, life));
            });
        });
    }

    fn slice(&mut self, scene: &Scene, track: u64, stretch: &Stretch, life: Option<&Life>) {
        let Self { packets, text, .. } = self;
        packet(packets, axis(scene, stretch.from), |packet| {
            packet.message(11, |event| {
                event.varint(9, SLICE_BEGIN);
                event.varint(11, track);
                event.text(23, stretch.name);
                if let Some(life) = life {
                    facts(event, text, scene, life);
                }
            });
        });
        if let Some(to) = stretch.to {
            packet(packets, axis(scene, to), |packet| {
                packet.message(11, |event| {
                    event.varint(9, SLICE_END);
                    event.varint(11, track);
                });
            });
        }
    }

    fn instant(&mut self, time: u64, track: u64, name: &str) {
        packet(&mut self.packets, time, |packet| {
            packet.message(11, |event| {
                event.varint(9, INSTANT);
                event.varint(11, track);
                event.text(23, name);
            });
        });
    }

    fn write(&mut self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(self.packets.bytes())?;
        self.packets.clear();
        Ok(())
    }
}

impl Format for Perfetto {
    fn start(&mut self, _: &mut dyn Write, _: &Start) -> io::Result<()> {
        Ok(())
    }

    /// Milestones are told when the life is over; what its path does not keep is told now.
    fn event(&mut self, out: &mut dyn Write, scene: &Scene, life: &Life, what: Occurrence<'_>) -> io::Result<()> {
        let Occurrence::Signal(Signal { time, kind, .. }) = what else { return Ok(()) };
        let track = track(scene, b's', life.number);
        let name = match kind {
            SignalKind::State { to: State::FinWait1 | State::CloseWait, .. } => {
                if self.fins.len() >= FINS {
                    self.fins.clear();
                }
                self.fins.insert(track, *time);
                return Ok(());
            }
            SignalKind::State { .. } => return Ok(()),
            SignalKind::Retransmit => "retransmit",
            SignalKind::ResetSent => "reset sent",
            SignalKind::ResetReceived => "reset received",
        };
        self.clocks(scene, *time);
        self.instant(axis(scene, *time), track, name);
        self.write(out)
    }

    fn socket(&mut self, out: &mut dyn Write, scene: &Scene, life: &Life) -> io::Result<()> {
        self.clocks(scene, life.first);
        let track = track(scene, b's', life.number);
        self.describe(scene, life, track, axis(scene, life.first));
        let fin = self.fins.remove(&track);
        let stretches = phases::of(life, fin);
        // One phase tells all, that in which it did what it was for.
        let main = stretches.iter().position(|stretch| [ESTABLISHED, LISTENING].contains(&stretch.name)).unwrap_or(0);
        for (nth, stretch) in stretches.iter().enumerate() {
            self.slice(scene, track, stretch, (nth == main).then_some(life));
        }
        for milestone in &life.path {
            if let Some(name) = remark(life, milestone) {
                self.instant(axis(scene, milestone.time), track, &name);
            }
        }
        self.write(out)
    }

    fn lost(
        &mut self,
        out: &mut dyn Write,
        scene: &Scene,
        count: Option<u64>,
        since: Time,
        until: Time,
    ) -> io::Result<()> {
        self.clocks(scene, since);
        let track = track(scene, b'l', 0);
        let count = count.map_or_else(|| "events lost".to_owned(), |count| format!("{count} events lost"));
        packet(&mut self.packets, axis(scene, since), |packet| {
            packet.message(60, |descriptor| {
                descriptor.varint(1, track);
                descriptor.text(2, &format!("{}lost events", scene.prefix));
            });
        });
        for (time, kind) in [(since, SLICE_BEGIN), (until, SLICE_END)] {
            packet(&mut self.packets, axis(scene, time), |packet| {
                packet.message(11, |event| {
                    event.varint(9, kind);
                    event.varint(11, track);
                    if kind == SLICE_BEGIN {
                        event.text(23, &count);
                    }
                });
            });
        }
        self.write(out)
    }

    fn summary(&mut self, _: &mut dyn Write, _: &Summary) -> io::Result<()> {
        Ok(())
    }
}

fn is_one_of_several(scene: &Scene) -> bool {
    !scene.prefix.is_empty()
}

/// Nanoseconds since 1970; before that there is nothing.
fn wall(scene: &Scene, time: Time) -> u64 {
    u64::try_from(scene.clock.nanoseconds(time)).unwrap_or(0)
}

/// Where a time lies in the trace.
fn axis(scene: &Scene, time: Time) -> u64 {
    if is_one_of_several(scene) { wall(scene, time) } else { time }
}

/// `TrackDescriptor.uuid` of what has this number among its kind: FNV-1a.
fn track(scene: &Scene, kind: u8, number: u64) -> u64 {
    let bytes = scene.prefix.bytes().chain([kind]).chain(number.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A `TracePacket` of a `Trace`.
fn packet(trace: &mut Message, time: u64, build: impl FnOnce(&mut Message)) {
    trace.message(1, |packet| {
        packet.varint(8, time);
        packet.varint(58, BOOTTIME);
        packet.varint(10, SEQUENCE);
        build(packet);
    });
}

/// `nginx 812`.
fn title(actor: &Actor) -> String {
    let process = &actor.process;
    process.pid.map_or_else(|| process.name.to_string(), |pid| format!("{} {pid}", process.name))
}

/// `s12 nginx 812 10.0.0.1:80 ← 10.0.0.9:40000`.
fn name(scene: &Scene, life: &Life) -> String {
    let mut name = scene.id(life.number).to_string();
    // A string takes whatever is written to it.
    if let Some(owner) = &life.owner {
        let _ = write!(name, " {}", title(owner));
    }
    if let Some(local) = life.local {
        let _ = write!(name, " {local}");
    }
    if let Some(peer) = life.peer {
        let arrow = if life.role == Some(Role::Server) { '←' } else { '→' };
        let _ = write!(name, " {arrow} {peer}");
    }
    name
}

/// What failed, and how it ended.
fn remark(life: &Life, milestone: &Milestone) -> Option<String> {
    if let Some(error) = milestone.error {
        return Some(format!("{} failed: {}", milestone.phase.name(), error.name()));
    }
    if milestone.phase != Phase::Close {
        return None;
    }
    let Verdict { by, how, .. } = Moment::of(life, milestone).verdict()?;
    Some(match (how, by) {
        (Some(how), Some(by)) => format!("close: {} by {}", how.name(), by.name()),
        (Some(how), None) => format!("close: {}", how.name()),
        (None, Some(by)) => format!("close by {}", by.name()),
        (None, None) => "close".to_owned(),
    })
}

/// What is known of a socket, as `DebugAnnotation`s, and a flow from the end that is on this host too.
fn facts(event: &mut Message, text: &mut String, scene: &Scene, life: &Life) {
    if let Some(peer) = life.peer_socket {
        event.fixed64(47, track(scene, b'f', life.number.min(peer)));
    }
    let Some(row) = Sockets::socket(scene, life) else { return };
    for Column { name, get, .. } in Sockets::COLUMNS.iter().filter(|column| FACTS.contains(&column.name)) {
        let value = get(&row);
        if matches!(value, Value::Null) {
            continue;
        }
        event.message(4, |annotation| {
            annotation.text(10, name);
            match value {
                Value::Bool(value) => annotation.varint(2, value.into()),
                Value::Integer(value) => match u64::try_from(value) {
                    Ok(value) => annotation.varint(3, value),
                    Err(_) => annotation.varint(4, value as u64),
                },
                value => {
                    text.clear();
                    let _ = value.write(text);
                    annotation.text(6, text);
                }
            }
        });
    }
}
