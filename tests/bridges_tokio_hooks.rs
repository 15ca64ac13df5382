//! What tokio reports of every task under `--cfg tokio_unstable`: tasks without annotations are in
//! the trace, too. Empty without that setting; `bridges_unstable` builds and runs this.

#![cfg(tokio_unstable)]

mod common;

use common::story::{Life, lives, one};
use common::waiting::{self, wait_until};
use common::{alone, annotated, record, record_here};
use exectrace::tokio::{self as exectrace_tokio, BuilderExt as _};
use exectrace::{instant, traced};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::{LocalSet, yield_now};
use trace_format::event::Outcome;

/// Drop it before the trace stops: a joined task wakes the joiner before its last poll is over.
fn runtime(name: &str) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_time().traced_as(name).build().expect("it can be built")
}

/// Wraps `future`, so that it reports its first poll.
fn counted<F: Future>(
    polled: &Arc<AtomicU32>,
    future: F,
) -> impl Future<Output = F::Output> + use<F> {
    let polled = Arc::clone(polled);
    async move {
        polled.fetch_add(1, Ordering::Relaxed);
        future.await
    }
}

async fn yielder() {
    for _ in 0..3 {
        yield_now().await;
    }
}

#[test]
fn tasks_of_tokios_own_spawn_are_futures_called_by_their_place() {
    let runtime = runtime("plain");
    let line = line!() + 3;
    let recorded = record(|| {
        runtime.block_on(async {
            let task = tokio::spawn(yielder());
            task.await.expect("no panic");
            tokio::task::spawn_blocking(|| ()).await.expect("no panic");
        });
        drop(runtime);
    });
    let lives = lives(&recorded.trace);
    let life = one(&lives, &format!("bridges_tokio_hooks.rs:{line}"));
    assert_eq!(life.place, (file!().to_owned(), line));
    assert_eq!((life.spawns, life.begins, life.polls), (1, 0, 4), "{life:?}");
    assert_eq!((life.ends.as_slice(), life.wakes.len()), (&[Outcome::Ended][..], 0));
    assert_eq!(life.readies, 4, "tokio has measured how long it was ready");
    assert_eq!(lives.len(), 1, "a blocking function is none");
}

/// Waits at a gate, and reports that it does.
#[traced]
async fn waits(mut gate: oneshot::Receiver<()>, arrive: oneshot::Sender<()>) {
    let mut arrive = Some(arrive);
    let opened = poll_fn(|context| {
        let polled = Pin::new(&mut gate).poll(context);
        if let Some(arrive) = arrive.take() {
            arrive.send(()).expect("it waits");
        }
        polled
    });
    opened.await.expect("it comes");
}

#[test]
fn what_is_traced_inside_of_a_task_has_its_wakes() {
    let runtime = runtime("inside");
    let recorded = record(|| {
        runtime.block_on(async {
            let (open, gate) = oneshot::channel();
            let (arrive, arrives) = oneshot::channel();
            let task = tokio::spawn(waits(gate, arrive));
            let opener = exectrace_tokio::spawn_named("opener", async {
                arrives.await.expect("it comes");
                open.send(()).expect("it waits");
            });
            opener.await.expect("no panic");
            task.await.expect("no panic");
        });
    });
    let lives = lives(&recorded.trace);
    let waits = one(&lives, "waits");
    assert_eq!((waits.polls, waits.wakes.as_slice()), (2, &["opener".to_owned()][..]));
    assert_eq!(waits.ends, [Outcome::Returned]);
}

#[test]
fn spawns_and_wakes_inside_a_poll_that_is_hooked_are_by_that_task() {
    let runtime = runtime("nested");
    let recorded = record(|| {
        runtime.block_on(async {
            let outer = exectrace_tokio::spawn_named("outer", async {
                let (open, gate) = oneshot::channel();
                let mut inner = tokio::spawn(async { gate.await.expect("it comes") });
                let mut open = Some(open);
                let joined = poll_fn(|context| {
                    let polled = Pin::new(&mut inner).poll(context);
                    // The gate opens only when the task waits for it.
                    if let Some(open) = open.take() {
                        open.send(()).expect("it waits");
                    }
                    polled
                });
                joined.await.expect("no panic");
            });
            outer.await.expect("no panic");
        });
        drop(runtime);
    });
    let lives = lives(&recorded.trace);
    let outer = one(&lives, "outer");
    let inner = lives.values().find(|life| life.name != "outer").expect("there are two");
    assert_eq!((inner.parent.as_str(), lives.len()), ("outer", 2));
    assert_eq!(outer.wakes, [inner.name.as_str()], "who is joined wakes in its last poll");
    assert_eq!((outer.spawns, outer.begins, outer.readies), (1, 0, 0), "{outer:?}");
}

#[test]
fn tasks_that_were_there_before_are_told_before_their_first_poll() {
    let runtime = runtime("before");
    let _alone = alone();
    let (open, gate) = oneshot::channel::<()>();
    let (go, wait) = oneshot::channel::<()>();
    let polled = Arc::new(AtomicU32::new(0));
    let plain = runtime.spawn(counted(&polled, async { gate.await.is_ok() }));
    let ours = exectrace_tokio::spawn_named_on(
        "ours",
        runtime.handle(),
        counted(&polled, async { wait.await.is_ok() }),
    );
    let aborted = runtime.spawn(counted(&polled, std::future::pending::<()>()));
    wait_until("each was polled, and is over", || {
        let metrics = runtime.metrics();
        let mut workers = 0..metrics.num_workers();
        let parked = |worker: usize| metrics.worker_park_unpark_count(worker) % 2 == 1;
        polled.load(Ordering::Relaxed) == 3 && workers.all(parked)
    });
    let recorded = record_here(annotated(), || {
        open.send(()).expect("it waits");
        go.send(()).expect("it waits");
        runtime.block_on(async {
            assert_eq!((plain.await.ok(), ours.await.ok()), (Some(true), Some(true)));
            aborted.abort();
            assert!(aborted.await.is_err());
        });
        drop(runtime);
    });
    let lives = lives(&recorded.trace);
    let known = |life: &Life| (life.spawns, life.begins, life.polls, life.ends.clone());
    assert_eq!(known(one(&lives, "ours")), (0, 1, 1, vec![Outcome::Returned]));
    let others: Vec<_> = lives.values().filter(|life| life.name != "ours").map(known).collect();
    let expected = (0, 1, 1, vec![Outcome::Ended]);
    assert_eq!(others, [expected.clone(), expected], "{lives:#?}");
}

#[test]
fn a_task_is_told_again_to_readers_that_start_later() {
    let runtime = runtime("generations");
    let _alone = alone();
    let options = annotated().generation(Duration::from_millis(20));
    let recorded = record_here(options, || {
        runtime.block_on(async {
            let begun = || waiting::tables(&waiting::written()).generations.len();
            let ticking = tokio::spawn(async move {
                // After three further generations, one poll has defined the task in one of them,
                // however late that poll was.
                for _ in 0..8 {
                    let before = begun();
                    while begun() == before {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            });
            ticking.await.expect("no panic");
        });
        drop(runtime);
    });
    let lives = lives(&recorded.trace);
    let [life] = &*lives.values().collect::<Vec<_>>() else { panic!("one task: {lives:#?}") };
    let generations = recorded.trace.tables.generations.len() as u32;
    assert!(life.spawns == 1 && (2..=generations + 1).contains(&life.begins), "{life:?}");
}

#[test]
fn tasks_of_a_local_set_have_no_hooks_and_are_told_by_themselves() {
    let runtime = runtime("local");
    let recorded = record(|| {
        LocalSet::new().block_on(&runtime, async {
            exectrace_tokio::spawn_local_named("ours", yielder()).await.expect("no panic");
            tokio::task::spawn_local(yielder()).await.expect("no panic");
        });
    });
    let lives = lives(&recorded.trace);
    let ours = one(&lives, "ours");
    assert_eq!((lives.len(), ours.spawns, ours.polls, ours.wakes.len()), (1, 1, 4, 3));
    assert_eq!(ours.ends, [Outcome::Returned]);
}

#[test]
fn a_trace_that_stops_within_a_poll_leaves_nothing_for_the_next() {
    let runtime = Builder::new_current_thread().traced_as("stops").build().expect("it is built");
    let _alone = alone();
    let first = common::writers::Memory::default();
    runtime.block_on(async {
        let task = tokio::spawn(async {
            let trace = exectrace::start_with(annotated(), first).expect("no trace is running");
            yield_now().await;
            trace.stop().expect("memory takes every byte");
        });
        task.await.expect("no panic");
    });
    let recorded = record_here(annotated(), || {
        instant!("begin");
        runtime.block_on(async { tokio::spawn(yielder()).await }).expect("no panic");
    });
    let lives = lives(&recorded.trace);
    let [life] = &*lives.values().collect::<Vec<_>>() else { panic!("one task: {lives:#?}") };
    assert_eq!((life.spawns, life.polls, life.parent.as_str()), (1, 4, ""));
}
