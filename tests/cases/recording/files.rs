//! What a recording is written to, and what it is never written to.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use nix::sys::signal::Signal;

use crate::support::{
    Host, Scratch, Trace,
    recording::{assert_refused, record, run, verify_whole, word},
    sockwatch,
};

fn mode(file: &Path) -> u32 {
    fs::metadata(file).expect("it is there").permissions().mode() & 0o7777
}

/// Records for a moment.
fn record_briefly(file: &Path, arguments: &[&str]) {
    run(&[&["record", "-o", word(file), "--duration", "100ms"], arguments].concat()).expect(0);
}

#[test]
fn a_recording_is_for_its_owner_alone() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("mode");
    let file = scratch.path().join("a.sw");
    // With a mask that forbids nothing.
    let mut command = std::process::Command::new("sh");
    let record = "umask 0; exec \"$0\" record -o \"$1\" --duration 100ms";
    command.args(["-c", record, env!("CARGO_BIN_EXE_sockwatch"), word(&file)]);
    Trace::start(&mut command).end().expect(0);
    assert_eq!(mode(&file), 0o600);

    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("root may");
    record_briefly(&file, &["--force"]);
    assert_eq!(mode(&file), 0o600);
}

#[test]
fn a_file_that_exists_is_overwritten_only_if_that_is_asked_for() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("exists");
    let file = scratch.path().join("diary.txt");
    fs::write(&file, "Dear diary".repeat(1000)).expect("a file");
    for command in [["record", "-o"], ["trace", "-w"]] {
        let refused = run(&[&command[..], &[word(&file), "--duration", "100ms"]].concat());
        assert_refused(&refused, &file, "--force");
        assert_eq!(fs::read_to_string(&file).expect("it is there"), "Dear diary".repeat(1000));
    }
    record_briefly(&file, &["--force"]);
    verify_whole(&file);
    record_briefly(&file, &["--force"]);
    verify_whole(&file);
}

#[test]
fn two_recorders_never_write_to_one_file() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("two");
    let file = scratch.path().join("a.sw");
    let recorder = record(&file, &[]);
    for command in [["record", "-o"], ["trace", "-w"]] {
        for force in [&[][..], &["--force"]] {
            let refused = run(&[&command[..], &[word(&file), "--duration", "100ms"], force].concat());
            assert_refused(&refused, &file, "another recorder");
        }
    }
    recorder.signal(Signal::SIGINT);
    recorder.end().expect(0);
    verify_whole(&file);
}

#[test]
fn links_directories_fifos_and_devices_are_refused_and_left_as_they_are() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("special");
    let path = |name: &str| scratch.path().join(name);
    fs::write(path("target"), "precious").expect("a file");
    symlink(path("target"), path("link")).expect("a link");
    symlink(path("nowhere"), path("dangling")).expect("a link");
    fs::create_dir(path("directory")).expect("a directory");
    nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    for file in
        [path("link"), path("dangling"), path("directory"), path("fifo"), "/dev/null".into(), "/dev/zero".into()]
    {
        for force in [&[][..], &["--force"]] {
            let refused = run(&[&["record", "-o", word(&file), "--duration", "100ms"], force].concat());
            assert_refused(&refused, &file, "not a regular file");
        }
    }
    assert_eq!(fs::read_to_string(path("target")).expect("it is there"), "precious");
    assert!(!path("nowhere").exists());
    assert!(path("link").is_symlink() && path("directory").is_dir() && Path::new("/dev/null").exists());
}

#[test]
fn a_place_where_nothing_can_be_created_is_named() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("nowhere");
    let missing = scratch.path().join("no/such/directory/a.sw");
    assert_refused(&run(&["record", "-o", word(&missing)]), &missing, "No such file or directory");
    let below_a_file = scratch.path().join("file/a.sw");
    fs::write(scratch.path().join("file"), "").expect("a file");
    assert_refused(&run(&["trace", "-w", word(&below_a_file)]), &below_a_file, "Not a directory");
    let read_only = Path::new("/proc/a.sw");
    assert_refused(&run(&["record", "-o", word(read_only)]), read_only, "");
}

#[test]
fn sigint_and_sigterm_and_the_end_of_the_time_close_a_recording_in_order() {
    let Some(_host) = Host::shared() else { return };
    let scratch = Scratch::new("ends");
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let file = scratch.path().join(signal.as_str());
        let recorder = record(&file, &[]);
        recorder.signal(signal);
        let ended = recorder.end().expect(0);
        let told = ended.stderr.iter().find_map(|line| line.strip_prefix("sockwatch: recorded ")).expect("a last word");
        let events = told.split(' ').next().and_then(|count| count.parse().ok());
        assert_eq!(events, Some(verify_whole(&file)), "{told}");
        assert!(ended.stdout.is_empty());
    }
    let file = scratch.path().join("duration");
    record_briefly(&file, &[]);
    verify_whole(&file);
}

#[test]
fn how_to_record_is_checked_before_anything_is_done() {
    let scratch = Scratch::new("usage");
    let file = scratch.path().join("a.sw");
    let refused: [(&[&str], &str); 8] = [
        (&["record"], "--output"),
        (&["record", "-o"], "--output"),
        (&["record", "-o", word(&file), "--keep", "3"], "--max-size"),
        (&["record", "-o", word(&file), "--max-size", "64KiB", "--keep", "0"], "--keep"),
        (&["record", "-o", word(&file), "--max-size", "some"], "some"),
        (&["record", "-o", word(&file), "--sync", "daily"], "daily"),
        (&["trace", "--force", "--keep", "2"], "--max-size"),
        (&["record", "-o", word(&file), "--json"], "--json"),
    ];
    for (arguments, named) in refused {
        let output = sockwatch(arguments).output().expect("sockwatch runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}: {stderr}");
        assert!(stderr.lines().count() == 1 && stderr.contains(named), "{arguments:?}: {stderr}");
        assert!(!file.exists(), "{arguments:?}");
    }
}
