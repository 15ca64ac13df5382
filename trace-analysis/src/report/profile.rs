//! Where time or memory went, by stack and thread: what a profile's file is written from.

use std::cmp::Reverse;
use std::collections::HashMap;

use trace_format::id::{StackId, ThreadId};

use crate::reason::Reason;
use crate::report::life::{Lives, Sum};

/// What a profile is about, and in which unit its values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProfileKind {
    /// All waiting; nanoseconds.
    Block,
    /// Waiting for other threads: locks, conditions, channels, parking, joins; nanoseconds.
    Sync,
    /// Waiting for locks; nanoseconds.
    Lock,
    /// Waiting for sockets and pollers; nanoseconds.
    Net,
    /// Waiting for files and pipes; nanoseconds.
    Io,
    /// All calls; nanoseconds.
    Syscall,
    /// Able to run and not on a CPU, at the stack of the call it went off in; nanoseconds.
    Sched,
    /// What ran on CPUs, by samples, and the kernel in calls; nanoseconds.
    Cpu,
    /// Live and allocated memory; bytes.
    Heap,
}

impl ProfileKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Block,
        Self::Sync,
        Self::Lock,
        Self::Net,
        Self::Io,
        Self::Syscall,
        Self::Sched,
        Self::Cpu,
        Self::Heap,
    ];

    /// The name people give it, one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Sync => "sync",
            Self::Lock => "lock",
            Self::Net => "net",
            Self::Io => "io",
            Self::Syscall => "syscall",
            Self::Sched => "sched",
            Self::Cpu => "cpu",
            Self::Heap => "heap",
        }
    }

    /// What it is about, in a few words.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Block => "All waiting",
            Self::Sync => "Waiting for other threads: locks, conditions, channels, parking, joins",
            Self::Lock => "Waiting for locks",
            Self::Net => "Waiting for sockets and pollers",
            Self::Io => "Waiting for files and pipes",
            Self::Syscall => "The time of all calls into the system",
            Self::Sched => "Being able to run and having no CPU",
            Self::Cpu => "Running, by samples, and the kernel in calls",
            Self::Heap => "Memory: live, and allocated",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Stacks with what they cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What it is about.
    pub kind: ProfileKind,
    /// The dearest first.
    pub samples: Vec<ProfileSample>,
}

/// What one thread spent at one stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProfileSample {
    /// Where; 0 if unknown.
    pub stack: StackId,
    /// Who; 0 if it recorded nothing itself, and in a heap's profile.
    pub thread: ThreadId,
    /// How often; of a heap the estimated number of live allocations.
    pub count: u64,
    /// Nanoseconds; of a heap the estimated live bytes.
    pub value: u64,
    /// Of a heap: the estimated number of allocations in the window, freed or not. Else 0.
    pub allocated_count: u64,
    /// Of a heap: their bytes. Else 0.
    pub allocated: u64,
    /// Of time on CPUs: whether it is the kernel's, in calls that were made at this stack, or for
    /// pages that were touched there.
    pub is_kernel: bool,
}

impl Lives {
    /// Where time went by stack and thread, for a profile of one kind; empty for
    /// [`ProfileKind::Heap`], which [`crate::report::heap::Heap::profile`] has.
    #[must_use]
    pub fn profile(&self, kind: ProfileKind) -> Profile {
        let mut sums = HashMap::<(StackId, ThreadId), Sum>::new();
        let mut add = |place, sum: Sum| sums.entry(place).or_default().merge(sum);
        match kind {
            ProfileKind::Block
            | ProfileKind::Sync
            | ProfileKind::Lock
            | ProfileKind::Net
            | ProfileKind::Io => {
                for (key, sum) in &self.fine.waits {
                    if is_of(key.reason, kind) {
                        add((key.stack, key.thread), *sum);
                    }
                }
            }
            ProfileKind::Syscall => {
                let calls = self.fine.calls.iter();
                calls.for_each(|(key, sum)| add((key.stack, key.thread), *sum));
            }
            ProfileKind::Sched => self.fine.ready.iter().for_each(|(key, sum)| add(*key, *sum)),
            ProfileKind::Cpu => self.user_times().into_iter().for_each(|(key, sum)| add(key, sum)),
            ProfileKind::Heap => {}
        }
        let samples = sums.into_iter().map(|((stack, thread), Sum { count, total })| {
            ProfileSample { stack, thread, count, value: total, ..ProfileSample::default() }
        });
        let mut samples: Vec<_> = samples.collect();
        if kind == ProfileKind::Cpu {
            let mut kernel = HashMap::<(StackId, ThreadId), Sum>::new();
            for (key, sum) in self.fine.kernel.iter().chain(&self.fine.faults) {
                kernel.entry(*key).or_default().merge(*sum);
            }
            let kernel = kernel.into_iter();
            samples.extend(kernel.map(|((stack, thread), Sum { count, total })| ProfileSample {
                stack,
                thread,
                count,
                value: total,
                is_kernel: true,
                ..ProfileSample::default()
            }));
        }
        samples.sort_by_key(|it| (Reverse(it.value), it.stack, it.thread, it.is_kernel));
        Profile { kind, samples }
    }

    /// Time on CPUs in the program's own code: of each thread, in equal parts for its samples. That
    /// of a thread without a sample has no stack. Where switches do not tell that time, a sample
    /// stands for a nanosecond, and shares are all that counts.
    fn user_times(&self) -> Vec<((StackId, ThreadId), Sum)> {
        let mut threads = HashMap::<ThreadId, (u64, u64)>::new();
        for ((_, thread), sum) in &self.fine.samples {
            threads.entry(*thread).or_default().0 += sum.count;
        }
        for life in &self.threads {
            let running = &mut threads.entry(life.thread).or_default().1;
            *running = running.saturating_add(life.times.running.0);
        }
        for ((_, thread), sum) in &self.fine.faults {
            if let Some((_, running)) = threads.get_mut(thread) {
                *running = running.saturating_sub(sum.total);
            }
        }
        let is_timed = threads.values().any(|(_, running)| *running > 0);
        let samples = self.fine.samples.iter().map(|(key, sum)| {
            let (samples, running) = threads.get(&key.1).copied().unwrap_or_default();
            let each = if is_timed { running as f64 / samples.max(1) as f64 } else { 1.0 };
            (*key, Sum { count: sum.count, total: (sum.count as f64 * each) as u64 })
        });
        let unseen = threads.iter().filter(|(_, (samples, running))| *samples == 0 && *running > 0);
        let unseen = unseen.map(|(thread, (_, running))| {
            ((StackId(0), *thread), Sum { count: 0, total: *running })
        });
        samples.chain(unseen).collect()
    }
}

/// Whether waiting for a reason belongs into a profile of waiting.
fn is_of(reason: Reason, kind: ProfileKind) -> bool {
    let is_net = matches!(reason, Reason::SocketRead | Reason::SocketWrite | Reason::Poll);
    let is_io = matches!(
        reason,
        Reason::PipeRead
            | Reason::PipeWrite
            | Reason::FileRead
            | Reason::FileWrite
            | Reason::FileSync
            | Reason::FileLock
            | Reason::FileOpen
            | Reason::FileClose
            | Reason::FileMetadata
            | Reason::Read
            | Reason::Write
            | Reason::PageFault
    );
    let is_lock = matches!(reason, Reason::Mutex | Reason::RwLockRead | Reason::RwLockWrite);
    let is_sync = matches!(
        reason,
        Reason::Condvar
            | Reason::ChannelSend
            | Reason::ChannelReceive
            | Reason::Join
            | Reason::Park
            | Reason::Barrier
            | Reason::Once
            | Reason::Future
            | Reason::Worker
            | Reason::Futex
    );
    match kind {
        ProfileKind::Net => is_net,
        ProfileKind::Io => is_io,
        ProfileKind::Sync => is_sync || is_lock,
        ProfileKind::Lock => is_lock,
        _ => true,
    }
}
