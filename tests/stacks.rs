//! Stacks of annotations are complete and right where possible, and otherwise marked; no value of
//! the registers, the stack pointer or the depth causes a crash.
//!
//! Built with `-C force-frame-pointers=yes` these tests walk stacks in the other way. Long, because
//! they share helpers, and each file here is linked as a program of its own.
//!
//! May contain `unsafe`: it sets signal handlers, makes stacks, and puts garbage into registers.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use common::decoded::Decoded;
use common::waiting::{wait_for_generations, wait_until};
use common::{
    Ends, Recorded, alone, annotated, in_own_process, on_thread, record_here, record_with,
};
use exectrace::{OnFull, Options, Stacks, instant, trace_region, traced};
use std::arch::asm;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::c_void;
use std::hint::black_box;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use trace_format::definition::FoundBy;
use trace_format::event::EventKind;
use trace_format::id::StackId;
use trace_format::read::tables::Stack;

unsafe extern "C" {
    /// From libgcc: the begin of the function that contains an instruction.
    fn _Unwind_FindEnclosingFunction(instruction: *const c_void) -> *const c_void;
}

fn with_stacks() -> Options {
    annotated().stacks(Stacks::All)
}

/// The stacks of all events that have one, in order, thread by thread; checks that each is in the
/// trace.
fn stacks(trace: &Decoded) -> Vec<&Stack> {
    let all = trace.tables.threads.keys().flat_map(|&thread| trace.events(thread));
    all.filter_map(|event| stack_of(&event.kind))
        .map(|id| trace.tables.stacks.get(&id).expect("a stack is defined before it is named"))
        .inspect(|stack| {
            let is_known = |&address: &u64| trace.tables.module_at(address).is_some();
            assert!(stack.addresses.iter().all(is_known), "not of code: {stack:x?}");
        })
        .collect()
}

fn stack_of(kind: &EventKind<'_>) -> Option<StackId> {
    match kind {
        EventKind::Region { values, .. }
        | EventKind::RegionBegin { values, .. }
        | EventKind::Instant { values, .. }
        | EventKind::TaskBeginSite { values, .. }
        | EventKind::FutureBegin { values, .. } => values.stack(),
        _ => None,
    }
}

/// How often a stack has a function.
fn count(stack: &Stack, function: usize) -> usize {
    let is_in = |&&address: &&u64| {
        let place = ptr::with_exposed_provenance(address as usize);
        // SAFETY: any address may be asked for.
        let start = unsafe { _Unwind_FindEnclosingFunction(place) };
        start.addr() == function
    };
    stack.addresses.iter().filter(is_in).count()
}

fn calls_region(depth: u32) {
    if depth > 0 {
        calls_region(black_box(depth - 1));
        black_box(depth);
    } else {
        trace_region!("bottom");
    }
}

fn address_of(function: fn(u32)) -> usize {
    function as usize
}

#[traced(args(a))]
fn with_argument(a: u64) {
    black_box(a);
}

#[traced]
async fn future() {}

#[traced(task)]
fn task() {}

fn poll(future: impl Future<Output = ()>) {
    let waker = std::task::Waker::noop();
    let mut context = std::task::Context::from_waker(waker);
    assert!(std::pin::pin!(future).poll(&mut context).is_ready());
}

#[test]
fn whatever_begins_has_the_stack_it_begins_on() {
    fn everything(number: u32) {
        trace_region!("plain");
        with_argument(7);
        instant!("moment", n = number);
        poll(future());
        task();
    }
    let recorded = record_with(with_stacks(), || on_thread("all", || everything(5)));
    let found = stacks(&recorded.trace);
    assert_eq!(found.len(), 5, "{:#?}", recorded.lines_of("all"));
    for stack in found {
        assert_eq!(count(stack, address_of(everything)), 1, "{stack:x?}");
        assert!(!stack.flags.cut, "{stack:x?}");
    }
    let told = recorded.lines_of("all").join("\n");
    assert!(told.contains("with_argument(a=7u)") && told.contains("moment(n=5u)"), "{told}");
}

#[test]
fn without_being_asked_for_there_are_none_and_the_trace_says_where_code_lies() {
    let recorded = record_with(annotated(), || calls_region(1));
    assert_eq!(stacks(&recorded.trace), Vec::<&Stack>::new());
    let tables = &recorded.trace.tables;
    let own = tables.module_at(address_of(calls_region) as u64).expect("the program is mapped");
    let path = std::env::current_exe().expect("there is one");
    assert_eq!(own.path, path.to_string_lossy());
    assert!(own.build_id.len() >= 8, "linkers make them: {:x?}", own.build_id);
    let facility = tables.facilities.get("stacks").expect("it is told");
    assert!(facility.on);
    assert!(facility.note.contains("unwind tables"), "{}", facility.note);
}

#[test]
fn the_same_calls_have_the_same_stack_and_others_another() {
    let recorded = record_with(with_stacks(), || {
        for depth in [3, 3, 4, 3, 4] {
            calls_region(depth);
        }
    });
    let found = stacks(&recorded.trace);
    let depths: Vec<usize> =
        found.iter().map(|stack| count(stack, address_of(calls_region))).collect();
    assert_eq!(depths, [4, 4, 5, 4, 5]);
    let distinct: BTreeSet<_> = found.iter().map(|stack| stack.id).collect();
    assert_eq!(distinct.len(), 2);
}

/// A waker that does nothing. Not `Waker::noop`, which the recorder ignores.
struct Executor;

impl std::task::Wake for Executor {
    fn wake(self: std::sync::Arc<Self>) {}
}

/// Waits for ever.
#[traced]
async fn waits(depth: u32) {
    let mut held = None;
    std::future::poll_fn(|context| {
        held.get_or_insert_with(|| context.waker().clone());
        std::task::Poll::<()>::Pending
    })
    .await;
    black_box(depth);
}

#[test]
fn a_trace_has_the_stacks_that_it_uses_and_not_those_of_earlier_ones() {
    const DEPTHS: u32 = 40;
    let _alone = alone();
    let mut waiting = Box::pin(waits(1));
    let many = record_here(with_stacks().async_stacks(true), || {
        (0..DEPTHS).for_each(calls_region);
        let waker = std::task::Waker::from(std::sync::Arc::new(Executor));
        let mut context = std::task::Context::from_waker(&waker);
        assert!(waiting.as_mut().poll(&mut context).is_pending());
    });
    assert!(many.trace.tables.stacks.len() >= DEPTHS as usize);
    for _ in 0..2 {
        let few = record_here(with_stacks(), || calls_region(3));
        let named: BTreeSet<StackId> = stacks(&few.trace).iter().map(|stack| stack.id).collect();
        let tables = &few.trace.tables;
        // And the stack where a live future waits.
        let waits: BTreeSet<StackId> =
            tables.futures.values().map(|it| it.waits_at).filter(|id| id.0 != 0).collect();
        assert_eq!((named.len(), waits.len()), (1, 1), "{tables:#?}");
        let defined: BTreeSet<StackId> = tables.stacks.keys().copied().collect();
        assert_eq!(defined, &named | &waits);
    }
    drop(waiting);
}

/// Descends 16 calls, on one of 65,536 paths.
fn goes(path: u32, depth: u32) {
    if depth == 0 {
        trace_region!("bottom");
    } else if path & 1 == 0 {
        goes(black_box(path >> 1), black_box(depth - 1));
        black_box(depth);
    } else {
        goes(black_box(path >> 1), black_box(depth - 1));
        black_box(path);
    }
}

#[test]
fn stacks_that_do_not_fit_are_counted_and_the_trace_says_so() {
    // Stacks stay in memory for the life of the process.
    if !in_own_process("stacks_that_do_not_fit_are_counted_and_the_trace_says_so") {
        return;
    }
    const ALL: u32 = 1 << 16;
    for count in [ALL, 1] {
        let options = with_stacks().on_full(OnFull::Wait);
        let recorded = record_with(options, || (0..count).for_each(|path| goes(path, 16)));
        let found = stacks(&recorded.trace).len();
        let told = recorded.trace.tables.facilities.get("names");
        if count == 1 {
            // The next trace uses the first of them again, and loses none.
            assert_eq!((found, told), (1, None));
            continue;
        }
        assert!(found > 1_000 && found < ALL as usize, "{found}: some fit, and not all");
        let told = told.expect("it is told");
        let expected = format!("{} times a stack, 0 times a lock", ALL as usize - found);
        assert!(!told.on && told.note.starts_with(&expected), "{expected}: {told:?}");
    }
}

/// Threads use stacks of earlier traces while traces stop and start: each trace has all stacks that
/// it uses, also those of a thread that was just moving from one trace to the next.
#[test]
fn every_stack_is_defined_among_starts_and_stops() {
    let _alone = alone();
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (ends, _ending) = (&ends, Ends(&ends));
        for _ in 0..3 {
            scope.spawn(move || {
                for depth in (0..20).cycle() {
                    calls_region(depth);
                    instant!("moment", n = depth);
                    poll(future());
                    if ends.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        let act = std::thread::yield_now;
        let count = |_| stacks(&record_here(with_stacks(), act).trace).len();
        let found: usize = (0..100).map(count).sum();
        assert!(found > 0, "nobody recorded anything");
    });
}

#[test]
fn frame_pointers_serve_where_the_program_keeps_them() {
    let recorded = record_with(with_stacks(), || {
        on_thread("pointers", || (0..10).for_each(calls_region));
    });
    let note = &recorded.trace.tables.facilities["stacks"].note;
    let found = stacks(&recorded.trace);
    let by_pointers = |stack: &&&Stack| stack.flags.by == FoundBy::FramePointers;
    let expected = if note.starts_with("frame pointers") { found.len() - 1 } else { 0 };
    // The first walk on a thread uses tables, to find the begin of its stack.
    assert_eq!(found.iter().filter(by_pointers).count(), expected, "{note}: {found:x?}");
    assert!(found.iter().all(|stack| !stack.flags.cut), "{found:x?}");
    let lengths: Vec<_> = found.iter().map(|stack| stack.addresses.len()).collect();
    assert!(lengths.is_sorted_by(|a, b| a + 1 == *b), "each is one deeper: {lengths:?}");
}

#[test]
fn every_trace_defines_the_stacks_it_names() {
    for _ in 0..3 {
        let recorded = record_with(with_stacks(), || calls_region(2));
        assert_eq!(stacks(&recorded.trace).len(), 1);
    }
}

#[test]
fn what_is_too_deep_is_cut_and_marked() {
    let recorded = record_with(with_stacks(), || {
        calls_region(10_000);
        calls_region(30);
    });
    let [deep, shallow] = stacks(&recorded.trace)[..] else { panic!("two regions") };
    assert_eq!((deep.addresses.len(), deep.flags.cut), (64, true));
    assert!(count(deep, address_of(calls_region)) > 55, "{deep:x?}");
    assert_eq!((count(shallow, address_of(calls_region)), shallow.flags.cut), (31, false));
}

#[test]
fn one_in_a_given_number_is_sampled() {
    const REGIONS: u64 = 20_000;
    let options = annotated().stacks(Stacks::Sampled { one_in: 20 });
    let recorded = record_with(options, || {
        for _ in 0..REGIONS {
            calls_region(0);
        }
    });
    let chosen = stacks(&recorded.trace).len();
    // A thousand, plus or minus five standard deviations, with distances evenly between 1 and 39.
    assert!((900..1100).contains(&chosen), "{chosen}");
    let regions = recorded.report.events;
    assert!(regions >= REGIONS, "{regions} events: the others are there without");
}

/// Calls `calls_region` with this value in the frame pointer.
#[inline(never)]
fn call_with_garbage(garbage: u64) {
    // SAFETY: the register is restored; the stack is aligned for a call, below the part that may be
    // in use; all registers that a call may change are declared.
    unsafe {
        asm!(
            "push rbp",
            "push rbx",
            "mov rbx, rsp",
            "sub rsp, 256",
            "and rsp, -16",
            "mov rbp, {garbage}",
            "xor edi, edi",
            "call {function}",
            "mov rsp, rbx",
            "pop rbx",
            "pop rbp",
            garbage = in(reg) garbage,
            function = in(reg) region_for_c as extern "C" fn(u64),
            clobber_abi("C"),
        );
    }
}

extern "C" fn region_for_c(depth: u64) {
    calls_region(depth as u32);
}

#[test]
fn garbage_in_the_frame_pointer_harms_nobody() {
    let heap = Box::new([0x10_u64; 64]);
    let loops: Box<[u64; 2]> = Box::new([0; 2]);
    let recorded = record_with(with_stacks(), || {
        let here = [0_u64; 4];
        let own = here.as_ptr().expose_provenance() as u64;
        let mut values = vec![0, 1, 7, 8, 0x1000, own, own + 1, own - 4096, own | 0xffff];
        values.extend([u64::MAX, u64::MAX - 7, u64::MAX - 15, i64::MAX as u64, 1 << 63]);
        values.push(heap.as_ptr().expose_provenance() as u64);
        values.push(loops.as_ptr().expose_provenance() as u64);
        values.push(address_of(calls_region) as u64);
        values.into_iter().for_each(call_with_garbage);
    });
    let found = stacks(&recorded.trace);
    assert_eq!(found.len(), 17);
    for stack in found {
        // The stack is right as far as it goes: it has the region's function.
        assert_eq!(count(stack, address_of(calls_region)), 1, "{stack:x?}");
    }
}

/// A stack with unmapped memory around it.
struct OwnStack {
    mapping: *mut c_void,
    bytes: usize,
}

impl OwnStack {
    const PAGE: usize = 4096;

    fn new(bytes: usize) -> Self {
        let all = bytes + 2 * Self::PAGE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: `mmap` wants nothing of a fresh mapping.
        let mapping = unsafe { libc::mmap(ptr::null_mut(), all, libc::PROT_NONE, kind, -1, 0) };
        assert_ne!(mapping, libc::MAP_FAILED);
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let start = mapping.wrapping_byte_add(Self::PAGE);
        // SAFETY: `mprotect` wants pages of ours.
        assert_eq!(unsafe { libc::mprotect(start, bytes, access) }, 0);
        Self { mapping, bytes }
    }

    fn start(&self) -> *mut c_void {
        self.mapping.wrapping_byte_add(Self::PAGE)
    }

    /// Runs `function` with the stack pointer `below` bytes below the end.
    fn run(&self, below: usize, function: extern "C" fn(u64), argument: u64) {
        let top = self.start().wrapping_byte_add(self.bytes - below);
        // SAFETY: the stack pointer is restored, and aligned for a call; all registers that a call
        // may change are declared; the other stack is large enough.
        unsafe {
            asm!(
                "push rbx",
                "mov rbx, rsp",
                "mov rsp, {top}",
                "call {function}",
                "mov rsp, rbx",
                "pop rbx",
                top = in(reg) top,
                function = in(reg) function,
                in("rdi") argument,
                clobber_abi("C"),
            );
        }
    }
}

impl Drop for OwnStack {
    fn drop(&mut self) {
        // SAFETY: `munmap` wants a mapping that is not used any more.
        unsafe { libc::munmap(self.mapping, self.bytes + 2 * Self::PAGE) };
    }
}

#[test]
fn on_a_stack_that_is_not_the_threads_nothing_beyond_is_read() {
    let own = OwnStack::new(256 << 10);
    let recorded = record_with(with_stacks(), || {
        for below in [0, 16, 64, 4096, 8192 - 16] {
            [0, 1, 40].into_iter().for_each(|depth| own.run(below, region_for_c, depth));
        }
        calls_region(0);
    });
    let found = stacks(&recorded.trace);
    assert_eq!(found.len(), 16);
    let (last, others) = found.split_last().expect("sixteen");
    for stack in others {
        assert!(count(stack, address_of(calls_region)) >= 1, "{stack:x?}");
    }
    assert!(!last.flags.cut, "back on its own stack: {last:x?}");
}

static HANDLED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// True if this thread has recorded something.
    static RECORDS: Cell<bool> = const { Cell::new(false) };
}

extern "C" fn handler(_: libc::c_int) {
    if !RECORDS.get() {
        // A thread's first event allocates, which a handler must not.
        return;
    }
    HANDLED.fetch_add(1, Ordering::Relaxed);
    instant!("signal");
}

fn handle(signal: libc::c_int, flags: libc::c_int) {
    // SAFETY: all bytes 0 are a valid `sigaction`.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as extern "C" fn(libc::c_int) as usize;
    action.sa_flags = flags | libc::SA_RESTART;
    // SAFETY: `sigaction` wants an action, and a place or none for the one before.
    assert_eq!(unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) }, 0);
}

#[test]
fn handlers_on_their_own_stack_have_stacks_too() {
    let recorded = record_with(with_stacks(), || {
        on_thread("handler", || {
            let own = OwnStack::new(128 << 10);
            let stack = libc::stack_t { ss_sp: own.start(), ss_flags: 0, ss_size: own.bytes };
            // SAFETY: `sigaltstack` wants a stack that stays until there is another.
            assert_eq!(unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) }, 0);
            handle(libc::SIGUSR1, libc::SA_ONSTACK);
            calls_region(0);
            RECORDS.set(true);
            for _ in 0..3 {
                // SAFETY: `raise` wants a signal; it has a handler.
                assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0);
            }
            let none = libc::stack_t { ss_flags: libc::SS_DISABLE, ..stack };
            // SAFETY: as above.
            assert_eq!(unsafe { libc::sigaltstack(&raw const none, ptr::null_mut()) }, 0);
        });
    });
    let found = stacks(&recorded.trace);
    assert_eq!(found.len(), 4);
    for stack in &found[1..] {
        let handler = handler as extern "C" fn(libc::c_int) as usize;
        assert_eq!(count(stack, handler), 1, "{stack:x?}");
    }
}

#[test]
fn a_storm_of_signals_loses_no_count() {
    let before = HANDLED.load(Ordering::Relaxed);
    let mut handled = 0;
    let ends = AtomicBool::new(false);
    let recorded = record_with(with_stacks(), || {
        handle(libc::SIGPROF, 0);
        set_timer(1000);
        std::thread::scope(|scope| {
            let work = || {
                calls_region(5);
                RECORDS.set(true);
                while !ends.load(Ordering::Relaxed) {
                    calls_region(5);
                }
                RECORDS.set(false);
            };
            let _threads = [(); 3].map(|()| scope.spawn(work));
            let _ends = common::Ends(&ends);
            wait_until("signals come", || HANDLED.load(Ordering::Relaxed) >= before + 200);
        });
        set_timer(0);
        // Only the threads whose handlers count have ended.
        handled = HANDLED.load(Ordering::Relaxed) - before;
    });
    let Recorded { trace, report } = &recorded;
    let seen = trace.tables.threads.keys().flat_map(|&thread| trace.events(thread));
    let seen = seen.filter(|event| matches!(event.kind, EventKind::Instant { .. })).count() as u64;
    assert!(seen <= handled && seen > 0, "{seen} of {handled}");
    assert!(seen + report.dropped_events >= handled, "{seen} of {handled}: {report:?}");
    let found = stacks(trace);
    assert!(!found.is_empty());
    for stack in found.iter().filter(|stack| count(stack, address_of(calls_region)) > 0) {
        assert!(stack.addresses.len() >= 6, "{stack:x?}");
    }
}

/// Raises SIGPROF this often per second of CPU time.
fn set_timer(per_second: i64) {
    let every = if per_second == 0 { 0 } else { 1_000_000 / per_second };
    let interval = libc::timeval { tv_sec: 0, tv_usec: every };
    let timer = libc::itimerval { it_interval: interval, it_value: interval };
    // SAFETY: `setitimer` wants a time, and a place or none for the one before.
    let set = unsafe { libc::setitimer(libc::ITIMER_PROF, &raw const timer, ptr::null_mut()) };
    assert_eq!(set, 0);
}

#[test]
fn threads_with_the_smallest_stacks_have_them_too() {
    let recorded = record_with(with_stacks(), || {
        std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().stack_size(1);
            let thread = builder.spawn_scoped(scope, || calls_region(1));
            thread.expect("a thread can be started").join().expect("it ends well");
        });
    });
    let [stack] = stacks(&recorded.trace)[..] else { panic!("one region") };
    assert_eq!((count(stack, address_of(calls_region)), stack.flags.cut), (2, false));
}

#[test]
fn many_threads_at_once_are_served_or_counted() {
    const THREADS: usize = 40;
    const EACH: usize = 500;
    let recorded = record_with(with_stacks(), || {
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| (0..EACH).for_each(|at| calls_region(at as u32 % 10)));
            }
        });
    });
    let found = stacks(&recorded.trace);
    let note = &recorded.trace.tables.facilities["stacks"].note;
    let missed = note.split_once(" were not taken").map_or(0, |(before, _)| {
        before.rsplit(' ').next().and_then(|word| word.parse().ok()).expect("a number before it")
    });
    assert_eq!(recorded.report.dropped_events, 0, "there is memory for all");
    assert_eq!(found.len() + missed, THREADS * EACH, "{note}");
    assert!(!found.is_empty());
    for stack in found {
        assert!(!stack.flags.cut && stack.flags.by != FoundBy::Kernel, "{stack:x?}");
    }
}

#[test]
fn libraries_loaded_meanwhile_are_told() {
    let every = Duration::from_millis(10);
    let mut name = None;
    let recorded = record_with(annotated().generation(every), || {
        name =
            [c"libBrokenLocale.so.1", c"libanl.so.1", c"libutil.so.1"].into_iter().find(|name| {
                let flags = libc::RTLD_NOW;
                // SAFETY: `dlopen` wants a name, and a library whose constructors do no harm: these
                // are of libc.
                !unsafe { libc::dlopen(name.as_ptr(), flags) }.is_null()
            });
        wait_for_generations(3);
    });
    let Some(name) = name else {
        println!("SKIPPED: there is no library here to load");
        return;
    };
    let name = name.to_str().expect("it is plain");
    let modules = recorded.trace.tables.modules.values();
    let found: Vec<_> = modules.filter(|module| module.path.contains(name)).collect();
    assert_eq!(found.len(), 1, "{name} was loaded");
    assert!(found[0].first < found[0].last);
}
