//! What a flight recorder costs while it runs and while it takes a snapshot, and what a file costs
//! that survives its process.

use crate::floor::{Table, median, time};
use exectrace::{FlightRecorder, traced};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;

#[traced]
#[inline(never)]
fn leaf() {
    black_box(());
}

fn recorder() -> FlightRecorder {
    let builder = FlightRecorder::builder().options(crate::annotated()).max_bytes(16 * MIB);
    builder.start().expect("none is running")
}

pub(crate) fn measure(table: &mut Table) {
    beside_a_writer(table);
    snapshots(table);
}

/// One thread at full speed, in turn with a trace to a file, a flight recorder, and files that
/// survive.
fn beside_a_writer(table: &mut Table) {
    const REGIONS: u64 = 2_000_000;
    let dir = tempfile::tempdir().expect("there is a folder for temporary files");
    let path = dir.path().join("costs.trace");
    let rotation = exectrace::Rotation::new(64 << 20);
    let timed = || time(REGIONS, leaf);
    let ways: [(&str, &str, &dyn Fn() -> f64); 4] = [
        ("flight recorder / trace to a file", "<= 1.05 x", &|| {
            let recorder = recorder();
            let took = timed();
            recorder.stop();
            took
        }),
        ("flight recorder, mapped / the same", "<= 1.15 x", &|| {
            let builder = FlightRecorder::builder().options(crate::annotated()).mapped(&path);
            let recorder = builder.max_bytes(16 * MIB).start().expect("none is running");
            let took = timed();
            recorder.stop();
            took
        }),
        ("start_file / the same", "<= 1.15 x", &|| {
            let trace = exectrace::start_file_with(crate::annotated(), &path);
            ended(trace.expect("no other process writes there"), timed)
        }),
        ("start_rotating, 8 MiB parts / the same", "", &|| {
            let trace = exectrace::start_rotating(crate::annotated(), rotation, &path);
            ended(trace.expect("no other process writes there"), timed)
        }),
    ];
    let mut ratios = ways.map(|_| Vec::new());
    for _ in 0..11 {
        let written = ended(crate::record::start(), timed);
        for (way, ratios) in ways.iter().zip(&mut ratios) {
            ratios.push((way.2)() / written);
        }
    }
    for ((name, goal, _), ratios) in ways.iter().zip(ratios) {
        table.row(name, &format!("{:.2} x", median(ratios.into_iter())), goal, "");
    }
}

/// Runs `timed` while a trace runs, and then stops the trace.
fn ended(trace: exectrace::Trace, timed: impl Fn() -> f64) -> f64 {
    let took = timed();
    trace.stop().expect("a temporary file takes it");
    took
}

/// Snapshots of a full flight recorder, while a thread goes on at full speed.
fn snapshots(table: &mut Table) {
    let recorder = recorder();
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        time(100_000, leaf);
    }
    let mut bytes = Vec::with_capacity(32 * MIB);
    let took = (0..11).map(|_| {
        bytes.clear();
        let begin = Instant::now();
        recorder.snapshot(&mut bytes).expect("memory takes it");
        begin.elapsed().as_secs_f64() * 1e3
    });
    let took = median(took);
    let note = format!("{:.1} MiB", bytes.len() as f64 / MIB as f64);
    table.row("snapshot to memory", &format!("{took:.1} ms"), "<= 20 ms", &note);
    // Observes without snapshots for as long as with them, so that other disturbances are as
    // likely.
    let still = longest_leaf(|| std::thread::sleep(Duration::from_secs_f64(took / 1e3)));
    let asked = longest_leaf(|| {
        bytes.clear();
        recorder.snapshot(&mut bytes).expect("memory takes it");
    });
    let note = format!("{still:.0} us while none is taken");
    table.row("longest region during a snapshot", &format!("{asked:.0} us"), "<= 10 us", &note);
    recorder.stop();
}

/// Median of the longest region, in microseconds, that another thread has during a call of `act`.
fn longest_leaf(mut act: impl FnMut()) -> f64 {
    let longest = |done: &AtomicBool| {
        let mut longest = Duration::ZERO;
        while !done.load(Ordering::Relaxed) {
            let begin = Instant::now();
            leaf();
            longest = longest.max(begin.elapsed());
        }
        longest.as_secs_f64() * 1e6
    };
    let rounds = (0..21).map(|_| {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| longest(&done));
            act();
            done.store(true, Ordering::Relaxed);
            other.join().expect("it only measures")
        })
    });
    median(rounds)
}
