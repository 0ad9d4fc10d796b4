//! A gap in a recording: behind it, the state of then takes the place of what was known.

use std::collections::HashMap;

use proptest::prelude::*;

use super::{
    any_host::{config, plans},
    checkpoint::{parts, restored, steps_of},
    host::{Host, MS, SECOND, process},
    seen::{Watch, ending},
    town::Town,
};
use crate::{
    event::State,
    lifecycle::{Engine, Report},
};

/// The reader of a recording: follows the host up to a gap, and from the checkpoint behind it.
fn read(host: &mut Host, in_the_gap: impl FnOnce(&mut Host)) -> Watch {
    let mut watch = Watch::default();
    watch.give_all(host);
    let mut recorder = Engine::new();
    let mut record = |host: &Host| {
        for event in &host.events {
            recorder.event(event.clone());
            recorder.advance(event.time, &mut |_| {});
        }
        recorder.advance(host.now, &mut |_| {});
    };
    record(host);
    host.events.clear();
    host.wait(SECOND);
    in_the_gap(host);
    host.wait(SECOND);
    record(host);
    host.events.clear();
    watch.resume(restored(parts(&recorder)));
    watch
}

#[test]
fn a_socket_that_ended_in_the_gap_is_told_as_incomplete_neither_open_nor_destroyed_at_a_known_time() {
    let mut host = Host::new();
    let mut client = host.client("10.0.0.1:5000", "10.0.0.2:80");
    let mut watch = read(&mut host, |host| host.closes_second(&mut client, &process("curl", 200)));
    let life = watch.life(&client);
    assert!(!life.complete && life.vanished);
    assert_eq!((life.destroyed, life.lifetime_ns(), life.state), (None, None, State::Established));
    assert_eq!(ending(life), "? ? time_wait?");
    assert_eq!(watch.path(&client), "connect established");
    watch.finish();
    assert_eq!(watch.lives.len(), 1);
}

#[test]
fn a_socket_that_was_only_bound_may_have_become_anything_in_the_gap() {
    let mut host = Host::new();
    let mut socket = host.socket();
    host.bind(&mut socket, "10.0.0.1:80", &process("python", 300));
    let watch = read(&mut host, |host| host.destroyed(&socket));
    assert_eq!(ending(watch.life(&socket)), "? ? time_wait?");
}

#[test]
fn an_end_that_was_seen_before_the_gap_is_told_as_it_was() {
    let mut host = Host::new();
    let mut client = host.client("10.0.0.1:5000", "10.0.0.2:80");
    host.closes_second(&mut client, &process("curl", 200));
    let watch = read(&mut host, |_| {});
    assert_eq!(watch.ending(&client), "peer fin");
    assert!(watch.life(&client).complete && watch.life(&client).destroyed.is_some());
}

#[test]
fn a_socket_that_lived_through_the_gap_goes_on_with_what_happened_in_it() {
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    let listener = host.listener("0.0.0.0:80", &nginx);
    let mut child = host.arrives(&listener, "10.0.0.2:5000");
    let mut watch = read(&mut host, |host| host.accept(&child, &nginx));
    let number = 2;
    assert_eq!(watch.told(number), ["syn_received", "listen→syn_received", "established", "syn_received→established"]);
    host.closes_second(&mut child, &nginx);
    watch.give_all(&host);
    watch.finish();
    assert_eq!(watch.path(&child), "syn_received established accept close");
    assert_eq!(watch.life(&child).listener, Some(watch.life(&listener).number));
    assert_eq!(watch.life(&listener).accepted, 1);
    assert!(watch.life(&child).complete, "that something was lost is an event of its own");
}

#[test]
fn a_loss_that_was_told_by_itself_makes_what_lived_through_the_gap_incomplete_even_behind_another_gap() {
    let mut host = Host::new();
    let start = host.now;
    let curl = process("curl", 200);
    let mut client = host.client("10.0.0.1:5000", "10.0.0.2:80");
    let mut watch = read(&mut host, |_| {});
    host.lost(1, start);
    let mut recorder = Engine::new();
    recorder.resume(restored(parts(&watch.engine)), &mut |_| {});
    watch.give_all(&host);
    watch.resume(recorder);
    host.events.clear();
    host.closes_second(&mut client, &curl);
    host.wait(SECOND);
    let mut late = host.client("10.0.0.1:5001", "10.0.0.2:80");
    host.closes_second(&mut late, &curl);
    watch.give_all(&host);
    watch.finish();
    assert!(!watch.life(&client).complete);
    assert!(watch.life(&late).complete);
}

#[test]
fn what_still_waits_behind_the_gap_is_told_once_and_when_it_is_settled() {
    let mut host = Host::new();
    let mut client = host.client("10.0.0.1:5000", "10.0.0.2:80");
    host.wait(5 * MS);
    host.close(&mut client, Some(&process("curl", 200)));
    let mut watch = Watch::default();
    watch.give_all(&host);
    let mut recorder = Engine::new();
    for event in &host.events {
        recorder.event(event.clone());
    }
    recorder.advance(host.now, &mut |_| {});
    watch.resume(recorder);
    assert_eq!(watch.milestones(), ["connect", "established"]);
    watch.advance(host.now + 100 * MS);
    assert_eq!(watch.milestones(), ["connect", "established", "close"]);
}

/// Milestones that someone is shown who tells those that were not told yet with the next, and the rest at the end.
#[derive(Default)]
struct Shown {
    milestones: HashMap<u64, u64>,
    ended: HashMap<u64, (u64, bool)>,
}

impl Shown {
    fn see(&mut self, report: Report<'_>) {
        let (life, end) = match report {
            Report::Milestone { life, index } => (life, index + 1),
            Report::Socket(life) => {
                let kept = life.path.len();
                let before = self.ended.insert(life.number, (kept as u64, life.complete));
                assert!(before.is_none(), "told twice: {life:?}");
                assert!(life.destroyed.is_some() || life.vanished, "open: {life:?}");
                assert!(!(life.vanished && life.complete), "whole, and its end not known: {life:?}");
                (life, kept)
            }
            Report::Signal { .. } | Report::Lost { .. } => return,
        };
        assert!(!self.milestones.contains_key(&life.number) || life.told > 0, "forgot what was told: {life:?}");
        *self.milestones.entry(life.number).or_default() += end.saturating_sub(life.told) as u64;
        life.told = life.told.max(end);
    }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn each_milestone_that_is_known_is_told_once_and_each_socket_ends_once(
        plans in plans(),
        seed in any::<u64>(),
        (from, to) in (0..=100_usize, 0..=100_usize),
    ) {
        let town = Town::new(&plans, seed);
        let steps = steps_of(&town, seed);
        let [from, to] = [from.min(to), from.max(to)].map(|percent| steps.len() * percent / 100);
        let (mut engine, mut recorder, mut shown) = (Engine::new(), Engine::new(), Shown::default());
        for (count, (event, now)) in steps.into_iter().enumerate() {
            if count == to {
                let state = restored(parts(&recorder));
                engine.resume(state, &mut |report| shown.see(report));
                engine.check_weight();
                prop_assert_eq!(parts(&engine).len(), parts(&recorder).len());
            }
            if count < from || count >= to {
                engine.event(event.clone());
            }
            recorder.event(event);
            if let Some(now) = now {
                recorder.advance(now, &mut |_| {});
                if count < from || count >= to {
                    engine.advance(now, &mut |report| shown.see(report));
                }
            }
        }
        if to == town.events.len() {
            engine.resume(recorder, &mut |report| shown.see(report));
        }
        engine.finish(&mut |report| shown.see(report));
        prop_assert!(engine.is_empty());
        for (number, (kept, _)) in &shown.ended {
            prop_assert_eq!(shown.milestones.get(number), Some(kept), "of {}", number);
        }
        let lost_sight = shown.ended.values().filter(|(_, complete)| !complete).count();
        prop_assert!(from < to || lost_sight == 0, "nothing was missed");
    }
}
