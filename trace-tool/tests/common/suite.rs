//! A test program's trace, made by hand: libtest runs three tests, each on a thread of its own, and
//! a thread of the program's runs beside them. Nothing is annotated, and every time is known.

use trace_format::batch::Compression;
use trace_format::definition::Definition;
use trace_format::id::{CallId, ThreadId};
use trace_format::testgen::{TraceBuilder, open_call, os_id};
use trace_format::time::{ClockKind, Nanos, Ticks};

const MAIN: u32 = 1;
const WAITS: u32 = 2;
const COMPUTES: u32 = 3;
const HELPER: u32 = 4;
const HANGS: u32 = 5;
const LOGGER: u32 = 6;

const HARNESS_STACK: u32 = 1;
const SLEEP_STACK: u32 = 2;
const LOGGER_STACK: u32 = 3;
const HELPER_STACK: u32 = 4;

const MS: u64 = 1_000_000;

/// Whether the functions of the program have names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    Named,
    Nameless,
}

/// The trace.
pub(crate) fn suite() -> Vec<u8> {
    suite_with(Naming::Named)
}

pub(crate) fn suite_with(naming: Naming) -> Vec<u8> {
    let mut trace = TraceBuilder::new(Compression::None);
    trace.define(&Definition::Process {
        pid: os_id(MAIN),
        executable: b"app-0123456789abcdef",
        os: b"linux",
        arch: b"x86_64",
        clock: ClockKind::Tsc,
        tracer: b"0.1.0",
    });
    trace.clock(Ticks(0), Nanos(0));
    trace.define(&Definition::Generation { number: 1, ticks: Ticks(0) });
    trace.facility("os", true, "");
    if naming == Naming::Named {
        names(&mut trace);
    }
    threads(&mut trace);
    let sleep = open_call(CallId::CLOCK_NANOSLEEP, 0, SLEEP_STACK);
    trace.call(WAITS, sleep, 2 * MS, 30 * MS, 0);
    trace.exit(WAITS, 33 * MS);
    for (thread, from, to, cpu) in [(COMPUTES, 1, 12, 8), (HELPER, 2, 9, 5)] {
        for (at, cpu) in [(from, 0), (to, cpu)] {
            let (id, ticks, cpu) = (ThreadId(thread), Ticks(at * MS), Nanos(cpu * MS));
            trace.define(&Definition::ThreadTime { id, ticks, cpu, ready: None });
        }
        trace.exit(thread, to * MS);
    }
    trace.begin_call(HANGS, sleep, 41 * MS);
    trace.stop(60 * MS)
}

fn threads(trace: &mut TraceBuilder) {
    trace.stack(HARNESS_STACK, &[0x1010, 0x1020, 0x1030]);
    trace.stack(SLEEP_STACK, &[0x1040, 0x1050]);
    trace.stack(LOGGER_STACK, &[0x1010, 0x1060]);
    trace.stack(HELPER_STACK, &[0x1010, 0x1070, 0x1080]);
    trace.thread(MAIN, "main");
    let of_main = |stack| (MAIN, stack, 0);
    trace.spawned(WAITS, "tests::waits", MS, of_main(HARNESS_STACK));
    trace.spawned(COMPUTES, "tests::computes", MS, of_main(HARNESS_STACK));
    trace.spawned(HELPER, "helper", 2 * MS, (COMPUTES, HELPER_STACK, 0));
    trace.spawned(HANGS, "tests::hangs", 40 * MS, of_main(HARNESS_STACK));
    trace.spawned(LOGGER, "logger", MS, of_main(LOGGER_STACK));
}

fn names(trace: &mut TraceBuilder) {
    trace.module(0x1000, 0x9000, 0, "/opt/app-0123456789abcdef");
    trace.symbol(0x1010, &[("std::thread::Builder::spawn", "/rustc/1/library/std/src/t.rs", 1)]);
    trace.symbol(0x1020, &[("test::run_test", "/rustc/1/library/test/src/lib.rs", 2)]);
    let console = "test::console::run_tests_console";
    trace.symbol(0x1030, &[(console, "/rustc/1/library/test/src/console.rs", 3)]);
    trace.symbol(0x1040, &[("std::thread::sleep", "/rustc/1/library/std/src/t.rs", 4)]);
    trace.symbol(0x1050, &[("app::tests::naps", "src/lib.rs", 12)]);
    trace.symbol(0x1060, &[("app::log::start", "src/log.rs", 3)]);
    trace.symbol(0x1070, &[("app::tests::computes", "src/lib.rs", 20)]);
    let closure = "test::run_test::{closure#0}";
    trace.symbol(0x1080, &[(closure, "/rustc/1/library/test/src/lib.rs", 5)]);
}
