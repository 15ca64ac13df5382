//! When a trace ends: with its events, or when the recorder last looked at the clocks or stopped.

use trace_analysis::life::Lives;
use trace_analysis::symbols::Symbols;
use trace_analysis::{Report, Trace, Wanted};
use trace_format::batch::Compression;
use trace_format::id::CallId;
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, open_call};
use trace_format::text::from_text;
use trace_format::time::{Nanos, Ticks};

/// A batch that says of itself that it may go on until 9,999, and has its last event at 3,000; the
/// recorder stopped at 4,000.
const LOOSE: &str = include_str!("../../../trace-format/testdata/golden/base-loose.txt");

fn lives(bytes: &[u8]) -> Lives {
    let file = TraceFile::open(bytes).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let trace = Trace::new(&file).named(&symbols);
    let lives = Report::read(&trace, Wanted::default(), |_| {}).lives;
    assert_eq!(trace.end(), lives.to);
    lives
}

#[test]
fn a_bound_that_is_loose_makes_a_trace_no_longer() {
    let lives_of = |text: &str| lives(&from_text(text).expect("a trace"));
    assert_eq!(lives_of(LOOSE).to, Nanos(4_000));
    // Events may lie behind the stop: the last is over at 3,005.
    let early = LOOSE.replace("stop 4000", "stop 2500").replace("lives 4000", "lives 2500");
    let early = early.replace("clock 4000 monotonic 4000", "clock 2500 monotonic 2500");
    assert_eq!(lives_of(&early).to, Nanos(3_005));
}

/// A thread that began to wait at 1,000, and nothing came after that but what `end` adds.
fn waits(end: impl FnOnce(TraceBuilder) -> Vec<u8>) -> Lives {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "main");
    trace.begin_call(1, open_call(CallId::FUTEX_WAIT, 0, 0), 1_000);
    lives(&end(trace))
}

#[test]
fn what_still_waits_does_so_until_the_trace_was_cut() {
    let duration = |lives: &Lives| lives.unended.first().expect("it waits").wait.duration;
    let generation = waits(|mut trace| {
        trace.generation(8_000);
        trace.killed()
    });
    assert_eq!(duration(&generation), Nanos(7_000));
    let clock = waits(|mut trace| {
        trace.clock(Ticks(9_000), Nanos(9_000));
        trace.killed()
    });
    assert_eq!(duration(&clock), Nanos(8_000));
    assert_eq!(duration(&waits(|trace| trace.stop(10_000))), Nanos(9_000));
}
