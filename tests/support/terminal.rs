//! A terminal with someone at it: what stands on its screen, and what is typed.

use std::{
    fs::File,
    io::{Read, Write},
    num::NonZero,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use nix::pty::{OpenptyResult, Winsize, openpty};

use super::wait_for;

/// A program in a terminal of its own.
pub(crate) struct Terminal {
    child: Child,
    keys: File,
    /// The program's side: as long as it is open the terminal is there, whoever ended.
    device: OwnedFd,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// Runs a command in a terminal of this size, which is the one that controls it.
    pub(crate) fn run(command: &Command, columns: u16, rows: u16) -> Self {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master, slave } = openpty(&size, None).expect("a pseudo-terminal");
        let stdio = || Stdio::from(slave.try_clone().expect("a descriptor"));
        let mut session = Command::new("setsid");
        session.arg("--ctty").arg(command.get_program()).args(command.get_args()).env("TERM", "xterm-256color");
        for (name, value) in command.get_envs() {
            session.env(name, value.expect("nothing is taken away"));
        }
        let child = session.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().expect("setsid starts");
        let screen = Arc::new(Mutex::new(vt100::Parser::new(side(rows), side(columns), 0)));
        let keys = File::from(master);
        let mut output = keys.try_clone().expect("a descriptor");
        let theirs = Arc::clone(&screen);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It ends with an error when nobody has the other side open.
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                theirs.lock().unwrap_or_else(PoisonError::into_inner).process(&bytes[..count]);
            }
        });
        Self { child, keys, device: slave, screen }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Types.
    pub(crate) fn keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("a terminal takes keys");
    }

    /// Gives it another size.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        self.screen().screen_mut().set_size(side(rows), side(columns));
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let device = Stdio::from(self.device.try_clone().expect("a descriptor"));
        let set = Command::new("stty").args(["cols", &columns, "rows", &rows]).stdin(device).status();
        assert!(set.expect("stty runs").success());
    }

    fn screen(&self) -> MutexGuard<'_, vt100::Parser> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands on the screen.
    pub(crate) fn text(&self) -> String {
        self.screen().screen().contents()
    }

    /// Whether the screen is that of a program that took all of it.
    pub(crate) fn is_taken(&self) -> bool {
        self.screen().screen().alternate_screen()
    }

    pub(crate) fn hides_cursor(&self) -> bool {
        self.screen().screen().hide_cursor()
    }

    /// Whether lines are edited and echoed, as a shell wants it.
    pub(crate) fn is_as_a_shell_wants_it(&self) -> bool {
        use nix::sys::termios::{LocalFlags, tcgetattr};
        let flags = tcgetattr(&self.device).expect("a terminal").local_flags;
        flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG)
    }

    /// Waits until the screen says this; panics with what it says at the deadline.
    pub(crate) fn wait_for(&self, what: &str) -> String {
        self.wait_until(what, |text| text.contains(what))
    }

    /// Waits until the screen is so.
    pub(crate) fn wait_until(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let last = std::cell::RefCell::new(String::new());
        let _tell = Tell(&last);
        wait_for(what, || {
            last.replace(self.text());
            is(&last.borrow()).then(|| last.borrow().clone())
        })
    }

    /// Waits until the program ends; returns its exit code, -N if signal N ended it.
    pub(crate) fn end(&mut self) -> i32 {
        let status = wait_for("the end of the program", || self.child.try_wait().expect("it is a child"));
        status.code().unwrap_or_else(|| -status.signal().unwrap_or(0))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn side(length: u16) -> NonZero<u16> {
    NonZero::new(length).expect("a terminal has room")
}

/// Says what stood on a screen on which something was waited for in vain.
struct Tell<'a>(&'a std::cell::RefCell<String>);

impl Drop for Tell<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the screen at last:\n{}", self.0.borrow());
        }
    }
}
