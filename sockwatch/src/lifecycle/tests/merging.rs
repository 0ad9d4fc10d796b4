//! Reports one by one, as those want them who tell several runs together.

use proptest::prelude::*;

use super::{
    any_host::{config, plans},
    host::{Host, MS, process},
    seen::Watch,
    soup,
    town::Town,
};
use crate::{
    event::Time,
    lifecycle::{Engine, Report},
};

/// The time by which a report has its place.
fn time_of(report: &Report<'_>) -> Time {
    match report {
        Report::Milestone { life, index } => life.path[*index].time,
        Report::Signal { signal, .. } => signal.time,
        Report::Socket(life) => life.path.last().map_or(0, |last| last.time).max(life.destroyed.unwrap_or(0)),
        Report::Lost { until, .. } => *until,
    }
}

/// Hands out all that is settled, one by one.
fn one_by_one(engine: &mut Engine, now: Time) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let next = engine.next_time(now);
        let mut count = 0;
        let told = engine.advance_one(now, &mut |report| {
            assert_eq!(next, Some(time_of(&report)), "{report:?}");
            seen.push(format!("{report:?}"));
            count += 1;
        });
        assert_eq!((told, count), (next.is_some(), usize::from(told)));
        if !told {
            return seen;
        }
    }
}

proptest! {
    #![proptest_config(config(128))]

    #[test]
    fn the_time_of_the_next_report_is_told_before_it(plans in plans(), seed in any::<u64>(), lost in 0..10_u64) {
        let mut town = Town::new(&plans, seed);
        town.lose(lost, seed);
        let (mut engine, mut whole) = (Engine::new(), Engine::new());
        let mut now = 0;
        for event in town.events {
            now = now.max(event.time);
            engine.event(event.clone());
            whole.event(event);
            let mut seen = Vec::new();
            whole.advance(now, &mut |report| seen.push(format!("{report:?}")));
            prop_assert_eq!(one_by_one(&mut engine, now), seen);
        }
        one_by_one(&mut engine, Time::MAX);
    }

    #[test]
    fn something_is_told_whenever_that_is_announced(steps in soup::steps()) {
        let mut engine = Engine::new();
        for (event, now) in steps {
            engine.event(event);
            let now = now.unwrap_or(0);
            while let Some(next) = engine.next_time(now) {
                let mut count = 0;
                prop_assert!(engine.advance_one(now, &mut |_| count += 1));
                prop_assert_eq!(count, 1, "announced for {}", next);
            }
            let more = engine.advance_one(now, &mut |_| {});
            prop_assert!(!more);
        }
    }
}

#[test]
fn a_loss_waits_for_nothing_and_comes_behind_what_was_before_it() {
    let mut host = Host::new();
    let mut socket = host.socket();
    host.bind(&mut socket, "10.0.0.1:80", &process("python", 300));
    let bound = host.now;
    host.wait(5 * MS);
    host.lost(7, host.now - MS);
    let mut watch = Watch::default();
    host.events.iter().for_each(|event| watch.give(event));
    let lost = host.now;
    assert_eq!(watch.engine.next_time(0), Some(lost));
    assert_eq!(watch.engine.next_time(lost), Some(bound));
    watch.advance(0);
    assert_eq!((watch.lost, watch.lines.len()), (7, 0));
    assert_eq!(watch.engine.next_time(0), None);
}
