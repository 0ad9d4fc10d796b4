//! Recordings of strangers, and for them.

use std::{fs, os::unix::fs::PermissionsExt, process::Stdio};

use nix::sys::signal::Signal;

use crate::{
    cases::privileges::{nobody, public_binary},
    support::{
        Actor, Host, Scratch, Trace,
        recording::{replay, run, word},
        sockwatch,
    },
};

#[test]
fn a_hostile_process_name_is_replayed_as_it_was_shown() {
    let Some(host) = Host::shared() else { return };
    let netns = host.netns();
    let path = netns.path().display().to_string();
    let scratch = Scratch::new("hostile");
    let [json, text] = ["json.sw", "text.sw"].map(|name| scratch.path().join(name));
    let traces = [
        Trace::ready(&mut sockwatch(&["trace", "--json", "--netns", &path, "-w", word(&json)])),
        Trace::ready(&mut sockwatch(&["trace", "--netns", &path, "-w", word(&text)])),
    ];
    let actor = Actor::within(&netns);
    // It drives terminals, breaks lines, is no UTF-8, and turns the direction of text.
    actor.tell("import ctypes; ctypes.CDLL(None).prctl(15, b'\\x1b[31m\\n\\xff\\xe2\\x80\\xae', 0, 0, 0)");
    actor.tell("l = listen('127.0.0.1', 7301); l.close()");
    let [shown_json, shown_text] = traces.map(|trace| {
        trace.signal(Signal::SIGINT);
        trace.end().expect(0)
    });
    let replayed = replay(&json, &[]).expect(0);
    assert_eq!(replayed.lines(), shown_json.lines());
    assert!(replayed.lines().iter().any(|line| line.contains("7301") && line.contains("[31m")), "{replayed:?}");
    let replayed_text = run(&["replay", word(&text)]).expect(0);
    assert_eq!(replayed_text.stdout, shown_text.stdout);
    assert!(replayed_text.stdout.iter().any(|line| line.contains("\\x1b[31m")), "{:?}", replayed_text.stdout);
    let said = [run(&["verify", word(&json)]).stdout, replayed.stdout, replayed_text.stdout].concat();
    for line in said {
        assert!(!line.chars().any(|character| character.is_control() || character == '\u{202e}'), "{line:?}");
    }
}

#[test]
fn a_hostile_file_name_is_escaped_in_what_is_said_about_it() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("hostile-file");
    let file = scratch.path().join("\x1b[31m\nred.sw");
    for (command, code) in [("verify", 1), ("replay", 1)] {
        let ended = run(&[command, word(&file)]);
        assert_eq!((ended.code(), ended.stderr.len()), (code, 1), "{}", ended.said());
        assert!(!ended.said().contains('\x1b'), "{:?}", ended.said());
    }
    run(&["record", "-o", word(&file), "--duration", "100ms"]).expect(0);
    let verified = run(&["verify", word(&file)]).expect(0);
    assert!(!verified.stdout.concat().contains('\x1b'), "{:?}", verified.stdout);
}

#[test]
fn reading_a_recording_needs_no_privileges() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("unprivileged");
    let binary = public_binary(&scratch);
    let place = scratch.path().join("place");
    fs::create_dir(&place).expect("a directory");
    nix::unistd::chown(&place, Some(65534.into()), Some(65534.into())).expect("root may");
    let [file, secret, new] = ["a.sw", "secret.sw", "new.sw"].map(|name| place.join(name));
    run(&["record", "-o", word(&file), "--", "curl", "--silent", "http://127.0.0.1:1/"]).expect(0);
    fs::copy(&file, &secret).expect("a copy");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("root may");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("root may");
    let as_nobody =
        |arguments: &[&str]| Trace::start(nobody(&[]).arg(&binary).args(arguments).stdin(Stdio::null())).end();

    assert_eq!(as_nobody(&["replay", "--json", word(&file)]).expect(0).stdout, replay(&file, &[]).expect(0).stdout);
    as_nobody(&["verify", word(&file)]).expect(0);
    as_nobody(&["repair", word(&file), "-o", word(&new)]).expect(0);
    assert_eq!(replay(&new, &[]).expect(0).lines(), replay(&file, &[]).expect(0).lines());
    let refused = as_nobody(&["replay", word(&secret)]).expect(1);
    assert!(refused.said().contains(word(&secret)) && refused.said().contains("Permission denied"), "{refused:?}");
}
