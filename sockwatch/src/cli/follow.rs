//! `sockwatch follow`: one port, live, on the whole screen; or as the lines of `trace`.

use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use super::{
    args::Follow,
    live::{self, Follower, Ready},
    status, trace,
    window::Window,
};
use crate::{
    clock::boot_time,
    event::{Sock, Time},
    follow::{board::Board, terminal, words::Speaker},
    lane::Lane,
    lifecycle::{Life, Report},
    output::{Degraded, Scene, Sink, Start},
    select::Filter,
    source::{Picture, Step},
};

/// How often the sockets are looked at as they are, at most; and no more than a twentieth of the time is spent on it.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_SHARE: u32 = 20;

/// Runs the command; returns the exit code.
///
/// # Errors
/// If the programs can't be loaded, the command can't be run, or output can't be written.
pub fn run(args: &Follow, mut filter: Filter) -> anyhow::Result<u8> {
    filter.target = Some(args.target);
    // The kernel tells of no other.
    let port = Some(args.target.port);
    filter.descendants = !args.tracing.command.is_empty();
    // A command that runs beside has the terminal too.
    if args.plain || args.output.json || filter.descendants || !terminal::is_there() {
        return trace::lines(&args.output, &args.tracing, port, filter, None);
    }
    let mut view = View::new(args, filter);
    let outcome = live::follow(&args.tracing, port, &mut view);
    let told = view.leave();
    told.iter().for_each(Told::tell);
    let sent = outcome?;
    let board = &view.board;
    status::followed(board.elapsed(view.now), board, sent.events, &sent.lost);
    Ok(if board.gaps == 0 && board.incomplete == 0 { 0 } else { 3 })
}

/// What is to be told on stderr, once the screen is given back.
enum Told {
    Degraded(Vec<Degraded>),
    Ready(Ready),
}

impl Told {
    fn tell(&self) {
        match self {
            Self::Degraded(all) => status::degraded(all),
            Self::Ready(ready) => status::ready(ready),
        }
    }
}

/// What is shown while it is paused.
struct Paused {
    lives: Vec<Life>,
    board: Board,
    now: Time,
}

struct View {
    window: Window,
    board: Board,
    told: Vec<Told>,
    paused: Option<Paused>,
    wanted: Box<dyn Fn(&Sock) -> bool>,
    now: Time,
    /// When the next look at the sockets as they are is due.
    look_at: Option<Instant>,
}

impl View {
    fn new(args: &Follow, filter: Filter) -> Self {
        let target = args.target;
        Self {
            window: Window::new(target, &args.output, false),
            board: Board::new(filter, 0, args.tracing.count),
            told: Vec::new(),
            paused: None,
            wanted: Box::new(move |sock| target.is_between(&sock.local, &sock.peer)),
            now: 0,
            look_at: None,
        }
    }

    /// Gives the terminal back. Returns what was not told meanwhile.
    fn leave(&mut self) -> Vec<Told> {
        self.window.close();
        std::mem::take(&mut self.told)
    }

    /// Tells it now if that does not disturb the screen.
    fn tell(&mut self, told: Told) {
        if io::stderr().is_terminal() { self.told.push(told) } else { told.tell() }
    }

    fn keys(&mut self, lane: &Lane) -> io::Result<()> {
        self.window.keys()?;
        if !self.window.state.paused {
            self.paused = None;
        } else if self.paused.is_none() {
            let lives = lane.lives().filter(|life| self.board.filter().matches(life)).cloned().collect();
            self.paused = Some(Paused { lives, board: self.board.clone(), now: self.now });
        }
        Ok(())
    }

    fn draw(&mut self, lane: &Lane) -> io::Result<()> {
        let Self { window, board, paused, now, .. } = self;
        let zone = window.zone.clone();
        let speak = |board, now| Speaker { scene: lane.scene(), zone: &zone, board, now };
        match paused {
            Some(Paused { lives, board, now }) => window.draw(lives.iter(), speak(board, *now), None),
            None => window.draw(lane.lives(), speak(board, *now), None),
        }
    }
}

impl Sink for View {
    fn report(&mut self, _: &Scene, report: Report<'_>) -> io::Result<()> {
        self.window.changed |= self.board.take(report);
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.window.quit || self.board.is_done()
    }

    fn looks_at_lives(&self) -> bool {
        true
    }

    fn wants_signals(&self) -> bool {
        false
    }
}

impl Follower for View {
    fn begin(&mut self, _: &Start, _: &Scene) -> anyhow::Result<()> {
        Ok(())
    }

    fn step(&mut self, _: &Step) {}

    fn degraded(&mut self, all: &[Degraded]) {
        if !all.is_empty() {
            self.tell(Told::Degraded(all.to_vec()));
        }
    }

    fn ready(&mut self, ready: Ready) -> anyhow::Result<()> {
        self.board.began = boot_time().unwrap_or(0);
        self.window.open()?;
        self.look_at = Some(Instant::now());
        self.tell(Told::Ready(ready));
        Ok(())
    }

    fn pause(&mut self, lane: &Lane) -> anyhow::Result<()> {
        self.now = boot_time().unwrap_or(self.now);
        self.keys(lane)?;
        if self.window.is_due() {
            self.draw(lane)?;
        }
        Ok(())
    }

    fn wants_picture(&self) -> Option<&dyn Fn(&Sock) -> bool> {
        let due = self.look_at.is_some_and(|look_at| Instant::now() >= look_at);
        (due && !self.window.state.paused && !self.window.quit).then_some(&*self.wanted)
    }

    fn picture(&mut self, picture: Picture, took: Duration) {
        self.board.picture(picture, self.now);
        self.window.changed = true;
        self.look_at = Some(Instant::now() + LOOK.max(took * LOOK_SHARE));
    }
}
