//! The enumerations in definitions: each has a number on the wire, a name for people, and a meaning
//! for numbers of newer versions.

/// What a call site emits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallsiteKind {
    /// `#[traced]` on a function.
    Function,
    /// `trace_region!`.
    Region,
    /// A traced `async fn` or a function that returns a future.
    Future,
    /// A call that is a user task of its own.
    Task,
    /// `log!`; the name is the category.
    Log,
    /// `counter!`.
    Counter,
    /// `instant!`.
    Instant,
}

impl CallsiteKind {
    /// Every kind, in wire order.
    pub const ALL: [Self; 7] = [
        Self::Function,
        Self::Region,
        Self::Future,
        Self::Task,
        Self::Log,
        Self::Counter,
        Self::Instant,
    ];

    /// The number on the wire, from 0.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        self as u8
    }

    /// The inverse of [`CallsiteKind::to_byte`]; kinds of newer versions count as regions.
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        Self::ALL.get(at).copied().unwrap_or(Self::Region)
    }

    /// The name people read.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Region => "region",
            Self::Future => "future",
            Self::Task => "task",
            Self::Log => "log",
            Self::Counter => "counter",
            Self::Instant => "instant",
        }
    }
}

/// How an argument is turned into a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArgumentKind {
    /// Its type is kept.
    Typed,
    /// As `Debug` prints it.
    Debug,
    /// As `Display` prints it.
    Display,
}

impl ArgumentKind {
    /// The number on the wire, from 0.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        self as u8
    }

    pub(super) const fn from_number(number: u64) -> Self {
        match number {
            1 => Self::Debug,
            2 => Self::Display,
            _ => Self::Typed,
        }
    }
}

/// What a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKind {
    /// A place in memory: a lock, a condition.
    Address,
    /// A descriptor of a file.
    File,
    /// A descriptor of a socket.
    Socket,
    /// A descriptor of a pipe.
    Pipe,
    /// A descriptor of an event counter.
    Event,
    /// A descriptor of a poll set.
    PollSet,
    /// A descriptor of a timer.
    Timer,
    /// Any other descriptor.
    Descriptor,
    /// A process.
    Process,
    /// A thread.
    Thread,
    /// The number of a system call.
    SystemCall,
}

impl ResourceKind {
    /// Every kind, in wire order.
    pub const ALL: [Self; 11] = [
        Self::Address,
        Self::File,
        Self::Socket,
        Self::Pipe,
        Self::Event,
        Self::PollSet,
        Self::Timer,
        Self::Descriptor,
        Self::Process,
        Self::Thread,
        Self::SystemCall,
    ];

    /// The number on the wire, from 0.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        self as u8
    }

    /// The inverse of [`ResourceKind::to_byte`]; kinds of newer versions count as descriptors.
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        Self::ALL.get(at).copied().unwrap_or(Self::Descriptor)
    }

    /// The name people read, one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::File => "file",
            Self::Socket => "socket",
            Self::Pipe => "pipe",
            Self::Event => "event",
            Self::PollSet => "poll-set",
            Self::Timer => "timer",
            Self::Descriptor => "descriptor",
            Self::Process => "process",
            Self::Thread => "thread",
            Self::SystemCall => "system-call",
        }
    }

    /// Whether its value is a descriptor's number.
    #[must_use]
    pub const fn is_descriptor(self) -> bool {
        !matches!(self, Self::Address | Self::Process | Self::Thread | Self::SystemCall)
    }
}

/// Who walked a stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FoundBy {
    /// The recorder, along frame pointers.
    #[default]
    FramePointers,
    /// The recorder, by the modules' unwind tables.
    UnwindTables,
    /// The system's unwinder.
    SystemUnwinder,
    /// The kernel.
    Kernel,
}

impl FoundBy {
    /// Everyone, in wire order.
    pub const ALL: [Self; 4] =
        [Self::FramePointers, Self::UnwindTables, Self::SystemUnwinder, Self::Kernel];

    /// The name people read, one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FramePointers => "frame-pointers",
            Self::UnwindTables => "unwind-tables",
            Self::SystemUnwinder => "system-unwinder",
            Self::Kernel => "kernel",
        }
    }
}

/// What is known of a stack besides its addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StackFlags {
    /// There are frames further out that were not recorded, or left out at reading.
    pub cut: bool,
    /// Who found it.
    pub by: FoundBy,
}

impl StackFlags {
    /// The number on the wire.
    #[must_use]
    pub const fn to_number(self) -> u64 {
        self.cut as u64 | (self.by as u64) << 1
    }

    /// The inverse of [`StackFlags::to_number`]; bits of newer versions are ignored.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self { cut: number & 1 != 0, by: FoundBy::ALL[(number >> 1 & 3) as usize] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_survives_its_number() {
        for kind in ResourceKind::ALL {
            assert_eq!(ResourceKind::from_number(u64::from(kind.to_byte())), kind);
        }
        assert_eq!(ResourceKind::from_number(u64::MAX), ResourceKind::Descriptor);
        for number in 0..8 {
            assert_eq!(StackFlags::from_number(number).to_number(), number);
        }
        let whole = StackFlags { cut: false, by: FoundBy::Kernel };
        assert_eq!(StackFlags::from_number(u64::MAX - 1), whole);
    }
}
