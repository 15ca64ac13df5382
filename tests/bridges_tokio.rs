//! Tasks, threads and queues of tokio in a trace. A task spawned through the bridge is recorded in
//! the same way on every runtime. `bridges_tokio_hooks` checks what `--cfg tokio_unstable` adds,
//! and runs this file, too.
//!
//! Long, because its tests share helpers, and each file here is linked as a program of its own.

mod common;

use common::story::{Life, lives, one};
use common::{Recorded, alone, annotated, record, record_here};
use exectrace::tokio::{self as traced, BuilderExt as _, JoinSetExt as _};
use exectrace::{Task, instant};
use std::collections::BTreeSet;
use std::future::{pending, poll_fn};
use std::pin::pin;
#[cfg(not(tokio_unstable))]
use std::sync::{Arc, Barrier};
use std::thread::sleep;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, LocalSet, yield_now};
use trace_format::event::{EventKind, Outcome};
use trace_format::id::StackId;

/// Every kind of runtime: with one and with more threads, plain and instrumented.
fn runtimes() -> [Runtime; 4] {
    let kinds: [fn() -> Builder; 2] = [Builder::new_current_thread, Builder::new_multi_thread];
    let build = |builder: &mut Builder| {
        builder.enable_time().worker_threads(2).build().expect("it can be built")
    };
    let [one, more] = kinds.map(|make| (build(&mut make()), build(make().traced())));
    [one.0, one.1, more.0, more.1]
}

fn single() -> Runtime {
    Builder::new_current_thread().enable_time().traced().build().expect("it can be built")
}

fn multi(name: &str) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_time().traced_as(name).build();
    let runtime = runtime.expect("it can be built");
    wait_for_workers(&runtime);
    runtime
}

/// Waits until both workers have begun. A blocking thread that begins before one of them would be
/// taken for a worker, and get no name.
#[cfg(not(tokio_unstable))]
fn wait_for_workers(runtime: &Runtime) {
    let both = Arc::new(Barrier::new(2));
    let meetings = [(); 2].map(|()| {
        let both = Arc::clone(&both);
        runtime.spawn(async move { both.wait().is_leader() })
    });
    runtime.block_on(async {
        for meeting in meetings {
            meeting.await.expect("no panic");
        }
    });
}

/// The same without a task, which would be in the trace of another test.
#[cfg(tokio_unstable)]
fn wait_for_workers(runtime: &Runtime) {
    let metrics = runtime.metrics();
    let has_parked = |worker| metrics.worker_park_unpark_count(worker) > 0;
    common::waiting::wait_until("both have parked", || (0..2).all(has_parked));
}

/// The name of the test's own thread. Idle workers of other tests' runtimes may record, too.
fn here() -> String {
    std::thread::current().name().expect("tests have names").to_owned()
}

/// Sleeps until it has really waited: a worker may be so late that the time is over before the
/// first poll.
async fn sleeper() {
    let mut has_waited = false;
    while !has_waited {
        let mut time = pin!(tokio::time::sleep(Duration::from_millis(2)));
        poll_fn(|context| {
            let polled = time.as_mut().poll(context);
            has_waited |= polled.is_pending();
            polled
        })
        .await;
    }
}

/// Checks the polls of a [`sleeper`]: it has waited, and was woken before each further poll. A
/// timer that fires while the task registers for it wakes it once more.
fn check_sleeper(life: &Life) {
    assert!(life.polls >= 2 && life.wakes.len() as u32 >= life.polls - 1, "{life:?}");
    let is_known = life.waits.iter().any(|&stack| stack != StackId(0));
    assert!(is_known, "where it waits is known: {life:?}");
}

async fn yielder() {
    for _ in 0..3 {
        yield_now().await;
    }
}

async fn send(sender: mpsc::Sender<u8>) {
    sender.send(7).await.expect("somebody receives");
}

/// The lines in which `parent` spawns.
const SPAWNS: u32 = line!() + 4;

async fn parent() -> u8 {
    let (sender, mut receiver) = mpsc::channel(1);
    let sleeper = traced::spawn(sleeper());
    let yielder = traced::spawn(yielder());
    let send = traced::spawn(send(sender));
    assert_eq!(receiver.recv().await, Some(7));
    for task in [sleeper, yielder, send] {
        task.await.expect("no panic");
    }
    let stuck = traced::spawn_named("stuck", pending::<()>());
    yield_now().await;
    stuck.abort();
    assert!(stuck.await.expect_err("it was aborted").is_cancelled());
    let bad = traced::spawn_named("bad", async { panic!("on purpose") });
    assert!(bad.await.expect_err("it panics").is_panic());
    traced::spawn_blocking_named("block", || 5).await.expect("no panic")
}

#[test]
fn a_task_is_one_future_whatever_runs_it() {
    for runtime in runtimes() {
        let recorded = record(|| {
            assert_eq!(runtime.block_on(async { traced::spawn(parent()).await }).ok(), Some(5));
        });
        check_program(&recorded);
        drop(runtime);
    }
}

fn check_program(recorded: &Recorded) {
    let lives = lives(&recorded.trace);
    let mut names: Vec<_> = lives.values().map(|life| life.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["bad", "parent", "send", "sleeper", "stuck", "yielder"]);
    for life in lives.values() {
        assert_eq!((life.spawns, life.begins), (1, 0), "{life:?}");
        let by = if life.name == "parent" { "" } else { "parent" };
        assert_eq!((life.parent.as_str(), life.place.0.as_str()), (by, file!()));
    }
    let ends = |name| one(&lives, name).ends.as_slice();
    for name in ["parent", "send", "sleeper", "yielder"] {
        assert_eq!(ends(name), [Outcome::Returned], "{name}");
    }
    assert_eq!((ends("stuck"), ends("bad")), (&[Outcome::Dropped][..], &[Outcome::Panicked][..]));
    let lines = ["sleeper", "yielder", "send"].map(|name| one(&lives, name).place.1);
    assert_eq!(lines, [SPAWNS, SPAWNS + 1, SPAWNS + 2]);
    check_sleeper(one(&lives, "sleeper"));
    let yielder = one(&lives, "yielder");
    assert_eq!((yielder.polls, yielder.wakes.len()), (4, 3), "{yielder:?}");
    let block = recorded.trace.tables.callsites.iter().find(|site| site.name == "block");
    assert_eq!(block.map(|site| site.module.as_str()), Some("tokio blocking"));
    let site = block.expect("it is there").id;
    let is_block =
        |kind: &EventKind<'_>| matches!(kind, EventKind::Region { site: s, .. } if *s == site);
    let threads = recorded.trace.tables.threads.keys();
    let events = threads.flat_map(|&thread| recorded.trace.events(thread));
    assert_eq!(events.filter(|event| is_block(&event.kind)).count(), 1);
}

#[test]
fn on_one_thread_wakes_are_exact_to_the_event() {
    let runtime = Builder::new_current_thread().build().expect("it can be built");
    let recorded = record(|| {
        runtime.block_on(async {
            let (give, take) = oneshot::channel();
            let taking = traced::spawn_named("taking", async { take.await.is_ok() });
            yield_now().await;
            let giving = traced::spawn_named("giving", async { give.send(()).is_ok() });
            assert!(taking.await.is_ok_and(|it| it) && giving.await.is_ok_and(|it| it));
        });
    });
    let expected = [
        "spawn taking",
        "poll taking",
        "spawn giving",
        "+ poll giving",
        "wake taking",
        "-",
        "future giving returned",
        "poll taking",
        "future taking returned",
    ];
    if !cfg!(tokio_unstable) {
        assert_eq!(recorded.lines_of(&here()), expected);
    }
    assert_eq!(one(&lives(&recorded.trace), "taking").wakes, ["giving"]);
}

#[test]
fn tasks_of_a_local_set_are_traced_likewise() {
    for runtime in runtimes() {
        let recorded = record(|| {
            LocalSet::new().block_on(&runtime, async {
                let named = traced::spawn_local_named("named", yielder());
                traced::spawn_local(sleeper()).await.expect("no panic");
                named.await.expect("no panic");
                traced::spawn_local_named("aborted", pending::<()>()).abort();
                yield_now().await;
            });
        });
        let lives = lives(&recorded.trace);
        let [named, sleeper] = ["named", "sleeper"].map(|name| one(&lives, name));
        for life in [named, sleeper] {
            assert_eq!((life.spawns, life.ends.as_slice()), (1, &[Outcome::Returned][..]));
        }
        assert_eq!((named.polls, named.wakes.len()), (4, 3), "{named:?}");
        check_sleeper(sleeper);
        assert_eq!(one(&lives, "aborted").ends, [Outcome::Dropped]);
    }
}

#[test]
fn a_join_set_and_a_handle_spawn_traced_tasks() {
    let runtime = multi("sets");
    let recorded = record(|| {
        runtime.block_on(async {
            let mut set = JoinSet::new();
            for _ in 0..3 {
                set.spawn_traced("member", yielder());
            }
            set.spawn_blocking_traced("blocks", || ());
            while let Some(joined) = set.join_next().await {
                joined.expect("no panic");
            }
        });
        let handle = traced::spawn_on(runtime.handle(), sleeper());
        runtime.block_on(handle).expect("no panic");
        let handle = traced::spawn_named_on("named", runtime.handle(), sleeper());
        runtime.block_on(handle).expect("no panic");
    });
    let lives = lives(&recorded.trace);
    let members: Vec<_> = lives.values().filter(|life| life.name == "member").collect();
    assert_eq!(members.len(), 3);
    assert!(members.iter().all(|life| life.polls == 4 && life.ends == [Outcome::Returned]));
    assert_eq!(one(&lives, "sleeper").ends, [Outcome::Returned]);
    assert_eq!(one(&lives, "named").ends, [Outcome::Returned]);
}

#[test]
fn tasks_and_blocking_threads_work_for_the_spawners_task() {
    let runtime = multi("working");
    let recorded = record(|| {
        let task = Task::new("request");
        let _working = task.enter();
        runtime.block_on(async {
            traced::spawn_named("works", yielder()).await.expect("no panic");
            let inherits = traced::spawn_blocking(|| Task::current().id());
            assert_eq!(inherits.await.ok(), Some(Task::current().id()));
        });
    });
    assert_ne!(one(&lives(&recorded.trace), "works").task, 0);
}

#[test]
fn blocks_and_closures_are_called_by_their_place() {
    let runtime = multi("places");
    let line = line!() + 4;
    let recorded = record(|| {
        runtime.block_on(async {
            let inside = async {
                let block = traced::spawn(async { yield_now().await });
                traced::block_in_place(|| ());
                block.await.expect("no panic");
            };
            traced::spawn_named("outer", inside).await.expect("no panic");
        });
    });
    let name = format!("bridges_tokio.rs:{line}");
    assert_eq!(one(&lives(&recorded.trace), &name).place, (file!().to_owned(), line));
    let name = format!("bridges_tokio.rs:{}", line + 1);
    assert!(recorded.trace.tables.callsites.iter().any(|site| site.name == name));
}

#[test]
fn tasks_before_across_and_after_a_trace_harm_nothing() {
    for runtime in runtimes() {
        let _alone = alone();
        let (go, wait) = oneshot::channel();
        let (arrive, arrives) = oneshot::channel();
        let (on, last) = oneshot::channel();
        // All tasks end before the trace begins.
        runtime.block_on(async { traced::spawn_named("before", yielder()).await }).expect("done");
        let across = async {
            wait.await.expect("it comes");
            // When the next poll runs, the poll that received the message is over and recorded.
            yield_now().await;
            arrive.send(()).expect("it waits");
            last.await.expect("it comes");
        };
        let across = traced::spawn_named_on("across", runtime.handle(), across);
        runtime.block_on(yield_now());
        sleep(Duration::from_millis(1));
        let mut outlives = None;
        let recorded = record_here(annotated(), || {
            instant!("begin");
            runtime.block_on(async {
                outlives = Some(traced::spawn_named("outlives", sleeper()));
                go.send(()).expect("it waits");
                traced::spawn_named("within", sleeper()).await.expect("no panic");
                arrives.await.expect("it comes");
            });
        });
        // The trace is over; the tasks go on.
        on.send(()).expect("it waits");
        runtime.block_on(across).expect("no panic");
        runtime.block_on(outlives.expect("it was spawned")).expect("no panic");
        let lives = lives(&recorded.trace);
        let names: BTreeSet<_> = lives.values().map(|life| life.name.as_str()).collect();
        assert_eq!(names, BTreeSet::from(["across", "outlives", "within"]));
        let across = one(&lives, "across");
        // A worker may be so late that the first poll is in the trace, but not the last one.
        assert!(matches!(across.polls, 1..=3) && across.ends.is_empty(), "{across:?}");
        assert!(across.begins > 0 && across.spawns == 0, "{across:?}");
        assert_eq!(one(&lives, "within").ends, [Outcome::Returned]);
        let none = record_here(annotated(), || instant!("after"));
        assert_eq!(common::story::lives(&none.trace).len(), 0, "nothing lives on");
    }
}

#[test]
fn threads_of_runtimes_have_names_that_tell_them_apart() {
    let (first, second) = (multi("twin"), multi("twin"));
    let recorded = record(|| {
        for runtime in [&first, &second] {
            runtime.block_on(async {
                traced::spawn(yielder()).await.expect("no panic");
                traced::spawn_blocking_named("block", || ()).await.expect("no panic");
            });
        }
    });
    let names: BTreeSet<_> = recorded.trace.tables.threads.values().map(|it| &*it.name).collect();
    let has = |name: &str| names.contains(name);
    assert!(has("twin-blocking-0") && has("twin-2-blocking-0"), "{names:?}");
    for name in ["twin", "twin-2"] {
        let worker = |index| has(&format!("{name}-worker-{index}"));
        assert!(worker(0) || worker(1), "{names:?}");
    }
    let parked = recorded.trace.tables.callsites.iter().find(|site| site.name == "parked");
    assert_eq!(parked.map(|site| site.module.as_str()), Some("tokio"));
    drop(first);
    assert_eq!(multi("twin").metrics().num_workers(), 2, "a name is free again");
}

#[test]
fn threads_keep_their_names_from_trace_to_trace() {
    let runtime = multi("kept");
    let _alone = alone();
    for _ in 0..2 {
        let recorded = record_here(annotated(), || {
            let work = || instant!("here");
            runtime.block_on(async { tokio::task::spawn_blocking(work).await }).expect("no panic");
        });
        // tokio does not reuse a thread that is late to become idle: then there is one more.
        let threads = common::lines::of_threads(&recorded.trace);
        let here = threads.iter().filter(|(_, lines)| lines.contains(&"! here".to_owned()));
        let names: Vec<_> = here.map(|(name, _)| name.as_str()).collect();
        assert!(matches!(names[..], [name] if name.starts_with("kept-blocking-")), "{threads:#?}");
    }
}

#[test]
fn queues_of_a_runtime_are_counters() {
    let runtime = multi("counted");
    let recorded = record(|| {
        runtime.block_on(async {
            let stuck = traced::spawn_named("stuck", pending::<()>());
            for _ in 0..20 {
                traced::spawn(sleeper()).await.expect("no panic");
            }
            stuck.abort();
            assert!(stuck.await.is_err(), "it is gone, and in no other test's trace");
        });
    });
    let values = |name: &str| {
        let sites = &recorded.trace.tables.callsites;
        let site = sites.iter().find(|site| site.name == name).map(|site| site.id);
        let threads = recorded.trace.tables.threads.keys();
        let events = threads.flat_map(|&thread| recorded.trace.events(thread));
        let counts = events.filter(|event| {
            matches!(event.kind, EventKind::Counter { site: counter, .. } if Some(counter) == site)
        });
        counts.count()
    };
    assert!(values("counted alive tasks") > 0);
    assert!(values("counted global queue") > 0);
    if cfg!(tokio_unstable) {
        assert!(values("counted worker 1 queue") > 0 && values("counted blocking threads") > 0);
    }
}

#[test]
fn without_a_trace_all_of_it_is_tokio() {
    let _alone = alone();
    for runtime in runtimes() {
        let five = runtime.block_on(async { traced::spawn(parent()).await });
        assert_eq!(five.ok(), Some(5));
    }
    let runtime = traced::runtime().expect("it can be built");
    assert_eq!(runtime.block_on(async { traced::spawn(parent()).await }).ok(), Some(5));
    let recorded = record_here(annotated(), || instant!("alone"));
    assert_eq!(recorded.lines_of(&here()), ["! alone"]);
    assert_eq!(lives(&recorded.trace).len(), 0);
}

#[test]
fn tokio_panics_as_it_would_and_leaves_nothing_behind() {
    let runtime = single();
    let recorded = record(|| {
        let outside = std::panic::catch_unwind(|| traced::spawn_named("outside", async {}));
        assert!(outside.is_err(), "there is no runtime here");
        runtime.block_on(async {
            tokio::task::spawn(async {}).await.expect("no panic");
            traced::spawn_named("inside", async {}).await.expect("no panic");
        });
    });
    assert_eq!(one(&lives(&recorded.trace), "inside").ends, [Outcome::Returned]);
}
