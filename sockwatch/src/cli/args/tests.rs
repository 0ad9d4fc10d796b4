use std::os::unix::ffi::OsStringExt;

use clap::CommandFactory;

use super::*;

fn parse(line: &str) -> Result<Cli, Refusal> {
    parse_from(line.split_whitespace().map(OsString::from))
}

fn trace(line: &str) -> Trace {
    match parse(&format!("sockwatch trace {line}")).unwrap().command {
        Command::Trace(trace) => trace,
        _ => panic!("{line}"),
    }
}

/// What is told of a command line, with its filters, that is refused.
fn refusal(args: Vec<OsString>) -> Refusal {
    match parse_from(args) {
        Err(refusal) => refusal,
        Ok(Cli { command: Command::Trace(trace) }) => trace.filters.build().unwrap_err(),
        Ok(other) => panic!("{other:?}"),
    }
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn trace_alone_shows_everything_until_it_is_stopped() {
    let trace = trace("");
    assert_eq!(
        (trace.output.json, trace.output.view, trace.output.no_color, trace.output.utc),
        (false, View::Path, false, false)
    );
    assert_eq!((trace.tracing.buffer, trace.tracing.probes), (16 << 20, ProbeChoice::Auto));
    assert_eq!((trace.tracing.duration, trace.tracing.count, trace.tracing.command.len()), (None, None, 0));
    assert!(trace.filters.build().unwrap().is_empty());
}

#[test]
fn every_option_means_what_it_says() {
    let trace = trace(
        "--json --view states --no-color --utc --duration 1.5s --count 3 --buffer 1M --probes tracepoints -- curl -s --json x",
    );
    assert_eq!(
        (trace.output.json, trace.output.view, trace.output.no_color, trace.output.utc),
        (true, View::States, true, true)
    );
    assert_eq!((trace.tracing.buffer, trace.tracing.probes), (1 << 20, ProbeChoice::Tracepoints));
    assert_eq!((trace.tracing.duration, trace.tracing.count), (Some(Duration::from_millis(1500)), Some(3)));
    assert_eq!(trace.tracing.command, ["curl", "-s", "--json", "x"]);
    assert!(matches!(parse("sockwatch doctor --json").unwrap().command, Command::Doctor(Doctor { json: true })));
}

#[test]
fn a_report_is_text_of_ten_rows_unless_it_is_told_otherwise() {
    let report = |line: &str| match parse(&format!("sockwatch report {line}")).map(|cli| cli.command) {
        Ok(Command::Report(report)) => Ok(report),
        Ok(other) => panic!("{other:?}"),
        Err(refusal) => Err(refusal.message),
    };
    let plain = report("a.swr").unwrap();
    assert_eq!((plain.files, plain.json, plain.html, plain.top), (vec!["a.swr".into()], false, None, 10));
    let told = report("a b --json --html page.html --top 3 --utc --failed --port 80").unwrap();
    assert_eq!((told.files.len(), told.json, told.html, told.top), (2, true, Some("page.html".into()), 3));
    assert_eq!(told.filters.build().unwrap().ports, [80]);
    assert!(report("").unwrap_err().contains("<FILE>... is missing; see 'sockwatch report --help'"));
    assert!(report("a --top 0").unwrap_err().contains("from 1 to 10000"));
}

#[test]
fn every_filter_arrives_with_all_its_values() {
    let line = "-p 80 --port 443 --local-port 1 --peer-port 2 --address 10.0.0.0/8 --address ::1 --pid 7 --process ng* \
                --uid root --uid 7 --netns 9 --container a1 --role server --role client --family 4 --family 6 --failed";
    let filter = trace(line).filters.build().unwrap();
    assert_eq!((filter.ports, filter.local_ports, filter.peer_ports), (vec![80, 443], vec![1], vec![2]));
    assert_eq!(filter.addresses, ["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()]);
    assert_eq!((filter.pids, filter.uids, filter.netns), (vec![7], vec![0, 7], vec![9]));
    assert_eq!((filter.processes, filter.containers), (vec!["ng*".parse().unwrap()], vec!["a1".to_owned()]));
    assert_eq!(filter.roles, [Role::Server, Role::Client]);
    assert_eq!(filter.families, [Family::Ipv4, Family::Ipv6]);
    assert!(filter.failed);
    assert_eq!(trace("--role listener").filters.build().unwrap().roles, [Role::Listener]);
}

#[test]
fn bad_usage_is_told_in_one_line_that_says_what_is_accepted() {
    for (line, told) in [
        (
            "",
            "no command is given; the commands are: trace, follow, list, record, replay, verify, repair, report, export, doctor; see 'sockwatch --help'",
        ),
        (
            "trce",
            "unknown command 'trce'; the commands are: trace, follow, list, record, replay, verify, repair, report, export, doctor; see 'sockwatch --help'",
        ),
        ("--foo", "unexpected argument '--foo'; see 'sockwatch --help'"),
        ("--json trace", "unexpected argument '--json'; see 'sockwatch --help'"),
        ("trace --foo", "unexpected argument '--foo'; see 'sockwatch trace --help'"),
        ("trace --prot 1", "unexpected argument '--prot'; did you mean '--port'? see 'sockwatch trace --help'"),
        ("trace -x", "unexpected argument '-x'; see 'sockwatch trace --help'"),
        (
            "trace curl x",
            "unexpected argument 'curl'; a command to trace stands behind '--'; see 'sockwatch trace --help'",
        ),
        ("follow", "<TARGET> is missing; see 'sockwatch follow --help'"),
        (
            "follow 10.0.0.4",
            "invalid value '10.0.0.4' for '<TARGET>': a target is like 80, :80, tcp/80, 10.0.0.4:80 or [::1]:80",
        ),
        ("follow 65536", "invalid value '65536' for '<TARGET>': a port is a number from 1 to 65535"),
        ("follow 80 81", "unexpected argument '81'; see 'sockwatch follow --help'"),
        ("doctor x", "unexpected argument 'x'; see 'sockwatch doctor --help'"),
        ("trace --json=1", "'--json' takes no value; see 'sockwatch trace --help'"),
        ("trace --json --json", "'--json' can be given only once; see 'sockwatch trace --help'"),
        ("trace --count 1 --count 2", "'--count <N>' can be given only once; see 'sockwatch trace --help'"),
        ("trace --port", "'--port <N>' needs a value; see 'sockwatch trace --help'"),
        ("trace --port --json", "'--port <N>' needs a value; see 'sockwatch trace --help'"),
        ("trace --view", "'--view <VIEW>' needs a value: one of path, states, closed; see 'sockwatch trace --help'"),
        ("trace --view all", "invalid value 'all' for '--view <VIEW>': it is one of path, states, closed"),
        ("trace --role peer", "invalid value 'peer' for '--role <ROLE>': it is one of listener, server, client"),
        ("trace --family 5", "invalid value '5' for '--family <FAMILY>': it is one of 4, 6"),
        ("trace --probes x", "invalid value 'x' for '--probes <PROBES>': it is one of auto, tracepoints, trampolines"),
        ("trace -p 70000", "invalid value '70000' for '--port <N>': a port is a number from 1 to 65535"),
        ("trace --port 0", "invalid value '0' for '--port <N>': a port is a number from 1 to 65535"),
        ("trace --port=", "invalid value '' for '--port <N>': a port is a number from 1 to 65535"),
        ("trace --pid 0", "invalid value '0' for '--pid <PID>': a process id is a number from 1 to 4194303"),
        (
            "trace --address 10.0.0.0/33",
            "invalid value '10.0.0.0/33' for '--address <ADDR|CIDR>': a prefix length is a number from 0 to 32 for this \
             address",
        ),
        (
            "trace --process [a",
            "invalid value '[a' for '--process <NAME>': a '[' needs its ']' (a '[' itself is written '[[]')",
        ),
        (
            "trace --uid nobody-here",
            "invalid value 'nobody-here' for '--uid <UID|NAME>': neither a user id nor the name of a user of this host",
        ),
        (
            "trace --netns /no/such",
            "invalid value '/no/such' for '--netns <INODE|PATH>': neither an inode number nor the path of a network \
             namespace (No such file or directory)",
        ),
        (
            "trace --container web",
            "invalid value 'web' for '--container <ID-PREFIX>': a container id begins with 1 to 64 hexadecimal digits",
        ),
        ("trace --count 0", "invalid value '0' for '--count <N>': a count is a number, at least 1"),
        (
            "trace --duration -5s",
            "invalid value '-5s' for '--duration <TIME>': a duration is a number of seconds, or like 500ms, 10s, 2m or \
             1h30m; more than 0, at most 8760h",
        ),
        (
            "trace --buffer 2G",
            "invalid value '2G' for '--buffer <SIZE>': a size is a number of bytes, KiB, MiB or GiB (16MiB, or 16M), more \
             than 0, at most 1GiB",
        ),
        (
            "trace --role listener --peer-port 80",
            "--role listener with --peer-port shows nothing: a listener has no peer",
        ),
        (
            "trace --family 4 --address ::1",
            "--family 4 with an IPv6 --address shows nothing: an IPv4 socket has no IPv6 address",
        ),
    ] {
        let refusal = refusal(format!("sockwatch {line}").split_whitespace().map(OsString::from).collect());
        assert_eq!(refusal, Refusal { message: format!("sockwatch: {told}"), code: 2 }, "{line}");
    }
}

#[test]
fn hostile_arguments_are_told_escaped_in_one_line() {
    let hostile = "\x1b[2J\n\u{202e}error: all is well\r";
    for before in [
        &["sockwatch"][..],
        &["sockwatch", "trace"],
        &["sockwatch", "help"],
        &["sockwatch", "trace", "--port"],
        &["sockwatch", "trace", "--view"],
        &["sockwatch", "trace", "--netns"],
        &["sockwatch", "trace", "--uid"],
    ] {
        for argument in [hostile.to_owned(), format!("--{hostile}"), format!("--json={hostile}")] {
            let args = before.iter().map(OsString::from).chain([argument.into()]).collect();
            let Refusal { message, code } = refusal(args);
            assert_eq!(code, 2, "{message}");
            assert!(message.starts_with("sockwatch: "), "{message}");
            assert!(!message.contains(|c: char| c.is_control() || c == '\u{202e}'), "{message:?}");
        }
    }
}

#[test]
fn arguments_that_are_not_utf8_are_refused_but_for_the_command_that_is_run() {
    let broken = || OsString::from_vec(b"\xff\x1b".to_vec());
    for before in [&["sockwatch"][..], &["sockwatch", "trace"], &["sockwatch", "trace", "--process"]] {
        let refusal = refusal(before.iter().map(OsString::from).chain([broken()]).collect());
        assert_eq!((refusal.code, refusal.message.lines().count()), (2, 1), "{refusal:?}");
        assert!(!refusal.message.contains('\x1b'), "{refusal:?}");
    }
    let run = ["sockwatch", "trace", "--", "cat"].into_iter().map(OsString::from).chain([broken()]);
    let Command::Trace(trace) = parse_from(run).unwrap().command else { panic!() };
    assert_eq!(trace.tracing.command, [OsString::from("cat"), broken()]);
}

#[test]
fn help_and_version_are_no_failures() {
    for (line, start) in [
        ("--help", "Shows the life"),
        ("-h", "Shows the life"),
        ("help", "Shows the life"),
        ("help trace", "Follow every socket"),
        ("trace --help", "Follow every socket"),
        ("trace -h", "Follow every socket"),
        ("doctor --help", "Say what this kernel"),
        ("--version", concat!("sockwatch ", env!("CARGO_PKG_VERSION"))),
        ("-V", concat!("sockwatch ", env!("CARGO_PKG_VERSION"))),
    ] {
        let Refusal { message, code } = parse(&format!("sockwatch {line}")).unwrap_err();
        assert_eq!(code, 0, "{line}");
        assert!(message.starts_with(start) && !message.ends_with('\n'), "{line}: {message}");
    }
}

#[test]
fn trace_help_lists_every_option_below_its_heading() {
    let help = parse("sockwatch trace -h").unwrap_err().message;
    let mut heading = "";
    let mut below = Vec::new();
    for line in help.lines() {
        if !line.starts_with(' ') {
            heading = line.split([':', ' ']).next().unwrap();
        }
        if let Some(option) =
            line.trim_start().split(' ').find(|word| word.starts_with("--") || word.starts_with("[COMM"))
            && line.starts_with(' ')
            && matches!(heading, "Arguments" | "Options" | "Output" | "Tracing" | "Filters")
        {
            below.push((heading, option));
        }
    }
    let expected = [
        ("Options", "--help"),
        ("Output", "--json --view --no-color --utc"),
        ("Arguments", "[COMMAND]..."),
        ("Tracing", "--duration --count --buffer --probes"),
        (
            "Filters",
            "--port --local-port --peer-port --address --pid --process --uid --netns --container --role --family --failed",
        ),
    ];
    for (heading, options) in expected {
        let mut found: Vec<&str> = below.iter().filter(|(at, _)| *at == heading).map(|(_, option)| *option).collect();
        let mut options: Vec<&str> = options.split(' ').collect();
        found.sort_unstable();
        options.sort_unstable();
        assert_eq!(found, options, "{heading}\n{help}");
    }
}

#[test]
fn a_recordings_filter_has_nothing_looked_up_on_this_host() {
    let filter = |words: &[&str]| filter_of(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    for words in [&[][..], &["--uid=0"], &["--netns=4026531840", "--failed"], &["--port=80", "--process=ng*"]] {
        assert_eq!(filter(words).expect("it is one that is recorded").words(), words);
    }
    let own = "--netns=/proc/self/ns/net";
    for words in [&["--uid=root"][..], &["--uid", "root"], &[own], &["--netns", own], &["-p", "80"], &["--uid="]] {
        assert!(filter(words).is_none(), "{words:?}");
    }
}
