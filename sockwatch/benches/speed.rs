//! How fast the parts of the street are: `cargo bench --bench speed`. An iteration is so many events; the rate that is printed
//! is of events.

mod host;
#[path = "host/raw.rs"]
mod raw;

use std::{fs, hint::black_box, io, time::Duration};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use host::Host;
use sockwatch::{
    clock::Clock,
    event::decode,
    lane::Lane,
    lifecycle::Report,
    output::{Format, Json, Scene, Show, Sink, Text, TextOptions, View},
    recording::{Facts, Item, Recorder, RecorderOptions, Recording, Sync, Target},
    replay::{Play, Player},
    select::Filter,
    source::Step,
};

/// Connections of an iteration.
const CONNECTIONS: u64 = 5_000;

fn events(steps: &[Step]) -> u64 {
    steps.iter().filter(|step| matches!(step, Step::Event(_))).count() as u64
}

fn decoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    for (name, record) in [("transition", raw::transition()), ("step", raw::step()), ("close", raw::close())] {
        group.bench_function(name, |bencher| bencher.iter(|| decode(black_box(&record)).expect("it is whole")));
    }
    group.finish();
}

fn living(criterion: &mut Criterion) {
    let steps: Vec<Step> = Host::new(false, false).steps(CONNECTIONS).collect();
    let mut group = criterion.benchmark_group("lifecycle");
    group.throughput(Throughput::Elements(events(&steps)));
    group.bench_function("engine", |bencher| {
        bencher.iter_batched(
            || steps.clone(),
            |steps| {
                let mut lane = Lane::new(Scene::new(Clock::at(0)));
                lane.leave_out_signals();
                let mut show = Silent;
                for step in steps {
                    if lane.take(step) {
                        lane.tell(&mut show).expect("nothing is written");
                    }
                }
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// Takes everything, and shows nothing.
struct Silent;

impl Sink for Silent {
    fn report(&mut self, _: &Scene, report: Report<'_>) -> io::Result<()> {
        black_box(report);
        Ok(())
    }

    fn wants_signals(&self) -> bool {
        false
    }
}

/// Records to a file; returns its bytes.
fn record(steps: &[Step]) -> Vec<u8> {
    let path = std::env::temp_dir().join(format!("sockwatch-bench-{}.sw", std::process::id()));
    let target = Target::File { path: path.clone(), force: true };
    let options = RecorderOptions { target, sync: Sync::Never, max_size: None, keep: None };
    let mut recorder = Recorder::create(&options).expect("there is a place for temporary files");
    recorder.begin(&Facts::default());
    steps.iter().for_each(|step| recorder.step(step));
    let finished = recorder.finish();
    assert_eq!((finished.dropped, finished.unclosed), (0, None), "all of it is written");
    let bytes = fs::read(&path).expect("it was written");
    fs::remove_file(&path).expect("it is there");
    bytes
}

fn recording(criterion: &mut Criterion) {
    let steps: Vec<Step> = Host::new(false, false).steps(CONNECTIONS).collect();
    let bytes = record(&steps);
    let mut group = criterion.benchmark_group("recording");
    group.throughput(Throughput::Elements(events(&steps)));
    group.bench_function("encode", |bencher| bencher.iter(|| record(black_box(&steps))));
    group.bench_function("decode", |bencher| {
        bencher.iter_batched(
            || bytes.clone(),
            |bytes| {
                let mut recording = open(bytes);
                while let Some(item) = recording.next().expect("it is whole") {
                    if let Item::Step(step) = item {
                        black_box(step);
                    }
                }
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn open(bytes: Vec<u8>) -> Recording {
    Recording::read("bench".to_owned(), Box::new(io::Cursor::new(bytes))).expect("it is a recording")
}

fn replaying(criterion: &mut Criterion) {
    let steps: Vec<Step> = Host::new(false, false).steps(CONNECTIONS).collect();
    let bytes = record(&steps);
    let mut group = criterion.benchmark_group("replay");
    group.throughput(Throughput::Elements(events(&steps)));
    let views = [
        ("closed-json", View::Closed, true),
        ("closed-text", View::Closed, false),
        ("path-json", View::Path, true),
        ("path-text", View::Path, false),
    ];
    for (name, view, json) in views {
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || bytes.clone(),
                |bytes| {
                    let player = Player::of(vec![open(bytes)], |_| Some(Filter::default())).expect("it has no filter");
                    let format: Box<dyn Format> = if json {
                        Box::new(Json::new())
                    } else {
                        Box::new(Text::new(TextOptions { view, color: false, utc: true, width: None }))
                    };
                    let mut show = Show::new(io::sink(), format, view, Filter::default());
                    player.play(&Play::default(), &mut show, &mut |_, _| Ok(true)).expect("nothing fails")
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn short() -> Criterion {
    let criterion = Criterion::default().without_plots();
    criterion.sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2))
}

criterion_group! { name = street; config = short(); targets = decoding, living, recording, replaying }
criterion_main!(street);
