//! The terminal: taken over for the view, and given back as it was, whatever happens.

use std::{
    io::{self, BufWriter, IsTerminal, Stdout},
    panic,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use nix::sys::{
    signal::{SigSet, Signal, kill, raise},
    signalfd::{SfdFlags, SignalFd},
};
use ratatui::{
    Frame,
    backend::CrosstermBackend,
    crossterm::{
        cursor::Show,
        event::{self, Event},
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
    layout::{Position, Rect},
};

/// Whether the terminal is taken over: it is given back once.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// A terminal that is taken over. Dropping it gives it back, and so does a panic.
pub struct Terminal {
    screen: ratatui::Terminal<CrosstermBackend<BufWriter<Stdout>>>,
    /// SIGTSTP and SIGCONT: held back until the terminal is in order.
    held: SigSet,
    stops: SignalFd,
}

/// Whether there is one that a view can be drawn on, and keys come from.
#[must_use]
pub fn is_there() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    io::stdout().is_terminal() && io::stdin().is_terminal() && !dumb
}

impl Terminal {
    /// Takes it over. To be called by the only thread, or the first: those that it starts hold back the same signals.
    ///
    /// # Errors
    /// If it is none, or does not obey.
    pub fn enter() -> io::Result<Self> {
        let mut held = SigSet::empty();
        held.add(Signal::SIGTSTP);
        held.add(Signal::SIGCONT);
        held.thread_block()?;
        let stops = SignalFd::with_flags(&held, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |what| {
            give_back();
            before(what);
        }));
        take()?;
        let screen = ratatui::Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(1 << 16, io::stdout())))?;
        Ok(Self { screen, held, stops })
    }

    /// Draws; the size is that of the terminal now.
    ///
    /// # Errors
    /// If it can't be written to.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.screen.draw(draw).map(drop)
    }

    /// What was typed, if anything was; or that the size changed.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn event(&self) -> io::Result<Option<Event>> {
        if event::poll(Duration::ZERO)? { event::read().map(Some) } else { Ok(None) }
    }

    /// Waits until something is typed, or the size changes, for so long at most.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn wait(&self, most: Duration) -> io::Result<()> {
        event::poll(most).map(drop)
    }

    /// Whether the user wants it stopped, or it was and goes on; if so, it was done, and all has to be drawn anew.
    ///
    /// # Errors
    /// If the terminal does not obey.
    pub fn was_stopped(&mut self) -> io::Result<bool> {
        let mut stopped = false;
        while let Ok(Some(signal)) = self.stops.read_signal() {
            if signal.ssi_signo == Signal::SIGTSTP as u32 {
                give_back();
                // The kernel knows whether there is a shell that will wake it: if not, this does nothing.
                self.held.thread_unblock()?;
                raise(Signal::SIGTSTP)?;
                self.held.thread_block()?;
            } else {
                // Stopped by SIGSTOP: the shell set the terminal as it likes it.
                give_back();
            }
            stopped = true;
        }
        if stopped {
            self.redraw()?;
        }
        Ok(stopped)
    }

    /// Has the whole job stopped, as Ctrl-Z does where the terminal sends signals.
    ///
    /// # Errors
    /// If that can't be.
    pub fn stop(&mut self) -> io::Result<bool> {
        kill(nix::unistd::Pid::from_raw(0), Signal::SIGTSTP)?;
        self.was_stopped()
    }

    /// Takes it over again, and clears it: everything will be drawn.
    ///
    /// # Errors
    /// If the terminal does not obey.
    pub fn redraw(&mut self) -> io::Result<()> {
        take()?;
        // Not `clear`: that asks the terminal where its cursor is, and waits two seconds for one that does not answer.
        let size = self.screen.size()?;
        self.screen.resize(Rect::from((Position::ORIGIN, size)))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> io::Result<()> {
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, ratatui::crossterm::cursor::Hide)
}

fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // Where it does not obey any more there is nothing to be given back.
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}
