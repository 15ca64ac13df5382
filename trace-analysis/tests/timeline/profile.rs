//! Where time on CPUs went: the program's own by samples, the kernel's by the calls it was for.

use trace_analysis::Trace;
use trace_analysis::life::Lives;
use trace_analysis::profile::{ProfileKind, ProfileSample};
use trace_analysis::symbols::Symbols;
use trace_format::batch::Compression;
use trace_format::definition::{Definition, ResourceKind};
use trace_format::event::EventKind;
use trace_format::id::{CallId, StackId, ThreadId};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, open_call, os_id};
use trace_format::time::{Nanos, Ticks};

const MS: u64 = 1_000_000;

const LOOP: u32 = 1;
const READ: u32 = 2;

fn cpu_profile(trace: TraceBuilder, end: u64) -> Vec<ProfileSample> {
    lives(trace, end).profile(ProfileKind::Cpu).samples
}

fn lives(trace: TraceBuilder, end: u64) -> Lives {
    let file = TraceFile::open(trace.stop(end)).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    Lives::read(&Trace::new(&file).named(&symbols), |_| {})
}

fn started() -> TraceBuilder {
    let mut trace = TraceBuilder::started(Compression::None);
    for thread in 1..=3 {
        trace.thread(thread, "t");
    }
    for stack in [LOOP, READ] {
        trace.stack(stack, &[u64::from(stack) * 0x100]);
    }
    trace.resource(1, ResourceKind::File, 3, "/dev/zero");
    trace
}

#[test]
fn each_thread_has_its_own_time_and_the_kernels_is_in_the_call() {
    let mut trace = started();
    // One computes for 200 ms and is seen four times; one is in `read` for 180 of 200 ms, and seen
    // once outside; one that nobody saw runs for 30 ms.
    trace.switch_in(0, 0, os_id(1));
    trace.switch_in(1, 0, os_id(2));
    for at in [20, 60, 110, 160] {
        trace.sample(0, at * MS, os_id(1), LOOP);
    }
    trace.sample(1, 5 * MS, os_id(2), LOOP);
    trace.call(2, open_call(CallId::READ, 1, READ), 10 * MS, 180 * MS, 64);
    trace.switch_out(0, 200 * MS, os_id(1), false);
    trace.switch_out(1, 200 * MS, os_id(2), false);
    trace.switch_in(0, 210 * MS, os_id(3));
    trace.switch_out(0, 240 * MS, os_id(3), false);
    let samples = cpu_profile(trace, 250 * MS);
    let of = |thread, stack, count, value, is_kernel| ProfileSample {
        thread: ThreadId(thread),
        stack: StackId(stack),
        count,
        value,
        is_kernel,
        ..ProfileSample::default()
    };
    let expected = [
        of(1, LOOP, 4, 200 * MS, false),
        of(2, READ, 1, 180 * MS, true),
        of(3, 0, 0, 30 * MS, false),
        of(2, LOOP, 1, 20 * MS, false),
    ];
    assert_eq!(samples, expected);
}

#[test]
fn what_the_kernel_does_for_a_page_is_no_time_of_the_programs_own() {
    let mut trace = started();
    trace.switch_in(0, 0, os_id(1));
    trace.sample(0, 10 * MS, os_id(1), LOOP);
    let fault =
        |stack| EventKind::Fault { os_thread: os_id(1), address: 0x7000, stack: StackId(stack) };
    // The page is asked for in 3 ms and comes 10 ms later.
    trace.event(ThreadId::cpu(0).0, 20 * MS, fault(READ));
    trace.switch_out(0, 23 * MS, os_id(1), false);
    trace.switch_in(0, 33 * MS, os_id(1));
    // Another is there by then: the thread goes on, and nobody knows since when.
    trace.event(ThreadId::cpu(0).0, 40 * MS, fault(READ));
    trace.region(1, 1, 41 * MS, MS);
    trace.switch_out(0, 60 * MS, os_id(1), false);
    let samples = cpu_profile(trace, 100 * MS);
    let kernel: Vec<_> = samples.iter().filter(|it| it.is_kernel).collect();
    assert_eq!(kernel.len(), 1);
    assert_eq!((kernel[0].stack, kernel[0].value), (StackId(READ), 3 * MS));
    let own: u64 = samples.iter().filter(|it| !it.is_kernel).map(|it| it.value).sum();
    assert_eq!(own, 47 * MS, "of 50 ms on the CPU");
}

#[test]
fn without_switches_a_sample_is_one_nanosecond() {
    let mut trace = started();
    trace.sample(0, 20 * MS, os_id(1), LOOP);
    trace.sample(0, 30 * MS, os_id(1), LOOP);
    let samples = cpu_profile(trace, 100 * MS);
    assert_eq!(samples.iter().map(|it| (it.count, it.value)).collect::<Vec<_>>(), [(2, 2)]);
}

/// A thread is put off its CPU at 10 ms and comes back at 90 ms, if `damage` leaves it like that.
/// What it was ready for as its life says it and as the profile does.
fn ready(damage: impl FnOnce(&mut TraceBuilder)) -> (Nanos, u64) {
    let mut trace = started();
    trace.switch_in(0, 0, os_id(1));
    trace.switch_out(0, 10 * MS, os_id(1), true);
    damage(&mut trace);
    trace.switch_in(0, 90 * MS, os_id(1));
    let lives = lives(trace, 100 * MS);
    let samples = lives.profile(ProfileKind::Sched).samples;
    let of_one = samples.iter().filter(|it| it.thread == ThreadId(1));
    let life = lives.threads.iter().find(|it| it.thread == ThreadId(1)).expect("it has a life");
    (life.times.ready, of_one.map(|it| it.value).sum())
}

#[test]
fn being_ready_is_as_long_in_the_profile_as_in_a_life() {
    let lost = EventKind::LostKernel { records: 1 };
    let (from, to) = (Ticks(30 * MS), Ticks(50 * MS));
    let stopped = Definition::Stopped { from, to, suspended: Nanos(0) };
    let all = [
        ("it comes back", ready(|_| {}), 80),
        ("records are lost", ready(|trace| trace.event(ThreadId::cpu(0).0, 40 * MS, lost)), 30),
        // Its coming onto the CPU in between is missing.
        ("it goes off again", ready(|trace| trace.switch_out(1, 60 * MS, os_id(1), false)), 50),
        ("it is put off again", ready(|trace| trace.switch_out(1, 60 * MS, os_id(1), true)), 80),
        ("the process is stopped", ready(|trace| trace.define(&stopped)), 60),
    ];
    for (what, found, right) in all {
        assert_eq!(found, (Nanos(right * MS), right * MS), "{what}");
    }
}
