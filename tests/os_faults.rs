//! Situations that must disturb neither a program whose calls are recorded, nor its trace: signal
//! handlers; threads that come and go, are cancelled, or jump; forks; other programs.
//!
//! May contain `unsafe`: signals, forks and cancelling are.
//!
//! Long, because its tests share helpers, and each file here is linked as a program of its own.

#![cfg(target_os = "linux")]

mod common;

use common::calls::{calls, of_thread};
use common::waiting::{PATIENCE, os_thread, wait_until, wait_until_asleep};
use common::writers::{Locking, Memory};
use common::{Ends, alone, in_own_process, on_thread, record_here, record_with, with_calls};
use exectrace::{OnFull, instant, trace_region};
use libc::{c_int, c_void};
use std::io::{Read, Write};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};
use trace_format::id::CallId;

/// The descriptor that the signal handler writes to.
static SINK: AtomicI32 = AtomicI32::new(-1);
static HANDLED: AtomicU64 = AtomicU64::new(0);
/// True if the handler found `errno` changed by a hook.
static SPOILT: AtomicBool = AtomicBool::new(false);

/// Traces and calls hooked functions.
extern "C" fn handle(_: c_int) {
    // SAFETY: the thread's own.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { errno.read() };
    {
        trace_region!("handler");
        instant!("signal");
        // SAFETY: one byte of a string.
        let written = unsafe { libc::write(SINK.load(Ordering::Relaxed), b"x".as_ptr().cast(), 1) };
        // SAFETY: as above.
        if written == 1 && unsafe { errno.read() } != before {
            SPOILT.store(true, Ordering::Relaxed);
        }
    }
    HANDLED.fetch_add(1, Ordering::Relaxed);
    // SAFETY: as above.
    unsafe { errno.write(before) };
}

/// Raises signals at 1 kHz of the process's CPU time, while it lives.
struct Storm(libc::itimerval);

impl Storm {
    fn new() -> Self {
        // SAFETY: zeros are a valid action.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handle as extern "C" fn(c_int) as usize;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: the handler does what handlers may: it writes, and traces.
        unsafe { libc::sigaction(libc::SIGPROF, &raw const action, ptr::null_mut()) };
        let every = libc::timeval { tv_sec: 0, tv_usec: 1000 };
        Self::set(libc::itimerval { it_interval: every, it_value: every });
        let never = libc::timeval { tv_sec: 0, tv_usec: 0 };
        Self(libc::itimerval { it_interval: never, it_value: never })
    }

    fn set(time: libc::itimerval) {
        // SAFETY: a time, and no place for the old one.
        unsafe { libc::setitimer(libc::ITIMER_PROF, &raw const time, ptr::null_mut()) };
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        Self::set(self.0);
    }
}

#[test]
fn a_storm_of_signals_loses_nothing_uncounted() {
    let null = std::fs::File::options().write(true).open("/dev/null").expect("it is there");
    SINK.store(std::os::fd::AsRawFd::as_raw_fd(&null), Ordering::Relaxed);
    let before = HANDLED.load(Ordering::Relaxed);
    let began = Instant::now();
    let options = with_calls().generation(Duration::from_millis(20));
    let recorded = record_with(options, || {
        let storm = Storm::new();
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    // Longer if signals are slow to come, but not for ever.
                    while HANDLED.load(Ordering::Relaxed) < before + 300
                        && began.elapsed() < PATIENCE
                    {
                        trace_region!("outer");
                        for _ in 0..100 {
                            trace_region!("inner", n = 1);
                            std::hint::black_box(vec![0_u8; 1000]);
                        }
                        // Enough events that can be interrupted; after that only wait.
                        (0..100_000).for_each(|n| _ = std::hint::black_box(n));
                    }
                });
            }
        });
        drop(storm);
    });
    let handled = HANDLED.load(Ordering::Relaxed) - before;
    assert!(handled >= 300, "{handled} signals came");
    assert!(!SPOILT.load(Ordering::Relaxed), "a hook changed errno");
    // The harness writes, too, to other files.
    let resources = &recorded.trace.tables.resources;
    let is_null = |id| resources.get(&id).is_none_or(|known| known.name == "/dev/null");
    let calls = calls(&recorded.trace).into_iter().filter(|call| call.call == CallId::WRITE);
    let writes = calls.filter(|call| is_null(call.open.resource)).count();
    // A signal that interrupted the recorder lost its write, its region and its instant. Each is
    // counted, except on a thread that is just being attached.
    let lost = recorded.report.dropped_events;
    assert!(writes as u64 <= handled, "{writes} of {handled}");
    assert!(writes as u64 + lost >= handled, "{writes} and {lost} lost of {handled}");
    assert!(writes > 0, "most of the time the program itself runs");
}

/// With musl the creation of threads is not hooked.
#[cfg(target_env = "gnu")]
#[test]
fn ten_thousand_short_threads_are_all_known() {
    const ROUNDS: usize = 100;
    let recorded = record_with(with_calls(), || {
        for _ in 0..ROUNDS {
            thread::scope(|scope| {
                let threads = [(); 100].map(|()| scope.spawn(|| std::hint::black_box(1)));
                // The end of a scope would not wait until the threads have ended.
                threads.into_iter().for_each(|thread| _ = thread.join().expect("no panic"));
            });
        }
    });
    let trace = &recorded.trace;
    let made: Vec<_> = trace.tables.threads.values().filter(|thread| thread.entry != 0).collect();
    assert_eq!(made.len(), 100 * ROUNDS);
    let ended = made.iter().filter(|thread| thread.end.is_some_and(|end| end.ended)).count();
    assert_eq!(ended, made.len(), "all have ended, and that was seen");
    assert!(made.iter().all(|thread| thread.parent == made[0].parent && thread.parent.0 != 0));
    let all = calls(trace);
    let creates = all.iter().filter(|call| call.call == CallId::PTHREAD_CREATE);
    assert_eq!(creates.filter(|call| call.result == 0).count(), made.len());
    assert_eq!(recorded.report.dropped_events, 0);
}

// With musl, hooked calls are no cancellation points, and a cancelled thread does not unwind.
#[cfg(target_env = "gnu")]
unsafe extern "C" {
    fn pthread_cancel(thread: libc::pthread_t) -> c_int;
}

/// The thread in the function below; 0 before a thread is there.
static WAITING: AtomicI32 = AtomicI32::new(0);

#[cfg(target_env = "gnu")]
extern "C-unwind" fn wait_for_ever(pipe: *mut c_void) -> *mut c_void {
    let mut byte = 0_u8;
    WAITING.store(os_thread(), Ordering::Relaxed);
    let place = (&raw mut byte).cast();
    // SAFETY: a place for one byte. The thread is cancelled in here: it has nothing to drop.
    unsafe { libc::read(pipe as c_int, place, 1) };
    ptr::null_mut()
}

#[cfg(target_env = "gnu")]
#[test]
fn a_thread_that_is_cancelled_ends_and_its_call_stays_open() {
    let recorded = record_with(with_calls(), || {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let argument = std::os::fd::AsRawFd::as_raw_fd(&reader) as usize as *mut c_void;
        let mut handle = 0;
        let routine = wait_for_ever as extern "C-unwind" fn(*mut c_void) -> *mut c_void;
        // SAFETY: the type differs in what may unwind only, which the system does when it cancels.
        let routine = unsafe {
            std::mem::transmute::<
                extern "C-unwind" fn(*mut c_void) -> *mut c_void,
                extern "C" fn(*mut c_void) -> *mut c_void,
            >(routine)
        };
        // SAFETY: a place for the handle, no attributes, a routine and what it takes.
        let failed =
            unsafe { libc::pthread_create(&raw mut handle, ptr::null(), routine, argument) };
        assert_eq!(failed, 0);
        wait_until("it runs", || WAITING.load(Ordering::Relaxed) != 0);
        wait_until_asleep(WAITING.load(Ordering::Relaxed));
        let mut result = ptr::null_mut();
        // SAFETY: a handle that was neither joined nor detached.
        unsafe { pthread_cancel(handle) };
        // SAFETY: as above.
        assert_eq!(unsafe { libc::pthread_join(handle, &raw mut result) }, 0);
        assert_eq!(result as isize, -1, "PTHREAD_CANCELED");
        drop(writer);
    });
    let trace = &recorded.trace;
    let entry = wait_for_ever as extern "C-unwind" fn(*mut c_void) -> *mut c_void as usize as u64;
    let mut threads = trace.tables.threads.values();
    let cancelled = threads.find(|thread| thread.entry == entry).expect("it began there");
    assert!(cancelled.end.expect("a total").ended);
    let calls = of_thread(trace, cancelled.id);
    let read = calls.iter().find(|call| call.call == CallId::READ);
    assert!(read.is_none_or(|read| read.end.is_none()), "it never returned: {read:?}");
}

unsafe extern "C" {
    fn atexit(act: extern "C" fn()) -> c_int;
}

/// Number of calls of the functions below that have returned.
static CAME: AtomicU64 = AtomicU64::new(0);

extern "C" fn call_something() {
    // SAFETY: a wrong descriptor, and no place.
    let result = unsafe { libc::read(-1, ptr::null_mut(), 0) };
    if result == -1 {
        CAME.fetch_add(1, Ordering::Relaxed);
    }
}

/// Runs before `main`, before or after the hooks have looked up the real functions.
#[used]
// SAFETY: entries of this section are functions without arguments that the system calls once.
#[unsafe(link_section = ".init_array")]
static EARLY: extern "C" fn() = call_something;

/// Runs very early: entries with a priority run before those without.
#[used]
// SAFETY: as above.
#[unsafe(link_section = ".init_array.00101")]
static FIRST: extern "C" fn() = call_something;

#[test]
fn calls_before_main_come_through() {
    assert!(CAME.load(Ordering::Relaxed) >= 2);
    // SAFETY: a function that may run at any time. What it does after `main` can't be asserted;
    // that the test's process ends well can.
    unsafe { atexit(call_something) };
}

#[test]
fn destructors_of_thread_locals_may_call() {
    struct Calls;
    impl Drop for Calls {
        fn drop(&mut self) {
            call_something();
            thread::sleep(Duration::from_millis(1));
        }
    }
    thread_local!(static CALLS: Calls = const { Calls });
    let before = CAME.load(Ordering::Relaxed);
    let recorded = record_with(with_calls(), || {
        on_thread("destroyed", || CALLS.with(|_| ()));
    });
    assert!(CAME.load(Ordering::Relaxed) > before);
    let calls = of_thread(&recorded.trace, recorded.trace.thread("destroyed"));
    assert!(calls.iter().any(|call| call.call == CallId::CLOCK_NANOSLEEP), "{calls:?}");
}

#[test]
fn a_forked_child_records_nothing_and_works() {
    let _alone = alone();
    record_here(with_calls(), || {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        // SAFETY: the child writes one byte and leaves.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let fd = std::os::fd::AsRawFd::as_raw_fd(&writer);
            let is_off = !exectrace::is_enabled();
            let byte = if is_off { b"y" } else { b"n" };
            // SAFETY: one byte of a string.
            unsafe { libc::write(fd, byte.as_ptr().cast(), 1) };
            // SAFETY: nothing is to be cleaned up.
            unsafe { libc::_exit(0) };
        }
        drop(writer);
        let mut answer = String::new();
        reader.read_to_string(&mut answer).expect("it is text");
        assert_eq!(answer, "y");
        // SAFETY: a child of ours.
        assert_eq!(unsafe { libc::waitpid(child, ptr::null_mut(), 0) }, child);
    });
}

#[test]
fn other_programs_can_be_started_and_waited_for() {
    let recorded = record_with(with_calls(), || {
        on_thread("parent", || {
            let mut command = std::process::Command::new("cat");
            command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
            let mut child = command.spawn().expect("there is a cat");
            child.stdin.take().expect("it was asked for").write_all(b"hello").expect("it reads");
            let output = child.wait_with_output().expect("it ends");
            assert_eq!(output.stdout, b"hello");
            assert!(output.status.success());
        });
    });
    let calls = of_thread(&recorded.trace, recorded.trace.thread("parent"));
    let waited = |call: &&common::calls::Call| {
        matches!(call.call, CallId::WAITPID | CallId::WAIT4 | CallId::WAITID)
    };
    assert!(calls.iter().any(|call| waited(&call) || call.call == CallId::POLL), "{calls:?}");
}

#[test]
fn starting_and_stopping_among_busy_threads_is_safe() {
    let _alone = alone();
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        let (ends, _ending) = (&ends, Ends(&ends));
        for _ in 0..3 {
            scope.spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_micros(50));
                    thread::yield_now();
                    thread::scope(|scope| _ = scope.spawn(thread::yield_now));
                }
            });
        }
        for _ in 0..30 {
            let recorded = record_here(with_calls(), || thread::sleep(Duration::from_millis(3)));
            // No id has two threads at one time: an id is used again only after its thread has
            // ended.
            let threads = &recorded.trace.tables.threads;
            for thread in threads.values() {
                let same = threads.values().filter(|it| it.os_id == thread.os_id);
                let alive = same.filter(|it| !it.end.is_some_and(|end| end.ended));
                assert!(alive.count() <= 1, "{thread:?}");
            }
        }
    });
}

#[test]
fn names_of_threads_are_whole() {
    let recorded = record_with(with_calls(), || {
        on_thread("a name of more than fifteen bytes", thread::yield_now);
    });
    recorded.trace.thread("a name of more than fifteen bytes");
}

/// Set in the process that is to overflow its stack.
const OVERFLOW: &str = "EXECTRACE_TEST_OVERFLOW";

/// Under `OnFull::Wait`, events that the user did not write do not wait for memory: the collector
/// may be waiting for a lock that the program holds.
#[test]
fn a_program_that_holds_a_lock_of_its_writer_goes_on() {
    if !in_own_process("a_program_that_holds_a_lock_of_its_writer_goes_on") {
        return;
    }
    // SAFETY: `alarm` wants a number: the process is ended if it stands still.
    unsafe { libc::alarm(100) };
    let (lock, memory) = (Arc::new(Mutex::new(())), Memory::default());
    let writer = Locking { lock: Arc::clone(&lock), memory: memory.clone() };
    let options = with_calls().memory_max(64 << 10).on_full(OnFull::Wait);
    let trace = exectrace::start_with(options, writer).expect("none is running");
    let null = std::fs::File::options().write(true).open("/dev/null").expect("it is there");
    {
        let _held = lock.lock().expect("nobody panics with it");
        // Three times as many as fit: a call takes about ten bytes.
        (0..20_000).for_each(|_| _ = (&null).write(b"x").expect("it takes every byte"));
        // A thread attaches, and ends.
        thread::spawn(|| ()).join().expect("it does not panic");
        // Polls and wakes, which are not the user's annotations.
        (0..20_000).for_each(|_| poll_and_wake());
    }
    // The user's events wait for memory, and are all there.
    (0..20_000_u64).for_each(|at| instant!("afterwards", at));
    let report = trace.stop().expect("memory takes every byte");
    assert!(report.dropped_events > 0, "{report:?}");
    let trace = common::decoded::Decoded::new(&memory.take());
    common::checks::check(&trace);
    common::checks::check_report(&trace, &report);
    let moments = trace.tables.threads.keys().flat_map(|&thread| trace.events(thread));
    let is_moment = |kind| matches!(kind, trace_format::event::EventKind::Instant { .. });
    assert_eq!(moments.filter(|event| is_moment(event.kind)).count(), 20_000);
}

/// A waker that does nothing. Not `Waker::noop`, because wakes through that are not recorded.
struct Executor;

impl Wake for Executor {
    fn wake(self: Arc<Self>) {}
}

#[exectrace::traced]
async fn waits_once() {
    let mut is_first = true;
    std::future::poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::take(&mut is_first) { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
}

/// Polls a future twice, and wakes it each time.
fn poll_and_wake() {
    let mut future = std::pin::pin!(waits_once());
    let waker = Waker::from(Arc::new(Executor));
    let mut context = Context::from_waker(&waker);
    assert!(future.as_mut().poll(&mut context).is_pending());
    assert!(future.as_mut().poll(&mut context).is_ready());
}

/// Recurses deeper than any stack.
fn sink(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { sink(depth + 1) + room[3] }
}

#[test]
fn overflows_if_it_is_told_to() {
    if std::env::var_os(OVERFLOW).is_some() {
        record_with(with_calls(), || on_thread("deep", || _ = sink(0)));
    }
}

#[test]
fn a_stack_that_overflows_is_reported_as_ever() {
    use std::os::unix::process::ExitStatusExt;
    let program = std::env::current_exe().expect("this test");
    let mut command = std::process::Command::new(program);
    command.args(["--exact", "overflows_if_it_is_told_to", "--nocapture"]).env(OVERFLOW, "1");
    let output = command.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr);
    // Rust's handler prints that on a short stack of its own.
    assert!(text.contains("has overflowed its stack"), "{}: {text}", output.status);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT));
}

/// glibc's minimum. musl allows 2 KiB, which is too little for recording.
const SMALLEST_STACK_BYTES: usize = 16 << 10;

/// Makes calls on a thread with the smallest stack.
extern "C" fn call_from_short_stack(_: *mut c_void) -> *mut c_void {
    let mut byte = 0_u8;
    // SAFETY: there is no such descriptor.
    let count = unsafe { libc::read(-1, (&raw mut byte).cast(), 1) };
    ptr::without_provenance_mut(count.unsigned_abs())
}

#[test]
fn calls_on_the_shortest_of_stacks_do_not_overflow_it() {
    let recorded = record_with(with_calls(), || {
        for _ in 0..20 {
            // SAFETY: zeros, until they are set up in the next line.
            let mut attributes: libc::pthread_attr_t = unsafe { std::mem::zeroed() };
            // SAFETY: a place for attributes.
            unsafe { libc::pthread_attr_init(&raw mut attributes) };
            let bytes = libc::PTHREAD_STACK_MIN.max(SMALLEST_STACK_BYTES);
            // SAFETY: attributes that are set up.
            let failed = unsafe { libc::pthread_attr_setstacksize(&raw mut attributes, bytes) };
            assert_eq!(failed, 0);
            let mut thread = std::mem::MaybeUninit::<libc::pthread_t>::uninit();
            let mut result = ptr::null_mut();
            let (begin, place) = (call_from_short_stack, thread.as_mut_ptr());
            // SAFETY: a function that takes anything.
            let failed = unsafe {
                libc::pthread_create(place, &raw const attributes, begin, ptr::null_mut())
            };
            assert_eq!(failed, 0);
            // SAFETY: the call before has not failed, so the handle is there.
            let thread = unsafe { thread.assume_init() };
            // SAFETY: a thread that was made just now.
            unsafe { libc::pthread_join(thread, &raw mut result) };
            assert_eq!(result.addr(), 1);
        }
    });
    let reads = calls(&recorded.trace);
    let reads = reads.iter().filter(|call| call.call == CallId::READ);
    assert_eq!(reads.filter(|call| call.result == -i64::from(libc::EBADF)).count(), 20);
}
