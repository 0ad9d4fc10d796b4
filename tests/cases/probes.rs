//! Each probe absent in turn: `doctor` and the first line of a trace say which, why, and what is lost by it; and all that
//! the others give is still there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::support::{Actor, Host, Scratch, Trace, recording::word};

const BTF: &str = "/sys/kernel/btf/vmlinux";

/// The kernel's description of its types without some of its names: what is looked up by them is not found.
fn without(names: &[&str], scratch: &Scratch) -> PathBuf {
    let mut btf = fs::read(BTF).expect("the kernel has BTF");
    for name in names {
        let wanted = [&[0], name.as_bytes(), &[0]].concat();
        let at = btf.windows(wanted.len()).position(|bytes| bytes == wanted);
        btf[at.unwrap_or_else(|| panic!("no {name} in {BTF}")) + 1] = b'_';
    }
    let path = scratch.path().join(names[0]);
    fs::write(&path, btf).expect("room for it");
    path
}

/// A command that sees this file in place of the kernel's own, and is alone in that.
fn seeing(btf: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    let script = "mount --bind \"$1\" \"$2\" && shift 2 && exec \"$@\"";
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh", word(btf), BTF]);
    command.arg(env!("CARGO_BIN_EXE_sockwatch")).args(arguments);
    command
}

/// What `doctor` says of each probe.
fn examined(command: &mut Command) -> (Option<i32>, Value) {
    let output = command.output().expect("it runs");
    let line = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code(), line)
}

/// What the kernel's BTF calls that which a probe hooks; none for system calls, which tracefs describes.
fn name_in_btf(probe: &str) -> Option<String> {
    let typed = probe.strip_prefix("tp_btf/").map(|name| format!("btf_trace_{name}"));
    typed.or_else(|| probe.strip_prefix("iter/").map(|name| format!("bpf_iter_{name}")))
}

#[test]
fn a_probe_that_the_kernel_lacks_is_named_with_what_is_lost_and_the_others_go_on() {
    let Some(host) = Host::shared() else { return };
    let scratch = Scratch::new("probes");
    // Of the sockets of others nothing could be said as surely as otherwise.
    let netns = host.netns();
    let netns = netns.path();
    let (_, whole) = examined(Command::new(env!("CARGO_BIN_EXE_sockwatch")).args(["doctor", "--json"]));
    let probes = whole["probes"].as_array().expect("probes");
    let mut required = 0;
    for probe in probes {
        let name = probe["probe"].as_str().expect("a name");
        let Some(hooked) = name_in_btf(name) else { continue };
        let btf = without(&[&hooked], &scratch);
        let (code, doctor) = examined(&mut seeing(&btf, &["doctor", "--json"]));
        let trace = &["trace", "--json", "--duration", "1ms", "--netns", word(&netns)];
        if probe["required"] == true {
            required += 1;
            assert_eq!((code, &doctor["ok"]), (Some(1), &false.into()), "{doctor}");
            assert!(doctor["error"].as_str().is_some_and(|error| error.contains(name)), "{name}: {doctor}");
            let refused = seeing(&btf, trace).output().expect("it runs");
            let stderr = String::from_utf8_lossy(&refused.stderr);
            assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0), "{name}: {stderr}");
            assert!(stderr.starts_with("sockwatch: ") && stderr.contains(name), "{name}: {stderr}");
            continue;
        }
        assert_eq!((code, &doctor["ok"]), (Some(0), &true.into()), "{doctor}");
        for found in doctor["probes"].as_array().expect("probes") {
            let is_gone = found["probe"] == probe["probe"];
            assert_eq!(found["attached"], !is_gone, "without {name}: {found}");
            assert_eq!(found["why_not"].is_string(), is_gone, "without {name}: {found}");
        }
        let run = Trace::start(&mut seeing(&btf, trace)).end_with(0);
        let degraded = run.start["degraded"].as_array().expect("a list");
        assert_eq!(degraded.len(), 1, "{degraded:?}");
        assert_eq!((&degraded[0]["probe"], &degraded[0]["lost"]), (&probe["probe"], &probe["without"]));
        assert!(degraded[0]["why"].as_str().is_some_and(|why| !why.is_empty()), "{degraded:?}");
        let attached = run.start["probes"].as_array().expect("a list");
        assert!(attached.len() + 1 == probes.len() && !attached.contains(&probe["probe"]), "{attached:?}");
    }
    assert_eq!(required, 2, "the changes of state and the end of a socket");
}

#[test]
fn without_the_iterators_what_happens_is_told_and_what_exists_is_not_made_up() {
    let Some(host) = Host::shared() else { return };
    let scratch = Scratch::new("no-iterators");
    let netns = host.netns();
    let (server, client) = (Actor::within(&netns), Actor::within(&netns));
    server.tell("old = listen('127.0.0.1', 7700)");
    let btf = without(&["bpf_iter_task_file", "bpf_iter_tcp"], &scratch);

    let path = netns.path();
    let trace = Trace::ready(&mut seeing(&btf, &["trace", "--json", "--netns", word(&path)]));
    client.tell("c = connect('127.0.0.1', 7700)");
    server.tell("s, _ = old.accept()");
    let port: u16 = client.ask("port(c)");
    client.tell("c.close()");
    server.tell("s.close()");
    let run = trace.stop();

    let missing: Vec<_> = run.start["degraded"].as_array().expect("a list").iter().map(|line| &line["probe"]).collect();
    assert_eq!(missing, ["iter/task_file", "iter/tcp"]);
    assert_eq!(run.client(port).path(), format!("connect by {}, established, close", client.pid()));
    // The listener is older, and nothing was known of it: its child is told, and that it has no known listener.
    let path = run.server(port).path();
    assert_eq!(path, format!("syn_received, established, accept by {}, close", server.pid()));
}
