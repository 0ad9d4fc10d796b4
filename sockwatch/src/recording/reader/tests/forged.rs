//! What somebody wrote on purpose: the checksums are right, and nothing else has to be.

use std::io::Write;

use super::sample::{Reading, SECOND, Sample, facts, open, pack, read, story};
use crate::{
    event::{Event, What},
    recording::{
        Problem,
        block::{BlockKind, HEADER, LARGEST, Label},
        header,
        record::Decoder,
        wire::Writer,
    },
    source::Step,
};

/// A block with some bytes of its header changed, and the right checksum.
pub(super) fn changed(block: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut block = block.to_vec();
    block[at..at + bytes.len()].copy_from_slice(bytes);
    let checksum = crc32fast::hash(&block[..HEADER - 4]);
    block[HEADER - 4..HEADER].copy_from_slice(&checksum.to_le_bytes());
    block
}

/// A block whose payload in the file is this, whatever it says of it.
fn with_stored(block: &[u8], stored: &[u8], unpacked: u32) -> Vec<u8> {
    let mut header = block[..HEADER].to_vec();
    header[60..64].copy_from_slice(&(stored.len() as u32).to_le_bytes());
    header[64..68].copy_from_slice(&unpacked.to_le_bytes());
    header[68..72].copy_from_slice(&crc32fast::hash(stored).to_le_bytes());
    let mut block = changed(&header, 0, b"\x89");
    block.extend_from_slice(stored);
    block
}

/// The sample with another block in place of its third, and how many events that one has.
fn with_third(change: impl FnOnce(&[u8]) -> Vec<u8>) -> (Reading, u64) {
    let sample = Sample::new(7);
    let original = read(&sample.bytes()).unwrap();
    let mut forged = sample.clone();
    forged.blocks[3] = change(&sample.blocks[3]);
    let reading = read(&forged.bytes()).unwrap();
    assert!(reading.is_part_of(&original), "{:?}", reading.damage);
    assert!(!reading.is_whole());
    assert_eq!(reading.events() + reading.lost(), sample.total());
    (reading, sample.events[3])
}

#[test]
fn a_wrong_length_costs_its_block_and_no_other() {
    for (at, stored) in [(60, true), (64, false)] {
        let length = |block: &[u8]| u32::from_le_bytes(block[at..at + 4].try_into().unwrap());
        for wrong in [|_| 0, |length| length - 1, |length| length + 1, |_| 1000, |_| LARGEST as u32, |_| u32::MAX] {
            let (reading, events) = with_third(|block| changed(block, at, &wrong(length(block)).to_le_bytes()));
            assert_eq!(reading.lost(), events);
            assert_eq!(reading.damage.bytes == 0, !stored && reading.damage.malformed == 1);
        }
    }
}

#[test]
fn a_block_with_fewer_events_than_it_says_lacks_them() {
    // The index agrees with the sample; so this one can only be too high where none follows.
    let sample = Sample::new(7);
    let last = sample.closing() - 1;
    let mut forged = sample.clone();
    forged.blocks[last] = changed(&sample.blocks[last], 56, &1000_u32.to_le_bytes());
    let reading = read(&forged.bytes()).unwrap();
    assert_eq!(reading.events(), sample.total());
    assert_eq!(reading.lost(), 1000 - sample.events[last]);
}

#[test]
fn a_block_with_more_events_than_it_says_gives_no_more_than_that() {
    let (reading, events) = with_third(|block| changed(block, 56, &2_u32.to_le_bytes()));
    assert_eq!((reading.damage.malformed, reading.lost()), (1, events - 2));
}

#[test]
fn a_payload_that_unpacks_to_a_gigabyte_takes_no_more_memory_than_a_block() {
    let mut bomb = zstd::Encoder::new(Vec::new(), 1).unwrap();
    let zeroes = vec![0; 1 << 20];
    for _ in 0..1024 {
        bomb.write_all(&zeroes).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < LARGEST);
    for unpacked in [0, 1, LARGEST as u32] {
        let (reading, events) = with_third(|block| with_stored(block, &bomb, unpacked));
        assert_eq!((reading.damage.malformed, reading.lost()), (1, events));
    }
}

#[test]
fn a_payload_that_is_no_packed_one_is_refused() {
    let (magic, claims) = (b"\x28\xb5\x2f\xfd", [0xff; 8]);
    let gigabytes = [&magic[..], &[0b1110_0000], &claims, &[1, 0, 0]].concat();
    for stored in [&[][..], b"text", &magic[..], &gigabytes] {
        let (reading, events) = with_third(|block| with_stored(block, stored, 1000));
        assert_eq!((reading.damage.malformed, reading.lost()), (1, events), "{stored:?}");
    }
}

#[test]
fn what_comes_before_nonsense_in_a_block_is_kept_and_the_rest_is_missing() {
    // Longer than the block; of length 0; of a socket that was never named; a text longer than its record.
    for nonsense in [&[100, 16][..], &[0, 16], &[3, 19, 0, 99], &[4, 1, 0, 0, 50], &[0xff; 11]] {
        let (reading, events) = with_third(|block| {
            let number = |at: usize| u64::from_le_bytes(block[at..at + 8].try_into().unwrap());
            let label = Label {
                kind: BlockKind::Steps,
                segment: 1,
                recording: 7,
                number: number(24),
                first: number(32),
                last: number(40),
                before: number(48),
                events: u32::from_le_bytes(block[56..60].try_into().unwrap()),
            };
            let mut decoder = Decoder::default();
            let payload = zstd::decode_all(&block[HEADER..]).unwrap();
            decoder.open(payload.clone());
            assert_eq!((0..4).filter(|_| matches!(decoder.step(), Some(Ok(_)))).count(), 4);
            let good = &payload[..decoder.position()];
            pack(&label, &[good, nonsense].concat())
        });
        assert_eq!((reading.damage.malformed, reading.lost()), (1, events - 4), "{nonsense:?}");
    }
}

#[test]
fn numbers_at_their_limits_are_told_and_do_no_harm() {
    let sample = Sample::new(7);
    // Number, times, events before, events.
    for at in [24, 32, 40, 48, 56] {
        for place in 0..sample.blocks.len() {
            for value in [0, 1, u64::MAX - 1, u64::MAX] {
                let mut forged = sample.clone();
                forged.blocks[place] =
                    changed(&sample.blocks[place], at, &value.to_le_bytes()[..if at == 56 { 4 } else { 8 }]);
                let reading = read(&forged.bytes()).unwrap();
                assert!(reading.events() <= sample.total());
                reading.lost();
            }
        }
    }
}

#[test]
fn an_index_that_lies_leads_nobody_astray() {
    let sample = Sample::new(7);
    let original = read(&sample.bytes()).unwrap();
    let mut lie = Writer::default();
    for number in [u64::MAX, 3, 0] {
        lie.record(1, |out| (0..3).for_each(|_| out.number(number)));
    }
    for payload in [&lie.bytes[..], &[1], &[0xff; 100]] {
        let closing = sample.closing();
        let label = Label {
            kind: BlockKind::Index,
            segment: 1,
            recording: 7,
            number: closing as u64,
            first: 0,
            last: u64::MAX,
            before: sample.total(),
            events: 0,
        };
        let mut forged = sample.clone();
        forged.blocks[closing] = pack(&label, payload);
        let reading = read(&forged.bytes()).unwrap();
        assert_eq!(reading.steps, original.steps);
    }
}

fn refusal(bytes: &[u8]) -> String {
    open(bytes).err().expect("it is refused").to_string()
}

#[test]
fn a_recording_of_a_newer_version_is_refused_by_name() {
    let sample = Sample::new(7);
    let mut newer = sample.blocks[0].clone();
    newer = changed(&newer, 4, &[2]);
    assert!(refusal(&newer).contains("newer sockwatch (format 2)"), "{}", refusal(&newer));
    // Its headers may be of any length.
    newer[8..10].copy_from_slice(&9999_u16.to_le_bytes());
    assert!(refusal(&newer).contains("newer sockwatch (format 2)"), "{}", refusal(&newer));
    // There was none before the first.
    assert!(matches!(open(&changed(&sample.blocks[0], 4, &[0])), Err(Problem::Damaged(_))));
}

#[test]
fn a_header_of_a_later_version_may_be_longer() {
    let sample = Sample::new(7);
    let original = read(&sample.bytes()).unwrap();
    let mut longer = sample.clone();
    for block in &mut longer.blocks {
        let payload = block.split_off(HEADER);
        block.truncate(HEADER - 4);
        block[8..10].copy_from_slice(&(HEADER as u16 + 20).to_le_bytes());
        block.extend_from_slice(&[42; 20]);
        let checksum = crc32fast::hash(block);
        block.extend_from_slice(&checksum.to_le_bytes());
        block.extend_from_slice(&payload);
    }
    let reading = read(&longer.bytes()).unwrap();
    assert!(reading.is_whole());
    assert_eq!(reading.steps, original.steps);
}

#[test]
fn a_kind_of_block_that_a_later_version_made_up_is_passed_over() {
    let sample = Sample::new(7);
    let original = read(&sample.bytes()).unwrap();
    let mut later = sample.clone();
    later.blocks.insert(3, changed(&sample.blocks[3], 56, &[0; 4]));
    later.blocks[3] = changed(&later.blocks[3], 5, &[200]);
    let later: Vec<u8> = later
        .blocks
        .iter()
        .enumerate()
        .flat_map(|(number, block)| changed(block, 24, &(number as u64).to_le_bytes()))
        .collect();
    let reading = read(&later).unwrap();
    assert!(reading.is_whole(), "{reading:?}");
    assert_eq!(reading.steps, original.steps);
}

#[test]
fn a_beginning_that_says_nothing_of_use_is_refused() {
    let label = |kind| Label { kind, segment: 1, recording: 7, number: 0, first: 0, last: 0, before: 0, events: 0 };
    let good = header::write(&facts());
    assert!(open(&pack(&label(BlockKind::Header), &good)).is_ok());
    for block in [
        pack(&label(BlockKind::Steps), &good),
        pack(&label(BlockKind::Index), &good),
        pack(&label(BlockKind::Header), &[]),
        pack(&label(BlockKind::Header), &[0xff; 50]),
        pack(&label(BlockKind::Header), &good[..good.len() - 1]),
    ] {
        assert!(matches!(open(&block), Err(Problem::Damaged(_))));
    }
}

#[test]
fn headers_that_claim_the_bytes_behind_them_again_and_again_cost_no_more_than_a_few_readings() {
    let mut claiming = Sample::new(7).blocks[2][..HEADER].to_vec();
    claiming = changed(&claiming, 60, &(LARGEST as u32).to_le_bytes());
    let bytes = [Sample::new(7).blocks[0].clone(), claiming.repeat((6 << 20) / HEADER)].concat();
    let reading = read(&bytes).unwrap();
    assert_eq!(reading.events(), 0);
    let enough = (64 << 20) + 8 * bytes.len() as u64 + LARGEST as u64;
    assert!(reading.wasted > 64 << 20 && reading.wasted <= enough, "{} bytes were checked in vain", reading.wasted);
}

#[test]
fn much_that_is_packed_into_little_is_not_unpacked_for_hours() {
    // Records of a kind that nobody knows, eight bytes each.
    let nothing = vec![7; LARGEST];
    let label =
        Label { kind: BlockKind::Steps, segment: 1, recording: 7, number: 1, first: 0, last: 0, before: 0, events: 0 };
    let bomb = pack(&label, &nothing);
    let blocks = (1..1000_u64).flat_map(|number| changed(&bomb, 24, &number.to_le_bytes()));
    let bytes = Sample::new(7).blocks[0].iter().copied().chain(blocks).collect::<Vec<_>>();
    let reading = read(&bytes).unwrap();
    let unpacked = 999 - reading.damage.malformed;
    assert!((256..=256 + 32 * bytes.len() as u64 / LARGEST as u64).contains(&unpacked), "{unpacked} MiB were unpacked");
}

#[test]
fn a_gap_that_is_told_again_and_again_is_one() {
    // Blocks without steps that say each time that more is missing.
    let sample = Sample::new(7);
    let mut bytes = sample.blocks[0].clone();
    for number in 1..10_000_u64 {
        let checkpoint = changed(&sample.blocks[1], 5, &[3]);
        let checkpoint = changed(&checkpoint, 24, &number.to_le_bytes());
        bytes.extend(changed(&checkpoint, 48, &(number * 10).to_le_bytes()));
    }
    let reading = read(&bytes).unwrap();
    assert_eq!(reading.lost(), 99_990);
    assert!(reading.steps.len() <= 2, "{} steps", reading.steps.len());
}

#[test]
fn what_is_missing_is_missing_between_the_times_on_both_sides_of_it() {
    let sample = Sample::new(7);
    let mut without = sample.clone();
    without.blocks.drain(2..4);
    let reading = read(&without.bytes()).unwrap();
    let lost = reading.steps.iter().find_map(|step| match step {
        Step::Event(Event { time, what: What::Lost { count, since } }) => Some((*count, *since, *time)),
        _ => None,
    });
    let [last, next] = [1, 4].map(|number| story(7, number)).map(|steps| {
        let times = steps.iter().filter_map(|step| match step {
            Step::Event(event) => Some(event.time),
            Step::Settled { now, .. } => Some(*now),
            _ => None,
        });
        (times.clone().min().unwrap(), times.max().unwrap())
    });
    assert_eq!(lost, Some((Some(sample.events[2] + sample.events[3]), last.1, next.0)));
    assert!(last.1 < next.0 && next.0 > 4 * SECOND);
}
