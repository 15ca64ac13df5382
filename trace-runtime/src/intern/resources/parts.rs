//! Where the cells, slots and words of the table of resources lie, and what an id says.
//!
//! Elsewhere: what they are for (the parent of this module).

use super::LIVE;
use crate::base::primitive::{AtomicU64, Ordering, fence};

/// The cells of a group, by their number of words: addresses have three, most peers and paths at
/// most sixteen, the longest name thirty-five.
#[cfg(not(exectrace_loom))]
pub(super) const COLUMNS: [usize; 16] = [3, 3, 3, 3, 3, 3, 3, 3, 16, 16, 16, 16, 16, 16, 16, 36];
#[cfg(exectrace_loom)]
pub(super) const COLUMNS: [usize; 4] = [1, 1, 1, 2];

/// Number of groups of cells.
pub(super) const GROUPS: usize = if cfg!(exectrace_loom) { 1 } else { 1 << 13 };

/// The cells with one number of words.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) words: usize,
    /// The first of their columns in a group, and how many they are.
    pub(super) column: usize,
    pub(super) columns: usize,
}

pub(super) const CLASSES: [Class; if cfg!(exectrace_loom) { 2 } else { 3 }] = classes();

#[cfg(not(exectrace_loom))]
const fn classes() -> [Class; 3] {
    [
        Class { words: 3, column: 0, columns: 8 },
        Class { words: 16, column: 8, columns: 7 },
        Class { words: 36, column: 15, columns: 1 },
    ]
}

#[cfg(exectrace_loom)]
const fn classes() -> [Class; 2] {
    [Class { words: 1, column: 0, columns: 3 }, Class { words: 2, column: 3, columns: 1 }]
}

/// Number of cells. The first stays unused: with generation 0 its id would be 0.
pub(super) const CELLS: usize = GROUPS * COLUMNS.len();

/// Bits of an id for the cell; the rest of 30 bits is for the generation.
pub(super) const CELL_BITS: u32 = CELLS.trailing_zeros();
pub(super) const GENERATIONS: u64 = 1 << (30 - CELL_BITS);

/// Twice the cells, so that a search for a free slot is short.
pub(super) const SLOTS: usize = if cfg!(exectrace_loom) { CELLS } else { CELLS * 2 };

/// An entry is in one of this many slots, from the one that its hash points to.
const WINDOW: usize = if SLOTS < 64 { SLOTS } else { 64 };

/// Number of words of a group.
const GROUP_WORDS: usize = column_at(COLUMNS.len());

/// Number of words with dirty bits, and of words with a bit for each of those.
pub(super) const DIRTY: usize = CELLS.div_ceil(64);
pub(super) const DIRTY_SUMS: usize = DIRTY.div_ceil(64);

/// All words of the table's memory.
pub(super) const ALL_WORDS: usize = SLOTS + 3 * CELLS + DIRTY + DIRTY_SUMS + GROUPS * GROUP_WORDS;

/// The arrays of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResourceParts<'a> {
    /// The upper half of the hash, and an id; 0 for none.
    pub(super) slots: &'a [AtomicU64],
    /// A cell's state: its generation, how many words it has, `FOUND`, `DEFINED`, `LIVE`.
    pub(super) cells: &'a [AtomicU64],
    /// The round in which a cell was last used.
    pub(super) used: &'a [AtomicU64],
    /// Of a free cell: the next free one, plus 1.
    pub(super) links: &'a [AtomicU64],
    pub(super) dirty: &'a [AtomicU64],
    pub(super) sums: &'a [AtomicU64],
    pub(super) words: &'a [AtomicU64],
}

impl<'a> ResourceParts<'a> {
    pub(super) fn window(self, hash: u64) -> impl Iterator<Item = &'a AtomicU64> {
        (0..WINDOW).map(move |at| &self.slots[(hash as usize).wrapping_add(at) % SLOTS])
    }

    pub(super) fn words_of(self, cell: usize) -> &'a [AtomicU64] {
        let (group, column) = (cell / COLUMNS.len(), cell % COLUMNS.len());
        let at = group * GROUP_WORDS + column_at(column);
        &self.words[at..at + COLUMNS[column]]
    }

    /// The state of the cell, if this id has these words.
    pub(super) fn holds(self, id: u32, words: &[u64]) -> Option<u64> {
        let cell = &self.cells[cell_of(id)];
        let state = cell.load(Ordering::Acquire);
        if !is_of(state, id) || (state >> 8) as usize & 0xff != words.len() {
            return None;
        }
        let entry = self.words_of(cell_of(id));
        let is_same = entry.iter().zip(words).all(|(a, b)| a.load(Ordering::Relaxed) == *b);
        // If one of these words was written for the next entry, its generation is seen (E2).
        fence(Ordering::Acquire);
        let is_same = is_same && is_of(cell.load(Ordering::Relaxed), id);
        is_same.then_some(state)
    }

    /// By the collector: the words of a live cell, which only the collector frees.
    pub(super) fn read(self, cell: usize, state: u64, out: &mut Vec<u64>) {
        out.clear();
        let words = self.words_of(cell).iter().take((state >> 8) as usize & 0xff);
        out.extend(words.map(|word| word.load(Ordering::Relaxed)));
    }
}

/// Where a column begins in its group, in words.
const fn column_at(column: usize) -> usize {
    let (mut at, mut words) = (0, 0);
    while at < column {
        words += COLUMNS[at];
        at += 1;
    }
    words
}

pub(super) fn cell_of(id: u32) -> usize {
    id as usize % CELLS
}

pub(super) fn id_of(cell: usize, state: u64) -> u32 {
    ((state >> 32) << CELL_BITS) as u32 | cell as u32
}

/// Whether a cell in this state is live and has this id.
pub(super) fn is_of(state: u64, id: u32) -> bool {
    state & LIVE != 0 && state >> 32 == u64::from(id >> CELL_BITS)
}
