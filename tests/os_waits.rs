//! Every way in which std's threads wait is in the trace: for what, how long, and which thread
//! ended the wait.
//!
//! Durations are compared with the test's own sleeps, as lower bounds only: a loaded machine may
//! wake threads late.

#![cfg(target_os = "linux")]

mod common;

use common::calls::{Call, calls, of_thread, resource};
use common::decoded::Decoded;
use common::waiting::{os_thread, wait_until, wait_until_asleep};
use common::{on_thread, record_with, with_calls};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Barrier, Condvar, Mutex, Once, OnceLock, RwLock};
use std::thread;
use std::time::Duration;
use trace_format::definition::ResourceKind;
use trace_format::id::CallId;

/// Minimum time that waiters wait.
const NAP: Duration = Duration::from_millis(30);

/// The thread that is to wait; 0 before it runs.
static WAITER: AtomicI32 = AtomicI32::new(0);

/// Returns after the other thread has waited for [`NAP`].
fn let_it_wait() {
    wait_until("the waiter runs", || WAITER.load(Ordering::Relaxed) != 0);
    wait_until_asleep(WAITER.load(Ordering::Relaxed));
    thread::sleep(NAP);
}

/// Records `act`, in which a thread called `waiter` waits once for a thread called `waker`.
fn record(act: impl FnOnce()) -> Decoded {
    record_with(with_calls(), act).trace
}

/// Spins, so that the wait under test is the only futex call.
fn await_true(flag: &AtomicBool) {
    while !flag.load(Ordering::Relaxed) {
        thread::yield_now();
    }
}

fn longest(calls: &[Call]) -> Call {
    let closed = calls.iter().filter(|call| call.end.is_some());
    *closed.max_by_key(|call| call.end.unwrap_or(0) - call.begin).expect("a call that has ended")
}

fn nanos(trace: &Decoded, call: &Call) -> u64 {
    let at = |ticks| trace.tables.clock.nanos(trace_format::time::Ticks(ticks)).0;
    at(call.end.expect("it has ended")) - at(call.begin)
}

/// Checks that the longest wait of `waiter` took a nap, and that `waker` ended it.
fn check_woken(trace: &Decoded) {
    let waits = of_thread(trace, trace.thread("waiter"));
    let waits: Vec<_> = waits.into_iter().filter(|call| call.call == CallId::FUTEX_WAIT).collect();
    let wait = longest(&waits);
    assert_eq!(wait.result, 0, "it was woken: {wait:?}");
    assert!(nanos(trace, &wait) >= NAP.as_nanos() as u64 / 2, "{wait:?}");
    let about = resource(trace, &wait).expect("a wait is about an address");
    assert_eq!(about.kind, ResourceKind::Address);
    let waker = trace.thread("waker");
    let is_wake = |call: &&Call| call.call == CallId::FUTEX_WAKE && call.result >= 1;
    let all = of_thread(trace, waker);
    let wakes: Vec<_> = all.iter().filter(is_wake).collect();
    let woke = wakes.iter().any(|wake| {
        resource(trace, wake).map(|it| it.value) == Some(about.value) && wait.encloses(wake)
    });
    assert!(woke, "nobody woke {wait:?} of {about:?}: {wakes:?}");
}

/// Runs both on threads named `waiter` and `waker`.
fn two(waiter: impl FnOnce() + Send, waker: impl FnOnce() + Send) {
    WAITER.store(0, Ordering::Relaxed);
    let waiter = || {
        WAITER.store(os_thread(), Ordering::Relaxed);
        waiter();
    };
    thread::scope(|scope| {
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        let waiter = named("waiter").spawn_scoped(scope, waiter).expect("a thread");
        let waker = named("waker").spawn_scoped(scope, waker).expect("a thread");
        // A scope does not wait for the threads' last steps, which would be in the next trace.
        for thread in [waiter, waker] {
            thread.join().expect("no panic");
        }
    });
}

#[test]
fn a_mutex_is_a_wait_and_a_wake() {
    let (lock, held) = (Mutex::new(()), AtomicBool::new(false));
    let trace = record(|| {
        two(
            || {
                await_true(&held);
                drop(lock.lock());
            },
            || {
                let guard = lock.lock();
                held.store(true, Ordering::Relaxed);
                let_it_wait();
                drop(guard);
            },
        );
    });
    check_woken(&trace);
}

#[test]
fn a_rwlock_read_or_written_is_a_wait_and_a_wake() {
    for writes in [false, true] {
        let (lock, held) = (RwLock::new(()), AtomicBool::new(false));
        let trace = record(|| {
            two(
                || {
                    await_true(&held);
                    if writes { drop(lock.write()) } else { drop(lock.read()) }
                },
                || {
                    let guard = lock.write();
                    held.store(true, Ordering::Relaxed);
                    let_it_wait();
                    drop(guard);
                },
            );
        });
        check_woken(&trace);
    }
}

#[test]
fn a_condvar_is_a_wait_and_a_wake() {
    let pair = (Mutex::new(false), Condvar::new());
    let trace = record(|| {
        two(
            || {
                let held = pair.0.lock().expect("no panic");
                drop(pair.1.wait_while(held, |ready| !*ready));
            },
            || {
                let_it_wait();
                *pair.0.lock().expect("no panic") = true;
                pair.1.notify_one();
            },
        );
    });
    check_woken(&trace);
}

#[test]
fn a_channel_is_a_wait_and_a_wake() {
    let (tell, told) = mpsc::channel();
    let trace = record(|| {
        two(
            move || told.recv().expect("the other tells"),
            move || {
                let_it_wait();
                tell.send(()).expect("the other listens");
            },
        );
    });
    check_woken(&trace);
}

#[test]
fn a_full_channel_is_a_wait_and_a_wake() {
    let (tell, told) = mpsc::sync_channel(0);
    let trace = record(|| {
        two(
            move || tell.send(()).expect("the other listens"),
            move || {
                let_it_wait();
                told.recv().expect("the other tells");
            },
        );
    });
    check_woken(&trace);
}

#[test]
fn park_is_a_wait_and_unpark_a_wake() {
    let (tell, told) = mpsc::channel();
    let trace = record(|| {
        two(
            move || {
                tell.send(thread::current()).expect("the other listens");
                thread::park();
            },
            move || {
                let other: thread::Thread = told.recv().expect("the other tells");
                let_it_wait();
                other.unpark();
            },
        );
    });
    check_woken(&trace);
}

#[test]
fn a_barrier_is_a_wait_and_a_wake() {
    let barrier = Barrier::new(2);
    let trace = record(|| {
        two(
            || _ = barrier.wait(),
            || {
                let_it_wait();
                barrier.wait();
            },
        );
    });
    check_woken(&trace);
}

#[test]
fn once_and_once_lock_are_waits_and_wakes() {
    let (once, held) = (Once::new(), AtomicBool::new(false));
    let trace = record(|| {
        two(
            || {
                await_true(&held);
                once.call_once(|| ());
            },
            || {
                once.call_once(|| {
                    held.store(true, Ordering::Relaxed);
                    let_it_wait();
                });
            },
        );
    });
    check_woken(&trace);
    let (lock, held) = (OnceLock::new(), AtomicBool::new(false));
    let trace = record(|| {
        two(
            || {
                await_true(&held);
                lock.get_or_init(|| 1);
            },
            || {
                lock.get_or_init(|| {
                    held.store(true, Ordering::Relaxed);
                    let_it_wait();
                    2
                });
            },
        );
    });
    check_woken(&trace);
}

#[test]
fn a_wait_that_times_out_says_so() {
    let pair = (Mutex::new(()), Condvar::new());
    let trace = record(|| {
        on_thread("waiter", || {
            let guard = pair.0.lock().expect("no panic");
            let waited = pair.1.wait_timeout_while(guard, NAP, |()| true);
            assert!(waited.expect("no panic").1.timed_out());
        });
    });
    let calls = of_thread(&trace, trace.thread("waiter"));
    let wait = longest(&calls);
    assert_eq!(wait.call, CallId::FUTEX_WAIT);
    assert_eq!(wait.result, -i64::from(libc::ETIMEDOUT));
}

#[test]
fn sleep_and_join_are_calls_and_a_join_names_the_thread() {
    let trace = record(|| {
        on_thread("waiter", || {
            WAITER.store(os_thread(), Ordering::Relaxed);
            let slow = thread::Builder::new().name("slow".into()).spawn(let_it_wait);
            slow.expect("a thread").join().expect("it ends");
        });
    });
    let slow = trace.thread("slow");
    let slept = of_thread(&trace, slow);
    let mut slept = slept.iter().filter(|call| call.call == CallId::CLOCK_NANOSLEEP);
    assert!(slept.any(|call| nanos(&trace, call) >= NAP.as_nanos() as u64), "std sleeps so");
    if cfg!(target_env = "musl") {
        // Functions about threads are not hooked with musl.
        return;
    }
    let calls = of_thread(&trace, trace.thread("waiter"));
    let join = calls.iter().find(|call| call.call == CallId::PTHREAD_JOIN).expect("it joins");
    assert!(nanos(&trace, join) >= NAP.as_nanos() as u64 / 2);
    let joined = resource(&trace, join).expect("somebody is joined");
    assert_eq!(joined.kind, ResourceKind::Thread);
    assert_eq!(joined.value, trace.tables.threads[&slow].os_id, "the one that was slow");
    let made = &trace.tables.threads[&slow];
    assert_eq!(made.parent, trace.thread("waiter"), "its maker is known");
    assert!(made.entry != 0, "and where it begins");
}

#[test]
fn threads_that_wait_since_before_the_trace_are_in_it() {
    let (tell, told) = mpsc::channel::<()>();
    let (known, knows) = mpsc::channel();
    let idle = Arc::new(Barrier::new(2));
    let other = Arc::clone(&idle);
    let waiter = thread::Builder::new().name("before".into()).spawn(move || {
        let id = os_thread();
        other.wait();
        known.send(id).expect("the other listens");
        told.recv()
    });
    let waiter = waiter.expect("a thread");
    idle.wait();
    wait_until_asleep(knows.recv().expect("the other tells"));
    let trace = record(|| {
        thread::sleep(NAP);
        tell.send(()).expect("the other listens");
        waiter.join().expect("it ends").expect("it was told");
    });
    let before = trace.thread("before");
    let calls = of_thread(&trace, before);
    let first = calls.first().expect("it is in a call");
    assert_eq!(first.call, CallId::FUTEX_WAIT, "{first:?}");
    assert_eq!(first.begin, trace.tables.threads[&before].first.0, "since before");
    assert!(nanos(&trace, first) >= NAP.as_nanos() as u64 / 2);
    assert!(trace.tables.threads[&before].end.expect("a total").ended);
}

#[test]
fn a_thread_that_never_wakes_is_known_and_its_wait_stays_open() {
    let (tell, told) = mpsc::channel::<()>();
    let (known, knows) = mpsc::channel();
    let waiter = thread::Builder::new().name("idle".into()).spawn(move || {
        known.send(os_thread()).expect("the other listens");
        told.recv()
    });
    let waiter = waiter.expect("a thread");
    wait_until_asleep(knows.recv().expect("the other tells"));
    let trace = record(|| thread::sleep(NAP));
    let idle = trace.thread("idle");
    assert!(calls(&trace).iter().all(|call| call.thread != idle), "it does nothing");
    let state = trace.definitions().filter_map(|definition| match definition {
        trace_format::definition::Definition::ThreadState { id, open, .. } if id == idle => {
            Some(open)
        }
        _ => None,
    });
    let state = state.last().expect("the last state tells of it");
    assert!(matches!(state[..], [one] if matches!(one.open, trace_format::id::Open::Call(_))));
    drop(tell);
    assert!(waiter.join().expect("it ends").is_err());
}
