//! A small recording, and what can happen to it.

use std::{io::Cursor, sync::Arc};

use crate::{
    event::{
        Actor, CallKind, Endpoint, Errno, Event, Family, Key, Mark, Process, Sock, State, Stats, Time, Transport, What,
    },
    output::{Degraded, Start},
    recording::{
        Counts, Damage, Facts, Item, Problem, Recording,
        block::{BlockKind, Label, Packer},
        header,
        index::Index,
        record::{Encoder, is_event},
    },
    source::Step,
    untrusted::Untrusted,
};

pub(super) const SECOND: Time = 1_000_000_000;

/// Whole blocks, one after another: the first says what it is about, the last closes the file.
#[derive(Clone)]
pub(super) struct Sample {
    pub(super) id: u64,
    pub(super) blocks: Vec<Vec<u8>>,
    /// How many events each of them has.
    pub(super) events: Vec<u64>,
}

/// What is read of a file.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) steps: Vec<Step>,
    pub(super) damage: Damage,
    pub(super) counts: Counts,
    /// How many bytes were checked in vain.
    pub(super) wasted: u64,
}

impl Sample {
    /// A host on which a few sockets live. `id`: the recording's; with it the story differs.
    pub(super) fn new(id: u64) -> Self {
        let stories = (1..=6).map(|number| story(id, number)).collect::<Vec<_>>();
        let last = stories.len() - 1;
        Self::of(
            id,
            stories.into_iter().enumerate().map(|(place, mut steps)| {
                if place == last {
                    steps.push(Step::End);
                }
                steps
            }),
        )
    }

    /// A block for each of these.
    pub(super) fn of(id: u64, steps: impl IntoIterator<Item = Vec<Step>>) -> Self {
        let mut sample = Self { id, blocks: Vec::new(), events: Vec::new() };
        sample.add(BlockKind::Header, (0, 0), 0, &header::write(&facts()));
        let mut encoder = Encoder::new();
        for steps in steps {
            steps.iter().for_each(|step| encoder.step(step));
            let filled = encoder.take();
            sample.add(BlockKind::Steps, (filled.first, filled.last), filled.events, &filled.payload);
        }
        sample.add(BlockKind::Index, (0, 0), 0, &Index::default().write());
        sample
    }

    /// With these blocks of checkpoints, and steps behind them, at its end.
    pub(super) fn with_pieces(&self, pieces: &[(BlockKind, Vec<u8>)]) -> Self {
        let mut sample = self.clone();
        sample.blocks.pop();
        sample.events.pop();
        let last = story(self.id, sample.blocks.len() as u64);
        let mut encoder = Encoder::new();
        last.iter().for_each(|step| encoder.step(step));
        let filled = encoder.take();
        for (kind, payload) in pieces {
            sample.add(*kind, (filled.first, filled.first), 0, payload);
        }
        sample.add(BlockKind::Steps, (filled.first, filled.last), filled.events, &filled.payload);
        sample.add(BlockKind::Index, (0, 0), 0, &Index::default().write());
        sample
    }

    fn add(&mut self, kind: BlockKind, times: (Time, Time), events: u32, payload: &[u8]) {
        let block = pack(&Label { events, ..self.label(kind, times) }, payload);
        self.blocks.push(block);
        self.events.push(events.into());
    }

    /// Of the next block.
    fn label(&self, kind: BlockKind, (first, last): (Time, Time)) -> Label {
        let (recording, number, before) = (self.id, self.blocks.len() as u64, self.events.iter().sum());
        Label { kind, segment: 1, recording, number, first, last, before, events: 0 }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.blocks.concat()
    }

    /// Events in all.
    pub(super) fn total(&self) -> u64 {
        self.events.iter().sum()
    }

    /// Where a block begins.
    pub(super) fn offset(&self, block: usize) -> usize {
        self.blocks[..block].iter().map(Vec::len).sum()
    }

    /// The last block closes it.
    pub(super) fn closing(&self) -> usize {
        self.blocks.len() - 1
    }

    fn with(&self, change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<u8> {
        let mut blocks = self.blocks.clone();
        change(&mut blocks);
        blocks.concat()
    }

    /// What becomes of files: each with a name for who reads that a test failed. Its beginning is always whole.
    pub(super) fn variants(&self) -> Vec<(String, Vec<u8>)> {
        let (bytes, other) = (self.bytes(), Self::new(self.id + 1));
        let begins = self.offset(1);
        let mut all = Vec::new();
        for cut in (begins..bytes.len()).step_by(7) {
            all.push((format!("cut at {cut}"), bytes[..cut].to_vec()));
            let mut zeroed = bytes.clone();
            zeroed[cut..].fill(0);
            all.push((format!("zeroes from {cut} on"), zeroed));
        }
        for page in (begins..bytes.len()).step_by(64) {
            for length in [64, 512] {
                let mut zeroed = bytes.clone();
                zeroed[page..(page + length).min(bytes.len())].fill(0);
                all.push((format!("{length} zeroes at {page}"), zeroed));
                let mut cut = bytes.clone();
                cut.drain(page..(page + length).min(bytes.len()));
                all.push((format!("{length} bytes gone at {page}"), cut));
            }
        }
        for garbage in
            [vec![0; 4096], vec![0x89; 100], b"\x89SWB".repeat(40), self.blocks[2][..90].to_vec(), bytes.clone()]
        {
            all.push((format!("{} bytes of garbage behind it", garbage.len()), [&bytes[..], &garbage].concat()));
        }
        for place in 1..self.blocks.len() {
            all.push((format!("without block {place}"), self.with(|blocks| drop(blocks.remove(place)))));
            all.push((format!("block {place} twice"), self.with(|blocks| blocks.insert(place, blocks[place].clone()))));
            all.push((
                format!("block {place} again at the end"),
                self.with(|blocks| blocks.push(blocks[place].clone())),
            ));
            all.push((
                format!("block {place} of another in between"),
                self.with(|blocks| blocks.insert(place, other.blocks[place].clone())),
            ));
            for with in place + 1..self.blocks.len() {
                all.push((format!("blocks {place} and {with} swapped"), self.with(|blocks| blocks.swap(place, with))));
            }
            let mut flipped = bytes.clone();
            let payload = self.offset(place) + self.blocks[place].len() - 1;
            flipped[payload] ^= 1;
            all.push((format!("a bit of the payload of block {place} flipped"), flipped.clone()));
            for other in place + 1..self.blocks.len() {
                let mut flipped = flipped.clone();
                flipped[self.offset(other) + self.blocks[other].len() - 1] ^= 1;
                all.push((format!("bits of the payloads of blocks {place} and {other} flipped"), flipped));
            }
        }
        // Some of the zeroes were zeroes before.
        all.retain(|(_, changed)| *changed != bytes);
        all
    }
}

pub(super) fn pack(label: &Label, payload: &[u8]) -> Vec<u8> {
    Packer::new(1).unwrap().pack(label, payload).unwrap()
}

/// Bytes as a file, at its beginning.
pub(super) fn open(bytes: &[u8]) -> Result<Recording, Problem> {
    Recording::read("sample".into(), Box::new(Cursor::new(bytes.to_vec())))
}

/// All that is in a file.
pub(super) fn read(bytes: &[u8]) -> Result<Reading, Problem> {
    let mut recording = open(bytes)?.thoroughly();
    let mut steps = Vec::new();
    while let Some(item) = recording.next()? {
        if let Item::Step(step) = item {
            steps.push(step);
        }
    }
    assert_eq!(recording.position(), bytes.len() as u64, "it was not read to its end");
    let (damage, counts, wasted) = (recording.damage(), recording.counts(), recording.frames.wasted);
    Ok(Reading { steps, damage, counts, wasted })
}

impl Reading {
    /// Whether it says that all is as it was written.
    pub(super) fn is_whole(&self) -> bool {
        self.damage.is_none() && self.counts.missing == 0
    }

    /// What was written: all but what the reader says of losses.
    pub(super) fn written(&self) -> Vec<&Step> {
        self.steps.iter().filter(|step| lost(step).is_none()).collect()
    }

    pub(super) fn events(&self) -> u64 {
        self.steps.iter().filter(|step| is_event(step)).count() as u64
    }

    /// How many events it says are missing.
    pub(super) fn lost(&self) -> u64 {
        let lost = self.steps.iter().filter_map(lost).flatten().fold(0, u64::saturating_add);
        assert_eq!(lost, self.counts.missing, "what is told is what is counted");
        lost
    }

    /// Whether it says that more may be missing.
    pub(super) fn may_lack_more(&self) -> bool {
        self.steps.iter().filter_map(lost).any(|count| count.is_none())
    }

    /// Whether nothing came out but what was written, in the same order.
    pub(super) fn is_part_of(&self, original: &Self) -> bool {
        let mut rest = original.steps.iter();
        self.written().into_iter().all(|step| rest.any(|written| written == step))
    }
}

fn lost(step: &Step) -> Option<Option<u64>> {
    match step {
        Step::Event(Event { what: What::Lost { count, .. }, .. }) => Some(*count),
        _ => None,
    }
}

pub(super) fn facts() -> Facts {
    let degraded = Degraded { probe: "tp/accept".into(), why: "no".into(), lost: "descriptors".into() };
    Facts {
        start: Start {
            host: Untrusted::new(b"web1"),
            kernel: Untrusted::new(b"6.18.0"),
            boot_id: Untrusted::new(b"0-1"),
            probes: vec!["tp/state".into()],
            degraded: vec![degraded],
        },
        tool: Untrusted::new(b"0.1.0"),
        began: SECOND,
        offset: 1_700_000_000_000_000_000,
        filter: Vec::new(),
        descendants: false,
    }
}

/// A listener of its own, and a client that comes, is served and goes: no two steps are the same.
pub(super) fn story(seed: u64, number: u64) -> Vec<Step> {
    let mut now = number * SECOND + seed % 1000;
    let process = Process {
        pid: Some(number as u32),
        start: number,
        name: Untrusted::new(format!("nginx{number}").as_bytes()),
        uid: Some(33),
        executable: Some(Untrusted::new(b"/usr/sbin/nginx")),
        container: None,
    };
    let by = Actor { process: Arc::new(process), tid: Some(number as u32), descendant: false };
    let end = |last, port| Endpoint { address: [10, 0, 0, last].into(), port };
    let listener = Sock {
        key: Key { id: number * 2, addr: 0xffff_8000_0000_0000 + number * 128 },
        parent: 0,
        mptcp: 0,
        cookie: 1000 + number,
        netns: 4_026_531_840,
        family: Family::Ipv4,
        transport: Transport::Tcp,
        state: State::Closed,
        local: end(1, 8000 + number as u16),
        peer: Endpoint { address: [0, 0, 0, 0].into(), port: 0 },
    };
    let mut child = Sock { peer: end(2, 5000), parent: listener.key.id, state: State::SynReceived, ..listener.clone() };
    child.key = Key { id: listener.key.id + 1, addr: listener.key.addr + 64 };
    let (key, parent) = (child.key, child.parent);
    let stats = Stats { received: 100 * number, acked: 7, counted: true, error: Errno::new(104), ..Stats::default() };
    let call = |call, sock: &Sock| What::Call {
        call,
        sock: sock.clone(),
        by: Some(by.clone()),
        called: Some(number),
        fd: Some(3),
        error: None,
        backlog: (128, 128),
    };
    let to = |sock: &Sock, to, by: Option<&Actor>| What::Transition {
        sock: sock.clone(),
        to,
        by: by.cloned(),
        call: None,
        srtt: 8,
        backlog: 128,
    };
    let established = Sock { state: State::Established, ..child.clone() };
    let last = Sock { state: State::LastAck, ..established.clone() };
    let whats = [
        call(CallKind::Bind, &listener),
        to(&listener, State::Listen, Some(&by)),
        to(&child, State::Established, None),
        call(CallKind::Accept, &established),
        What::Mark { key, mptcp: 0, state: State::Established, mark: Mark::Retransmit },
        What::Step { key, parent, from: State::Established, to: State::CloseWait, by: None },
        What::Step { key, parent, from: State::CloseWait, to: State::LastAck, by: Some(by.clone()) },
        What::Close { sock: last, by: None, stats, in_call: false },
        What::Mark { key, mptcp: 0, state: State::Closed, mark: Mark::Destroyed },
    ];
    let mut steps = Vec::new();
    for what in whats {
        now += 1000;
        steps.push(Step::Event(Event { time: now, what }));
    }
    steps.push(Step::Settled { now: now + SECOND / 2, events: number * 9 });
    steps
}
