//! The command line: what is refused, and how a run ends.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::support::{Host, Trace, deadline, sockwatch};

/// Command lines that no user can have meant, and a word that the refusal has to say.
const REFUSED: &[(&[&str], &str)] = &[
    (&[], "trace"),
    (&["watch"], "watch"),
    (&["trace", "--nonsense"], "--nonsense"),
    (&["trace", "extra"], "extra"),
    (&["doctor", "--port", "80"], "--port"),
    (&["trace", "--port", "65536"], "65535"),
    (&["trace", "--port", "http"], "http"),
    (&["trace", "--port", "-1"], "-1"),
    (&["trace", "-p"], "--port"),
    (&["trace", "--local-port", ""], "--local-port"),
    (&["trace", "--peer-port", "80,81"], "80,81"),
    (&["trace", "--address", "300.1.1.1"], "300.1.1.1"),
    (&["trace", "--address", "10.0.0.0/33"], "10.0.0.0/33"),
    (&["trace", "--address", "::1/129"], "::1/129"),
    (&["trace", "--address", "example.com"], "example.com"),
    (&["trace", "--pid", "init"], "init"),
    (&["trace", "--pid", "0"], "--pid"),
    (&["trace", "--uid", "nobody-at-all"], "nobody-at-all"),
    (&["trace", "--netns", "/no/such/file"], "/no/such/file"),
    (&["trace", "--netns", "/etc/passwd"], "/etc/passwd"),
    (&["trace", "--process", "[a"], "[a"),
    (&["trace", "--role", "waiter"], "listener"),
    (&["trace", "--family", "5"], "5"),
    (&["trace", "--view", "sideways"], "closed"),
    (&["trace", "--probes", "kprobes"], "tracepoints"),
    (&["trace", "--duration", "soon"], "soon"),
    (&["trace", "--duration", "-5"], "-5"),
    (&["trace", "--count", "many"], "many"),
    (&["trace", "--buffer", "a lot"], "a lot"),
    (&["trace", "--role", "listener", "--peer-port", "80"], "--peer-port"),
    (&["trace", "--family", "4", "--address", "::1"], "--family"),
];

#[test]
fn what_cannot_be_meant_is_refused_in_one_line_that_names_it() {
    for (arguments, word) in REFUSED {
        let output = sockwatch(arguments).output().expect("sockwatch runs");
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.lines().count() == 1 && stderr.ends_with('\n'), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("sockwatch: ") && stderr.contains(word), "{arguments:?}: {stderr}");
        assert_eq!(output.stdout, b"", "{arguments:?}");
    }
}

#[test]
fn escape_sequences_in_arguments_are_not_sent_to_the_terminal() {
    for arguments in [["trace", "--\x1b[31mred"], ["trace", "--port=\x1b[31mred"], ["\x1b[31mred", "x"]] {
        let output = sockwatch(&arguments).output().expect("sockwatch runs");
        assert_eq!(output.status.code(), Some(2));
        assert!(!output.stderr.contains(&0x1b), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.stderr.iter().filter(|&&byte| byte == b'\n').count(), 1);
    }
}

#[test]
fn help_and_version_are_data() {
    for (arguments, word) in [
        (&["--help"][..], "trace"),
        (&["trace", "--help"], "--local-port"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let output = sockwatch(arguments).output().expect("sockwatch runs");
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(word), "{output:?}");
    }
}

#[test]
fn a_command_that_does_not_exist_is_a_failure_in_one_line() {
    let Some(_host) = Host::shared() else { return };
    let ended = Trace::start(&mut sockwatch(&["trace", "--json", "--", "/no/such/program"])).end();
    let failures: Vec<_> = ended.stderr.iter().filter(|line| !line.starts_with("sockwatch: ready")).collect();
    assert_eq!((ended.code(), failures.len()), (1, 1), "{failures:?}");
    assert!(failures[0].contains("/no/such/program"), "{failures:?}");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let Some(_host) = Host::shared() else { return };
    for json in [&["--json"][..], &[]] {
        let mut command = sockwatch(&["trace"]);
        let mut trace =
            command.args(json).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("sockwatch runs");
        // As `head -1` does: one line, and away.
        let mut first = String::new();
        let mut stdout = BufReader::new(trace.stdout.take().expect("a pipe"));
        let read = AtomicBool::new(false);
        thread::scope(|scope| {
            // Text has nothing to say until something happens.
            scope.spawn(|| {
                while !read.load(Ordering::Relaxed) {
                    drop(TcpListener::bind("127.0.0.1:0"));
                    thread::sleep(Duration::from_millis(20));
                }
            });
            stdout.read_line(&mut first).expect("a first line");
            read.store(true, Ordering::Relaxed);
        });
        drop(stdout);
        let started = Instant::now();
        let ended = trace.wait_with_output().expect("sockwatch ends, though nothing happens on the host");
        assert!(started.elapsed() < deadline() / 10);
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(0), "{stderr}");
        assert!(stderr.lines().all(|line| line.starts_with("sockwatch: ready")), "{stderr}");
    }
}
