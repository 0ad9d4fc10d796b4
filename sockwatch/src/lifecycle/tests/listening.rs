//! Listeners and the connections that come to them.

use nix::libc;

use super::{
    host::{Host, MS, Socket, at, process},
    seen::{Watch, ending, owner},
};
use crate::{
    event::{Mark, State},
    lifecycle::Role,
};

#[test]
fn a_listener_is_told_of_with_what_it_was_given_and_what_came_to_it() {
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    let mut listener = host.listener("0.0.0.0:80", &nginx);
    for port in 5000..5003 {
        let mut child = host.arrives(&listener, &format!("10.0.0.2:{port}"));
        host.accept(&child, &nginx);
        host.closes_second(&mut child, &nginx);
    }
    host.stops_listening(&mut listener, &nginx);
    host.destroyed(&listener);
    let watch = Watch::all(&host);
    let life = watch.life(&listener);
    assert_eq!(watch.path(&listener), "bind listen close");
    assert_eq!(watch.ending(&listener), "local closed");
    assert_eq!((life.role, owner(life), life.fd), (Some(Role::Listener), Some(100), Some(3)));
    assert_eq!((life.accepted, life.backlog, life.backlog_given), (3, Some(128), Some(4096)));
    assert_eq!((life.local, life.peer), (Some(at("0.0.0.0:80")), None));
    assert!(life.bytes().is_none());
}

#[test]
fn a_listener_without_a_bind_is_told_of_when_its_port_is_known() {
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    let mut listener = host.socket();
    let called = host.now;
    host.transition(&mut listener, State::Listen, Some(&nginx), Some(called));
    let mut watch = Watch::default();
    watch.give_all(&host);
    // The thread is held up in the call.
    watch.advance(host.now + 50 * MS);
    assert_eq!(watch.lines, []);
    let before = host.events.len();
    host.wait(60 * MS);
    listener.sock.local = at("0.0.0.0:30000");
    host.listen_returns(&listener, &nginx, called);
    host.events[before..].iter().for_each(|event| watch.give(event));
    watch.advance(host.now + 2 * MS);
    assert_eq!(watch.told(1), ["closed→listen", "listen"]);

    // Or when there is nothing more to wait for.
    let mut host = Host::new();
    let mut listener = host.socket();
    host.transition(&mut listener, State::Listen, Some(&nginx), None);
    let mut watch = Watch::default();
    watch.give_all(&host);
    watch.advance(host.now + 99 * MS);
    assert_eq!(watch.lines, []);
    watch.advance(host.now + 101 * MS);
    assert_eq!(watch.told(1), ["listen", "closed→listen"]);
}

#[test]
fn an_accepted_connection_names_its_listener_its_process_and_its_wait() {
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    let listener = host.listener("0.0.0.0:80", &nginx);
    let mut child = host.arrives(&listener, "10.0.0.2:5000");
    host.wait(7 * MS);
    host.accept(&child, &process("worker", 101));
    host.closes_first(&mut child, &process("worker", 101));
    let watch = Watch::all(&host);
    let life = watch.life(&child);
    assert_eq!(watch.path(&child), "syn_received established accept close");
    assert_eq!(life.role, Some(Role::Server));
    assert_eq!(life.listener, Some(watch.life(&listener).number));
    assert_eq!((owner(life), life.fd), (Some(101), Some(9)));
    assert_eq!(life.accept_queue_ns, Some(life.path[2].time - life.path[1].time));
    assert_eq!(life.handshake_ns, Some(100_000), "800 eighths of a microsecond");
    assert_eq!((life.local, life.peer), (Some(at("10.0.0.1:80")), Some(at("10.0.0.2:5000"))));
    assert_eq!(life.cookie, Some(child.sock.cookie));
    assert_eq!(ending(life), "local fin time_wait");
}

#[test]
fn a_handshake_that_was_not_measured_is_not_zero() {
    let mut host = Host::new();
    let listener = host.listener("0.0.0.0:80", &process("nginx", 100));
    let mut child = host.syn_received(&listener, "10.0.0.2:5000");
    child.srtt = 0;
    host.connected(&mut child, "10.0.0.1:80");
    assert_eq!(Watch::all(&host).life(&child).handshake_ns, None);
}

#[test]
fn two_listeners_of_one_port_have_each_their_own_connections() {
    let mut host = Host::new();
    let workers = [process("worker", 101), process("worker", 102)];
    let listeners = workers.each_ref().map(|worker| host.listener("0.0.0.0:80", worker));
    let children: Vec<Socket> = (0..4)
        .map(|n| {
            let child = host.arrives(&listeners[n % 2], &format!("10.0.0.2:{}", 5000 + n));
            host.accept(&child, &workers[n % 2]);
            child
        })
        .collect();
    let watch = Watch::all(&host);
    for (n, child) in children.iter().enumerate() {
        assert_eq!(watch.life(child).listener, Some(watch.life(&listeners[n % 2]).number), "connection {n}");
    }
    assert!(listeners.iter().all(|listener| watch.life(listener).accepted == 2));
}

#[test]
fn forked_children_that_share_a_listener_own_what_they_accept() {
    let mut host = Host::new();
    let listener = host.listener("0.0.0.0:80", &process("master", 100));
    for pid in [101, 102, 103] {
        let child = host.arrives(&listener, &format!("10.0.0.2:{pid}"));
        host.accept(&child, &process("worker", pid));
        let watch = Watch::all(&host);
        assert_eq!(owner(watch.life(&child)), Some(pid));
        assert_eq!(owner(watch.life(&listener)), Some(100), "the listener stays its master's");
    }
    assert_eq!(Watch::all(&host).life(&listener).accepted, 3);
}

#[test]
fn connections_that_nobody_accepted_end_with_their_listener() {
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    let mut listener = host.listener("0.0.0.0:80", &nginx);
    let mut children: Vec<Socket> =
        (5000..5003).map(|port| host.arrives(&listener, &format!("10.0.0.2:{port}"))).collect();
    host.step(&mut children[1], State::CloseWait, None);
    let accepted = host.arrives(&listener, "10.0.0.2:5009");
    host.accept(&accepted, &nginx);
    let mut unseen = host.arrives(&listener, "10.0.0.2:5010");
    // `inet_csk_listen_stop`: the listener first, then what is in its queue.
    host.stops_listening(&mut listener, &nginx);
    for child in &mut children {
        child.stats.unheld = true;
        host.resets(child, &nginx);
    }
    host.destroyed(&listener);
    let mut accepted = accepted;
    // Held, though its accept was not seen (io_uring): closed by its process, not by its listener.
    host.resets(&mut unseen, &nginx);
    host.resets(&mut accepted, &nginx);
    let watch = Watch::all(&host);
    assert_eq!(watch.ending(&unseen), "local reset");
    assert_eq!(watch.ending(&children[0]), "local unaccepted");
    assert_eq!(watch.ending(&children[1]), "peer unaccepted", "its peer's FIN came first");
    assert_eq!(watch.path(&children[2]), "syn_received established close");
    assert_eq!(owner(watch.life(&children[2])), None);
    assert_eq!(watch.ending(&accepted), "local reset", "it was accepted, and then reset");
}

#[test]
fn a_connection_that_outlives_its_listener_is_not_unaccepted_even_if_its_accept_was_not_seen() {
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    let mut listener = host.listener("0.0.0.0:80", &nginx);
    // By io_uring, whose accept fires no tracepoint.
    let mut first = host.arrives(&listener, "10.0.0.2:5000");
    let mut second = host.arrives(&listener, "10.0.0.2:5001");
    host.stops_listening(&mut listener, &nginx);
    host.destroyed(&listener);
    host.closes_second(&mut first, &nginx);
    host.closes_first(&mut second, &nginx);
    let watch = Watch::all(&host);
    assert_eq!(watch.ending(&first), "peer fin");
    assert_eq!(watch.ending(&second), "local fin time_wait");
}

#[test]
fn a_connection_reset_in_the_accept_queue_is_accepted_after_its_close() {
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    let listener = host.listener("0.0.0.0:80", &nginx);
    let mut child = host.arrives(&listener, "10.0.0.2:5000");
    host.is_reset(&mut child, libc::ECONNRESET);
    host.wait(50 * MS);
    // `inet_put_port` ran.
    child.sock.local.port = 0;
    host.accept(&child, &nginx);
    host.destroyed(&child);
    let watch = Watch::all(&host);
    let life = watch.life(&child);
    assert_eq!(watch.path(&child), "syn_received established close accept");
    assert_eq!(ending(life), "peer reset ECONNRESET");
    assert_eq!(life.local, Some(at("10.0.0.1:80")));
    assert_eq!(life.state, State::Closed);
    assert!(life.accept_queue_ns.unwrap() > 50 * MS);
    assert_eq!(watch.life(&listener).accepted, 1);
}

#[test]
fn a_second_listen_changes_the_backlog_of_the_same_listener() {
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    let mut listener = host.listener("0.0.0.0:80", &nginx);
    host.listen(&mut listener, &nginx);
    let watch = Watch::all(&host);
    assert_eq!(watch.path(&listener), "bind listen listen");
    assert_eq!(watch.ending(&listener), "open");
}

#[test]
fn a_listener_that_is_shut_down_and_listens_again_is_the_same_socket() {
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    let mut listener = host.listener("0.0.0.0:80", &nginx);
    let early = host.arrives(&listener, "10.0.0.2:5000");
    host.accept(&early, &nginx);
    host.stops_listening(&mut listener, &nginx);
    host.listen(&mut listener, &nginx);
    let late = host.arrives(&listener, "10.0.0.2:5001");
    host.accept(&late, &nginx);
    let watch = Watch::all(&host);
    let life = watch.life(&listener);
    assert_eq!(watch.path(&listener), "bind listen close listen");
    assert_eq!((ending(life).as_str(), life.accepted), ("open", 2));
    assert_eq!(watch.life(&late).listener, Some(life.number));
}

#[test]
fn a_listener_that_becomes_a_client_is_forgotten_as_one() {
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    let mut socket = host.listener("0.0.0.0:80", &nginx);
    host.stops_listening(&mut socket, &nginx);
    host.connect(&mut socket, "10.0.0.2:80", &nginx);
    host.connected(&mut socket, "10.0.0.1:80");
    host.closes_second(&mut socket, &nginx);
    let mut watch = Watch::default();
    watch.give_all(&host);
    watch.advance(host.now + 100 * MS);
    // A straggler of its time as a listener comes after its end was told.
    host.events.clear();
    let straggler = host.arrives(&socket, "10.0.0.2:5000");
    watch.give_all(&host);
    watch.finish();
    assert_eq!(watch.path(&socket), "bind listen close connect established close");
    assert_eq!(watch.life(&socket).role, Some(Role::Client));
    assert_eq!(watch.life(&straggler).listener, None);
}

#[test]
fn a_listen_that_fails_inside_never_was_a_listener() {
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    let mut socket = host.socket();
    host.bind(&mut socket, "0.0.0.0:80", &nginx);
    host.listen_fails_inside(&mut socket, &nginx, libc::EADDRINUSE);
    host.destroyed(&socket);
    let watch = Watch::all(&host);
    let life = watch.life(&socket);
    assert_eq!(watch.path(&socket), "bind listen:EADDRINUSE");
    assert_eq!((life.role, owner(life)), (None, Some(100)));
    assert_eq!(ending(life), "local closed");
    assert_eq!(watch.milestones(), ["bind", "listen"]);
}

#[test]
fn an_accept_without_a_free_descriptor_is_told_of_the_listener() {
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    let listener = host.listener("0.0.0.0:80", &nginx);
    host.accept_fails(&listener, &nginx, libc::EMFILE);
    let watch = Watch::all(&host);
    let life = watch.life(&listener);
    assert_eq!(watch.path(&listener), "bind listen accept:EMFILE");
    assert_eq!((life.role, life.accepted, life.has_failed_call()), (Some(Role::Listener), 0, false));
}

#[test]
fn a_listener_that_answers_strange_segments_with_resets_was_closed_all_the_same() {
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    let mut listener = host.listener("0.0.0.0:80", &nginx);
    host.mark(&listener, Mark::ResetSent);
    host.stops_listening(&mut listener, &nginx);
    host.destroyed(&listener);
    assert_eq!(Watch::all(&host).ending(&listener), "local closed");
}

#[test]
fn a_path_longer_than_the_cap_keeps_its_start_and_its_last_and_counts_the_rest() {
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    let mut listener = host.listener("0.0.0.0:80", &nginx);
    for _ in 0..400 {
        host.accept_fails(&listener, &nginx, libc::EMFILE);
    }
    host.stops_listening(&mut listener, &nginx);
    host.destroyed(&listener);
    let watch = Watch::all(&host);
    let life = watch.life(&listener);
    assert_eq!((life.path.len(), life.path_omitted), (256, 403 - 256));
    assert!(watch.path(&listener).starts_with("bind listen accept:EMFILE"));
    assert!(watch.path(&listener).ends_with("accept:EMFILE close"));
    let told = watch.milestones();
    assert_eq!(told.len(), 403, "each is told");
    assert_eq!(told.iter().filter(|text| **text == "close").count(), 1, "and told once");
    assert!(watch.lines.windows(2).all(|pair| pair[0].time <= pair[1].time));
}
