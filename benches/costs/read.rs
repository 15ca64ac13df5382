//! How fast a trace is read that this machine has just recorded, on one core.

use crate::floor::Table;
use exectrace::traced;
use std::hint::black_box;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use trace_analysis::{Summary, Trace};
use trace_format::event::{Event, EventKind};
use trace_format::header::BatchKind;
use trace_format::read::{BatchBuffer, TraceFile, Window};

const THREADS: usize = 4;
const REGIONS: usize = 5_000_000;

#[traced]
#[inline(never)]
fn leaf() {
    black_box(());
}

#[traced]
#[inline(never)]
fn outer() {
    for _ in 0..9 {
        leaf();
    }
}

/// A writer that keeps everything in memory, so that the disk plays no part.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn record() -> Vec<u8> {
    let memory = Memory::default();
    let options = crate::annotated().memory_max(1 << 30);
    let trace = exectrace::start_with(options, memory.clone()).expect("no trace is running");
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..REGIONS / THREADS / 10).for_each(|_| outer()));
        }
    });
    trace.stop().expect("memory takes it");
    std::mem::take(&mut memory.0.lock().expect("no panic"))
}

pub(crate) fn measure(table: &mut Table) {
    let bytes = record();
    let file = TraceFile::open(bytes).expect("it was just written");
    let batches = file.index().iter().filter(|entry| entry.kind == BatchKind::Events);
    let events: u64 = batches.map(|entry| u64::from(entry.events)).sum();
    let mut row = |name, goal, took: Duration| {
        let rate = events as f64 / took.as_secs_f64() / 1e6;
        table.row(name, &format!("{rate:.0} M events/s"), goal, "one core");
    };
    row("reading: decode", ">= 100", best(|| decode(&file, events)));
    let news = events - reopened(&file);
    row("reading: in time order, 4 threads", ">= 30", best(|| in_order(&file, news)));
    row("reading: summary", ">= 50", best(|| summary(&file, events)));
}

/// The median of seven runs.
fn best(mut act: impl FnMut()) -> Duration {
    let mut runs: Vec<_> = (0..7)
        .map(|_| {
            let begin = Instant::now();
            act();
            begin.elapsed()
        })
        .collect();
    runs.sort();
    runs[3]
}

/// Decodes every event of every batch, and checks the checksums.
fn decode(file: &TraceFile<Vec<u8>>, expected: u64) {
    let mut buffer = BatchBuffer::default();
    let mut events = 0;
    for entry in file.index().iter().filter(|entry| entry.kind == BatchKind::Events) {
        let batch = file.load(entry, &mut buffer).expect("it is whole");
        for event in batch.events() {
            black_box(event.expect("it is whole").ticks);
            events += 1;
        }
    }
    assert_eq!(events, expected);
}

/// Number of events that restate what is open; reading in time order leaves them out.
fn reopened(file: &TraceFile<Vec<u8>>) -> u64 {
    let mut buffer = BatchBuffer::default();
    let mut reopened = 0;
    for entry in file.index().iter().filter(|entry| entry.kind == BatchKind::Events) {
        let batch = file.load(entry, &mut buffer).expect("it is whole");
        let restates = |event: &Event<'_>| matches!(event.kind, EventKind::Reopen { .. });
        reopened += batch.events().flatten().filter(restates).count() as u64;
    }
    reopened
}

fn in_order(file: &TraceFile<Vec<u8>>, expected: u64) {
    let mut events = 0;
    let went_on = file
        .in_order(Window::default())
        .for_each(|timed| {
            black_box(timed.event.ticks);
            events += 1;
            ControlFlow::Continue(())
        })
        .expect("it is whole");
    assert!(went_on.is_continue());
    assert_eq!(events, expected);
}

fn summary(file: &TraceFile<Vec<u8>>, expected: u64) {
    let summary = Summary::read(&Trace::new(file), |_| ());
    assert_eq!(summary.events, expected);
}
