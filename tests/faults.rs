//! Writers that fail, write little at a time, are slow or panic, and memory at its limit: the
//! program goes on, and lost events are counted.
//!
//! Long, because its tests share helpers, and each file here is linked as a program of its own.

mod common;

use common::decoded::Decoded;
use common::waiting::{is_written, wait_for_generations, wait_until, written};
use common::writers::{Fault, Faulty, Memory, PanicsWhenDropped, Slow, Stuttering};
use common::{alone, annotated, checks, lines, record, record_here};
use exectrace::{OnFull, Options, Report, StartError, StopError, Trace, instant, log, traced};
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use trace_format::definition::Definition;
use trace_format::event::{Event, EventKind};
use trace_format::read::BatchReader;
use trace_format::value::Value;

#[traced]
fn leaf() {}

#[traced]
fn twice() {
    leaf();
    leaf();
}

fn start(options: Options, writer: impl Write + Send + 'static) -> Trace {
    exectrace::start_with(options, writer).expect("the writer takes the beginning")
}

/// Records a few batches of events.
fn work() {
    for _ in 0..50_000 {
        leaf();
    }
}

/// The writer's error, and the report with the losses.
fn failed(stopped: Result<Report, StopError>) -> (io::Error, Report) {
    match stopped {
        Err(StopError::Write { error, report }) => (error, report),
        other => panic!("a failed write is told: {other:?}"),
    }
}

/// Number of bytes that starting a trace writes, before any event.
fn bytes_of_beginning() -> usize {
    let memory = Memory::default();
    let trace = start(annotated(), memory.clone());
    let bytes = memory.copy().len();
    drop(trace);
    bytes
}

#[test]
fn a_writer_that_fails_at_once_is_a_failed_start() {
    let _alone = alone();
    for fault in [Fault::Fails, Fault::WritesNothing, Fault::Panics] {
        for room in [0, 1, 31, 32, 100] {
            let started = exectrace::start_with(annotated(), Faulty::new(fault, room));
            assert!(matches!(started, Err(StartError::Write(_))), "{fault:?} {room}: {started:?}");
            assert!(!exectrace::is_enabled());
        }
    }
    // And the next trace can start.
    assert_eq!(record_here(annotated(), leaf).lines(), ["leaf"]);
}

#[test]
fn a_writer_that_fails_later_fails_the_stop_and_nothing_else() {
    let _alone = alone();
    let beginning = bytes_of_beginning();
    for fault in [Fault::Fails, Fault::WritesNothing, Fault::Panics] {
        for room in [beginning, beginning + 1, beginning + 40_000, beginning + 100_001] {
            let writer = Faulty::new(fault, room);
            let memory = writer.memory.clone();
            let trace = start(annotated(), writer);
            work();
            let (error, report) = failed(trace.stop());
            match fault {
                Fault::Fails => assert_eq!(error.to_string(), "fault 1", "the first is told"),
                Fault::WritesNothing => assert_eq!(error.kind(), io::ErrorKind::WriteZero),
                Fault::Panics => assert_eq!(error.to_string(), "the writer panicked"),
            }
            assert_eq!(report.events + report.unwritten_events, 50_000);
            assert_eq!(report.dropped_events, 0);
            let bytes = memory.take();
            assert!(report.bytes <= bytes.len() as u64 && bytes.len() <= room, "{report:?}");
            let mut reader = BatchReader::new(&bytes[..report.bytes as usize]).unwrap();
            let mut events = 0;
            while let Some(batch) = reader.next_batch() {
                let header = batch.expect("what is told to be written is whole").header;
                events += if header.thread.0 > 0 { u64::from(header.events) } else { 0 };
            }
            assert_eq!(events, report.events, "what is told to be written is there");
        }
    }
    assert_eq!(record_here(annotated(), leaf).lines(), ["leaf"]);
}

#[test]
fn the_error_says_how_much_was_lost_and_why() {
    let _alone = alone();
    let trace = start(annotated(), Faulty::new(Fault::Fails, bytes_of_beginning()));
    (0..100).for_each(|_| leaf());
    let error = trace.stop().unwrap_err();
    let text = error.to_string();
    assert!(text.contains("100 events are lost"), "{text}");
    let cause = std::error::Error::source(&error).expect("the writer's error is the cause");
    assert_eq!(cause.to_string(), "fault 1");
}

/// A writer that writes everything, and whose flush fails.
struct Unflushable(Memory, u32);

impl Write for Unflushable {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.1 += 1;
        if self.1 > 1 { Err(io::Error::other("not flushed")) } else { Ok(()) }
    }
}

#[test]
fn a_flush_that_fails_is_told() {
    let _alone = alone();
    let trace = start(annotated(), Unflushable(Memory::default(), 0));
    leaf();
    assert_eq!(failed(trace.stop()).0.to_string(), "not flushed");
    let started = exectrace::start_with(annotated(), Unflushable(Memory::default(), 1));
    assert!(matches!(started, Err(StartError::Write(_))));
}

#[test]
fn a_writer_that_panics_when_dropped_leaves_room_for_the_next_trace() {
    let _alone = alone();
    let trace = start(annotated(), PanicsWhenDropped);
    leaf();
    assert!(matches!(trace.stop(), Err(StopError::Collector)));
    assert_eq!(record_here(annotated(), leaf).lines(), ["leaf"]);
}

#[test]
fn short_and_interrupted_writes_lose_nothing() {
    let _alone = alone();
    let writer = Stuttering::default();
    let memory = writer.memory.clone();
    let trace = start(annotated(), writer);
    (0..5000).for_each(|_| twice());
    log!("long", "{}", "x".repeat(8000));
    let report = trace.stop().expect("all is written in the end");
    let trace = Decoded::new(&memory.take());
    checks::check(&trace);
    checks::check_report(&trace, &report);
    assert_eq!(trace.events_told(), 20_001);
}

/// A writer that blocks until it is opened, then writes on.
struct Gate {
    memory: Memory,
    calls: u32,
    open: Receiver<()>,
}

impl Gate {
    /// A writer that takes the beginning of a trace and then waits for `open`.
    fn new() -> (Self, Memory, Sender<()>) {
        let (send, open) = channel();
        let memory = Memory::default();
        (Self { memory: memory.clone(), calls: 0, open }, memory, send)
    }
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls == 2 {
            // An error means that the sender is gone, so the gate is open.
            let _ = self.open.recv();
        }
        self.memory.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_that_hangs_drops_events_and_counts_them() {
    const BOUND: usize = 256 << 10;
    let _alone = alone();
    let (writer, memory, gate) = Gate::new();
    let trace = start(annotated().memory_max(BOUND), writer);
    for n in 0..300_000_u64 {
        instant!("numbered", n);
    }
    drop(gate);
    // A batch that reports the loss needs memory again.
    let mut count = 300_000;
    wait_until("a number is recorded again", || {
        instant!("numbered", n = count);
        count += 1;
        is_written(&memory, |event| match event {
            EventKind::Instant { values, .. } => {
                let number = values.clone().next();
                matches!(number, Some(Value::U64(n)) if n >= 300_000)
            }
            _ => false,
        })
    });
    let report = trace.stop().expect("all is written in the end");
    assert!(report.memory_max <= BOUND as u64, "{report:?}");
    assert!(report.memory_max >= BOUND as u64 / 2, "the bound is used: {report:?}");
    assert!(report.dropped_events > 0 && report.dropped_ends == 0, "{report:?}");
    let trace = Decoded::new(&memory.take());
    checks::check(&trace);
    checks::check_report(&trace, &report);

    let thread = *trace.tables.threads.keys().next().unwrap();
    let (mut next, mut lost, mut last) = (0, 0, 0);
    for event in trace.events(thread) {
        match event.kind {
            EventKind::Instant { mut values, .. } => {
                let Some(Value::U64(n)) = values.next() else { panic!("a number") };
                assert_eq!(n, next, "what is missing was told before");
                (next, last) = (n + 1, event.ticks.0);
            }
            EventKind::Dropped { events, ends, from, to } => {
                assert_eq!(ends, 0);
                assert!(last < from.0 && from <= to && to <= event.ticks);
                next += events;
                lost += events;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((next, lost), (count, report.dropped_events));
}

#[test]
fn ends_that_are_lost_are_counted_and_nesting_holds() {
    fn nest(depth: u32) {
        exectrace::trace_region!("nested", depth);
        for _ in 0..200 {
            leaf();
        }
        if depth > 0 {
            nest(depth - 1);
            nest(depth - 1);
        }
    }
    let _alone = alone();
    let (writer, memory, gate) = Gate::new();
    let trace = start(annotated().memory_max(64 << 10), writer);
    nest(7);
    drop(gate);
    wait_until("it is well again", || {
        nest(0);
        let mut is_well = false;
        is_written(&memory, |event| {
            is_well = match event {
                EventKind::Dropped { .. } => false,
                EventKind::RegionBegin { .. } => true,
                _ => is_well,
            };
            false
        });
        is_well
    });
    // There is memory for this event.
    nest(0);
    let report = trace.stop().expect("all is written in the end");
    let trace = Decoded::new(&memory.take());
    // Each time that memory runs out, regions that were open then can lose their ends: eight at
    // most.
    let thread = *trace.tables.threads.keys().next().expect("one recorded");
    let is_loss = |event: &Event<'_>| matches!(event.kind, EventKind::Dropped { .. });
    let losses = trace.events(thread).filter(is_loss).count() as u64;
    assert!(report.dropped_ends > 0 && report.dropped_ends <= 8 * losses, "{report:?}");
    // The check of every trace covers here that restated regions are those begun, without the lost
    // ends.
    checks::check(&trace);
    checks::check_report(&trace, &report);
    let lines = lines::of_threads(&trace).remove(0).1;
    assert!(lines.last().is_some_and(|line| line == "-"), "it is well again at the end");
}

#[test]
fn waiting_drops_nothing() {
    let _alone = alone();
    let writer = Slow { memory: Memory::default(), pause: Duration::from_millis(2) };
    let memory = writer.memory.clone();
    let options = annotated().memory_max(64 << 10).on_full(OnFull::Wait);
    let trace = start(options, writer);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| (0..10_000).for_each(|_| twice()));
        }
    });
    let report = trace.stop().expect("all is written");
    assert_eq!((report.dropped_events, report.dropped_ends), (0, 0));
    assert!(report.memory_max <= 64 << 10);
    let trace = Decoded::new(&memory.take());
    checks::check(&trace);
    assert_eq!(trace.events_told(), 120_000);
}

#[test]
fn waiting_for_memory_that_never_comes_ends() {
    // More threads than memory has batches for, all of them with an open batch.
    let _alone = alone();
    for fault in [None, Some(Fault::Fails), Some(Fault::Panics)] {
        let options = annotated().memory_max(64 << 10).on_full(OnFull::Wait);
        let trace = match fault {
            Some(fault) => start(options, Faulty::new(fault, bytes_of_beginning())),
            None => start(options, Memory::default()),
        };
        let barrier = std::sync::Barrier::new(40);
        std::thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    leaf();
                    barrier.wait();
                    (0..2000).for_each(|_| twice());
                    barrier.wait();
                });
            }
        });
        let _ = trace.stop();
    }
}

#[test]
fn a_busy_thread_leaves_memory_for_others() {
    let _alone = alone();
    let options = annotated().memory_max(64 << 10).on_full(OnFull::Wait);
    let recorded = record_here(options, || {
        // The thread's batches grow to the maximum, and the last one stays open.
        work();
        let barrier = std::sync::Barrier::new(12);
        let run = || {
            leaf();
            barrier.wait();
        };
        std::thread::scope(|scope| (0..12).for_each(|_| _ = scope.spawn(run)));
    });
    assert_eq!(recorded.report.threads, 13, "{:?}", recorded.report);
}

#[test]
fn the_largest_events_fit_the_smallest_memory() {
    let text = "x".repeat(10_000);
    let t = text.as_str();
    let _alone = alone();
    let mut rounds = 0;
    let recorded = record_here(annotated().memory_max(1), || {
        wait_until("each has found room", || {
            leaf();
            instant!("large", a = t, b = t, c = t, d = t, e = t, f = t, g = t, h = t, i = t, j = t);
            log!("large", "{text}");
            rounds += 1;
            let is_instant = |event: &EventKind<'_>| matches!(event, EventKind::Instant { .. });
            let is_log = |event: &EventKind<'_>| matches!(event, EventKind::Log { .. });
            is_written(&written(), is_instant) && is_written(&written(), is_log)
        });
    });
    let lost = |event: &Event<'_>| match event.kind {
        EventKind::Dropped { events, .. } => events,
        _ => 0,
    };
    let thread = *recorded.trace.tables.threads.keys().next().expect("one recorded");
    let losses = recorded.trace.events(thread).filter(|event| lost(event) > 0).count() as u64;
    let told = recorded.trace.events_told() as u64 - losses;
    assert_eq!(recorded.report.dropped_events + told, 3 * rounds, "each is told or counted");
}

#[test]
fn generations_stand_by_themselves() {
    let _alone = alone();
    let recorded = record_here(annotated().generation(Duration::from_millis(10)), || {
        exectrace::trace_region!("all along");
        let _task = exectrace::Task::new("open");
        for round in 0..30 {
            twice();
            if round % 6 == 0 {
                wait_for_generations(1);
            }
            exectrace::trace_region!("pause" => std::thread::sleep(Duration::from_millis(1)));
        }
    });
    let trace = &recorded.trace;
    let generations = &trace.tables.generations;
    assert!(generations.len() >= 4, "{generations:?}");
    assert!(generations.is_sorted_by_key(|generation| generation.ticks));
    let (mut clocks, mut states, mut tasks) = (0, 0, 0);
    for definition in trace.definitions() {
        match definition {
            Definition::Clock(snapshot) => {
                clocks += 1;
                assert!(snapshot.monotonic.0 > 0 && snapshot.wall.0 > 1_600_000_000_000_000_000);
            }
            Definition::ThreadState { .. } => states += 1,
            Definition::TaskState { .. } => tasks += 1,
            _ => {}
        }
    }
    assert_eq!(clocks, generations.len() + 1, "one each, and a second one at the beginning");
    assert!(states >= 3 && tasks >= 3, "{states} {tasks}");
    // Each new batch restates what is open, so it can be read alone. (The check of every trace
    // covers that this is right.)
    let restated = trace.pieces().filter(|piece| piece.header.offset == 0).skip(1);
    let mut count = 0;
    for piece in restated {
        let first = piece.events().next().unwrap().unwrap();
        assert!(matches!(first.kind, EventKind::Reopen { .. }), "{first:?}");
        count += 1;
    }
    assert!(count >= 3, "{count}");
}

#[test]
fn nothing_is_lost_at_full_speed_into_memory() {
    let recorded = record(|| (0..300_000).for_each(|_| leaf()));
    assert_eq!((recorded.report.events, recorded.report.dropped_events), (300_000, 0));
}
