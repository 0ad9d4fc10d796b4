//! The screen of `follow`, whether it is the running kernel that is followed or a recording.

use std::{
    io,
    time::{Duration, Instant},
};

use jiff::tz::TimeZone;
use ratatui::crossterm::event::{Event, KeyEventKind};

use super::{args::OutputArgs, trace::wants_color};
use crate::{
    follow::{
        course::Course,
        keys::{Asked, State, TimeKey},
        screen::Scenery,
        terminal::Terminal,
        theme::Theme,
        tree::Tree,
        words::Speaker,
    },
    lifecycle::Life,
    select::Target,
};

/// How often the screen is drawn while things happen; keys have it drawn at once.
const FRAME: Duration = Duration::from_millis(125);

/// How often it is drawn while nothing happens: ages grow.
const IDLE: Duration = Duration::from_secs(1);

/// See the module's documentation.
pub(super) struct Window {
    target: Target,
    pub(super) state: State,
    theme: Theme,
    pub(super) zone: TimeZone,
    terminal: Option<Terminal>,
    /// Something is to be drawn: at the next frame, or at once.
    pub(super) changed: bool,
    pub(super) urgent: bool,
    drawn: Option<Instant>,
    /// The user wants to leave.
    pub(super) quit: bool,
}

impl Window {
    pub(super) fn new(target: Target, output: &OutputArgs, recorded: bool) -> Self {
        Self {
            target,
            state: State::new(recorded),
            theme: Theme { color: wants_color(output.no_color) },
            zone: if output.utc { TimeZone::UTC } else { TimeZone::system() },
            terminal: None,
            changed: true,
            urgent: true,
            drawn: None,
            quit: false,
        }
    }

    /// Takes the terminal over.
    pub(super) fn open(&mut self) -> io::Result<()> {
        self.terminal = Some(Terminal::enter()?);
        Ok(())
    }

    /// Gives it back.
    pub(super) fn close(&mut self) {
        self.terminal = None;
    }

    /// Does what was typed. Returns what is asked of time.
    pub(super) fn keys(&mut self) -> io::Result<Vec<TimeKey>> {
        let mut asked = Vec::new();
        let Some(terminal) = &mut self.terminal else { return Ok(asked) };
        self.urgent |= terminal.was_stopped()?;
        while let Some(event) = terminal.event()? {
            self.urgent = true;
            let Event::Key(key) = event else { continue };
            if key.kind == KeyEventKind::Release {
                continue;
            }
            match self.state.key(key) {
                Asked::Nothing => {}
                Asked::Quit => self.quit = true,
                Asked::Stop => drop(terminal.stop()?),
                Asked::Redraw => terminal.redraw()?,
                Asked::Time(time) => asked.push(time),
            }
        }
        Ok(asked)
    }

    /// Waits for a key, for so long at most.
    pub(super) fn wait(&self, most: Duration) -> io::Result<()> {
        self.terminal.as_ref().map_or(Ok(()), |terminal| terminal.wait(most))
    }

    /// Whether it is time to draw.
    pub(super) fn is_due(&self) -> bool {
        match self.drawn {
            _ if self.urgent => true,
            None => true,
            Some(drawn) if self.changed => drawn.elapsed() >= FRAME,
            Some(drawn) => drawn.elapsed() >= IDLE,
        }
    }

    /// Draws these lives, and what is known beside them.
    pub(super) fn draw<'a>(
        &mut self,
        lives: impl Iterator<Item = &'a Life>,
        speak: Speaker<'a>,
        course: Option<Course<'_>>,
    ) -> io::Result<()> {
        let Self { target, state, theme, terminal, .. } = self;
        let Some(terminal) = terminal else { return Ok(()) };
        let tree = Tree::new(lives, speak.board, &state.wish, speak.now);
        let scenery = Scenery { target: *target, speak, tree: &tree, theme: *theme, course };
        terminal.draw(|frame| {
            let area = frame.area();
            scenery.draw(frame.buffer_mut(), area, state);
        })?;
        (self.changed, self.drawn) = (false, Some(Instant::now()));
        self.urgent = std::mem::take(&mut self.state.stale);
        Ok(())
    }
}
