use std::sync::Arc;

use super::*;
use crate::{
    event::{Actor, CallKind, Errno, Event, Key, Mark, Sock, State, Stats, Transport, What},
    lifecycle::{Engine, Holder, Report},
    untrusted::Untrusted,
};

fn end(text: &str) -> Endpoint {
    let (address, port) = text.rsplit_once(':').unwrap();
    Endpoint { address: address.parse().unwrap(), port: port.parse().unwrap() }
}

fn process(pid: u32, name: &str, uid: u32, container: Option<&str>) -> Arc<Process> {
    let name = Untrusted::new(name.as_bytes());
    let container = container.map(Into::into);
    Arc::new(Process { pid: Some(pid), start: 1, name, uid: Some(uid), executable: None, container })
}

fn nginx() -> Actor {
    Actor { process: process(7, "nginx", 33, Some(&"ab12".repeat(16))), tid: Some(7), descendant: false }
}

fn sock(state: State) -> Sock {
    Sock {
        key: Key { id: 1, addr: 1 },
        parent: 0,
        mptcp: 0,
        cookie: 1,
        netns: 4_026_531_840,
        family: Family::Ipv4,
        transport: Transport::Tcp,
        state,
        local: end("10.0.0.4:40000"),
        peer: end("10.0.0.9:80"),
    }
}

fn bind(error: Option<Errno>) -> What {
    let (call, sock) = (CallKind::Bind, sock(State::Closed));
    What::Call { call, sock, by: Some(nginx()), called: None, fd: Some(3), error, backlog: (0, 0) }
}

fn open(to: State) -> What {
    let sock = sock(State::Closed);
    What::Transition { sock, to, by: Some(nginx()), call: None, srtt: 0, backlog: 0 }
}

fn close(from: State, error: Option<Errno>) -> What {
    What::Close { sock: sock(from), by: None, stats: Stats { error, ..Stats::default() }, in_call: false }
}

fn destroyed() -> What {
    What::Mark { key: Key { id: 1, addr: 1 }, mptcp: 0, state: State::Closed, mark: Mark::Destroyed }
}

/// Lets these things happen to a socket, changes its life as if more had, and says whether it passes.
fn passes_after(happened: Vec<What>, change: impl Fn(&mut Life), filter: &Filter) -> bool {
    let mut engine = Engine::new();
    for (time, what) in (1..).zip(happened) {
        engine.event(Event { time: time * 1_000_000_000, what });
    }
    let mut passes = None;
    engine.finish(&mut |report| {
        if let Report::Socket(life) = report {
            change(life);
            passes = Some(filter.matches(life));
        }
    });
    passes.expect("the socket is told of")
}

/// Whether a connection of nginx from 10.0.0.4:40000 to 10.0.0.9:80 passes, once it is changed like this.
fn passes(change: impl Fn(&mut Life), filter: &Filter) -> bool {
    passes_after(vec![open(State::SynSent)], change, filter)
}

fn unchanged(_: &mut Life) {}

#[test]
fn without_a_filter_every_socket_passes() {
    assert!(Filter::default().is_empty());
    assert!(passes(unchanged, &Filter::default()));
}

#[test]
fn each_kind_of_filter_passes_what_it_asks_for_alone() {
    let none = Filter::default;
    let network = |text: &str| vec![text.parse().unwrap()];
    let name = |text: &str| vec![text.parse().unwrap()];
    let container = |text: &str| vec![text.to_owned()];
    let whole_id = "ab12".repeat(16);
    for (filter, expected) in [
        (Filter { ports: vec![80], ..none() }, true),
        (Filter { ports: vec![40000], ..none() }, true),
        (Filter { ports: vec![81], ..none() }, false),
        (Filter { ports: vec![81, 80], ..none() }, true),
        (Filter { local_ports: vec![40000], ..none() }, true),
        (Filter { local_ports: vec![80], ..none() }, false),
        (Filter { peer_ports: vec![80], ..none() }, true),
        (Filter { peer_ports: vec![40000], ..none() }, false),
        (Filter { addresses: network("10.0.0.4"), ..none() }, true),
        (Filter { addresses: network("10.0.0.8/31"), ..none() }, true),
        (Filter { addresses: network("::ffff:10.0.0.9"), ..none() }, true),
        (Filter { addresses: network("10.0.0.5"), ..none() }, false),
        (Filter { addresses: network("::/0"), ..none() }, false),
        (Filter { pids: vec![7], ..none() }, true),
        (Filter { pids: vec![8], ..none() }, false),
        (Filter { processes: name("nginx"), ..none() }, true),
        (Filter { processes: name("n*x"), ..none() }, true),
        (Filter { processes: name("ngin"), ..none() }, false),
        (Filter { uids: vec![33], ..none() }, true),
        (Filter { uids: vec![0], ..none() }, false),
        (Filter { netns: vec![4_026_531_840], ..none() }, true),
        (Filter { netns: vec![1], ..none() }, false),
        (Filter { containers: container("a"), ..none() }, true),
        (Filter { containers: container("AB12ab"), ..none() }, true),
        (Filter { containers: container(&whole_id), ..none() }, true),
        (Filter { containers: container("b12"), ..none() }, false),
        (Filter { roles: vec![Role::Client], ..none() }, true),
        (Filter { roles: vec![Role::Listener, Role::Client], ..none() }, true),
        (Filter { roles: vec![Role::Server], ..none() }, false),
        (Filter { families: vec![Family::Ipv4], ..none() }, true),
        (Filter { families: vec![Family::Ipv6], ..none() }, false),
        (Filter { failed: true, ..none() }, false),
    ] {
        assert!(!filter.is_empty(), "{filter:?}");
        assert_eq!(passes(unchanged, &filter), expected, "{filter:?}");
    }
}

#[test]
fn filters_of_different_kinds_must_all_hold() {
    let both = |port, pid| Filter { ports: vec![port], pids: vec![pid], ..Filter::default() };
    for (port, pid, expected) in [(80, 7, true), (80, 8, false), (81, 7, false), (81, 8, false)] {
        assert_eq!(passes(unchanged, &both(port, pid)), expected, "port {port}, pid {pid}");
    }
}

#[test]
fn a_holder_counts_like_the_owner() {
    let held = |life: &mut Life| {
        life.owner = None;
        let process = process(9, "php-fpm8.2", 1000, Some("cd34"));
        life.holders = Some(vec![Holder { process, fd: 5 }]);
    };
    for (filter, expected) in [
        (Filter { pids: vec![9], ..Filter::default() }, true),
        (Filter { pids: vec![7], ..Filter::default() }, false),
        (Filter { processes: vec!["php-fpm[0-9].?".parse().unwrap()], ..Filter::default() }, true),
        (Filter { uids: vec![1000], ..Filter::default() }, true),
        (Filter { containers: vec!["cd".to_owned()], ..Filter::default() }, true),
        (Filter { containers: vec!["cd345".to_owned()], ..Filter::default() }, false),
    ] {
        assert_eq!(passes(held, &filter), expected, "{filter:?}");
    }
}

#[test]
fn what_is_not_known_does_not_match() {
    let unknown = |life: &mut Life| {
        (life.local, life.peer, life.owner, life.holders) = (None, None, None, None);
        (life.netns, life.role, life.family) = (None, None, None);
    };
    for filter in [
        Filter { ports: vec![80], ..Filter::default() },
        Filter { addresses: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()], ..Filter::default() },
        Filter { pids: vec![7], ..Filter::default() },
        Filter { processes: vec!["*".parse().unwrap()], ..Filter::default() },
        Filter { uids: vec![0], ..Filter::default() },
        Filter { netns: vec![1], ..Filter::default() },
        Filter { containers: vec!["a".to_owned()], ..Filter::default() },
        Filter { roles: vec![Role::Listener, Role::Server, Role::Client], ..Filter::default() },
        Filter { families: vec![Family::Ipv4, Family::Ipv6], ..Filter::default() },
    ] {
        assert!(!passes(unknown, &filter), "{filter:?}");
    }
}

#[test]
fn a_bind_that_failed_is_found_by_the_address_and_port_it_asked_for() {
    for (filter, expected) in [
        (Filter { ports: vec![40000], failed: true, ..Filter::default() }, true),
        (Filter { local_ports: vec![40000], ..Filter::default() }, true),
        (Filter { peer_ports: vec![40000], ..Filter::default() }, false),
        (Filter { addresses: vec!["10.0.0.4".parse().unwrap()], ..Filter::default() }, true),
        (Filter { ports: vec![40001], failed: true, ..Filter::default() }, false),
    ] {
        let happened = vec![bind(Some(Errno(nix::libc::EADDRINUSE))), destroyed()];
        assert_eq!(passes_after(happened, unchanged, &filter), expected, "{filter:?}");
    }
}

#[test]
fn failed_means_a_call_that_failed_or_a_bad_end() {
    let error = |number| Some(Errno(number));
    let failed = Filter { failed: true, ..Filter::default() };
    for (story, happened, expected) in [
        ("bound", vec![bind(None)], false),
        ("bind failed", vec![bind(error(nix::libc::EACCES))], true),
        ("bind failed, then it was closed", vec![bind(error(nix::libc::EACCES)), destroyed()], true),
        ("listens", vec![open(State::Listen)], false),
        ("listener closed", vec![open(State::Listen), close(State::Listen, None), destroyed()], false),
        ("connects", vec![open(State::SynSent)], false),
        ("refused", vec![open(State::SynSent), close(State::SynSent, error(nix::libc::ECONNREFUSED))], true),
        ("timed out", vec![open(State::SynSent), close(State::SynSent, error(nix::libc::ETIMEDOUT))], true),
        ("ended by FINs", vec![open(State::SynSent), open(State::Established), close(State::LastAck, None)], false),
        (
            "reset",
            vec![
                open(State::SynSent),
                open(State::Established),
                close(State::Established, error(nix::libc::ECONNRESET)),
            ],
            true,
        ),
        ("its end was missed", vec![open(State::SynSent), open(State::Established), destroyed()], false),
    ] {
        assert_eq!(passes_after(happened, unchanged, &failed), expected, "{story}");
    }
}

#[test]
fn filters_that_no_socket_can_pass_are_told_of() {
    let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let roles = |roles: &[Role], peer_ports: &[u16]| Filter {
        roles: roles.to_vec(),
        peer_ports: peer_ports.to_vec(),
        ..Filter::default()
    };
    let families = |families: &[Family], addresses: &[&str]| Filter {
        families: families.to_vec(),
        addresses: networks(addresses),
        ..Filter::default()
    };
    for (filter, conflict) in [
        (Filter::default(), false),
        (roles(&[Role::Listener], &[80]), true),
        (roles(&[Role::Listener, Role::Listener], &[80]), true),
        (roles(&[Role::Listener, Role::Client], &[80]), false),
        (roles(&[Role::Client], &[80]), false),
        (roles(&[Role::Listener], &[]), false),
        (Filter { ports: vec![80], roles: vec![Role::Listener], ..Filter::default() }, false),
        (Filter { ports: vec![1], local_ports: vec![2], peer_ports: vec![3], ..Filter::default() }, false),
        (families(&[Family::Ipv4], &["::1", "fd00::/8"]), true),
        (families(&[Family::Ipv4, Family::Ipv4], &["::1"]), true),
        (families(&[Family::Ipv4], &["::1", "10.0.0.4"]), false),
        (families(&[Family::Ipv4], &["::ffff:10.0.0.4"]), false),
        (families(&[Family::Ipv4], &[]), false),
        (families(&[Family::Ipv6], &["10.0.0.4"]), false),
        (families(&[Family::Ipv4, Family::Ipv6], &["::1"]), false),
        (families(&[], &["::1"]), false),
    ] {
        assert_eq!(filter.conflict().is_some(), conflict, "{filter:?}");
    }
}
