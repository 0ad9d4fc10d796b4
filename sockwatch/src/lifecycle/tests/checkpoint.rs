//! A checkpoint holds all that an engine knows: what is made of it goes on as the engine does.

use std::fmt::Write;

use proptest::{collection::vec, prelude::*};

use super::{
    any_host::{config, plans},
    host::{Dice, Host, process},
    seen::Watch,
    soup::{self, Steps},
    town::Town,
};
use crate::{
    event::Time,
    lifecycle::{Engine, Part, Report, Restore},
};

pub(super) fn parts(engine: &Engine) -> Vec<Part> {
    let mut parts = Vec::new();
    engine.checkpoint(&mut |part| parts.push(part.map(|life| Box::new(life.clone()))));
    parts
}

pub(super) fn restored(parts: impl IntoIterator<Item = Part>) -> Engine {
    let mut restore = Restore::new();
    parts.into_iter().for_each(|part| restore.take(part));
    restore.finish()
}

/// All that there is to see of a report, by someone who is shown each milestone.
fn see(report: Report<'_>, seen: &mut String) {
    writeln!(seen, "{report:?}").unwrap();
    if let Report::Milestone { life, index } = report {
        life.told = index + 1;
    }
}

/// Takes steps; what was seen.
pub(super) fn go(engine: &mut Engine, steps: &Steps) -> String {
    let mut seen = String::new();
    for (event, now) in steps {
        engine.event(event.clone());
        if let Some(now) = now {
            engine.advance(*now, &mut |report| see(report, &mut seen));
        }
    }
    seen
}

/// The same to the end.
pub(super) fn go_on(engine: &mut Engine, steps: &Steps) -> String {
    let mut seen = go(engine, steps);
    engine.finish(&mut |report| see(report, &mut seen));
    assert!(engine.is_empty());
    seen
}

/// Takes a checkpoint behind so many of the steps.
fn goes_on_the_same(mut steps: Steps, count: usize) {
    let rest = steps.split_off(count);
    let mut engine = Engine::new();
    for (event, now) in steps {
        engine.event(event);
        if let Some(now) = now {
            engine.advance(now, &mut |report| see(report, &mut String::new()));
        }
    }
    let taken = parts(&engine);
    let mut again = restored(taken.clone());
    again.check_weight();
    assert_eq!(parts(&again), taken);
    assert_eq!(again.len(), engine.len());
    assert!(again.weight() <= engine.weight(), "what waits of a life that is gone is left out");
    assert_eq!(again.next_time(Time::MAX), engine.next_time(Time::MAX));
    assert_eq!(go_on(&mut again, &rest), go_on(&mut engine, &rest));
}

/// What a town does, settled now and then.
pub(super) fn steps_of(town: &Town, seed: u64) -> Steps {
    let mut dice = Dice(seed);
    let mut now = 0;
    let steps = town.events.iter().map(|event| {
        now = now.max(event.time);
        (event.clone(), (dice.below(3) == 0).then_some(now))
    });
    steps.collect()
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn a_host_is_told_the_same_from_a_checkpoint_at_any_moment(
        plans in plans(),
        seed in any::<u64>(),
        percent in 0..=100_usize,
        lost in prop_oneof![Just(0), 1..20_u64],
    ) {
        let mut town = Town::new(&plans, seed);
        town.lose(lost, seed);
        let steps = steps_of(&town, seed);
        let count = steps.len() * percent / 100;
        goes_on_the_same(steps, count);
    }

    #[test]
    fn so_is_what_no_kernel_would_report(steps in soup::steps(), percent in 0..=100_usize) {
        let count = steps.len() * percent / 100;
        goes_on_the_same(steps, count);
    }

    #[test]
    fn a_checkpoint_that_is_nonsense_makes_an_engine_that_goes_on_and_ends(
        (steps, others, rest) in (soup::steps(), soup::steps(), soup::steps()),
        changes in vec((0..6_u8, any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..6_u64), 0..40),
    ) {
        let mut engine = Engine::new();
        for (event, _) in steps {
            engine.event(event);
        }
        let mut other = Engine::new();
        for (event, now) in others {
            other.event(event);
            other.advance(now.unwrap_or(0), &mut |_| {});
        }
        let mut parts = parts(&engine);
        for (kind, at, to, number) in changes {
            let (at, to) = (at.index(parts.len()), to.index(parts.len()));
            match kind {
                0 => parts.swap(at, to),
                1 => parts.insert(to, parts[at].clone()),
                2 if parts.len() > 1 => drop(parts.remove(at)),
                3 => parts.extend(self::parts(&other).into_iter().nth(at)),
                _ => spoil(&mut parts[at], number),
            }
        }
        let engine = restored(parts);
        engine.check_weight();
        other.resume(engine, &mut |_| {});
        other.check_weight();
        for (event, now) in rest {
            other.event(event);
            other.advance(now.unwrap_or(0), &mut |_| {});
            other.check_weight();
        }
        other.finish(&mut |_| {});
        prop_assert!(other.is_empty(), "{other:?}");
    }
}

/// Makes something else of a part.
fn spoil(part: &mut Part, number: u64) {
    let great = [0, 1, 2, 300, u64::MAX / 2, u64::MAX][number as usize];
    match part {
        Part::Run { last_number, surveyed } => (*last_number, *surveyed) = (great, number < 3),
        Part::Life(life) => match number {
            0 => life.number = u64::MAX,
            1 => life.number = 1,
            2 => (life.told, life.path_omitted, life.accepted) = (usize::MAX, u64::MAX, u64::MAX),
            3 => {
                let path = life.path.clone();
                life.path.extend(path.iter().cycle().take(500 * path.len().min(1)).cloned());
                life.beyond.extend(path);
            }
            4 => (life.listens_as, life.destroyed, life.vanished) = (vec![1, 0, 2, 1, 3], Some(7), true),
            _ => (life.listener, life.last_connect, life.path) = (Some(u64::MAX), Some(u64::MAX), Vec::new()),
        },
        Part::Unpaired { life, .. } | Part::Waiting { life, .. } => *life = number,
        Part::Subflow { addr, socket } => (*addr, *socket) = (number, great),
        Part::Loss { since, .. } | Part::PendingLoss { since, .. } => *since = great,
    }
}

#[test]
fn what_a_listener_of_the_checkpoint_is_called_by_its_children_is_known() {
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    let listener = host.listener("0.0.0.0:80", &nginx);
    let mut watch = Watch::default();
    watch.give_all(&host);
    watch.engine = restored(parts(&watch.engine));
    host.events.clear();
    let child = host.arrives(&listener, "10.0.0.2:5000");
    host.accept(&child, &nginx);
    watch.give_all(&host);
    watch.finish();
    assert_eq!(watch.life(&child).listener, Some(watch.life(&listener).number));
    assert_eq!(watch.life(&listener).accepted, 1);
}

#[test]
fn a_path_that_is_full_goes_on() {
    let mut host = Host::new();
    let python = process("python", 300);
    let mut socket = host.socket();
    for port in 0..300 {
        host.bind(&mut socket, &format!("10.0.0.1:{port}"), &python);
    }
    let steps: Steps = host.events.iter().map(|event| (event.clone(), None)).collect();
    for count in [256, 299] {
        goes_on_the_same(steps.clone(), count);
    }
    let settled: Steps = steps.into_iter().map(|(event, _)| (event.clone(), Some(event.time))).collect();
    for count in [256, 299] {
        goes_on_the_same(settled.clone(), count);
    }
}
