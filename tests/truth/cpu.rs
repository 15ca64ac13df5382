//! Where CPU time goes: into a function, into the kernel, to the only thread that works.
//!
//! May contain `unsafe`: it reads a thread's CPU time.

use crate::answer::Answer;
use crate::common::in_own_process;
use crate::{find, has_cpus, named};
use std::hint::black_box;
use std::io::Read as _;
use std::mem::MaybeUninit;
use std::time::Duration;
use trace_analysis::explain::InsightKind;
use trace_analysis::profile::{ProfileKind, ProfileSample};

/// CPU time the calling thread has used.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call wants room for a time: `time` is that.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Computes until the thread has used this much further CPU time.
#[inline(never)]
pub(crate) fn burn(time: Duration) -> u64 {
    let (end, mut number) = (cpu_time() + time, 1_u64);
    while cpu_time() < end {
        for _ in 0..1_000 {
            number = black_box(number.wrapping_mul(31).wrapping_add(7));
        }
    }
    number
}

#[test]
fn threads_that_wait_for_the_only_worker_name_it() {
    if !in_own_process("cpu::threads_that_wait_for_the_only_worker_name_it") {
        return;
    }
    let answer = Answer::record(|| {
        let helper = named("helper", || burn(Duration::from_millis(2)));
        named("only-worker", || burn(Duration::from_millis(100))).join().expect("no panic");
        helper.join().expect("no panic");
    });
    if !has_cpus(&answer) || answer.report.lives.cpus_watched < 2 {
        return;
    }
    let found = find(answer.explain(), InsightKind::OneThread);
    assert_eq!(answer.name(found.threads[0]), "only-worker", "{found:#?}");
    // By the path to its end; if the worker was put off its CPU, by who has the CPU time.
    let is_said = ["depend on only-worker, which computed", "only-worker did "];
    assert!(is_said.iter().any(|words| found.title.contains(words)), "{found:#?}");
}

#[inline(never)]
fn search_everything(time: Duration) -> u64 {
    let (end, mut found) = (cpu_time() + time, 0_u64);
    while cpu_time() < end {
        // Only operators: without optimisation, everything else is a function of the library.
        let mut at = 0_u64;
        while at < 1_000_000 {
            found = (found ^ at) & 0xffff;
            at += 1;
        }
    }
    found
}

#[test]
fn the_function_that_has_the_cpu_time_is_told() {
    if !in_own_process("cpu::the_function_that_has_the_cpu_time_is_told") {
        return;
    }
    let options = exectrace::Options::new().cpu_samples(1000);
    let answer = Answer::record_with(options, || {
        black_box(search_everything(Duration::from_millis(180)));
        burn(Duration::from_millis(20));
    });
    if !has_cpus(&answer) {
        return;
    }
    let found = answer.explain();
    let hot = find(found, InsightKind::HotFunction);
    assert!(hot.title.contains("in truth::cpu::search_everything"), "{hot:#?}");
}

/// CPU time of the calling thread: in the program's own code, and in the kernel.
fn cpu_times() -> [Duration; 2] {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the call wants room for what a thread has used: `usage` is that.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) }, 0);
    // SAFETY: `assume_init` wants all of it set: it was zeroed, and the call succeeded.
    let usage = unsafe { usage.assume_init() };
    [usage.ru_utime, usage.ru_stime]
        .map(|time| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1_000))
}

#[inline(never)]
fn read_zeros(time: Duration) -> [Duration; 2] {
    let mut zeros = std::fs::File::open("/dev/zero").expect("the system has it");
    let (end, mut bytes) = (cpu_time() + time, vec![0; 1 << 20]);
    while cpu_time() < end {
        zeros.read_exact(&mut bytes).expect("there is no end of them");
    }
    cpu_times()
}

#[test]
fn time_in_the_kernel_is_nobody_elses() {
    if !in_own_process("cpu::time_in_the_kernel_is_nobody_elses") {
        return;
    }
    let (mut own, mut kernel) = (Duration::ZERO, Duration::ZERO);
    let options = exectrace::Options::new().cpu_samples(1000);
    let answer = Answer::record_with(options, || {
        let user = named("user", || {
            burn(Duration::from_millis(100));
            cpu_times()
        });
        let reader = named("reader", || read_zeros(Duration::from_millis(100)));
        own = user.join().expect("no panic")[0];
        kernel = reader.join().expect("no panic")[1];
    });
    if !has_cpus(&answer) {
        return;
    }
    let samples = answer.report.lives.profile(ProfileKind::Cpu).samples;
    let of = |name: &str, is_kernel: bool| {
        let thread = answer.thread(name);
        let is_it = |it: &&ProfileSample| it.thread == thread && it.is_kernel == is_kernel;
        Duration::from_nanos(samples.iter().filter(is_it).map(|it| it.value).sum())
    };
    // The system splits a thread's time in two by sampling, which has errors.
    for (told, truth) in [(of("user", false), own), (of("reader", true), kernel)] {
        let is_near = told > truth.mul_f64(0.7) && told < truth.mul_f64(1.3);
        assert!(is_near, "{told:?} are told, and it were {truth:?}: {samples:#?}");
    }
    assert!(of("user", true) < own / 5, "{samples:#?}");
    assert!(of("reader", false) < kernel / 3, "{samples:#?}");
    let reads = samples.iter().filter(|it| it.is_kernel && it.thread == answer.thread("reader"));
    let most = reads.max_by_key(|it| it.value).expect("it was in the kernel");
    assert_eq!(answer.site(most.stack).0, "truth::cpu::read_zeros");
}
