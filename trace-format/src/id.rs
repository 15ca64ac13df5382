//! The ids on the wire. Each counts from 1 within its trace; 0 means none.

/// A thread of the traced program; 0 is the collector itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThreadId(pub u32);

/// A call site: the place in the source that emits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(pub u32);

/// A user task; 0 is no task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u64);

/// A traced future.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FutureId(pub u64);

/// What can be open on a thread, stack-like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Open {
    /// A region of this call site.
    Region(SiteId),
    /// A poll of this future.
    Poll(FutureId),
    /// A stretch in which the thread works for this task.
    Task(TaskId),
}

impl Open {
    /// The word on the wire: the id, shifted left by two, and the kind in the low bits.
    #[must_use]
    pub const fn to_word(self) -> u64 {
        match self {
            Self::Region(site) => (site.0 as u64) << 2,
            Self::Poll(future) => future.0 << 2 | 1,
            Self::Task(task) => task.0 << 2 | 2,
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
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_open_survives_its_word() {
        for open in [Open::Region(SiteId(u32::MAX)), Open::Poll(FutureId(7)), Open::Task(TaskId(0))]
        {
            assert_eq!(Open::from_word(open.to_word()), Some(open));
        }
        assert_eq!(Open::from_word(3), None);
        assert_eq!(Open::from_word(1 << 60), None, "a site id has 32 bits");
    }
}
