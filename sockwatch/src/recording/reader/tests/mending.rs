//! What `repair` makes of damaged recordings.

use super::{
    forged::changed,
    sample::{Sample, open, read},
    street::lines,
};
use crate::{
    lifecycle::Part,
    recording::{block::BlockKind, record::Encoder, salvage},
};

/// Repairs it, and compares what is read before and after.
fn mends(what: &str, damaged: &[u8]) -> Vec<u8> {
    let before = read(damaged).unwrap();
    let mut mended = Vec::new();
    let told = salvage(open(damaged).unwrap(), &mut |bytes| {
        mended.extend_from_slice(bytes);
        Ok(())
    })
    .unwrap();
    assert_eq!((told.damage, told.events, told.missing), (before.damage, before.counts.events, before.counts.missing));
    let after = read(&mended).unwrap();
    assert!(after.damage.is_none(), "{what}: {:?}", after.damage);
    assert_eq!(after.steps, before.steps, "{what}");
    mended
}

#[test]
fn a_repaired_recording_is_in_order_and_tells_what_the_damaged_one_told() {
    for (number, (what, damaged)) in Sample::new(7).variants().into_iter().enumerate() {
        let mended = mends(&what, &damaged);
        // What is made of the same steps is the same; not to try it each time saves seconds.
        if number % 10 == 0 {
            assert_eq!(lines(&mended), lines(&damaged), "{what}");
        }
    }
}

#[test]
fn a_whole_recording_stays_as_it_is() {
    let sample = Sample::new(7);
    let mended = mends("whole", &sample.bytes());
    assert_eq!(mended[..sample.offset(sample.closing())], sample.bytes()[..sample.offset(sample.closing())]);
}

#[test]
fn forged_numbers_are_mended_too() {
    let sample = Sample::new(7);
    for at in [24, 32, 40, 48, 56] {
        for place in 0..sample.closing() {
            for value in [0, 1, u64::MAX - 1, u64::MAX] {
                let mut forged = sample.clone();
                forged.blocks[place] =
                    changed(&sample.blocks[place], at, &value.to_le_bytes()[..if at == 56 { 4 } else { 8 }]);
                mends(&format!("{value} at {at} of block {place}"), &forged.bytes());
            }
        }
    }
}

#[test]
fn a_gap_that_shows_at_an_index_in_the_midst_ends_where_steps_follow() {
    let sample = Sample::new(7);
    let before: u64 = sample.events[..4].iter().sum();
    let index = changed(&sample.blocks[sample.closing()], 24, &3_u64.to_le_bytes());
    let mut forged = sample.clone();
    forged.blocks[3] = changed(&index, 48, &before.to_le_bytes());
    forged.blocks[4] = changed(&sample.blocks[4], 32, &1_u64.to_le_bytes());
    mends("an index in the midst", &forged.bytes());
}

/// What a block of a checkpoint says: so many parts, and of how many parts it was the last.
fn piece(parts: u64, whole: Option<u64>) -> Vec<u8> {
    let mut encoder = Encoder::new();
    for since in 0..parts {
        encoder.part(&Part::Loss { since, until: since });
    }
    whole.into_iter().for_each(|parts| encoder.whole(parts));
    encoder.take().payload
}

#[test]
fn a_checkpoint_is_kept_whole_or_not_at_all() {
    let first = |payload| (BlockKind::Checkpoint, payload);
    let rest = |payload| (BlockKind::CheckpointRest, payload);
    let nonsense = vec![3, 64, 0xff];
    let sample = Sample::new(7);
    for (pieces, kept, malformed) in [
        (vec![first(piece(2, Some(2)))], 1, 0),
        (vec![first(piece(1, None)), rest(piece(1, None)), rest(piece(1, Some(3)))], 3, 0),
        (vec![first(piece(1, None)), first(piece(1, Some(1)))], 1, 0),
        // The disk was full in the midst of it.
        (vec![first(piece(1, None)), rest(piece(1, None))], 0, 0),
        (vec![rest(piece(1, Some(1)))], 0, 0),
        (vec![first(piece(1, Some(1))), rest(piece(1, Some(2)))], 1, 0),
        (vec![first(piece(1, None)), rest(piece(1, Some(3)))], 0, 1),
        (vec![first(nonsense.clone()), rest(piece(1, Some(1)))], 0, 1),
        (vec![first(piece(1, None)), rest(nonsense), rest(piece(1, Some(2)))], 0, 1),
    ] {
        let forged = sample.with_pieces(&pieces);
        let what = format!("{pieces:?}");
        let mended = mends(&what, &forged.bytes());
        let blocks = read(&mended).unwrap().counts.blocks;
        assert_eq!(blocks, (forged.blocks.len() - pieces.len() + kept) as u64, "{what}");
        assert_eq!(read(&forged.bytes()).unwrap().damage.malformed, malformed, "{what}");
    }
}

#[test]
fn a_checkpoint_of_which_a_block_is_damaged_is_left_out_and_not_called_malformed() {
    let pieces =
        [(BlockKind::Checkpoint, None), (BlockKind::CheckpointRest, None), (BlockKind::CheckpointRest, Some(3))]
            .map(|(kind, whole)| (kind, piece(1, whole)));
    let sample = Sample::new(7).with_pieces(&pieces);
    let blocks = sample.blocks.len();
    for damaged in blocks - 5..blocks - 2 {
        let mut bytes = sample.bytes();
        bytes[sample.offset(damaged + 1) - 1] ^= 1;
        let mended = mends(&format!("block {damaged}"), &bytes);
        assert_eq!(read(&mended).unwrap().counts.blocks, blocks as u64 - 3);
        assert_eq!(read(&bytes).unwrap().damage.malformed, 0);
    }
}
