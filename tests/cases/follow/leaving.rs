//! The terminal is given back as it was, whatever happens.

use std::process::Command;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::{Host, Terminal, sockwatch, wait_for};

fn is_given_back(terminal: &Terminal) -> bool {
    !terminal.is_taken() && !terminal.hides_cursor() && terminal.is_as_a_shell_wants_it()
}

fn follow() -> Terminal {
    let terminal = Terminal::run(&sockwatch(&["follow", "1"]), 80, 24);
    terminal.wait_for("follow :1 ·");
    assert!(terminal.is_taken() && terminal.hides_cursor() && !terminal.is_as_a_shell_wants_it());
    terminal
}

#[test]
fn q_and_the_signals_that_end_a_run_leave_a_summary_on_the_screen_that_was_there() {
    let Some(_host) = Host::shared() else { return };
    for end in [None, Some(Signal::SIGINT), Some(Signal::SIGTERM)] {
        let mut terminal = follow();
        match end {
            None => terminal.keys("q"),
            Some(signal) => kill(Pid::from_raw(terminal.pid().cast_signed()), signal).expect("it runs"),
        }
        assert_eq!(terminal.end(), 0, "{end:?}");
        let text = terminal.wait_for("sockwatch: followed for");
        assert!(text.contains("sockwatch: ready ("), "{text}");
        assert!(!text.contains("q quit"), "{text}");
        assert!(is_given_back(&terminal), "{end:?}");
    }
}

#[test]
fn a_shell_that_stops_it_has_its_terminal_and_gives_it_back_again() {
    let Some(_host) = Host::shared() else { return };
    let mut shell = Command::new("sh");
    // A shell with job control, as people have one.
    let script =
        format!("set -m; {} follow 1; echo stopped; read go; fg; echo ended $?", env!("CARGO_BIN_EXE_sockwatch"));
    shell.args(["-c", &script]);
    let mut terminal = Terminal::run(&shell, 80, 24);
    terminal.wait_for("follow :1 ·");
    terminal.keys("\x1a");
    terminal.wait_for("stopped");
    assert!(is_given_back(&terminal));
    terminal.keys("go\n");
    terminal.wait_for("follow :1 ·");
    assert!(terminal.is_taken() && terminal.hides_cursor());
    terminal.keys("q");
    terminal.wait_for("ended 0");
    assert_eq!(terminal.end(), 0);
    assert!(is_given_back(&terminal));
}

#[test]
fn nobody_can_stop_it_where_no_shell_would_wake_it() {
    let Some(_host) = Host::shared() else { return };
    let mut terminal = follow();
    terminal.keys("\x1a?");
    terminal.wait_for("Keys and signs");
    assert!(terminal.is_taken());
    terminal.keys("\x03");
    assert_eq!(terminal.end(), 0);
}

/// Not a test: what the next one runs in a terminal.
#[test]
#[ignore = "it panics, in the terminal of another test"]
fn panics_on_a_screen_that_it_took() {
    let _terminal = sockwatch::follow::terminal::Terminal::enter().expect("a terminal");
    panic!("something that nobody thought of");
}

#[test]
fn a_panic_gives_the_terminal_back_before_it_is_told() {
    let itself = std::env::current_exe().expect("a program");
    let mut command = Command::new(itself);
    command.args(["--ignored", "--nocapture", "--exact", "cases::follow::leaving::panics_on_a_screen_that_it_took"]);
    let mut terminal = Terminal::run(&command, 80, 24);
    terminal.wait_for("something that nobody thought of");
    assert_eq!(terminal.end(), 101);
    wait_for("the terminal as it was", || is_given_back(&terminal).then_some(()));
}
