//! Whole traces, the same bytes on every machine.

use super::{TraceBuilder, open_call, os_id, value_bytes};
use crate::batch::Compression;
use crate::definition::{CallsiteKind, Definition, FoundBy, ResourceKind, StackFlags};
use crate::event::{EventKind, Outcome};
use crate::id::{CallId, FutureId, Open, ResourceId, SiteId, StackId, TaskId, ThreadId};
use crate::time::{Nanos, Ticks};
use crate::value::{TEXT_BYTES_MAX, Text, Value, Values, put_stack, put_value};

/// Tight loops: `threads` threads with `events` complete regions each, 3 to 4 bytes apiece, of
/// call sites 1 to 8, about 50 ticks every 60 ticks, each thread at its own pace.
#[must_use]
pub fn tight_loops(threads: u32, events: u32, compression: Compression) -> Vec<u8> {
    let mut trace = TraceBuilder::started(compression);
    for site in 1..=8 {
        trace.callsite(site, CallsiteKind::Function, &format!("leaf_{site}"));
    }
    for thread in 1..=threads {
        trace.thread(thread, &format!("worker-{thread}"));
    }
    let mut clocks = vec![1000_u64; threads as usize];
    // A small generator of its own: same bytes on every machine and in every version.
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for event in 0..events {
        for (at, clock) in clocks.iter_mut().enumerate() {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let (gap, duration) = (5 + random % 11, 40 + (random >> 32) % 120);
            trace.region(at as u32 + 1, event % 8 + 1, *clock + gap, duration);
            *clock += gap + duration;
        }
    }
    let last = clocks.iter().max().copied().unwrap_or(0);
    trace.stop(last + 1000)
}

/// A small trace with every kind of event and definition, three threads, a CPU, two generations,
/// batches in pieces, arguments of every type, nesting, a mis-nested end, a drop.
#[must_use]
pub fn everything(compression: Compression) -> Vec<u8> {
    let mut trace = TraceBuilder::started(compression);
    for (id, kind) in (1..).zip(CallsiteKind::ALL) {
        trace.callsite(id, kind, kind.name());
    }
    trace.callsite(300, CallsiteKind::Function, "far \"quoted\"\n\u{e9}");
    trace.thread(1, "main");
    trace.thread(2, "worker-1");
    every_region(&mut trace);
    every_task(&mut trace);
    every_definition_of_the_program(&mut trace);
    every_event_of_async(&mut trace);
    every_event_of_the_program(&mut trace);
    trace.event(
        2,
        2_000,
        EventKind::TaskBegin {
            task: TaskId(3),
            parent: TaskId(0),
            name: Text::cut(b"background", 256),
        },
    );
    trace.generation(10_000);
    trace.define(&Definition::TaskState {
        id: TaskId(3),
        parent: TaskId(0),
        name: b"background",
        begin: Ticks(2_000),
    });
    trace.end(1, 10_500);
    trace.seal(1);
    trace.region(1, 300, 11_000, 5);
    trace.end_call(3, 10_050, -110);
    trace.end(1, 12_000);
    trace.region(3, 1, 10_060, 100);
    trace.define(&Definition::Switch { site: SiteId(2), on: false, ticks: Ticks(12_000) });
    trace.stop(20_000)
}

fn every_region(trace: &mut TraceBuilder) {
    let long = [b'x'; 1500];
    let text = |bytes| Text::cut(bytes, TEXT_BYTES_MAX);
    let values = value_bytes(&[
        Value::None,
        Value::U64(7),
        Value::I64(-7),
        Value::F64(0.5),
        Value::Bool(true),
        Value::Bool(false),
        Value::Char('\u{1f600}'),
        Value::Str(text(b"a \"b\" \\ \n \xff")),
        Value::Bytes(text(&[0, 1, 255])),
        Value::Formatted(text(&long)),
        Value::U128(u128::MAX),
        Value::I128(i128::MIN),
    ]);
    let (values, site) = (Values::new(&values), SiteId(2));
    trace.begin(1, 1, 1_000);
    trace.region(1, 2, 1_010, 20);
    trace.event(1, 1_040, EventKind::Region { site, duration: Ticks(9), values });
    trace.event(1, 1_050, EventKind::RegionBegin { site, values });
    trace.cut(1);
    trace.event(1, 1_060, EventKind::Instant { site: SiteId(7), values });
    let log = EventKind::Log { site: SiteId(5), text: text(b"went \tfine") };
    trace.event(1, 1_070, log);
    trace.event(1, 1_080, EventKind::Counter { site: SiteId(6), value: Value::I64(-1) });
    let outcome = Outcome::Failed;
    trace.event(1, 1_090, EventKind::EndValue { outcome, values });
    trace.begin(1, 300, 1_100);
    trace.seal(1);
    trace.begin(1, 2, 1_200);
    let (open, since) = (Open::Region(SiteId(300)), Ticks(200));
    trace.event(1, 1_300, EventKind::EndDetached { open, since });
    trace.begin(1, 3, 2_000);
}

fn every_task(trace: &mut TraceBuilder) {
    let (task, parent, future) = (TaskId(1), TaskId(0), FutureId(9));
    let name = Text::cut(b"request", 256);
    let values = Values::new(&[]);
    trace.event(2, 1_000, EventKind::TaskBegin { task, parent, name });
    trace.event(2, 1_010, EventKind::TaskRunBegin { task });
    let site = SiteId(4);
    let child = EventKind::TaskBeginSite { task: TaskId(2), parent: task, site, values };
    trace.event(2, 1_020, child);
    trace.event(2, 1_030, EventKind::TaskRun { task: TaskId(2), duration: Ticks(5) });
    trace.event(2, 1_040, EventKind::FutureBegin { future, task, site: SiteId(3), values });
    let waits_at = StackId(0);
    trace.event(2, 1_040, EventKind::Poll { future, waits_at, duration: Ticks(3) });
    trace.event(2, 1_050, EventKind::PollBegin { future });
    trace.end(2, 1_060);
    let outcome = Outcome::Dropped;
    trace.event(2, 1_070, EventKind::FutureEnd { future, outcome, values });
    trace.event(2, 1_080, EventKind::TaskEnd { task: TaskId(2) });
    trace.end(2, 1_090);
    let (from, to) = (Ticks(1_100), Ticks(1_200));
    trace.event(2, 1_300, EventKind::Dropped { events: 3, ends: 1, from, to });
    trace.event(2, 1_400, EventKind::TaskEnd { task });
}

fn every_event_of_async(trace: &mut TraceBuilder) {
    let (future, parent, stack) = (FutureId(10), FutureId(9), StackId(1));
    let (task, site) = (TaskId(1), SiteId(3));
    let spawn = EventKind::FutureSpawn { future, parent, task, site, stack };
    trace.event(2, 1_410, spawn);
    trace.event(2, 1_420, EventKind::Ready { future, since: Ticks(8) });
    trace.event(2, 1_420, EventKind::Poll { future, waits_at: stack, duration: Ticks(5) });
    trace.event(2, 1_430, EventKind::Wake { future, stack });
    trace.event(2, 1_440, EventKind::PollBegin { future });
    trace.event(2, 1_445, EventKind::EndPoll { waits_at: StackId(2) });
    trace.event(2, 1_450, EventKind::Unwakeable { future });
    let (outcome, values) = (Outcome::Panicked, Values::new(&[]));
    trace.event(2, 1_460, EventKind::FutureEnd { future, outcome, values });
    let (trace_id, span, parent) = (0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0xf067, 7);
    trace.event(2, 1_470, EventKind::TaskLink { task, trace: trace_id, span, parent });
    trace.define(&Definition::FutureState {
        id: FutureId(9),
        parent: FutureId(0),
        task,
        site,
        begin: Ticks(1_040),
        spawned: false,
        waits_at: StackId(1),
        since: Ticks(1_060),
    });
}

fn every_definition_of_the_program(trace: &mut TraceBuilder) {
    trace.module(0x5000_0000, 0x5001_0000, 0x4fff_f000, "/usr/bin/testgen");
    trace.define(&Definition::Module {
        first: 0x7000_0000,
        last: 0x7000_2000,
        bias: u64::MAX,
        build_id: b"",
        path: b"[vdso]",
    });
    trace.stack(1, &[0x5000_1234, 0x5000_1000, 0x7000_0001]);
    let flags = StackFlags { cut: true, by: FoundBy::Kernel };
    let addresses = vec![u64::MAX, 0, u64::MAX / 2];
    trace.define(&Definition::Stack { id: StackId(2), flags, addresses });
    trace.stack(3, &[]);
    for (id, kind) in (1..).zip(ResourceKind::ALL) {
        trace.resource(id, kind, u64::from(id) * 7, if id == 2 { "/tmp/a \"b\"" } else { "" });
    }
    let inlined = [("parse::digit", "src/parse.rs", 7), ("parse::number", "src/parse.rs", 70)];
    trace.symbol(0x5000_1234, &inlined);
    trace.symbol(0x7000_0001, &[]);
    trace.facility("os", true, "hooks");
    trace.facility("sched", false, "perf_event_open: permission denied");
    trace.heap(1_000, (4_096, 3), (1 << 40, 70_000));
    trace.spawned(3, "", 500, (1, 1, 0x5000_2000));
    trace.rename(3, 1_500, "late");
    let (from, to) = (Ticks(1_550), Ticks(1_560));
    trace.define(&Definition::Stopped { from, to, suspended: Nanos(0) });
    trace.define(&Definition::Stopped { from, to, suspended: Nanos(u64::MAX) });
    let (id, ticks, cpu) = (ThreadId(3), Ticks(1_570), Nanos(u64::MAX));
    trace.define(&Definition::ThreadTime { id, ticks, cpu, ready: None });
    trace.define(&Definition::ThreadTime { id, ticks, cpu: Nanos(0), ready: Some(Nanos(7)) });
}

fn every_event_of_the_program(trace: &mut TraceBuilder) {
    let read = open_call(CallId::READ, 2, 1);
    trace.call(3, read, 1_600, 40, 512);
    trace.begin_call(3, open_call(CallId::POLL, 0, 2), 1_700);
    trace.call(3, open_call(CallId(255), ResourceId::MAX.0, StackId::MAX.0), 1_710, 5, i64::MIN);
    trace.alloc(3, 1_720, 1, 1 << 20, 1);
    trace.free(3, 1_730, 1);
    let stack = StackId(1);
    let mut values = Vec::new();
    put_stack(&mut values, stack);
    put_value(&mut values, &Value::U64(7));
    let site = SiteId(1);
    let kind = EventKind::Instant { site, values: Values::new(&values) };
    trace.event(3, 1_735, kind);
    let kind = EventKind::Region { site, duration: Ticks(2), values: Values::new(&values[..2]) };
    trace.event(3, 1_736, kind);
    trace.end_call(3, 1_740, -4);
    trace.begin_call(3, open_call(CallId::FUTEX_WAIT, 1, 1), 9_000);
    let (cpu, os_thread) = (5, os_id(3));
    trace.switch_in(cpu, 1_590, os_thread);
    trace.sample(cpu, 1_600, os_thread, 2);
    let lane = ThreadId::cpu(cpu).0;
    trace.event(lane, 1_610, EventKind::Fault { os_thread, address: 0x7fff_0000, stack });
    trace.switch_out(cpu, 1_620, os_thread, false);
    trace.cut(lane);
    trace.switch_in(cpu, 1_650, os_thread);
    trace.seal(lane);
    trace.switch_out(cpu, 1_660, os_thread, true);
    trace.event(lane, 1_670, EventKind::LostKernel { records: 9 });
}
