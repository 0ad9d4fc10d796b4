//! What keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{
    prompt::{Prompt, Typed},
    tree::{RowId, Tree, Wish},
};

const SECOND: i64 = 1_000_000_000;

/// What is shown over the rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Over {
    #[default]
    Nothing,
    Help,
    /// All about a socket.
    Details(u64),
}

/// What a key asks of whoever has the terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    Nothing,
    Quit,
    /// To be stopped, as by Ctrl-Z.
    Stop,
    /// The screen is to be drawn from scratch.
    Redraw,
    /// Of a recording: to go elsewhere, or otherwise.
    Time(TimeKey),
}

/// What is asked of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TimeKey {
    /// The next event.
    Next,
    /// So many nanoseconds on, or back.
    By(i64),
    Start,
    End,
    /// Another speed.
    Speed,
    /// Another run.
    Run,
}

/// What is done with rows: which these are is known when the rows are, after all that was done before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Act {
    MoveBy(isize),
    MovePages(isize),
    First,
    Last,
    /// Folds what is beneath a heading; from a row beneath one it goes there.
    Out,
    /// Unfolds it.
    Unfold,
    /// Shows all about a socket; folds and unfolds another heading.
    Open,
}

/// What the user did so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) wish: Wish,
    pub(crate) paused: bool,
    /// It is a recording: time obeys.
    pub(crate) recorded: bool,
    /// A filter is being typed.
    pub(crate) prompt: Option<Prompt>,
    pub(crate) over: Over,
    /// First line of what is over the rows.
    pub(crate) scroll: u16,
    pub(crate) chosen: Option<RowId>,
    /// Where the chosen row was: if it goes, the one there takes its place.
    place: usize,
    /// The first row on the screen.
    pub(crate) top: usize,
    acts: Vec<Act>,
    /// What was done changes which rows there are: those on the screen are not the ones.
    pub(crate) stale: bool,
}

impl State {
    /// Nothing was done yet. `recorded`: it is a recording.
    pub(crate) fn new(recorded: bool) -> Self {
        Self { recorded, ..Self::default() }
    }

    /// A key was pressed.
    pub(crate) fn key(&mut self, key: KeyEvent) -> Asked {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Asked::Quit,
                KeyCode::Char('z') => Asked::Stop,
                KeyCode::Char('l') => Asked::Redraw,
                _ => {
                    self.typed(key);
                    Asked::Nothing
                }
            };
        }
        if self.prompt.is_some() {
            self.typed(key);
            return Asked::Nothing;
        }
        if let Some(time) = time_key(key.code).filter(|_| self.recorded) {
            return Asked::Time(time);
        }
        if self.over != Over::Nothing {
            return self.key_over(key.code);
        }
        match key.code {
            KeyCode::Char('q') => return Asked::Quit,
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.lay_over(Over::Help),
            KeyCode::Up | KeyCode::Char('k') => self.acts.push(Act::MoveBy(-1)),
            KeyCode::Down | KeyCode::Char('j') => self.acts.push(Act::MoveBy(1)),
            KeyCode::PageUp => self.acts.push(Act::MovePages(-1)),
            KeyCode::PageDown => self.acts.push(Act::MovePages(1)),
            KeyCode::Home | KeyCode::Char('g') => self.acts.push(Act::First),
            KeyCode::End | KeyCode::Char('G') => self.acts.push(Act::Last),
            KeyCode::Right | KeyCode::Char('+') => self.acts.push(Act::Unfold),
            KeyCode::Left | KeyCode::Char('-') => self.acts.push(Act::Out),
            KeyCode::Enter | KeyCode::Char('d') => self.acts.push(Act::Open),
            KeyCode::Char('s') => self.wish.sort = self.wish.sort.next(),
            KeyCode::Char('f') => self.wish.only = self.wish.only.next(),
            KeyCode::Char('/') => {
                let text = self.wish.query.as_ref().map(ToString::to_string).unwrap_or_default();
                self.prompt = Some(Prompt { text, wrong: None });
            }
            KeyCode::Esc => self.wish.query = None,
            KeyCode::Char(' ' | 'p') => self.paused = !self.paused,
            _ => {}
        }
        Asked::Nothing
    }

    /// A key for the line that is being typed, if one is.
    fn typed(&mut self, key: KeyEvent) {
        let Some(prompt) = &mut self.prompt else { return };
        match prompt.key(key) {
            Typed::Nothing => return,
            Typed::Left => {}
            Typed::Done(query) => self.wish.query = query,
        }
        self.prompt = None;
    }

    fn key_over(&mut self, code: KeyCode) -> Asked {
        match code {
            KeyCode::Up | KeyCode::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.scroll = self.scroll.saturating_add(1),
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(10),
            KeyCode::PageDown => self.scroll = self.scroll.saturating_add(10),
            KeyCode::Char(' ' | 'p') => self.paused = !self.paused,
            _ => self.over = Over::Nothing,
        }
        Asked::Nothing
    }

    fn lay_over(&mut self, over: Over) {
        (self.over, self.scroll) = (over, 0);
    }

    fn fold(&mut self, heading: RowId, fold: bool) {
        self.stale = true;
        if fold {
            self.wish.folded.insert(heading)
        } else {
            self.wish.folded.remove(&heading)
        };
    }

    /// Does what the keys asked for, among the rows as they are now, of which the screen shows so many.
    pub(crate) fn settle(&mut self, tree: &Tree<'_>, height: usize) {
        let rows = &tree.rows;
        let id = |at: usize| rows.get(at).and_then(|row| row.id());
        let near = |at: usize| {
            let at = at.min(rows.len().saturating_sub(1));
            (at..rows.len()).find(|&at| id(at).is_some()).or_else(|| (0..at).rev().find(|&at| id(at).is_some()))
        };
        let Some(mut at) = self
            .chosen
            .and_then(|chosen| (0..rows.len()).find(|&at| id(at) == Some(chosen)))
            .or_else(|| near(self.place))
        else {
            (self.chosen, self.top) = (None, 0);
            self.acts.clear();
            return;
        };
        for act in std::mem::take(&mut self.acts) {
            let heading = rows[at].is_root();
            match (act, id(at)) {
                (Act::MoveBy(-1), _) => at = (0..at).rev().find(|&at| id(at).is_some()).unwrap_or(at),
                (Act::MoveBy(_), _) => at = (at + 1..rows.len()).find(|&at| id(at).is_some()).unwrap_or(at),
                (Act::MovePages(pages), _) => {
                    at = near(at.saturating_add_signed(pages * height.max(1).cast_signed())).unwrap_or(at);
                }
                (Act::First, _) => at = near(0).unwrap_or(at),
                (Act::Last, _) => at = near(rows.len()).unwrap_or(at),
                (Act::Out, Some(row)) if heading => self.fold(row, true),
                (Act::Out, _) => at = (0..at).rev().find(|&at| rows[at].is_root()).unwrap_or(at),
                (Act::Unfold, Some(row)) if heading => self.fold(row, false),
                (Act::Open, Some(RowId::Socket(number))) => self.lay_over(Over::Details(number)),
                (Act::Open, Some(row @ RowId::Group(_))) => {
                    let folded = self.wish.folded.contains(&row);
                    self.fold(row, !folded);
                }
                (Act::Unfold | Act::Open, _) => {}
            }
        }
        self.place = at;
        self.chosen = id(at);
        let lowest = rows.len().saturating_sub(height);
        self.top = self.top.min(at).max((at + 1).saturating_sub(height)).min(lowest);
        // What stands above the first row that can be chosen is told too.
        if near(0) == Some(at) {
            self.top = 0;
        }
    }
}

/// What a key asks of time.
fn time_key(code: KeyCode) -> Option<TimeKey> {
    let KeyCode::Char(character) = code else { return (code == KeyCode::Tab).then_some(TimeKey::Run) };
    Some(match character {
        'n' => TimeKey::Next,
        ',' => TimeKey::By(-SECOND),
        '.' => TimeKey::By(SECOND),
        '<' => TimeKey::By(-10 * SECOND),
        '>' => TimeKey::By(10 * SECOND),
        '[' => TimeKey::By(-60 * SECOND),
        ']' => TimeKey::By(60 * SECOND),
        'b' => TimeKey::Start,
        'e' => TimeKey::End,
        'x' => TimeKey::Speed,
        _ => return None,
    })
}
