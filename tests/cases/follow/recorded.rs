//! A recording on the screen, with time under the control of whoever looks at it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{
    Actor, Host, Scratch, Terminal, Trace,
    recording::{assert_same_lines, record, replay, run, word},
    sockwatch,
};

/// A recording of a server, `l`, and of two clients, one after the other, and more than a second between things; and the port.
fn recording(scratch: &Scratch, name: &str, begin: &str) -> (PathBuf, u16) {
    let file = scratch.path().join(name);
    let (server, client) = (Actor::start(), Actor::start());
    server.tell("free = listen('127.0.0.1'); number = port(free); free.close()");
    let port: u16 = server.ask("number");
    let recorder = record(&file, &["--port", &port.to_string()]);
    server.tell(begin);
    server.tell("import time; l = listen('127.0.0.1', number)");
    for _ in 0..2 {
        server.tell("time.sleep(1.2)");
        client.tell(&format!("c = connect('127.0.0.1', {port}); c.sendall(b'hello')"));
        server.tell("s, _ = l.accept(); read(s, 5); s.sendall(b'welcome!')");
        client.tell("read(c, 8); c.close()");
        server.tell("s.close()");
    }
    server.tell("l.close()");
    stop(recorder);
    (file, port)
}

fn stop(recorder: Trace) {
    recorder.signal(Signal::SIGINT);
    recorder.end().expect(0);
}

/// A recording on a terminal, stopped at its beginning.
fn show(files: &[&Path], arguments: &[&str]) -> Terminal {
    let files: Vec<&str> = files.iter().map(|file| word(file)).collect();
    let mut terminal = Terminal::run(&sockwatch(&[&["replay"], &files[..], arguments].concat()), 100, 30);
    terminal.wait_until("the header", |text| text.starts_with("replay "));
    terminal.keys(" e");
    terminal.wait_until("the end", |text| text.contains("PAUSED") && place(text).contains(" · end"));
    go(&mut terminal, "b");
    terminal
}

/// The line that says where it is.
fn place(text: &str) -> &str {
    text.lines().nth(1).unwrap_or_default()
}

fn rests(text: &str) -> bool {
    place(text).contains(" · paused") || place(text).contains(" · end")
}

/// Presses a key that leads elsewhere. Returns the screen there.
fn go(terminal: &mut Terminal, key: &str) -> String {
    let before = terminal.text();
    terminal.keys(key);
    terminal.wait_until("another moment", |text| place(text) != place(&before) && rests(text))
}

/// Without what tells how it came there, and the blanks at the ends of lines, of which an emulator keeps those that were written.
fn what_is_shown(text: &str) -> Vec<&str> {
    let rows = text.lines().enumerate().filter(|(at, _)| *at != 1).map(|(_, line)| line.trim_end());
    rows.filter(|row| !row.is_empty()).chain(place(text).split(" · ").take(2)).collect()
}

#[test]
fn stepped_through_and_sought_back_it_shows_what_it_showed_at_that_time() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("steps");
    let (file, port) = recording(&scratch, "a.sw", "None");
    let mut terminal = show(&[&file], &["--follow", &port.to_string()]);
    let first = terminal.wait_for(&format!("Nobody listens on :{port}"));
    let mut screens = vec![first];
    while !screens.last().is_some_and(|text| place(text).contains(" · end")) {
        assert!(screens.len() < 100, "{screens:#?}");
        screens.push(go(&mut terminal, "n"));
    }
    let all = screens.join("\n");
    for word in ["listen", "syn_sent", "established", "accept", "close", "fin by peer", "2 accepted"] {
        assert!(all.contains(word), "{word}:\n{all}");
    }
    let appears =
        |what: &str| screens.iter().position(|text| text.contains(what)).unwrap_or_else(|| panic!("{what}:\n{all}"));
    assert!(
        appears("▾ 127.0.0.1") < appears("1 listener · 1 open")
            && appears("1 listener · 1 open") < appears("fin by peer"),
        "{all}"
    );
    // Back to the beginning, and through it again.
    let mut again = vec![go(&mut terminal, "b")];
    while again.len() < screens.len() {
        again.push(go(&mut terminal, "n"));
    }
    for (again, before) in again.iter().zip(&screens) {
        assert_eq!(what_is_shown(again), what_is_shown(before));
    }
    // From the end a second back, twice, and on again: each time the same.
    let back = [go(&mut terminal, ","), go(&mut terminal, ",")];
    assert!(back[0] != back[1] && back.iter().all(|text| place(text).contains("paused")), "{back:#?}");
    let on = go(&mut terminal, ".");
    assert_eq!(what_is_shown(&on), what_is_shown(&back[0]));
    let end = go(&mut terminal, "e");
    assert!(place(&end).contains(" · end") && end.contains("2 accepted"), "{end}");
    let on = go(&mut terminal, "b");
    assert_eq!(what_is_shown(&on), what_is_shown(&screens[0]));
    terminal.keys("q");
    assert_eq!(terminal.end(), 0);
    terminal.wait_for("sockwatch: followed for 0.0 s; connections: 0 established, 0 accepted");
}

#[test]
fn time_goes_on_by_itself_ten_times_as_fast_if_it_is_to_and_stops() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("pace");
    let (file, port) = recording(&scratch, "a.sw", "None");
    let mut terminal = show(&[&file], &["--follow", &port.to_string(), "--speed", "7"]);
    terminal.keys("?");
    terminal.wait_for("go on to the next event");
    terminal.keys("q ");
    terminal.wait_until("the end", |text| place(text).contains(" · end") && text.contains("2 accepted"));
    terminal.keys("b");
    terminal.wait_until("that it goes on from the beginning", |text| place(text).contains(" · 7x"));
    terminal.keys("x");
    terminal.wait_until("another speed", |text| place(text).contains(" · 1x"));
    terminal.keys("xx");
    terminal.wait_until("the end at once", |text| place(text).contains(" · end") && text.contains("2 accepted"));
    kill(Pid::from_raw(terminal.pid().cast_signed()), Signal::SIGTERM).expect("it runs");
    assert_eq!(terminal.end(), 0);
    let text = terminal.wait_for("sockwatch: followed for");
    assert!(text.contains("2 accepted, 2 closed, 0 failed") && text.contains("none lost"), "{text}");
    assert!(!terminal.is_taken() && !terminal.hides_cursor() && terminal.is_as_a_shell_wants_it());
}

#[test]
fn a_part_begins_and_ends_where_it_is_asked_to() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("until");
    let (file, port) = recording(&scratch, "a.sw", "None");
    let accepts: Vec<String> = replay(&file, &[])
        .expect(0)
        .lines()
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .filter(|event| event["event"] == "accept")
        .map(|event| event["time"].as_str().expect("a time").to_owned())
        .collect();
    let [first, second] = &accepts[..] else { panic!("{accepts:?}") };
    let mut terminal = show(&[&file], &["--follow", &port.to_string(), "--since", first, "--until", second]);
    let text = terminal.wait_for(&format!("▾ 127.0.0.1:{port}"));
    // That it was accepted is counted when it is settled, a moment later.
    assert!(text.contains("1 listener · 1 open") && text.contains(" established "), "{text}");
    let text = go(&mut terminal, "e");
    assert!(text.contains("1 open · 2 accepted") && text.contains("fin by peer"), "{text}");
    terminal.keys("q");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn of_several_recordings_one_is_shown_after_the_other_at_the_same_time() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("several");
    let one = recording(&scratch, "a.sw", "None");
    let (other, _) = recording(&scratch, "b.sw", "None");
    let mut terminal = show(&[&one.0, &other], &["--follow", &one.1.to_string()]);
    let text = terminal.wait_for(" · 1 of 2: ");
    assert!(text.contains("Nobody listens"), "{text}");
    let text = go(&mut terminal, "e");
    assert!(text.contains("2 accepted"), "{text}");
    terminal.keys("\t");
    let text = terminal.wait_for(" · 2 of 2: ");
    assert!(text.contains("0 accepted") && text.contains("Nobody listens"), "{text}");
    terminal.keys("q");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn hostile_names_in_a_recording_are_shown_as_harmless_text() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("hostile");
    let name = r"open('/proc/self/comm', 'wb').write(b'\x1b]0;x\x07\xff\x1b[2J')";
    let (file, port) = recording(&scratch, "a.sw", name);
    let mut terminal = show(&[&file], &["--follow", &port.to_string()]);
    go(&mut terminal, "e");
    let text = terminal.wait_for(r"\x1b]0;x\x07\xff\x1b[2J");
    assert!(text.starts_with("replay "), "{text}");
    terminal.keys("g\r");
    let text = terminal.wait_for("bind · by");
    assert!(text.contains(r"\x1b]0;x\x07\xff\x1b[2J"), "{text}");
    terminal.keys("qq");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn what_is_missing_is_said_on_the_screen_and_by_the_exit_code() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("missing");
    let (file, port) = recording(&scratch, "a.sw", "None");
    let whole = fs::read(&file).expect("a recording");
    // The last block closes it; the one before has what happened last.
    let blocks: Vec<usize> =
        whole.windows(4).enumerate().filter(|(_, four)| four == b"\x89SWB").map(|(at, _)| at).collect();
    assert!(blocks.len() > 3, "{blocks:?}");
    fs::write(&file, &whole[..blocks[blocks.len() - 2]]).expect("room");
    let mut terminal = show(&[&file], &["--follow", &port.to_string()]);
    let text = go(&mut terminal, "e");
    assert!(text.contains(" · LOST SOME EVENTS · "), "{text}");
    let text = go(&mut terminal, "b");
    assert!(!text.contains("LOST"), "it was not lost there: {text}");
    go(&mut terminal, "e");
    terminal.keys("q");
    assert_eq!(terminal.end(), 3);
    terminal.wait_for("it was not closed");
}

#[test]
fn from_a_pipe_there_is_no_way_back_and_that_is_said() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("pipe");
    let (file, port) = recording(&scratch, "a.sw", "None");
    let pipe = scratch.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let mut writer = Command::new("cp").arg(&file).arg(&pipe).spawn().expect("cp runs");
    let mut terminal =
        Terminal::run(&sockwatch(&["replay", word(&pipe), "--follow", &port.to_string(), "--speed", "max"]), 100, 30);
    terminal.wait_until("the end", |text| place(text).contains(" · end") && text.contains("2 accepted"));
    terminal.keys("b");
    let text = terminal.wait_for("no way back");
    assert!(text.contains("2 accepted"), "{text}");
    terminal.keys("q");
    assert_eq!(terminal.end(), 0);
    assert!(writer.wait().expect("it is a child").success());
}

#[test]
fn where_there_is_no_screen_the_lines_about_the_target_are_written() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("lines");
    let (file, port) = recording(&scratch, "a.sw", "None");
    let target = format!("127.0.0.1:{port}");
    let followed = replay(&file, &["--follow", &target]).expect(0);
    let filtered = replay(&file, &["--port", &port.to_string()]).expect(0);
    assert!(filtered.stdout.len() > 10, "{:?}", filtered.stdout);
    assert_same_lines(&followed.stdout, &filtered.stdout, "--follow");
    let text = run(&["replay", word(&file), "--follow", &target]).expect(0);
    assert!(text.stdout.iter().any(|line| line.contains("accept") && line.contains(&target)), "{:#?}", text.stdout);
    let mut terminal = Terminal::run(&sockwatch(&["replay", word(&file), "--follow", &target, "--plain"]), 120, 40);
    assert_eq!(terminal.end(), 0);
    let text = terminal.wait_for("none lost");
    assert!(text.contains("accept") && !terminal.is_taken(), "{text}");
    run(&["replay", word(&file), "--follow", "nonsense"]).expect(2);
    run(&["replay", word(&file), "--plain"]).expect(2);
}

#[test]
fn a_shell_that_stops_it_has_its_terminal_and_gives_it_back() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("stopped");
    let (file, port) = recording(&scratch, "a.sw", "None");
    let mut shell = Command::new("sh");
    let script = format!(
        "set -m; {} replay {} --follow {port}; echo stopped; read go; fg; echo ended $?",
        env!("CARGO_BIN_EXE_sockwatch"),
        word(&file)
    );
    shell.args(["-c", &script]);
    let mut terminal = Terminal::run(&shell, 80, 24);
    terminal.wait_for(&format!("replay :{port} ·"));
    terminal.keys("\x1a");
    terminal.wait_for("stopped");
    assert!(!terminal.is_taken() && !terminal.hides_cursor() && terminal.is_as_a_shell_wants_it());
    terminal.keys("go\n");
    terminal.wait_for(&format!("replay :{port} ·"));
    terminal.resize(60, 12);
    terminal.keys("e");
    terminal.wait_until("the end, on a smaller screen", |text| {
        text.lines().count() <= 12 && place(text).contains(" · end")
    });
    terminal.keys("q");
    terminal.wait_for("ended 0");
    assert_eq!(terminal.end(), 0);
}
