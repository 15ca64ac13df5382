//! Programs with one fault each: the culprit must be in the first group of waits that held threads
//! up, and in the explanation.

use crate::answer::Answer;
use crate::waiting::{os_thread, wait_until_asleep};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsRawFd as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use trace_analysis::explain::InsightKind;
use trace_analysis::life::WaitGroup;
use trace_analysis::reason::ReasonKind;

fn spin(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// Starts a thread of this name in `scope`.
fn named<'s>(
    scope: &'s thread::Scope<'s, '_>,
    name: impl Into<String>,
    act: impl FnOnce() + Send + 's,
) {
    let builder = thread::Builder::new().name(name.into());
    builder.spawn_scoped(scope, act).expect("a thread starts");
}

/// The first group of waits that held threads up.
fn first(answer: &Answer) -> &WaitGroup {
    let mut groups = answer.report.lives.waits.by_resource.iter();
    let contended = groups.find(|group| group.reason.kind() == ReasonKind::Contention);
    contended.unwrap_or_else(|| {
        panic!("nothing was contended: {:#?}", answer.report.lives.waits.by_reason)
    })
}

/// Checks that `culprit` released the lock of the first group in `function`, and that the first
/// sentence names it.
fn names(answer: &Answer, culprit: &str, function: &str, kinds: &[InsightKind]) {
    let group = first(answer);
    let holder = group.holders.first().expect("somebody held it");
    assert_eq!(answer.name(holder.thread), culprit, "{holder:#?}");
    let functions = answer.names(Some(holder.stack));
    let found = functions.iter().any(|name| name.contains(function));
    assert!(found, "`{function}` is not in {functions:?}");
    let insights = answer.explain();
    let insight = insights.iter().find(|insight| kinds.contains(&insight.kind));
    let insight = insight.unwrap_or_else(|| panic!("it is not explained: {insights:#?}"));
    let text = format!("{} {}", insight.title, insight.evidence[0]);
    assert!(text.contains(culprit), "{insights:#?}");
}

#[test]
fn a_lock_convoys_long_holder_is_named() {
    #[inline(never)]
    fn hold_long(lock: &Mutex<u64>) {
        let mut guard = lock.lock().expect("nobody panics");
        *guard += 1;
        spin(Duration::from_millis(4));
    }
    #[inline(never)]
    fn hold_briefly(lock: &Mutex<u64>) {
        *lock.lock().expect("nobody panics") += 1;
    }
    let (lock, done) = (Mutex::new(0), AtomicBool::new(false));
    let answer = Answer::record(|| {
        thread::scope(|scope| {
            for number in 1..=4 {
                let work = || {
                    while !done.load(Ordering::Relaxed) {
                        hold_briefly(&lock);
                        thread::sleep(Duration::from_micros(100));
                    }
                };
                named(scope, format!("brief-{number}"), work);
            }
            named(scope, "hog", || {
                for _ in 0..50 {
                    hold_long(&lock);
                    thread::sleep(Duration::from_millis(1));
                }
                done.store(true, Ordering::Relaxed);
            });
        });
    });
    // On a busy machine the thread that hogs the lock lacks a CPU most of the time.
    let expected = [InsightKind::LockContention, InsightKind::HolderPreempted];
    names(&answer, "hog", "hold_long", &expected);
    assert!(first(&answer).waiters.len() >= 3, "most of the brief ones waited");
}

#[test]
fn of_a_priority_inversion_the_preempted_holder_is_named() {
    #[inline(never)]
    fn hold_while_others_run(lock: &Mutex<u64>, held: &AtomicBool, urgent: &AtomicI32) {
        let guard = lock.lock().expect("nobody panics");
        // A barrier would be a second lock, held by a thread that may have no CPU.
        held.store(true, Ordering::Relaxed);
        while urgent.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        wait_until_asleep(urgent.load(Ordering::Relaxed));
        // 5 ms of a CPU that is shared with less important threads.
        let begin = thread_cpu();
        while thread_cpu() - begin < Duration::from_millis(5) {
            std::hint::spin_loop();
        }
        drop(guard);
    }
    let lock = Mutex::new(0);
    let (held, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let urgent = AtomicI32::new(0);
    let answer = Answer::record(|| {
        thread::scope(|scope| {
            for number in 1..=3 {
                let done = &done;
                named(scope, format!("busy-{number}"), move || {
                    stay_on_first_cpu();
                    while !done.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            named(scope, "holder", || {
                stay_on_first_cpu();
                be_nice();
                hold_while_others_run(&lock, &held, &urgent);
            });
            named(scope, "urgent", || {
                while !held.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
                urgent.store(os_thread(), Ordering::Relaxed);
                *lock.lock().expect("nobody panics") += 1;
                done.store(true, Ordering::Relaxed);
            });
        });
    });
    if answer.report.lives.cpus.is_empty() {
        eprintln!("SKIPPED: the kernel does not say which thread runs: {:?}", answer.facilities());
        return;
    }
    let expected = [InsightKind::HolderPreempted];
    names(&answer, "holder", "hold_while_others_run", &expected);
}

#[test]
fn of_a_disk_read_under_a_lock_the_reader_and_the_file_are_named() {
    #[inline(never)]
    fn read_under_lock(lock: &Mutex<Vec<u8>>, file: &mut std::fs::File) {
        let mut content = lock.lock().expect("nobody panics");
        content.clear();
        file.seek(SeekFrom::Start(0)).expect("a file can be read anew");
        file.read_to_end(&mut content).expect("it can be read");
    }
    let folder =
        tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder can be created");
    let path = folder.path().join("archive.bin");
    let mut file = std::fs::File::options();
    let mut file = file.read(true).write(true).create(true).truncate(true).open(&path);
    let file = file.as_mut().expect("the file is open");
    file.write_all(&vec![7; 48 << 20]).expect("there is room");
    file.sync_all().expect("the disk takes it");
    let (lock, done) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let answer = Answer::record(|| {
        thread::scope(|scope| {
            for number in 1..=3 {
                let (lock, done) = (&lock, &done);
                named(scope, format!("user-{number}"), move || {
                    while !done.load(Ordering::Relaxed) {
                        drop(lock.lock().expect("nobody panics"));
                        thread::sleep(Duration::from_millis(1));
                    }
                });
            }
            named(scope, "reader", || {
                for _ in 0..4 {
                    forget_cached(file);
                    read_under_lock(&lock, file);
                    thread::sleep(Duration::from_millis(2));
                }
                done.store(true, Ordering::Relaxed);
            });
        });
    });
    // On a busy machine the reader lacks a CPU most of the time.
    let expected =
        [InsightKind::SlowHolder, InsightKind::LockContention, InsightKind::HolderPreempted];
    names(&answer, "reader", "read_under_lock", &expected);
    let told = answer.explain();
    let first = told.first().expect("something is to be said");
    let text = format!("{} {}", first.title, first.evidence.join(" "));
    assert!(text.contains("read"), "the call is not named: {text}");
}

fn stay_on_first_cpu() {
    // SAFETY: `zeroed` wants a type for which zeros are a value: a set of CPUs is bits.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `sched_getaffinity` wants room for as many bytes as it is told.
    unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
    // SAFETY: `CPU_ISSET` wants a number within the set: as many as it has bits.
    let allowed = (0..1024).find(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) });
    // SAFETY: as above.
    let mut one: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    unsafe { libc::CPU_SET(allowed.unwrap_or(0), &mut one) };
    // SAFETY: `sched_setaffinity` reads as many bytes as it is told.
    unsafe { libc::sched_setaffinity(0, size_of_val(&one), &raw const one) };
}

fn be_nice() {
    // SAFETY: `setpriority` takes numbers only; 0 is the calling thread on Linux.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 10) };
}

fn thread_cpu() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `clock_gettime` wants room for a timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) };
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn forget_cached(file: &std::fs::File) {
    // SAFETY: `posix_fadvise` wants an open descriptor, and is advice.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
}
