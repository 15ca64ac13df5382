//! Traces with more groups than there is room for: the commands say how much is in no group of its
//! own.

use crate::common::{Bench, Run, json};
use trace_format::batch::Compression;
use trace_format::definition::ResourceKind;
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{CallId, FutureId, SiteId, StackId, TaskId};
use trace_format::testgen::{TraceBuilder, open_call};
use trace_format::time::Ticks;
use trace_format::value::Values;

const MS: u64 = 1_000_000;

/// How many groups of waits, and of calls, there is room for.
const GROUPS_MAX: u32 = 8_192;

/// The whole output, as one line.
fn unwrapped(run: &Run) -> String {
    assert_eq!(run.code, Some(0), "{}", run.err);
    run.out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A wait for bytes from each of so many sockets.
fn reads(sockets: u32) -> Bench {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "reader");
    for socket in 1..=sockets {
        let (at, name) = (u64::from(socket) * 2 * MS, format!("10.0.0.1:{socket}"));
        trace.resource(socket, ResourceKind::Socket, u64::from(socket), &name);
        trace.call(1, open_call(CallId::READ, socket, 0), at, MS, 64);
    }
    Bench::new(&trace.stop(u64::from(sockets + 1) * 2 * MS))
}

#[test]
fn commands_say_what_came_when_the_table_was_full() {
    let bench = reads(GROUPS_MAX + 1);
    for (verb, what) in [("blocked", "waits"), ("summary", "waits"), ("syscalls", "calls")] {
        let said = unwrapped(&bench.run(&format!("{verb} FILE")));
        let line = format!("(the table is full: 1 {what} came when it had no room for another");
        assert!(said.contains(&line), "{verb}: {said}");
    }
    assert_eq!(json(&bench.run("blocked FILE --json"))["waits"]["late"], 1);
    assert_eq!(json(&bench.run("syscalls FILE --json"))["calls"]["late"], 1);
    let bench = reads(GROUPS_MAX);
    for verb in ["blocked", "summary", "syscalls"] {
        let said = unwrapped(&bench.run(&format!("{verb} FILE")));
        assert!(!said.contains("the table"), "{verb}: there is room for all: {said}");
    }
}

#[test]
fn commands_say_of_how_many_waits_the_holder_found_no_room() {
    let places = 4_096;
    let mut trace = TraceBuilder::started(Compression::None);
    (1..=2).for_each(|thread| trace.thread(thread, "t"));
    trace.resource(1, ResourceKind::Address, 0xf00, "");
    for place in 1..=places + 3 {
        let (at, address) = (u64::from(place) * 1_000, u64::from(place) * 0x10);
        trace.stack(place, &[address, address + 1]);
        trace.symbol(address, &[("parking_lot::raw_mutex::RawMutex::lock_slow", "", 0)]);
        trace.symbol(address + 1, &[(&format!("app::f{place}"), "src/app.rs", place)]);
        trace.call(1, open_call(CallId::FUTEX_WAIT, 1, place), at, 500, 0);
        trace.call(2, open_call(CallId::FUTEX_WAKE, 1, 0), at + 400, 50, 1);
    }
    let bench = Bench::new(&trace.stop(u64::from(places + 5) * 1_000));
    let line = "(the table of locks or that of a lock's holders is full: who held the lock, or \
                woke the thread, is not known of 3 waits";
    for verb in ["blocked", "summary"] {
        let said = unwrapped(&bench.run(&format!("{verb} FILE")));
        assert!(said.contains(line), "{verb}: {said}");
    }
    assert_eq!(json(&bench.run("blocked FILE --json"))["waits"]["late_holders"], 3);
}

#[test]
fn async_says_how_many_waits_are_in_no_group_of_their_own() {
    let places = 16_384;
    let mut trace = TraceBuilder::started(Compression::None);
    trace.callsite(1, trace_format::definition::CallsiteKind::Future, "handler");
    trace.thread(1, "worker");
    let (future, task, site) = (FutureId(1), TaskId(0), SiteId(1));
    let (parent, stack) = (FutureId(0), StackId(0));
    trace.event(1, 0, EventKind::FutureSpawn { future, parent, task, site, stack });
    for place in 1..=places + 4 {
        let (at, address) = (u64::from(place) * 1_000, u64::from(place) * 0x10);
        trace.stack(place, &[address]);
        trace.symbol(address, &[(&format!("app::f{place}"), "src/app.rs", place)]);
        let (waits_at, duration) = (StackId(place), Ticks(100));
        trace.event(1, at, EventKind::Poll { future, waits_at, duration });
        trace.event(1, at + 600, EventKind::Wake { future, stack });
    }
    let end = u64::from(places + 5) * 1_000;
    let outcome = Outcome::Dropped;
    trace.event(1, end, EventKind::FutureEnd { future, outcome, values: Values::new(&[]) });
    let bench = Bench::new(&trace.stop(end + 1_000));
    let said = unwrapped(&bench.run("async FILE"));
    assert!(said.contains("(the table is full: 4 waits came when"), "{said}");
    assert_eq!(json(&bench.run("async FILE --json"))["late_waits"], 4);
}
