use super::*;
use crate::event::What as Happening;

/// A message: its fields in order, by number.
type Fields<'a> = Vec<(u64, Wire<'a>)>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (&byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

fn fields(mut bytes: &[u8]) -> Fields<'_> {
    let mut fields = vec![];
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let value = match tag & 7 {
            0 => Wire::Number(varint(&mut bytes)),
            1 => {
                let (number, rest) = bytes.split_first_chunk().unwrap();
                bytes = rest;
                Wire::Number(u64::from_le_bytes(*number))
            }
            2 => {
                let length = varint(&mut bytes) as usize;
                let (inner, rest) = bytes.split_at(length);
                bytes = rest;
                Wire::Bytes(inner)
            }
            other => panic!("layout {other}"),
        };
        fields.push((tag >> 3, value));
    }
    fields
}

fn number(fields: &Fields<'_>, wanted: u64) -> Option<u64> {
    fields.iter().find_map(|&(field, value)| match value {
        Wire::Number(number) if field == wanted => Some(number),
        _ => None,
    })
}

fn bytes<'a>(fields: &Fields<'a>, wanted: u64) -> Option<&'a [u8]> {
    fields.iter().find_map(|&(field, value)| match value {
        Wire::Bytes(bytes) if field == wanted => Some(bytes),
        _ => None,
    })
}

fn text(fields: &Fields<'_>, wanted: u64) -> Option<String> {
    bytes(fields, wanted).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

/// What the viewer shows: each track by name, and what is on it, in the order of time.
#[derive(Debug, Default)]
struct Seen {
    /// `nginx` for a process, the name for another.
    names: BTreeMap<u64, String>,
    parents: BTreeMap<u64, u64>,
    /// When, and `+established` for the begin of a slice, `-` for an end, `!` for an instant.
    events: BTreeMap<u64, Vec<(u64, String)>>,
    annotations: BTreeMap<u64, BTreeMap<String, String>>,
    flows: BTreeMap<u64, u64>,
    /// `(BOOTTIME, REALTIME)`.
    clocks: Vec<(u64, u64)>,
}

impl Seen {
    fn of(trace: &[u8]) -> Self {
        let mut seen = Self::default();
        for (field, packet) in fields(trace) {
            let Wire::Bytes(packet) = packet else { panic!("{packet:?}") };
            assert_eq!(field, 1);
            seen.packet(&fields(packet));
        }
        for events in seen.events.values_mut() {
            events.sort_by_key(|&(time, _)| time);
        }
        seen
    }

    fn packet(&mut self, packet: &Fields<'_>) {
        assert_eq!((number(packet, 58), number(packet, 10)), (Some(6), Some(0x736f)));
        let time = number(packet, 8).unwrap();
        if let Some(event) = bytes(packet, 11).map(fields) {
            let track = number(&event, 11).unwrap();
            let mark = ["+", "-", "!"][number(&event, 9).unwrap() as usize - 1];
            let name = text(&event, 23).unwrap_or_default();
            self.events.entry(track).or_default().push((time, format!("{mark}{name}")));
            self.flows.extend(number(&event, 47).map(|flow| (track, flow)));
            for annotation in event.iter().filter(|(field, _)| *field == 4) {
                let Wire::Bytes(annotation) = annotation.1 else { panic!("{annotation:?}") };
                let annotation = fields(annotation);
                let value = text(&annotation, 6).unwrap_or_else(|| {
                    [2, 3, 4].iter().find_map(|&field| number(&annotation, field)).unwrap().to_string()
                });
                self.annotations.entry(track).or_default().insert(text(&annotation, 10).unwrap(), value);
            }
        } else if let Some(descriptor) = bytes(packet, 60).map(fields) {
            let track = number(&descriptor, 1).unwrap();
            let process = bytes(&descriptor, 3).map(fields);
            let process = process.map(|process| format!("{:?} {}", number(&process, 1), text(&process, 6).unwrap()));
            self.names.insert(track, process.or_else(|| text(&descriptor, 2)).unwrap());
            self.parents.extend(number(&descriptor, 5).map(|parent| (track, parent)));
        } else {
            let snapshot = fields(bytes(packet, 6).unwrap());
            let clocks: Vec<(Option<u64>, Option<u64>)> = snapshot
                .iter()
                .filter_map(|&(field, clock)| match clock {
                    Wire::Bytes(clock) if field == 1 => Some(fields(clock)),
                    _ => None,
                })
                .map(|clock| (number(&clock, 1), number(&clock, 2)))
                .collect();
            assert_eq!((clocks[0].0, clocks[1].0), (Some(6), Some(1)));
            self.clocks.push((clocks[0].1.unwrap(), clocks[1].1.unwrap()));
        }
    }

    fn track(&self, beginning: &str) -> u64 {
        let mut named = self.names.iter().filter(|(_, name)| name.starts_with(beginning));
        *named.next().unwrap_or_else(|| panic!("{beginning} among {:?}", self.names)).0
    }

    /// What is on a track, times in microseconds.
    fn story(&self, track: u64) -> Vec<(u64, &str)> {
        self.events[&track].iter().map(|(time, event)| (time / 1_000, event.as_str())).collect()
    }
}

fn seen(events: Vec<Event>) -> Seen {
    Seen::of(&one_run(To::Perfetto, What::Sockets, events))
}

#[test]
fn an_accepted_connection_is_a_track_with_its_phases_beneath_its_process() {
    let seen = seen(web_server());
    let track = seen.track("s2");
    assert_eq!(seen.names[&track], "s2 nginx 814 10.0.0.4:80 ← 10.0.0.5:55715");
    assert_eq!(seen.names[&seen.parents[&track]], "Some(814) nginx");
    assert_eq!(
        seen.story(track),
        [
            (4_879_790, "+handshake"),
            (4_880_010, "-"),
            (4_880_010, "+accept queue"),
            (4_880_060, "-"),
            (4_880_060, "+established"),
            (4_890_000, "-"),
            (4_890_000, "+closing"),
            (4_892_910, "-"),
            (4_892_910, "+closed"),
            (4_892_910, "!close: fin by peer"),
            (4_893_000, "-"),
        ]
    );
    let facts = &seen.annotations[&track];
    assert_eq!((&*facts["bytes_sent"], &*facts["listener"], &*facts["close_how"]), ("612", "s1", "fin"));
    let listener = seen.track("s1");
    assert_eq!(seen.story(listener)[..3], [(0, "+bound"), (1_000, "-"), (1_000, "+listening")]);
    assert_eq!(seen.names[&listener], "s1 nginx 812 0.0.0.0:80");
}

#[test]
fn slices_never_overlap_and_every_track_that_is_named_by_an_event_is_described() {
    let seen = seen(busy_host());
    assert!(seen.events.len() > 8);
    for (track, events) in &seen.events {
        assert!(seen.names.contains_key(track), "{events:?}");
        let mut open = 0;
        for (_, event) in events {
            match event.as_bytes()[0] {
                b'+' => open += 1,
                b'-' => open -= 1,
                _ => {}
            }
            assert!((0..=1).contains(&open), "{events:?}");
        }
    }
    assert!(seen.parents.values().all(|parent| seen.names.contains_key(parent)));
}

#[test]
fn what_failed_and_what_went_wrong_are_instants() {
    let seen = seen(busy_host());
    let of = |beginning: &str| -> Vec<&str> {
        let named = seen.names.iter().find(|(track, name)| name.contains(beginning) && seen.events.contains_key(track));
        seen.story(*named.unwrap_or_else(|| panic!("{beginning}")).0).iter().map(|&(_, event)| event).collect()
    };
    assert!(seen.events.values().flatten().any(|(_, event)| event == "!bind failed: EADDRINUSE"));
    let reset = [
        "+connecting",
        "-",
        "+established",
        "!retransmit",
        "!reset received",
        "-",
        "+closed",
        "!close: reset by peer",
        "-",
    ];
    assert_eq!(of("curl 77"), reset);
    let retry = of("retry");
    assert_eq!(
        retry,
        ["+connecting", "-", "+closed", "!close: refused by peer", "-", "+connecting", "-", "+established"]
    );
    assert_eq!(of("redis"), ["+established"]);
}

#[test]
fn the_wall_clock_is_told_once_and_when_it_was_set() {
    let plain = seen(web_server());
    let offset = 1_795_370_651_000_000_000;
    assert_eq!(plain.clocks.len(), 1);
    assert!(plain.clocks.iter().all(|(boot, wall)| wall - boot == offset), "{:?}", plain.clocks);

    let mut scene = scene("");
    scene.clock.step(1000 * MS, i128::from(offset) + 5);
    let trace = exported(To::Perfetto, None, Filter::default(), vec![(scene, busy_host())]);
    let offsets: Vec<u64> = Seen::of(&trace).clocks.iter().map(|(boot, wall)| wall - boot).collect();
    assert_eq!(offsets, [offset, offset + 5]);
}

#[test]
fn several_runs_lie_side_by_side_by_the_wall_clock() {
    let mut later = scene("2.");
    later.clock = Clock::at(later.clock.offset() + 1_000_000_000);
    let runs = vec![(scene("1."), web_server()), (later, web_server())];
    let seen = Seen::of(&exported(To::Perfetto, None, Filter::default(), runs));
    let (first, second) = (seen.track("1.s2"), seen.track("2.s2"));
    assert_eq!(seen.events[&first][0].0 + 1_000_000_000, seen.events[&second][0].0);
    assert_ne!(seen.parents[&first], seen.parents[&second]);
    assert_eq!(seen.names[&seen.parents[&second]], "2.nginx 814");
    assert_eq!(seen.clocks.len(), 1);
    assert_eq!(seen.clocks[0].0, seen.clocks[0].1);
}

#[test]
fn the_two_ends_of_a_connection_within_the_host_are_joined_by_a_flow() {
    let far = Story::new(22, process("nginx", 812), "127.0.0.1:80", "127.0.0.1:40000")
        .child_of(1)
        .to(2 * MS, State::SynReceived, 0)
        .to(2 * MS + 1, State::Established, 1680);
    let near = Story::new(21, process("curl", 5), "127.0.0.1:40000", "127.0.0.1:80").to(MS, State::SynSent, 0).to(
        2 * MS,
        State::Established,
        1680,
    );
    let seen = seen(together([near, far]));
    let flows: Vec<u64> = seen.flows.values().copied().collect();
    assert_eq!(flows.len(), 2, "{seen:?}");
    assert_eq!(flows[0], flows[1]);
}

#[test]
fn names_from_outside_are_escaped_and_losses_are_shown() {
    let mut events = client(b"\x1b[31m\xff", "[::1]:40000", "[::1]:81").events;
    events.push(Event { time: 99 * MS, what: Happening::Lost { count: Some(3), since: 98 * MS } });
    let seen = seen(events);
    assert_eq!(seen.names[&seen.track("s1")], r"s1 \x1b[31m\xff 4711 [::1]:40000 → [::1]:81");
    assert_eq!(seen.story(seen.track("lost")), [(98_000, "+3 events lost"), (99_000, "-")]);
}

#[test]
fn an_empty_run_is_an_empty_trace() {
    assert!(one_run(To::Perfetto, What::Sockets, vec![]).is_empty());
}
