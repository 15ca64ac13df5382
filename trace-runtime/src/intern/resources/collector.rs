//! The collector's half of the table of resources: it hands out new entries, and takes out those
//! that are not used any more.
//!
//! Elsewhere: the table, and the half of threads that record (the parent of this module).

use super::parts::{CLASSES, COLUMNS, GENERATIONS, GROUPS, ResourceParts, id_of};
use super::{DEFINED, FEW, FOUND, IDLE_ROUNDS, IDLE_ROUNDS_CROWDED, ResourceTable};
use crate::base::primitive::Ordering;
use crate::intern::hash;

/// For one thread at a time.
impl ResourceTable {
    /// Gives up the entries of earlier sessions: a session begins.
    pub(crate) fn begin(&self) {
        let Some(parts) = self.parts() else { return };
        for cell in self.cells_ever_used() {
            if parts.cells[cell].load(Ordering::Acquire) & FOUND != 0 {
                self.give_up(parts, cell);
            }
        }
        self.round.fetch_add(1, Ordering::Relaxed);
    }

    /// Hands out the entries that are not defined yet, and marks them as defined.
    pub(crate) fn for_each_new(&self, mut act: impl FnMut(u32, &[u64])) {
        if self.dirty.load(Ordering::Acquire) == 0 {
            return;
        }
        let Some(parts) = self.parts() else { return };
        let mut words = Vec::new();
        // `Acquire` pairs with the `Release` in `make_dirty`: what is found below was live then.
        for sum in set_bits(self.dirty.swap(0, Ordering::AcqRel)) {
            for word in set_bits(parts.sums[sum].swap(0, Ordering::AcqRel)) {
                let word = sum * 64 + word;
                for bit in set_bits(parts.dirty[word].swap(0, Ordering::AcqRel)) {
                    let cell = word * 64 + bit;
                    let state = parts.cells[cell].load(Ordering::Acquire);
                    if state & (FOUND | DEFINED) != FOUND {
                        continue;
                    }
                    parts.read(cell, state, &mut words);
                    act(id_of(cell, state), &words);
                    // Once a cell is found, only the collector changes it.
                    parts.cells[cell].store(state | DEFINED, Ordering::Release);
                }
            }
        }
    }

    /// Hands out the defined entries once more.
    pub(crate) fn for_each_defined(&self, mut act: impl FnMut(u32, &[u64])) {
        let Some(parts) = self.parts() else { return };
        let mut words = Vec::new();
        for cell in self.cells_ever_used() {
            let state = parts.cells[cell].load(Ordering::Acquire);
            if state & DEFINED != 0 {
                parts.read(cell, state, &mut words);
                act(id_of(cell, state), &words);
            }
        }
    }

    /// Begins a round: gives up the defined entries that were idle for some rounds and that
    /// `is_held` does not keep, and hands them to `act`. To be called after
    /// [`ResourceTable::for_each_new`].
    pub(crate) fn give_up_idle(
        &self,
        is_held: impl Fn(u32, &[u64]) -> bool,
        mut act: impl FnMut(u32, &[u64]),
    ) {
        let Some(parts) = self.parts() else { return };
        let round = self.round.fetch_add(1, Ordering::Relaxed) + 1;
        let live: u64 = self.live.iter().map(|live| live.load(Ordering::Relaxed)).sum();
        if live <= FEW {
            return;
        }
        let idle = if self.is_crowded() { IDLE_ROUNDS_CROWDED } else { IDLE_ROUNDS };
        let mut words = Vec::new();
        for cell in self.cells_ever_used() {
            let state = parts.cells[cell].load(Ordering::Acquire);
            let used = parts.used[cell].load(Ordering::Relaxed);
            if state & DEFINED == 0 || round - used <= idle {
                continue;
            }
            parts.read(cell, state, &mut words);
            let id = id_of(cell, state);
            if !is_held(id, &words) {
                act(id, &words);
                self.give_up(parts, cell);
            }
        }
    }

    fn cells_ever_used(&self) -> std::ops::Range<usize> {
        let groups = CLASSES.iter().zip(&self.fresh).map(|(class, fresh)| {
            (fresh.load(Ordering::Acquire) as usize + 1).div_ceil(class.columns)
        });
        0..groups.max().unwrap_or(0).min(GROUPS) * COLUMNS.len()
    }

    /// Takes an entry out: it can't be found any more. A thread that has found it still has the id,
    /// which no other entry gets until the generations wrap around.
    fn give_up(&self, parts: ResourceParts<'_>, cell: usize) {
        let state = parts.cells[cell].load(Ordering::Acquire);
        let mut words = Vec::new();
        parts.read(cell, state, &mut words);
        let hash = hash(&words);
        let entry = hash >> 32 << 32 | u64::from(id_of(cell, state));
        for slot in parts.window(hash) {
            let order = Ordering::Relaxed;
            if slot.compare_exchange(entry, 0, Ordering::AcqRel, order).is_ok() {
                break;
            }
        }
        let generation = ((state >> 32) + 1) % GENERATIONS;
        // `SeqCst`: see `is_live`.
        parts.cells[cell].store(generation << 32, Ordering::SeqCst);
        let class = CLASSES.iter().rposition(|class| class.column <= cell % COLUMNS.len());
        let class = class.unwrap_or(0);
        self.live[class].fetch_sub(1, Ordering::Relaxed);
        self.give(parts, class, cell);
    }
}

/// The places of the bits that are set.
fn set_bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = word.trailing_zeros();
        word &= word.wrapping_sub(1);
        (at < 64).then_some(at as usize)
    })
}
