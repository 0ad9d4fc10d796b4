//! Lost events, and what they leave in doubt.

use super::{
    host::{Host, MS, SECOND, process},
    seen::Watch,
};
use crate::{
    event::{State, What},
    lifecycle::Origin,
};

#[test]
fn a_loss_marks_exactly_the_lives_that_overlap_it() {
    let mut host = Host::new();
    let curl = process("curl", 200);
    let mut before = host.client("10.0.0.1:5000", "10.0.0.2:80");
    host.closes_second(&mut before, &curl);
    let mut during = host.client("10.0.0.1:5001", "10.0.0.2:80");
    let open = host.client("10.0.0.1:5002", "10.0.0.2:80");
    host.wait(SECOND);
    let since = host.now;
    let mut within = host.client("10.0.0.1:5003", "10.0.0.2:80");
    host.closes_second(&mut within, &curl);
    host.lost(3, since);
    host.closes_second(&mut during, &curl);
    host.wait(SECOND);
    let mut after = host.client("10.0.0.1:5004", "10.0.0.2:80");
    host.closes_second(&mut after, &curl);
    let watch = Watch::all(&host);
    assert_eq!(watch.lost, 3);
    for (socket, complete) in [(&before, true), (&during, false), (&within, false), (&open, false), (&after, true)] {
        assert_eq!(watch.life(socket).complete, complete, "{:?}", socket.sock.local);
    }
}

#[test]
fn a_connection_that_is_destroyed_is_not_taken_for_accepted_when_its_listener_is_destroyed_too() {
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    let mut listener = host.listener("0.0.0.0:80", &nginx);
    // Its close was lost.
    let child = host.arrives(&listener, "10.0.0.2:5000");
    host.destroyed(&child);
    host.stops_listening(&mut listener, &nginx);
    host.destroyed(&listener);
    let watch = Watch::all(&host);
    assert!(!watch.life(&child).was_accepted());
    assert_eq!(watch.life(&listener).accepted, 0);
}

#[test]
fn an_address_that_is_used_again_ends_the_life_whose_end_was_missed() {
    let mut host = Host::new();
    let old = host.client("10.0.0.1:5000", "10.0.0.2:80");
    let mut new = host.socket();
    new.sock.key.addr = old.sock.key.addr;
    host.connect(&mut new, "10.0.0.3:80", &process("curl", 200));
    host.connected(&mut new, "10.0.0.1:5001");
    host.closes_second(&mut new, &process("curl", 200));
    let watch = Watch::all(&host);
    assert_eq!(watch.path(&old), "connect established");
    assert!(!watch.life(&old).complete);
    assert_eq!(watch.ending(&old), "? ? time_wait?");
    assert_eq!(watch.path(&new), "connect established close");
    assert!(watch.life(&new).complete);
    assert_eq!(watch.ending(&new), "peer fin");
}

#[test]
fn a_socket_that_turns_up_in_the_midst_of_its_life_lost_its_start_unless_it_is_older_than_the_trace() {
    let mut host = Host::new();
    host.surveyed();
    host.wait(SECOND);
    let mut orphan = host.socket();
    orphan.sock.state = State::Established;
    host.closes_second(&mut orphan, &process("curl", 200));
    let watch = Watch::all(&host);
    assert!(!watch.life(&orphan).complete);
}

#[test]
fn a_socket_that_did_something_before_it_was_followed_is_not_whole_and_nothing_is_told_of_that() {
    let curl = process("curl", 200);
    for (is_bound, path) in [(false, "connect established close"), (true, "bind connect established close")] {
        for before in [false, true] {
            let mut host = Host::new();
            host.surveyed();
            let mut client = host.socket();
            if before {
                host.step(&mut client, State::Closed, None);
            }
            if is_bound {
                host.bind(&mut client, "10.0.0.1:5000", &curl);
            }
            host.connect(&mut client, "10.0.0.2:80", &curl);
            host.connected(&mut client, "10.0.0.1:5000");
            host.closes_second(&mut client, &curl);
            let watch = Watch::all(&host);
            let life = watch.life(&client);
            assert_eq!((watch.path(&client).as_str(), watch.ending(&client).as_str()), (path, "peer fin"));
            assert_eq!((life.complete, life.origin == Origin::Traced), (!before, !before), "{path}");
            assert!(!watch.told(life.number).contains(&"closed→closed"), "{path}");
        }
    }
}

#[test]
fn a_change_of_state_that_is_missing_shows_even_where_nobody_counted_it() {
    for missing in 0.. {
        let mut host = Host::new();
        host.surveyed();
        let client = host.client("10.0.0.1:5000", "10.0.0.2:80");
        let curl = process("curl", 200);
        let mut client = client;
        host.closes_second(&mut client, &curl);
        let changes: Vec<usize> = (0..host.events.len()).filter(|&at| is_change(&host.events[at].what)).collect();
        let Some(&at) = changes.get(missing) else {
            assert!(missing >= 5, "a client that is closed goes through five changes");
            break;
        };
        host.events.remove(at);
        let watch = Watch::all(&host);
        assert!(watch.lives.iter().all(|life| !life.complete), "without change {missing}");
    }
}

fn is_change(what: &What) -> bool {
    matches!(what, What::Transition { .. } | What::Step { .. } | What::Close { .. })
}

#[test]
fn losses_are_told_at_once_and_once() {
    let mut host = Host::new();
    let client = host.client("10.0.0.1:5000", "10.0.0.2:80");
    host.lost(7, host.now - MS);
    let mut watch = Watch::default();
    watch.give_all(&host);
    assert_eq!(watch.lost, 7);
    watch.finish();
    assert_eq!(watch.lost, 7);
    assert!(!watch.life(&client).complete);
}

#[test]
fn losses_that_overlap_are_one() {
    let mut host = Host::new();
    let client = host.client("10.0.0.1:5000", "10.0.0.2:80");
    let start = host.now;
    host.wait(SECOND);
    let mut late = host.client("10.0.0.1:5001", "10.0.0.2:80");
    host.closes_second(&mut late, &process("curl", 200));
    host.lost(1, host.now);
    // Another processor reports later of an earlier time.
    host.lost(1, start + 2);
    let watch = Watch::all(&host);
    assert!(!watch.life(&late).complete && !watch.life(&client).complete);
}
