//! The lines that a program writes, read as they come.

use std::{
    io::{BufRead, BufReader, Read},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Instant,
};

use super::deadline;

#[derive(Default)]
struct Text {
    lines: Vec<String>,
    ended: bool,
}

/// The lines of a pipe.
pub(crate) struct Lines {
    shared: Arc<(Mutex<Text>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

impl Lines {
    /// Reads a pipe until it ends.
    pub(crate) fn of(pipe: impl Read + Send + 'static) -> Self {
        let shared = Arc::new((Mutex::new(Text::default()), Condvar::new()));
        let theirs = Arc::clone(&shared);
        let reader = thread::spawn(move || {
            let (text, changed) = &*theirs;
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let line = String::from_utf8_lossy(&std::mem::take(&mut line)).trim_end_matches('\n').to_owned();
                text.lock().unwrap_or_else(PoisonError::into_inner).lines.push(line);
                changed.notify_all();
            }
            text.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
            changed.notify_all();
        });
        Self { shared, reader: Some(reader) }
    }

    /// Waits until `look` finds something in the lines so far; panics with `what` at the deadline or at their end.
    pub(crate) fn wait_for<T>(&self, what: &str, mut look: impl FnMut(&[String]) -> Option<T>) -> T {
        let (text, changed) = &*self.shared;
        let end = Instant::now() + deadline();
        let mut text = text.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = look(&text.lines) {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!text.ended && !left.is_zero(), "waited in vain for {what} in:\n{}", text.lines.join("\n"));
            text = changed.wait_timeout(text, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// All of them, once the pipe ended.
    pub(crate) fn all(mut self) -> Vec<String> {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("a pipe is read");
        }
        std::mem::take(&mut self.shared.0.lock().unwrap_or_else(PoisonError::into_inner).lines)
    }
}
