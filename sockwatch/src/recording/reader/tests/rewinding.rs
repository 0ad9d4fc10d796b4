//! What is known at a moment is the same however it was reached.

use std::{
    fs, io,
    path::Path,
    time::{Duration, Instant},
};

use super::{
    sample::{SECOND, facts},
    seeking::recording,
};
use crate::{
    lifecycle::{Life, Report},
    output::{Json, Scene, Show, Sink, View},
    recording::{Input, Recording},
    replay::{Play, Player, Position, Tape, Watch},
    select::Filter,
};

/// Notes what is told.
#[derive(Clone, Default)]
struct Witness(String);

impl Sink for Witness {
    fn report(&mut self, scene: &Scene, report: Report<'_>) -> io::Result<()> {
        let mut out = Vec::new();
        let mut show = Show::new(&mut out, Box::new(Json::new()), View::States, Filter::default());
        show.report(scene, report)?;
        self.0.push_str(std::str::from_utf8(&out).unwrap());
        Ok(())
    }
}

impl Watch for Witness {
    fn watches(&self, _: &Life) -> bool {
        true
    }
}

fn player(path: &Path) -> Player {
    let recording = Recording::open(Input::File(path.to_owned())).unwrap();
    Player::of(vec![recording], |_| Some(Filter::default())).unwrap()
}

fn tape(path: &Path, play: &Play) -> Tape<Witness> {
    Tape::new(player(path), play.clone(), |_| Witness::default()).unwrap()
}

fn go(tape: &mut Tape<Witness>, to: Position) {
    assert!(tape.seek(to));
    while !tape.play_to(to, Instant::now() + Duration::from_secs(60)).unwrap() {}
}

/// All that is known there: what was told, and each life.
fn known(tape: &Tape<Witness>) -> (Position, String, Vec<Life>) {
    let (lane, _, _, witness) = tape.run(0).unwrap();
    let mut lives: Vec<Life> = lane.lives().cloned().collect();
    lives.sort_by_key(|life| life.number);
    (tape.at(), witness.0.clone(), lives)
}

/// Moments in an order that leads there and back.
fn moments() -> impl Iterator<Item = Position> {
    let offset = Position::from(facts().offset);
    (0..100_u64).map(move |nth| offset + Position::from(nth * 37 % 100 * SECOND / 10 + nth * 1_000_001))
}

#[test]
fn what_is_known_at_a_moment_is_the_same_wherever_one_came_from() {
    for (name, checkpoints) in [("rewind", &[][..]), ("rewind-checkpoints", &[2, 4, 6])] {
        let path = recording(name, checkpoints, None);
        for apart in [1, 7, 1_000_000] {
            let mut wanders = tape(&path, &Play::default()).keep_every(apart);
            for to in moments() {
                let mut straight = tape(&path, &Play::default());
                go(&mut straight, to);
                go(&mut wanders, to);
                assert!(known(&wanders) == known(&straight), "{name}, {apart}, at {to}");
            }
        }
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn stepped_from_event_to_event_it_tells_what_a_replay_tells() {
    let path = recording("rewind-steps", &[3], None);
    let mut stepped = tape(&path, &Play::default());
    let mut steps = 0;
    while !stepped.is_over() {
        assert!(stepped.play_event(Instant::now() + Duration::from_secs(60)).unwrap());
        assert_eq!(stepped.seen().is_none(), stepped.is_over());
        steps += 1;
    }
    assert!(steps > 8 * 5, "{steps}");
    let (played, witnesses) = stepped.finish().unwrap();
    let mut plain = Witness::default();
    let whole = player(&path).play(&Play::default(), &mut plain, &mut |_, _| Ok(true)).unwrap();
    assert_eq!((played.events, played.complete), (whole.events, whole.complete));
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(sorted(&witnesses[0].0), sorted(&plain.0));
    fs::remove_file(path).unwrap();
}

#[test]
fn copies_that_are_kept_are_few_however_long_it_is_played() {
    let path = recording("rewind-kept", &[], None);
    let mut played = tape(&path, &Play::default()).keep_every(1);
    go(&mut played, Position::MAX);
    assert!((2..=48).contains(&played.kept()), "{}", played.kept());
    assert!(played.is_over());
    go(&mut played, Position::MIN);
    assert_eq!(played.at(), played.start());
    assert!(!played.is_over());
    fs::remove_file(path).unwrap();
}
