//! What keys do to what is shown.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::stage::{SECOND, Stage};
use crate::{
    event::{CallKind, State},
    follow::keys::{Asked, TimeKey},
    output::stories::{MS, Story, process, together, web_server},
};

fn server(id: u64, at: u64, peer: &str) -> Story {
    Story::new(id, process("nginx", 814), "10.0.0.4:80", peer)
        .child_of(1)
        .to(at, State::SynReceived, 0)
        .to(at, State::Established, 1680)
        .call(at, CallKind::Accept, 9, 0)
}

/// A listener and two connections, the newer one first.
fn stage() -> Stage {
    let mut stage = Stage::new("80");
    let listener = Story::new(1, process("nginx", 812), "0.0.0.0:80", "").listen(MS, 6, 4096, 511);
    stage.happen(together([listener, server(2, 10 * MS, "10.0.0.5:1002"), server(3, 20 * MS, "10.0.0.5:1001")]));
    stage.lines(100, 30);
    stage
}

#[test]
fn the_choice_stays_with_its_socket_while_others_come() {
    let mut stage = stage();
    assert!(stage.chosen().starts_with("▾ 0.0.0.0:80"), "{}", stage.chosen());
    stage.press(KeyCode::Down);
    assert!(stage.chosen().starts_with("> 10.0.0.5:1001"), "{}", stage.chosen());
    stage.happen(server(4, SECOND, "10.0.0.5:1003").events);
    assert!(stage.chosen().starts_with("> 10.0.0.5:1001"), "{}", stage.chosen());
    stage.press(KeyCode::Up);
    assert!(stage.chosen().starts_with("> 10.0.0.5:1003"), "{}", stage.chosen());
}

#[test]
fn what_is_beneath_a_listener_is_hidden_and_shown() {
    let mut stage = stage();
    stage.press(KeyCode::Down);
    stage.press(KeyCode::Left);
    assert!(stage.chosen().starts_with("▾ 0.0.0.0:80"), "left leads to the listener: {}", stage.chosen());
    stage.press(KeyCode::Left);
    let text = stage.text(100, 30);
    assert!(text.contains("▸ 0.0.0.0:80") && text.contains("2 open") && !text.contains("10.0.0.5"), "{text}");
    stage.press(KeyCode::Right);
    assert!(stage.text(100, 30).contains("10.0.0.5:1001"));
}

#[test]
fn s_changes_the_order_and_says_which() {
    let mut stage = stage();
    let first = |stage: &mut Stage| {
        let lines = stage.lines(100, 30);
        let row = lines.iter().find(|line| line.contains("10.0.0.5")).expect("a connection").trim().to_owned();
        (row[..13].to_owned(), lines[29].clone())
    };
    assert!(matches!(first(&mut stage), (row, keys) if row == "10.0.0.5:1001" && keys.contains("s newest")));
    stage.press(KeyCode::Char('s'));
    assert!(matches!(first(&mut stage), (row, keys) if row == "10.0.0.5:1002" && keys.contains("s oldest")));
    for _ in 0..4 {
        stage.press(KeyCode::Char('s'));
    }
    assert!(matches!(first(&mut stage), (row, keys) if row == "10.0.0.5:1001" && keys.contains("s peer")));
}

#[test]
fn details_tell_the_whole_path_of_a_socket_with_times() {
    let mut stage = Stage::new("80");
    stage.happen(web_server());
    assert!(stage.chosen().starts_with("× 0.0.0.0:80"), "{}", stage.chosen());
    stage.press(KeyCode::Enter);
    let listener = stage.text(100, 30);
    assert!(listener.contains("s1 · listener · tcp · netns 4026531840 · cookie 4097"), "{listener}");
    assert!(listener.contains("18:04:11.001000     +1.00 ms  listen · by nginx 812 · fd 6"), "{listener}");
    assert!(listener.contains("18:05:11.000000  +1 min 00 s  close · by nginx 812 · closed"), "{listener}");
    assert!(listener.contains("end: closed"), "{listener}");
    assert!(listener.contains("/usr/sbin/nginx") && listener.contains("uid 33"), "{listener}");
    stage.press(KeyCode::Esc);
    assert!(!stage.text(100, 30).contains("cookie"), "it is closed again");
}

#[test]
fn keys_that_come_faster_than_the_screen_is_drawn_do_what_they_would_have_done() {
    let mut stage = stage();
    for key in [KeyCode::Down, KeyCode::Down, KeyCode::Enter] {
        stage.state.key(KeyEvent::new(key, KeyModifiers::NONE));
    }
    let details = stage.text(100, 30);
    assert!(details.contains("peer 10.0.0.5:1002") && details.contains("s2 · server"), "{details}");
}

#[test]
fn the_keys_to_leave_to_stop_and_to_draw_anew_are_those_of_every_terminal() {
    let mut stage = stage();
    let control = |key| KeyEvent::new(KeyCode::Char(key), KeyModifiers::CONTROL);
    assert_eq!(stage.press(KeyCode::Char('q')), Asked::Quit);
    for (key, asked) in [('c', Asked::Quit), ('z', Asked::Stop), ('l', Asked::Redraw), ('x', Asked::Nothing)] {
        assert_eq!(stage.state.key(control(key)), asked, "Ctrl-{key}");
    }
    stage.press(KeyCode::Char('?'));
    assert!(stage.text(100, 30).contains("Keys and signs"));
    assert_eq!(stage.press(KeyCode::Char('q')), Asked::Nothing, "q leaves the help first");
    assert!(!stage.text(100, 30).contains("Keys and signs"));
}

#[test]
fn a_filter_that_is_typed_chooses_the_rows_until_escape() {
    let mut stage = stage();
    let type_in = |stage: &mut Stage, text: &str| {
        text.chars().for_each(|character| assert_eq!(stage.press(KeyCode::Char(character)), Asked::Nothing));
        stage.press(KeyCode::Enter);
    };
    stage.press(KeyCode::Char('/'));
    assert!(stage.lines(80, 24)[23].starts_with("/█  Enter"), "{}", stage.text(80, 24));
    type_in(&mut stage, "10.0.0.5:1002 q");
    let text = stage.text(80, 24);
    assert!(text.contains(":80 · /10.0.0.5:1002 q · 0s") && text.contains("0 of 2 open"), "{text}");
    // What was typed stays, to be changed.
    stage.press(KeyCode::Char('/'));
    stage.press(KeyCode::Backspace);
    type_in(&mut stage, "");
    let text = stage.text(80, 24);
    assert!(
        text.contains("1 of 2 open") && text.contains(" 10.0.0.5:1002") && !text.contains("10.0.0.5:1001"),
        "{text}"
    );
    stage.press(KeyCode::Char('/'));
    type_in(&mut stage, " 1.2.3/8");
    let foot = stage.lines(80, 24)[23].clone();
    assert!(foot.starts_with("/10.0.0.5:1002 1.2.3/8█  1.2.3/8: an address is like"), "{foot}");
    stage.press(KeyCode::Esc);
    stage.press(KeyCode::Esc);
    let text = stage.text(80, 24);
    assert!(text.contains("2 open") && !text.contains("of 2 open") && text.contains("10.0.0.5:1001"), "{text}");
}

#[test]
fn what_is_typed_is_bounded_and_harmless() {
    let mut stage = stage();
    stage.press(KeyCode::Char('/'));
    for character in "\u{1b}\u{202e}\u{7}".chars().chain(std::iter::repeat_n('x', 1_000)) {
        stage.press(KeyCode::Char(character));
    }
    let text = stage.text(300, 24);
    let typed = text.lines().last().unwrap_or_default();
    assert!(typed.starts_with(r"/\u{202e}xxx") && typed.matches('x').count() == 199, "{typed}");
    stage.press(KeyCode::Enter);
    let text = stage.text(80, 24);
    assert!(
        text.chars().all(|character| character == '\n' || !character.is_control() && character != '\u{202e}'),
        "{text:?}"
    );
}

#[test]
fn the_keys_of_time_are_those_of_a_recording_alone() {
    let mut stage = stage();
    let keys = [
        ('n', TimeKey::Next),
        ('.', TimeKey::By(1_000_000_000)),
        (',', TimeKey::By(-1_000_000_000)),
        ('>', TimeKey::By(10_000_000_000)),
        ('<', TimeKey::By(-10_000_000_000)),
        (']', TimeKey::By(60_000_000_000)),
        ('[', TimeKey::By(-60_000_000_000)),
        ('b', TimeKey::Start),
        ('e', TimeKey::End),
        ('x', TimeKey::Speed),
    ];
    for (key, _) in keys {
        assert_eq!(stage.press(KeyCode::Char(key)), Asked::Nothing, "{key}");
    }
    stage.state.recorded = true;
    for (key, time) in keys {
        assert_eq!(stage.press(KeyCode::Char(key)), Asked::Time(time), "{key}");
    }
    assert_eq!(stage.press(KeyCode::Tab), Asked::Time(TimeKey::Run));
    // Typed, they are letters.
    stage.press(KeyCode::Char('/'));
    assert_eq!(stage.press(KeyCode::Char('n')), Asked::Nothing);
    assert!(stage.lines(80, 24)[23].starts_with("/n█"));
}

#[test]
fn space_pauses_and_says_so() {
    let mut stage = stage();
    stage.press(KeyCode::Char(' '));
    assert!(stage.state.paused && stage.lines(80, 24)[0].contains("· PAUSED ·"));
    stage.press(KeyCode::Char(' '));
    assert!(!stage.state.paused);
}
