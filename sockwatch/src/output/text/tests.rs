use super::*;
use crate::{
    event::{CallKind, Errno, Event, Mark, State, Stats, What},
    output::stories::{MS, Story, client, counted, hopeless, named, process, shown, together, web_server},
};

fn text(view: View) -> Text {
    Text::new(TextOptions { view, utc: true, ..TextOptions::default() })
}

fn lines(view: View, events: Vec<Event>) -> Vec<String> {
    shown(&mut text(view), view, events).lines().map(String::from).collect()
}

/// The one line about a life, of its end.
fn last(view: View, events: Vec<Event>) -> String {
    lines(view, events).pop().unwrap()
}

/// A line's EVENT, and its DETAIL.
fn told(line: &str) -> (&str, &str) {
    let words = line.split("  ").map(str::trim).filter(|word| !word.is_empty());
    let words: Vec<&str> = words.collect();
    (words[3], words.get(6).copied().unwrap_or_default())
}

#[test]
fn a_web_servers_morning_reads_from_bind_to_close() {
    let expected = "\
TIME 2026-11-22  SOCKET  PROCESS           EVENT         LOCAL                PEER                 DETAIL
18:04:11.000000  s1      nginx 812         bind          0.0.0.0:80           -                    fd 6
18:04:11.001000  s1      nginx 812         listen        0.0.0.0:80           -                    backlog 511 (4096 given) · fd 6
18:04:15.880000  s2      (nginx 814)       syn_received  10.0.0.4:80          10.0.0.5:55715       from s1
18:04:15.880010  s2      (nginx 814)       established   10.0.0.4:80          10.0.0.5:55715       handshake 0.21 ms
18:04:15.880060  s2      nginx 814         accept        10.0.0.4:80          10.0.0.5:55715       from s1 as fd 9 · queued 0.050 ms
18:04:15.892910  s2      (nginx 814)       close         10.0.0.4:80          10.0.0.5:55715       peer closed first · after 12.9 ms · in 78 B · out 612 B · rtt 0.21 ms
18:05:11.000000  s1      nginx 812         close         0.0.0.0:80           -                    closed · after 1 min 00 s · accepted 1 · dropped 3
";
    assert_eq!(shown(&mut text(View::Path), View::Path, web_server()), expected);
}

#[test]
fn the_closed_view_has_a_line_for_each_life() {
    let expected = "\
TIME 2026-11-22  SOCKET  PROCESS           ROLE      LOCAL                PEER                       LIFE       IN      OUT  END           DETAIL
18:04:15.893000  s2      nginx 814         server    10.0.0.4:80          10.0.0.5:55715          13.0 ms     78 B    612 B  fin by peer   from s1 · handshake 0.21 ms · queued 0.050 ms · rtt 0.21 ms
18:05:11.001000  s1      nginx 812         listener  0.0.0.0:80           -                    1 min 00 s        -        -  closed        accepted 1 · backlog 511 · dropped 3
";
    assert_eq!(shown(&mut text(View::Closed), View::Closed, web_server()), expected);
}

#[test]
fn the_states_view_names_every_change_and_what_the_segments_tell() {
    let events = Story::new(1, process("curl", 9), "10.0.0.4:40000", "10.0.0.9:81")
        .to(0, State::SynSent, 0)
        .mark(1000 * MS, Mark::Retransmit)
        .to(1001 * MS, State::Established, 1680)
        .mark(1500 * MS, Mark::ResetReceived)
        .close(1500 * MS, false, Stats { error: Errno::new(104), ..counted(0, 1) })
        .destroyed(1501 * MS)
        .events;
    let lines = lines(View::States, events);
    let told: Vec<_> = lines[1..].iter().map(|line| told(line)).collect();
    assert_eq!(
        told,
        [
            ("connect", "fd 7"),
            ("state", "closed → syn_sent"),
            ("retransmit", ""),
            ("established", "in 1.00 s"),
            ("state", "syn_sent → established"),
            ("reset_received", ""),
            ("close", "reset by peer · after 499 ms · in 0 B · out 0 B · rtt 0.21 ms"),
            ("state", "established → closed"),
        ]
    );
}

#[test]
fn a_client_that_closes_first_leaves_a_timewait_socket() {
    let line = last(View::Path, client(b"curl", "10.0.0.4:40000", "10.0.0.9:81").events);
    let detail = "closed here first · after 11.8 ms · in 1.20 MB · out 78 B · rtt 0.21 ms · 2 retransmits · TIME_WAIT";
    assert_eq!(told(&line), ("close", detail));
}

#[test]
fn a_connect_that_fails_says_why() {
    for (errno, said, short) in [
        (111, "refused by peer · after 3 ms", "refused"),
        (110, "timed out (ETIMEDOUT) · after 3 ms", "timeout"),
        (113, "unreachable (EHOSTUNREACH) · after 3 ms", "unreachable"),
        (0, "given up while connecting · after 3 ms", "aborted"),
    ] {
        let said = said.replace("3 ms", "3.00 ms");
        assert_eq!(told(&last(View::Path, hopeless(errno, 3))), ("close", &*said));
        assert!(last(View::Closed, hopeless(errno, 3)).contains(&format!("  {short}  ")), "{short}");
    }
}

#[test]
fn a_failed_bind_shows_the_address_asked_for_and_the_errno() {
    let events =
        Story::new(1, process("nginx", 812), "0.0.0.0:80", "").call(0, CallKind::Bind, 3, 98).destroyed(5 * MS).events;
    let lines = lines(View::Path, events);
    assert_eq!(
        lines[1..],
        [
            "18:04:11.000000  s1      nginx 812         bind          0.0.0.0:80           -                    failed: \
             EADDRINUSE (address already in use) · fd 3",
            "18:04:11.005000  s1      (nginx 812)       close         -                    -                    closed, \
             never used · after 5.00 ms",
        ]
    );
}

#[test]
fn a_connection_that_nobody_accepted_says_so() {
    let listener = Story::new(1, process("lazy", 5), "0.0.0.0:80", "")
        .listen(MS, 3, 1, 1)
        .close(100 * MS, true, Stats::default())
        .destroyed(102 * MS);
    let child = Story::new(2, process("lazy", 5), "10.0.0.4:80", "10.0.0.5:1024")
        .child_of(1)
        .to(50 * MS, State::SynReceived, 0)
        .to(50 * MS, State::Established, 0)
        .close(101 * MS, true, Stats { unheld: true, ..counted(0, 0) })
        .destroyed(101 * MS);
    let lines = lines(View::Path, together([listener, child]));
    let close = lines.iter().find(|line| line.contains("never accepted")).unwrap();
    assert_eq!(
        told(close),
        ("close", "never accepted: its listener closed · after 51.0 ms · in 0 B · out 0 B · rtt 0.21 ms")
    );
}

#[test]
fn what_is_still_open_at_the_end_is_told_and_what_never_stirred_is_not() {
    let listener = Story::new(1, process("nginx", 812), "0.0.0.0:80", "").listen(MS, 6, 511, 511);
    let old = Story::new(2, process("sshd", 7), "10.0.0.4:22", "10.0.0.5:1024").exists(
        0,
        State::Established,
        true,
        counted(0, 0),
    );
    let lines = lines(View::Path, together([old, listener]));
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert_eq!(
        lines[2],
        "-                s2      (nginx 812)       open          0.0.0.0:80           -                    listen · since \
         18:04:11.001000 · accepted 0"
    );
}

#[test]
fn the_closed_view_shows_who_holds_what_is_open() {
    let survey = Event { time: 1, what: What::Surveyed };
    let [nginx, worker] = [812, 813].map(|pid| process("nginx", pid));
    let mut events = together(
        [nginx, worker].map(|by| Story::new(1, by, "0.0.0.0:80", "").exists(0, State::Listen, true, Stats::default())),
    );
    events.push(survey);
    let line = last(View::Closed, events);
    assert!(line.contains(" open  "), "{line}");
    assert!(line.ends_with("listen · accepted 0 · backlog 0 · held by nginx 812 as fd 6, nginx 813 as fd 6"), "{line}");
}

#[test]
fn columns_grow_for_ipv6_and_stay() {
    let long = client(b"curl", "[2001:db8:1234:5678::1]:55715", "[2001:db8:1234:5678::2]:443").events;
    let short =
        Story::new(9, process("curl", 1), "10.0.0.4:1024", "10.0.0.5:80").to(100 * MS, State::SynSent, 0).events;
    let lines = lines(View::Path, long.into_iter().chain(short).collect());
    let row = |line: &str, what: &str| line.find(what).unwrap();
    assert_eq!(row(&lines[1], "[2001:db8:1234:5678::2]:443"), row(&lines[4], "10.0.0.5:80"));
    assert!(row(&lines[0], "PEER") < row(&lines[1], "[2001:db8:1234:5678::2]:443"));
}

#[test]
fn a_name_from_outside_moves_nothing_and_widens_its_column_only_so_far() {
    let hostile = b"\x1b]0;x\x07\xff\xe2\x80\xae\r\n\x9b";
    let events = client(hostile, "10.0.0.4:40000", "10.0.0.9:81").events;
    for view in [View::Path, View::States, View::Closed] {
        let out = shown(&mut text(view), view, events.clone());
        assert!(out.contains(r"\x1b]0;x\x07\xff\u{202e}\x0d\x0a\x9b 4711"), "{out}");
        assert!(out.chars().all(|character| character == '\n' || !character.is_control()), "{out:?}");
    }
    let other = Story::new(9, named(b"curl", 1), "10.0.0.4:1024", "10.0.0.5:80").to(100 * MS, State::SynSent, 0).events;
    let line = last(View::Path, events.into_iter().chain(other).collect());
    assert!(line.contains("(curl 1)                   open"), "{line}");
}

#[test]
fn every_colored_line_ends_plain() {
    let mut text = Text::new(TextOptions { color: true, utc: true, ..TextOptions::default() });
    let out = shown(&mut text, View::Path, [web_server(), hopeless(111, 61_000)].concat());
    assert!(out.contains("\x1b[31mrefused by peer"), "{out:?}");
    for line in out.lines() {
        assert_eq!(line.matches("\x1b[0m").count() * 2, line.matches('\x1b').count(), "{line:?}");
    }
}

#[test]
fn a_narrow_terminal_folds_details_at_their_joints() {
    let options = TextOptions { utc: true, width: Some(145), ..TextOptions::default() };
    let out = shown(&mut Text::new(options), View::Path, client(b"curl", "10.0.0.4:40000", "10.0.0.9:81").events);
    let lines: Vec<_> = out.lines().collect();
    assert!(lines.iter().all(|line| line.chars().count() <= 145), "{out}");
    assert!(lines[3].ends_with("  closed here first · after 11.8 ms · in 1.20 MB"), "{out}");
    assert!(lines[4].ends_with("  out 78 B · rtt 0.21 ms · 2 retransmits"), "{out}");
    assert_eq!(lines[4].find("out 78"), lines[3].find("closed here"));
}

#[test]
fn another_day_has_its_date_above() {
    let day = 86_400_000 * MS;
    let events = Story::new(1, process("nginx", 812), "0.0.0.0:80", "")
        .listen(MS, 6, 511, 511)
        .close(day, true, Stats::default())
        .destroyed(day + MS)
        .events;
    let lines = lines(View::Path, events);
    assert!(lines[2].starts_with("TIME 2026-11-23  SOCKET"), "{lines:#?}");
    assert!(lines[3].ends_with("closed · after 1 d 00 h · accepted 0"), "{lines:#?}");
}

#[test]
fn lost_events_leave_a_line_of_their_own() {
    let lost = Event { time: 50 * MS, what: What::Lost { count: Some(1234), since: 2 * MS } };
    assert_eq!(
        lines(View::Path, vec![lost]),
        ["— 1,234 events lost between 18:04:11.002000 and 18:04:11.050000: sockets of this time may be incomplete —"]
    );
}

#[test]
fn a_socket_that_connects_again_at_once_does_not_tell_the_first_end_with_the_seconds_words() {
    let events = Story::new(1, process("retry", 5), "10.0.0.4:1024", "10.0.0.9:81")
        .to(0, State::SynSent, 0)
        .close(MS / 10, false, Stats { error: Errno::new(111), ..Stats::default() })
        .to(MS / 5, State::SynSent, 0)
        .to(MS / 4, State::Established, 1680)
        .events;
    let lines = lines(View::Path, events);
    assert_eq!(told(&lines[2]), ("close", "refused by peer · and then used again"), "{lines:#?}");
    assert_eq!(told(&lines[4]), ("established", "in 0.050 ms"), "{lines:#?}");
}
