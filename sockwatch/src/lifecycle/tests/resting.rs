//! Lives at rest take less memory, and nobody can tell.

use proptest::prelude::*;

use super::{
    any_host::{config, plans},
    checkpoint::{go, go_on, parts, steps_of},
    host::{Host, SECOND, process},
    seen::Watch,
    soup::{self, Steps},
    town::Town,
};
use crate::lifecycle::Engine;

/// The same steps with and without rest: seen and known is the same, at every moment.
fn is_the_same(mut steps: Steps, count: usize) {
    let rest = steps.split_off(count);
    let (mut restless, mut restful) = (Engine::new(), Engine::new());
    restful.let_lives_rest_after(1);
    assert_eq!(go(&mut restful, &steps), go(&mut restless, &steps));
    assert_eq!(parts(&restful), parts(&restless));
    restful.check_weight();
    assert_eq!(go_on(&mut restful, &rest), go_on(&mut restless, &rest));
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn whatever_happens_on_a_host_is_told_the_same_of_lives_that_rest(
        plans in plans(),
        seed in any::<u64>(),
        percent in 0..=100_usize,
    ) {
        let steps = steps_of(&Town::new(&plans, seed), seed);
        let count = steps.len() * percent / 100;
        is_the_same(steps, count);
    }

    #[test]
    fn nonsense_is_told_the_same_of_lives_that_rest(steps in soup::steps(), percent in 0..=100_usize) {
        let count = steps.len() * percent / 100;
        is_the_same(steps, count);
    }
}

#[test]
fn both_ends_of_a_connection_to_which_nothing_happens_rest_and_wake_when_it_ends() {
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    let listener = host.listener("127.0.0.1:80", &nginx);
    let mut client = host.client("127.0.0.1:5000", "127.0.0.1:80");
    let mut server = host.arrives(&listener, "127.0.0.1:5000");
    host.accept(&server, &nginx);
    let story = |restful: bool| {
        let mut watch = Watch::default();
        if restful {
            watch.engine.let_lives_rest();
        }
        watch.give_all(&host);
        watch.advance(host.now + SECOND / 2);
        assert_eq!(watch.engine.resting(), 0, "a moment is not yet a while");
        watch.advance(host.now + 2 * SECOND);
        watch
    };
    let (mut watch, mut restless) = (story(true), story(false));
    assert_eq!((watch.engine.resting(), restless.engine.resting()), (2, 0));
    let told = host.events.len();
    host.wait(3 * SECOND);
    host.closes_first(&mut client, &nginx);
    host.closes_second(&mut server, &nginx);
    host.destroyed(&client);
    host.destroyed(&server);
    for event in &host.events[told..] {
        for watch in [&mut watch, &mut restless] {
            watch.give(event);
            watch.advance(event.time);
        }
    }
    watch.finish();
    restless.finish();
    assert_eq!(watch.lines, restless.lines);
    assert_eq!(watch.lives, restless.lives);
    assert_eq!(watch.life(&server).path.len(), 4);
}

#[test]
fn a_listener_never_rests_and_neither_does_what_is_not_connected() {
    let mut host = Host::new();
    let nginx = process("nginx", 100);
    host.listener("127.0.0.1:80", &nginx);
    let mut bound = host.socket();
    host.bind(&mut bound, "127.0.0.1:81", &nginx);
    let mut watch = Watch::default();
    watch.engine.let_lives_rest();
    watch.give_all(&host);
    watch.advance(host.now + 5 * SECOND);
    watch.advance(host.now + 10 * SECOND);
    assert_eq!((watch.engine.len(), watch.engine.resting()), (2, 0));
}
