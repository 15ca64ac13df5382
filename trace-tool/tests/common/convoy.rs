//! A lock convoy, made by hand: two workers wait for a lock that `slow-poke` holds while it syncs a
//! file. Every time is known, so what the commands say of it is, too.
//!
//! A round of 12 ms: at its begin `slow-poke` has the lock; from 1 to 9 ms it is in `fsync`; at 10
//! ms it unlocks and wakes `worker-1`, which waits since 0.5 ms; that one unlocks at 10.5 ms and
//! wakes `worker-2`, which waits since 0.7 ms. `main` waits for all of them to end.

use trace_format::batch::Compression;
use trace_format::definition::ResourceKind;
use trace_format::id::CallId;
use trace_format::testgen::{TraceBuilder, open_call, os_id};

const MAIN: u32 = 1;
const POKE: u32 = 2;
const ONE: u32 = 3;
const TWO: u32 = 4;
const LOCK: u32 = 1;
const FILE: u32 = 2;
const THREAD: u32 = 3;

const SYNC_STACK: u32 = 1;
const UNLOCK_STACK: u32 = 2;
const WAIT_STACK: u32 = 3;
const PASS_STACK: u32 = 4;
const JOIN_STACK: u32 = 5;
const SPAWN_STACK: u32 = 6;
const GROW_STACK: u32 = 7;
const READ_STACK: u32 = 8;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

/// How many rounds there are.
pub(crate) const ROUNDS: u64 = 50;
/// How long one is.
pub(crate) const ROUND: u64 = 12 * MS;

/// The trace.
pub(crate) fn convoy() -> Vec<u8> {
    let mut trace = TraceBuilder::started(Compression::None);
    definitions(&mut trace);
    let end = ROUNDS * ROUND;
    trace.switch_in(0, 0, os_id(MAIN));
    trace.begin_call(MAIN, open_call(CallId::PTHREAD_JOIN, THREAD, JOIN_STACK), 100 * US);
    trace.switch_out(0, 110 * US, os_id(MAIN), false);
    for round in 0..ROUNDS {
        self::round(&mut trace, round * ROUND, round);
    }
    trace.switch_in(0, end, os_id(MAIN));
    trace.end_call(MAIN, end + 10 * US, 0);
    trace.stop(end + 100 * US)
}

fn round(trace: &mut TraceBuilder, from: u64, number: u64) {
    let lock = |call, stack| open_call(call, LOCK, stack);
    let read = open_call(CallId::READ, FILE, READ_STACK);
    // The workers run into the lock.
    trace.switch_in(0, from + 200 * US, os_id(ONE));
    trace.call(ONE, lock(CallId::FUTEX_WAIT, WAIT_STACK), from + 500 * US, 9_520 * US, 0);
    trace.switch_in(1, from + 300 * US, os_id(TWO));
    trace.switch_out(0, from + 510 * US, os_id(ONE), false);
    trace.switch_in(0, from + 600 * US, os_id(POKE));
    trace.call(TWO, lock(CallId::FUTEX_WAIT, WAIT_STACK), from + 700 * US, 9_820 * US, 0);
    trace.switch_out(1, from + 710 * US, os_id(TWO), false);
    // Who has it syncs a file.
    for at in 0..10 {
        trace.call(POKE, read, from + 800 * US + at * 10 * US, 2 * US, 16);
    }
    let sync = open_call(CallId::FSYNC, FILE, SYNC_STACK);
    trace.call(POKE, sync, from + MS, 8 * MS, if number == 7 { -5 } else { 0 });
    trace.switch_out(0, from + MS + 10 * US, os_id(POKE), false);
    trace.switch_in(0, from + 8_990 * US, os_id(POKE));
    trace.alloc(POKE, from + 9_500 * US, number + 1, 1 << 20, GROW_STACK);
    // It lets go.
    trace.call(POKE, lock(CallId::FUTEX_WAKE, UNLOCK_STACK), from + 10 * MS, 5 * US, 1);
    trace.switch_in(1, from + 10_015 * US, os_id(ONE));
    trace.switch_out(0, from + 10_100 * US, os_id(POKE), true);
    trace.sample(1, from + 10_200 * US, os_id(ONE), PASS_STACK);
    trace.call(ONE, lock(CallId::FUTEX_WAKE, PASS_STACK), from + 10_500 * US, 5 * US, 1);
    trace.switch_in(0, from + 10_515 * US, os_id(TWO));
    trace.switch_out(1, from + 10_900 * US, os_id(ONE), false);
    trace.switch_out(0, from + 11 * MS, os_id(TWO), false);
    let live = (number + 1) << 20;
    trace.heap(from + 11 * MS, (live, number + 1), (2 * live, 4 * (number + 1)));
}

fn definitions(trace: &mut TraceBuilder) {
    let spawned = (MAIN, SPAWN_STACK, 0x1100);
    trace.thread(MAIN, "main");
    for (id, name) in [(POKE, "slow-poke"), (ONE, "worker-1"), (TWO, "worker-2")] {
        trace.spawned(id, name, 0, spawned);
    }
    trace.resource(LOCK, ResourceKind::Address, 0x5500, "");
    trace.resource(FILE, ResourceKind::File, 3, "/var/lib/app/journal");
    trace.resource(THREAD, ResourceKind::Thread, 0x7700, "");
    trace.module(0x1000, 0x9000, 0, "/opt/app");
    let mutex = "std::sys::sync::mutex::futex::Mutex::lock_contended";
    let std = "/rustc/1/library/std/src/sys/sync/mutex/futex.rs";
    trace.symbol(0x1010, &[(mutex, std, 20), ("app::work", "src/main.rs", 41)]);
    trace.symbol(0x1020, &[("app::worker", "src/main.rs", 45)]);
    trace.symbol(0x1030, &[("std::sys::sync::mutex::futex::Mutex::wake", std, 30)]);
    trace.symbol(0x1040, &[("app::flush", "src/main.rs", 60)]);
    trace.symbol(0x1050, &[("std::fs::File::sync_all", "/rustc/1/library/std/src/fs.rs", 7)]);
    trace.symbol(0x1060, &[("app::flush", "src/main.rs", 58)]);
    trace.symbol(0x1070, &[("std::thread::JoinHandle::join", "/rustc/1/library/std/src/t.rs", 9)]);
    trace.symbol(0x1080, &[("app::main", "src/main.rs", 70)]);
    trace.symbol(0x1090, &[("app::main", "src/main.rs", 66)]);
    trace.symbol(0x10a0, &[("app::journal::grow", "src/journal.rs", 12)]);
    trace.symbol(0x1100, &[("app::worker", "src/main.rs", 40)]);
    trace.stack(SYNC_STACK, &[0x1050, 0x1060]);
    trace.stack(UNLOCK_STACK, &[0x1030, 0x1040]);
    trace.stack(WAIT_STACK, &[0x1010, 0x1020]);
    trace.stack(PASS_STACK, &[0x1030, 0x1020]);
    trace.stack(JOIN_STACK, &[0x1070, 0x1080]);
    trace.stack(SPAWN_STACK, &[0x1090]);
    trace.stack(GROW_STACK, &[0x10a0, 0x1040]);
    trace.stack(READ_STACK, &[0x1060]);
    trace.facility("os", true, "");
    trace.facility("sched", true, "perf_event_open");
    trace.facility("samples", false, "not asked for");
    trace.facility("stacks", true, "frame pointers");
}
