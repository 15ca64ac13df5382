//! Starting and stopping any number of times, around threads that come, stay and go.
//!
//! Long, because its tests share helpers, and each file here is linked as a program of its own.

mod common;

use common::decoded::Decoded;
use common::waiting::{wait_for_generations, wait_until};
use common::writers::Memory;
use common::{
    Ends, Recorded, alone, annotated, checks, on_thread, record, record_here, record_with,
};
use exectrace::{Options, StartError, instant, is_enabled, trace_region, traced};
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;
use trace_format::definition::{Definition, OpenSince};
use trace_format::header::CODEC_LZ4;
use trace_format::id::Open;
use trace_format::read::{Batch, TraceFile};

#[traced]
fn leaf() {}

#[traced]
fn twice() {
    leaf();
    leaf();
}

#[test]
fn a_second_start_is_an_error_and_disturbs_nothing() {
    let recorded = record(|| {
        leaf();
        let second = exectrace::start_with(annotated(), io::sink());
        assert!(matches!(second, Err(StartError::AlreadyRunning)), "{second:?}");
        assert!(is_enabled());
        leaf();
    });
    assert_eq!(recorded.lines(), ["leaf", "leaf"]);
}

#[test]
fn of_many_starts_at_once_one_wins() {
    let _alone = alone();
    for _ in 0..20 {
        let barrier = Barrier::new(4);
        let start = || {
            barrier.wait();
            let trace = exectrace::start_with(annotated(), io::sink()).ok();
            barrier.wait();
            trace
        };
        let traces: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(traces.len(), 1);
        assert!(is_enabled());
        drop(traces);
        assert!(!is_enabled());
    }
}

#[test]
fn dropping_a_trace_stops_it() {
    let _alone = alone();
    let memory = Memory::default();
    {
        let _trace = exectrace::start_with(annotated(), memory.clone()).expect("none is running");
        assert!(is_enabled());
        leaf();
    }
    assert!(!is_enabled());
    leaf();
    let trace = Decoded::new(&memory.take());
    checks::check(&trace);
    assert!(trace.complete);
    assert_eq!(trace.tables.stop.unwrap().events, 1);
}

#[test]
fn a_panic_stops_a_trace() {
    let _alone = alone();
    let memory = Memory::default();
    let writer = memory.clone();
    let panic = std::panic::catch_unwind(move || {
        let _trace = exectrace::start_with(annotated(), writer).expect("none is running");
        twice();
        panic!("on purpose");
    });
    assert!(panic.is_err() && !is_enabled());
    let trace = Decoded::new(&memory.take());
    checks::check(&trace);
    assert_eq!(trace.events_told(), 4);
}

#[test]
fn a_trace_may_be_stopped_elsewhere_than_it_was_started() {
    let _alone = alone();
    let memory = Memory::default();
    let trace = exectrace::start_with(annotated(), memory.clone()).expect("none is running");
    leaf();
    let report = thread::spawn(|| trace.stop()).join().unwrap().expect("all is written");
    assert_eq!(report.events, 1);
    checks::check_report(&Decoded::new(&memory.take()), &report);
}

#[test]
fn what_began_outside_the_trace_does_not_end_in_it() {
    let _alone = alone();
    let before = {
        trace_region!("before");
        record_here(annotated(), leaf)
    };
    assert_eq!(before.lines(), ["leaf"]);

    let (first, second) = {
        let memory = Memory::default();
        let trace = exectrace::start_with(annotated(), memory.clone()).expect("none is running");
        let (first, second) = {
            trace_region!("outer");
            leaf();
            trace_region!("inner");
            trace.stop().expect("memory takes every byte");
            let first = Decoded::new(&memory.take());
            leaf();
            (first, record_here(annotated(), twice))
        };
        leaf();
        (first, second)
    };
    checks::check(&first);
    assert_eq!(first.events_told(), 2, "`+ outer` and `leaf`");
    assert_eq!(second.lines(), ["+ twice", "leaf", "leaf", "-"]);
}

#[test]
fn regions_of_the_first_trace_end_silently_within_the_second() {
    let _alone = alone();
    let (memory, other) = (Memory::default(), Memory::default());
    let mut trace = exectrace::start_with(annotated(), memory.clone()).expect("none is running");
    {
        trace_region!("written");
        leaf();
        {
            trace_region!("pending");
            trace.stop().expect("memory takes every byte");
            trace = exectrace::start_with(annotated(), other.clone()).expect("none is running");
        }
        leaf();
    }
    leaf();
    trace.stop().expect("memory takes every byte");
    checks::check(&Decoded::new(&memory.take()));
    let second = Decoded::new(&other.take());
    checks::check(&second);
    assert_eq!(second.tables.stop.unwrap().events, 2, "two leaves and nothing else");
}

/// Records a little, again and again, until told to end.
fn busy(end: &AtomicBool) {
    while !end.load(Ordering::Relaxed) {
        twice();
        trace_region!("waits");
        thread::sleep(Duration::from_micros(100));
    }
}

#[test]
fn two_hundred_traces_among_threads_that_come_stay_and_go() {
    let _alone = alone();
    let end = AtomicBool::new(false);
    thread::scope(|scope| {
        let _ends = Ends(&end);
        (0..3).for_each(|_| _ = scope.spawn(|| busy(&end)));
        for round in 0..200_u32 {
            let before = AtomicBool::new(false);
            let recorded = thread::scope(|scope| {
                let _ends = Ends(&before);
                scope.spawn(|| busy(&before));
                record_here(annotated(), || {
                    on_thread("short", twice);
                    trace_region!("round", round);
                    if round % 8 == 0 {
                        thread::sleep(Duration::from_millis(2));
                    }
                })
            });
            assert_eq!(recorded.lines_of("short"), ["+ twice", "leaf", "leaf", "-"]);
            let (memory_max, threads) = (recorded.report.memory_max, recorded.report.threads);
            assert!(memory_max < 1 << 20, "{memory_max} bytes of batches for {threads} threads");
        }
    });
}

#[test]
fn a_thread_that_never_runs_again_loses_nothing() {
    let (send, receive) = channel::<()>();
    let mut idle = None;
    let recorded = record(|| {
        let ready = Arc::new(Barrier::new(2));
        let there = Arc::clone(&ready);
        let run = move || {
            twice();
            there.wait();
            receive.recv().unwrap_err();
        };
        idle = Some(thread::Builder::new().name("idle".into()).spawn(run).unwrap());
        ready.wait();
    });
    assert_eq!(recorded.lines_of("idle"), ["+ twice", "leaf", "leaf", "-"]);
    let thread = &recorded.trace.tables.threads[&recorded.trace.thread("idle")];
    assert!(!thread.end.unwrap().ended, "the trace ended, not the thread");
    drop(send);
    idle.unwrap().join().unwrap();
}

/// The last state of the thread with this name.
fn last_state(recorded: &Recorded, name: &str) -> Vec<OpenSince> {
    let thread = recorded.trace.thread(name);
    let states = recorded.trace.definitions().filter_map(|definition| match definition {
        Definition::ThreadState { id, open, .. } if id == thread => Some(open),
        _ => None,
    });
    states.last().expect("an idle thread has a state")
}

#[test]
fn a_region_that_is_open_at_the_stop_is_in_the_last_state_with_its_true_begin() {
    let (send, receive) = channel::<()>();
    let mut blocked = None;
    let recorded = record(|| {
        let ready = Arc::new(Barrier::new(2));
        let there = Arc::clone(&ready);
        let run = move || {
            trace_region!("written");
            leaf();
            trace_region!("pending");
            trace_region!("pending too");
            there.wait();
            receive.recv().unwrap_err();
        };
        instant!("before");
        blocked = Some(thread::Builder::new().name("blocked".into()).spawn(run).unwrap());
        ready.wait();
        instant!("after");
    });
    let open = last_state(&recorded, "blocked");
    let names: Vec<_> = open
        .iter()
        .map(|each| match each.open {
            Open::Region(site) => recorded.trace.site_name(site),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(names, ["written", "pending", "pending too"]);
    let test = recorded.trace.thread(thread::current().name().unwrap());
    let times: Vec<_> = recorded.trace.events(test).map(|event| event.ticks).collect();
    assert!(times[0] <= open[0].begin && open[2].begin <= times[1]);
    assert!(open.is_sorted_by_key(|each| each.begin));
    assert_eq!(recorded.lines_of("blocked"), ["+ written", "leaf"]);
    // It goes on in the next trace.
    let next = record(|| {
        drop(send);
        blocked.take().unwrap().join().unwrap();
    });
    assert_eq!(next.report.events, 0, "ends of an earlier trace are nobody's");
}

#[test]
fn at_most_32_open_regions_are_told_and_that_there_are_more() {
    fn nest(depth: u32, at_the_bottom: &mut dyn FnMut()) {
        trace_region!("nested");
        if depth > 1 { nest(depth - 1, at_the_bottom) } else { at_the_bottom() }
    }
    for depth in [31, 32, 33, 100] {
        let mut recorded = None;
        let _alone = alone();
        let memory = Memory::default();
        let mut trace = exectrace::start_with(annotated(), memory.clone()).ok();
        nest(depth, &mut || {
            let report = trace.take().unwrap().stop().unwrap();
            recorded = Some(Recorded { report, trace: Decoded::new(&memory.take()) });
        });
        let recorded = recorded.unwrap();
        checks::check(&recorded.trace);
        let open = last_state(&recorded, thread::current().name().unwrap());
        assert_eq!(open.len(), depth.min(32) as usize);
        let more = recorded
            .trace
            .definitions()
            .any(|definition| matches!(definition, Definition::ThreadState { more: true, .. }));
        assert!(more || depth <= 32);
    }
}

/// A writer that is traced itself, on the collector's thread.
#[derive(Clone, Default)]
struct Traced {
    memory: Memory,
    calls: Arc<AtomicU32>,
}

impl Write for Traced {
    #[traced(args(count = bytes.len()))]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        instant!("writing");
        self.calls.fetch_add(1, Ordering::Relaxed);
        trace_region!("to memory" => self.memory.write(bytes))
    }

    #[traced]
    fn flush(&mut self) -> io::Result<()> {
        drop(exectrace::Task::new("flush"));
        Ok(())
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        instant!("dropped");
    }
}

#[test]
fn a_writer_that_is_traced_records_nothing() {
    let _alone = alone();
    let writer = Traced::default();
    let options = annotated().generation(Duration::from_millis(10));
    let trace = exectrace::start_with(options, writer.clone()).expect("none is running");
    for _ in 0..20_000 {
        twice();
    }
    wait_until("it is called", || writer.calls.load(Ordering::Relaxed) > 5);
    let report = trace.stop().expect("memory takes every byte");
    let trace = Decoded::new(&writer.memory.take());
    checks::check(&trace);
    checks::check_report(&trace, &report);
    assert_eq!((trace.events_told(), report.threads, report.dropped_events), (80_000, 1, 0));
}

#[test]
fn a_trace_of_a_second_and_more_has_generations_and_long_silences() {
    let _alone = alone();
    let recorded = record_here(annotated(), || {
        trace_region!("long");
        leaf();
        // Longer than the 32 bits of a batch's clock reach, and longer than a generation.
        thread::sleep(Duration::from_millis(2500));
        twice();
        trace_region!("inner" => thread::sleep(Duration::from_millis(100)));
        twice();
        wait_for_generations(1);
    });
    let twice = "+ twice|leaf|leaf|-";
    assert_eq!(recorded.lines().join("|"), format!("+ long|leaf|{twice}|inner|{twice}|-"));
    assert!(recorded.trace.tables.generations.len() >= 2);
    let clock = &recorded.trace.tables.clock;
    let thread = *recorded.trace.tables.threads.keys().next().unwrap();
    let times: Vec<_> =
        recorded.trace.events(thread).map(|event| clock.nanos(event.ticks).0).collect();
    let silence = times[times.len() - 11] - times[1];
    assert!(silence > 2_400_000_000, "{silence} ns");
}

#[test]
fn compressed_traces_hold_the_same() {
    // Text that repeats itself, so that compression makes every batch smaller.
    let text = "the same again and again".repeat(10);
    let record = |options: Options| {
        record_with(options, || {
            for n in 0..2_000_u64 {
                twice();
                instant!("text", n, text = text.as_str());
            }
        })
    };
    let plain = record(annotated());
    let compressed = record(annotated().compression(exectrace::Compression::Lz4));
    assert_eq!(plain.lines(), compressed.lines());
    let is_compressed = |piece: &&Batch<'_>| piece.header.codec == CODEC_LZ4;
    assert_eq!(plain.trace.pieces().filter(is_compressed).count(), 0, "all as they are");
    let headers = compressed.trace.pieces().filter(is_compressed).map(|piece| piece.header);
    let headers: Vec<_> = headers.collect();
    assert!(!headers.is_empty(), "none was compressed");
    assert!(headers.iter().all(|header| header.stored_bytes < header.payload_bytes));
}

#[test]
fn a_trace_in_a_file_is_read_where_it_lies() {
    let _alone = alone();
    let name = format!("lifecycle-{}.trace", std::process::id());
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let file = std::fs::File::create(&path).unwrap();
    let trace = exectrace::start_with(annotated(), file).expect("none is running");
    (0..1000).for_each(|_| twice());
    let report = trace.stop().expect("a file takes every byte");
    let file = TraceFile::open(std::fs::File::open(&path).unwrap()).expect("a trace");
    assert!(file.is_complete() && file.faults().is_empty());
    assert_eq!(file.bytes(), report.bytes);
    assert_eq!(file.tables().stop.unwrap().events, report.events);
    std::fs::remove_file(path).unwrap();
}
