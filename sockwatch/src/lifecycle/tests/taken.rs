//! Connections that were accepted by a call that no tracepoint tells of, and what else such calls do.

use super::{
    host::{Host, SECOND, Socket, process},
    seen::{Watch, owner},
};
use crate::event::{Mark, State};

type Story = fn(&mut Host, &mut Socket, &mut Socket);

/// How many connections a listener is said to have accepted, where `story` is what became of its one.
fn accepted(story: Story) -> (u64, String) {
    let mut host = Host::new();
    host.surveyed();
    let mut listener = host.listener("10.0.0.1:80", &process("nginx", 100));
    let mut child = host.arrives(&listener, "10.0.0.2:5000");
    story(&mut host, &mut listener, &mut child);
    let watch = Watch::all(&host);
    let life = watch.life(&child);
    assert_eq!((owner(life), life.accept_queue_ns), (None, None), "nobody is guessed");
    assert!(!watch.path(&child).contains("accept"), "{}", watch.path(&child));
    (watch.life(&listener).accepted, watch.ending(&child))
}

#[test]
fn what_a_process_has_was_accepted_though_no_accept_was_seen() {
    let stories: [(&str, Story, u64, &str); 9] = [
        ("it waits", |_, _, _| (), 0, "open"),
        (
            "it is closed first",
            |host, _, child| host.closes_first(child, &process("nginx", 100)),
            1,
            "local fin time_wait",
        ),
        ("it is closed second", |host, _, child| host.closes_second(child, &process("nginx", 100)), 1, "peer fin"),
        ("it resets", |host, _, child| host.resets(child, &process("nginx", 100)), 1, "local reset"),
        (
            "it is reset while it waits",
            |host, _, child| {
                child.stats.unheld = true;
                host.is_reset(child, nix::libc::ECONNRESET);
            },
            0,
            "peer reset ECONNRESET",
        ),
        (
            "its listener closes while it waits",
            |host, listener, child| {
                host.stops_listening(listener, &process("nginx", 100));
                child.stats.unheld = true;
                host.close(child, Some(&process("nginx", 100)));
                host.mark(child, Mark::ResetSent);
                host.destroyed(child);
                host.destroyed(listener);
            },
            0,
            "local unaccepted",
        ),
        (
            "it outlives its listener",
            |host, listener, _| {
                host.stops_listening(listener, &process("nginx", 100));
                host.destroyed(listener);
                host.wait(SECOND);
            },
            1,
            "open",
        ),
        (
            "it outlives its listener, and resets",
            |host, listener, child| {
                host.stops_listening(listener, &process("nginx", 100));
                host.destroyed(listener);
                host.wait(SECOND);
                child.stats.unheld = true;
                host.resets(child, &process("nginx", 100));
            },
            1,
            "local reset",
        ),
        (
            "somebody holds it at the end",
            |host, _, child| {
                host.exists(child, &[(&process("nginx", 100), 9)]);
            },
            1,
            "open",
        ),
    ];
    for (what, story, expected, ending) in stories {
        assert_eq!(accepted(story), (expected, ending.to_owned()), "{what}");
    }
}

#[test]
fn an_accept_that_is_seen_late_is_counted_once() {
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    let listener = host.listener("10.0.0.1:80", &nginx);
    let mut child = host.arrives(&listener, "10.0.0.2:5000");
    // Reset between the moment when it was taken and the end of the call.
    host.is_reset(&mut child, nix::libc::ECONNRESET);
    host.accept(&child, &nginx);
    host.destroyed(&child);
    let watch = Watch::all(&host);
    assert_eq!(watch.life(&listener).accepted, 1);
    assert_eq!(owner(watch.life(&child)), Some(100));
    assert_eq!(watch.path(&child), "syn_received established close accept");
}

#[test]
fn what_existed_before_may_have_been_accepted_before() {
    let nginx = process("nginx", 100);
    for (waited, expected) in [(false, 0), (true, 1)] {
        let mut host = Host::new();
        let mut listener = host.socket();
        listener.sock.local = super::host::at("10.0.0.1:80");
        listener.sock.state = State::Listen;
        host.exists(&mut listener, &[(&nginx, 3)]);
        let mut child = host.socket();
        child.sock.local = super::host::at("10.0.0.1:80");
        child.sock.peer = super::host::at("10.0.0.2:5000");
        child.sock.state = State::Established;
        child.stats.unheld = waited;
        let holders = [(&nginx, 9)];
        host.exists(&mut child, if waited { &[] } else { &holders });
        host.surveyed();
        child.stats.unheld = false;
        host.closes_first(&mut child, &nginx);
        let watch = Watch::all(&host);
        assert_eq!(watch.life(&listener).accepted, expected, "waited: {waited}");
    }
}

#[test]
fn the_limit_of_a_listener_is_that_of_its_last_listen_seen_or_not() {
    let nginx = process("nginx", 100);
    for (limit, given) in [(128, Some(4096)), (5, None)] {
        let mut host = Host::new();
        let mut listener = host.listener("10.0.0.1:80", &nginx);
        listener.stats.backlog = limit;
        host.stops_listening(&mut listener, &nginx);
        host.destroyed(&listener);
        let watch = Watch::all(&host);
        let life = watch.life(&listener);
        assert_eq!((life.backlog, life.backlog_given), (Some(limit), given));
    }
}

#[test]
fn a_handshake_that_the_kernel_knows_by_a_timestamp_is_not_timed() {
    // Eighths of a microsecond: what the kernel measured, and what a SYN cookie's timestamp says.
    for (srtt, expected) in [(0, None), (800, Some(100_000)), (8 * 22_000, None), (8 * 22_001, Some(22_001_000))] {
        let mut host = Host::new();
        let listener = host.listener("10.0.0.1:80", &process("nginx", 100));
        let mut child = host.syn_received(&listener, "10.0.0.2:5000");
        child.srtt = srtt;
        host.transition(&mut child, State::Established, None, None);
        assert_eq!(Watch::all(&host).life(&child).handshake_ns, expected, "{srtt}");
    }
}

#[test]
fn a_child_that_the_kernel_drops_as_it_is_made_is_told_so() {
    for (unheld, expected) in [(true, "kernel aborted"), (false, "? ?")] {
        let mut host = Host::new();
        let listener = host.listener("10.0.0.1:80", &process("nginx", 100));
        let mut child = host.syn_received(&listener, "10.0.0.2:5000");
        child.stats.unheld = unheld;
        host.close(&mut child, None);
        host.destroyed(&child);
        assert_eq!(Watch::all(&host).ending(&child), expected, "unheld: {unheld}");
    }
}
