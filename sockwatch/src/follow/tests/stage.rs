//! A host whose sockets live through the real engine, and a screen to look at.

use jiff::{Timestamp, tz::TimeZone};
use ratatui::{
    Terminal,
    backend::TestBackend,
    buffer::Buffer,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
    layout::Rect,
    style::Modifier,
};

use crate::{
    clock::Clock,
    event::{Actor, Event, Key, Stats, Time},
    follow::{
        board::Board,
        course::Course,
        keys::{Asked, State},
        screen::Scenery,
        theme::Theme,
        tree::Tree,
        words::Speaker,
    },
    lifecycle::{Engine, Holder},
    output::Scene,
    select::{Filter, Target},
    source::{Picture, Pictured},
};

pub(super) const SECOND: Time = 1_000_000_000;

pub(super) struct Stage {
    engine: Engine,
    pub(super) board: Board,
    target: Target,
    pub(super) now: Time,
    pub(super) state: State,
    pub(super) color: bool,
    /// Of a recording: where it is.
    pub(super) course: Option<Course<'static>>,
}

impl Stage {
    /// Someone follows a target, in a terminal with colors; the trace begins at 18:04:11 UTC.
    pub(super) fn new(target: &str) -> Self {
        let target: Target = target.parse().unwrap();
        let filter = Filter { target: Some(target), ..Filter::default() };
        let board = Board::new(filter, 0, None);
        Self { engine: Engine::new(), board, target, now: 0, state: State::default(), color: true, course: None }
    }

    /// These things happen.
    pub(super) fn happen(&mut self, events: Vec<Event>) {
        for event in events {
            self.now = self.now.max(event.time);
            self.engine.event(event);
            self.tell();
        }
    }

    /// So much time passes.
    pub(super) fn wait(&mut self, time: Time) {
        self.now += time;
        self.tell();
    }

    fn tell(&mut self) {
        let Self { engine, board, now, .. } = self;
        engine.advance(*now, &mut |report| {
            board.take(report);
        });
    }

    /// The sockets are looked at: each by its id in the story, its counts, and who holds it as descriptor 6.
    pub(super) fn look(&mut self, sockets: &[(u64, Stats, &[Actor])]) {
        let pictured = |&(id, stats, holders): &(u64, Stats, &[Actor])| {
            let key = Key { id, addr: id * 64 };
            let holders = holders.iter().map(|actor| Some(Holder { process: actor.process.clone(), fd: 6 }));
            holders.chain([None]).map(move |holder| Pictured { key, stats, holder }).collect::<Vec<_>>()
        };
        self.board.picture(Picture { sockets: sockets.iter().flat_map(pictured).collect(), whole: true }, self.now);
    }

    /// A key is pressed, and the screen drawn.
    pub(super) fn press(&mut self, key: KeyCode) -> Asked {
        let asked = self.state.key(KeyEvent::new(key, KeyModifiers::NONE));
        self.lines(100, 30);
        asked
    }

    pub(super) fn buffer(&mut self, width: u16, height: u16) -> Buffer {
        let start: Timestamp = "2026-11-22T18:04:11Z".parse().unwrap();
        let scene = Scene::new(Clock::at(start.as_nanosecond()));
        let Self { engine, board, target, now, state, color, course } = self;
        let tree = Tree::new(engine.lives(), board, &state.wish, *now);
        let speak = Speaker { scene: &scene, zone: &TimeZone::UTC, board, now: *now };
        let scenery = Scenery { target: *target, speak, tree: &tree, theme: Theme { color: *color }, course: *course };
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| scenery.draw(frame.buffer_mut(), Rect::new(0, 0, width, height), state)).unwrap();
        terminal.backend().buffer().clone()
    }

    /// The lines of a screen of this size, without blanks at their ends.
    pub(super) fn lines(&mut self, width: u16, height: u16) -> Vec<String> {
        let buffer = self.buffer(width, height);
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(line).collect()
    }

    /// Those, as one text.
    pub(super) fn text(&mut self, width: u16, height: u16) -> String {
        self.lines(width, height).join("\n")
    }

    /// The line that is chosen.
    pub(super) fn chosen(&mut self) -> String {
        let buffer = self.buffer(100, 30);
        let is_chosen = |y: &u16| buffer[(50, *y)].modifier.contains(Modifier::REVERSED);
        let chosen: Vec<u16> = (0..30).filter(is_chosen).collect();
        assert_eq!(chosen.len(), 1, "one line is chosen");
        (0..100).map(|x| buffer[(x, chosen[0])].symbol()).collect::<String>().trim_end().to_owned()
    }
}
