//! Where time or memory went, by stack and thread: what a profile's file is written from.

use std::cmp::Reverse;
use std::collections::HashMap;

use trace_format::id::{StackId, ThreadId};

use crate::life::{Lives, Sum, saturating_sum};
use crate::reason::Reason;

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
    /// Samples of what ran on CPUs; nanoseconds.
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
}

impl Lives {
    /// Where time went by stack and thread, for a profile of one kind; empty for
    /// [`ProfileKind::Heap`], which [`crate::heap::Heap::profile`] has.
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
            ProfileKind::Cpu => {
                let nanos = self.nanos_per_sample();
                for (key, sum) in &self.fine.samples {
                    let total = (sum.count as f64 * nanos) as u64;
                    add(*key, Sum { count: sum.count, total });
                }
            }
            ProfileKind::Heap => {}
        }
        let samples = sums.into_iter().map(|((stack, thread), Sum { count, total })| {
            ProfileSample { stack, thread, count, value: total, ..ProfileSample::default() }
        });
        let mut samples: Vec<_> = samples.collect();
        samples.sort_by_key(|sample| (Reverse(sample.value), sample.stack, sample.thread));
        Profile { kind, samples }
    }

    /// What a sample on a CPU stands for: the time on CPUs in equal parts. Where switches do not
    /// tell that time it is taken for a nanosecond, and shares are all that counts.
    fn nanos_per_sample(&self) -> f64 {
        let samples = saturating_sum(self.fine.samples.iter().map(|(_, sum)| sum.count));
        let busy = saturating_sum(self.cpus.iter().map(|cpu| cpu.busy.0));
        if busy == 0 || samples == 0 { 1.0 } else { busy as f64 / samples as f64 }
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
            | Reason::File
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
