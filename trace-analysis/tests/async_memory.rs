//! What following async tasks costs in memory: nothing per event, and little per task that ended
//! (as many as are remembered, and dhat is too slow to let that many end), and nothing for ids that
//! are great.

mod executor;

use executor::{Executor, HANDLER, LOCK, QUERY, RELEASE, WRITER};
use trace_analysis::Trace;
use trace_analysis::async_tasks::AsyncTasks;
use trace_analysis::symbols::Symbols;
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{FutureId, SiteId, StackId, TaskId};
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

/// The greatest id of a future.
const MOST: u64 = u64::MAX >> 2;

/// How many tasks there are in a trace of [`cost_of_ids`].
const IDS: u64 = 500;

/// The most bytes at once for tasks that each wait at a place of its own, from 1 on or up to the
/// greatest id, for a user's task with such an id.
fn cost_of_ids(are_great: bool) -> usize {
    let id = |n: u64, greatest: u64| if are_great { greatest - n } else { n + 100 };
    let mut e = Executor::new();
    for n in 1..=IDS {
        let (now, future, task) = (n * 10_000, FutureId(id(n, MOST)), TaskId(id(n, u64::MAX)));
        let place = id(n, (1 << 24) - 1) as u32;
        e.0.stack(place, &[0x10_0000 + n]);
        let (site, parent, stack) = (SiteId(HANDLER), FutureId(0), StackId(place));
        e.event(1, now, EventKind::FutureSpawn { future, parent, task, site, stack });
        e.poll(1, now + 1_000, future.0, place, 500);
        e.wake(2, now + 5_000, future.0, place);
        e.poll(1, now + 6_000, future.0, place, 500);
        e.end(1, now + 7_000, future.0, Outcome::Dropped);
    }
    let bytes = e.stop((IDS + 1) * 10_000);
    let _profiler = dhat::Profiler::builder().testing().build();
    let file = TraceFile::open(bytes.as_slice()).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let tasks = AsyncTasks::read(&Trace::new(&file).named(&symbols), |_| {});
    assert_eq!(tasks.sites[0].count, IDS);
    assert!(tasks.waits.len() as u64 >= IDS, "each waits at a place of its own");
    dhat::HeapStats::get().max_bytes
}

#[test]
fn memory_follows_the_contents_and_not_their_numbers() {
    what_has_ended_costs_what_is_needed_to_know_that();
    let (low, great) = (cost_of_ids(false), cost_of_ids(true));
    // A hash table may be twice as large by chance; a list by id would be at least 16 MB.
    assert!(great <= low + (512 << 10), "{great} bytes, and {low} with low ids");
}

fn what_has_ended_costs_what_is_needed_to_know_that() {
    let (few, many) = (cost(2_000), cost(4_000));
    // Two futures a turn; a state alone is three times as large.
    let limit = 2 * 2_000 * 100;
    assert!(many <= few + limit, "{many} bytes for 4,000 turns, {few} for 2,000");
}
