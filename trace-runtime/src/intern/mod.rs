//! Tables of words that are written once and named by small numbers: stacks.
//!
//! Any thread adds to a table at any time, also in a signal handler: nothing here locks, allocates,
//! waits or panics. An entry is words in one mapped *arena*. Its life has three steps, each one
//! atomic operation, and whoever finds an entry between two of them does the next one itself, for
//! its maker may be the very code that a signal has interrupted:
//!
//! 1. The words are copied to a place of the arena that nobody else has.
//! 2. A *slot* of the hash table is exchanged from 0 to that place: the entry can be found.
//! 3. A number is taken, `ids` is told the place, and the entry's header the number: it has a name.
//!
//! Two that do the last step at once take two numbers; the header keeps the first, and the other
//! one stays a second name that is never handed out. Invariants:
//!
//! - **N1** Whoever has been handed an id, or has learnt it from there, gets its words.
//! - **N2** Same words, same id; other words, another id.
//! - **N3** Words do not change once they can be found.
//! - **N4** What does not fit has the id 0 and is counted; what is in the table stays right.
//! - **N5** An id that an event of the running trace names is in use by the time that is committed.
//!
//! A table holds at most [`ENTRIES_MAX`] entries and [`WORDS_MAX`] words for the life of the
//! process: futures, threads on their way, and what walkers remember hold ids across traces, so no
//! id is given to other words. But a trace has only what is *used* in it: whoever has attached to
//! it notes that of each id that is about to be written, and the notes are cleared when a trace
//! begins, before anybody can attach.
//!
//! `resources` is the other table: of what calls are about, whose entries are used again.
//!
//! May contain `unsafe`: the arena is mapped memory.

#[cfg(any(os_hooks, exectrace_loom))]
pub(crate) mod resources;

use crate::base::primitive::{AtomicU64, Ordering};
use std::borrow::Cow;

/// The most entries of a table.
pub(crate) const ENTRIES_MAX: usize = if cfg!(exectrace_loom) { 2 } else { 1 << 16 };

/// The most words of all entries together, their headers included: 8 MiB.
const WORDS_MAX: usize = if cfg!(exectrace_loom) { 8 } else { 1 << 20 };

/// The most words of one entry.
pub(crate) const ENTRY_WORDS_MAX: usize = 1 << 10;

/// Twice the entries: a search ends soon.
const SLOTS: usize = ENTRIES_MAX * 2;

/// All that is mapped.
const ALL_WORDS: usize = SLOTS + ENTRIES_MAX + USED + WORDS_MAX;

/// Words with a bit for each id: whether the running trace uses it.
const USED: usize = ENTRIES_MAX.div_ceil(64);

/// A search that takes longer has come upon a full table.
const PROBES_MAX: usize = if SLOTS < 128 { SLOTS } else { 128 };

/// What is known of the calls to be traced: where from.
#[cfg(stacks)]
pub(crate) static STACKS: Table = Table::new();

/// Distinct lists of words, by number.
#[derive(Debug)]
pub(crate) struct Table {
    memory: memory::Memory<ALL_WORDS>,
    /// Numbers taken.
    ids: AtomicU64,
    /// Words taken.
    words: AtomicU64,
    /// What has found no place.
    lost: AtomicU64,
}

impl Table {
    /// A table that has no memory yet: everything has the id 0 until [`Table::prepare`].
    #[cfg(not(exectrace_loom))]
    pub(crate) const fn new() -> Self {
        Self {
            memory: memory::Memory::new(),
            ids: AtomicU64::new(0),
            // Place 0 means that there is none.
            words: AtomicU64::new(1),
            lost: AtomicU64::new(0),
        }
    }

    /// As it is in a model: small, and with its memory.
    #[cfg(exectrace_loom)]
    pub(crate) fn new() -> Self {
        Self {
            memory: memory::Memory::new(),
            ids: AtomicU64::new(0),
            words: AtomicU64::new(1),
            lost: AtomicU64::new(0),
        }
    }

    /// Maps its memory, once; from then on it serves. Not for signal handlers. Whether the system
    /// gives it.
    #[cfg(not(exectrace_loom))]
    pub(crate) fn prepare(&self) -> bool {
        self.memory.prepare()
    }

    /// The id of these words, from 1; 0 if there is no room for them.
    pub(crate) fn intern(&self, words: &[u64]) -> u32 {
        let Some(parts) = self.memory.words().map(memory::cut) else { return 0 };
        let id = if words.len() <= ENTRY_WORDS_MAX { self.find(parts, words) } else { 0 };
        if id == 0 {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        id
    }

    /// The words of an id. `None` if it was never given, or is just being given.
    pub(crate) fn get(&self, id: u32) -> Option<Cow<'_, [u64]>> {
        let parts = self.memory.words().map(memory::cut)?;
        // `Acquire` pairs with the `Release` in `name`: words come before places (N1, N3).
        let place = parts.ids.get((id as usize).checked_sub(1)?)?.load(Ordering::Acquire);
        if place == 0 { None } else { parts.words_at(place as usize) }
    }

    /// How many ids were given, at least: each of 1 to this was, or is just being given.
    pub(crate) fn count(&self) -> u32 {
        // `Acquire` goes with `get`: neither is earlier than what the caller knows.
        self.ids.load(Ordering::Acquire).min(ENTRIES_MAX as u64) as u32
    }

    /// A trace begins, which uses none yet. Nobody has attached to it.
    pub(crate) fn begin(&self) {
        let Some(parts) = self.memory.words().map(memory::cut) else { return };
        parts.used.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }

    /// The running trace uses this id, which came from here; 0 is none.
    #[inline(always)]
    pub(crate) fn note_used(&self, id: u32) {
        if id != 0 {
            self.note_used_id(id as usize - 1);
        }
    }

    fn note_used_id(&self, at: usize) {
        let Some(parts) = self.memory.words().map(memory::cut) else { return };
        let (Some(word), bit) = (parts.used.get(at / 64), 1 << (at % 64)) else { return };
        // `Relaxed` for both: the event is committed later, with `Release`, and who has read of it
        // sees this bit, whoever has set it (N5).
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Which ids the running trace uses: a bit each, from id 1 on, of all that were given.
    pub(crate) fn used_words(&self) -> impl Iterator<Item = u64> {
        let given = (self.count() as usize).div_ceil(64);
        let used = self.memory.words().map_or(&[][..], |all| memory::cut(all).used);
        used.iter().take(given).map(|word| word.load(Ordering::Relaxed))
    }

    /// The words of an id that the running trace uses.
    #[cfg(all(feature = "names", not(exectrace_loom)))]
    pub(crate) fn used(&self, id: u32) -> Option<Cow<'_, [u64]>> {
        let at = (id as usize).checked_sub(1)?;
        let used = self.memory.words().map(memory::cut)?.used.get(at / 64)?;
        let is_used = used.load(Ordering::Relaxed) >> (at % 64) & 1 != 0;
        if is_used { self.get(id) } else { None }
    }

    /// How many times there was no room.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn find(&self, parts: memory::Parts<'_>, words: &[u64]) -> u32 {
        let hash = hash(words);
        let tag = hash & !u64::from(u32::MAX);
        let mut made = 0;
        for probe in 0..PROBES_MAX {
            let Some(slot) = parts.slots.get((hash as usize).wrapping_add(probe) % SLOTS) else {
                break;
            };
            // `Acquire` pairs with the `Release` below: the words are there (N3).
            let mut seen = slot.load(Ordering::Acquire);
            if seen == 0 {
                if made == 0 {
                    made = self.put(parts, words);
                }
                if made == 0 {
                    break;
                }
                let order = (Ordering::Release, Ordering::Acquire);
                match slot.compare_exchange(0, tag | made, order.0, order.1) {
                    Ok(_) => return self.name(parts, made),
                    // Another one was first; perhaps with the same words.
                    Err(now) => seen = now,
                }
            }
            let place = seen ^ tag;
            if place <= u64::from(u32::MAX) && parts.holds(place as usize, words) {
                return self.name(parts, place);
            }
        }
        0
    }

    /// Copies words to a place of their own; 0 if there is none. A place whose words another
    /// thread has made findable first stays unused.
    fn put(&self, parts: memory::Parts<'_>, words: &[u64]) -> u64 {
        if self.ids.load(Ordering::Relaxed) >= ENTRIES_MAX as u64 {
            return 0;
        }
        let bytes = words.len() as u64 + 1;
        let mut place = self.words.load(Ordering::Relaxed);
        loop {
            if place + bytes > WORDS_MAX as u64 {
                return 0;
            }
            let order = Ordering::Relaxed;
            match self.words.compare_exchange(place, place + bytes, order, order) {
                Ok(_) => break,
                Err(now) => place = now,
            }
        }
        let Some(entry) = parts.words.get(place as usize..(place + bytes) as usize) else {
            return 0;
        };
        let header = (words.len() as u64) << 32;
        for (to, &from) in entry.iter().zip([header].iter().chain(words)) {
            // Nobody else has this place; the exchange of the slot is what publishes it.
            to.store(from, Ordering::Relaxed);
        }
        place
    }

    /// The id of the entry at `place`, given now if it has none.
    fn name(&self, parts: memory::Parts<'_>, place: u64) -> u32 {
        let Some(header) = parts.words.get(place as usize) else { return 0 };
        // `Acquire` pairs with the exchange below: `ids` knows of it (N1).
        let seen = header.load(Ordering::Acquire);
        if seen as u32 != 0 {
            return seen as u32;
        }
        if self.ids.load(Ordering::Relaxed) >= ENTRIES_MAX as u64 {
            return 0;
        }
        // More than the limit only by as many as there are threads in here at once.
        let id = self.ids.fetch_add(1, Ordering::AcqRel) + 1;
        let Some(known) = parts.ids.get(id as usize - 1) else { return 0 };
        // `Release` pairs with the `Acquire` in `get`. It comes before the header has it: who reads
        // an id there, or is told one by those who have, finds it (N1).
        known.store(place, Ordering::Release);
        match header.compare_exchange(seen, seen | id, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => id as u32,
            Err(now) => now as u32,
        }
    }
}

/// Folded products, of every other pair apart so that they overlap: a cycle or two for a word.
#[inline]
pub(crate) fn hash(words: &[u64]) -> u64 {
    const KEYS: [u64; 3] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93, 0xa076_1d64_78bd_642f];
    let fold = |left: u64, right: u64| {
        let product = u128::from(left) * u128::from(right);
        product as u64 ^ (product >> 64) as u64
    };
    let (mut even, mut odd) = (words.len() as u64 ^ KEYS[0], KEYS[2]);
    let (fours, rest) = words.as_chunks::<4>();
    for &[a, b, c, d] in fours {
        even = fold(a ^ even, b ^ KEYS[1]).wrapping_add(KEYS[0]);
        odd = fold(c ^ odd, d ^ KEYS[1]).wrapping_add(KEYS[2]);
    }
    for &word in rest {
        even = fold(word ^ even, KEYS[1]).wrapping_add(KEYS[0]);
    }
    fold(even ^ odd.rotate_left(32), KEYS[1])
}

/// A table's memory, mapped or, in a model, made of loom's atomics.
pub(crate) mod memory {
    use super::{AtomicU64, Cow, ENTRIES_MAX, Ordering, SLOTS, USED};

    /// The four arrays of a table.
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Parts<'a> {
        /// The upper half of the hash, and a place; 0 for none.
        pub(super) slots: &'a [AtomicU64],
        /// The places of ids, from 1; 0 for none.
        pub(super) ids: &'a [AtomicU64],
        /// A bit for each id.
        pub(super) used: &'a [AtomicU64],
        /// Entries: a header of length and id, and the words.
        pub(super) words: &'a [AtomicU64],
    }

    impl Parts<'_> {
        /// Whether the entry at `place` has these words.
        pub(super) fn holds(self, place: usize, words: &[u64]) -> bool {
            let Some(entry) = self.entry(place) else { return false };
            let same = |(entry, word): (&AtomicU64, &u64)| entry.load(Ordering::Relaxed) == *word;
            entry.len() == words.len() && entry.iter().zip(words).all(same)
        }
    }

    impl<'a> Parts<'a> {
        fn entry(self, place: usize) -> Option<&'a [AtomicU64]> {
            let count = (self.words.get(place)?.load(Ordering::Relaxed) >> 32) as usize;
            self.words.get(place + 1..)?.get(..count)
        }

        /// The words of the entry at `place`, which came out of `ids`.
        #[cfg(not(exectrace_loom))]
        pub(super) fn words_at(self, place: usize) -> Option<Cow<'a, [u64]>> {
            let entry = self.entry(place)?;
            // SAFETY: `from_raw_parts` wants so many words, initialised, and unwritten while they
            // are borrowed: an atomic has the layout of its word, the entry can be found, so its
            // words do not change (N3), and the memory is never unmapped.
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
    pub(crate) struct Memory<const COUNT: usize>(Box<[AtomicU64]>);

    #[cfg(exectrace_loom)]
    impl<const COUNT: usize> Memory<COUNT> {
        pub(crate) fn new() -> Self {
            Self((0..COUNT).map(|_| AtomicU64::new(0)).collect())
        }

        pub(crate) fn words(&self) -> Option<&[AtomicU64]> {
            Some(&self.0)
        }
    }

    #[cfg(not(exectrace_loom))]
    #[derive(Debug)]
    pub(crate) struct Memory<const COUNT: usize>(crate::base::primitive::AtomicPtr<AtomicU64>);

    #[cfg(not(exectrace_loom))]
    impl<const COUNT: usize> Memory<COUNT> {
        pub(crate) const fn new() -> Self {
            Self(crate::base::primitive::AtomicPtr::new(std::ptr::null_mut()))
        }

        /// Maps it, unless that has been done. If the system refuses, nothing will ever fit.
        #[cfg(target_os = "linux")]
        pub(crate) fn prepare(&self) -> bool {
            if !self.0.load(Ordering::Acquire).is_null() {
                return true;
            }
            let bytes = COUNT * size_of::<AtomicU64>();
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            // SAFETY: `mmap` wants nothing of a fresh anonymous mapping at an address it chooses.
            let mapped = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0) };
            if mapped == libc::MAP_FAILED {
                return false;
            }
            let order = (Ordering::Release, Ordering::Acquire);
            let none = std::ptr::null_mut();
            if self.0.compare_exchange(none, mapped.cast(), order.0, order.1).is_err() {
                // SAFETY: `munmap` wants a mapping that nobody uses: this one is known only here.
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
            // SAFETY: `from_raw_parts` wants so many atomics, in place for good: the mapping has
            // as many words, zeroed by the system, is touched through atomics only, and stays.
            Some(unsafe { std::slice::from_raw_parts(start, COUNT) })
        }
    }

    #[inline]
    pub(super) fn cut(all: &[AtomicU64]) -> Parts<'_> {
        let (slots, rest) = all.split_at(SLOTS);
        let (ids, rest) = rest.split_at(ENTRIES_MAX);
        let (used, words) = rest.split_at(USED);
        Parts { slots, ids, used, words }
    }
}

#[cfg(all(test, not(exectrace_loom), target_os = "linux"))]
mod tests {
    use super::*;

    fn table() -> &'static Table {
        let table = Box::leak(Box::new(Table::new()));
        assert!(table.prepare(), "there is memory");
        table
    }

    #[test]
    fn ids_come_in_sequence_and_give_the_words_back() {
        let table = table();
        for round in 0..3 {
            for at in 1..2000_u64 {
                let words: Vec<u64> = (0..at % 40).map(|word| word * at).chain([at]).collect();
                assert_eq!(table.intern(&words), at as u32, "in round {round}");
                assert_eq!(table.get(at as u32).as_deref(), Some(words.as_slice()));
            }
        }
        assert_eq!((table.count(), table.lost()), (1999, 0));
        assert_eq!(table.get(0), None);
        assert_eq!(table.get(2000), None);
        assert_eq!(table.get(u32::MAX), None);
    }

    #[test]
    fn a_table_without_memory_knows_nothing_and_loses_nothing() {
        let table = Table::new();
        assert_eq!(table.intern(&[1]), 0);
        assert_eq!((table.count(), table.lost(), table.get(1)), (0, 0, None));
    }

    #[test]
    fn a_full_table_counts_what_it_refuses_and_keeps_what_it_has() {
        let table = table();
        let ids: Vec<u32> = (0..70_000_u64).map(|word| table.intern(&[word, 7])).collect();
        let kept = ids.iter().filter(|&&id| id != 0).count();
        assert_eq!(kept, ENTRIES_MAX);
        assert_eq!(table.lost(), (ids.len() - kept) as u64);
        assert_eq!(table.count() as usize, ENTRIES_MAX);
        for (word, &id) in ids.iter().enumerate().filter(|(_, id)| **id != 0) {
            assert_eq!(table.get(id).as_deref(), Some([word as u64, 7].as_slice()));
            assert_eq!(table.intern(&[word as u64, 7]), id);
        }
    }

    #[test]
    fn too_many_words_are_refused_too() {
        let table = table();
        let words = vec![3; ENTRY_WORDS_MAX + 1];
        assert_eq!(table.intern(&words), 0);
        assert_eq!(table.intern(&words[1..]), 1);
        let ids = (0..2000_u64).map(|at| {
            let mut words = vec![at; ENTRY_WORDS_MAX];
            words[0] = !at;
            table.intern(&words)
        });
        let kept = ids.filter(|&id| id != 0).count() + 1;
        assert_eq!(kept, (WORDS_MAX - 1) / (ENTRY_WORDS_MAX + 1), "each has a header");
        assert_eq!(table.lost() as usize, 2001 - kept + 1);
    }

    #[test]
    fn threads_agree_on_every_id() {
        let table = table();
        let work = || (0..20_000_u64).map(|word| table.intern(&[word])).collect::<Vec<_>>();
        let found = std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(work));
            threads.map(|thread| thread.join().expect("nobody panics"))
        });
        assert!(found.iter().all(|ids| *ids == found[0]), "same words, two ids");
        for (word, &id) in found[0].iter().enumerate() {
            assert_eq!(table.get(id).as_deref(), Some([word as u64].as_slice()));
        }
    }
}
