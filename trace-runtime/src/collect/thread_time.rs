//! What the kernel counts for threads: time on CPUs, and time in which they could run but had no
//! CPU. Events say when a thread was switched; these sums say what the events leave out: the
//! switching itself, and readiness after a timer or a device, which no thread's event shows.
//!
//! A thread reads its own clock twice, when it is attached and when it ends; the collector does the
//! rest, once per generation. A thread that ends never opens a file for this: that would take
//! longer than everything else that it does then, and a sandbox may end a program that opens files.
//! So the readiness of a thread that has ended is not known after its last generation.

use crate::base::primitive::Ordering;
use crate::collect::drain::Drain;
use crate::sys;
use crate::sys::clock;
use crate::thread::RecordingThread;
use std::fs::File;
use std::io::{Read, Write};
use trace_format::definition::Definition;
use trace_format::id::ThreadId;
use trace_format::time::{Nanos, Ticks};

/// Maximum number of threads whose readiness is read in one generation; the others follow in the
/// next ones. Each takes about 5 us, so a generation per second takes 0.13 % of a CPU.
const READS_MAX: usize = 256;

/// What was read last for a thread. While the thread does not run, it is not written again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TimeRead {
    cpu: Option<u64>,
    ready: Option<u64>,
    at: Ticks,
    /// The trace says it, for the time `at` or an earlier one.
    is_defined: bool,
    /// It was still the same after the time that the trace says.
    is_older: bool,
}

impl TimeRead {
    /// An output is new, and does not have it.
    pub(crate) fn define_again(&mut self) {
        self.is_defined = false;
    }
}

/// The definition of what had been counted for a thread when it was attached; `None` if the system
/// does not say.
pub(crate) fn at_begin(thread: &RecordingThread) -> Option<Definition<'static>> {
    // The kernel also counts the wait for the first CPU, which was before the thread's begin.
    let was_made_here = thread.identity.spawn.parent != ThreadId(0);
    let ready = was_made_here.then_some(0);
    Some(definition(thread.id, Ticks(thread.begin), thread.cpu_begin?, ready))
}

/// The definition of what a thread that has ended had used, as it read itself.
pub(crate) fn at_end(drain: &Drain) -> Option<Definition<'static>> {
    let cpu = drain.thread.cpu_end.load(Ordering::Relaxed);
    (cpu > 0).then_some(definition(drain.thread.id, drain.exited?, cpu, None))
}

/// By the collector, once per generation: defines what has been counted for each live thread.
pub(crate) fn define_all(
    drains: &mut [Drain],
    generation: u32,
    define: &mut dyn FnMut(&Definition<'_>),
) {
    let turn = (generation as usize).wrapping_mul(READS_MAX) % drains.len().max(1);
    let (late, early) = drains.split_at_mut(turn);
    let mut reads = READS_MAX;
    for drain in early.iter_mut().chain(late) {
        if drain.exited.is_none() {
            define_one(drain, &mut reads, define);
        }
    }
}

fn define_one(drain: &mut Drain, reads: &mut usize, define: &mut dyn FnMut(&Definition<'_>)) {
    let (id, os_id) = (drain.thread.id, drain.thread.identity.os_id);
    let Some(cpu) = sys::thread_cpu_of(os_id) else { return };
    let (before, at) = (drain.kernel, Ticks(clock::ticks()));
    if drain.thread.exited.load(Ordering::Relaxed) != 0 {
        // It has ended since the collector last looked, and says itself what it used until then.
        return;
    }
    if before.cpu == Some(cpu) && before.ready.is_some() {
        // It has not run, and the kernel counts readiness only when that is over.
        let is_older = before.is_defined;
        drain.kernel = TimeRead { at, is_defined: true, is_older, ..before };
        if !before.is_defined {
            define(&definition(id, at, cpu, before.ready));
        }
        return;
    }
    if let Some(cpu) = before.cpu.filter(|_| before.is_older) {
        // So that the end of a trace says by itself what it was when the thread went on.
        define(&definition(id, before.at, cpu, before.ready));
    }
    let ready = if *reads > 0 {
        *reads -= 1;
        ready(os_id)
    } else {
        None
    };
    drain.kernel = TimeRead { cpu: Some(cpu), ready, at, is_defined: true, is_older: false };
    define(&definition(id, at, cpu, ready));
}

fn definition(id: ThreadId, ticks: Ticks, cpu: u64, ready: Option<u64>) -> Definition<'static> {
    Definition::ThreadTime { id, ticks, cpu: Nanos(cpu), ready: ready.map(Nanos) }
}

/// How long a thread of this process could run but had no CPU, since it was made, in nanoseconds.
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

/// The second number of `RUNNING READY SLICES`.
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
