//! Processes that were stopped for a while, from traces made by hand: one tick is a nanosecond.

use trace_analysis::explain::{InsightKind, explain};
use trace_analysis::life::Lives;
use trace_analysis::reason::Reason;
use trace_analysis::standstill::{Standstill, standstills};
use trace_analysis::symbols::Symbols;
use trace_analysis::{Moment, Options, Report, Trace, Wanted};
use trace_format::batch::Compression;
use trace_format::definition::{CallsiteKind, Definition};
use trace_format::id::{CallId, ThreadId};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, open_call, os_id};
use trace_format::time::{Nanos, Ticks};

const MS: u64 = 1_000_000;

fn started() -> TraceBuilder {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "t1");
    trace.thread(2, "t2");
    trace
}

fn stopped(trace: &mut TraceBuilder, from: u64, to: u64, suspended: u64) {
    let (from, to) = (Ticks(from), Ticks(to));
    trace.define(&Definition::Stopped { from, to, suspended: Nanos(suspended) });
}

fn sleep(trace: &mut TraceBuilder, thread: u32, from: u64, to: u64) {
    trace.call(thread, open_call(CallId::NANOSLEEP, 0, 0), from, to - from, 0);
}

fn found(bytes: Vec<u8>) -> Vec<(u64, u64)> {
    let file = TraceFile::open(bytes).expect("a trace");
    standstills(&file).iter().map(|it| (it.from.0, it.to.0)).collect()
}

fn lives_of(bytes: Vec<u8>, options: &Options) -> Lives {
    let file = TraceFile::open(bytes).expect("a trace");
    Lives::read(
        &Trace::new(&file).named(&Symbols::of_trace(file.tables())).with(options.clone()),
        |_| {},
    )
}

fn lives(bytes: Vec<u8>) -> Lives {
    lives_of(bytes, &Options::default())
}

/// A thread on a CPU sleeps from 40 ms on for 10 ms, and is stopped from 45 ms on to 1045 ms. That
/// wakes it twice. The recorder was to wake at 60 ms. Another thread works until then.
fn switched() -> TraceBuilder {
    let mut trace = started();
    trace.callsite(1, CallsiteKind::Function, "naps");
    trace.switch_in(0, 0, os_id(1));
    trace.switch_in(1, 0, os_id(2));
    trace.begin(1, 1, 30 * MS);
    sleep(&mut trace, 1, 40 * MS, 1_045 * MS + 300);
    trace.switch_out(0, 40 * MS + 100, os_id(1), false);
    trace.switch_in(0, 45 * MS, os_id(1));
    trace.switch_out(0, 45 * MS + 50, os_id(1), false);
    trace.switch_out(1, 45 * MS + 70, os_id(2), false);
    trace.switch_in(0, 1_045 * MS, os_id(1));
    trace.switch_in(1, 1_045 * MS + 20, os_id(2));
    trace.end(1, 1_050 * MS);
    stopped(&mut trace, 60 * MS, 1_045 * MS + 200, 0);
    trace
}

#[test]
fn with_cpus_a_stop_begins_with_the_last_switch_and_ends_with_the_next() {
    let bytes = switched().stop(2_000 * MS);
    assert_eq!(found(bytes.clone()), [(45 * MS + 70, 1_045 * MS)]);
    let lives = lives(bytes);
    let stop = lives.standstills[0];
    assert_eq!((stop.from, stop.to), (Nanos(45 * MS + 70), Nanos(1_045 * MS)));
    let [one, two] = [0, 1].map(|at| &lives.threads[at]);
    let still = Nanos(1_000 * MS - 70);
    for life in [one, two] {
        assert_eq!(life.times.stopped, still, "{}", life.name);
        assert_eq!(life.times.total(), Nanos(life.end.0 - life.begin.0), "{}", life.name);
    }
    // Asleep from 40 ms + 100 to 45 ms, and the 20 ns in which the other was stopped.
    assert_eq!(one.times.blocked(), Nanos(5 * MS - 100 + 20));
    assert_eq!(two.times.blocked(), Nanos(20), "it came back 20 ns later");
    let sleeps = lives.waits.by_reason.iter().find(|group| group.reason == Reason::Sleep);
    assert_eq!(sleeps.expect("it slept").quantiles.max, Nanos(5 * MS - 100 + 20));
    let region = lives.regions[0];
    assert_eq!((region.stopped, region.unknown), (still, Nanos(0)));
}

#[test]
fn without_cpus_only_what_is_proven_is_a_stop() {
    let mut trace = started();
    sleep(&mut trace, 1, 40 * MS, 1_045 * MS);
    stopped(&mut trace, 60 * MS, 1_046 * MS, 0);
    let bytes = trace.stop(2_000 * MS);
    assert_eq!(found(bytes.clone()), [(60 * MS, 1_045 * MS)]);
    let lives = lives(bytes);
    let times = lives.threads[0].times;
    assert_eq!((times.stopped, times.blocked()), (Nanos(985 * MS), Nanos(20 * MS)));
    assert_eq!(times.total(), Nanos(2_000 * MS));
}

/// Whatever the recorder says: who ran was not stopped.
#[test]
fn a_thread_that_runs_refutes_a_stop() {
    let mut trace = started();
    stopped(&mut trace, 60 * MS, 1_045 * MS, 0);
    sleep(&mut trace, 1, 40 * MS, 1_045 * MS);
    sleep(&mut trace, 2, 100 * MS, 200 * MS);
    assert_eq!(found(trace.stop(2_000 * MS)), []);
    // One that is on a CPU when the recorder wants to wake up.
    let mut trace = started();
    trace.switch_in(0, 50 * MS, os_id(1));
    trace.switch_out(0, 1_040 * MS, os_id(1), false);
    stopped(&mut trace, 60 * MS, 1_045 * MS, 0);
    assert_eq!(found(trace.stop(2_000 * MS)), [(60 * MS, 1_040 * MS)], "nothing shows a beginning");
    // One that waits for a CPU has not ceased.
    let mut trace = started();
    trace.switch_in(0, 40 * MS, os_id(1));
    trace.switch_out(0, 50 * MS, os_id(1), true);
    stopped(&mut trace, 60 * MS, 1_045 * MS, 0);
    assert_eq!(found(trace.stop(2_000 * MS)), [(60 * MS, 1_045 * MS)]);
}

#[test]
fn absurd_and_overlapping_stops_do_no_harm() {
    let mut trace = started();
    sleep(&mut trace, 1, 40 * MS, 90 * MS);
    for (from, to) in
        [(50, 50), (70, 60), (0, 0), (u64::MAX, 5), (50, u64::MAX), (50 * MS, 70 * MS)]
    {
        stopped(&mut trace, from, to, 0);
    }
    stopped(&mut trace, 60 * MS, 80 * MS, 0);
    stopped(&mut trace, 55 * MS, 65 * MS, u64::MAX);
    let bytes = trace.stop(100 * MS);
    let lives = lives(bytes);
    for life in &lives.threads {
        assert_eq!(life.times.total(), Nanos(life.end.0 - life.begin.0));
    }
    let stopped = lives.standstills.iter().filter(|it| it.suspended == Nanos(0));
    let stops: Vec<_> = stopped.map(|it| (it.from.0, it.to.0)).collect();
    assert!(stops.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{stops:?}");
    assert!(stops.contains(&(50 * MS, 70 * MS)) && stops.contains(&(70 * MS, 80 * MS)));
}

#[test]
fn a_window_has_its_part_of_a_stop() {
    let bytes = switched().stop(2_000 * MS);
    let (from, to) = (Some(Ticks(500 * MS)), Some(Ticks(600 * MS)));
    let lives = lives_of(bytes, &Options { from, to, ..Options::default() });
    let whole = Standstill { from: Nanos(500 * MS), to: Nanos(600 * MS), ..Standstill::default() };
    assert_eq!(lives.standstills, [whole]);
    for life in lives.threads.iter().filter(|life| life.end > life.begin) {
        assert_eq!(life.times.stopped, Nanos(100 * MS));
    }
}

#[test]
fn a_stop_is_the_first_thing_that_is_explained() {
    let bytes = switched().stop(2_000 * MS);
    let file = TraceFile::open(bytes).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let trace = Trace::new(&file).named(&symbols);
    let insights = explain(&trace, &Report::read(&trace, Wanted::default(), |_| {}));
    assert_eq!(insights[0].kind, InsightKind::Stopped);
    let title = &insights[0].title;
    assert!(title.contains("stood still from 0.045000 s to 1.045000 s"), "{title}");
    assert_eq!(insights[0].at, Some(Moment(45 * MS as i64 + 70)));
    assert_eq!(insights[0].threads, [] as [ThreadId; 0]);
}

#[test]
fn a_machine_that_was_suspended_takes_no_time_from_anybody() {
    let mut trace = started();
    sleep(&mut trace, 1, 40 * MS, 90 * MS);
    stopped(&mut trace, 30 * MS, 95 * MS, 3_600_000_000_000);
    let bytes = trace.stop(100 * MS);
    let file = TraceFile::open(bytes).expect("a trace");
    let trace = Trace::new(&file);
    let report = Report::read(&trace, Wanted::default(), |_| {});
    assert_eq!(report.lives.threads[0].times.stopped, Nanos(0));
    let insights = explain(&trace, &report);
    let title = &insights[0].title;
    assert!(title.contains("suspended for 1h 00m"), "{title}");
}
