//! Tasks of smol's executors in a trace.

mod common;

use async_executor::{Executor, LocalExecutor};
use common::record;
use common::story::{lives, one};
use exectrace::TracedExt as _;
use exectrace::smol::{ExecutorExt as _, LocalExecutorExt as _};
use std::future::{Future, pending};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Waker};
use tokio::sync::oneshot;
use trace_format::event::Outcome;

#[test]
fn tasks_of_an_executor_are_futures_to_the_event() {
    let executor = Executor::new();
    let line = line!() + 3;
    let recorded = record(|| {
        let (give, take) = oneshot::channel();
        let taking = executor.spawn_traced("taking", async { take.await.is_ok() });
        assert!(executor.try_tick());
        let giving = executor.spawn(async { give.send(()).is_ok() }.traced("giving"));
        let stuck = executor.spawn_traced("stuck", pending::<()>());
        while executor.try_tick() {}
        assert!(taking.is_finished() && giving.is_finished());
        drop(stuck);
        assert!(executor.try_tick(), "what is cancelled is dropped by the executor");
    });
    let expected = [
        "spawn taking",
        "poll taking",
        "spawn giving",
        "spawn stuck",
        "+ poll giving",
        "wake taking",
        "-",
        "future giving returned",
        "poll stuck",
        "unwakeable stuck",
        "poll taking",
        "future taking returned",
        "future stuck dropped",
    ];
    assert_eq!(recorded.lines(), expected);
    let lives = lives(&recorded.trace);
    let taking = one(&lives, "taking");
    assert_eq!(taking.place, (file!().to_owned(), line));
    assert_eq!((taking.wakes.as_slice(), taking.polls), (&["giving".to_owned()][..], 2));
}

#[test]
fn tasks_that_stay_on_their_thread_are_traced_likewise() {
    let executor = Rc::new(LocalExecutor::new());
    let recorded = record(|| {
        let own = Rc::clone(&executor);
        let task = executor.spawn_traced("local", async move {
            own.spawn_traced("child", async {}).detach();
        });
        let mut run = pin!(executor.run(task));
        let mut context = Context::from_waker(Waker::noop());
        while run.as_mut().poll(&mut context).is_pending() {}
        while executor.try_tick() {}
    });
    let lives = lives(&recorded.trace);
    assert_eq!(one(&lives, "child").parent, "local");
    assert!(lives.values().all(|life| life.ends == [Outcome::Returned]));
}
