//! What the kernel counts for threads: time on CPUs, and time in which they could run and were on
//! none. Events say when a thread was switched; these sums say what the events leave out: the
//! switching itself, and readiness after a timer or a device, which no thread announces.
//!
//! A thread reads its own clock twice, when it is attached and when it ends; the rest is the
//! collector's work, once a generation. A thread that ends never opens a file for it: that would
//! take longer than everything else it does then, and a program that has locked itself in could be
//! ended for it. So of a thread that ended the readiness since its last generation is not known.

use crate::base::primitive::Ordering;
use crate::collect::drain::Drain;
use crate::sys;
use crate::sys::clock;
use crate::thread::Thread;
use std::fs::File;
use std::io::{Read, Write};
use trace_format::definition::Definition;
use trace_format::id::ThreadId;
use trace_format::time::{Nanos, Ticks};

/// Maximum number of threads whose readiness is read in one generation; the others have their turn
/// in the next ones. Each takes some 5 us: with a generation a second, 0.13 % of a CPU.
const READS_MAX: usize = 256;

/// What was read last of a thread. While it does not run that is not said again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TimeRead {
    cpu: Option<u64>,
    ready: Option<u64>,
    at: Ticks,
    /// The trace says it, as of `at` or before.
    is_told: bool,
    /// It was the same later than the trace says.
    is_older: bool,
}

impl TimeRead {
    /// It is news to somebody.
    pub(crate) fn tell_again(&mut self) {
        self.is_told = false;
    }
}

/// What had been counted for a thread when it was attached; `None` if the system does not say.
pub(crate) fn at_begin(thread: &Thread) -> Option<Definition<'static>> {
    // What it waited for its first CPU is counted, too, but was before its life.
    let was_made_here = thread.identity.spawn.parent != ThreadId(0);
    let ready = was_made_here.then_some(0);
    Some(definition(thread.id, Ticks(thread.begin), thread.cpu_begin?, ready))
}

/// What a thread has used that has ended, as it said itself.
pub(crate) fn at_end(drain: &Drain) -> Option<Definition<'static>> {
    let cpu = drain.thread.cpu_end.load(Ordering::Relaxed);
    (cpu > 0).then_some(definition(drain.thread.id, drain.exited?, cpu, None))
}

/// By the collector, once a generation: what has been counted for each thread that lives.
pub(crate) fn of_all(drains: &mut [Drain], generation: u32, tell: &mut dyn FnMut(&Definition<'_>)) {
    let turn = (generation as usize).wrapping_mul(READS_MAX) % drains.len().max(1);
    let (late, early) = drains.split_at_mut(turn);
    let mut reads = READS_MAX;
    for drain in early.iter_mut().chain(late) {
        if drain.exited.is_none() {
            of_one(drain, &mut reads, tell);
        }
    }
}

fn of_one(drain: &mut Drain, reads: &mut usize, tell: &mut dyn FnMut(&Definition<'_>)) {
    let (id, os_id) = (drain.thread.id, drain.thread.identity.os_id);
    let Some(cpu) = sys::thread_cpu_of(os_id) else { return };
    let (before, at) = (drain.kernel, Ticks(clock::ticks()));
    if drain.thread.exited.load(Ordering::Relaxed) != 0 {
        // It has ended since the collector last looked, and says itself what it used until then.
        return;
    }
    if before.cpu == Some(cpu) && before.ready.is_some() {
        // It has not run, and the kernel counts readiness when it is over.
        let is_older = before.is_told;
        drain.kernel = TimeRead { at, is_told: true, is_older, ..before };
        if !before.is_told {
            tell(&definition(id, at, cpu, before.ready));
        }
        return;
    }
    if let Some(cpu) = before.cpu.filter(|_| before.is_older) {
        // So that who has only the end of the trace knows what it was when the thread went on.
        tell(&definition(id, before.at, cpu, before.ready));
    }
    let ready = if *reads > 0 {
        *reads -= 1;
        ready(os_id)
    } else {
        None
    };
    drain.kernel = TimeRead { cpu: Some(cpu), ready, at, is_told: true, is_older: false };
    tell(&definition(id, at, cpu, ready));
}

fn definition(id: ThreadId, ticks: Ticks, cpu: u64, ready: Option<u64>) -> Definition<'static> {
    Definition::ThreadTime { id, ticks, cpu: Nanos(cpu), ready: ready.map(Nanos) }
}

/// How long a thread of this process has been able to run and had no CPU, since it was made.
fn ready(os_id: u64) -> Option<u64> {
    if cfg!(any(not(target_os = "linux"), exectrace_loom)) {
        return None;
    }
    let (mut path, mut text) = ([0; 64], [0; 96]);
    let mut rest = &mut path[..];
    write!(rest, "/proc/self/task/{os_id}/schedstat").ok()?;
    let unused = rest.len();
    let path = std::str::from_utf8(&path[..path.len() - unused]).ok()?;
    let bytes = File::open(path).ok()?.read(&mut text).ok()?;
    second_number(&text[..bytes])
}

/// `RUNNING READY SLICES`: the second.
fn second_number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(all(test, not(exectrace_loom), target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_threads_clock_is_the_one_that_it_reads_itself() {
        let own = crate::thread::local::system_id();
        let before = sys::thread_cpu();
        let between = sys::thread_cpu_of(own).expect("it lives");
        assert!((before..=sys::thread_cpu()).contains(&between));
        assert!(ready(own).is_some());
    }

    #[test]
    fn of_a_thread_that_is_not_of_this_process_nothing_is_known() {
        assert_eq!(sys::thread_cpu_of(0), None, "0 would be the caller");
        assert_eq!(sys::thread_cpu_of(1 << 40), None);
        assert_eq!((sys::thread_cpu_of(1), ready(1 << 40)), (None, None));
        assert_eq!(second_number(b"1 2"), Some(2));
        assert_eq!((second_number(b"1"), second_number(b"1 x 3")), (None, None));
    }
}
