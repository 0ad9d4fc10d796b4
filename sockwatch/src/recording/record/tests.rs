use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{
    event::{Actor, CallKind, Errno, Event, Key, Mark, Process, Stats, Time, What},
    lifecycle::{
        By, End, Holder, How, Life, Milestone, Origin, Part, Phase, Role, Signal, SignalKind, Tell, Then, Verdict,
    },
    recording::wire::Malformed,
    source::Step,
    untrusted::Untrusted,
};

fn actors() -> impl Strategy<Value = Option<Actor>> {
    let texts = || prop::option::of(prop::collection::vec(1..=255_u8, 0..20));
    let process = (any::<Option<u32>>(), any::<u64>(), texts(), any::<Option<u32>>(), texts(), "[0-9a-f]{0,64}");
    let process = process.prop_map(|(pid, start, name, uid, executable, container)| Process {
        pid: pid.filter(|&pid| pid < u32::MAX),
        start,
        name: Untrusted::new(&name.unwrap_or_default()),
        uid: uid.filter(|&uid| uid < u32::MAX),
        executable: executable.map(|path| Untrusted::new(&path)),
        container: (container.len() > 3).then(|| container.into()),
    });
    let actor = (process, any::<Option<u16>>(), any::<bool>()).prop_map(|(process, tid, descendant)| Actor {
        process: Arc::new(process),
        tid: tid.map(u32::from),
        descendant,
    });
    prop::option::of(actor)
}

fn states() -> impl Strategy<Value = State> {
    (1..12_u32).prop_map(|number| State::from_kernel(number).unwrap())
}

fn keys() -> impl Strategy<Value = Key> {
    // Few, so that they come again, and with other ids.
    (0..4_u64, 0..3_u64, 1..5_u64)
        .prop_map(|(cpu, id, addr)| Key { id: if id == 0 { 0 } else { cpu << 48 | id }, addr })
}

fn ends() -> impl Strategy<Value = Endpoint> {
    let address =
        prop_oneof![any::<[u8; 4]>().prop_map(Into::into), any::<[u8; 16]>().prop_map(std::net::IpAddr::from)];
    (address, any::<u16>()).prop_map(|(address, port)| Endpoint { address: address.to_canonical(), port })
}

fn socks() -> impl Strategy<Value = Sock> {
    let kinds = (any::<bool>(), 0..3_u8);
    (keys(), any::<u64>(), 0..3_u64, any::<u64>(), any::<u32>(), kinds, states(), ends(), ends()).prop_map(
        |(key, parent, mptcp, cookie, netns, (ipv6, transport), state, local, peer)| Sock {
            key,
            parent,
            mptcp,
            cookie,
            netns,
            family: if ipv6 { Family::Ipv6 } else { Family::Ipv4 },
            transport: [Transport::Tcp, Transport::Mptcp, Transport::Sctp][usize::from(transport)],
            state,
            local,
            peer,
        },
    )
}

fn counts() -> impl Strategy<Value = Stats> {
    (any::<[u64; 2]>(), any::<[u32; 7]>(), 0..200_i32, any::<[bool; 5]>()).prop_map(|(long, short, error, flags)| {
        Stats {
            received: long[0],
            acked: long[1],
            srtt: short[0],
            retransmits: short[1],
            queue: short[2],
            backlog: short[3],
            drops: short[4] & 1,
            unread: short[5] & 1,
            unacked: short[6],
            error: Errno::new(error),
            counted: flags[0],
            fin_received: flags[1],
            orphan: flags[2],
            unheld: flags[3],
            nothing_sent: flags[4],
        }
    })
}

pub(in crate::recording) fn steps() -> impl Strategy<Value = Step> {
    let marks = prop::sample::select(vec![Mark::Destroyed, Mark::Retransmit, Mark::ResetSent, Mark::ResetReceived]);
    let calls = prop::sample::select(vec![CallKind::Bind, CallKind::Listen, CallKind::Connect, CallKind::Accept]);
    let what = prop_oneof![
        (socks(), states(), actors(), any::<Option<(Time, i32)>>(), any::<u32>(), any::<u32>())
            .prop_map(|(sock, to, by, call, srtt, backlog)| What::Transition { sock, to, by, call, srtt, backlog }),
        (keys(), any::<u64>(), states(), states(), actors()).prop_map(|(key, parent, from, to, by)| What::Step {
            key,
            parent,
            from,
            to,
            by
        }),
        (socks(), actors(), counts(), any::<bool>()).prop_map(|(sock, by, stats, in_call)| What::Close {
            sock,
            by,
            stats,
            in_call
        }),
        (keys(), 0..3_u64, states(), marks).prop_map(|(key, mptcp, state, mark)| What::Mark {
            key,
            mptcp,
            state,
            mark
        }),
        (calls, socks(), actors(), any::<Option<Time>>(), any::<Option<i32>>(), 0..200_i32, any::<(i32, u32)>())
            .prop_map(|(call, sock, by, called, fd, error, backlog)| What::Call {
                call,
                sock,
                by,
                called,
                fd,
                error: Errno::new(error),
                backlog
            }),
        (socks(), counts(), actors(), any::<i32>()).prop_map(|(sock, stats, actor, fd)| What::Exists {
            sock,
            stats,
            holder: actor.map(|actor| (actor, fd))
        }),
        Just(What::Surveyed),
        any::<(Option<u64>, Time)>().prop_map(|(count, since)| What::Lost { count, since }),
    ];
    prop_oneof![
        12 => (any::<Time>(), what).prop_map(|(time, what)| Step::Event(Event { time, what })),
        1 => any::<(Time, u64)>().prop_map(|(now, events)| Step::Settled { now, events }),
        1 => any::<(Time, i64)>().prop_map(|(since, offset)| Step::Clock { since, offset: offset.into() }),
        1 => Just(Step::End),
    ]
}

fn steps_of(decoder: &mut Decoder, payload: Vec<u8>) -> Result<Vec<Step>, Malformed> {
    decoder.open(payload);
    std::iter::from_fn(|| decoder.step()).collect()
}

/// With the tokens that an encoder gave to addresses, in the order in which it met them.
fn unveiled(steps: &[Step]) -> Vec<Step> {
    let mut known = Vec::new();
    let mut name = |addr: &mut u64| {
        if *addr != 0 {
            let place = known.iter().position(|known| known == addr).unwrap_or_else(|| {
                known.push(*addr);
                known.len() - 1
            });
            *addr = place as u64 + 1;
        }
    };
    let mut steps = steps.to_vec();
    for step in &mut steps {
        let Step::Event(event) = step else { continue };
        match &mut event.what {
            What::Transition { sock, .. }
            | What::Close { sock, .. }
            | What::Call { sock, .. }
            | What::Exists { sock, .. } => {
                name(&mut sock.key.addr);
                name(&mut sock.mptcp);
            }
            What::Step { key, .. } => name(&mut key.addr),
            What::Mark { key, mptcp, .. } => {
                name(&mut key.addr);
                name(mptcp);
            }
            _ => {}
        }
    }
    steps
}

proptest! {
    #[test]
    fn every_step_is_read_as_it_was_written_whatever_block_it_is_in(blocks in prop::collection::vec(prop::collection::vec(steps(), 0..30), 1..4)) {
        let mut encoder = Encoder::new();
        let mut decoder = Decoder::default();
        let (mut written, mut read) = (Vec::new(), Vec::new());
        for steps in blocks {
            steps.iter().for_each(|step| encoder.step(step));
            let filled = encoder.take();
            let found = steps_of(&mut decoder, filled.payload).unwrap();
            prop_assert_eq!(found.iter().filter(|step| is_event(step)).count(), filled.events as usize);
            read.extend(found);
            written.extend(steps);
        }
        prop_assert_eq!(unveiled(&written), unveiled(&read));
    }

    #[test]
    fn a_block_of_any_bytes_is_read_or_refused(bytes: Vec<u8>) {
        let _ = steps_of(&mut Decoder::default(), bytes);
    }

    #[test]
    fn a_block_with_a_byte_changed_is_read_or_refused(steps in prop::collection::vec(steps(), 1..20), at: prop::sample::Index, byte: u8) {
        let mut encoder = Encoder::new();
        steps.iter().for_each(|step| encoder.step(step));
        let mut payload = encoder.take().payload;
        let at = at.index(payload.len());
        payload[at] = byte;
        let _ = steps_of(&mut Decoder::default(), payload);
    }
}

#[test]
fn what_a_later_version_adds_is_passed_over() {
    let mut encoder = Encoder::new();
    let settled = |now| Step::Settled { now, events: 3 };
    encoder.step(&settled(5));
    let mut payload = encoder.take().payload;
    // A kind that nobody knows, and a field behind those that are known.
    payload.extend_from_slice(&[3, 200, 1, 2]);
    encoder.step(&settled(7));
    let mut longer = encoder.take().payload;
    longer[0] += 1;
    longer.push(42);
    payload.extend(longer);
    let read = steps_of(&mut Decoder::default(), payload).unwrap();
    // The second is told as a difference to the first.
    assert_eq!(read, [settled(5), settled(12)]);
}

/// A life of which no field is what it is at first, and no two are alike.
fn life(actor: &Actor, then: bool) -> Life {
    let end = |last, port| Some(Endpoint { address: [10, 0, 0, last].into(), port });
    let milestone = |phase, time, asked| Milestone {
        phase,
        time,
        actor: Some(actor.clone()),
        fd: Some(-7),
        error: Errno::new(time as i32),
        asked,
        then: then.then(|| {
            let verdict = Verdict {
                by: Some(By::Kernel),
                how: Some(How::Unaccepted),
                time_wait: Some(true),
                error: Errno::new(32),
            };
            Box::new(Then { local: end(7, 7), peer: end(8, 8), verdict: Some(verdict) })
        }),
    };
    Life {
        number: 9,
        told: 0,
        cookie: Some(10),
        netns: Some(11),
        transport: Transport::Sctp,
        family: Some(Family::Ipv6),
        role: Some(Role::Client),
        local: end(12, 13),
        peer: Some(Endpoint { address: "fd00::14".parse().unwrap(), port: 15 }),
        listener: Some(16),
        peer_socket: Some(17),
        owner: Some(actor.clone()),
        fd: Some(18),
        path: vec![milestone(Phase::Bind, 19, end(20, 21)), milestone(Phase::Accept, 22, None)],
        path_omitted: 23,
        state: State::Closing,
        first: 24,
        destroyed: Some(25),
        handshake_ns: Some(26),
        accept_queue_ns: Some(27),
        connect_ns: Some(28),
        stats: Some(Stats { received: 29, unread: 30, orphan: true, ..Stats::default() }),
        accepted: 31,
        backlog_given: Some(-1),
        backlog: Some(32),
        origin: Origin::Snapshot,
        complete: false,
        descendant: true,
        holders: Some(vec![Holder { process: actor.process.clone(), fd: 33 }]),
        vanished: true,
        key: Key { id: 34, addr: 35 },
        connect_called: Some(36),
        established: Some(37),
        listening: Some(38),
        end: End {
            from: Some(State::FinWait2),
            first_fin: Some(By::Peer),
            reset_sent: true,
            reset_received: true,
            listener_gone: true,
            subflow_error: Errno::new(39),
            connect_failed: Some(Errno::new(40)),
        },
        begun: false,
        last_change: Some(State::LastAck),
        maybe_subflow: true,
        beyond: [milestone(Phase::Close, 41, None)].into(),
        last_connect: Some(42),
        accept_seen: true,
        taken: true,
        failure_seen: true,
        listens_as: vec![43, 44],
    }
}

#[test]
fn every_part_of_a_checkpoint_is_read_as_it_was_written() {
    let process = Process {
        pid: Some(1),
        start: 2,
        name: Untrusted::new(b"nginx"),
        uid: None,
        executable: None,
        container: Some("0123abc".into()),
    };
    let actor = Actor { process: Arc::new(process), tid: None, descendant: true };
    let end = |port| Endpoint { address: [127, 0, 0, 1].into(), port };
    let signal = |kind| {
        let signal = Signal { time: 3, kind, actor: Some(actor.clone()), local: Some(end(4)), peer: None };
        Part::Waiting { time: 5, life: 6, what: Tell::Signal(Box::new(signal)) }
    };
    let parts: Vec<Part> = vec![
        Part::Run { last_number: 7, surveyed: true },
        Part::Life(Box::new(life(&actor, false))),
        Part::Life(Box::new(life(&actor, true))),
        Part::Life(Box::new(Life {
            end: End { connect_failed: Some(None), ..End::default() },
            holders: Some(Vec::new()),
            stats: None,
            family: None,
            role: None,
            owner: None,
            ..life(&actor, false)
        })),
        Part::Unpaired { life: 8, local: end(9), peer: end(10), netns: Some(11) },
        Part::Subflow { addr: 35, socket: 12 },
        Part::Waiting { time: 13, life: 14, what: Tell::Milestone(15) },
        Part::Waiting { time: 16, life: 17, what: Tell::End },
        signal(SignalKind::State { from: State::SynSent, to: State::Established }),
        signal(SignalKind::Retransmit),
        signal(SignalKind::ResetSent),
        signal(SignalKind::ResetReceived),
        Part::Loss { since: 18, until: 19 },
        Part::PendingLoss { count: Some(20), since: 21, until: 22 },
        Part::PendingLoss { count: None, since: 23, until: 24 },
    ];
    let mut encoder = Encoder::new();
    for part in &parts {
        encoder.part(&match part {
            Part::Life(life) => Part::Life(&**life),
            other => other.clone().map(|_| unreachable!("it is no life")),
        });
    }
    encoder.whole(parts.len() as u64);
    let mut decoder = Decoder::default();
    decoder.open(encoder.take().payload);
    let mut read: Vec<Piece> = std::iter::from_fn(|| decoder.next_piece()).collect::<Result<_, _>>().unwrap();
    assert_eq!(read.pop(), Some(Piece::Whole(parts.len() as u64)));
    // The tokens stand for addresses: the same for the same one, another for another.
    let mut tokens = (0, 0);
    for piece in &mut read {
        match piece {
            Piece::Part(Part::Life(life)) => tokens.0 = std::mem::replace(&mut life.key.addr, 35),
            Piece::Part(Part::Subflow { addr, socket }) => {
                assert_eq!(*addr, tokens.0);
                tokens.1 = std::mem::replace(socket, 12);
                *addr = 35;
            }
            _ => {}
        }
    }
    assert!(tokens.0 != tokens.1 && tokens.0 != 35 && tokens.1 != 12, "{tokens:?}");
    assert_eq!(read, parts.into_iter().map(Piece::Part).collect::<Vec<_>>());
}
