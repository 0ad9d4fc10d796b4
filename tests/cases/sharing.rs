//! Several processes, one port.

use std::{fs, process::Stdio};

use crate::support::{Actor, Host, Lines, Scratch, wait_for};

#[test]
fn nginx_with_two_workers_answers_curl() {
    let Some(host) = Host::shared() else { return };
    if !host.has(&["nginx", "curl"]) {
        return;
    }
    let netns = host.netns();
    let scratch = Scratch::new("nginx");
    let directory = scratch.path().display();
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {directory}/{kind};\n"))
        .concat();
    let configuration = format!(
        "daemon off; worker_processes 2; pid {directory}/pid; error_log stderr error; user nobody nogroup;
         events {{ worker_connections 64; }}
         http {{ access_log off; {paths} server {{ listen 127.0.0.1:8080 backlog=100; return 200 \"$pid\"; }} }}"
    );
    let file = scratch.path().join("nginx.conf");
    fs::write(&file, configuration).expect("a configuration");

    let trace = host.trace(&["--netns", &netns.path().display().to_string()]);
    let mut master = netns.command("nginx").arg("-c").arg(&file).stderr(Stdio::null()).spawn().expect("nginx starts");
    let children = format!("/proc/{0}/task/{0}/children", master.id());
    let workers: Vec<u32> = wait_for("two workers", || {
        let children = fs::read_to_string(&children).ok()?;
        let workers: Vec<u32> = children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        // Forked, and not the user's yet: not ready.
        let ready = workers
            .iter()
            .all(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"nginx: worker")));
        (workers.len() == 2 && ready).then_some(workers)
    });
    // Each answers with the worker's pid, and is written down with the client's port and the bytes of both directions.
    let answers: Vec<Vec<u64>> = (0..10)
        .map(|_| {
            let form = " %{local_port} %{size_request} %{size_header} %{size_download}";
            let curl =
                netns.command("curl").args(["-s", "-w", form, "http://127.0.0.1:8080/"]).output().expect("curl runs");
            assert!(curl.status.success(), "{curl:?}");
            String::from_utf8_lossy(&curl.stdout).split(' ').map(|word| word.parse().expect("a number")).collect()
        })
        .collect();
    // As a shell does.
    let pid = nix::unistd::Pid::from_raw(master.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("nginx runs");
    master.wait().expect("nginx ends");
    let run = trace.stop();

    let listener = run.listener(8080);
    // It calls listen() twice, once to set the backlog (ngx_configure_listening_sockets).
    assert_eq!(listener.path(), format!("bind by {0}, listen by {0}, listen by {0}, close", master.id()));
    assert_eq!(listener.pid(), Some(master.id()));
    assert_eq!(listener.0["process"]["name"], "nginx");
    assert_eq!((listener.number("backlog"), listener.number("accepted")), (Some(100), Some(10)));
    assert_eq!(run.sockets.len(), 21, "the listener and both ends of ten connections: {:?}", run.sockets);
    for answer in answers {
        let [worker, port, request, header, body] = answer[..] else { panic!("curl wrote {answer:?}") };
        let served = run.server(u16::try_from(port).expect("a port"));
        let worker = u32::try_from(worker).expect("a pid");
        assert!(workers.contains(&worker));
        assert_eq!(served.path(), format!("syn_received, established, accept by {worker}, close"));
        assert_eq!(served.pid(), Some(worker));
        assert_eq!((&served.0["process"]["name"], &served.0["process"]["uid"]), (&"nginx".into(), &65534.into()));
        assert_eq!(served.0["listener"], listener.0["socket"]);
        assert_eq!(served.bytes(), Some((request, header + body)));
        assert_eq!(served.ending(), "by peer, fin");
        let asked = run.client(u16::try_from(port).expect("a port"));
        assert_eq!(asked.0["process"]["name"], "curl");
        let executable = asked.0["process"]["executable"].as_str();
        assert!(executable.is_some_and(|path| path.ends_with("/curl")), "curl is gone at once: {asked:?}");
        assert_eq!(asked.bytes(), Some((header + body, request)));
        assert_eq!(asked.ending(), "by local, fin, then time_wait");
    }
}

#[test]
fn of_two_children_that_share_a_listener_each_is_credited_with_what_it_accepted() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let trace = host.trace(&["--netns", &netns.path().display().to_string()]);
    let (parent, client) = (Actor::within(&netns), Actor::within(&netns));
    parent.tell("l = listen('127.0.0.1')");
    parent.tell("kept = []; children = [Child(globals()), Child(globals())]");
    let children: Vec<u32> = parent.ask("[child.pid for child in children]");
    let port: u16 = parent.ask("port(l)");
    client.tell("kept = []");
    let mut accepted = Vec::new();
    for turn in [0, 1, 1, 0, 1] {
        client.tell(&format!("kept.append(connect('127.0.0.1', {port}))"));
        parent.tell(&format!("children[{turn}].ask('kept.append(l.accept()[0])')"));
        accepted.push((client.ask::<u16>("port(kept[-1])"), children[turn]));
    }
    let run = trace.stop();

    let listener = run.listener(port);
    assert_eq!((listener.pid(), listener.number("accepted")), (Some(parent.pid()), Some(5)));
    for (port, child) in accepted {
        let served = run.server(port);
        assert_eq!(served.path(), format!("syn_received, established, accept by {child}"));
        assert_eq!((served.pid(), &served.0["listener"]), (Some(child), &listener.0["socket"]));
    }
}

#[test]
fn a_thread_accepts_and_its_process_is_named() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let trace = host.trace(&["--netns", &netns.path().display().to_string()]);
    let (server, client) = (Actor::within(&netns), Actor::within(&netns));
    server.tell("l = listen('127.0.0.1')");
    let port: u16 = server.ask("port(l)");
    client.tell(&format!("c = connect('127.0.0.1', {port})"));
    let client_port: u16 = client.ask("port(c)");
    server.tell(
        "
import ctypes, threading
done = {}
def work():
    ctypes.CDLL(None).prctl(15, b'worker-7', 0, 0, 0)
    done['tid'], done['accepted'] = threading.get_native_id(), l.accept()
thread = threading.Thread(target=work)
thread.start()
thread.join()",
    );
    let tid: u32 = server.ask("done['tid']");
    let run = trace.stop();

    let served = run.server(client_port);
    assert_eq!(served.path(), format!("syn_received, established, accept by {}", server.pid()));
    for process in [&served.0["process"], &run.event(served, "accept").0["process"]] {
        assert_eq!((&process["pid"], &process["tid"]), (&server.pid().into(), &tid.into()));
        assert_eq!(process["name"], "python3", "not the thread's name");
    }
}

#[test]
fn of_two_listeners_on_one_port_each_is_credited_with_its_own_connections() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let trace = host.trace(&["--netns", &netns.path().display().to_string()]);
    let (first, second, client) = (Actor::within(&netns), Actor::within(&netns), Actor::within(&netns));
    first.tell("l = listen('127.0.0.1', reuseport=True, backlog=64)");
    let port: u16 = first.ask("port(l)");
    second.tell(&format!("l = listen('127.0.0.1', {port}, reuseport=True, backlog=64)"));
    client.tell(&format!("kept = [connect('127.0.0.1', {port}) for _ in range(32)]"));
    // As many as the kernel gave to each.
    let accept_all = "
l.setblocking(False)
peers, kept = [], []
try:
    while True:
        kept.append(l.accept())
        peers.append(kept[-1][1][1])
except BlockingIOError:
    pass";
    let peers = [&first, &second].map(|server| {
        server.tell(accept_all);
        server.ask::<Vec<u16>>("peers")
    });
    let run = trace.stop();

    assert_eq!(peers[0].len() + peers[1].len(), 32);
    assert!(peers.iter().all(|peers| !peers.is_empty()), "the kernel spread them: {peers:?}");
    for (server, peers) in [&first, &second].into_iter().zip(peers) {
        let listener = run.only("a listener of this process", port, |socket| {
            socket.role() == "listener" && socket.local_port() == Some(port) && socket.pid() == Some(server.pid())
        });
        assert_eq!(listener.number("accepted"), Some(peers.len() as u64));
        for peer in peers {
            let served = run.server(peer);
            assert_eq!((served.pid(), &served.0["listener"]), (Some(server.pid()), &listener.0["socket"]));
        }
    }
}

#[test]
fn socat_forks_a_child_for_each_connection_and_the_parent_accepts() {
    let Some(host) = Host::shared() else { return };
    if !host.has(&["socat"]) {
        return;
    }
    let netns = host.netns();
    let trace = host.trace(&["--netns", &netns.path().display().to_string()]);
    let mut socat = netns
        .command("socat")
        .args(["-d", "-d", "TCP4-LISTEN:7777,bind=127.0.0.1,fork", "EXEC:cat"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("socat starts");
    let messages = Lines::of(socat.stderr.take().expect("a pipe"));
    messages
        .wait_for("socat's listening", |lines| lines.iter().any(|line| line.contains("listening on")).then_some(()));
    let client = Actor::within(&netns);
    client.tell("c = connect('127.0.0.1', 7777); c.sendall(b'echo'); read(c, 4)");
    let client_port: u16 = client.ask("port(c)");
    client.tell("c.shutdown(SHUT_WR)");
    client.tell("assert c.recv(1) == b''; c.close()");
    let run = trace.stop();
    socat.kill().expect("socat runs");
    socat.wait().expect("socat ends");

    let served = run.server(client_port);
    assert_eq!(served.path(), format!("syn_received, established, accept by {}, close", socat.id()));
    assert_eq!(served.0["process"]["name"], "socat");
    assert_eq!((served.bytes(), served.ending().as_str()), (Some((4, 4)), "by peer, fin"));
}
