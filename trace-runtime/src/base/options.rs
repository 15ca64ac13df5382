//! What a trace can be told before it starts.

use std::time::Duration;
pub use trace_format::batch::Compression;

/// Whether traces can bring names of functions along.
pub const HAS_NAMES: bool = cfg!(all(feature = "names", stacks));

/// What happens to events when memory is at its bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFull {
    /// They are dropped and counted; the program never waits. The trace says how many, from which
    /// thread, from when to when.
    #[default]
    Drop,
    /// Annotations wait until the writer has caught up: regions, logs, counters, moments, tasks.
    /// None of them is dropped, and a slow writer slows the program. Only if waiting is in vain,
    /// because there are so many threads that all memory is in batches they are just filling,
    /// events are dropped and counted after all.
    ///
    /// What comes by itself never waits and is dropped and counted as by [`OnFull::Drop`]: recorded
    /// calls, sampled allocations, wakes and polls of futures, begins of threads. Nor does anything
    /// in a signal handler, nor on a thread that has signals blocked, which may be in one. The
    /// program may hold a lock there that the writer wants, and would wait for ever.
    ///
    /// For the same reason, do not annotate where the thread holds a lock that your writer takes:
    /// standard output's, if the trace is written there, or one of your own.
    Wait,
}

/// Which regions, moments, futures and tasks are recorded with the stack they begin on. Needs the
/// feature `stacks`, which `os`, `sched` and `heap` bring along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stacks {
    /// None.
    #[default]
    None,
    /// One in so many on average, chosen by chance on each thread.
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

    /// The most memory that all batches of the process may take, in bytes. At least 64 KiB.
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

    /// How often a reader can start anew, and a crash loses less: 10 ms to 1 s.
    #[must_use]
    pub fn generation(mut self, every: Duration) -> Self {
        self.generation = every.clamp(Duration::from_millis(10), Duration::from_secs(1));
        self
    }

    /// Which annotations have stacks; none, by default. Calls, threads and allocations have theirs
    /// in any case.
    #[must_use]
    pub fn stacks(mut self, stacks: Stacks) -> Self {
        self.stacks = stacks;
        self
    }

    /// Whether wakes and spawns of futures have the stack of whoever does it, and polls the stack
    /// where the future waits; on, if stacks are had at all. A stack that was seen before takes
    /// some 20 to 40 ns.
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
    /// It takes two descriptors per thread and CPU at most, up to a quarter of those the process
    /// may have, and each switch takes the kernel about a microsecond longer. Starting takes some
    /// 10 us per thread and CPU; if nothing else on the machine is watched in this way, the kernel
    /// takes some 20 ms more, once.
    #[must_use]
    pub fn sched(mut self, on: bool) -> Self {
        self.sched = on;
        self
    }

    /// How often, in a second of its CPU time, each thread is looked at with its stack: 0, the
    /// default, for never, else 1 to 10,000. The kernel follows frame pointers only. Needs
    /// [`Options::sched`].
    #[must_use]
    pub fn cpu_samples(mut self, per_second: u32) -> Self {
        self.cpu_samples = per_second.min(10_000);
        self
    }

    /// Whether page faults are recorded that had to wait for a disk; on. Needs [`Options::sched`].
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

    /// One allocation is sampled in so many bytes allocated, on average; at least one byte. The
    /// default is 512 KiB. Samples have a stack each, and take a microsecond or two.
    #[must_use]
    pub fn heap_sample_bytes(mut self, bytes: u64) -> Self {
        self.heap_sample_bytes = bytes.clamp(1, 1 << 40);
        self
    }

    /// Whether the trace, or each snapshot, brings the names of the functions in its stacks along,
    /// with files, lines and inlined functions; off. It can then be read where the program's files
    /// are not. Needs the feature `names`, which is in `full`; on Linux (x86_64 and aarch64).
    ///
    /// Names are resolved in this process when the trace, a part of it, or a snapshot ends, from
    /// the program's file and those of its libraries, by the crate `backtrace`. A thread of the
    /// recorder's does that, and no other thread of the program waits for it, but:
    ///
    /// - [`Trace::stop`](crate::Trace::stop) and
    ///   [`FlightRecorder::snapshot`](crate::FlightRecorder::snapshot) return when names are
    ///   written, and so does a dump for a panic;
    /// - a fork, or a thread that uses the crate `backtrace` itself, waits until the address that
    ///   is being resolved is done. The first one of a large file may take a second. After ten
    ///   seconds a fork goes on, and the child must not resolve names.
    ///
    /// Limits: 65,536 addresses, 16 MiB of names, 8 s. Memory is taken meanwhile, some tens of
    /// megabytes, and given back to the allocator.
    ///
    /// Readers name these addresses from the program's files, as without this option: those beyond
    /// the limits; those in no file, or in a file that has changed since; those in libraries that
    /// were loaded after the first names were resolved, and in all libraries once one was unloaded.
    /// A trace whose process was killed has no names, and neither has the recorder's own file
    /// ([`FlightRecorderBuilder::mapped`](crate::FlightRecorderBuilder::mapped)).
    #[must_use]
    pub fn names(mut self, on: bool) -> Self {
        self.names = on;
        self
    }
}
