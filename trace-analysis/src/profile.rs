//! Where time or memory went, by stack and thread: what a profile's file is written from.

use trace_format::id::{StackId, ThreadId};

/// What a profile is about, and in which unit its values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProfileKind {
    /// All waiting; nanoseconds.
    Block,
    /// Waiting for other threads: locks, conditions, channels, parking, joins; nanoseconds.
    Sync,
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
    pub const ALL: [Self; 8] = [
        Self::Block,
        Self::Sync,
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
