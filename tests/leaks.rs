//! Async tasks leave no memory behind, in whatever way they end, even if something keeps their
//! wakers, with and without a trace.
//!
//! Every allocated block is counted. Only these may stay: the list of futures keeps its blocks of
//! 64 (`trace-runtime/src/annotate/future/registry.rs`), and call sites and stacks stay. So each
//! test does the same over and over, and after the first rounds nothing may grow.
//!
//! Elsewhere: threads that end (`thread_exit`), the bound of all batches (`stress`, `faults`).
//!
//! May contain `unsafe`: implementing an allocator is.

mod common;

use common::{annotated, in_own_process, on_thread};
use exectrace::{Task, Traced, TracedExt, traced};
use std::alloc::{GlobalAlloc, Layout, System};
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

/// Counts calls, and passes them on.
struct Counting;

static LIVE_BLOCKS: AtomicI64 = AtomicI64::new(0);
static LIVE_BYTES: AtomicI64 = AtomicI64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: `GlobalAlloc` wants what the system's allocator keeps, and no unwinding: all is passed
// on, and counting does not panic.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_BLOCKS.fetch_add(1, Ordering::Relaxed);
        LIVE_BYTES.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller promises what `alloc` wants.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE_BLOCKS.fetch_sub(1, Ordering::Relaxed);
        LIVE_BYTES.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller promises what `dealloc` wants.
        unsafe { System.dealloc(block, layout) };
    }
}

/// Live blocks and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Live {
    blocks: i64,
    bytes: i64,
}

fn live() -> Live {
    let load = |count: &AtomicI64| count.load(Ordering::Relaxed);
    Live { blocks: load(&LIVE_BLOCKS), bytes: load(&LIVE_BYTES) }
}

/// The executor's own waker, which counts its wakes; its memory is counted, too.
#[derive(Debug, Default)]
struct Count(AtomicU32);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A place where wakers are kept, and forgotten.
type Shelf = Arc<Mutex<Vec<Waker>>>;

/// Waits for `times` further polls; every poll leaves a waker.
async fn wait(shelf: Shelf, mut times: u32) {
    // Some memory, as futures have.
    let kept = vec![7_u8; 100];
    poll_fn(|context| {
        if times == 0 {
            return Poll::Ready(());
        }
        times -= 1;
        shelf.lock().expect("nobody panics").push(context.waker().clone());
        Poll::Pending
    })
    .await;
    drop(kept);
}

#[traced]
async fn step(shelf: Shelf, times: u32) {
    wait(shelf, times).await;
}

type Job = Pin<Box<Traced<Pin<Box<dyn Future<Output = ()> + Send>>>>>;

/// Spawns a task on an executor.
fn job(future: impl Future<Output = ()> + Send + 'static) -> (Job, Waker) {
    let future: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(future);
    (Box::pin(future.traced("job")), Waker::from(Arc::new(Count::default())))
}

fn poll((job, waker): &mut (Job, Waker)) -> Poll<()> {
    job.as_mut().poll(&mut Context::from_waker(waker))
}

/// Tasks dropped before the first poll, after it, and while a waker is kept.
fn cancelled() {
    for times in 0..200 {
        let shelf = Shelf::default();
        let mut job = job(step(Arc::clone(&shelf), 3));
        (0..times % 4).for_each(|_| assert!(poll(&mut job).is_pending()));
        if times % 2 == 0 {
            shelf.lock().expect("nobody panics").clear();
        }
        drop(job);
        shelf.lock().expect("nobody panics").drain(..).for_each(Waker::wake);
    }
}

/// Number of tasks that are alive at once; all of them end.
const MANY: usize = 10_000;

fn finished(count: usize) {
    let shelf = Shelf::default();
    let request = Task::new("request");
    let spawn = |_| {
        let task = request.subtask("a part");
        let _working = task.enter();
        job(step(Arc::clone(&shelf), 1))
    };
    let mut jobs: Vec<_> = (0..count).map(spawn).collect();
    jobs.iter_mut().for_each(|job| assert!(poll(job).is_pending()));
    shelf.lock().expect("nobody panics").drain(..).for_each(Waker::wake);
    jobs.iter_mut().for_each(|job| assert!(poll(job).is_ready()));
}

/// Tasks whose first or second poll panics.
fn panicked() {
    for times in 0..100 {
        let shelf = Shelf::default();
        let own = Arc::clone(&shelf);
        let mut job = job(async move {
            wait(own, times % 2).await;
            std::panic::panic_any("on purpose");
        });
        (0..times % 2).for_each(|_| assert!(poll(&mut job).is_pending()));
        assert!(catch_unwind(AssertUnwindSafe(|| _ = poll(&mut job))).is_err());
        // A careless executor that polls the task again.
        assert!(catch_unwind(AssertUnwindSafe(|| _ = poll(&mut job))).is_err());
    }
}

/// Forgotten wakers outlive their tasks, and their trace.
fn forgotten(shelf: &Shelf) {
    for _ in 0..500 {
        let mut job = job(step(Arc::clone(shelf), 4));
        (0..4).for_each(|_| assert!(poll(&mut job).is_pending()));
    }
}

/// Records `act` on a thread of its own, in a whole trace.
fn under_a_trace(act: impl FnOnce() + Send) {
    let trace = exectrace::start_with(annotated(), io::sink()).expect("none is running");
    on_thread("executor", act);
    let report = trace.stop().expect("a sink takes every byte");
    assert_eq!(report.dropped_events, 0);
}

/// Fails if a round leaves memory behind, after a few first rounds.
#[track_caller]
fn check(mut round: impl FnMut()) {
    const ROUNDS: usize = 6;
    const FIRST: usize = 3;
    let lives: Vec<_> = (0..ROUNDS)
        .map(|_| {
            round();
            live()
        })
        .collect();
    let rest = &lives[FIRST - 1..];
    assert!(rest.iter().all(|live| *live == rest[0]), "it grows: {lives:?}");
}

/// Hides the messages of panics in `act`, because the harness allocates for them; other panics are
/// printed.
fn hushed(act: impl FnOnce()) {
    std::panic::set_hook(Box::new(|_| {}));
    act();
    drop(std::panic::take_hook());
}

#[test]
fn cancelled_tasks_leave_nothing() {
    if in_own_process("cancelled_tasks_leave_nothing") {
        check(|| under_a_trace(cancelled));
        check(|| on_thread("executor", cancelled));
    }
}

#[test]
fn panicked_tasks_leave_nothing() {
    if in_own_process("panicked_tasks_leave_nothing") {
        check(|| hushed(|| under_a_trace(panicked)));
        check(|| hushed(|| on_thread("executor", panicked)));
    }
}

#[test]
fn wakers_dropped_long_after_their_trace_leave_nothing() {
    if in_own_process("wakers_dropped_long_after_their_trace_leave_nothing") {
        let shelf = Shelf::default();
        check(|| {
            under_a_trace(|| forgotten(&shelf));
            let kept = std::mem::take(&mut *shelf.lock().expect("nobody panics"));
            assert_eq!(kept.len(), 2_000);
            let (wakes, mut drops) = (kept.len() / 4, kept);
            drops.drain(..wakes).for_each(Waker::wake);
            under_a_trace(move || drop(drops));
        });
    }
}

#[test]
fn ten_thousand_tasks_leave_the_blocks_of_the_list_and_nothing_else() {
    /// From `registry.rs`: entries of a block, and the words of an entry and of a block.
    const PLACES: usize = 64;
    const BLOCK_BYTES: usize = 8 + PLACES * 9 * 8;
    if !in_own_process("ten_thousand_tasks_leave_the_blocks_of_the_list_and_nothing_else") {
        return;
    }
    // Each of the 16 lists of the user's tasks keeps a node once it has had one.
    (0..3).for_each(|_| under_a_trace(|| finished(100)));
    let before = live();
    under_a_trace(|| finished(MANY));
    // Each task awaits a traced function, so there are two futures per task.
    let grown = live().blocks - before.blocks;
    let blocks = (2 * MANY).div_ceil(PLACES);
    assert!((0..=blocks as i64).contains(&grown), "{grown} blocks, {blocks} are stated");
    let grown = live().bytes - before.bytes;
    let bytes = blocks * BLOCK_BYTES;
    assert!((0..=bytes as i64).contains(&grown), "{grown} bytes, {bytes} are stated");
    check(|| under_a_trace(|| finished(MANY)));
    check(|| on_thread("executor", || finished(MANY)));
}
