//! Signal handlers that interrupt the allocator: whatever they record, the recorder must not enter
//! the allocator there, because its thread would wait for itself for ever.
//!
//! This program has an allocator of its own below Rust's and libc's. When it is told to, the
//! allocator raises a signal from within itself, and ends the program if that signal's handler
//! enters it. Each test runs in a process of its own, which an alarm kills if it hangs.
//!
//! May contain `unsafe`: it defines functions of libc, and handles signals.
//!
//! Long, because its tests share helpers, and each file here is linked as a program of its own.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use common::decoded::Decoded;
use common::writers::Memory;
use common::{annotated, checks, in_own_process};
use exectrace::{FlightRecorder, Heap, Options, Report, Task, counter, instant, log, trace_region};
use std::cell::{Cell, UnsafeCell};
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::IntoRawFd as _;
use std::os::unix::thread::JoinHandleExt as _;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, Once, mpsc};
use std::thread;
use std::time::Duration;
use trace_format::event::EventKind;

#[global_allocator]
static HEAP: Heap = Heap::system();

/// A process that hangs is killed after this time.
const PATIENCE_SECONDS: u32 = 300;

/// The allocator, on top of the system's.
mod allocator {
    use super::{ARMED, INSIDE};
    use libc::{c_int, c_void, size_t};

    unsafe extern "C" {
        fn __libc_malloc(bytes: size_t) -> *mut c_void;
        fn __libc_calloc(count: size_t, bytes: size_t) -> *mut c_void;
        fn __libc_realloc(block: *mut c_void, bytes: size_t) -> *mut c_void;
        fn __libc_memalign(align: size_t, bytes: size_t) -> *mut c_void;
        fn __libc_free(block: *mut c_void);
    }

    fn inside<T>(act: impl FnOnce() -> T) -> T {
        if INSIDE.replace(true) {
            let text = "the allocator was entered by a handler that has interrupted it\n";
            // SAFETY: `write` wants bytes; `abort` may be called at any time.
            unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
            // SAFETY: as above.
            unsafe { libc::abort() };
        }
        if ARMED.replace(false) {
            // SAFETY: `raise` wants a signal; its handler may run anywhere.
            unsafe { libc::raise(libc::SIGUSR1) };
        }
        let result = act();
        INSIDE.set(false);
        result
    }

    // SAFETY: this implements libc's function by libc's internal one; so do those below.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn malloc(bytes: size_t) -> *mut c_void {
        // SAFETY: the caller promises what the function wants; so it is below.
        inside(|| unsafe { __libc_malloc(bytes) })
    }

    // SAFETY: as above.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn calloc(count: size_t, bytes: size_t) -> *mut c_void {
        // SAFETY: as above.
        inside(|| unsafe { __libc_calloc(count, bytes) })
    }

    // SAFETY: as above.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn realloc(block: *mut c_void, bytes: size_t) -> *mut c_void {
        // SAFETY: as above.
        inside(|| unsafe { __libc_realloc(block, bytes) })
    }

    // SAFETY: as above.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memalign(align: size_t, bytes: size_t) -> *mut c_void {
        // SAFETY: as above.
        inside(|| unsafe { __libc_memalign(align, bytes) })
    }

    // SAFETY: as above.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn aligned_alloc(align: size_t, bytes: size_t) -> *mut c_void {
        // SAFETY: as above.
        inside(|| unsafe { __libc_memalign(align, bytes) })
    }

    // SAFETY: as above.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn posix_memalign(
        into: *mut *mut c_void,
        align: size_t,
        bytes: size_t,
    ) -> c_int {
        // SAFETY: as above.
        let block = inside(|| unsafe { __libc_memalign(align, bytes) });
        if block.is_null() {
            return libc::ENOMEM;
        }
        // SAFETY: the caller gives a place.
        unsafe { into.write(block) };
        0
    }

    // SAFETY: as above.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn free(block: *mut c_void) {
        // SAFETY: as above.
        inside(|| unsafe { __libc_free(block) });
    }
}

thread_local! {
    /// True while this thread is in the allocator.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// True if the allocator is to raise the signal.
    static ARMED: Cell<bool> = const { Cell::new(false) };
}

/// What the handler does.
static ACT: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

/// Number of signals handled.
static HANDLED: AtomicU64 = AtomicU64::new(0);

/// The descriptor that the handler writes to.
static NOWHERE: AtomicI32 = AtomicI32::new(-1);

extern "C" fn handle(_: libc::c_int) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
    let act = ACT.load(Ordering::Relaxed);
    if !act.is_null() {
        // SAFETY: only `handle_with` stores there: functions of this type.
        let act = unsafe { std::mem::transmute::<*mut (), fn()>(act) };
        act();
    }
}

/// From now on this process's handler calls `act`. `flags` are added to the usual ones.
fn handle_with(act: fn(), flags: libc::c_int) {
    // SAFETY: `alarm` wants a number: the process is ended if it stands still.
    unsafe { libc::alarm(PATIENCE_SECONDS) };
    assert_eq!(LONG_TEXT.len(), 5000, "it is made here, not in a handler");
    let null = std::fs::File::options().write(true).open("/dev/null").expect("it is there");
    NOWHERE.store(null.into_raw_fd(), Ordering::Relaxed);
    prepare_system_calls();
    ACT.store(act as *mut (), Ordering::Relaxed);
    // SAFETY: zeros are an action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handle as extern "C" fn(libc::c_int) as usize;
    action.sa_flags = libc::SA_RESTART | flags;
    // SAFETY: `sigaction` wants an action whose handler may run at any time.
    let failed = unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) };
    assert_eq!(failed, 0);
}

/// Interrupts the allocator once.
fn interrupt() {
    let before = HANDLED.load(Ordering::Relaxed);
    ARMED.set(true);
    drop(black_box(Box::new(1_u64)));
    assert!(HANDLED.load(Ordering::Relaxed) > before, "the handler has run");
}

/// Does what handlers of programs do: an annotation, and a system call that may be hooked.
fn little() {
    trace_region!("in handler");
    instant!("handled");
    let to = NOWHERE.load(Ordering::Relaxed);
    // SAFETY: `write` wants a byte.
    unsafe { libc::write(to, b"x".as_ptr().cast(), 1) };
    counter!("handlers", 1_u64);
    system_calls();
}

/// The two ends of a connection, which have names; and a semaphore.
static PAIR: [AtomicI32; 2] = [const { AtomicI32::new(-1) }; 2];
static SEMAPHORE: Semaphore = Semaphore(UnsafeCell::new(MaybeUninit::zeroed()));

struct Semaphore(UnsafeCell<MaybeUninit<libc::sem_t>>);

// SAFETY: `Sync` wants that all threads may use it at once: semaphores allow that.
unsafe impl Sync for Semaphore {}

/// Opens what handlers use, outside of any handler.
fn prepare_system_calls() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let left = TcpStream::connect(listener.local_addr().expect("it has one")).expect("it listens");
    let (right, _) = listener.accept().expect("somebody has connected");
    for (place, socket) in PAIR.iter().zip([left, right]) {
        socket.set_nonblocking(true).expect("it is a socket");
        place.store(socket.into_raw_fd(), Ordering::Relaxed);
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: `sem_init` wants a place for a semaphore: nobody has used it yet, and it stays.
        assert_eq!(unsafe { libc::sem_init(SEMAPHORE.0.get().cast(), 0, 0) }, 0);
    });
}

/// Makes one call of each hooked family that may be called in handlers (POSIX, section 2.4.3).
fn system_calls() {
    let [left, right] = PAIR.each_ref().map(|it| it.load(Ordering::Relaxed));
    let mut byte = 0_u8;
    let mut ready = libc::pollfd { fd: right, events: libc::POLLIN, revents: 0 };
    let now = libc::timespec { tv_sec: 0, tv_nsec: 1 };
    let mut slept = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `send` wants a byte.
    unsafe { libc::send(left, b"x".as_ptr().cast(), 1, 0) };
    // SAFETY: `poll` wants descriptors.
    unsafe { libc::poll(&raw mut ready, 1, 0) };
    // SAFETY: `read` wants a place for a byte.
    unsafe { libc::read(right, (&raw mut byte).cast(), 1) };
    // SAFETY: `dup` and `close` take numbers.
    let copy = unsafe { libc::dup(right) };
    // SAFETY: as above.
    unsafe { libc::close(copy) };
    // SAFETY: `socket` takes numbers.
    let socket = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0) };
    // SAFETY: as above.
    unsafe { libc::close(socket) };
    // SAFETY: `open` wants a name.
    let file = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY) };
    // SAFETY: as above.
    unsafe { libc::close(file) };
    // SAFETY: `sem_post` wants a semaphore.
    unsafe { libc::sem_post(SEMAPHORE.0.get().cast()) };
    // SAFETY: `nanosleep` wants times.
    unsafe { libc::nanosleep(&raw const now, &raw mut slept) };
    // SAFETY: `waitpid` takes numbers; there is no such child.
    unsafe { libc::waitpid(i32::MAX, std::ptr::null_mut(), libc::WNOHANG) };
}

/// Longer than fits on the stack, and longer than the part of a value that is kept.
static LONG_TEXT: LazyLock<String> = LazyLock::new(|| "x".repeat(5000));

/// Fills several batches, and records long texts.
fn much() {
    for at in 0..4000_u64 {
        instant!("handled", at);
        counter!("handlers", at);
    }
    system_calls();
    let long = LONG_TEXT.as_str();
    log!("handler", "{long} and {}", 1);
    instant!("handled at length", a = long, b = ?long, c = %long);
}

/// Number of instants of this call site in a trace.
fn moments(trace: &Decoded, name: &str) -> usize {
    let is_it = |kind: &EventKind<'_>| match kind {
        EventKind::Instant { site, .. } => trace.site_name(*site) == name,
        _ => false,
    };
    let threads = trace.tables.threads.keys();
    threads.map(|&id| trace.events(id).filter(|event| is_it(&event.kind)).count()).sum()
}

/// Options that record everything, and options for annotations alone.
fn kinds_of_options() -> [Options; 2] {
    let all = Options::new().heap_sample_bytes(1).generation(Duration::from_millis(10));
    [annotated(), all]
}

/// Records `act` into memory.
fn record(options: Options, act: impl FnOnce()) -> (Decoded, Report) {
    let memory = Memory::default();
    let trace = exectrace::start_with(options, memory.clone()).expect("none is running");
    act();
    let report = trace.stop().expect("memory takes every byte");
    let trace = Decoded::new(&memory.take());
    checks::check(&trace);
    checks::check_report(&trace, &report);
    (trace, report)
}

const LONG: &str = "a name of more than fifteen bytes";

#[test]
fn a_threads_first_event_may_come_in_such_a_handler() {
    if !in_own_process("a_threads_first_event_may_come_in_such_a_handler") {
        return;
    }
    handle_with(little, 0);
    for options in kinds_of_options() {
        let (trace, report) = record(options, || {
            let run = || {
                interrupt();
                // The name of the thread is recorded once a batch is full, outside the handler.
                (0..4000_u64).for_each(|at| instant!("ordinary", at));
            };
            let builder = thread::Builder::new().name(LONG.to_owned());
            builder.spawn(run).expect("a thread").join().expect("it does not panic");
        });
        assert_eq!(moments(&trace, "handled"), 1);
        assert_eq!(moments(&trace, "ordinary"), 4000);
        assert_eq!(report.dropped_events, 0, "{report:?}");
        let names: Vec<_> = trace.tables.threads.values().map(|thread| &*thread.name).collect();
        assert!(names.contains(&LONG), "{names:?}");
    }
}

#[test]
fn so_may_its_first_event_of_the_next_trace() {
    if !in_own_process("so_may_its_first_event_of_the_next_trace") {
        return;
    }
    handle_with(little, 0);
    let (go, goes) = mpsc::channel::<()>();
    let (done, is_done) = mpsc::channel();
    let run = move || {
        while goes.recv().is_ok() {
            interrupt();
            instant!("ordinary");
            done.send(()).expect("somebody waits");
        }
    };
    let thread = thread::Builder::new().name(LONG.to_owned()).spawn(run).expect("a thread");
    for options in kinds_of_options().into_iter().cycle().take(10) {
        let (trace, _) = record(options, || {
            go.send(()).expect("the thread is there");
            is_done.recv().expect("it does not panic");
        });
        assert_eq!((moments(&trace, "handled"), moments(&trace, "ordinary")), (1, 1));
    }
    drop(go);
    thread.join().expect("it does not panic");
}

#[test]
fn batches_may_become_full_in_such_a_handler() {
    if !in_own_process("batches_may_become_full_in_such_a_handler") {
        return;
    }
    handle_with(much, 0);
    for options in kinds_of_options() {
        let (trace, report) = record(options, || {
            thread::scope(|scope| (0..3).for_each(|_| _ = scope.spawn(interrupt)));
            interrupt();
        });
        assert_eq!(moments(&trace, "handled"), 4 * 4000);
        assert_eq!(moments(&trace, "handled at length"), 4);
        assert_eq!(report.dropped_events, 0, "{report:?}");
    }
}

/// A handler whose own signal is not blocked while it runs: the recorder cannot see that it runs.
#[test]
fn so_may_they_if_its_signal_is_not_blocked() {
    if !in_own_process("so_may_they_if_its_signal_is_not_blocked") {
        return;
    }
    handle_with(much, libc::SA_NODEFER);
    for options in kinds_of_options() {
        let (trace, _) = record(options, || {
            thread::scope(|scope| _ = scope.spawn(interrupt));
        });
        assert_eq!(moments(&trace, "handled"), 4000);
    }
}

#[test]
fn so_may_they_if_such_a_handler_comes_after_the_start() {
    if !in_own_process("so_may_they_if_such_a_handler_comes_after_the_start") {
        return;
    }
    for flags in [libc::SA_NODEFER, libc::SA_NODEFER | libc::SA_RESETHAND] {
        for options in kinds_of_options() {
            // The call site of the trace before.
            handle_with(little, 0);
            // No generation ends meanwhile, so nothing checks for handlers.
            let options = options.generation(Duration::from_secs(1));
            let (trace, _) = record(options, || {
                handle_with(much, flags);
                thread::scope(|scope| _ = scope.spawn(interrupt));
            });
            assert_eq!(moments(&trace, "handled"), 4000);
        }
    }
}

/// Interrupts the allocator while its thread's locals are destroyed.
struct AtTheEnd;

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        interrupt();
    }
}

#[test]
fn a_thread_may_end_in_such_a_handlers_company() {
    thread_local!(static LAST: AtTheEnd = const { AtTheEnd });
    if !in_own_process("a_thread_may_end_in_such_a_handlers_company") {
        return;
    }
    handle_with(little, 0);
    for options in kinds_of_options() {
        let (trace, _) = record(options, || {
            for is_known in [true, false] {
                let run = move || {
                    LAST.with(|_| ());
                    if is_known {
                        instant!("ordinary");
                    }
                };
                thread::spawn(run).join().expect("it does not panic");
            }
        });
        assert_eq!(moments(&trace, "handled"), 2);
    }
}

/// The task that the handler ends.
static TASK: Mutex<Option<Task>> = Mutex::new(None);

/// Begins a task and ends it, ends another by its handle, and a third by dropping its last handle.
fn tasks() {
    let task = Task::new("in handler");
    let working = task.enter();
    drop(task.subtask("part"));
    drop(working);
    task.end();
    // The lock is free: the handler runs only when it is told to.
    drop(TASK.lock().expect("nobody panics with it").take());
}

#[test]
fn tasks_may_begin_and_end_in_such_a_handler_and_be_too_slow() {
    if !in_own_process("tasks_may_begin_and_end_in_such_a_handler_and_be_too_slow") {
        return;
    }
    handle_with(tasks, 0);
    // Lanes of CPUs may begin before the trace, which is not checked here.
    for options in kinds_of_options().map(|options| options.sched(false)) {
        let folder = tempfile::tempdir().expect("a folder");
        let builder = FlightRecorder::builder().max_bytes(1 << 20).options(options.clone());
        let recorder = builder.start().expect("none is running");
        let none = Duration::ZERO;
        recorder.on_slow("before", none, folder.path()).expect("it can be watched for");
        let (trace, report) = record(options, || {
            let end = || {
                let task = Task::new("before");
                *TASK.lock().expect("nobody panics with it") = Some(task);
                interrupt();
                assert_eq!(Task::current().id(), 0, "the handler has left its task");
            };
            thread::spawn(end).join().expect("it does not panic");
        });
        let count = |is_it: fn(&EventKind<'_>) -> bool| {
            let threads = trace.tables.threads.keys();
            threads.map(|&id| trace.events(id).filter(|it| is_it(&it.kind)).count()).sum::<usize>()
        };
        assert_eq!(count(|kind| matches!(kind, EventKind::TaskBegin { .. })), 3);
        assert_eq!(count(|kind| matches!(kind, EventKind::TaskEnd { .. })), 3);
        assert_eq!(report.dropped_events, 0, "{report:?}");
        // The recorder's own thread writes it. An alarm kills a process that waits for ever.
        while std::fs::read_dir(folder.path()).expect("it is there").next().is_none() {
            thread::sleep(Duration::from_millis(1));
        }
        recorder.stop();
    }
}

/// Runs threads that allocate and free, and are replaced, while signals come.
fn churn(end: &AtomicBool) {
    let mut kept = Vec::new();
    for round in 0..3000_usize {
        if end.load(Ordering::Relaxed) {
            break;
        }
        kept.push(vec![0_u8; 1 + round * 37 % 20_000]);
        if kept.len() > 20 {
            kept.swap_remove(round % 20);
        }
        if round % 16 == 0 {
            ARMED.set(true);
        }
    }
    let task = Task::new("churned");
    let _working = task.enter();
}

/// Traces of every kind start and stop while threads begin and end, and signals come at any moment,
/// from within the allocator and from outside.
#[test]
fn a_storm_of_signals_stops_nothing() {
    if !in_own_process("a_storm_of_signals_stops_nothing") {
        return;
    }
    handle_with(little, 0);
    let folder = tempfile::tempdir().expect("a folder");
    let end = Arc::new(AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !end.load(Ordering::Relaxed) {
                    let end = Arc::clone(&end);
                    let worker = thread::Builder::new().name(LONG.to_owned());
                    let worker = worker.spawn(move || churn(&end)).expect("a thread");
                    while !worker.is_finished() {
                        // SAFETY: the thread has not been joined.
                        unsafe { libc::pthread_kill(worker.as_pthread_t(), libc::SIGUSR1) };
                        thread::sleep(Duration::from_micros(300));
                    }
                    worker.join().expect("it does not panic");
                }
            });
        }
        for round in 0..24 {
            let options = kinds_of_options()[round % 2].clone();
            let builder = FlightRecorder::builder().max_bytes(1 << 20).options(options.clone());
            let recorder = (round % 3 == 0).then(|| builder.start().expect("none is running"));
            let trace = if round % 4 < 2 {
                exectrace::start_with(options, std::io::sink()).expect("none is running")
            } else {
                let path = folder.path().join("storm.trace");
                exectrace::start_file_with(options, path).expect("nobody writes there")
            };
            let before = HANDLED.load(Ordering::Relaxed);
            while HANDLED.load(Ordering::Relaxed) < before + 200 {
                thread::sleep(Duration::from_millis(1));
            }
            if let Some(recorder) = recorder {
                recorder.snapshot(std::io::sink()).expect("a sink takes it");
                recorder.stop();
            }
            let report = trace.stop().expect("all is written");
            assert!(report.events > 0, "{report:?}");
        }
        end.store(true, Ordering::Relaxed);
    });
}
