//! When things are told: in the order of time, and not before their meaning is settled.

use nix::libc;

use super::{
    host::{Host, MS, SECOND, US, process},
    seen::Watch,
};
use crate::event::{Mark, State};

/// Everything given, nothing more coming until `later`.
fn after(watch: &mut Watch, host: &mut Host, later: u64) {
    for event in host.events.drain(..) {
        watch.give(&event);
    }
    watch.advance(host.now + later);
}

#[test]
fn what_happens_is_told_in_the_order_of_time_across_sockets() {
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    let listener = host.listener("0.0.0.0:80", &nginx);
    let child = host.arrives(&listener, "10.0.0.2:5000");
    host.accept(&child, &nginx);
    let mut client = host.client("10.0.0.1:5000", "10.0.0.2:80");
    host.closes_second(&mut client, &nginx);
    // Two processors write their records half a millisecond out of order.
    let count = host.events.len();
    host.events[count - 4..].rotate_left(2);
    host.events.swap(2, 4);
    let mut watch = Watch::default();
    for event in &host.events {
        watch.give(event);
        watch.advance(event.time);
    }
    watch.finish();
    assert!(watch.lines.windows(2).all(|pair| pair[0].time <= pair[1].time), "{:#?}", watch.lines);
}

#[test]
fn an_accept_that_a_reset_overtook_is_told_behind_it() {
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    let listener = host.listener("0.0.0.0:80", &nginx);
    let mut child = host.arrives(&listener, "10.0.0.2:5000");
    host.is_reset(&mut child, libc::ECONNRESET);
    let reset = host.events.last().expect("a reset").time;
    host.accept(&child, &nginx);
    // The accepting thread took the time, and was interrupted before it wrote its record.
    host.events.last_mut().expect("an accept").time = reset - 2 * US;
    let mut watch = Watch::default();
    after(&mut watch, &mut host, SECOND);
    watch.finish();
    let child = watch.milestones().into_iter().skip(2).collect::<Vec<_>>();
    assert_eq!(child, ["syn_received", "established", "close", "accept"]);
    assert!(watch.lines.windows(2).all(|pair| pair[0].time <= pair[1].time), "{:#?}", watch.lines);
}

#[test]
fn a_line_waits_a_millisecond_for_what_came_before_it() {
    let mut host = Host::new();
    let mut watch = Watch::default();
    let mut socket = host.socket();
    host.bind(&mut socket, "10.0.0.1:80", &process("python", 300));
    after(&mut watch, &mut host, MS - 1);
    assert!(watch.lines.is_empty());
    after(&mut watch, &mut host, MS);
    assert_eq!(watch.milestones(), ["bind"]);
}

#[test]
fn a_close_is_told_with_the_reset_that_explains_it() {
    let mut host = Host::new();
    let mut watch = Watch::default();
    let mut client = host.client("10.0.0.1:5000", "10.0.0.2:80");
    host.close(&mut client, Some(&process("curl", 200)));
    after(&mut watch, &mut host, 10 * MS);
    assert_eq!(watch.milestones(), ["connect", "established"], "it waits for its reason");
    host.mark(&client, Mark::ResetSent);
    after(&mut watch, &mut host, 10 * MS);
    assert_eq!(watch.milestones(), ["connect", "established", "close"]);
}

#[test]
fn a_close_that_stays_unexplained_is_told_after_a_tenth_of_a_second() {
    let mut host = Host::new();
    let mut watch = Watch::default();
    let mut client = host.client("10.0.0.1:5000", "10.0.0.2:80");
    host.close(&mut client, Some(&process("curl", 200)));
    after(&mut watch, &mut host, 100 * MS);
    assert_eq!(watch.milestones(), ["connect", "established", "close"]);
}

#[test]
fn an_accepted_connection_waits_for_its_reset_even_if_its_listener_is_gone() {
    let mut host = Host::new();
    let mut watch = Watch::default();
    let nginx = process("nginx", 100);
    let mut listener = host.listener("0.0.0.0:80", &nginx);
    let mut child = host.arrives(&listener, "10.0.0.2:5000");
    host.accept(&child, &nginx);
    host.stops_listening(&mut listener, &nginx);
    host.close(&mut child, Some(&nginx));
    after(&mut watch, &mut host, 10 * MS);
    assert_eq!(watch.milestones().last(), Some(&"close"));
    assert_eq!(watch.milestones().iter().filter(|text| **text == "close").count(), 1, "the listener's alone");
}

#[test]
fn a_connect_is_told_when_it_is_known_whether_a_syn_was_sent_or_after_a_tenth_of_a_second() {
    let mut host = Host::new();
    let mut watch = Watch::default();
    let mut client = host.socket();
    host.connect(&mut client, "10.0.0.2:80", &process("curl", 200));
    after(&mut watch, &mut host, 99 * MS);
    assert!(watch.lines.is_empty());
    after(&mut watch, &mut host, 100 * MS);
    assert_eq!(watch.milestones(), ["connect"]);
}

#[test]
fn a_connect_that_is_answered_is_told_at_once() {
    let mut host = Host::new();
    let mut watch = Watch::default();
    host.client("10.0.0.1:5000", "10.0.0.2:80");
    after(&mut watch, &mut host, MS);
    assert_eq!(watch.milestones(), ["connect", "established"]);
}

#[test]
fn a_connect_that_fails_before_its_syn_is_told_with_its_errno() {
    let mut host = Host::new();
    let mut watch = Watch::default();
    let mut client = host.socket();
    let curl = process("curl", 200);
    host.connect_fails_inside(&mut client, "10.0.0.2:80", &curl, libc::EADDRNOTAVAIL);
    let outcome = host.events.pop().unwrap();
    after(&mut watch, &mut host, 10 * MS);
    assert!(watch.milestones().is_empty());
    host.events.push(outcome);
    after(&mut watch, &mut host, 10 * MS);
    assert_eq!(watch.milestones(), ["connect"]);
    watch.finish();
    assert_eq!(watch.path(&client), "connect:EADDRNOTAVAIL");
}

#[test]
fn changes_of_state_and_segments_are_told_between_the_milestones() {
    let mut host = Host::new();
    let mut client = host.client("10.0.0.1:5000", "10.0.0.2:80");
    host.mark(&client, Mark::Retransmit);
    host.is_reset(&mut client, libc::ECONNRESET);
    host.destroyed(&client);
    let watch = Watch::all(&host);
    let told = watch.told(watch.life(&client).number);
    assert_eq!(
        told,
        [
            "connect",
            "closed→syn_sent",
            "established",
            "syn_sent→established",
            "(retransmit)",
            "(reset received)",
            "close",
            "established→closed",
            "end"
        ]
    );
}

#[test]
fn signals_are_left_out_for_those_who_show_none() {
    let mut host = Host::new();
    let mut client = host.client("10.0.0.1:5000", "10.0.0.2:80");
    host.mark(&client, Mark::Retransmit);
    host.is_reset(&mut client, libc::ECONNRESET);
    host.destroyed(&client);
    let mut watch = Watch::default();
    watch.engine.leave_out_signals();
    watch.give_all(&host);
    watch.finish();
    assert_eq!(watch.told(1), ["connect", "established", "close", "end"]);
    assert_eq!(watch.ending(&client), Watch::all(&host).ending(&client));
}

#[test]
fn a_socket_is_told_when_it_is_destroyed_and_forgotten() {
    let mut host = Host::new();
    let mut watch = Watch::default();
    let mut client = host.client("10.0.0.1:5000", "10.0.0.2:80");
    host.closes_second(&mut client, &process("curl", 200));
    after(&mut watch, &mut host, MS);
    assert_eq!(watch.lives.len(), 1);
    assert_eq!(watch.life(&client).state, State::Closed);
    assert!(watch.engine.is_empty());
}

#[test]
fn a_host_that_slept_for_hours_tells_what_was_before_and_counts_the_sleep() {
    // The clock of events goes on while a host sleeps; its processors wake one after the other.
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    let listener = host.listener("10.0.0.1:80", &nginx);
    let mut child = host.arrives(&listener, "10.0.0.2:5000");
    host.accept(&child, &nginx);
    let before = host.now;
    host.wait(8 * 3600 * SECOND);
    host.closes_first(&mut child, &nginx);
    let mut watch = Watch::default();
    watch.give_all(&host);
    watch.finish();
    let life = watch.life(&child);
    assert!(life.complete);
    assert_eq!(watch.path(&child), "syn_received established accept close");
    assert_eq!(watch.ending(&child), "local fin time_wait");
    assert!(life.lifetime_ns().is_some_and(|lived| lived > 8 * 3600 * SECOND));
    let told: Vec<_> = watch.lines.iter().map(|line| line.time).filter(|time| *time < u64::MAX).collect();
    assert!(told.is_sorted() && told.iter().any(|time| *time <= before) && told.iter().any(|time| *time > before));
}
