//! How a trace is recorded: the options of every start.

use std::time::Duration;
pub use trace_format::batch::Compression;

/// Whether traces can bring names of functions along.
pub const HAS_NAMES: bool = cfg!(all(feature = "names", stacks));

/// What happens to events when memory is at its bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFull {
    /// They are dropped and counted; the program never waits. The trace says how many events each
    /// thread lost, and between which times.
    #[default]
    Drop,
    /// Annotations wait until the writer has caught up: regions, logs, counters, instants, tasks.
    /// None of them is dropped, and a slow writer slows the program. There is one exception: if all
    /// memory is in batches that threads are still filling, waiting would not help, so events are
    /// dropped and counted.
    ///
    /// Events that the user did not write never wait; they are dropped and counted as with
    /// [`OnFull::Drop`]: recorded calls, sampled allocations, wakes and polls of futures, begins of
    /// threads. The same holds for all events in a signal handler, and on a thread that has signals
    /// blocked, as it may be in a handler. In these places the program may hold a lock that the
    /// writer needs, and waiting would never end.
    ///
    /// For the same reason, do not annotate where the thread holds a lock that your writer takes:
    /// standard output's, if the trace is written there, or one of your own.
    Wait,
}

/// Which regions, instants, futures and tasks are recorded with the stack on which they begin.
/// Needs the feature `stacks`, which `os`, `sched` and `heap` bring along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stacks {
    /// None.
    #[default]
    None,
    /// One in `one_in` on average, chosen by chance on each thread.
    Sampled {
        /// At least 1.
        one_in: u32,
    },
    /// All.
    All,
}

/// How a trace is recorded. The defaults suit production.
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) memory_max: usize,
    pub(crate) on_full: OnFull,
    pub(crate) compression: Compression,
    pub(crate) generation: Duration,
    pub(crate) stacks: Stacks,
    pub(crate) async_stacks: bool,
    pub(crate) os: bool,
    pub(crate) sched: bool,
    pub(crate) cpu_samples: u32,
    pub(crate) page_faults: bool,
    pub(crate) heap: bool,
    pub(crate) heap_sample_bytes: u64,
    pub(crate) names: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memory_max: 64 << 20,
            on_full: OnFull::Drop,
            compression: Compression::None,
            generation: Duration::from_secs(1),
            stacks: Stacks::None,
            async_stacks: true,
            os: true,
            sched: true,
            cpu_samples: 0,
            page_faults: true,
            heap: true,
            heap_sample_bytes: 512 << 10,
            names: false,
        }
    }
}

impl Options {
    /// The defaults: 64 MiB, drop when full, no compression, a generation a second.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Maximum memory of all batches of the process, in bytes. At least 64 KiB.
    #[must_use]
    pub fn memory_max(mut self, bytes: usize) -> Self {
        self.memory_max = bytes.max(64 << 10);
        self
    }

    /// What happens when memory is at its bound.
    #[must_use]
    pub fn on_full(mut self, on_full: OnFull) -> Self {
        self.on_full = on_full;
        self
    }

    /// How the collector stores batches. Compression costs its CPU time, not the traced threads'.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    #[cfg(all(feature = "auto", target_os = "linux", not(exectrace_loom)))]
    pub(crate) fn is_uncompressed(&self) -> bool {
        self.compression == Compression::None
    }

    /// How often a generation begins: 10 ms to 1 s. A reader can start at each generation, and the
    /// shorter they are, the less a crash loses.
    #[must_use]
    pub fn generation(mut self, every: Duration) -> Self {
        self.generation = every.clamp(Duration::from_millis(10), Duration::from_secs(1));
        self
    }

    /// Which annotations have stacks; none, by default. Calls, threads and allocations always have
    /// stacks.
    #[must_use]
    pub fn stacks(mut self, stacks: Stacks) -> Self {
        self.stacks = stacks;
        self
    }

    /// Whether wakes and spawns of futures are recorded with the stack of the code that wakes or
    /// spawns, and polls with the stack on which the future waits. On, if the feature `stacks` is.
    /// A stack that was seen before takes some 20 to 40 ns.
    #[must_use]
    pub fn async_stacks(mut self, on: bool) -> Self {
        self.async_stacks = on;
        self
    }

    /// Whether threads, blocking and system calls are recorded; on, if the feature `os` is. That
    /// gives the program definitions of its own of some of libc's functions, on Linux (x86_64 and
    /// aarch64).
    ///
    #[doc = include_str!("../os/hooks.md")]
    #[must_use]
    pub fn os(mut self, on: bool) -> Self {
        self.os = on;
        self
    }

    /// Whether the kernel is asked which thread runs where; on, if the feature `sched` is.
    ///
    /// It takes at most two descriptors per thread and CPU, and at most a quarter of the
    /// descriptors that the process may have. Each switch takes the kernel about a microsecond
    /// longer. Starting takes some 10 us per thread and CPU, and some 20 ms more if nothing else on
    /// the machine uses the kernel's perf events.
    #[must_use]
    pub fn sched(mut self, on: bool) -> Self {
        self.sched = on;
        self
    }

    /// How many samples, each with a stack, are taken per second of a thread's CPU time: 0 (the
    /// default) for none, or 1 to 10,000. The kernel follows frame pointers only. Needs
    /// [`Options::sched`].
    #[must_use]
    pub fn cpu_samples(mut self, per_second: u32) -> Self {
        self.cpu_samples = per_second.min(10_000);
        self
    }

    /// Whether page faults that had to wait for a disk are recorded; on. Needs [`Options::sched`].
    #[must_use]
    pub fn page_faults(mut self, on: bool) -> Self {
        self.page_faults = on;
        self
    }

    /// Whether the allocator `Heap` counts and samples for the trace; on, if the feature `heap` is.
    #[must_use]
    pub fn heap(mut self, on: bool) -> Self {
        self.heap = on;
        self
    }

    /// The average number of allocated bytes between two sampled allocations; at least 1. The
    /// default is 512 KiB. Each sample has a stack, and takes a microsecond or two.
    #[must_use]
    pub fn heap_sample_bytes(mut self, bytes: u64) -> Self {
        self.heap_sample_bytes = bytes.clamp(1, 1 << 40);
        self
    }

    /// Whether the trace, or each snapshot, brings the names of the functions in its stacks along,
    /// with files, lines and inlined functions; off. Such a trace can be read on a machine that
    /// does not have the program's files. Needs the feature `names`, which is in `full`; on Linux
    /// (x86_64 and aarch64).
    ///
    /// Names are resolved in this process when the trace, a part of it, or a snapshot ends, from
    /// the program's file and those of its libraries, by the crate `backtrace`. One of the
    /// recorder's threads does that, and the program's threads do not wait for it, except that:
    ///
    /// - [`Trace::stop`](crate::Trace::stop) and
    ///   [`FlightRecorder::snapshot`](crate::FlightRecorder::snapshot) return when names are
    ///   written, and so does the dump of a panic;
    /// - a fork, or a thread that uses the crate `backtrace` itself, waits until the address that
    ///   is being resolved is done. The first address of a large file may take a second. After ten
    ///   seconds a fork goes on, and the child must not resolve names.
    ///
    /// Limits: 65,536 addresses, 16 MiB of names, 8 s. Meanwhile it takes some tens of megabytes of
    /// memory, which then go back to the allocator.
    ///
    /// Some addresses get no names; readers name them from the program's files, as without this
    /// option: addresses beyond the limits; addresses in no file, or in a file that has changed;
    /// addresses in libraries that were loaded after the first names were resolved, and in all
    /// libraries once one was unloaded. The trace of a killed process has no names, nor has the
    /// flight recorder's file
    /// ([`FlightRecorderBuilder::mapped`](crate::FlightRecorderBuilder::mapped)).
    #[must_use]
    pub fn names(mut self, on: bool) -> Self {
        self.names = on;
        self
    }
}
