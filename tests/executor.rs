//! Async tasks on an executor that follows a script: what is recorded, event for event.
//!
//! Elsewhere: single futures (`futures`), real executors (`bridges_*`), what the events mean
//! (`trace-analysis`).
//!
//! Long, because its tests share helpers, and each file here is linked as a program of its own.

mod common;

use common::decoded::Decoded;
use common::story::{lives, one};
use common::{alone, annotated, on_thread, record, record_here};
use exectrace::{Options, Task, Traced, TracedExt, instant, traced};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use trace_format::event::{Event, EventKind};
use trace_format::id::StackId;

/// The executor's own waker, which counts its wakes.
#[derive(Debug, Default)]
struct Count(AtomicU32);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A future on an executor that polls when the test says so.
struct Job<T> {
    future: Boxed<T>,
    count: Arc<Count>,
    waker: Waker,
}

impl<T> Job<T> {
    fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        let count = Arc::new(Count::default());
        Self { future: Box::pin(future), waker: Waker::from(Arc::clone(&count)), count }
    }

    fn poll(&mut self) -> Poll<T> {
        self.future.as_mut().poll(&mut Context::from_waker(&self.waker))
    }

    fn wakes(&self) -> u32 {
        self.count.0.load(Ordering::Relaxed)
    }
}

/// A gate that a future waits for until the test opens it.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Gate {
    /// Ready when the gate is open; each poll before that leaves a waker.
    async fn pass(&self) {
        poll_fn(|context| {
            let mut inner = self.0.lock().expect("nobody panics");
            if inner.0 {
                return Poll::Ready(());
            }
            inner.1.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn open(&self) {
        let wakers = {
            let mut inner = self.0.lock().expect("nobody panics");
            inner.0 = true;
            std::mem::take(&mut inner.1)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Takes the wakers out.
    fn take(&self) -> Vec<Waker> {
        std::mem::take(&mut self.0.lock().expect("nobody panics").1)
    }
}

async fn through(gate: Gate) -> u8 {
    gate.pass().await;
    7
}

#[test]
fn a_task_is_spawned_polled_woken_and_ends() {
    let gate = Gate::default();
    let recorded = record(|| {
        let mut job = Job::new(through(gate.clone()).traced("job"));
        instant!("spawned");
        assert!(job.poll().is_pending());
        on_thread("opener", || gate.open());
        assert_eq!((job.wakes(), job.poll()), (1, Poll::Ready(7)));
    });
    let name = std::thread::current().name().expect("tests have names").to_owned();
    let expected = ["spawn job", "! spawned", "poll job", "poll job", "future job returned"];
    assert_eq!(recorded.lines_of(&name), expected);
    assert_eq!(recorded.lines_of("opener"), ["wake job"]);
}

#[test]
fn tasks_spawn_and_wake_each_other() {
    let gate = Gate::default();
    let recorded = record(|| {
        let inner = Arc::new(Mutex::new(None));
        let (made, opened) = (Arc::clone(&inner), gate.clone());
        let mut outer = Job::new(
            async move {
                let job = Job::new(through(opened.clone()).traced("inner"));
                *made.lock().expect("nobody panics") = Some(job);
                std::future::ready(()).await;
            }
            .traced("outer"),
        );
        assert!(outer.poll().is_ready());
        let mut inner = inner.lock().expect("nobody panics").take().expect("it was made");
        assert!(inner.poll().is_pending());
        let mut waking = Job::new(async move { gate.open() }.traced("waking"));
        assert!(waking.poll().is_ready());
        assert!(inner.poll().is_ready());
    });
    let expected = [
        "spawn outer",
        "+ poll outer",
        "spawn inner by outer",
        "-",
        "future outer returned",
        "poll inner",
        "spawn waking",
        "+ poll waking",
        "wake inner",
        "-",
        "future waking returned",
        "poll inner",
        "future inner returned",
    ];
    assert_eq!(recorded.lines(), expected);
}

#[traced]
async fn step(gate: Gate) {
    gate.pass().await;
}

#[test]
fn what_is_awaited_inside_is_woken_as_the_task() {
    let gate = Gate::default();
    let recorded = record(|| {
        let mut job = Job::new(step(gate.clone()).traced("job"));
        assert!(job.poll().is_pending());
        gate.open();
        assert!(job.poll().is_ready());
    });
    let expected = [
        "spawn job",
        "+ poll job",
        "future step",
        "poll step",
        "-",
        "wake job",
        "+ poll job",
        "poll step",
        "future step returned",
        "-",
        "future job returned",
    ];
    assert_eq!(recorded.lines(), expected);
}

#[test]
fn a_traced_function_outside_any_task_is_woken_itself() {
    let gate = Gate::default();
    let recorded = record(|| {
        let mut job = Job::new(step(gate.clone()));
        assert!(job.poll().is_pending());
        gate.open();
        assert!(job.poll().is_ready());
        assert_eq!(job.wakes(), 1);
    });
    let expected = ["future step", "poll step", "wake step", "poll step", "future step returned"];
    assert_eq!(recorded.lines(), expected);
}

#[test]
fn a_task_that_nobody_can_wake_any_more_is_told_once() {
    let gate = Gate::default();
    let recorded = record(|| {
        let mut dropped = Job::new(through(gate.clone()).traced("dropped"));
        assert!(dropped.poll().is_pending());
        drop(gate.take());
        let mut forgot = Job::new(poll_fn(|_| Poll::<()>::Pending).traced("forgot"));
        assert!(forgot.poll().is_pending());
        let mut woken = Job::new(through(gate.clone()).traced("woken"));
        assert!(woken.poll().is_pending());
        let mut wakers = gate.take();
        wakers[0].wake_by_ref();
        drop(wakers.pop());
        assert_eq!(woken.wakes(), 1);
        drop(woken);
    });
    let expected = [
        "spawn dropped",
        "poll dropped",
        "unwakeable dropped",
        "spawn forgot",
        "poll forgot",
        "unwakeable forgot",
        "spawn woken",
        "poll woken",
        "wake woken",
        "future woken dropped",
        "future forgot dropped",
        "future dropped dropped",
    ];
    assert_eq!(recorded.lines(), expected);
}

#[test]
fn a_future_with_its_own_waker_inside_a_task_is_woken_itself() {
    let gate = Gate::default();
    let recorded = record(|| {
        // As in `FuturesUnordered`, the inner future has a waker of its own.
        let mut inside = Job::new(through(gate.clone()).traced("inside"));
        let mut outside = Job::new(
            async move {
                let mut polls = 0;
                poll_fn(|_| {
                    polls += 1;
                    assert!(inside.poll().is_pending());
                    if polls > 1 { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            }
            .traced("outside"),
        );
        assert!(outside.poll().is_pending());
        gate.open();
    });
    let lines = recorded.lines();
    assert!(lines.contains(&"wake inside".to_owned()), "{lines:?}");
    assert!(!lines.contains(&"wake outside".to_owned()), "{lines:?}");
}

#[test]
fn a_poll_that_panics_ends_the_task() {
    let recorded = record(|| {
        let mut job = Job::new(async { panic!("on purpose") }.traced("job"));
        let panic = catch_unwind(AssertUnwindSafe(|| _ = job.poll()));
        assert!(panic.is_err());
        // A careless executor that polls a future again after a panic.
        assert!(catch_unwind(AssertUnwindSafe(|| _ = job.poll())).is_err());
        instant!("caught");
    });
    assert_eq!(recorded.lines(), ["spawn job", "poll job", "future job panicked", "! caught"]);
}

#[test]
fn a_task_polled_after_its_end_leaves_nothing() {
    let recorded = record(|| {
        let mut job = Job::new(std::future::ready(1).traced("job"));
        assert!(job.poll().is_ready());
        assert!(catch_unwind(AssertUnwindSafe(|| _ = job.poll())).is_err());
        drop(job);
    });
    assert_eq!(recorded.lines(), ["spawn job", "poll job", "future job returned"]);
}

#[test]
fn what_loses_a_select_is_dropped_inside_the_poll() {
    let recorded = record(|| {
        let mut job = Job::new(
            async {
                let mut loser = Box::pin(through(Gate::default()).traced("loser"));
                poll_fn(|context| match loser.as_mut().poll(context) {
                    Poll::Pending => Poll::Ready(()),
                    Poll::Ready(_) => Poll::Pending,
                })
                .await;
                drop(loser);
                instant!("after");
            }
            .traced("job"),
        );
        assert!(job.poll().is_ready());
    });
    let expected = [
        "spawn job",
        "+ poll job",
        "spawn loser by job",
        "poll loser",
        "future loser dropped",
        "! after",
        "-",
        "future job returned",
    ];
    assert_eq!(recorded.lines(), expected);
}

#[test]
fn a_thousand_wakers_outlive_their_task_and_their_trace() {
    let _alone = alone();
    let gate = Gate::default();
    let mut kept = Vec::new();
    let first = record_here(annotated(), || {
        let mut job = Job::new(through(gate.clone()).traced("job"));
        assert!(job.poll().is_pending());
        let waker = gate.take().pop().expect("one was left");
        kept = vec![waker; 1_000];
        drop(job);
        kept.split_off(999).into_iter().for_each(Waker::wake);
    });
    assert_eq!(first.lines(), ["spawn job", "poll job", "future job dropped", "wake job"]);
    // No trace runs.
    kept.split_off(500).into_iter().for_each(Waker::wake);
    let second = record_here(annotated(), || {
        instant!("begin");
        drop(std::mem::take(&mut kept));
    });
    assert_eq!(second.lines(), ["! begin"]);
}

#[test]
fn a_task_works_for_the_users_task_it_is_given() {
    let recorded = record(|| {
        let task = Task::new("request");
        let mut named = Job::new(std::future::ready(()).traced(&task));
        assert!(named.poll().is_ready());
        let working = task.enter();
        let mut inherits = Job::new(std::future::ready(()).traced("inherits"));
        drop(working);
        assert!(inherits.poll().is_ready());
        task.end();
    });
    let expected = [
        "task request",
        "spawn work for request",
        "+ run request",
        "poll work",
        "future work returned",
        "-",
        "+ run request",
        "spawn inherits for request",
        "-",
        "+ run request",
        "poll inherits",
        "future inherits returned",
        "-",
        "task request ends",
    ];
    assert_eq!(recorded.lines(), expected);
}

#[test]
fn a_task_that_outlives_its_trace_is_told_to_the_next() {
    let _alone = alone();
    let gate = Gate::default();
    let mut job = None;
    let first = record_here(annotated(), || {
        job = Some(Job::new(through(gate.clone()).traced("job")));
        assert!(job.as_mut().is_some_and(|job| job.poll().is_pending()));
    });
    assert_eq!(first.lines(), ["spawn job", "poll job"]);
    let second = record_here(annotated(), || {
        gate.open();
        assert!(job.as_mut().is_some_and(|job| job.poll().is_ready()));
    });
    let futures: Vec<_> = second.trace.tables.futures.values().collect();
    assert_eq!(futures.len(), 1, "the trace defines it at its begin");
    assert!(futures[0].spawned && futures[0].since > futures[0].begin);
    let expected = ["wake job", "future job", "poll job", "future job returned"];
    assert_eq!(second.lines(), expected);
}

/// The stacks of all spawns, waits and wakes.
fn async_stacks(trace: &Decoded) -> Vec<StackId> {
    let threads = trace.tables.threads.keys();
    let events = threads.flat_map(|&thread| trace.events(thread));
    let stack = |event: Event<'_>| match event.kind {
        EventKind::FutureSpawn { stack, .. } | EventKind::Wake { stack, .. } => Some(stack),
        EventKind::Poll { waits_at, .. } if waits_at != StackId(0) => Some(waits_at),
        _ => None,
    };
    events.filter_map(stack).collect()
}

#[test]
fn where_a_task_waits_and_who_wakes_it_have_stacks_unless_told_otherwise() {
    for wanted in [true, false] {
        let gate = Gate::default();
        let _alone = alone();
        let recorded = record_here(annotated().async_stacks(wanted), || {
            let mut job = Job::new(through(gate.clone()).traced("job"));
            assert!(job.poll().is_pending());
            gate.open();
            assert!(job.poll().is_ready());
        });
        let stacks = async_stacks(&recorded.trace);
        assert_eq!(stacks.len(), 2 + usize::from(wanted), "a spawn, a wake, a wait");
        assert!(stacks.iter().all(|stack| (stack.0 != 0) == wanted), "{wanted}: {stacks:?}");
    }
}

#[traced]
async fn left(gate: Gate) {
    gate.pass().await;
}

#[traced]
async fn right(gate: Gate) {
    gate.pass().await;
}

/// Awaits two futures at once; both are done in one poll.
async fn both(gates: [Gate; 2]) {
    let [one, other] = gates;
    let (mut left, mut right) = (Box::pin(left(one)), Box::pin(right(other)));
    poll_fn(|context| {
        let polled = [left.as_mut().poll(context), right.as_mut().poll(context)];
        if polled.iter().all(Poll::is_ready) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[test]
fn each_future_says_itself_where_it_waits() {
    let gates = [Gate::default(), Gate::default()];
    let recorded = record(|| {
        let mut job = Job::new(both(gates.clone()).traced("both"));
        assert!(job.poll().is_pending());
        gates.iter().for_each(Gate::open);
        assert!(job.poll().is_ready());
    });
    let lives = lives(&recorded.trace);
    let waits = |name: &str| one(&lives, name).waits[0];
    let (left, right) = (waits("left"), waits("right"));
    assert!(left != StackId(0) && right != StackId(0) && left != right, "{left:?} {right:?}");
    // The future took no waker itself, and there are events inside its poll.
    assert_eq!(one(&lives, "both").waits, []);
}

#[test]
fn a_spawned_future_inside_another_waits_for_both() {
    let gate = Gate::default();
    let recorded = record(|| {
        let inner = through(gate.clone()).traced("inner");
        let mut job = Job::new(inner.traced("outer"));
        assert!(job.poll().is_pending());
        gate.open();
        assert!(job.poll().is_ready());
    });
    let lives = lives(&recorded.trace);
    let (inner, outer) = (one(&lives, "inner").waits[0], one(&lives, "outer").waits[0]);
    assert!(inner != StackId(0) && inner == outer, "{inner:?} {outer:?}");
}

#[test]
fn tracing_a_future_changes_what_it_is_in_no_way_but_size() {
    // Otherwise it would be in the traces of other tests.
    let _alone = alone();
    fn is_send<T: Send>(_: &T) {}
    fn is_unpin<T: Unpin>(_: &T) {}
    let text = String::from("borrowed");
    let borrows = async { text.len() };
    let size = size_of_val(&borrows);
    let wrapped = borrows.traced("borrows");
    is_send(&wrapped);
    is_unpin(&std::future::ready(1).traced("ready"));
    let overhead = size_of_val(&wrapped) - size;
    assert!(overhead <= 72, "{overhead} bytes more");
    assert!(size_of::<Traced<std::future::Ready<()>>>() <= 80);
    let _ = Options::new();
}
