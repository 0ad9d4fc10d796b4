//! Events that no kernel would report: nothing may panic or be kept.

use proptest::{collection::vec, prelude::*};

use super::{
    host::{Host, at, process},
    seen::Watch,
};
use crate::event::{CallKind, Errno, Event, Key, Mark, Sock, State, Stats, Time, Transport, What};

fn state() -> impl Strategy<Value = State> {
    (1..13_u32).prop_filter_map("a state", State::from_kernel)
}

fn sock() -> impl Strategy<Value = Sock> {
    let names = (0..5_u64, 1..5_u64, 0..5_u64, prop_oneof![3 => Just(0), 2 => 1..5_u64]);
    let transport = prop_oneof![Just(Transport::Tcp), Just(Transport::Mptcp), Just(Transport::Sctp)];
    (names, transport, state(), 0..3_u16, 0..3_u16, 1..3_u32).prop_map(
        |((id, addr, parent, mptcp), transport, state, local, peer, netns)| {
            let mut sock = Host::new().socket().sock;
            sock.key = Key { id, addr };
            sock.local = at(&format!("10.0.0.1:{local}"));
            sock.peer = at(&format!("10.0.0.1:{peer}"));
            Sock { parent, mptcp, transport, state, netns, ..sock }
        },
    )
}

fn stats() -> impl Strategy<Value = Stats> {
    (0..4_i32, any::<[bool; 4]>(), 0..2_u64).prop_map(|(error, [counted, fin, orphan, nothing], acked)| Stats {
        error: [None, Some(104), Some(110), Some(111)][error as usize].map(Errno),
        counted,
        fin_received: fin,
        orphan,
        nothing_sent: nothing,
        acked,
        ..Stats::default()
    })
}

fn event() -> impl Strategy<Value = Event> {
    let by = || process("soup", 1);
    let transition =
        (sock(), state(), any::<[bool; 2]>(), 0..50_u64).prop_map(move |(sock, to, [known, in_call], called)| {
            let call = in_call.then_some((called, 3));
            What::Transition { sock, to, by: known.then(by), call, srtt: 8, backlog: 1 }
        });
    let step = (sock(), state()).prop_map(|(sock, to)| {
        let Sock { key, parent, state: from, .. } = sock;
        What::Step { key, parent, from, to, by: None }
    });
    let close = (sock(), stats(), any::<bool>()).prop_map(|(sock, stats, in_call)| What::Close {
        sock,
        by: None,
        stats,
        in_call,
    });
    let marks = [Mark::Destroyed, Mark::Destroyed, Mark::Retransmit, Mark::ResetSent, Mark::ResetReceived];
    let mark = (sock(), 0..5_usize).prop_map(move |(sock, mark)| {
        let Sock { key, mptcp, state, .. } = sock;
        What::Mark { key, mptcp, state, mark: marks[mark] }
    });
    let calls = [CallKind::Bind, CallKind::Listen, CallKind::Connect, CallKind::Accept];
    let call =
        (sock(), 0..4_usize, any::<[bool; 2]>(), 0..50_u64).prop_map(move |(sock, call, [named, failed], called)| {
            let key = Key { id: if named { sock.key.id } else { 0 }, ..sock.key };
            let error = failed.then_some(Errno(98));
            let sock = Sock { key, ..sock };
            What::Call {
                call: calls[call],
                sock,
                by: Some(by()),
                called: Some(called),
                fd: Some(3),
                error,
                backlog: (1, 1),
            }
        });
    let exists = (sock(), stats(), any::<bool>()).prop_map(move |(sock, stats, held)| What::Exists {
        sock,
        stats,
        holder: held.then(|| (by(), 3)),
    });
    let surveyed = Just(What::Surveyed);
    let lost = (0..3_u64, 0..50_u64).prop_map(|(count, since)| What::Lost { count: Some(count), since });
    let what = prop_oneof![
        6 => transition, 3 => step, 4 => close, 4 => mark, 4 => call, 1 => exists, 1 => surveyed, 1 => lost
    ];
    // Some far apart, so that what was told is forgotten in between.
    (what, 0..50_u64, prop_oneof![Just(1), Just(10_000_000_u64)])
        .prop_map(|(what, time, unit)| Event { time: time * unit, what })
}

pub(super) type Steps = Vec<(Event, Option<Time>)>;

/// Events, and up to when all is settled behind some of them.
pub(super) fn steps() -> impl Strategy<Value = Steps> {
    let advance = prop_oneof![
        4 => Just(None),
        1 => (0..600_000_000_u64).prop_map(Some),
        1 => Just(Some(Time::MAX))
    ];
    vec((event(), advance), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_events_panics_or_stays_in_memory(
        events in steps(),
    ) {
        let mut watch = Watch::default();
        for (event, advance) in &events {
            watch.give(event);
            if let Some(now) = advance {
                watch.advance(*now);
            }
            watch.engine.check_weight();
        }
        watch.finish();
        let mut numbers: Vec<u64> = watch.lives.iter().map(|life| life.number).collect();
        numbers.sort_unstable();
        let count = numbers.len();
        numbers.dedup();
        prop_assert_eq!(numbers.len(), count, "a life was reported twice");
        for life in &watch.lives {
            let _ = (life.verdict(), life.bytes(), life.rtt_us(), life.lifetime_ns());
        }
    }
}
