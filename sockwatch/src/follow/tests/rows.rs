//! Which rows there are, and what they say.

use nix::libc;
use ratatui::{crossterm::event::KeyCode, style::Color};

use super::stage::{SECOND, Stage};
use crate::{
    event::{CallKind, Event, State, Stats, What},
    follow::course::{Course, Motion},
    output::stories::{MS, Story, client, counted, hopeless, named, process, together},
};

fn listener(id: u64, by: &str, local: &str) -> Story {
    Story::new(id, process(by, 812), local, "").call(0, CallKind::Bind, 6, 0).listen(MS, 6, 4096, 511)
}

/// A connection that a worker accepted.
fn connection(id: u64, listener: u64, worker: u32, peer: &str) -> Story {
    Story::new(id, process("nginx", worker), "10.0.0.4:80", peer)
        .child_of(listener)
        .to(100 * MS, State::SynReceived, 0)
        .to(100 * MS + 10_000, State::Established, 1680)
        .call(100 * MS + 60_000, CallKind::Accept, 9, 0)
}

/// nginx with two workers, each with a connection; a third one came and went.
fn web_server() -> Stage {
    let mut stage = Stage::new("80");
    let gone = connection(4, 1, 814, "10.0.0.7:40003")
        .step(200 * MS, State::CloseWait)
        .step(201 * MS, State::LastAck)
        .close(202 * MS, false, Stats { fin_received: true, ..counted(79, 613) })
        .destroyed(203 * MS);
    stage.happen(together([
        listener(1, "nginx", "0.0.0.0:80"),
        connection(2, 1, 813, "10.0.0.5:40001"),
        connection(3, 1, 814, "10.0.0.6:40002"),
        gone,
    ]));
    let all = [process("nginx", 812), process("nginx", 813), process("nginx", 814)];
    stage.look(&[
        (1, Stats { queue: 3, backlog: 511, drops: 2, ..Stats::default() }, &all),
        (2, Stats { retransmits: 1, ..counted(1_204, 613) }, &all[1..2]),
        (3, counted(79, 3_400_000), &all[2..]),
    ]);
    stage.wait(SECOND);
    stage
}

#[test]
fn a_web_server_with_two_workers_is_told_with_who_holds_it_who_accepts_and_every_connection() {
    let mut stage = web_server();
    let lines = stage.lines(120, 30);
    assert_eq!(lines[0], "follow :80 · 1s · 1 listener · 2 open · 3 accepted · 0 failed");
    assert!(lines[1].starts_with("accepted 3/s ▁") && lines[1].contains("closed 1/s ▁"), "{}", lines[1]);
    assert_eq!(lines[3], "▾ 0.0.0.0:80 · listens for 1s · 2 open · queue 3 of 511 · overflowed 2");
    assert_eq!(lines[4], "    bound by nginx 812 at 18:04:11.000000 · listen(4096) · netns 4026531840");
    assert_eq!(lines[5], "    held by nginx 812 as fd 6, nginx 813 as fd 6, nginx 814 as fd 6");
    assert_eq!(
        lines[6],
        "    accepts 3/s ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁█ queue ▁▁▁▁▁▁▁▁▁▁▁█ 3 so far: nginx 814 2/s (2), nginx 813 1/s (1)"
    );
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    assert_eq!(words(&lines[2]), "PEER OWNER FD STATE AGE IN OUT RTT RETR HANDSHAKE QUEUED");
    let newer = "10.0.0.6:40002 nginx 814 9 established 1s 79 B 3.40 MB 0.21 ms 0 0.21 ms 0.050 ms";
    let older = "10.0.0.5:40001 nginx 813 9 established 1s 1.20 kB 613 B 0.21 ms 1 0.21 ms 0.050 ms";
    let gone = "×10.0.0.7:40003 nginx 814 9 fin by peer 1s ago 78 B 612 B 0.21 ms 0 0.21 ms 0.050 ms";
    let rows: Vec<String> = lines[7..10].iter().map(|line| words(line)).collect();
    assert!(rows.contains(&newer.to_owned()), "{rows:#?}");
    assert!(rows.contains(&older.to_owned()), "{rows:#?}");
    assert_eq!(rows[2], gone, "what ended stands last");
}

#[test]
fn on_80_by_24_everything_essential_has_room() {
    let mut stage = web_server();
    let lines = stage.lines(80, 24);
    let all = lines.join("\n");
    for word in
        ["PEER", "OWNER", "FD", "STATE", "AGE", "IN", "OUT", "queue 3 of 511", "overflowed 2", "q quit", "? help"]
    {
        assert!(all.contains(word), "{word}:\n{all}");
    }
    assert!(all.contains("10.0.0.5:40001") && all.contains("established") && all.contains("nginx 813"), "{all}");
    assert!(all.contains("fin by peer"), "{all}");
}

#[test]
fn listeners_that_share_an_address_are_numbered_and_each_has_its_own_connections() {
    let mut stage = Stage::new(":80");
    stage.happen(together([
        listener(1, "haproxy", "0.0.0.0:80"),
        listener(2, "haproxy", "0.0.0.0:80"),
        listener(3, "haproxy", "[::]:80"),
        connection(4, 2, 812, "10.0.0.5:40001"),
    ]));
    let lines = stage.lines(120, 30);
    let at = |text: &str| lines.iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{lines:#?}"));
    let (first, second, other) = (at("1 of 2 on this address"), at("2 of 2 on this address"), at("[::]:80"));
    assert!(lines[first].starts_with("▾ 0.0.0.0:80") && lines[second].starts_with("▾ 0.0.0.0:80"), "{lines:#?}");
    assert!(!lines[other].contains("on this address"), "{lines:#?}");
    assert!(second < at("10.0.0.5:40001") && at("10.0.0.5:40001") < other, "{lines:#?}");
    assert!(lines[0].contains("3 listeners"), "{}", lines[0]);
}

#[test]
fn a_listener_that_dies_stays_with_its_connections_for_a_minute() {
    let mut stage = Stage::new("80");
    stage.happen(together([listener(1, "nginx", "0.0.0.0:80"), connection(2, 1, 813, "10.0.0.5:40001")]));
    let dying = Story::new(1, process("nginx", 812), "0.0.0.0:80", "").exists(
        2 * SECOND,
        State::Listen,
        false,
        Stats::default(),
    );
    stage.happen(dying.close(3 * SECOND, true, Stats::default()).destroyed(3 * SECOND + MS).events);
    stage.wait(5 * SECOND);
    let lines = stage.lines(100, 20);
    assert!(lines[0].contains("0 listeners · 1 open"), "{}", lines[0]);
    assert_eq!(lines[3], "× 0.0.0.0:80 · closed 5s ago · 1 open · accepted 1");
    assert!(lines[5].contains("10.0.0.5:40001") && lines[5].contains("established"), "{lines:#?}");
    stage.wait(60 * SECOND);
    let lines = stage.lines(100, 20);
    assert_eq!(lines[3], "▾ connections to :80 whose listener is gone or not known · 1 open · 0 ended");
    assert!(lines[4].contains("10.0.0.5:40001"), "{lines:#?}");
}

#[test]
fn the_clients_of_a_remote_port_are_told_and_those_that_failed_with_why() {
    let mut stage = Stage::new("10.0.0.9:81");
    stage.happen(hopeless(libc::ECONNREFUSED, 3));
    stage.happen(
        Story::new(5, process("psql", 99), "10.0.0.4:40002", "10.0.0.9:81")
            .to(5 * MS, State::SynSent, 0)
            .to(6 * MS, State::Established, 1680)
            .events,
    );
    stage.wait(SECOND);
    let lines = stage.lines(80, 24);
    assert_eq!(lines[0], "follow 10.0.0.9:81 · 1s · 0 listeners · 1 open · 0 accepted · 1 failed");
    assert!(lines[1].starts_with("connected 1/s") && lines[1].contains("failed 1/s"), "{}", lines[1]);
    assert_eq!(lines[3], "▾ clients that connect to 10.0.0.9:81 · 1 open · 1 ended");
    assert!(lines[4].contains("psql 99") && lines[4].contains("established"), "{lines:#?}");
    assert!(lines[5].starts_with(" !10.0.0.9:81") && lines[5].contains("refused"), "{lines:#?}");
    stage.wait(70 * SECOND);
    let later = stage.text(80, 24);
    assert!(!later.contains("refused") && later.contains("psql 99"), "{later}");
}

#[test]
fn a_connection_within_the_host_is_one_row_that_names_the_client() {
    let mut stage = Stage::new("80");
    let curl = client(b"curl", "10.0.0.5:40001", "10.0.0.4:80").events;
    let (open, rest) = curl.split_at(2);
    stage.happen(listener(1, "nginx", "0.0.0.0:80").events);
    stage.happen(open.to_vec());
    stage.happen(connection(2, 1, 813, "10.0.0.5:40001").events);
    stage.wait(MS);
    let lines = stage.lines(100, 20);
    assert!(lines[0].contains("1 open"), "{}", lines[0]);
    assert_eq!(lines.iter().filter(|line| line.contains("10.0.0.5:40001")).count(), 1, "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("10.0.0.5:40001 curl")), "{lines:#?}");
    stage.happen(rest.to_vec());
    stage.wait(SECOND);
    assert_eq!(stage.board.closed.total, 0, "the server has not closed it");
}

#[test]
fn a_bind_that_failed_is_told_with_its_error() {
    let mut stage = Stage::new("80");
    let story = Story::new(1, process("httpd", 9), "0.0.0.0:80", "");
    stage.happen(story.call(0, CallKind::Bind, 3, libc::EADDRINUSE).destroyed(MS).events);
    stage.wait(SECOND);
    let text = stage.text(100, 20);
    assert!(text.contains("bound, but not listening · 0 open · 1 ended"), "{text}");
    assert!(text.contains(" !0.0.0.0:80") && text.contains("httpd 9") && text.contains("bind EADDRIN"), "{text}");
    assert_eq!(stage.board.failed.total, 1);
}

#[test]
fn a_port_that_nobody_uses_says_so_and_shows_who_comes() {
    let mut stage = Stage::new("8080");
    assert!(stage.text(80, 24).contains("Nobody listens on :8080 or is connected to it; waiting."));
    stage.happen(listener(1, "python3", "127.0.0.1:8080").events);
    let text = stage.text(80, 24);
    assert!(text.contains("▾ 127.0.0.1:8080") && !text.contains("Nobody"), "{text}");
}

#[test]
fn ten_thousand_connections_are_counted_and_all_of_them_can_be_reached() {
    let mut stage = Stage::new("80");
    let mut events = listener(1, "nginx", "0.0.0.0:80").events;
    for id in 0..10_000_u64 {
        events.extend(connection(id + 2, 1, 813, &format!("10.1.{}.{}:40000", id / 250, id % 250)).events);
    }
    events.sort_by_key(|event| event.time);
    stage.happen(events);
    stage.wait(SECOND);
    assert!(stage.text(80, 24).contains("1 listener · 10,000 open · 10,000 accepted"));
    stage.press(KeyCode::End);
    let last = stage.chosen();
    stage.press(KeyCode::Char('s'));
    stage.press(KeyCode::Home);
    for _ in 0..4 {
        stage.press(KeyCode::Down);
    }
    stage.press(KeyCode::Up);
    stage.press(KeyCode::Up);
    stage.press(KeyCode::Up);
    assert_eq!(stage.chosen(), last, "the last of the newest first is the first of the oldest first");
}

#[test]
fn a_flood_of_closed_connections_does_not_sweep_away_what_failed_nor_grow() {
    let mut stage = Stage::new("81");
    stage.happen(hopeless(libc::ETIMEDOUT, 1));
    for id in 10..10_010_u64 {
        let story = Story::new(id, process("ab", 7), "10.0.0.4:40000", "10.0.0.9:81");
        let story = story.to(id * MS / 2, State::SynSent, 0).to(id * MS / 2, State::Established, 1680);
        let story = story.step(id * MS / 2, State::FinWait1).step(id * MS / 2, State::FinWait2);
        let stats = Stats { fin_received: true, ..counted(1, 1) };
        stage.happen(story.close(id * MS / 2, false, stats).destroyed(id * MS / 2).events);
    }
    stage.wait(SECOND);
    assert_eq!((stage.board.closed.total, stage.board.failed.total), (10_001, 1));
    let shown = stage.board.ended(stage.now).count();
    assert!(shown <= 513, "{shown} are kept");
    stage.press(KeyCode::Char('f'));
    stage.press(KeyCode::Char('f'));
    stage.press(KeyCode::Char('f'));
    let text = stage.text(100, 30);
    assert!(text.contains("f failed") && text.contains("curl 99") && text.contains("timeout"), "{text}");
    assert!(!text.contains("ab 7"), "{text}");
}

#[test]
fn where_a_name_has_no_room_it_is_cut_and_the_pid_is_not() {
    let mut stage = Stage::new("80");
    let by = process("a-long-name-15b", 4_194_303);
    let story = Story::new(1, by, "10.0.0.4:40000", "10.0.0.9:80").to(0, State::SynSent, 0);
    stage.happen(story.events);
    assert!(stage.text(80, 24).contains(" a-l… 4194303 "), "{}", stage.text(80, 24));
    assert!(stage.text(160, 24).contains(" a-long-name-15b 4194303 "), "{}", stage.text(160, 24));
}

#[test]
fn what_was_lost_stands_first() {
    let mut stage = web_server();
    let now = stage.now;
    stage.happen(vec![Event { time: now, what: What::Lost { count: Some(1_234), since: now - MS } }]);
    stage.wait(SECOND);
    let lines = stage.lines(80, 24);
    assert!(lines[0].starts_with("follow :80 · LOST 1,234 EVENTS · "), "{}", lines[0]);
}

#[test]
fn hostile_names_reach_the_screen_as_harmless_text() {
    let mut stage = Stage::new("80");
    let by = named(b"\x1b[2J\xff\xe2\x80\xae\n", 7);
    stage.happen(Story::new(1, by, "0.0.0.0:80", "").call(0, CallKind::Bind, 6, 0).listen(MS, 6, 1, 1).events);
    let details = |stage: &mut Stage| {
        stage.press(KeyCode::Enter);
        stage.text(100, 30)
    };
    for text in [stage.text(100, 30), details(&mut stage)] {
        assert!(text.contains(r"\x1b[2J\xff\u{202e}\x0a 7"), "{text}");
        assert!(text.chars().all(|character| character == '\n' || !character.is_control()), "{text:?}");
    }
}

#[test]
fn without_color_the_screen_has_none_and_says_the_same() {
    let mut stage = web_server();
    stage.happen(hopeless(libc::ECONNREFUSED, 3));
    let colored = stage.buffer(100, 30);
    let with = stage.text(100, 30);
    stage.color = false;
    let plain = stage.buffer(100, 30);
    assert!(colored.content.iter().any(|cell| cell.fg != Color::Reset));
    assert!(plain.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    assert_eq!(stage.text(100, 30), with);
}

#[test]
fn a_listener_has_graphs_of_what_it_accepts_what_waits_and_what_overflows() {
    let mut stage = Stage::new("80");
    stage.happen(listener(1, "nginx", "0.0.0.0:80").events);
    let holders = [process("nginx", 812)];
    let overflowed = |drops| [(1, Stats { backlog: 511, drops, ..Stats::default() }, &holders[..])];
    stage.look(&overflowed(40));
    for second in 1..=4_u64 {
        for nth in 0..second {
            let peer = format!("10.0.0.5:{}", 1_000 * second + nth);
            let story = Story::new(second * 10 + nth, process("nginx", 813), "10.0.0.4:80", &peer).child_of(1);
            let story = story.to(second * SECOND, State::SynReceived, 0).to(second * SECOND, State::Established, 1680);
            // Those of the third second wait.
            let accepted = if second == 3 { 4 * SECOND } else { second * SECOND + MS };
            stage.happen(story.events);
            stage.wait(0);
            let story = Story::new(second * 10 + nth, process("nginx", 813), "10.0.0.4:80", &peer).child_of(1);
            if second != 3 {
                stage.happen(story.call(accepted, CallKind::Accept, 9, 0).events);
            }
        }
        stage.wait(900 * MS);
    }
    stage.look(&overflowed(47));
    stage.wait(SECOND / 5);
    let line = |stage: &mut Stage, width| {
        let lines = stage.lines(width, 24);
        lines.into_iter().find(|line| line.contains("accepts ")).expect("who accepts").trim().to_owned()
    };
    assert_eq!(line(&mut stage, 80), "accepts 4/s ▁▁▁▁▁▁▁▁▃▅▁█ 7 so far: nginx 813 4/s (7)");
    let wide = line(&mut stage, 120);
    assert!(wide.contains(" queue ▁▁▁▁▁▁▁▁"), "{wide}");
    assert!(stage.text(100, 24).contains("queue 0 of 511 · overflowed 47, 7/s now"), "{}", stage.text(100, 24));
    stage.press(KeyCode::Enter);
    let details = stage.text(80, 24);
    for graph in ["accepts/s   ▁", "queue       ▁", "overflows/s ▁", "▃▅▁█ most 4", "█ most 7"] {
        assert!(details.contains(graph), "{graph}:\n{details}");
    }
}

#[test]
fn of_a_recording_it_is_told_when_it_is_where_it_is_and_how_it_goes_on() {
    let mut stage = web_server();
    let course = Course {
        motion: Motion::Paused,
        elapsed: SECOND,
        length: Some(4 * SECOND),
        run: None,
        event: None,
        refused: None,
    };
    stage.course = Some(course);
    let lines = stage.lines(80, 24);
    assert_eq!(lines[0], "replay :80 · 1 listener · 2 open · 3 accepted · 0 failed");
    assert_eq!(lines[1], "at 18:04:12.203000 on 2026-11-22 · 1.0s of 4.0s · paused  ━━━━━●────────────────");
    assert!(lines[23].contains("n next event") && lines[23].contains("? help"), "{}", lines[23]);
    for (motion, said) in [
        (Motion::Seeking, "seeking"),
        (Motion::Times(10), "10x"),
        (Motion::Max, "as fast as can be"),
        (Motion::Over, "end"),
    ] {
        stage.course = Some(Course { motion, length: None, ..course });
        let line = format!("at 18:04:12.203000 on 2026-11-22 · 1.0s from its beginning · {said}");
        assert_eq!(stage.lines(80, 24)[1], line);
    }
    // Nobody looked at the sockets: what is known comes from events alone.
    let mut stage = Stage::new("80");
    stage.happen(listener(1, "nginx", "0.0.0.0:80").events);
    let waits = Story::new(2, process("nginx", 813), "10.0.0.4:80", "10.0.0.5:40001").child_of(1);
    stage.happen(waits.to(MS, State::SynReceived, 0).to(MS, State::Established, 1680).events);
    stage.course = Some(course);
    let text = stage.text(80, 24);
    assert!(text.contains("1 open · queue 1 of 511") && text.contains("it is not known who holds it"), "{text}");
}

#[test]
fn a_screen_of_any_size_is_drawn() {
    let mut stage = web_server();
    for (open, recorded) in [
        (None, false),
        (None, true),
        (Some(KeyCode::Char('?')), false),
        (Some(KeyCode::Char('?')), true),
        (Some(KeyCode::Enter), false),
        (Some(KeyCode::Char('/')), false),
    ] {
        let course =
            Course { motion: Motion::Times(1), elapsed: 5, length: Some(9), run: None, event: None, refused: None };
        stage.course = recorded.then_some(course);
        if let Some(key) = open {
            stage.press(KeyCode::Esc);
            stage.press(key);
        }
        for (width, height) in (0..130).flat_map(|width| [(width, 24), (80, width / 4), (width, width / 3)]) {
            stage.lines(width, height);
        }
    }
}
