//! Tables that give small numbers to lists of words. The table of stacks: its entries stay.
//!
//! Any thread adds to a table at any time, also in a signal handler: nothing here locks, allocates,
//! waits or panics. An entry's words lie in one mapped *arena*. An entry is made in three steps,
//! each one atomic operation. A thread that finds an entry between two steps does the next one
//! itself, as a signal may have interrupted the maker on this very thread:
//!
//! 1. The words are copied to a place of the arena that belongs to the maker alone.
//! 2. A *slot* of the hash table is exchanged from 0 to that place: the entry can be found.
//! 3. A number is taken as its id; `ids` gets the place, and the entry's header the id.
//!
//! Two threads that do the last step at once take two numbers; the header keeps the first, and the
//! other one is never handed out. Invariants:
//!
//! - **N1** A thread that was handed an id, or learnt it from such a thread, gets the id's words.
//! - **N2** The same words have the same id; other words have another id.
//! - **N3** Words do not change once they can be found.
//! - **N4** Words that do not fit have the id 0 and are counted; the entries of the table stay
//!   valid.
//! - **N5** An id that an event of the running trace names is marked as used before the event is
//!   committed.
//!
//! A table holds at most [`ENTRIES_MAX`] entries and [`WORDS_MAX`] words in the life of the
//! process. Futures, threads that are being made and the memories of walks hold ids across traces,
//! so an id is never given to other words. But a trace defines only the ids that are *used* in it:
//! an attached thread marks each id before it writes it, and the marks are cleared when a trace
//! begins, before any thread can attach.
//!
//! `memory` is the memory of a table. `resources` is the other table: what calls are about; its
//! entries are used again.

pub(crate) mod memory;
#[cfg(any(os_hooks, exectrace_loom))]
pub(crate) mod resources;

use crate::base::primitive::{AtomicU64, Ordering};
use std::borrow::Cow;

/// Maximum number of entries of a table.
pub(crate) const ENTRIES_MAX: usize = if cfg!(exectrace_loom) { 2 } else { 1 << 16 };

/// Maximum number of words of all entries together, their headers included: 8 MiB.
const WORDS_MAX: usize = if cfg!(exectrace_loom) { 8 } else { 1 << 20 };

/// Maximum number of words of one entry.
pub(crate) const ENTRY_WORDS_MAX: usize = 1 << 10;

/// Twice the entries, so that searches are short.
const SLOTS: usize = ENTRIES_MAX * 2;

/// All words of a table's memory.
const ALL_WORDS: usize = SLOTS + ENTRIES_MAX + USED + WORDS_MAX;

/// Number of words with a bit for each id: whether the running trace uses it.
const USED: usize = ENTRIES_MAX.div_ceil(64);

/// Maximum length of a search; beyond it, the table counts as full.
const PROBES_MAX: usize = if SLOTS < 128 { SLOTS } else { 128 };

/// The stacks of calls, annotations and allocations.
#[cfg(stacks)]
pub(crate) static STACKS: InternTable = InternTable::new();

/// Distinct lists of words, and their ids.
#[derive(Debug)]
pub(crate) struct InternTable {
    memory: memory::TableMemory<ALL_WORDS>,
    /// Number of ids taken.
    ids: AtomicU64,
    /// Number of words taken.
    words: AtomicU64,
    /// Number of lists that had no room.
    lost: AtomicU64,
}

impl InternTable {
    /// A table that has no memory yet: everything has the id 0 until [`InternTable::prepare`].
    #[cfg(not(exectrace_loom))]
    pub(crate) const fn new() -> Self {
        Self {
            memory: memory::TableMemory::new(),
            ids: AtomicU64::new(0),
            // Place 0 stands for no place.
            words: AtomicU64::new(1),
            lost: AtomicU64::new(0),
        }
    }

    /// As it is in a model: small, and with its memory.
    #[cfg(exectrace_loom)]
    pub(crate) fn new() -> Self {
        Self {
            memory: memory::TableMemory::new(),
            ids: AtomicU64::new(0),
            words: AtomicU64::new(1),
            lost: AtomicU64::new(0),
        }
    }

    /// Maps its memory, once; only then entries can be added. Not for signal handlers. Returns
    /// false if the system has no memory.
    #[cfg(not(exectrace_loom))]
    pub(crate) fn prepare(&self) -> bool {
        self.memory.prepare()
    }

    /// The id of these words, from 1; 0 if there is no room for them.
    pub(crate) fn intern(&self, words: &[u64]) -> u32 {
        let Some(parts) = self.memory.words().map(memory::split) else { return 0 };
        let id = if words.len() <= ENTRY_WORDS_MAX { self.find_or_add(parts, words) } else { 0 };
        if id == 0 {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        id
    }

    /// The words of an id. `None` if the id was not given, or is being given just now.
    pub(crate) fn get(&self, id: u32) -> Option<Cow<'_, [u64]>> {
        let parts = self.memory.words().map(memory::split)?;
        // `Acquire` pairs with the `Release` in `id_at`: the words are written before the place
        // (N1, N3).
        let place = parts.ids.get((id as usize).checked_sub(1)?)?.load(Ordering::Acquire);
        if place == 0 { None } else { parts.words_at(place as usize) }
    }

    /// The largest id: each of 1 to this one was given, or is being given just now.
    pub(crate) fn count(&self) -> u32 {
        // `Acquire`, as in `get`: neither may return less than what the caller knows already.
        self.ids.load(Ordering::Acquire).min(ENTRIES_MAX as u64) as u32
    }

    /// Clears the marks of used ids: a trace begins, to which no thread has attached yet.
    pub(crate) fn begin(&self) {
        let Some(parts) = self.memory.words().map(memory::split) else { return };
        parts.used.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }

    /// Marks an id of this table as used by the running trace; 0 stands for no id.
    #[inline(always)]
    pub(crate) fn note_used(&self, id: u32) {
        if id != 0 {
            self.note_used_id(id as usize - 1);
        }
    }

    fn note_used_id(&self, at: usize) {
        let Some(parts) = self.memory.words().map(memory::split) else { return };
        let (Some(word), bit) = (parts.used.get(at / 64), 1 << (at % 64)) else { return };
        // `Relaxed` for both: the event is committed later, with `Release`, and a thread that has
        // read the event sees this bit, whichever thread set it (N5).
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Which ids the running trace uses: a bit for each id that was given, from id 1 on.
    pub(crate) fn used_words(&self) -> impl Iterator<Item = u64> {
        let given = (self.count() as usize).div_ceil(64);
        let used = self.memory.words().map_or(&[][..], |all| memory::split(all).used);
        used.iter().take(given).map(|word| word.load(Ordering::Relaxed))
    }

    /// The words of an id; `None` if the running trace does not use it.
    #[cfg(all(feature = "names", not(exectrace_loom)))]
    pub(crate) fn used(&self, id: u32) -> Option<Cow<'_, [u64]>> {
        let at = (id as usize).checked_sub(1)?;
        let used = self.memory.words().map(memory::split)?.used.get(at / 64)?;
        let is_used = used.load(Ordering::Relaxed) >> (at % 64) & 1 != 0;
        if is_used { self.get(id) } else { None }
    }

    /// How often words had no room.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn find_or_add(&self, parts: memory::TableParts<'_>, words: &[u64]) -> u32 {
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
                    Ok(_) => return self.id_at(parts, made),
                    // Another thread was first, perhaps with the same words.
                    Err(now) => seen = now,
                }
            }
            let place = seen ^ tag;
            if place <= u64::from(u32::MAX) && parts.holds(place as usize, words) {
                return self.id_at(parts, place);
            }
        }
        0
    }

    /// Copies words to a new place; 0 if there is no room. The place stays unused if another thread
    /// has published the same words first.
    fn put(&self, parts: memory::TableParts<'_>, words: &[u64]) -> u64 {
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
            // No other thread has this place; the exchange of the slot publishes it.
            to.store(from, Ordering::Relaxed);
        }
        place
    }

    /// The id of the entry at `place`. Gives it one if it has none yet; 0 if all ids are given.
    fn id_at(&self, parts: memory::TableParts<'_>, place: u64) -> u32 {
        let Some(header) = parts.words.get(place as usize) else { return 0 };
        // `Acquire` pairs with the exchange below: `ids` has the place (N1).
        let seen = header.load(Ordering::Acquire);
        if seen as u32 != 0 {
            return seen as u32;
        }
        if self.ids.load(Ordering::Relaxed) >= ENTRIES_MAX as u64 {
            return 0;
        }
        // It exceeds the limit by at most the number of threads that are here at once.
        let id = self.ids.fetch_add(1, Ordering::AcqRel) + 1;
        let Some(known) = parts.ids.get(id as usize - 1) else { return 0 };
        // `Release` pairs with the `Acquire` in `get`. The header gets the id afterwards: a thread
        // that reads an id there, or learns it from such a thread, finds the place (N1).
        known.store(place, Ordering::Release);
        match header.compare_exchange(seen, seen | id, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => id as u32,
            Err(now) => now as u32,
        }
    }
}

/// A hash by folded products. Two independent chains overlap in the processor, so it takes a cycle
/// or two per word.
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

#[cfg(all(test, not(exectrace_loom), target_os = "linux"))]
mod tests {
    use super::*;

    fn table() -> &'static InternTable {
        let table = Box::leak(Box::new(InternTable::new()));
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
        let table = InternTable::new();
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
