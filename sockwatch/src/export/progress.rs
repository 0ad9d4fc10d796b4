//! How far it is, on a terminal, if it takes long.

use std::{
    io::{self, IsTerminal, Stderr, Write},
    time::{Duration, Instant},
};

/// What is over sooner is not worth a word.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between one look and the next.
const PAUSE: Duration = Duration::from_millis(200);

/// A line on stderr that tells how much of the input was read. Nothing if that is no terminal.
#[derive(Debug)]
pub struct Progress<W: Write = Stderr> {
    /// None if nobody is to be told.
    out: Option<W>,
    started: Instant,
    /// When the line was written last.
    told: Option<Instant>,
}

impl Progress {
    /// From now on.
    #[must_use]
    pub fn new() -> Self {
        let stderr = io::stderr();
        Self::to(stderr.is_terminal().then_some(stderr), Instant::now())
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl<W: Write> Progress<W> {
    fn to(out: Option<W>, started: Instant) -> Self {
        Self { out, started, told: None }
    }

    /// So many bytes were read, of so many; none if there is no telling (a stream). May be called as often as one likes.
    pub fn tell(&mut self, done: u64, total: Option<u64>) {
        if self.out.is_some() {
            self.tell_at(Instant::now(), done, total);
        }
    }

    fn tell_at(&mut self, now: Instant, done: u64, total: Option<u64>) {
        let Self { out: Some(out), started, told } = self else { return };
        let elapsed = now.duration_since(*started);
        if elapsed < PATIENCE || told.is_some_and(|told| now.duration_since(told) < PAUSE) {
            return;
        }
        *told = Some(now);
        let mebibytes = |bytes: u64| bytes >> 20;
        let line = match total.filter(|&total| total > 0) {
            Some(total) => {
                let share = done.min(total) as f64 / total as f64;
                let left = elapsed.mul_f64(if share > 0.0 { (1.0 - share) / share } else { 0.0 });
                let (done, total) = (mebibytes(done), mebibytes(total));
                format!("{:.0}% ({done} of {total} MiB), {} s left", share * 100.0, left.as_secs())
            }
            None => format!("{} MiB", mebibytes(done)),
        };
        // Where that can't be written, nobody is there to be told. ESC [ K clears what an earlier, longer line left.
        let _ = write!(out, "\rsockwatch: {line}\x1b[K").and_then(|()| out.flush());
    }

    /// Takes the line away, for what is written to stderr next.
    pub fn clear(&mut self) {
        if let (Some(out), Some(_)) = (&mut self.out, self.told.take()) {
            let _ = write!(out, "\r\x1b[K").and_then(|()| out.flush());
        }
    }
}

impl<W: Write> Drop for Progress<W> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands on the terminal after each call, at these milliseconds.
    fn told(calls: &[(u64, u64, Option<u64>)]) -> Vec<String> {
        let (mut out, started) = (Vec::new(), Instant::now());
        let mut progress = Progress::to(Some(&mut out), started);
        for &(after, done, total) in calls {
            progress.tell_at(started + Duration::from_millis(after), done, total);
        }
        drop(progress);
        String::from_utf8(out).unwrap().split_inclusive("\x1b[K").map(str::to_owned).collect()
    }

    #[test]
    fn what_is_soon_over_says_nothing() {
        assert_eq!(told(&[(0, 0, Some(9)), (500, 5, Some(9)), (999, 9, Some(9))]), [""; 0]);
    }

    #[test]
    fn a_long_one_tells_now_and_then_and_leaves_nothing() {
        let mib = 1 << 20;
        assert_eq!(
            told(&[(1_000, mib, Some(4 * mib)), (1_100, mib, Some(4 * mib)), (2_000, 2 * mib, Some(4 * mib))]),
            [
                "\rsockwatch: 25% (1 of 4 MiB), 3 s left\x1b[K",
                "\rsockwatch: 50% (2 of 4 MiB), 2 s left\x1b[K",
                "\r\x1b[K"
            ]
        );
    }

    #[test]
    fn a_stream_has_no_end_to_tell_and_a_file_may_grow() {
        assert_eq!(told(&[(1_500, 7 << 20, None)])[0], "\rsockwatch: 7 MiB\x1b[K");
        assert_eq!(told(&[(1_500, 8 << 20, Some(4 << 20))])[0], "\rsockwatch: 100% (8 of 4 MiB), 0 s left\x1b[K");
        assert_eq!(told(&[(1_500, 0, Some(0))])[0], "\rsockwatch: 0 MiB\x1b[K");
    }

    #[test]
    fn without_a_terminal_nothing_is_told() {
        let mut progress = Progress::<Vec<u8>>::to(None, Instant::now());
        progress.tell(1, None);
        progress.clear();
        assert!(progress.told.is_none());
    }
}
