//! What the program did: what threads waited for, where they ran, samples.

use trace_analysis::symbols::{Function, Symbols};
use trace_format::definition::{Definition, FoundBy, ResourceKind, StackFlags};
use trace_format::event::EventKind;
use trace_format::id::{CallId, OpenCall, ResourceId, StackId, ThreadId};
use trace_format::testgen::{TraceBuilder, value_bytes};
use trace_format::time::{Nanos, Ticks};
use trace_format::value::{Value, Values, put_stack};

use super::{OUTER, builder, exported, exported_with, picture};

const LOCK: ResourceId = ResourceId(1);
const FILE: ResourceId = ResourceId(2);
const WAITING: StackId = StackId(1);
const WAKING: StackId = StackId(2);
const NOWHERE: StackId = StackId(9);

/// Two threads, a lock, a file, two stacks in one module.
fn life() -> TraceBuilder {
    let mut trace = builder();
    let module = Definition::Module {
        first: 0x1000,
        last: 0x2000,
        bias: 0x800,
        build_id: &[0xab, 0x01],
        path: b"/bin/demo",
    };
    trace.define(&module);
    for (id, addresses) in [(WAITING, vec![0x1010, 0x1020]), (WAKING, vec![0x1030, 0x9000])] {
        let flags = StackFlags { cut: false, by: FoundBy::FramePointers };
        trace.define(&Definition::Stack { id, flags, addresses });
    }
    for (id, kind, value, name) in [
        (LOCK, ResourceKind::Address, 0x7f00, &b""[..]),
        (FILE, ResourceKind::File, 3, b"/etc/hosts"),
    ] {
        trace.define(&Definition::Resource { id, kind, value, name });
    }
    trace
}

fn symbols() -> Symbols {
    let mut symbols = Symbols::default();
    let function = |name: &str, line| Function { name: name.to_owned(), file: "m.rs".into(), line };
    symbols.add(0x1010, vec![function("lock", 1), function("work", 2)]);
    symbols.add(0x1020, vec![function("main", 3)]);
    symbols
}

fn call(call: CallId, resource: ResourceId, stack: StackId) -> OpenCall {
    OpenCall { call, stack, resource }
}

fn whole(made: OpenCall, result: i64, duration: u64) -> EventKind<'static> {
    EventKind::Call { call: made, result, duration: Ticks(duration) }
}

#[test]
fn a_call_is_a_slice_with_its_resource_result_and_stack() {
    let mut trace = life();
    trace.event(1, 10, whole(call(CallId::READ, FILE, WAITING), 512, 5));
    trace.event(1, 20, EventKind::CallBegin { call: call(CallId::OPENAT, FILE, NOWHERE) });
    trace.begin(1, OUTER.0, 22);
    trace.end(1, 24);
    trace.event(1, 30, EventKind::EndCall { result: -2 });
    trace.event(1, 40, whole(call(CallId(250), ResourceId(77), WAITING), 0, 1));
    let (out, totals) = exported_with(&trace.stop(1_000), &symbols());
    let demo = "in /bin/demo(ab01)";
    let stack =
        format!("<lock@m.rs:1 {demo}+0x810 < work@m.rs:2 {demo}+0x810 < main@m.rs:3 {demo}+0x820>");
    assert_eq!(
        picture(&out),
        [
            &format!("10 main ( read [read] resource=\"/etc/hosts (fd 3)\" result=512i {stack}"),
            "15 main )",
            "20 main ( openat [open] resource=\"/etc/hosts (fd 3)\"*",
            "22 main ( outer [testgen] @src/testgen.rs:2",
            "24 main )",
            "30 main ) error=\"ENOENT\"",
            &format!("40 main ( call 250 [other] resource=\"resource 77\" result=0i {stack}"),
            "41 main )",
        ]
    );
    assert_eq!((totals.slices, totals.unfinished, totals.unknown), (4, 0, 0));
}

#[test]
fn an_arrow_leads_from_the_wake_to_the_end_of_the_wait() {
    let mut trace = life();
    trace.event(1, 10, whole(call(CallId::FUTEX_WAIT, LOCK, NOWHERE), 0, 50));
    trace.event(2, 15, whole(call(CallId::FUTEX_WAKE, LOCK, NOWHERE), 0, 1));
    trace.event(2, 40, whole(call(CallId::FUTEX_WAKE, LOCK, NOWHERE), 1, 3));
    // The same value again, and a wait that no call ended: no arrows.
    trace.event(1, 70, whole(call(CallId::FUTEX_WAIT, LOCK, NOWHERE), -11, 1));
    trace.event(1, 80, EventKind::CallBegin { call: call(CallId::FUTEX_WAIT, LOCK, NOWHERE) });
    trace.event(1, 90, EventKind::EndCall { result: 0 });
    let (out, _) = exported(&trace.stop(1_000));
    let flow = 1_u64 << 63 | 1;
    let lines = picture(&out);
    let expected = [
        "10 main ( futex_wait [wait] resource=\"0x7f00\" result=0i",
        "15 worker-1 ( futex_wake [wake] resource=\"0x7f00\"* result=0i",
        "16 worker-1 )",
        &format!("40 worker-1 ( futex_wake [wake] resource=\"0x7f00\"* result=1i ~{flow}"),
        "43 worker-1 )",
        &format!("60 main ! woken [exectrace] by=\"worker-1\" ~{flow}"),
        "60 main )",
        "70 main ( futex_wait [wait] resource=\"0x7f00\"* error=\"EAGAIN\"",
        "71 main )",
        "80 main ( futex_wait [wait] resource=\"0x7f00\"*",
        "90 main ) result=0i",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn an_arrow_leads_from_the_end_of_a_thread_to_its_joiner() {
    let mut trace = life();
    let (id, thread) = (ResourceId(3), ThreadId(2));
    trace.define(&Definition::Resource { id, kind: ResourceKind::Thread, value: 1002, name: b"" });
    trace.region(2, OUTER.0, 10, 20);
    trace.event(1, 15, whole(call(CallId::PTHREAD_JOIN, id, NOWHERE), 0, 45));
    let (ended, ticks, events, dropped_events, dropped_ends) = (true, Ticks(50), 1, 0, 0);
    trace.define(&Definition::ThreadEnd {
        id: thread,
        ended,
        ticks,
        events,
        dropped_events,
        dropped_ends,
    });
    [1, 2].into_iter().for_each(|thread| trace.seal(thread));
    let (out, _) = exported(&trace.killed());
    let flow = 1_u64 << 61 | 2;
    assert_eq!(
        picture(&out)[3..],
        [
            &format!("50 worker-1 ! thread ends [exectrace] ~{flow}"),
            &format!("60 main ! woken [exectrace] by=\"worker-1\" ~{flow}"),
            "60 main )",
        ]
    );
}

#[test]
fn a_wait_is_called_by_what_it_is_for_where_names_tell() {
    let mut trace = life();
    trace.event(1, 10, whole(call(CallId::FUTEX_WAIT, LOCK, WAITING), -110, 5));
    let trace = trace.stop(1_000);
    let name = "std::sys::sync::rwlock::futex::RwLock::read_contended".to_owned();
    let function = |name| Function { name, file: "m.rs".into(), line: 1 };
    let mut named = Symbols::default();
    named.add(0x1010, vec![function(name)]);
    named.add(0x1020, vec![function("app::main".to_owned())]);
    let line = &picture(&exported_with(&trace, &named).0)[0];
    assert!(line.starts_with("10 main ( waits: rwlock read [wait] resource"), "{line}");
    let line = &picture(&exported_with(&trace, &symbols()).0)[0];
    assert!(line.starts_with("10 main ( futex_wait [wait]"), "{line}");
}

#[test]
fn threads_have_states_and_a_woken_one_is_ready_from_the_wake_on() {
    let mut trace = life();
    let cpu = ThreadId::cpu(3).0;
    let (main, worker) = (1001, 1002);
    let switch_in = |os_thread| EventKind::SwitchIn { os_thread };
    let switch_out = |os_thread, preempted| EventKind::SwitchOut { os_thread, preempted };
    trace.event(cpu, 5, switch_in(main));
    trace.event(1, 10, whole(call(CallId::FUTEX_WAIT, LOCK, NOWHERE), 0, 50));
    trace.event(cpu, 12, switch_out(main, false));
    trace.event(cpu, 13, switch_in(worker));
    trace.event(2, 40, whole(call(CallId::FUTEX_WAKE, LOCK, NOWHERE), 1, 3));
    trace.event(cpu, 50, switch_out(worker, true));
    trace.event(cpu, 52, switch_in(main));
    trace.event(cpu, 55, EventKind::Sample { os_thread: main, stack: WAKING });
    let fault = EventKind::Fault { os_thread: main, address: 0xdead, stack: WAKING };
    trace.event(cpu, 57, fault);
    // The thread comes onto a CPU again without having left one. Then a gap, so its state is
    // unknown; and another thread, which recorded nothing, leaves the CPU when the next one comes.
    trace.event(cpu, 70, switch_in(main));
    trace.event(cpu, 71, EventKind::LostKernel { records: 9 });
    trace.event(cpu, 80, switch_in(4242));
    trace.event(cpu, 81, switch_in(0));
    let (out, totals) = exported(&trace.stop(1_000));
    let flow = 1_u64 << 63 | 1;
    let stack = "<0x1030 in /bin/demo(ab01)+0x830 < 0x9000 in [unknown]()+0x9000>";
    let lines = picture(&out);
    assert_eq!(
        lines,
        [
            "5 main 1001 % running on 3",
            "10 main ( futex_wait [wait] resource=\"0x7f00\" result=0i",
            "12 main 1001 % sleep",
            "13 worker-1 1002 % running on 3",
            &format!("40 worker-1 ( futex_wake [wake] resource=\"0x7f00\"* result=1i ~{flow}"),
            "40 main 1001 % runnable",
            "43 worker-1 )",
            "50 worker-1 1002 % runnable",
            "52 main 1001 % running on 3",
            &format!("55 1001 of 1 ? {stack} on 3"),
            &format!("57 main ! page fault [exectrace] address=\"0xdead\" {stack}"),
            &format!("60 main ! woken [exectrace] by=\"worker-1\" ~{flow}"),
            "60 main )",
            "71  ! KERNEL RECORDS LOST [exectrace] cpu=3u records=9u",
            "71 main 1001 % sleep",
            "71 worker-1 1002 % sleep",
            "80 thread 4242 4242 % running on 3",
            "81 thread 4242 4242 % sleep",
        ]
    );
    assert_eq!((totals.samples, totals.lost_records, totals.unknown), (1, 9, 0));
}

#[test]
fn the_heap_is_counters_and_regions_keep_their_stacks() {
    let mut trace = life();
    for (ticks, live_bytes) in [(30, 700), (10, 500)] {
        trace.define(&Definition::Heap {
            ticks: Ticks(ticks),
            live_bytes,
            live_allocations: 2,
            allocated_bytes: 900,
            allocations: 3,
            sample_bytes: 512,
        });
    }
    let mut bytes = Vec::new();
    put_stack(&mut bytes, WAITING);
    bytes.extend_from_slice(&value_bytes(&[Value::U64(7)]));
    let values = Values::new(&bytes);
    trace.event(1, 20, EventKind::Region { site: OUTER, duration: Ticks(5), values });
    let (out, _) = exported_with(&trace.stop(1_000), &symbols());
    let lines = picture(&out);
    assert_eq!(lines[0], "10 heap: live bytes = 500");
    assert_eq!(lines[1], "10 heap: live allocations = 2");
    assert!(lines[3].starts_with("20 main ( outer [testgen] value 1=7u @src"), "{}", lines[3]);
    assert!(lines[3].contains(" <lock@m.rs:1 "), "{}", lines[3]);
    assert_eq!(lines[4], "25 main )");
    assert_eq!(lines[5], "30 heap: live bytes = 700");
}

#[test]
fn an_open_call_is_restated_like_anything_open() {
    let mut trace = life();
    let made = call(CallId::READ, FILE, WAITING);
    trace.event(1, 10, EventKind::CallBegin { call: made });
    trace.generation(20);
    trace.seal(1);
    trace.region(1, OUTER.0, 30, 1);
    let (out, totals) = exported(&trace.stop(1_000));
    let lines = picture(&out);
    assert!(lines[0].starts_with("10 main ( read [read]"), "{}", lines[0]);
    assert_eq!(lines[1], "30 main ( outer [testgen] @src/testgen.rs:2");
    assert_eq!((lines.len(), totals.unfinished), (3, 1));
}

#[test]
fn a_process_that_was_stopped_has_a_track_that_says_so() {
    let mut trace = life();
    trace.event(1, 10, whole(call(CallId::NANOSLEEP, ResourceId(0), StackId(0)), 0, 80));
    let (from, to) = (Ticks(20), Ticks(90));
    trace.define(&Definition::Stopped { from, to, suspended: Nanos(0) });
    let (out, totals) = exported(&trace.stop(1_000));
    let lines = picture(&out);
    for line in ["20 process stopped ( stopped [exectrace]", "90 process stopped )"] {
        assert!(lines.iter().any(|it| it.ends_with(line)), "no {line} in {lines:#?}");
    }
    assert_eq!(totals.slices, 2);
}
