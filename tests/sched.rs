//! The kernel's records of a program's threads: which ran where and when, and why it left the CPU.
//!
//! If the kernel refuses, the trace says why, and the test prints that it skips the rest.
//! Elsewhere: the refusals themselves (`sched_refused`).
//!
//! May contain `unsafe`: it pins threads, reads their CPU time, and has a loop in assembly.
//!
//! Long, because its tests share helpers, and each file here is linked as a program of its own.
#![cfg(target_os = "linux")]

mod common;

use common::decoded::Decoded;
use common::lanes::{Run, lane_events, runs};
use common::waiting::{os_thread, wait_until, wait_until_asleep};
use common::writers::Memory;
use common::{Ends, Recorded, alone, calls, checks, in_own_process, on_thread, record_with};
use exectrace::{Options, trace_region};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use trace_format::event::EventKind;
use trace_format::time::Ticks;

/// Options that record what the kernel reports and nothing else.
fn watched() -> Options {
    Options::new().os(false).heap(false)
}

/// Whether the trace has this facility; if not, prints the reason from the trace.
fn has(trace: &Decoded, name: &str) -> bool {
    let facility = trace.tables.facilities.get(name).expect("the trace has every facility");
    assert!(!facility.note.is_empty(), "{name} says how, or why not");
    if !facility.on {
        eprintln!("SKIPPED: {name}: {}", facility.note);
    }
    facility.on
}

/// The system's id of the calling thread.
fn thread_id() -> u32 {
    // SAFETY: the call takes no memory and always succeeds.
    unsafe { libc::gettid() as u32 }
}

/// CPU time the calling thread has used, in nanoseconds.
fn cpu_time() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call wants room for a time: `time` is that.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Major page faults of the calling thread.
fn major_faults() -> i64 {
    // SAFETY: all zeros are a valid `rusage`.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the call wants room for the numbers: `usage` is that.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    usage.ru_majflt
}

/// Keeps the calling thread on the first CPU it may run on.
fn pin() {
    // SAFETY: all zeros are an empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    let bytes = size_of_val(&set);
    // SAFETY: the call wants memory for a set of the given size: `set` is that.
    unsafe { libc::sched_getaffinity(0, bytes, &raw mut set) };
    // SAFETY: the set has as many bits as are asked for.
    let is_in = |cpu: &usize| unsafe { libc::CPU_ISSET(*cpu, &set) };
    let first = (0..bytes * 8).find(is_in).expect("a thread may run somewhere");
    // SAFETY: all zeros are an empty set.
    let mut only: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the number is one of the set's.
    unsafe { libc::CPU_SET(first, &mut only) };
    // SAFETY: the call wants a set of the given size: `only` is that.
    let pinned = unsafe { libc::sched_setaffinity(0, bytes, &raw const only) };
    assert_eq!(pinned, 0, "a thread may stay where it may run");
}

/// Uses CPU time until `time` has passed on the wall clock.
fn spin(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// The addresses of [`count_down`]'s loop: its begin and its end.
static LOOP: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

/// Runs a loop without calls `count` times, and notes its addresses.
#[inline(never)]
fn count_down(count: u64) {
    let (first, behind): (u64, u64);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instructions touch the registers that are named, and the flags.
    unsafe {
        std::arch::asm!(
            "lea {first}, [rip + 2f]",
            "lea {behind}, [rip + 3f]",
            "2:",
            "dec {count}",
            "jnz 2b",
            "3:",
            first = out(reg) first,
            behind = out(reg) behind,
            count = inout(reg) count => _,
            options(nomem, nostack),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the instructions touch the registers that are named, and the flags.
    unsafe {
        std::arch::asm!(
            "adr {first}, 2f",
            "adr {behind}, 3f",
            "2:",
            "subs {count}, {count}, #1",
            "b.ne 2b",
            "3:",
            first = out(reg) first,
            behind = out(reg) behind,
            count = inout(reg) count => _,
            options(nomem, nostack),
        );
    }
    LOOP[0].store(first, Ordering::Relaxed);
    LOOP[1].store(behind, Ordering::Relaxed);
}

/// How long a thread ran in total, in nanoseconds.
fn ran_ns(trace: &Decoded, runs: &[Run]) -> u64 {
    let long = |run: &Run| trace.tables.clock.duration(Ticks(run.from), Ticks(run.to - run.from)).0;
    runs.iter().map(long).sum()
}

/// Begins and ends of all regions of this name, in ticks.
fn regions(trace: &Decoded, name: &str) -> Vec<(u64, u64)> {
    let events = trace.tables.threads.keys().flat_map(|thread| trace.events(*thread));
    let regions = events.filter_map(|event| match event.kind {
        EventKind::Region { site, duration, .. } if trace.site_name(site) == name => {
            Some((event.ticks.0, event.ticks.0 + duration.0))
        }
        _ => None,
    });
    regions.collect()
}

#[test]
fn threads_that_share_a_cpu_take_turns() {
    let (ids, used) = ([AtomicU32::new(0), AtomicU32::new(0)], [const { AtomicU64::new(0) }; 2]);
    let Recorded { trace, .. } = record_with(watched(), || {
        let together = Barrier::new(2);
        thread::scope(|scope| {
            for at in 0..2 {
                let (ids, used, together) = (&ids, &used, &together);
                scope.spawn(move || {
                    pin();
                    ids[at].store(thread_id(), Ordering::Relaxed);
                    together.wait();
                    spin(Duration::from_millis(300));
                    used[at].store(cpu_time(), Ordering::Relaxed);
                });
            }
        });
    });
    if !has(&trace, "sched") {
        return;
    }
    let all = runs(&trace);
    let mut turns = Vec::new();
    for at in 0..2 {
        let id = u64::from(ids[at].load(Ordering::Relaxed));
        let (ran, used) = (ran_ns(&trace, &all[&id]), used[at].load(Ordering::Relaxed));
        // The kernel's own account is smaller, because it leaves interrupts out.
        assert!(ran as f64 > 0.9 * used as f64, "it used {used} ns, and ran for {ran} ns");
        assert!(all[&id].iter().filter(|run| run.preempted).count() >= 3, "{:?}", all[&id]);
        // Before it was pinned, the thread may have been on another CPU.
        let cpu = all[&id].last().expect("it ran").cpu;
        let there = all[&id].iter().filter(|run| run.cpu == cpu);
        turns.extend(there.map(|run| (run.from, run.to, id)));
    }
    turns.sort_unstable();
    for pair in turns.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "one CPU runs one thread: {pair:?}");
    }
    let changes = turns.windows(2).filter(|pair| pair[0].2 != pair[1].2).count();
    assert!(changes >= 4, "they take turns: {turns:?}");
    let (wall, ran) = (
        turns.last().expect("they ran").1 - turns[0].0,
        turns.iter().map(|turn| turn.1 - turn.0).sum::<u64>(),
    );
    assert!(ran <= wall, "two threads on a CPU ran for {ran} of {wall} ticks");
}

#[test]
fn a_thread_that_sleeps_leaves_by_choice_and_comes_back_within_its_call() {
    let id = AtomicU32::new(0);
    let Recorded { trace, .. } = record_with(watched(), || {
        on_thread("sleeper", || {
            id.store(thread_id(), Ordering::Relaxed);
            for _ in 0..20 {
                trace_region!("nap" => thread::sleep(Duration::from_millis(2)));
            }
        });
    });
    if !has(&trace, "sched") {
        return;
    }
    let runs = &runs(&trace)[&u64::from(id.load(Ordering::Relaxed))];
    let naps = regions(&trace, "nap");
    assert_eq!(naps.len(), 20);
    for (begin, end) in naps {
        let pairs = runs.windows(2).filter(|pair| begin <= pair[0].to && pair[1].from <= end);
        let left = pairs.filter(|pair| !pair[0].preempted).count();
        assert_eq!(left, 1, "it slept between {begin} and {end}: {runs:?}");
    }
}

#[test]
fn a_wait_on_a_lock_encloses_the_time_off_the_cpu() {
    let Recorded { trace, .. } = record_with(Options::new().heap(false), || {
        let (sender, receiver) = mpsc::channel();
        let (known, knows) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(move || {
                let receiver = knows.recv().expect("it says who it is");
                for _ in 0..20 {
                    wait_until_asleep(receiver);
                    sender.send(()).expect("somebody receives");
                }
            });
            on_thread("receiver", move || {
                known.send(os_thread()).expect("somebody asks");
                receiver.iter().for_each(drop);
            });
        });
    });
    if !has(&trace, "sched") || !has(&trace, "os") {
        return;
    }
    let thread = trace.thread("receiver");
    let runs = &runs(&trace)[&trace.tables.threads[&thread].os_id];
    let calls = calls::of_thread(&trace, thread);
    let mut waits = calls.iter().filter(|call| call.name() == "futex_wait" && call.result == 0);
    let encloses = |call: &calls::Call| {
        let end = call.end.expect("it has ended");
        let off = runs.windows(2).filter(|pair| call.begin <= pair[0].to && pair[1].from <= end);
        off.filter(|pair| !pair[0].preempted).count() == 1
    };
    assert!(waits.clone().count() >= 10, "it waited nearly each time: {calls:?}");
    assert!(waits.all(encloses), "{calls:?} {runs:?}");
}

#[test]
fn every_thread_that_ends_has_ceased_to_run() {
    let ids = std::sync::Mutex::new(BTreeSet::new());
    let Recorded { trace, .. } = record_with(watched(), || {
        for _ in 0..25 {
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        spin(Duration::from_micros(20));
                        ids.lock().expect("nobody panics").insert(u64::from(thread_id()));
                    });
                }
            });
        }
        // A joined thread may still run for a moment.
        let ids = ids.lock().expect("nobody panics").clone();
        let is_gone = |id: &u64| !std::path::Path::new(&format!("/proc/self/task/{id}")).exists();
        wait_until("they are gone", || ids.iter().all(is_gone));
    });
    if !has(&trace, "sched") {
        return;
    }
    let (runs, ids) = (runs(&trace), ids.into_inner().expect("nobody panics"));
    let stop = trace.tables.stop.expect("it was stopped").ticks.0;
    for id in ids {
        let last = runs.get(&id).and_then(|runs| runs.last());
        assert!(last.expect("it ran").to < stop, "thread {id} has ended");
    }
}

#[test]
fn a_thread_that_ran_before_the_trace_is_known_to_run_from_its_start() {
    let (id, used, done) = (AtomicU32::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let _alone = alone();
    thread::scope(|scope| {
        let _ends = Ends(&done);
        scope.spawn(|| {
            id.store(thread_id(), Ordering::Relaxed);
            while !done.load(Ordering::Relaxed) {
                used.store(cpu_time(), Ordering::Relaxed);
            }
        });
        while used.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        let (mut first, mut last) = (0, 0);
        let Recorded { trace, .. } = common::record_here(watched(), || {
            first = used.load(Ordering::Relaxed);
            thread::sleep(Duration::from_millis(200));
            last = used.load(Ordering::Relaxed);
        });
        if has(&trace, "sched") {
            let id = u64::from(id.load(Ordering::Relaxed));
            let (ran, used) = (ran_ns(&trace, &runs(&trace)[&id]), last - first);
            assert!(ran as f64 > 0.9 * used as f64, "it used {used} ns, and ran for {ran} ns");
        }
    });
}

#[test]
fn neither_other_processes_nor_the_collector_are_in_it() {
    let mut strangers = Vec::new();
    let Recorded { trace, .. } = record_with(watched(), || {
        for _ in 0..5 {
            let mut child = Command::new("sleep").arg("0.01").spawn().expect("there is `sleep`");
            strangers.push(u64::from(child.id()));
            child.wait().expect("it ends");
        }
        let threads = std::fs::read_dir("/proc/self/task").expect("this is Linux").flatten();
        for thread in threads {
            let name = std::fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
            if name.trim() == "exectrace" {
                strangers.push(thread.file_name().to_str().expect("a number").parse().unwrap());
            }
        }
    });
    assert_eq!(strangers.len(), 6, "five children and the collector");
    let known = runs(&trace);
    for stranger in strangers {
        assert!(!known.contains_key(&stranger), "{stranger} is none of the program's threads");
    }
}

#[test]
fn samples_are_of_the_loop_that_runs() {
    let id = AtomicU32::new(0);
    let Recorded { trace, .. } = record_with(watched().cpu_samples(1000), || {
        on_thread("counter", || {
            id.store(thread_id(), Ordering::Relaxed);
            while cpu_time() < 300_000_000 {
                count_down(10_000_000);
            }
        });
    });
    if !has(&trace, "sched") || !has(&trace, "samples") {
        return;
    }
    let within = LOOP[0].load(Ordering::Relaxed)..LOOP[1].load(Ordering::Relaxed);
    let (mut all, mut inside) = (0, 0);
    for (_, event) in lane_events(&trace) {
        let EventKind::Sample { os_thread, stack } = event.kind else { continue };
        if os_thread == u64::from(id.load(Ordering::Relaxed)) {
            let stack = trace.tables.stacks.get(&stack).expect("stacks are defined");
            all += 1;
            inside += usize::from(within.contains(&stack.addresses[0]));
        }
    }
    assert!((150..=900).contains(&all), "{all} samples of 300 ms at 1 kHz");
    assert!(inside * 10 >= all * 9, "{inside} of {all} samples are in the loop");
}

#[test]
fn a_page_that_has_to_be_read_is_a_fault_where_it_is_touched() {
    const BYTES: usize = 1 << 20;
    let mut file =
        tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).expect("a file can be created");
    file.write_all(&[1; BYTES]).expect("it takes a MiB");
    file.sync_all().expect("it can be brought to the disk");
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&file);
    let (id, mut pages, mut faults) = (AtomicU32::new(0), 0..0, 0);
    let Recorded { trace, .. } = record_with(watched(), || {
        id.store(thread_id(), Ordering::Relaxed);
        // SAFETY: the call takes no memory.
        unsafe { libc::posix_fadvise(descriptor, 0, 0, libc::POSIX_FADV_DONTNEED) };
        let (none, read) = (std::ptr::null_mut(), libc::PROT_READ);
        // SAFETY: a mapping at an address the kernel chooses touches no memory there is.
        let map = unsafe { libc::mmap(none, BYTES, read, libc::MAP_SHARED, descriptor, 0) };
        assert_ne!(map, libc::MAP_FAILED, "a file can be mapped");
        // SAFETY: the call wants a mapping of the given size: `map` is that.
        unsafe { libc::madvise(map, BYTES, libc::MADV_RANDOM) };
        let before = major_faults();
        let first = map.cast::<u8>();
        for at in (0..BYTES).step_by(64 << 10) {
            // SAFETY: the byte is one of the mapping's, which nobody writes.
            assert_eq!(unsafe { first.wrapping_add(at).read_volatile() }, 1);
        }
        faults = major_faults() - before;
        pages = first as u64..first as u64 + BYTES as u64;
        // SAFETY: the call wants a mapping nobody uses any more: `map` is that.
        unsafe { libc::munmap(map, BYTES) };
    });
    if !has(&trace, "sched") || !has(&trace, "faults") {
        return;
    }
    if faults == 0 {
        return eprintln!("SKIPPED: the file's pages can't be made to be read from a disk");
    }
    let mut found = 0;
    for (_, event) in lane_events(&trace) {
        let EventKind::Fault { os_thread, address, stack } = event.kind else { continue };
        if os_thread == u64::from(id.load(Ordering::Relaxed)) && pages.contains(&address) {
            assert!(trace.tables.stacks.contains_key(&stack), "its stack is defined");
            found += 1;
        }
    }
    assert!((1..=faults).contains(&found), "{found} of {faults} major faults");
}

/// Keeps every byte, but does not return while it is stuck.
struct Stuck<'s> {
    memory: Memory,
    stuck: &'s AtomicBool,
    /// Number of writes.
    calls: &'s AtomicU64,
}

impl Write for Stuck<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        wait_until("it is let go", || !self.stuck.load(Ordering::Relaxed));
        self.memory.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_finds_no_room_in_a_ring_is_counted() {
    static STUCK: AtomicBool = AtomicBool::new(false);
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let _alone = alone();
    let memory = Memory::default();
    let writer = Stuck { memory: memory.clone(), stuck: &STUCK, calls: &CALLS };
    let options = watched().generation(Duration::from_millis(10));
    let trace = exectrace::start_with(options, writer).expect("no trace is running");
    let (turns, done, last) = (AtomicU64::new(0), AtomicBool::new(false), AtomicBool::new(false));
    let take_turns = |count: u64| {
        let end = turns.load(Ordering::Relaxed) + count;
        wait_until("they take turns", || turns.load(Ordering::Relaxed) >= end);
    };
    let wait_for_calls = |count: u64| {
        let end = CALLS.load(Ordering::Relaxed) + count;
        wait_until("the collector writes", || CALLS.load(Ordering::Relaxed) >= end);
    };
    let (ping, pong) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                pin();
                loop {
                    // The refusal of one of the two applies to both.
                    if ping.wait().is_leader() {
                        last.store(done.load(Ordering::Relaxed), Ordering::Relaxed);
                        turns.fetch_add(1, Ordering::Relaxed);
                    }
                    pong.wait();
                    if last.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        let _ends = Ends(&done);
        // While the collector is in the writer, it does not read the kernel's records.
        STUCK.store(true, Ordering::Relaxed);
        wait_for_calls(1);
        take_turns(30_000);
        STUCK.store(false, Ordering::Relaxed);
        wait_for_calls(5);
        take_turns(1000);
    });
    let report = trace.stop().expect("memory takes every byte");
    let trace = Decoded::new(&memory.take());
    checks::check(&trace);
    checks::check_report(&trace, &report);
    if !has(&trace, "sched") {
        return;
    }
    let events: Vec<_> = lane_events(&trace).collect();
    let lost = |kind: &EventKind<'_>| match kind {
        EventKind::LostKernel { records } => *records,
        _ => 0,
    };
    let records: u64 = events.iter().map(|(_, event)| lost(&event.kind)).sum();
    let at = events.iter().position(|(_, event)| lost(&event.kind) > 0);
    let at = at.unwrap_or_else(|| panic!("a loss among {} events", events.len()));
    assert!(records > 100, "{records} records lost");
    let after = events[at..].iter().filter(|(cpu, _)| *cpu == events[at].0).count();
    assert!(after > 10, "the lane goes on: {after} events, {records} records lost");
}

#[test]
fn the_recorders_own_threads_are_none_of_the_program() {
    if !in_own_process("the_recorders_own_threads_are_none_of_the_program") {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let builder = exectrace::FlightRecorder::builder().options(watched());
    let recorder = builder.start().expect("none is running");
    recorder.on_slow("slow", Duration::from_millis(1), folder.path()).expect("it can be made");
    let task = exectrace::Task::new("slow");
    thread::sleep(Duration::from_millis(30));
    task.end();
    let is_there = || std::fs::read_dir(folder.path()).expect("a folder").count() > 0;
    wait_until("it is written", is_there);
    // A thread that resolved names, and has ended.
    recorder.snapshot_with_names(std::io::sink()).expect("a sink takes all");
    let mut bytes = Vec::new();
    recorder.snapshot(&mut bytes).expect("memory takes it");
    let tasks = std::fs::read_dir("/proc/self/task").expect("it is there").flatten();
    let is_ours = |entry: &std::fs::DirEntry| {
        let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        name.starts_with("exectrace")
    };
    let (ours, the_programs): (Vec<_>, Vec<_>) = tasks.partition(is_ours);
    recorder.stop();
    let trace = Decoded::new(&bytes);
    checks::check(&trace);
    if !has(&trace, "sched") {
        return;
    }
    let ran = lane_events(&trace).filter_map(|(_, event)| match event.kind {
        EventKind::SwitchIn { os_thread } => Some(os_thread.to_string()),
        _ => None,
    });
    let ran: BTreeSet<_> = ran.collect();
    assert!(ours.len() >= 2, "the collector, and one that writes dumps: {ours:?}");
    let id = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let the_programs: BTreeSet<_> = the_programs.iter().map(id).collect();
    assert!(!ran.is_empty() && ran.is_subset(&the_programs), "{ran:?} of {the_programs:?}");
}
