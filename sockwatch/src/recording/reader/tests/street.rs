//! Through the whole street: what users see.

use proptest::{collection::vec, prelude::*};

use super::sample::{Sample, facts, open, pack, story};
use crate::{
    event::{Event, Time},
    output::{Degraded, Json, Show, Start, Text, TextOptions, View},
    recording::{
        Facts,
        block::{BlockKind, Label},
        header,
        record::tests::steps,
    },
    replay::{Play, Player},
    select::Filter,
    source::Step,
    untrusted::Untrusted,
};

/// What is shown of a recording in every view, as text and as JSON.
pub(super) fn lines(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    for view in [View::Path, View::States, View::Closed] {
        let text = TextOptions { view, utc: true, width: Some(100), ..TextOptions::default() };
        let formats: [Box<dyn crate::output::Format>; 2] = [Box::new(Text::new(text)), Box::new(Json::new())];
        for format in formats {
            let player = Player::of(vec![open(bytes).unwrap()], |_| Some(Filter::default())).unwrap();
            let mut show = Show::new(&mut out, format, view, Filter::default());
            for start in player.starts() {
                show.start(start).unwrap();
            }
            let played = player.play(&Play::default(), &mut show, &mut |_, _| Ok(true)).unwrap();
            show.finish(played.events).unwrap();
        }
    }
    String::from_utf8(out).expect("it is text")
}

#[test]
fn the_sample_tells_of_its_sockets() {
    let lines = lines(&Sample::new(7).bytes());
    for word in ["accept", "retransmit", "nginx6", "10.0.0.2:5000", "\"lost\":0"] {
        assert!(lines.contains(word), "{word} is not in {lines}");
    }
}

#[test]
fn times_may_go_back_and_be_the_first_and_the_last_there_are() {
    let times = [0, 1, Time::MAX / 2, Time::MAX - 1, Time::MAX];
    let story = story(7, 1);
    // Every event of a life at the one extreme or the other, and in between.
    for bits in (0..1_u64 << story.len()).step_by(5) {
        for pair in [(0, Time::MAX), (1, Time::MAX - 1), (Time::MAX, Time::MAX / 2)] {
            let mut forged = story.clone();
            for (place, step) in forged.iter_mut().enumerate() {
                let new = if bits >> place & 1 == 0 { pair.0 } else { pair.1 };
                match step {
                    Step::Event(Event { time, .. }) => *time = new,
                    Step::Settled { now, .. } => *now = new,
                    _ => {}
                }
            }
            if bits % 2 == 0 {
                let since = times[bits as usize % times.len()];
                forged.insert(2, Step::Clock { since, offset: i64::MIN.into() });
                forged.insert(7, Step::Clock { since: Time::MAX - since, offset: i64::MAX.into() });
            }
            lines(&Sample::of(7, [forged]).bytes());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_steps_are_told_of(blocks in vec(vec(steps(), 0..30), 1..4)) {
        lines(&Sample::of(7, blocks).bytes());
    }
}

#[test]
fn hostile_texts_drive_no_terminal() {
    const HOSTILE: &[u8] = b"\x1b]0;owned\x07\x1b[2J\r\n\xff\xe2\x80\xae\"";
    let text = || Untrusted::new(HOSTILE).to_text().into_owned();
    let hostile = Facts {
        start: Start {
            host: Untrusted::new(HOSTILE),
            kernel: Untrusted::new(HOSTILE),
            boot_id: Untrusted::new(HOSTILE),
            probes: vec![text()],
            degraded: vec![Degraded { probe: text(), why: text(), lost: text() }],
        },
        tool: Untrusted::new(HOSTILE),
        filter: vec![text(), "--help".into()],
        ..facts()
    };
    let label =
        Label { kind: BlockKind::Header, segment: 1, recording: 7, number: 0, first: 0, last: 0, before: 0, events: 0 };
    let mut forged = Sample::new(7);
    forged.blocks[0] = pack(&label, &header::write(&hostile));
    let shown = lines(&forged.bytes());
    let bad = shown.chars().find(|character| character.is_control() && *character != '\n');
    assert_eq!((bad, shown.contains('\u{202e}')), (None, false));
}
