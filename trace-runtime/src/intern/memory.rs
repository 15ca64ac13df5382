//! A table's memory: mapped or, in a model, made of loom's atomics.
//!
//! May contain `unsafe`: mapped memory is reached through pointers.

use super::{AtomicU64, Cow, ENTRIES_MAX, Ordering, SLOTS, USED};

/// The four arrays of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct TableParts<'a> {
    /// The upper half of the hash, and a place; 0 for none.
    pub(super) slots: &'a [AtomicU64],
    /// The places of ids, from 1; 0 for none.
    pub(super) ids: &'a [AtomicU64],
    /// A bit for each id.
    pub(super) used: &'a [AtomicU64],
    /// Entries: a header of length and id, and the words.
    pub(super) words: &'a [AtomicU64],
}

impl TableParts<'_> {
    /// Whether the entry at `place` has these words.
    pub(super) fn holds(self, place: usize, words: &[u64]) -> bool {
        let Some(entry) = self.entry(place) else { return false };
        let same = |(entry, word): (&AtomicU64, &u64)| entry.load(Ordering::Relaxed) == *word;
        entry.len() == words.len() && entry.iter().zip(words).all(same)
    }
}

impl<'a> TableParts<'a> {
    fn entry(self, place: usize) -> Option<&'a [AtomicU64]> {
        let count = (self.words.get(place)?.load(Ordering::Relaxed) >> 32) as usize;
        self.words.get(place + 1..)?.get(..count)
    }

    /// The words of the entry at `place`, which came out of `ids`.
    #[cfg(not(exectrace_loom))]
    pub(super) fn words_at(self, place: usize) -> Option<Cow<'a, [u64]>> {
        let entry = self.entry(place)?;
        // SAFETY: `from_raw_parts` wants this many initialised words, unwritten while borrowed: an
        // atomic has the layout of its word, the entry can be found, so its words do not change
        // (N3), and the memory is never unmapped.
        let words = unsafe { std::slice::from_raw_parts(entry.as_ptr().cast(), entry.len()) };
        Some(Cow::Borrowed(words))
    }

    #[cfg(exectrace_loom)]
    pub(super) fn words_at(self, place: usize) -> Option<Cow<'a, [u64]>> {
        let words = self.entry(place)?.iter().map(|word| word.load(Ordering::Relaxed));
        Some(Cow::Owned(words.collect()))
    }
}

#[cfg(exectrace_loom)]
#[derive(Debug)]
pub(crate) struct TableMemory<const COUNT: usize>(Box<[AtomicU64]>);

#[cfg(exectrace_loom)]
impl<const COUNT: usize> TableMemory<COUNT> {
    pub(crate) fn new() -> Self {
        Self((0..COUNT).map(|_| AtomicU64::new(0)).collect())
    }

    pub(crate) fn words(&self) -> Option<&[AtomicU64]> {
        Some(&self.0)
    }
}

#[cfg(not(exectrace_loom))]
#[derive(Debug)]
pub(crate) struct TableMemory<const COUNT: usize>(crate::base::primitive::AtomicPtr<AtomicU64>);

#[cfg(not(exectrace_loom))]
impl<const COUNT: usize> TableMemory<COUNT> {
    pub(crate) const fn new() -> Self {
        Self(crate::base::primitive::AtomicPtr::new(std::ptr::null_mut()))
    }

    /// Maps it, unless that has been done. Returns false if the system refuses; then no words fit.
    #[cfg(target_os = "linux")]
    pub(crate) fn prepare(&self) -> bool {
        if !self.0.load(Ordering::Acquire).is_null() {
            return true;
        }
        let bytes = COUNT * size_of::<AtomicU64>();
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: `mmap` has no demands for a new anonymous mapping at an address that it chooses.
        let mapped = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0) };
        if mapped == libc::MAP_FAILED {
            return false;
        }
        let order = (Ordering::Release, Ordering::Acquire);
        let none = std::ptr::null_mut();
        if self.0.compare_exchange(none, mapped.cast(), order.0, order.1).is_err() {
            // SAFETY: `munmap` wants a mapping that is not used: only this function knows it.
            unsafe { libc::munmap(mapped, bytes) };
        }
        true
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn prepare(&self) -> bool {
        true
    }

    #[inline]
    pub(crate) fn words(&self) -> Option<&'static [AtomicU64]> {
        // `Acquire` pairs with the `Release` in `prepare`.
        let start = self.0.load(Ordering::Acquire);
        if start.is_null() {
            return None;
        }
        // SAFETY: `from_raw_parts` wants this many atomics, in place for good: the mapping has as
        // many words, zeroed by the system, is touched through atomics only, and stays.
        Some(unsafe { std::slice::from_raw_parts(start, COUNT) })
    }
}

#[inline]
pub(super) fn split(all: &[AtomicU64]) -> TableParts<'_> {
    let (slots, rest) = all.split_at(SLOTS);
    let (ids, rest) = rest.split_at(ENTRIES_MAX);
    let (used, words) = rest.split_at(USED);
    TableParts { slots, ids, used, words }
}
