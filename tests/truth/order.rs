//! Which of a program's faults its time depends on, and that it is told at all.

use crate::answer::Answer;
use crate::common::{in_own_process, loudly};
use crate::{find, named};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use trace_analysis::explain::{Insight, InsightKind, explain};
use trace_analysis::{Report, Trace, Wanted};

/// How long each task holds the lock of tasks, and how many do.
const HOLD: Duration = Duration::from_millis(10);
const TASKS: usize = 30;

async fn hold_in_turn(lock: Arc<tokio::sync::Mutex<u64>>) {
    let mut held = lock.lock().await;
    *held += 1;
    tokio::time::sleep(HOLD).await;
}

#[inline(never)]
fn hold_often(pages: &Mutex<u64>) {
    for _ in 0..10 {
        let mut held = pages.lock().expect("nobody panics");
        thread::sleep(Duration::from_millis(1));
        *held += 1;
    }
}

/// What a program loses to a lock of tasks that it waits for, and to one of threads that are done
/// sooner; `None` if they were not.
fn two_locks() -> Option<Vec<Insight>> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_time().build().expect("it is built");
    let mut is_sooner = false;
    let answer = Answer::record(|| {
        let pages = Arc::new(Mutex::new(0));
        let pool = (0..4).map(|number| {
            let pages = Arc::clone(&pages);
            named(&format!("pool-{number}"), move || hold_often(&pages))
        });
        let pool: Vec<_> = pool.collect();
        runtime.block_on(async {
            let lock = Arc::new(tokio::sync::Mutex::new(0));
            let task = |_| exectrace::tokio::spawn(hold_in_turn(Arc::clone(&lock)));
            let tasks: Vec<_> = (0..TASKS).map(task).collect();
            for task in tasks {
                task.await.expect("no panic");
            }
        });
        is_sooner = pool.iter().all(JoinHandle::is_finished);
        pool.into_iter().for_each(|thread| thread.join().expect("no panic"));
    });
    drop(runtime);
    let trace = Trace::new(&answer.file).named(&answer.symbols);
    let wanted = Wanted { async_tasks: true, ..Wanted::default() };
    is_sooner.then(|| explain(&trace, &Report::read(&trace, wanted, |_| ())))
}

#[test]
fn a_lock_that_the_program_waits_for_comes_before_one_that_only_its_threads_do() {
    if !in_own_process(
        "order::a_lock_that_the_program_waits_for_comes_before_one_that_only_its_threads_do",
    ) {
        return;
    }
    let Some(found) = two_locks() else {
        loudly("SKIPPED: the machine is so busy that threads take longer than tasks that sleep");
        return;
    };
    let place = |what: &str| {
        let place = found.iter().position(|it| it.title.contains(what));
        place.unwrap_or_else(|| panic!("`{what}` is not said: {found:#?}"))
    };
    let (tasks, threads) = (place("for a tokio mutex"), place("for one mutex"));
    assert!(tasks < threads, "{found:#?}");
    assert!(found[tasks].lost > found[threads].lost, "{found:#?}");
}

#[test]
fn who_runs_a_program_and_takes_its_output_is_told_to_wait_for_it() {
    if !in_own_process("order::who_runs_a_program_and_takes_its_output_is_told_to_wait_for_it") {
        return;
    }
    let answer = Answer::record(|| {
        let output = Command::new("sh").args(["-c", "sleep 0.4; echo done"]).output();
        assert_eq!(output.expect("there is a shell").stdout, b"done\n");
    });
    let found = find(answer.explain(), InsightKind::ChildProcesses);
    assert!(found.title.contains("for 1 child process"), "{found:#?}");
}

#[inline(never)]
fn read_lines(out: impl std::io::Read) -> usize {
    BufReader::new(out).lines().map_while(Result::ok).count()
}

#[test]
fn who_reads_what_another_program_writes_is_told_to_wait_for_it() {
    if !in_own_process("order::who_reads_what_another_program_writes_is_told_to_wait_for_it") {
        return;
    }
    let answer = Answer::record(|| {
        let script = "for _ in 1 2 3 4; do sleep 0.1; echo line; done";
        let mut child = Command::new("sh");
        let child = child.args(["-c", script]).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("there is a shell");
        assert_eq!(read_lines(child.stdout.take().expect("it is a pipe")), 4);
        child.wait().expect("it ends");
    });
    let found = find(answer.explain(), InsightKind::CriticalPath);
    assert!(found.title.contains("for pipe read of pipe:"), "{found:#?}");
    assert!(found.title.contains("at truth::order::read_lines"), "{found:#?}");
}
