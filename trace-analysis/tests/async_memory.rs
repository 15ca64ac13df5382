//! What following async tasks costs in memory: nothing per event, and little per task that ended
//! (as many as are remembered, and dhat is too slow to let that many end).

mod executor;

use executor::{Executor, HANDLER, LOCK, QUERY, RELEASE, WRITER};
use trace_analysis::Trace;
use trace_analysis::async_tasks::AsyncTasks;
use trace_analysis::symbols::Symbols;
use trace_format::event::{EventKind, Outcome};
use trace_format::id::StackId;
use trace_format::read::TraceFile;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Two tasks that live all the time, and one in each turn that comes, waits, is woken by one of
/// these, and ends.
fn trace(turns: u64) -> Vec<u8> {
    let mut e = Executor::new();
    e.spawn(1, 0, 1, WRITER);
    for turn in 0..turns {
        let (now, id) = (100 + turn * 1_000_000, 10 + 2 * turn);
        e.spawn(1, now, id, HANDLER);
        e.begin_poll(1, now + 1_000, id);
        e.begin(1, now + 1_100, id + 1, QUERY);
        e.poll(1, now + 1_200, id + 1, LOCK, 100_000 + turn % 1000);
        e.event(1, now + 200_000, EventKind::EndPoll { waits_at: StackId(0) });
        e.begin_poll(2, now + 300_000, 1);
        e.wake(2, now + 300_100, id, RELEASE);
        e.event(2, now + 400_000, EventKind::EndPoll { waits_at: StackId(LOCK) });
        e.poll(1, now + 500_000, id, 0, 60_000);
        e.end(1, now + 560_000, id + 1, Outcome::Dropped);
        e.end(1, now + 560_000, id, Outcome::Returned);
    }
    e.stop(turns * 1_000_000)
}

/// The most bytes at once while a trace of so many turns is read.
fn cost(turns: u64) -> usize {
    let file = TraceFile::open(trace(turns)).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let _profiler = dhat::Profiler::builder().testing().build();
    let tasks = AsyncTasks::read(&Trace::new(&file).named(&symbols), |_| {});
    let polls: u64 = tasks.sites.iter().map(|site| site.polls).sum();
    assert_eq!(polls, 3 * turns);
    dhat::HeapStats::get().max_bytes
}

#[test]
fn what_has_ended_costs_what_is_needed_to_know_that() {
    let (few, many) = (cost(2_000), cost(4_000));
    // Two futures a turn; a state alone is three times as large.
    let limit = 2 * 2_000 * 100;
    assert!(many <= few + limit, "{many} bytes for 4,000 turns, {few} for 2,000");
}
