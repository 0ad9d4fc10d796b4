//! Events by the hundred thousand that no kernel would report in such number or order: a recording may come from a
//! stranger. What costs time for each of those before would keep these tests busy for minutes.

use super::{
    host::{Host, MS, SECOND, at, process},
    seen::Watch,
};
use crate::event::{CallKind, Errno, Event, Mark, Sock, State, Stats, Time, Transport, What};

const MANY: u64 = 150_000;

/// A socket by its number.
fn sock(number: u64) -> Sock {
    let mut sock = Host::new().socket().sock;
    sock.key.id = number;
    sock.key.addr = number * 64;
    sock
}

fn bind_fails(sock: &Sock, time: Time) -> Event {
    let (call, error) = (CallKind::Bind, Some(Errno(98)));
    let what =
        What::Call { call, sock: sock.clone(), by: None, called: Some(time), fd: Some(3), error, backlog: (0, 0) };
    Event { time, what }
}

fn transition(sock: Sock, to: State, time: Time) -> Event {
    let called = (to == State::SynSent).then_some((time, 3));
    Event { time, what: What::Transition { sock, to, by: None, call: called, srtt: 0, backlog: 0 } }
}

fn close(sock: Sock, time: Time) -> Event {
    Event { time, what: What::Close { sock, by: None, stats: Stats::default(), in_call: false } }
}

fn mark(sock: &Sock, mark: Mark, time: Time) -> Event {
    let Sock { key, mptcp, state, .. } = *sock;
    Event { time, what: What::Mark { key, mptcp, state, mark } }
}

/// Gives the events, and lets the engine tell at times; then ends the run.
fn watch(events: impl IntoIterator<Item = Event>) -> Watch {
    let mut watch = Watch::default();
    for (count, event) in events.into_iter().enumerate() {
        watch.engine.event(event);
        if count % 1000 == 0 {
            watch.advance(SECOND);
        }
    }
    watch.finish();
    watch
}

#[test]
fn time_that_goes_back_with_every_event() {
    let socket = sock(1);
    let first = bind_fails(&socket, 2 * SECOND + MANY);
    let back = (0..MANY).rev().map(|time| mark(&socket, Mark::Retransmit, 2 * SECOND + time));
    let watch = watch([first].into_iter().chain(back));
    assert!(watch.lines.windows(2).all(|pair| pair[0].time <= pair[1].time));
    assert_eq!(watch.lines.len() as u64, MANY + 2);
}

#[test]
fn a_path_without_end_that_is_told_late() {
    let socket = sock(1);
    let binds = (0..MANY).map(|time| bind_fails(&socket, 2 * SECOND + time));
    let watch = watch(binds);
    assert_eq!(watch.milestones().len() as u64, MANY);
    assert_eq!(watch.lives[0].path.len() as u64 + watch.lives[0].path_omitted, MANY);
}

#[test]
fn a_socket_that_closes_again_and_again_after_it_was_accepted_or_not() {
    let mut socket = sock(1);
    socket.state = State::Established;
    let closes = (0..MANY).map(|time| close(socket.clone(), time));
    let mut watch = Watch::default();
    for event in closes {
        let time = event.time;
        watch.engine.event(event);
        watch.advance(time + MS);
    }
    watch.finish();
    assert_eq!(watch.milestones().len() as u64, MANY);
}

#[test]
fn a_connect_that_fails_again_and_again_behind_a_path_without_end() {
    let mut socket = sock(1);
    let connect = transition(socket.clone(), State::SynSent, 7);
    socket.state = State::SynSent;
    let closed = close(socket.clone(), 8);
    socket.state = State::Closed;
    let binds = (0..MANY / 2).map(|time| bind_fails(&socket, 9 + time));
    let failures = (0..MANY / 2).map(|_| {
        let (call, sock, error) = (CallKind::Connect, socket.clone(), Some(Errno(99)));
        let what = What::Call { call, sock, by: None, called: Some(7), fd: Some(3), error, backlog: (0, 0) };
        Event { time: SECOND, what }
    });
    let watch = watch([connect, closed].into_iter().chain(binds).chain(failures));
    assert_eq!(watch.lives.len(), 1);
}

#[test]
fn a_socket_that_starts_again_and_again() {
    let socket = sock(1);
    let watch = watch((0..MANY).map(|time| transition(socket.clone(), State::SynSent, time)));
    assert_eq!(watch.milestones().len() as u64, MANY);
}

#[test]
fn mptcp_sockets_that_come_and_go_while_another_has_many_subflows() {
    let mut events = Vec::new();
    for number in 0..MANY / 3 {
        let mut socket = sock(2 * number + 10);
        socket.transport = Transport::Mptcp;
        let mut subflow = sock(2 * number + 11);
        subflow.mptcp = socket.key.addr;
        let mut of_another = sock(10 * MANY + number);
        of_another.mptcp = 64;
        events.push(transition(of_another, State::SynSent, number));
        events.push(transition(socket.clone(), State::SynSent, number));
        events.push(transition(subflow.clone(), State::SynSent, number));
        socket.state = State::SynSent;
        events.push(close(socket, number));
        events.push(mark(&subflow, Mark::Destroyed, number));
    }
    assert_eq!(watch(events).lives.len() as u64, MANY / 3);
}

#[test]
fn sockets_that_all_have_the_same_ends() {
    let events = (1..=MANY).map(|number| {
        let (local, peer) = (at("10.0.0.1:1"), at("10.0.0.2:2"));
        transition(Sock { local, peer, state: State::SynSent, ..sock(number) }, State::Established, number)
    });
    assert_eq!(watch(events).lives.len() as u64, MANY);
}

#[test]
fn many_listeners_on_one_port_with_many_connections_and_surveys_without_end() {
    let exists = |number: u64, state: State| {
        let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 + number as u32 % 1000).into();
        let (mut local, mut peer) = (at("10.0.0.1:80"), at("10.0.0.2:2"));
        local.address = address;
        if state == State::Listen {
            peer.port = 0;
        }
        let sock = Sock { local, peer, state, ..sock(number) };
        Event { time: number, what: What::Exists { sock, stats: Stats::default(), holder: None } }
    };
    let listeners = (1..=MANY / 3).map(|number| exists(number, State::Listen));
    let connections = (1..=MANY / 3).map(|number| exists(MANY + number, State::Established));
    let surveys = (0..MANY).map(|time| Event { time: SECOND + time, what: What::Surveyed });
    let watch = watch(listeners.chain(connections).chain(surveys));
    assert_eq!(watch.lives.len() as u64, 2 * (MANY / 3));
}

#[test]
fn listeners_that_claim_the_same_name_and_one_that_has_many() {
    let listen = |number: u64, id: u64, time| {
        let mut sock = sock(number);
        sock.key.id = id;
        transition(sock, State::Listen, time)
    };
    let carried = |time: Time| {
        let mut subflow = sock(MANY + time);
        subflow.mptcp = 64;
        transition(subflow, State::Listen, time)
    };
    let claims = (0..MANY).map(|time| listen(1 + time % 2, 7, time));
    let names = (0..MANY).map(carried);
    assert_eq!(watch(claims.chain(names)).lives.len(), 2);
}

#[test]
fn losses_without_end_in_any_order() {
    let lost = |time, since| Event { time, what: What::Lost { count: Some(1), since } };
    let spread = (0..MANY).map(|time| lost(10 * time + 1, 10 * time));
    let backward = (0..MANY).map(|time| lost(10 * (MANY - time), Time::MAX - time));
    assert_eq!(watch(spread.chain(backward)).lost, 2 * MANY);
}

#[test]
fn a_socket_with_holders_without_end() {
    let by = process("many", 1);
    let events = (0..MANY).map(|number| {
        let (sock, stats, holder) = (sock(1), Stats::default(), Some((by.clone(), number as i32)));
        Event { time: number, what: What::Exists { sock, stats, holder } }
    });
    let surveyed = Event { time: MANY, what: What::Surveyed };
    let watch = watch(events.chain([surveyed]));
    assert_eq!(watch.lives[0].fd, Some(0));
}
