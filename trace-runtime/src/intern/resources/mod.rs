//! The table of resources: what calls are about (locks, descriptors, processes), by number. Its
//! entries are used again.
//!
//! A server has a new peer per connection, so entries have to make room. A *cell* has one entry at
//! a time and a generation; an id consists of both, so the same id comes back only after 8,191
//! other entries of its cell. Any thread adds or finds entries, also in a signal handler: nothing
//! here locks, allocates, waits or panics. Only the collector takes entries out (`collector`).
//!
//! 1. A thread takes a free cell, which then belongs to it, writes the words, and marks the cell
//!    *live*.
//! 2. A slot of the hash table is exchanged from 0 to the id: the entry can be found.
//! 3. The cell is marked *found*, and its *dirty* bits are set. The collector then defines the
//!    entry in the outputs, and marks the cell *defined*. A thread that finds an entry which is not
//!    defined does this step as well, as a signal may have interrupted the maker on this very
//!    thread.
//! 4. The collector finds that the entry was not used for some rounds, and that no call is open on
//!    it. It clears the slot, increments the generation, and frees the cell.
//!
//! Invariants:
//!
//! - **E1** An id that a thread holds is defined, or the collector's next look defines it.
//! - **E2** A search returns an id only if the cell had exactly the searched words while it had
//!   that generation.
//! - **E3** Only the thread that has taken a cell off a free list writes it, and only one takes it.
//! - **E4** Words without room have the id 0 and are counted.
//!
//! The same words may have two ids: one after the other, if the first was given up, or both at
//! once, if a slot was cleared just when two threads added them. Readers treat resources with the
//! same words as one.
//!
//! `parts` says where everything lies; `tests` has the tests. Elsewhere: names of descriptors
//! (`os::fd`), definitions (`interned`), stacks, whose entries stay (`intern`).

mod collector;
mod parts;

use crate::base::primitive::{AtomicU64, Ordering, fence};
use crate::intern::{hash, memory::TableMemory};
use parts::{
    ALL_WORDS, CELL_BITS, CELLS, CLASSES, COLUMNS, Class, DIRTY, DIRTY_SUMS, GROUPS, ResourceParts,
    SLOTS, cell_of, is_of,
};

/// Number of entries below which none is given up: in an ordinary program each resource keeps its
/// id.
const FEW: u64 = if cfg!(exectrace_loom) { 0 } else { 1024 };

/// Number of rounds without use after which an entry is given up.
const IDLE_ROUNDS: u64 = if cfg!(exectrace_loom) { 0 } else { 4 };

/// The same while the table is crowded.
const IDLE_ROUNDS_CROWDED: u64 = if cfg!(exectrace_loom) { 0 } else { 1 };

/// The first round: an entry marked as last used in round 0 is idle for long enough to be given up
/// in the next.
const ROUND_FIRST: u64 = 16;

/// In a cell's state: it has an entry.
const LIVE: u64 = 1;
/// The outputs have its definition.
const DEFINED: u64 = 2;
/// It can be found: its maker does not take it back.
const FOUND: u64 = 4;

/// What calls were about: addresses, descriptors, processes.
#[cfg(os_hooks)]
pub(crate) static RESOURCES: ResourceTable = ResourceTable::new();

/// Lists of words, and their ids.
#[derive(Debug)]
pub(crate) struct ResourceTable {
    memory: TableMemory<ALL_WORDS>,
    /// The collector's round, from [`ROUND_FIRST`].
    round: AtomicU64,
    /// By class: the first free cell plus 1, with a count above it that changes each time; how many
    /// cells were ever taken; how many have an entry.
    free: [AtomicU64; CLASSES.len()],
    fresh: [AtomicU64; CLASSES.len()],
    live: [AtomicU64; CLASSES.len()],
    /// Number of lists that had no room.
    lost: AtomicU64,
    /// Which words of `sums` to look at: a bit each.
    dirty: AtomicU64,
}

macro_rules! new {
    () => {
        Self {
            memory: TableMemory::new(),
            round: AtomicU64::new(ROUND_FIRST),
            free: each!(),
            fresh: each!(),
            live: each!(),
            lost: AtomicU64::new(0),
            dirty: AtomicU64::new(0),
        }
    };
}

#[cfg(not(exectrace_loom))]
macro_rules! each {
    () => {
        [const { AtomicU64::new(0) }; CLASSES.len()]
    };
}

#[cfg(exectrace_loom)]
macro_rules! each {
    () => {
        std::array::from_fn(|_| AtomicU64::new(0))
    };
}

impl ResourceTable {
    /// A table that has no memory yet: everything has the id 0 until [`ResourceTable::prepare`].
    #[cfg(not(exectrace_loom))]
    pub(crate) const fn new() -> Self {
        new!()
    }

    /// As it is in a model: small, and with its memory.
    #[cfg(exectrace_loom)]
    pub(crate) fn new() -> Self {
        new!()
    }

    /// Maps its memory, once; only then entries can be added. Returns false if the system has no
    /// memory. Not for signal handlers.
    #[cfg(not(exectrace_loom))]
    pub(crate) fn prepare(&self) -> bool {
        self.memory.prepare()
    }

    fn parts(&self) -> Option<ResourceParts<'_>> {
        let all = self.memory.words()?;
        let (slots, all) = all.split_at(SLOTS);
        let (cells, all) = all.split_at(CELLS);
        let (used, all) = all.split_at(CELLS);
        let (links, all) = all.split_at(CELLS);
        let (dirty, all) = all.split_at(DIRTY);
        let (sums, words) = all.split_at(DIRTY_SUMS);
        Some(ResourceParts { slots, cells, used, links, dirty, sums, words })
    }

    /// The id of these words; 0 if there is no room for them.
    pub(crate) fn intern(&self, words: &[u64]) -> u32 {
        let Some(parts) = self.parts() else { return 0 };
        let hash = hash(words);
        let id = match self.find(parts, hash, words) {
            Some(id) => id,
            None => self.add(parts, hash, words).unwrap_or(0),
        };
        if id == 0 {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        id
    }

    /// How often words had no room.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Whether the id still has its words.
    pub(crate) fn is_live(&self, id: u32) -> bool {
        let Some(parts) = self.parts() else { return false };
        // `SeqCst`, as in `give_up` and in code that remembers ids (`os::fd`): either that code
        // sees that the id was given up, or the collector sees that the id is remembered.
        let state = parts.cells.get(cell_of(id)).map(|cell| cell.load(Ordering::SeqCst));
        state.is_some_and(|state| is_of(state, id))
    }

    /// The resource of this id has ended: the entry may be given up in the next round.
    pub(crate) fn close(&self, id: u32) {
        let Some(parts) = self.parts() else { return };
        if let Some(used) = parts.used.get(cell_of(id)) {
            used.store(0, Ordering::Relaxed);
        }
    }

    /// Whether few cells are free, so that the collector should give up idle entries.
    pub(crate) fn is_crowded(&self) -> bool {
        CLASSES.iter().zip(&self.live).any(|(class, live)| {
            live.load(Ordering::Relaxed) as usize * 4 >= class.columns * GROUPS * 3
        })
    }

    fn find(&self, parts: ResourceParts<'_>, hash: u64, words: &[u64]) -> Option<u32> {
        for slot in parts.window(hash) {
            // `Acquire` pairs with the `Release` in `add`: the words are written.
            let seen = slot.load(Ordering::Acquire);
            if seen != 0
                && (seen ^ hash) >> 32 == 0
                && let Some(state) = parts.holds(seen as u32, words)
            {
                self.hand_out(parts, seen as u32, state);
                return Some(seen as u32);
            }
        }
        None
    }

    /// A thread gets the id: marks it as used in this round, and has it defined (E1).
    fn hand_out(&self, parts: ResourceParts<'_>, id: u32, state: u64) {
        let cell = cell_of(id);
        let round = self.round.load(Ordering::Relaxed);
        if parts.used[cell].load(Ordering::Relaxed) != round {
            parts.used[cell].store(round, Ordering::Relaxed);
        }
        if state & DEFINED == 0 {
            self.publish(parts, cell, state);
        }
    }

    /// Marks an entry that can be found, and has the collector define it.
    #[cold]
    fn publish(&self, parts: ResourceParts<'_>, cell: usize, state: u64) {
        if state & FOUND == 0 {
            // If this fails, the mark is set already, or the cell has another entry by now.
            let order = (Ordering::AcqRel, Ordering::Relaxed);
            _ = parts.cells[cell].compare_exchange(state, state | FOUND, order.0, order.1);
        }
        self.make_dirty(parts, cell);
    }

    /// Has the collector look at the cell: sets its dirty bit first, then the bits that lead there.
    fn make_dirty(&self, parts: ResourceParts<'_>, cell: usize) {
        let set = |word: &AtomicU64, bit: usize| {
            let bit = 1 << (bit % 64);
            // `Acquire` on all three: a thread that finds the last one set must not have read the
            // others before the collector cleared them.
            if word.load(Ordering::Acquire) & bit == 0 {
                // `Release` pairs with the `Acquire` in `for_each_new`.
                word.fetch_or(bit, Ordering::AcqRel);
            }
        };
        set(&parts.dirty[cell / 64], cell);
        set(&parts.sums[cell / 64 / 64], cell / 64);
        set(&self.dirty, cell / 64 / 64);
    }

    fn add(&self, parts: ResourceParts<'_>, hash: u64, words: &[u64]) -> Option<u32> {
        let fitting = (0..CLASSES.len()).filter(|&class| CLASSES[class].words >= words.len());
        let (class, cell) =
            fitting.filter_map(|class| Some((class, self.take(parts, class)?))).next()?;
        self.live[class].fetch_add(1, Ordering::Relaxed);
        let generation = parts.cells[cell].load(Ordering::Relaxed) >> 32;
        let id = (generation << CELL_BITS) as u32 | cell as u32;
        // A thread that reads one of the words below, and then the cell's state, sees that the
        // state has changed (E2): pairs with the `fence` in `holds`.
        fence(Ordering::Release);
        for (to, &from) in parts.words_of(cell).iter().zip(words) {
            // The cell belongs to this thread (E3).
            to.store(from, Ordering::Relaxed);
        }
        parts.used[cell].store(self.round.load(Ordering::Relaxed), Ordering::Relaxed);
        let live = generation << 32 | (words.len() as u64) << 8 | LIVE;
        parts.cells[cell].store(live, Ordering::Release);
        let entry = hash >> 32 << 32 | u64::from(id);
        for slot in parts.window(hash) {
            let mut seen = slot.load(Ordering::Acquire);
            if seen == 0 {
                let order = (Ordering::AcqRel, Ordering::Acquire);
                match slot.compare_exchange(0, entry, order.0, order.1) {
                    Ok(_) => {
                        self.publish(parts, cell, live);
                        self.wake_if_crowded(class);
                        return Some(id);
                    }
                    // Another thread was first, perhaps with the same words.
                    Err(now) => seen = now,
                }
            }
            if (seen ^ hash) >> 32 == 0
                && let Some(state) = parts.holds(seen as u32, words)
            {
                self.put_back(parts, class, cell);
                self.hand_out(parts, seen as u32, state);
                return Some(seen as u32);
            }
        }
        self.put_back(parts, class, cell);
        None
    }

    /// Wakes the collector if few cells are free.
    fn wake_if_crowded(&self, class: usize) {
        let live = self.live[class].load(Ordering::Relaxed);
        if live.is_multiple_of(256) && self.is_crowded() {
            #[cfg(all(os_hooks, not(exectrace_loom)))]
            crate::thread::local::with_attached(|thread| {
                let _suppressed = crate::thread::local::suppress();
                thread.session.note_crowded();
            });
        }
    }

    /// Frees a cell whose entry was not published: no other thread has its id.
    fn put_back(&self, parts: ResourceParts<'_>, class: usize, cell: usize) {
        let generation = parts.cells[cell].load(Ordering::Relaxed) >> 32;
        parts.cells[cell].store(generation << 32, Ordering::Release);
        self.live[class].fetch_sub(1, Ordering::Relaxed);
        self.give(parts, class, cell);
    }

    /// Takes a cell that is free (E3).
    fn take(&self, parts: ResourceParts<'_>, class: usize) -> Option<usize> {
        let mut head = self.free[class].load(Ordering::Acquire);
        while head as u32 != 0 {
            let cell = head as u32 as usize - 1;
            // If another thread has taken the cell meanwhile, this may be any value, and the count
            // differs.
            let next = parts.links[cell].load(Ordering::Relaxed) & u64::from(u32::MAX);
            let new = ((head >> 32) + 1) << 32 | next;
            match self.free[class].compare_exchange_weak(
                head,
                new,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(cell),
                Err(now) => head = now,
            }
        }
        let Class { column, columns, .. } = CLASSES[class];
        let mut count = self.fresh[class].load(Ordering::Relaxed);
        loop {
            // The very first cell stays unused.
            let at = count as usize + usize::from(class == 0);
            if at >= columns * GROUPS {
                return None;
            }
            let order = Ordering::Relaxed;
            match self.fresh[class].compare_exchange_weak(count, count + 1, order, order) {
                Ok(_) => return Some(at / columns * COLUMNS.len() + column + at % columns),
                Err(now) => count = now,
            }
        }
    }

    /// Puts a cell on its free list.
    fn give(&self, parts: ResourceParts<'_>, class: usize, cell: usize) {
        let mut head = self.free[class].load(Ordering::Relaxed);
        loop {
            parts.links[cell].store(head & u64::from(u32::MAX), Ordering::Relaxed);
            let new = ((head >> 32) + 1) << 32 | (cell as u64 + 1);
            // `Release` pairs with the `Acquire` in `take`: the link, and the cell's state.
            match self.free[class].compare_exchange_weak(
                head,
                new,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }
}

#[cfg(all(test, os_hooks, not(exectrace_loom)))]
mod tests;
