//! Clients, and connects that come to nothing.

use nix::libc;

use super::{
    host::{Host, MS, SECOND, at, process},
    seen::{Watch, owner},
};
use crate::{
    event::{Errno, Mark},
    lifecycle::{How, Origin, Role},
};

#[test]
fn a_client_has_its_process_its_ends_and_the_time_it_took() {
    let mut host = Host::new();
    let mut client = host.socket();
    host.connect(&mut client, "10.0.0.2:80", &process("curl", 200));
    host.wait(3 * MS);
    host.connected(&mut client, "10.0.0.1:5000");
    host.closes_first(&mut client, &process("curl", 200));
    let watch = Watch::all(&host);
    let life = watch.life(&client);
    assert_eq!(watch.path(&client), "connect established close");
    assert_eq!((life.role, life.origin, life.complete), (Some(Role::Client), Origin::Traced, true));
    assert_eq!((life.local, life.peer), (Some(at("10.0.0.1:5000")), Some(at("10.0.0.2:80"))));
    assert_eq!((owner(life), life.fd, life.listener), (Some(200), Some(3), None));
    assert_eq!(life.connect_ns, Some(life.path[1].time - life.path[0].time));
    assert_eq!(life.path[0].time, SECOND, "connect is timed at the call");
    assert_eq!(life.lifetime_ns(), Some(life.destroyed.unwrap() - life.first));
    assert_eq!(life.cookie, Some(client.sock.cookie));
}

#[test]
fn a_connect_that_is_refused_names_the_peer_and_the_errno() {
    let mut host = Host::new();
    let mut client = host.socket();
    host.connect(&mut client, "10.0.0.2:80", &process("curl", 200));
    host.wait(MS);
    host.is_reset(&mut client, libc::ECONNREFUSED);
    host.destroyed(&client);
    let watch = Watch::all(&host);
    assert_eq!(watch.ending(&client), "peer refused ECONNREFUSED");
    assert_eq!(watch.path(&client), "connect close");
    let life = watch.life(&client);
    assert_eq!(life.peer, Some(at("10.0.0.2:80")));
    assert!(life.connect_ns.is_some_and(|took| took > MS));
    assert!(!life.has_failed_call(), "a SYN was sent");
}

/// A SYN is sent, and the attempt ends without an answer.
fn attempt_ends(error: i32) -> String {
    let mut host = Host::new();
    let mut client = host.socket();
    host.connect(&mut client, "10.0.0.2:80", &process("curl", 200));
    client.stats.error = Errno::new(error);
    host.mark(&client, Mark::Retransmit);
    let by = process("curl", 200);
    host.close(&mut client, (error == 0).then_some(&by));
    host.destroyed(&client);
    Watch::all(&host).ending(&client)
}

#[test]
fn a_connect_without_an_answer_times_out_by_the_kernel() {
    assert_eq!(attempt_ends(libc::ETIMEDOUT), "kernel timeout ETIMEDOUT");
}

#[test]
fn a_connect_that_icmp_ends_is_unreachable() {
    assert_eq!(attempt_ends(libc::EHOSTUNREACH), "kernel unreachable EHOSTUNREACH");
    assert_eq!(attempt_ends(libc::ENETUNREACH), "kernel unreachable ENETUNREACH");
}

#[test]
fn a_connect_that_is_given_up_is_aborted_by_this_side() {
    assert_eq!(attempt_ends(0), "local aborted");
}

#[test]
fn a_connect_that_an_administrator_kills_is_aborted_by_the_kernel() {
    assert_eq!(attempt_ends(libc::ECONNABORTED), "kernel aborted ECONNABORTED");
}

#[test]
fn a_connect_without_a_route_fails_before_its_syn() {
    let mut host = Host::new();
    let client = host.socket();
    host.connect_fails(&client, "10.0.0.2:80", &process("curl", 200), libc::ENETUNREACH);
    host.destroyed(&client);
    let watch = Watch::all(&host);
    assert_eq!(watch.path(&client), "connect:ENETUNREACH");
    assert_eq!(watch.ending(&client), "kernel failed ENETUNREACH");
    let life = watch.life(&client);
    assert_eq!((life.role, owner(life), life.peer), (Some(Role::Client), Some(200), Some(at("10.0.0.2:80"))));
    assert!(life.has_failed_call());
}

#[test]
fn a_connect_without_a_free_port_fails_once_and_names_the_errno() {
    let mut host = Host::new();
    let mut client = host.socket();
    host.connect_fails_inside(&mut client, "10.0.0.2:80", &process("curl", 200), libc::EADDRNOTAVAIL);
    host.destroyed(&client);
    let watch = Watch::all(&host);
    assert_eq!(watch.path(&client), "connect:EADDRNOTAVAIL");
    assert_eq!(watch.ending(&client), "kernel failed EADDRNOTAVAIL");
    assert_eq!(watch.milestones(), ["connect"]);
}

#[test]
fn a_connect_that_fails_twice_before_its_syn_is_told_twice() {
    let mut host = Host::new();
    let client = host.socket();
    let curl = process("curl", 200);
    host.connect_fails(&client, "10.0.0.2:80", &curl, libc::ENETUNREACH);
    host.connect_fails(&client, "10.0.0.2:80", &curl, libc::EACCES);
    host.destroyed(&client);
    let watch = Watch::all(&host);
    assert_eq!(watch.path(&client), "connect:ENETUNREACH connect:EACCES");
    assert_eq!(watch.ending(&client), "kernel failed EACCES");
}

#[test]
fn a_refused_socket_that_connects_again_keeps_its_id_and_tells_of_its_last_close() {
    let mut host = Host::new();
    let mut client = host.socket();
    let curl = process("curl", 200);
    host.connect(&mut client, "10.0.0.2:80", &curl);
    host.is_reset(&mut client, libc::ECONNREFUSED);
    host.wait(SECOND);
    client.stats.error = None;
    host.connect(&mut client, "10.0.0.3:80", &curl);
    host.connected(&mut client, "10.0.0.1:5001");
    host.closes_second(&mut client, &curl);
    let watch = Watch::all(&host);
    assert_eq!(watch.lives.len(), 1);
    assert_eq!(watch.path(&client), "connect close connect established close");
    assert_eq!(watch.ending(&client), "peer fin");
    assert_eq!(watch.life(&client).peer, Some(at("10.0.0.3:80")));
    assert!(watch.life(&client).connect_ns.unwrap() < MS, "of the last connect");
}

#[test]
fn a_bind_does_not_change_what_is_told_of_the_connect_before_it() {
    let mut host = Host::new();
    let mut client = host.socket();
    let curl = process("curl", 200);
    host.connect(&mut client, "10.0.0.2:80", &curl);
    client.local("10.0.0.1:5000");
    host.is_reset(&mut client, libc::ECONNREFUSED);
    client.stats.error = None;
    // The kernel took its port back with the refusal.
    host.bind(&mut client, "10.0.0.1:6000", &curl);
    host.listen(&mut client, &curl);
    let watch = Watch::all(&host);
    assert_eq!(watch.path(&client), "connect close bind listen");
    let life = watch.life(&client);
    for milestone in &life.path[..2] {
        let then = milestone.then.as_deref().expect("it is told as it was");
        assert_eq!((then.local, then.peer), (Some(at("10.0.0.1:5000")), Some(at("10.0.0.2:80"))));
        assert_eq!(then.verdict.and_then(|verdict| verdict.how), Some(How::Refused));
    }
    assert_eq!(life.local, Some(at("10.0.0.1:6000")));
}

#[test]
fn a_connect_after_a_failed_one_is_judged_by_itself() {
    let mut host = Host::new();
    let mut client = host.socket();
    let curl = process("curl", 200);
    host.connect_fails_inside(&mut client, "10.0.0.2:80", &curl, libc::EADDRNOTAVAIL);
    client.stats.nothing_sent = false;
    host.connect(&mut client, "10.0.0.2:80", &curl);
    host.is_reset(&mut client, libc::ECONNREFUSED);
    host.destroyed(&client);
    let watch = Watch::all(&host);
    assert_eq!(watch.path(&client), "connect:EADDRNOTAVAIL connect close");
    assert_eq!(watch.ending(&client), "peer refused ECONNREFUSED");
}

#[test]
fn a_connect_that_fails_after_a_refused_one_is_the_last_word() {
    let mut host = Host::new();
    let mut client = host.socket();
    let curl = process("curl", 200);
    host.connect(&mut client, "10.0.0.2:80", &curl);
    host.is_reset(&mut client, libc::ECONNREFUSED);
    host.connect_fails(&client, "10.9.0.2:80", &curl, libc::ENETUNREACH);
    host.destroyed(&client);
    let watch = Watch::all(&host);
    assert_eq!(watch.path(&client), "connect close connect:ENETUNREACH");
    assert_eq!(watch.ending(&client), "kernel failed ENETUNREACH");
}

#[test]
fn a_client_that_bound_first_has_its_local_end_from_the_start() {
    let mut host = Host::new();
    let mut client = host.socket();
    let curl = process("curl", 200);
    host.bind(&mut client, "10.0.0.1:6000", &curl);
    host.connect(&mut client, "10.0.0.2:80", &curl);
    let watch = Watch::all(&host);
    let life = watch.life(&client);
    assert_eq!(watch.path(&client), "bind connect");
    assert_eq!(life.local, Some(at("10.0.0.1:6000")));
    assert_eq!(watch.ending(&client), "open");
}

#[test]
fn a_bind_that_fails_keeps_the_address_asked_for() {
    let mut host = Host::new();
    let mut socket = host.socket();
    let python = process("python", 300);
    host.bind_fails(&socket, "10.0.0.1:80", &python, libc::EADDRINUSE);
    host.bind(&mut socket, "10.0.0.1:81", &python);
    host.destroyed(&socket);
    let watch = Watch::all(&host);
    let life = watch.life(&socket);
    assert_eq!(watch.path(&socket), "bind:EADDRINUSE bind");
    assert_eq!((life.path[0].asked, life.path[1].asked), (Some(at("10.0.0.1:80")), Some(at("10.0.0.1:81"))));
    assert_eq!((life.local, owner(life)), (Some(at("10.0.0.1:81")), Some(300)));
    assert_eq!(life.verdict().unwrap().how, Some(How::Closed));
    assert!(life.has_failed_call());
}

#[test]
fn a_bind_that_fails_leaves_the_socket_without_an_address() {
    let mut host = Host::new();
    let socket = host.socket();
    host.bind_fails(&socket, "10.0.0.1:80", &process("python", 300), libc::EACCES);
    host.destroyed(&socket);
    assert_eq!(Watch::all(&host).life(&socket).local, None);
}
