//! The whole street, from bytes to lines; and a repair of the same bytes, which must tell the same.

use std::io::{self, Cursor, Write};

use sockwatch::{
    event::What,
    output::{Format, Json, Show, Text, TextOptions, View},
    recording::{Counts, Damage, Item, Recording, salvage},
    replay::{Play, Player},
    select::Filter,
    source::Step,
};

fn open(file: &[u8]) -> Option<Recording> {
    Recording::read("fuzz".into(), Box::new(Cursor::new(file.to_vec()))).ok()
}

/// Takes lines, and looks at them: nothing in them may drive a terminal.
struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(bytes).expect("a line is written whole, and is text");
        assert!(!text.chars().any(|character| character.is_control() && character != '\n'), "{text:?}");
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn walk(file: &[u8], options: u8) {
    let Some((steps, damage, counts)) = open(file).map(|recording| read(recording, file.len())) else { return };
    is_sound(&steps, damage, counts, file.len());
    let mut mended = Vec::new();
    salvage(open(file).expect("it was opened before"), &mut |bytes| {
        mended.extend_from_slice(bytes);
        Ok(())
    })
    .expect("nothing fails in memory");
    let mended_recording = open(&mended).expect("what was repaired can be read");
    let (mended_steps, damage, _) = read(mended_recording.thoroughly(), mended.len());
    assert!(damage.is_none(), "{damage:?}");
    let differs = (0..steps.len().max(mended_steps.len())).find(|&at| steps.get(at) != mended_steps.get(at));
    assert!(
        differs.is_none(),
        "repaired, it tells {:?} in place of {:?}",
        differs.map(|at| mended_steps.get(at)),
        differs.map(|at| steps.get(at))
    );
    show(file, &mended, options);
}

/// `options`: what is shown, and how.
fn show(file: &[u8], mended: &[u8], options: u8) {
    let has = |bit: u32| options >> bit & 1 == 1;
    let view = [View::Path, View::States, View::Closed, View::States][usize::from(options >> 6)];
    let format: Box<dyn Format> = if has(0) {
        Box::new(Json::new())
    } else {
        Box::new(Text::new(TextOptions { view, color: false, utc: true, width: has(1).then_some(100) }))
    };
    let mut show = Show::new(Lines, format, view, Filter::default()).limit(has(2).then_some(2));
    let mut recordings = vec![open(file)];
    if has(3) {
        // Another recording beside it, and another segment behind it.
        recordings.extend([open(&relabelled(mended, 16)), open(&relabelled(mended, 12))]);
    }
    let recordings = recordings.into_iter().flatten().collect();
    let player = Player::of(recordings, |_| Some(Filter::default())).expect("any filter will do");
    let began = player.began().filter(|_| has(4));
    let (since, until) = if has(5) { (began, None) } else { (None, began) };
    for start in player.starts() {
        show.start(start).expect("nothing fails in memory");
    }
    let play = Play { since, until, speed: None };
    let played = player.play(&play, &mut show, &mut |_, _| Ok(true)).expect("nothing fails in memory");
    show.finish(played.events).expect("nothing fails in memory");
}

/// The same blocks with one bit of each header changed: that of the recording's name, or of the segment's number.
fn relabelled(file: &[u8], at: usize) -> Vec<u8> {
    let mut file = file.to_vec();
    let mut rest = &mut file[..];
    while rest.len() >= 76 {
        let length = usize::from(u16::from_le_bytes([rest[8], rest[9]]));
        let stored = u32::from_le_bytes([rest[60], rest[61], rest[62], rest[63]]) as usize;
        let (block, behind) = rest.split_at_mut(length + stored);
        block[at] ^= 2;
        let checksum = crc32fast::hash(&block[..length - 4]);
        block[length - 4..length].copy_from_slice(&checksum.to_le_bytes());
        rest = behind;
    }
    file
}

fn read(mut recording: Recording, length: usize) -> (Vec<Step>, Damage, Counts) {
    let mut steps = Vec::new();
    while let Some(item) = recording.next().expect("nothing fails in memory") {
        match item {
            Item::Step(step) => steps.push(step),
            Item::State(_) | Item::Gap | Item::Nothing => {}
        }
    }
    assert_eq!(recording.position(), length as u64, "it was read to its end");
    (steps, recording.damage(), recording.counts())
}

fn is_sound(steps: &[Step], damage: Damage, counts: Counts, length: usize) {
    let lost =
        |step: &Step| matches!(step, Step::Event(event) if matches!(event.what, What::Lost { .. } | What::Surveyed));
    let events = steps.iter().filter(|step| matches!(step, Step::Event(_)) && !lost(step)).count();
    assert_eq!(events as u64, counts.events, "what is counted is told");
    assert!(damage.bytes <= length as u64);
    assert!(counts.missing == 0 || steps.iter().any(lost), "what is missing is told");
}
