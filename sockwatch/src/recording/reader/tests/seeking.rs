//! What is told of a part is the same wherever reading begins.

use std::{
    fs,
    io::{self, Cursor},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::sample::{SECOND, facts, story};
use crate::{
    lane::Lane,
    lifecycle::Report,
    output::{Json, Scene, Show, Sink, View},
    recording::{Input, Recorder, RecorderOptions, Recording, Sync, Target},
    replay::{Play, Player},
    select::Filter,
    source::Step,
};

/// An hour.
const SET: i64 = 3_600_000_000_000;

struct Nobody;

impl Sink for Nobody {
    fn report(&mut self, _: &Scene, _: Report<'_>) -> io::Result<()> {
        Ok(())
    }
}

/// A recording of stories, one in each second from the first to the eighth, with a checkpoint behind some. `set`: behind which
/// of them the wall clock is set, by so much.
pub(super) fn recording(name: &str, checkpoints: &[u64], set: Option<(u64, i64)>) -> PathBuf {
    let path = std::env::temp_dir().join(format!("sockwatch-seek-{name}-{}", std::process::id()));
    let target = Target::File { path: path.clone(), force: true };
    let options = RecorderOptions { target, sync: Sync::Never, max_size: None, keep: None };
    let mut recorder = Recorder::create(&options).unwrap();
    let facts = facts();
    recorder.begin(&facts);
    let mut lane = Lane::new(facts.scene(String::new()));
    for number in 1..=8 {
        let clock = set
            .filter(|(behind, _)| *behind == number)
            .map(|(_, by)| Step::Clock { since: number * SECOND + SECOND / 2, offset: (facts.offset + by).into() });
        for step in story(7, number).into_iter().chain(clock) {
            recorder.step(&step);
            if lane.take(step) {
                lane.tell(&mut Nobody).unwrap();
            }
        }
        if checkpoints.contains(&number) {
            recorder.checkpoint(&lane);
        }
    }
    recorder.step(&Step::End);
    let finished = recorder.finish();
    assert_eq!((finished.dropped, finished.unclosed), (0, None));
    path
}

/// What is shown of it from a time on, and how many events that was said to be.
fn shown(recording: Recording, since: Timestamp) -> String {
    let mut out = Vec::new();
    let player = Player::of(vec![recording], |_| Some(Filter::default())).unwrap();
    let mut show = Show::new(&mut out, Box::new(Json::new()), View::Path, Filter::default());
    let play = Play { since: Some(since), ..Play::default() };
    let played = player.play(&play, &mut show, &mut |_, _| Ok(true)).unwrap();
    show.finish(played.events).unwrap();
    String::from_utf8(out).unwrap()
}

/// Every tenth of a second of it, and an hour before and after.
fn moments() -> impl Iterator<Item = Timestamp> {
    let offset = i128::from(facts().offset);
    let tenths = (0..100).map(|tenth| i128::from(tenth * SECOND / 10));
    tenths
        .flat_map(move |time| [-SET, 0, SET].map(|hour| offset + time + i128::from(hour)))
        .map(|at| Timestamp::from_nanosecond(at).unwrap())
}

fn assert_same_from_anywhere(path: &Path) {
    let bytes = fs::read(path).unwrap();
    for since in moments() {
        let from_the_start = Recording::read("bytes".into(), Box::new(Cursor::new(bytes.clone()))).unwrap();
        let sought = Recording::open(Input::File(path.to_owned())).unwrap();
        assert_eq!(shown(sought, since), shown(from_the_start, since), "since {since}");
    }
}

#[test]
fn a_part_is_told_alike_whether_reading_begins_at_a_checkpoint_or_at_the_start() {
    let path = recording("part", &[2, 4, 5], None);
    assert_same_from_anywhere(&path);
    let mut sought = Recording::open(Input::File(path.clone())).unwrap();
    assert!(!sought.seek(2 * SECOND).unwrap(), "there is no checkpoint before");
    assert!(sought.seek(9 * SECOND).unwrap(), "there is one");
    while sought.next().unwrap().is_some() {}
    assert_eq!(sought.counts().events, 3 * 9, "the last three stories");
    assert!(sought.damage().is_none(), "{:?}", sought.damage());
    fs::remove_file(path).unwrap();
}

#[test]
fn a_file_that_was_not_closed_has_its_checkpoints_too() {
    let path = recording("unclosed", &[3], None);
    let bytes = fs::read(&path).unwrap();
    // Without the index, which is its last block.
    let cut = bytes.windows(4).rposition(|window| window == b"\x89SWB").unwrap();
    fs::write(&path, &bytes[..cut]).unwrap();
    assert_same_from_anywhere(&path);
    assert!(Recording::open(Input::File(path.clone())).unwrap().seek(9 * SECOND).unwrap());
    fs::remove_file(path).unwrap();
}

#[test]
fn a_part_is_told_alike_where_the_wall_clock_was_set() {
    for (name, by) in [("forward", SET), ("back", -SET), ("little", -3 * 1_000_000_000)] {
        for behind in [1, 3, 5] {
            let path = recording(&format!("{name}-{behind}"), &[2, 4, 6], Some((behind, by)));
            assert_same_from_anywhere(&path);
            fs::remove_file(path).unwrap();
        }
    }
}
