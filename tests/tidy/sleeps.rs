//! Tests wait for what they want to see, by a condition, a channel or a barrier; never for a time
//! in which it should have happened. On a busy machine it has not.
//!
//! What is left are sleeps of which nothing depends on how much longer they take.

use crate::tree::{Exception, Fault, Tree, excuse};

/// Where a sleep is what is recorded, or only spreads things over time.
const EXCEPTIONS: [Exception; 42] = [
    Exception { path: "examples/service/tests/faults.rs", reason: "between two looks" },
    Exception { path: "tests/allocator.rs", reason: "threads rest between rounds" },
    Exception { path: "tests/always_on.rs", reason: "stops come at different moments" },
    Exception { path: "tests/bridges_criterion.rs", reason: "what is measured" },
    Exception { path: "tests/bridges_tokio.rs", reason: "waits that are recorded" },
    Exception { path: "tests/bridges_tokio_hooks.rs", reason: "waits that are recorded" },
    Exception { path: "tests/bridges_tokio_stacks.rs", reason: "a wait that is recorded" },
    Exception { path: "tests/common/waiting.rs", reason: "between two looks" },
    Exception { path: "tests/common/writers.rs", reason: "a writer that is slow" },
    Exception { path: "tests/conservation.rs", reason: "kills come at different moments" },
    Exception { path: "tests/crash.rs", reason: "kills come at different moments" },
    Exception { path: "tests/crash_system.rs", reason: "between two tries to tidy up" },
    Exception { path: "tests/cycles.rs", reason: "stops come at different moments" },
    Exception { path: "tests/disk_full.rs", reason: "between two looks" },
    Exception { path: "tests/end_to_end.rs", reason: "a region that is long enough" },
    Exception { path: "tests/faked_clock.rs", reason: "a region that is long enough" },
    Exception { path: "tests/faults.rs", reason: "a region that is long enough" },
    Exception { path: "tests/flight.rs", reason: "tasks that are slow" },
    Exception { path: "tests/fork.rs", reason: "threads that rest" },
    Exception { path: "tests/fork_recorder.rs", reason: "nothing happens meanwhile" },
    Exception { path: "tests/heap.rs", reason: "a heap at rest" },
    Exception { path: "tests/heap_global.rs", reason: "calls that are recorded" },
    Exception { path: "tests/held.rs", reason: "signals come at different moments" },
    Exception { path: "tests/lifecycle.rs", reason: "long silences, and threads that rest" },
    Exception { path: "tests/mapped.rs", reason: "names that grow old" },
    Exception { path: "tests/names.rs", reason: "a wait that is recorded" },
    Exception { path: "tests/os_conformance/", reason: "between two signals" },
    Exception { path: "tests/os_faults.rs", reason: "calls that are recorded" },
    Exception { path: "tests/os_waits.rs", reason: "calls that are recorded" },
    Exception { path: "tests/outputs.rs", reason: "between two looks" },
    Exception { path: "tests/rotation.rs", reason: "threads rest between rounds" },
    Exception { path: "tests/sched.rs", reason: "threads that leave their CPU" },
    Exception { path: "tests/sched_refused.rs", reason: "a thread that leaves its CPU" },
    Exception { path: "tests/signals.rs", reason: "between two signals, or two looks" },
    Exception { path: "tests/stopped.rs", reason: "how long a process is stopped" },
    Exception { path: "tests/stress.rs", reason: "stops come at different moments" },
    Exception { path: "tests/testing.rs", reason: "tests that take their time" },
    Exception { path: "tests/truth/", reason: "waits that are recorded" },
    Exception { path: "tests/waits/", reason: "waits that are recorded" },
    Exception { path: "tests/windows.rs", reason: "a region that is long enough" },
    Exception { path: "trace-http/", reason: "clients that dawdle, and between two looks" },
    Exception { path: "trace-runtime/src/clock.rs", reason: "two moments that are apart" },
];

pub(crate) fn faults(tree: &Tree) -> Vec<Fault> {
    excuse(sleeps(tree), &EXCEPTIONS)
}

fn sleeps(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (file, tokens) in tree.sources() {
        // Programs that are traced, and what is measured, do as they like.
        let is_of_tests = file.path.split('/').any(|folder| folder == "tests");
        let is_program = file.path.contains("/fixtures/");
        // Also where one is imported.
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
