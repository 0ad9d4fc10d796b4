//! `sockwatch replay --follow` at a terminal: the screen of `follow`, with time under the user's control.

use std::time::{Duration, Instant};

use super::{
    args::{Replay, Speed},
    interrupt::Interrupt,
    status,
    window::Window,
};
use crate::{
    event::Time,
    follow::{
        board::Board,
        course::{Course, Motion},
        keys::TimeKey,
        words::Speaker,
    },
    kernel::Causes,
    replay::{Play, Player, Position, Tape},
    select::{Filter, Target},
};

/// For how long it is played before keys are looked at again.
const TURN: Duration = Duration::from_millis(40);

/// How long a key is waited for while time goes on, and while it does not.
const TICK: Duration = Duration::from_millis(20);
const REST: Duration = Duration::from_millis(100);

/// Most events that are stepped over at once, by a key that is held down.
const MOST_STEPS: usize = 64;

/// Runs the command; returns the exit code.
pub(super) fn run(args: &Replay, target: Target, filter: Filter, player: Player, play: Play) -> anyhow::Result<u8> {
    let tape = Tape::new(player, play, |began| Board::new(filter.clone(), began, args.count))?;
    let mut show = Showing {
        window: Window::new(target, &args.output, true),
        goal: Some(tape.start()),
        tape,
        speeds: speeds(args.speed),
        shown: 0,
        steps: 0,
        passed: Instant::now(),
        refused: None,
    };
    let outcome = show.run();
    show.window.close();
    outcome?;
    let elapsed = Duration::from_nanos(show.elapsed());
    let (played, boards) = show.tape.finish()?;
    let mut whole = status::damage(&played.damage);
    for board in &boards {
        status::followed(elapsed, board, played.events, &Causes::default());
        whole &= board.gaps == 0 && board.incomplete == 0;
    }
    Ok(if whole { 0 } else { 3 })
}

/// The speeds that there are, the one to begin with first.
fn speeds(asked: Option<Speed>) -> Vec<Speed> {
    let mut speeds = vec![Speed::Times(1), Speed::Times(10), Speed::Max];
    let asked = asked.unwrap_or(Speed::Times(1));
    match speeds.iter().position(|&speed| speed == asked) {
        Some(at) => speeds.rotate_left(at),
        None => speeds.insert(0, asked),
    }
    speeds
}

struct Showing {
    window: Window,
    tape: Tape<Board>,
    /// The one in force first.
    speeds: Vec<Speed>,
    /// Where it is on its way to.
    goal: Option<Position>,
    /// How many events it is still to be stopped at.
    steps: usize,
    /// Which run is shown.
    shown: usize,
    /// Up to when time has passed in the recording.
    passed: Instant,
    refused: Option<&'static str>,
}

impl Showing {
    fn run(&mut self) -> anyhow::Result<()> {
        // First: the thread that watches for signals is to hold back those that it does.
        self.window.open()?;
        let interrupt = Interrupt::watch()?;
        while !self.window.quit && !interrupt.came() {
            for key in self.window.keys()? {
                self.refused = None;
                self.key(key);
            }
            let moves = self.pass()?;
            self.window.changed |= moves;
            if self.window.is_due() {
                self.draw()?;
            }
            let busy = self.goal.is_some() || self.steps > 0 || moves && self.speeds[0] == Speed::Max;
            self.window.wait(match (busy, moves) {
                (true, _) => Duration::ZERO,
                (false, true) => TICK,
                (false, false) => REST,
            })?;
        }
        Ok(())
    }

    fn key(&mut self, key: TimeKey) {
        let here = self.goal.unwrap_or_else(|| self.tape.at());
        match key {
            TimeKey::Next => {
                self.window.state.paused = true;
                self.steps = (self.steps + 1).min(MOST_STEPS);
            }
            TimeKey::By(nanoseconds) => self.seek(here.saturating_add(nanoseconds.into())),
            TimeKey::Start => self.seek(Position::MIN),
            TimeKey::End => self.seek(Position::MAX),
            TimeKey::Speed => {
                self.speeds.rotate_left(1);
                self.window.state.paused = false;
            }
            TimeKey::Run => self.shown = (self.shown + 1) % self.tape.runs().max(1),
        }
    }

    fn seek(&mut self, to: Position) {
        let to = to.clamp(self.tape.start(), self.tape.end().unwrap_or(Position::MAX).max(self.tape.start()));
        self.steps = 0;
        if self.tape.seek(to) {
            self.goal = Some(to);
        } else {
            self.refused = Some("no way back: it can't be read twice");
        }
    }

    /// Lets time pass in the recording. Returns whether it did.
    fn pass(&mut self) -> anyhow::Result<bool> {
        let now = Instant::now();
        let since = now.duration_since(std::mem::replace(&mut self.passed, now));
        let until = now + TURN;
        if let Some(goal) = self.goal {
            if self.tape.play_to(goal, until)? {
                (self.goal, self.window.urgent) = (None, true);
            }
            return Ok(true);
        }
        if self.steps > 0 {
            if self.tape.play_event(until)? {
                self.steps -= 1;
                self.window.urgent = true;
            }
            return Ok(true);
        }
        if self.window.state.paused || self.tape.is_over() {
            return Ok(false);
        }
        let to = match self.speeds[0] {
            Speed::Max => Position::MAX,
            Speed::Times(times) => {
                let nanoseconds = Position::try_from(since.as_nanos()).unwrap_or(Position::MAX);
                self.tape.at().saturating_add(nanoseconds.saturating_mul(times.into()))
            }
        };
        self.tape.play_to(to, until)?;
        Ok(true)
    }

    /// Since the beginning.
    fn elapsed(&self) -> Time {
        Time::try_from(self.tape.at() - self.tape.start()).unwrap_or(0)
    }

    fn draw(&mut self) -> anyhow::Result<()> {
        let Self { window, tape, speeds, goal, steps, shown, .. } = self;
        let motion = match speeds[0] {
            _ if goal.is_some() => Motion::Seeking,
            _ if tape.is_over() => Motion::Over,
            _ if window.state.paused && *steps == 0 => Motion::Paused,
            Speed::Times(times) => Motion::Times(times),
            Speed::Max => Motion::Max,
        };
        let length = tape.end().and_then(|end| Time::try_from(end - tape.start()).ok());
        let elapsed = Time::try_from(tape.at() - tape.start()).unwrap_or(0);
        let Some((lane, start, now, board)) = tape.run(*shown) else { return Ok(()) };
        let run = (tape.runs() > 1).then_some((*shown + 1, tape.runs(), &start.host));
        let event = tape.seen().filter(|seen| seen.run == *shown).map(|seen| (lane.scene().id(seen.life), seen.what));
        let course = Course { motion, elapsed, length, run, event, refused: self.refused };
        let zone = window.zone.clone();
        let speak = Speaker { scene: lane.scene(), zone: &zone, board, now };
        Ok(window.draw(lane.lives(), speak, Some(course))?)
    }
}
