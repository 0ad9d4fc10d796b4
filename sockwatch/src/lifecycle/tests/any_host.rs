//! What holds on every host, whatever happens there.

use std::collections::{HashMap, HashSet};

use proptest::{collection::vec, prelude::*};

use super::{
    host::{Dice, MS, SECOND},
    seen::{Watch, ending, path},
    town::{Plan, STORIES, Town},
};
use crate::{
    event::{State, Time},
    lifecycle::Life,
};

pub(super) fn plans() -> impl Strategy<Value = Vec<Plan>> {
    vec((0..STORIES, 0..60 * MS, any::<u64>()), 1..16)
}

pub(super) fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Reads the events, and lets the engine tell at random moments.
fn read(town: &Town, count: usize, seed: u64) -> Watch {
    let mut watch = Watch::default();
    let mut dice = Dice(seed);
    let mut now = 0;
    for event in &town.events[..count] {
        watch.give(event);
        now = now.max(event.time);
        if dice.below(3) == 0 {
            watch.advance(now);
        }
        watch.engine.check_weight();
    }
    watch
}

/// What holds of every life, however little was seen of it.
fn is_sound(life: &Life) {
    let text = format!("{} {:?}: {}, {}", life.number, life.key, path(life), ending(life));
    assert!(life.path.windows(2).all(|pair| pair[0].time <= pair[1].time), "its path goes back: {text}");
    let closed = life.destroyed.is_some() || life.end.from.is_some() || life.end.connect_failed.is_some();
    assert_eq!(life.verdict().is_some(), closed, "{text}");
}

fn reported_once(watch: &Watch) {
    let numbers: HashSet<u64> = watch.lives.iter().map(|life| life.number).collect();
    assert_eq!(numbers.len(), watch.lives.len(), "a life was reported twice");
    let mut ended = HashSet::new();
    for line in &watch.lines {
        assert!(!ended.contains(&line.number), "told after its end: {line:?}");
        assert!(numbers.contains(&line.number), "told of, and never reported: {line:?}");
        if line.text == "end" {
            ended.insert(line.number);
        }
    }
}

fn in_order(watch: &Watch) {
    let mut latest = 0;
    for line in &watch.lines {
        assert!(line.time.saturating_add(MS) >= latest, "goes back from {latest}: {line:?}");
        latest = latest.max(line.time);
    }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn every_socket_is_told_whole_and_forgotten_when_nothing_is_lost(
        plans in plans(),
        seed in any::<u64>(),
    ) {
        let town = Town::new(&plans, seed);
        let mut watch = read(&town, town.events.len(), seed);
        let end = town.events.iter().map(|event| event.time).max().unwrap();
        watch.advance(end + SECOND);
        prop_assert!(watch.engine.is_empty(), "kept of sockets that are gone: {:#?}", watch.engine);
        prop_assert_eq!(watch.lives.len(), town.sockets);
        reported_once(&watch);
        in_order(&watch);
        let numbers: HashMap<u64, u64> = watch.lives.iter().map(|life| (life.key.id, life.number)).collect();
        for life in &watch.lives {
            is_sound(life);
            prop_assert!(life.complete && life.verdict().is_some());
            prop_assert_eq!(life.state, State::Closed);
            if let Some((_, listener)) = town.accepted.iter().find(|(child, _)| *child == life.key.id) {
                prop_assert_eq!(life.listener, Some(numbers[listener]), "accepted from another: {:?}", life.key);
                prop_assert!(life.was_accepted());
            }
        }
        let told = watch.lives.iter().map(|life| life.path.len()).sum::<usize>();
        prop_assert_eq!(watch.milestones().len(), told, "each milestone is told once");
        watch.finish();
        prop_assert_eq!(watch.lives.len(), town.sockets);
    }

    #[test]
    fn a_run_that_stops_at_any_moment_tells_every_socket_once(
        plans in plans(),
        seed in any::<u64>(),
        percent in 0..=100_usize,
    ) {
        let town = Town::new(&plans, seed);
        let mut watch = read(&town, town.events.len() * percent / 100, seed);
        watch.finish();
        reported_once(&watch);
        in_order(&watch);
        for life in &watch.lives {
            is_sound(life);
            prop_assert!(life.complete);
        }
    }

    #[test]
    fn lost_events_leave_no_life_that_claims_to_be_whole_without_them(
        plans in plans(),
        seed in any::<u64>(),
        percent in 1..40_u64,
    ) {
        let mut town = Town::new(&plans, seed);
        let lost: Vec<Time> = town.lose(percent, seed ^ 7);
        let mut watch = read(&town, town.events.len(), seed);
        watch.finish();
        reported_once(&watch);
        prop_assert_eq!(watch.lost, lost.len() as u64);
        for life in &watch.lives {
            is_sound(life);
            let end = life.destroyed.unwrap_or(Time::MAX);
            let touched = lost.iter().any(|time| (life.first..=end).contains(time));
            prop_assert!(!(touched && life.complete), "whole in spite of a loss: {}, {:?}", path(life), life.key);
        }
    }
}
