//! Recordings that come and go through pipes, and those that are read while they are written.

use std::{
    io::{Read, pipe},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::sys::signal::Signal;

use crate::support::{
    Actor, Ending, Host, Load, Netns, Scratch, Trace, python,
    recording::{record, replay, run, size, verify_whole, word},
    sockwatch, wait_for,
};

/// Two ends of a connection that are closed when this returns; the client's port.
fn converse(netns: &Netns) -> u16 {
    let actor = Actor::within(netns);
    actor.tell("l = listen('127.0.0.1', 7800); c = connect('127.0.0.1', 7800); s, _ = l.accept()");
    let port = actor.ask("port(c)");
    actor.tell("c.close(); s.close(); l.close()");
    port
}

/// Waits until a replay shows the end of a client's socket.
fn wait_for_client(replay: &Trace, port: u16) {
    let local = format!("\"local\":{{\"address\":\"127.0.0.1\",\"port\":{port}}}");
    replay.stdout().wait_for("a client's line", |lines| {
        lines.iter().any(|line| line.starts_with("{\"type\":\"socket\"") && line.contains(&local)).then_some(())
    });
}

#[test]
fn a_recording_is_replayed_through_a_pipe_while_it_is_made() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let scratch = Scratch::new("pipe");
    let file = scratch.path().join("a.sw");
    let (from_recorder, to_tee) = pipe().expect("a pipe");
    let (from_tee, to_replay) = pipe().expect("a pipe");
    let recorder = Trace::ready_into(&mut sockwatch(&["record", "-o", "-"]), to_tee.into());
    let mut tee = Command::new("tee").arg(&file).stdin(from_recorder).stdout(to_replay).spawn().expect("tee runs");
    let replayed = Trace::start(sockwatch(&["replay", "--json", "-"]).stdin(from_tee));
    let port = converse(&netns);
    wait_for_client(&replayed, port);
    recorder.signal(Signal::SIGINT);
    recorder.end().expect(0);
    let streamed = replayed.end().expect(0);
    assert!(tee.wait().expect("it is a child").success());
    streamed.run();
    verify_whole(&file);
    assert_eq!(streamed.stdout, replay(&file, &[]).expect(0).stdout);
    let piped = Trace::start(sockwatch(&["verify", "--json", "-"]).stdin(std::fs::File::open(&file).expect("a file")));
    piped.end().expect(0);
}

#[test]
fn a_recording_of_a_command_ends_with_it() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("command");
    let file = scratch.path().join("a.sw");
    let command = "
import os, socket
l = socket.create_server(('127.0.0.1', 0))
if os.fork() == 0:
    socket.create_connection(l.getsockname()).close()
    os._exit(0)
l.accept()
os.wait()
print('done')";
    let ended = run(&["record", "-o", word(&file), "--", python(), "-c", command]).expect(0);
    assert!(ended.stdout.is_empty() && ended.stderr.contains(&"done".to_owned()), "{}", ended.said());
    verify_whole(&file);
    let run = replay(&file, &[]).expect(0).run();
    assert_eq!(run.sockets.len(), 3, "of the command and its child, and of nobody else: {:?}", run.sockets);
    assert!(run.sockets.iter().all(|socket| socket.0["complete"] == true && !socket.0["close"].is_null()));
}

#[test]
fn a_reader_of_the_stream_that_goes_away_ends_the_recorder_quietly() {
    let Some(_host) = Host::shared() else { return };
    let (mut reader, writer) = pipe().expect("a pipe");
    let recorder = Trace::ready_into(&mut sockwatch(&["record", "-o", "-"]), writer.into());
    // As `head -c 1` does.
    reader.read_exact(&mut [0]).expect("a first byte");
    drop(reader);
    let ended = recorder.end().expect(0);
    assert!(ended.stderr.iter().all(|line| line.starts_with("sockwatch: ready")), "{}", ended.said());
}

/// A recording of more than a pipe holds.
fn long(host: &Host, scratch: &Scratch) -> PathBuf {
    let netns = host.netns();
    let file = scratch.path().join("long.sw");
    let recorder = record(&file, &["--netns", &netns.path().display().to_string()]);
    Load { connections: 500, pairs: 1, ending: Ending::Fin }.run(&netns);
    recorder.signal(Signal::SIGINT);
    recorder.end().expect(0);
    file
}

#[test]
fn a_reader_of_a_replay_that_goes_away_ends_it_quietly() {
    let Some(host) = Host::shared() else { return };
    let scratch = Scratch::new("head");
    let file = long(&host, &scratch);
    for arguments in [&["--json"][..], &[], &["--view", "states", "--speed", "1"]] {
        let (mut reader, writer) = pipe().expect("a pipe");
        let mut command = sockwatch(&["replay", word(&file)]);
        command.args(arguments).stdout(writer).stderr(Stdio::piped());
        let replay = command.spawn().expect("sockwatch runs");
        drop(command);
        reader.read_exact(&mut [0]).expect("a first byte");
        drop(reader);
        let ended = replay.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!((ended.status.code(), &*said), (Some(0), ""), "{arguments:?}");
    }
}

/// `replay --tail` of a recording that was begun.
fn tail(file: &Path) -> Trace {
    wait_for("the beginning of the recording", || (size(file) > 0).then_some(()));
    Trace::start(&mut sockwatch(&["replay", "--json", "--tail", word(file)]))
}

#[test]
fn the_tail_of_a_recording_shows_what_comes_and_ends_with_its_recorder() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let scratch = Scratch::new("tail");
    let file = scratch.path().join("a.sw");
    let recorder = record(&file, &[]);
    let tailed = tail(&file);
    for _ in 0..2 {
        wait_for_client(&tailed, converse(&netns));
    }
    recorder.signal(Signal::SIGINT);
    recorder.end().expect(0);
    let tailed = tailed.end().expect(0);
    assert_eq!(tailed.stdout, replay(&file, &[]).expect(0).stdout);
    let again = run(&["replay", "--json", "--tail", word(&file)]).expect(0);
    assert_eq!(again.stdout, tailed.stdout, "with nobody at it, it is a replay");
}

#[test]
fn the_tail_of_a_recording_whose_recorder_is_killed_ends_and_says_so() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let scratch = Scratch::new("tail-killed");
    let file = scratch.path().join("a.sw");
    let recorder = record(&file, &[]);
    let tailed = tail(&file);
    wait_for_client(&tailed, converse(&netns));
    recorder.signal(Signal::SIGKILL);
    assert_eq!(recorder.end().code(), -9);
    let tailed = tailed.end().expect(3);
    assert!(tailed.said().contains("not closed"), "{}", tailed.said());
    tailed.run();
}

#[test]
fn sigint_ends_a_tail_that_waits() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("tail-stopped");
    let file = scratch.path().join("a.sw");
    let recorder = record(&file, &[]);
    let tailed = tail(&file);
    tailed.stdout().wait_for("the first line", |lines| (!lines.is_empty()).then_some(()));
    tailed.signal(Signal::SIGINT);
    let code = tailed.end().code();
    assert!([0, 3].contains(&code), "{code}");
    recorder.signal(Signal::SIGINT);
    recorder.end().expect(0);
    verify_whole(&file);
}
