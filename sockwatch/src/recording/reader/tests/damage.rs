//! What disks, pipes and careless copies do to a recording.

use super::{
    forged::changed,
    sample::{Sample, open, read},
};

#[test]
fn a_whole_recording_is_read_whole() {
    let sample = Sample::new(7);
    let reading = read(&sample.bytes()).unwrap();
    assert!(reading.is_whole(), "{reading:?}");
    assert_eq!((reading.events(), reading.lost()), (sample.total(), 0));
    assert_eq!(reading.counts.blocks, sample.blocks.len() as u64);
    assert!(sample.bytes().len() < 3000, "the tests that try everything take long: {}", sample.bytes().len());
}

#[test]
fn no_flipped_bit_goes_unnoticed_or_changes_a_value() {
    let sample = Sample::new(7);
    let (original, bytes) = (read(&sample.bytes()).unwrap(), sample.bytes());
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let Ok(reading) = read(&flipped) else {
            assert!(bit / 8 < sample.offset(1), "bit {bit}: it begins well, and could not be read");
            continue;
        };
        assert!(!reading.is_whole(), "bit {bit}");
        assert!(reading.is_part_of(&original), "bit {bit}");
        assert_eq!(reading.events() + reading.lost(), sample.total(), "bit {bit}");
    }
}

#[test]
fn a_recording_that_was_cut_is_never_called_whole() {
    let sample = Sample::new(7);
    let (original, bytes) = (read(&sample.bytes()).unwrap(), sample.bytes());
    for cut in 0..bytes.len() {
        let Ok(reading) = read(&bytes[..cut]) else {
            assert!(cut < sample.offset(1), "cut at {cut}");
            continue;
        };
        assert!(reading.damage.unclosed && reading.may_lack_more(), "cut at {cut}");
        assert!(reading.is_part_of(&original), "cut at {cut}");
        let blocks = (1..=sample.blocks.len()).take_while(|&block| sample.offset(block) <= cut).count();
        assert_eq!(reading.events(), sample.events[..blocks].iter().sum::<u64>(), "cut at {cut}: all before is there");
    }
}

#[test]
fn whatever_becomes_of_a_file_each_step_is_told_once_or_missing() {
    let sample = Sample::new(7);
    let original = read(&sample.bytes()).unwrap();
    for (what, bytes) in sample.variants() {
        let reading = read(&bytes).unwrap();
        assert!(!reading.is_whole(), "{what}");
        assert!(reading.is_part_of(&original), "{what}");
        let known = reading.events() + reading.lost();
        assert!(known <= sample.total(), "{what}: more is missing than there was");
        assert!(known == sample.total() || reading.may_lack_more(), "{what}: {known} of {}", sample.total());
        assert_eq!(reading.may_lack_more(), reading.damage.unclosed, "{what}");
    }
}

#[test]
fn of_a_block_that_is_missing_exactly_its_events_are_said_to_be_lost() {
    let sample = Sample::new(7);
    for place in 1..sample.closing() {
        let mut without = sample.clone();
        without.blocks.remove(place);
        let reading = read(&without.bytes()).unwrap();
        assert_eq!((reading.lost(), reading.damage.missing), (sample.events[place], 1));
        assert!(!reading.may_lack_more());
    }
}

#[test]
fn a_block_that_comes_twice_is_read_once() {
    let sample = Sample::new(7);
    let original = read(&sample.bytes()).unwrap();
    for place in 0..sample.blocks.len() {
        let mut twice = sample.clone();
        twice.blocks.insert(place, sample.blocks[place].clone());
        let reading = read(&twice.bytes()).unwrap();
        assert_eq!(reading.steps, original.steps, "block {place}");
        assert_eq!(reading.damage.foreign, 1, "block {place}");
    }
}

#[test]
fn a_whole_copy_of_a_damaged_block_is_read_instead() {
    let sample = Sample::new(7);
    let original = read(&sample.bytes()).unwrap();
    for place in 1..sample.blocks.len() {
        let mut twice = sample.clone();
        let mut damaged = sample.blocks[place].clone();
        *damaged.last_mut().unwrap() ^= 1;
        twice.blocks.insert(place, damaged);
        let reading = read(&twice.bytes()).unwrap();
        assert_eq!(reading.steps, original.steps, "block {place}");
        assert!(!reading.is_whole());
    }
}

#[test]
fn blocks_of_another_recording_or_segment_tell_nothing() {
    let sample = Sample::new(7);
    let original = read(&sample.bytes()).unwrap();
    let other = Sample::new(8);
    for place in 1..sample.blocks.len() {
        for strange in [&other.blocks[place], &with_segment(&sample.blocks[place], 2)] {
            let mut mixed = sample.clone();
            mixed.blocks.insert(place, strange.clone());
            let reading = read(&mixed.bytes()).unwrap();
            assert_eq!(reading.steps, original.steps, "block {place}");
            assert_eq!(reading.damage.foreign, 1, "block {place}");
        }
    }
}

#[test]
fn what_is_missing_at_the_end_of_a_segment_is_missing_once() {
    let sample = Sample::new(7);
    // The first segment ends in the midst of its last block; the second goes on three blocks later.
    let mut first = sample.blocks[..4].concat();
    first.pop();
    let before: u64 = sample.events[..6].iter().sum();
    let header = changed(&with_segment(&sample.blocks[0], 2), 48, &before.to_le_bytes());
    let header = changed(&header, 24, &5_u64.to_le_bytes());
    let rest = sample.blocks[6..].iter().map(|block| with_segment(block, 2));
    let second = [header].into_iter().chain(rest).collect::<Vec<_>>().concat();
    let mut segments = [open(&first).unwrap(), open(&second).unwrap()];
    while segments[0].next().unwrap().is_some() {}
    let [one, two] = &mut segments;
    two.follows(one);
    while two.next().unwrap().is_some() {}
    assert_eq!(one.counts().missing, sample.events[3]);
    assert_eq!(two.counts().missing, sample.events[4] + sample.events[5]);
    assert_eq!(one.counts().events + two.counts().events, sample.total() - sample.events[3..6].iter().sum::<u64>());
    assert!(two.damage().is_none());
}

fn with_segment(block: &[u8], segment: u32) -> Vec<u8> {
    changed(block, 12, &segment.to_le_bytes())
}
