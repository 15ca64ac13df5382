//! The ids on the wire. Each counts from 1 within its trace; 0 means none.

/// A thread of the traced program, or a CPU; 0 is the collector itself.
///
/// Ids from [`ThreadId::CPU_FIRST`] on are CPUs: their batches say which thread ran there when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThreadId(pub u32);

/// A call site: a place in the source that events come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(pub u32);

/// A user task; 0 is no task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u64);

/// A traced future.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FutureId(pub u64);

/// A function of the system that the program called: a row of [`crate::call::CALLS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u8);

/// A stack of return addresses; 0 is none, the greatest is [`StackId::MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StackId(pub u32);

/// What a call was about: an address, a file, a socket; 0 is none, the greatest is
/// [`ResourceId::MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId(pub u32);

/// A sampled allocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleId(pub u64);

impl ThreadId {
    /// The id of the first CPU.
    pub const CPU_FIRST: u32 = 0x8000_0000;

    /// The lane of the system's CPU `number`, below 2^31.
    #[must_use]
    pub const fn cpu(number: u32) -> Self {
        Self(number | Self::CPU_FIRST)
    }

    /// The number of the CPU; `None` if this is a thread.
    #[must_use]
    pub const fn as_cpu(self) -> Option<u32> {
        if self.0 >= Self::CPU_FIRST { Some(self.0 - Self::CPU_FIRST) } else { None }
    }
}

impl StackId {
    /// The greatest id: 24 bits, so that a call's `Open` fits a word.
    pub const MAX: Self = Self((1 << 24) - 1);

    /// Whether the id is in its range.
    const fn fits(self) -> bool {
        self.0 <= Self::MAX.0
    }

    /// The id with this number; `None` if that is beyond [`StackId::MAX`].
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        u32::try_from(number).ok().map(Self).filter(|id| id.fits())
    }
}

impl ResourceId {
    /// The greatest id: 30 bits, so that a call's `Open` fits a word.
    pub const MAX: Self = Self((1 << 30) - 1);

    const fn fits(self) -> bool {
        self.0 <= Self::MAX.0
    }

    /// The id with this number; `None` if that is beyond [`ResourceId::MAX`].
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        u32::try_from(number).ok().map(Self).filter(|id| id.fits())
    }
}

/// A call that is open, with everything that its begin says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OpenCall {
    /// Which function.
    pub call: CallId,
    /// Where it was called from; 0 if unknown.
    pub stack: StackId,
    /// What it is about; 0 for nothing in particular.
    pub resource: ResourceId,
}

impl OpenCall {
    /// 62 bits: call, stack and resource, from the lowest bit on. An id out of its range becomes 0.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        let stack = if self.stack.fits() { self.stack.0 as u64 } else { 0 };
        let resource = if self.resource.fits() { self.resource.0 as u64 } else { 0 };
        self.call.0 as u64 | stack << 8 | resource << 32
    }

    /// The inverse of [`OpenCall::to_bits`]; bits from the 62nd on are ignored.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            call: CallId(bits as u8),
            stack: StackId((bits >> 8) as u32 & StackId::MAX.0),
            resource: ResourceId((bits >> 32) as u32 & ResourceId::MAX.0),
        }
    }
}

/// What can be open on a thread. What was opened last ends first, as a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Open {
    /// A region of this call site.
    Region(SiteId),
    /// A poll of this future.
    Poll(FutureId),
    /// A task run: the thread works for this task.
    Task(TaskId),
    /// A call into the system.
    Call(OpenCall),
}

impl Open {
    /// The word on the wire: the id, shifted left by two, and the kind in the low bits.
    #[must_use]
    pub const fn to_word(self) -> u64 {
        match self {
            Self::Region(site) => (site.0 as u64) << 2,
            Self::Poll(future) => future.0 << 2 | 1,
            Self::Task(task) => task.0 << 2 | 2,
            Self::Call(call) => call.to_bits() << 2 | 3,
        }
    }

    /// The inverse of [`Open::to_word`]; `None` for a word that names nothing.
    #[must_use]
    pub fn from_word(word: u64) -> Option<Self> {
        let id = word >> 2;
        match word & 3 {
            0 => Some(Self::Region(SiteId(u32::try_from(id).ok()?))),
            1 => Some(Self::Poll(FutureId(id))),
            2 => Some(Self::Task(TaskId(id))),
            _ => Some(Self::Call(OpenCall::from_bits(id))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(call: u8, stack: u32, resource: u32) -> OpenCall {
        OpenCall { call: CallId(call), stack: StackId(stack), resource: ResourceId(resource) }
    }

    #[test]
    fn every_open_survives_its_word() {
        let calls = [
            call(0, 0, 0),
            call(255, 0, 0),
            call(0, StackId::MAX.0, 0),
            call(0, 0, ResourceId::MAX.0),
            call(255, StackId::MAX.0, ResourceId::MAX.0),
            call(43, 0x0012_3456, 0x1234_5678),
        ];
        let others =
            [Open::Region(SiteId(u32::MAX)), Open::Poll(FutureId(7)), Open::Task(TaskId(0))];
        for open in calls.map(Open::Call).into_iter().chain(others) {
            assert_eq!(Open::from_word(open.to_word()), Some(open));
        }
        assert_eq!(Open::from_word(1 << 60), None, "a site id has 32 bits");
        let wide = call(1, StackId::MAX.0 + 1, ResourceId::MAX.0 + 1);
        assert_eq!(OpenCall::from_bits(wide.to_bits()), call(1, 0, 0), "what is too wide is none");
    }

    #[test]
    fn a_lane_is_a_thread_or_a_cpu() {
        assert_eq!(ThreadId(0x7fff_ffff).as_cpu(), None);
        assert_eq!(ThreadId::cpu(0).as_cpu(), Some(0));
        assert_eq!(ThreadId(u32::MAX).as_cpu(), Some(0x7fff_ffff));
    }
}
