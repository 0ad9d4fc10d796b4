//! What is named on the command line need not be a recording, nor a file.

use std::{
    fs,
    io::{self, Read, Write},
    path::PathBuf,
};

use nix::{sys::stat::Mode, unistd::mkfifo};

use super::sample::{Sample, read};
use crate::recording::{Input, Item, Problem, Recording};

/// A directory that is gone when the test is over.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sockwatch-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn refusal(path: impl Into<PathBuf>) -> Problem {
    Recording::open(Input::File(path.into())).err().expect("it is refused")
}

#[test]
fn devices_and_directories_are_refused_and_not_read() {
    for path in ["/dev/zero", "/dev/null", "/dev/urandom", "/dev/tty", "/", "/proc/self/fd"] {
        assert!(matches!(refusal(path), Problem::NotAFile(_) | Problem::Io { .. }), "{path}: {}", refusal(path));
    }
    assert!(matches!(refusal("/dev/zero"), Problem::NotAFile(_)));
    assert!(matches!(refusal("/"), Problem::NotAFile(_)));
}

#[test]
fn the_writer_of_a_fifo_is_waited_for_but_not_for_ever() {
    let place = Place::new("fifo");
    let path = place.0.join("fifo");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    assert!(matches!(refusal(&path), Problem::Empty(_)));
    let (sample, to) = (Sample::new(7).bytes(), path.clone());
    // It can be opened only once it is opened to be read.
    let writer = std::thread::spawn(move || fs::OpenOptions::new().write(true).open(to)?.write_all(&sample));
    assert!(Recording::open(Input::File(path)).is_ok());
    // Whether all was read does not matter here.
    let _ = writer.join().unwrap();
}

#[test]
fn what_is_no_recording_is_told_from_one_that_is_damaged() {
    let place = Place::new("others");
    let sample = Sample::new(7).bytes();
    let mut damaged = sample.clone();
    damaged[30] ^= 1;
    assert!(matches!(refusal(place.0.join("none")), Problem::Io { .. }));
    assert!(matches!(refusal(place.file("empty", b"")), Problem::Empty(_)));
    assert!(matches!(refusal(place.file("text", b"{\"type\":\"start\"}")), Problem::NoRecording(_)));
    assert!(matches!(refusal(place.file("zeroes", &[0; 100_000])), Problem::NoRecording(_)));
    assert!(matches!(refusal(place.file("short", &sample[..3])), Problem::NoRecording(_)));
    assert!(matches!(refusal(place.file("cut", &sample[..40])), Problem::Damaged(_)));
    assert!(matches!(refusal(place.file("damaged", &damaged)), Problem::Damaged(_)));
    assert!(Recording::open(Input::File(place.file("whole", &sample))).is_ok());
}

/// Gives bytes in pieces of this size at most.
struct Trickle(io::Cursor<Vec<u8>>, usize);

impl Read for Trickle {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(self.1);
        self.0.read(&mut into[..most])
    }
}

#[test]
fn a_pipe_that_gives_little_at_once_gives_the_same() {
    let sample = Sample::new(7);
    let mut bytes = sample.bytes();
    bytes[sample.offset(3) + 80] ^= 1;
    let at_once = read(&bytes).unwrap();
    for most in [1, 7, 75, 77, 1000] {
        let trickle = Trickle(io::Cursor::new(bytes.clone()), most);
        let mut recording = Recording::read("pipe".into(), Box::new(trickle)).unwrap();
        let mut steps = Vec::new();
        while let Some(item) = recording.next().unwrap() {
            if let Item::Step(step) = item {
                steps.push(step);
            }
        }
        assert_eq!((steps, recording.damage()), (at_once.steps.clone(), at_once.damage));
    }
}

/// Fails in the midst of it.
struct Failing(io::Cursor<Vec<u8>>);

impl Read for Failing {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.read(into)? {
            0 => Err(io::Error::other("the disk is broken")),
            read => Ok(read),
        }
    }
}

#[test]
fn a_disk_that_fails_is_not_taken_for_the_end() {
    let mut recording =
        Recording::read("disk".into(), Box::new(Failing(io::Cursor::new(Sample::new(7).bytes())))).unwrap();
    let problem = loop {
        match recording.next() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended"),
            Err(problem) => break problem,
        }
    };
    assert_eq!(problem.to_string(), "can't read disk: the disk is broken");
}

#[test]
fn whoever_reads_endless_damage_is_asked_now_and_then_whether_to_go_on() {
    let start = io::Cursor::new(Sample::new(7).blocks[0].clone());
    let mut recording = Recording::read("endless".into(), Box::new(start.chain(io::repeat(0x89)))).unwrap();
    for _ in 0..20 {
        assert!(matches!(recording.next(), Ok(Some(Item::Nothing))));
    }
    assert!(recording.damage().bytes > 10 << 20);
}
