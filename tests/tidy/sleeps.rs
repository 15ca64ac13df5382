//! Tests wait for what they want to see, by a condition, a channel or a barrier; never for a time
//! after which it should have happened, because a busy machine may need longer.
//!
//! The sleeps that are left may take any longer without changing the result.

use crate::tree::{Exception, Fault, Tree, excuse};

/// Files whose sleeps are recorded themselves, or only spread things over time, with their number.
const EXCEPTIONS: [(usize, Exception); 42] = [
    (1, Exception { path: "examples/service/tests/faults.rs", reason: "between two looks" }),
    (2, Exception { path: "tests/allocator.rs", reason: "threads rest between rounds" }),
    (1, Exception { path: "tests/always_on.rs", reason: "stops come at different moments" }),
    (1, Exception { path: "tests/bridges_criterion.rs", reason: "what is measured" }),
    (2, Exception { path: "tests/bridges_tokio.rs", reason: "waits that are recorded" }),
    (1, Exception { path: "tests/bridges_tokio_hooks.rs", reason: "waits that are recorded" }),
    (1, Exception { path: "tests/bridges_tokio_stacks.rs", reason: "a wait that is recorded" }),
    (1, Exception { path: "tests/common/waiting.rs", reason: "between two looks" }),
    (1, Exception { path: "tests/common/writers.rs", reason: "a writer that is slow" }),
    (1, Exception { path: "tests/conservation.rs", reason: "kills come at different moments" }),
    (2, Exception { path: "tests/crash.rs", reason: "kills come at different moments" }),
    (1, Exception { path: "tests/crash_system.rs", reason: "between two tries to tidy up" }),
    (1, Exception { path: "tests/disk_full.rs", reason: "between two looks" }),
    (1, Exception { path: "tests/end_to_end.rs", reason: "a region that is long enough" }),
    (2, Exception { path: "tests/faked_clock.rs", reason: "a region that is long enough" }),
    (1, Exception { path: "tests/faults.rs", reason: "a region that is long enough" }),
    (3, Exception { path: "tests/flight.rs", reason: "tasks that are slow" }),
    (1, Exception { path: "tests/fork.rs", reason: "threads that rest" }),
    (1, Exception { path: "tests/fork_recorder.rs", reason: "nothing happens meanwhile" }),
    (1, Exception { path: "tests/heap.rs", reason: "a heap at rest" }),
    (3, Exception { path: "tests/heap_global.rs", reason: "calls that are recorded" }),
    (4, Exception { path: "tests/lifecycle.rs", reason: "long silences, and threads that rest" }),
    (2, Exception { path: "tests/mapped.rs", reason: "names that grow old" }),
    (2, Exception { path: "tests/names.rs", reason: "a wait that is recorded" }),
    (3, Exception { path: "tests/os_conformance/", reason: "between two signals" }),
    (3, Exception { path: "tests/os_faults.rs", reason: "calls that are recorded" }),
    (3, Exception { path: "tests/os_waits.rs", reason: "calls that are recorded" }),
    (2, Exception { path: "tests/outputs.rs", reason: "between two looks" }),
    (1, Exception { path: "tests/rotation.rs", reason: "threads rest between rounds" }),
    (3, Exception { path: "tests/sched.rs", reason: "threads that leave their CPU" }),
    (1, Exception { path: "tests/sched_refused.rs", reason: "a thread that leaves its CPU" }),
    (3, Exception { path: "tests/signals.rs", reason: "between two signals, or two looks" }),
    (3, Exception { path: "tests/start_stop_leaks.rs", reason: "stops come at different moments" }),
    (2, Exception { path: "tests/stopped.rs", reason: "how long a process is stopped" }),
    (
        4,
        Exception { path: "tests/stopped_threads.rs", reason: "signals come at different moments" },
    ),
    (2, Exception { path: "tests/stress.rs", reason: "stops come at different moments" }),
    (2, Exception { path: "tests/testing.rs", reason: "tests that take their time" }),
    (1, Exception { path: "tests/time_window.rs", reason: "a region that is long enough" }),
    (5, Exception { path: "tests/truth/", reason: "waits that are recorded" }),
    (6, Exception { path: "tests/waits/", reason: "waits that are recorded" }),
    (4, Exception { path: "trace-http/", reason: "clients that dawdle, and between two looks" }),
    (1, Exception { path: "trace-runtime/src/sys/clock.rs", reason: "two moments that are apart" }),
];

pub(crate) fn faults(tree: &Tree) -> Vec<Fault> {
    let found = sleeps(tree);
    let more = more_than(&found, &EXCEPTIONS);
    excuse(found, &EXCEPTIONS.map(|(_, exception)| exception)).into_iter().chain(more).collect()
}

/// The exceptions whose number differs from the list's.
fn more_than(found: &[Fault], exceptions: &[(usize, Exception)]) -> Vec<Fault> {
    let miscounted = exceptions.iter().filter_map(|(count, exception)| {
        let covered = found.iter().filter(|it| exception.covers(it.path())).count();
        let what = format!(
            "{covered} sleeps in tests, where {count} are known: are they all \
            \"{}\"?",
            exception.reason
        );
        (covered != *count).then(|| Fault::new(exception.path, 0, what))
    });
    miscounted.collect()
}

fn sleeps(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (file, tokens) in tree.sources() {
        // Traced programs and benches may sleep.
        let is_of_tests = file.path.split('/').any(|folder| folder == "tests");
        let is_program = file.path.contains("/fixtures/");
        // Imports of sleeps count, too.
        let paths = ["thread", "time"].map(|module| [module, ":", ":", "sleep"]);
        let by_path = paths.iter().flat_map(|path| tokens.find(path));
        let by_name = tokens.find(&["usleep", "("]).chain(tokens.find(&["park_timeout", "("]));
        for (_, token) in by_path.chain(by_name) {
            if !is_program && (is_of_tests || token.in_test) {
                let what = "a sleep in a test, wait for what it wants to see (`common::waiting`)";
                faults.push(Fault::new(&file.path, token.line, what));
            }
        }
    }
    faults
}

mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        sleeps(&Tree::sample(&[(path, text)])).len()
    }

    #[test]
    fn one_more_in_a_file_that_has_some_is_told() {
        let list = [(1, Exception { path: "tests/a.rs", reason: "tried" })];
        let one = Fault::new("tests/a.rs", 1, "a sleep");
        assert_eq!(more_than(std::slice::from_ref(&one), &list), []);
        assert_eq!(more_than(&[one.clone(), one], &list).len(), 1);
    }

    #[test]
    fn sleeps_are_faults_in_tests_only() {
        let text = "fn f() { std::thread::sleep(TIME); thread::sleep(TIME); }";
        assert_eq!(count("tests/a.rs", text), 2);
        assert_eq!(count("a/src/b.rs", text), 0);
        assert_eq!(count("a/src/b.rs", &format!("#[cfg(test)]\nmod tests {{ {text} }}")), 2);
        assert_eq!(count("tests/fixtures/a/program.rs", text), 0);
        assert_eq!(count("tests/a.rs", "//! `thread::sleep(TIME)`\nfn f() { asleep(1); }"), 0);
        let others = "use tokio::time::sleep; async fn f() { tokio::time::sleep(TIME).await }";
        assert_eq!(count("tests/a.rs", others), 2);
        assert_eq!(count("tests/a.rs", "fn f() { unsafe { libc::usleep(100) } }"), 1);
    }
}
