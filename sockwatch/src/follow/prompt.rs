//! A line that is typed.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::select::Query;

/// The longest, in characters.
const LONGEST: usize = 200;

/// What is typed so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prompt {
    pub(crate) text: String,
    /// Why it is not understood.
    pub(crate) wrong: Option<String>,
}

/// What becomes of it.
#[derive(Debug)]
pub(crate) enum Typed {
    /// It goes on.
    Nothing,
    /// What was asked for before stays.
    Left,
    /// This is asked for now; nothing: everything.
    Done(Option<Query>),
}

impl Prompt {
    /// A key was pressed.
    pub(crate) fn key(&mut self, key: KeyEvent) -> Typed {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        self.wrong = None;
        match key.code {
            KeyCode::Esc => return Typed::Left,
            KeyCode::Enter => match self.text.trim() {
                "" => return Typed::Done(None),
                text => match text.parse() {
                    Ok(query) => return Typed::Done(Some(query)),
                    Err(wrong) => self.wrong = Some(format!("{wrong}")),
                },
            },
            KeyCode::Backspace => drop(self.text.pop()),
            KeyCode::Char('u') if control => self.text.clear(),
            KeyCode::Char('w') if control => {
                let kept = self.text.trim_end().rfind(' ').map_or(0, |space| space + 1);
                self.text.truncate(kept);
            }
            KeyCode::Char(character) if !control && !character.is_control() && self.text.chars().count() < LONGEST => {
                self.text.push(character);
            }
            _ => {}
        }
        Typed::Nothing
    }
}
