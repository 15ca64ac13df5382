//! What is said of addresses that have no names.

use crate::common::Bench;
use trace_format::batch::Compression;
use trace_format::id::{CallId, OpenCall};
use trace_format::testgen::{TraceBuilder, open_call};

const SLEEP: OpenCall = open_call(CallId::CLOCK_NANOSLEEP, 0, 1);

/// A thread that sleeps, its stack being these addresses; the program's code is from 0x1000 on.
fn sleeper(addresses: &[u64]) -> Vec<u8> {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.facility("os", true, "");
    trace.thread(1, "main");
    trace.module(0x1000, 0x2000, 0, "[vdso]");
    trace.symbol(0x1500, &[("app::nap", "/app/src/main.rs", 7)]);
    trace.stack(1, addresses);
    trace.call(1, SLEEP, 1_000, 900_000, 0);
    trace.stop(1_000_000)
}

#[test]
fn words_behind_the_end_of_a_stack_are_not_told() {
    let run = Bench::new(&sleeper(&[0x1500, 0x3320_3465_6233, 0])).run("blocked --stacks FILE");
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    assert!(run.out.contains("app::nap"), "{}", run.out);
}

#[test]
fn code_of_a_module_that_is_no_file_has_the_modules_name() {
    let run = Bench::new(&sleeper(&[0x1600, 0])).run("blocked FILE");
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    assert!(run.out.contains("[vdso]+0x1600"), "{}", run.out);
}

#[test]
fn stacks_whose_code_is_nowhere_are_told_with_what_to_do() {
    let run = Bench::new(&sleeper(&[0x9000, 0x1500])).run("blocked FILE");
    assert_eq!(run.code, Some(0));
    for part in ["innermost functions of 1 of 1 stacks", "keep its libraries loaded"] {
        assert!(run.err.contains(part), "{part}: {}", run.err);
    }
    assert_eq!(run.err.lines().count(), 1, "{}", run.err);
}
