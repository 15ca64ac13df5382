//! What calls are about, by number: locks, descriptors, processes. Their words come and go.
//!
//! A server has a new peer per connection, so entries are used again. A *cell* has one entry at a
//! time, and a generation, and an id is both: the same number comes back only after 8,191 others
//! of its cell. Any thread adds an entry or finds it, also in a signal handler: nothing here
//! locks, allocates, waits or panics. The collector alone takes entries out.
//!
//! 1. A thread takes a free cell, which is its own then, writes the words, and marks it *live*.
//! 2. A slot of the hash table is exchanged from 0 to the id: the entry can be found.
//! 3. The cell is marked *found*, and its *dirty* bits are set; the collector tells the outputs,
//!    and marks it *told*. Whoever finds an entry that is not told does this step as well, for its
//!    maker may be the very code that a signal has interrupted.
//! 4. The collector finds that it was not used for some turns, and that no call is open on it. It
//!    clears the slot, counts the generation up, and frees the cell.
//!
//! Invariants:
//!
//! - **E1** An id in hand has been told, or is told by the collector's next look.
//! - **E2** A search returns an id only if all words were the ones asked for while the cell had
//!   that generation.
//! - **E3** A cell is written only by who has taken it off a free list, and is taken by one.
//! - **E4** What finds no place has the id 0 and is counted.
//!
//! The same words may have two ids: one after another, if the first was given up, or at once, if a
//! slot was cleared just when two threads added them. Readers take resources of the same words as
//! one.
//!
//! `tests` has its tests. Elsewhere: names of descriptors (`os::fd`), definitions (`interned`),
//! stacks, which stay (`intern`).

use crate::base::primitive::{AtomicU64, Ordering, fence};
use crate::intern::{hash, memory::Memory};

/// Widths of the cells of a group, in words: addresses have three, most peers and paths sixteen at
/// most, the longest name has thirty-five.
#[cfg(not(exectrace_loom))]
const LANES: [usize; 16] = [3, 3, 3, 3, 3, 3, 3, 3, 16, 16, 16, 16, 16, 16, 16, 36];
#[cfg(exectrace_loom)]
const LANES: [usize; 4] = [1, 1, 1, 2];

/// Groups of cells.
const GROUPS: usize = if cfg!(exectrace_loom) { 1 } else { 1 << 13 };

/// Cells of one width.
#[derive(Debug)]
struct Class {
    words: usize,
    /// The first of their lanes, and how many.
    lane: usize,
    lanes: usize,
}

const CLASSES: [Class; if cfg!(exectrace_loom) { 2 } else { 3 }] = classes();

#[cfg(not(exectrace_loom))]
const fn classes() -> [Class; 3] {
    [
        Class { words: 3, lane: 0, lanes: 8 },
        Class { words: 16, lane: 8, lanes: 7 },
        Class { words: 36, lane: 15, lanes: 1 },
    ]
}

#[cfg(exectrace_loom)]
const fn classes() -> [Class; 2] {
    [Class { words: 1, lane: 0, lanes: 3 }, Class { words: 2, lane: 3, lanes: 1 }]
}

/// Cells in all. The first stays unused: with generation 0 its id would be 0.
const CELLS: usize = GROUPS * LANES.len();

/// Bits of an id that say the cell; the rest of 30 is the generation.
const CELL_BITS: u32 = CELLS.trailing_zeros();
const GENERATIONS: u64 = 1 << (30 - CELL_BITS);

/// Twice the cells: a search for a free slot ends soon.
const SLOTS: usize = if cfg!(exectrace_loom) { CELLS } else { CELLS * 2 };

/// An entry is in one of this many slots from where its hash points.
const WINDOW: usize = if SLOTS < 64 { SLOTS } else { 64 };

/// Words of a group.
const GROUP_WORDS: usize = lane_at(LANES.len());

/// Words with the dirty bits, and words that say which of those to look at.
const DIRTY: usize = CELLS.div_ceil(64);
const DIRTY_SUMS: usize = DIRTY.div_ceil(64);

/// All that is mapped.
const ALL_WORDS: usize = SLOTS + 3 * CELLS + DIRTY + DIRTY_SUMS + GROUPS * GROUP_WORDS;

/// As many entries stay, used or not: an ordinary program gives none up, and has one id for each.
const FEW: u64 = if cfg!(exectrace_loom) { 0 } else { 1024 };

/// An entry that was not used for so many turns is given up.
const IDLE_TURNS: u64 = if cfg!(exectrace_loom) { 0 } else { 4 };

/// The same when cells run short.
const IDLE_TURNS_CROWDED: u64 = if cfg!(exectrace_loom) { 0 } else { 1 };

/// The first turn: what was last used in turn 0 was so long ago that the next one gives it up.
const TURN_FIRST: u64 = 16;

/// In a cell's word: it has an entry.
const LIVE: u64 = 1;
/// The outputs know it.
const TOLD: u64 = 2;
/// It can be found: its maker does not take it back any more.
const FOUND: u64 = 4;

/// What calls were about: addresses, descriptors, processes.
#[cfg(os_hooks)]
pub(crate) static RESOURCES: Resources = Resources::new();

/// Lists of words, by number.
#[derive(Debug)]
pub(crate) struct Resources {
    memory: Memory<ALL_WORDS>,
    /// Counts the collector's turns, from [`TURN_FIRST`].
    turn: AtomicU64,
    /// By class: the first free cell, plus 1, and a count that tells two of the same apart; how
    /// many cells were ever taken; how many have an entry.
    free: [AtomicU64; CLASSES.len()],
    fresh: [AtomicU64; CLASSES.len()],
    live: [AtomicU64; CLASSES.len()],
    /// What found no place.
    lost: AtomicU64,
    /// Which words of the dirty bits' sums to look at.
    dirty: AtomicU64,
}

macro_rules! new {
    () => {
        Self {
            memory: Memory::new(),
            turn: AtomicU64::new(TURN_FIRST),
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

impl Resources {
    /// A table that has no memory yet: everything has the id 0 until [`Resources::prepare`].
    #[cfg(not(exectrace_loom))]
    pub(crate) const fn new() -> Self {
        new!()
    }

    /// As it is in a model: small, and with its memory.
    #[cfg(exectrace_loom)]
    pub(crate) fn new() -> Self {
        new!()
    }

    /// Maps its memory, once; from then on it serves. Whether the system gives it. Not for signal
    /// handlers.
    #[cfg(not(exectrace_loom))]
    pub(crate) fn prepare(&self) -> bool {
        self.memory.prepare()
    }

    fn parts(&self) -> Option<Parts<'_>> {
        let all = self.memory.words()?;
        let (slots, all) = all.split_at(SLOTS);
        let (cells, all) = all.split_at(CELLS);
        let (used, all) = all.split_at(CELLS);
        let (links, all) = all.split_at(CELLS);
        let (dirty, all) = all.split_at(DIRTY);
        let (sums, words) = all.split_at(DIRTY_SUMS);
        Some(Parts { slots, cells, used, links, dirty, sums, words })
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

    /// How many times there was no room.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Whether the id still has its words.
    pub(crate) fn is_live(&self, id: u32) -> bool {
        let Some(parts) = self.parts() else { return false };
        // `SeqCst` with that in `give_up`, and those of whoever remembers the id: either they see
        // that it was given up, or the collector sees that they remember it.
        let state = parts.cells.get(cell_of(id)).map(|cell| cell.load(Ordering::SeqCst));
        state.is_some_and(|state| is_of(state, id))
    }

    /// What the id is of has ended: it need not be kept for those who use it again.
    pub(crate) fn close(&self, id: u32) {
        let Some(parts) = self.parts() else { return };
        if let Some(used) = parts.used.get(cell_of(id)) {
            used.store(0, Ordering::Relaxed);
        }
    }

    /// Whether cells run short: the collector should make a turn.
    pub(crate) fn is_crowded(&self) -> bool {
        CLASSES.iter().zip(&self.live).any(|(class, live)| {
            live.load(Ordering::Relaxed) as usize * 4 >= class.lanes * GROUPS * 3
        })
    }

    fn find(&self, parts: Parts<'_>, hash: u64, words: &[u64]) -> Option<u32> {
        for slot in parts.window(hash) {
            // `Acquire` pairs with the `Release` in `add`: the words are there.
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

    /// Somebody gets the id: it is in use in this turn, and is to be told (E1).
    fn hand_out(&self, parts: Parts<'_>, id: u32, state: u64) {
        let cell = cell_of(id);
        let turn = self.turn.load(Ordering::Relaxed);
        if parts.used[cell].load(Ordering::Relaxed) != turn {
            parts.used[cell].store(turn, Ordering::Relaxed);
        }
        if state & TOLD == 0 {
            self.publish(parts, cell, state);
        }
    }

    /// The entry can be found, and is to be told.
    #[cold]
    fn publish(&self, parts: Parts<'_>, cell: usize, state: u64) {
        if state & FOUND == 0 {
            // If that fails it is so already, or the cell has another entry by now.
            let order = (Ordering::AcqRel, Ordering::Relaxed);
            _ = parts.cells[cell].compare_exchange(state, state | FOUND, order.0, order.1);
        }
        self.make_dirty(parts, cell);
    }

    /// The collector is to look at the cell. Its words first, then what leads there.
    fn make_dirty(&self, parts: Parts<'_>, cell: usize) {
        let set = |word: &AtomicU64, bit: usize| {
            let bit = 1 << (bit % 64);
            // `Acquire` on all: who finds the last one set looks at the others before the
            // collector's next look clears it.
            if word.load(Ordering::Acquire) & bit == 0 {
                // `Release` pairs with the `Acquire` in `for_each_new`.
                word.fetch_or(bit, Ordering::AcqRel);
            }
        };
        set(&parts.dirty[cell / 64], cell);
        set(&parts.sums[cell / 64 / 64], cell / 64);
        set(&self.dirty, cell / 64 / 64);
    }

    fn add(&self, parts: Parts<'_>, hash: u64, words: &[u64]) -> Option<u32> {
        let fitting = (0..CLASSES.len()).filter(|&class| CLASSES[class].words >= words.len());
        let (class, cell) =
            fitting.filter_map(|class| Some((class, self.take(parts, class)?))).next()?;
        self.live[class].fetch_add(1, Ordering::Relaxed);
        let generation = parts.cells[cell].load(Ordering::Relaxed) >> 32;
        let id = (generation << CELL_BITS) as u32 | cell as u32;
        // Whoever reads these words and then the cell's state sees that it is not what it was (E2):
        // pairs with the `fence` in `holds`.
        fence(Ordering::Release);
        for (to, &from) in parts.words_of(cell).iter().zip(words) {
            // The cell is ours (E3).
            to.store(from, Ordering::Relaxed);
        }
        parts.used[cell].store(self.turn.load(Ordering::Relaxed), Ordering::Relaxed);
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
                    // Another one was first; perhaps with the same words.
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

    /// If cells run short, the collector is woken.
    fn wake_if_crowded(&self, class: usize) {
        let live = self.live[class].load(Ordering::Relaxed);
        if live.is_multiple_of(256) && self.is_crowded() {
            #[cfg(all(os_hooks, not(exectrace_loom)))]
            crate::thread::local::with_attached(|thread| {
                let _quiet = crate::thread::local::quiet();
                thread.session.note_crowded();
            });
        }
    }

    /// A cell that nobody found: nobody has its id.
    fn put_back(&self, parts: Parts<'_>, class: usize, cell: usize) {
        let generation = parts.cells[cell].load(Ordering::Relaxed) >> 32;
        parts.cells[cell].store(generation << 32, Ordering::Release);
        self.live[class].fetch_sub(1, Ordering::Relaxed);
        self.give(parts, class, cell);
    }

    /// Takes a cell that is free (E3).
    fn take(&self, parts: Parts<'_>, class: usize) -> Option<usize> {
        let mut head = self.free[class].load(Ordering::Acquire);
        while head as u32 != 0 {
            let cell = head as u32 as usize - 1;
            // If another one has taken it meanwhile, this may be anything, and the count differs.
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
        let Class { lane, lanes, .. } = CLASSES[class];
        let mut count = self.fresh[class].load(Ordering::Relaxed);
        loop {
            // The very first cell is nobody's.
            let at = count as usize + usize::from(class == 0);
            if at >= lanes * GROUPS {
                return None;
            }
            let order = Ordering::Relaxed;
            match self.fresh[class].compare_exchange_weak(count, count + 1, order, order) {
                Ok(_) => return Some(at / lanes * LANES.len() + lane + at % lanes),
                Err(now) => count = now,
            }
        }
    }

    /// A cell is free.
    fn give(&self, parts: Parts<'_>, class: usize, cell: usize) {
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

/// By the collector, which is one.
impl Resources {
    /// A session begins: what earlier ones have left is given up.
    pub(crate) fn begin(&self) {
        let Some(parts) = self.parts() else { return };
        for cell in self.cells_ever_used() {
            if parts.cells[cell].load(Ordering::Acquire) & FOUND != 0 {
                self.give_up(parts, cell);
            }
        }
        self.turn.fetch_add(1, Ordering::Relaxed);
    }

    /// Hands out what has come, or was not handed out in this session.
    pub(crate) fn for_each_new(&self, mut act: impl FnMut(u32, &[u64])) {
        if self.dirty.load(Ordering::Acquire) == 0 {
            return;
        }
        let Some(parts) = self.parts() else { return };
        let mut words = Vec::new();
        // `Acquire` pairs with the `Release` in `make_dirty`: what is found below was live then.
        for sum in bits(self.dirty.swap(0, Ordering::AcqRel)) {
            for word in bits(parts.sums[sum].swap(0, Ordering::AcqRel)) {
                let word = sum * 64 + word;
                for bit in bits(parts.dirty[word].swap(0, Ordering::AcqRel)) {
                    let cell = word * 64 + bit;
                    let state = parts.cells[cell].load(Ordering::Acquire);
                    if state & (FOUND | TOLD) != FOUND {
                        continue;
                    }
                    parts.read(cell, state, &mut words);
                    act(id_of(cell, state), &words);
                    // Once it is found, nobody else changes it.
                    parts.cells[cell].store(state | TOLD, Ordering::Release);
                }
            }
        }
    }

    /// Hands out once more what was handed out and has not been given up.
    pub(crate) fn for_each_told(&self, mut act: impl FnMut(u32, &[u64])) {
        let Some(parts) = self.parts() else { return };
        let mut words = Vec::new();
        for cell in self.cells_ever_used() {
            let state = parts.cells[cell].load(Ordering::Acquire);
            if state & TOLD != 0 {
                parts.read(cell, state, &mut words);
                act(id_of(cell, state), &words);
            }
        }
    }

    /// Gives up what was not used for some turns, unless it `is_held`; hands it to `act`. To be
    /// called when all that is new has been handed out.
    pub(crate) fn turn(
        &self,
        is_held: impl Fn(u32, &[u64]) -> bool,
        mut act: impl FnMut(u32, &[u64]),
    ) {
        let Some(parts) = self.parts() else { return };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) + 1;
        let live: u64 = self.live.iter().map(|live| live.load(Ordering::Relaxed)).sum();
        if live <= FEW {
            return;
        }
        let idle = if self.is_crowded() { IDLE_TURNS_CROWDED } else { IDLE_TURNS };
        let mut words = Vec::new();
        for cell in self.cells_ever_used() {
            let state = parts.cells[cell].load(Ordering::Acquire);
            let used = parts.used[cell].load(Ordering::Relaxed);
            if state & TOLD == 0 || turn - used <= idle {
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
            (fresh.load(Ordering::Acquire) as usize + 1).div_ceil(class.lanes)
        });
        0..groups.max().unwrap_or(0).min(GROUPS) * LANES.len()
    }

    /// Nobody finds it any more; who has found it knows the id, which nobody else gets.
    fn give_up(&self, parts: Parts<'_>, cell: usize) {
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
        let class = CLASSES.iter().rposition(|class| class.lane <= cell % LANES.len());
        let class = class.unwrap_or(0);
        self.live[class].fetch_sub(1, Ordering::Relaxed);
        self.give(parts, class, cell);
    }
}

/// The arrays of a table.
#[derive(Clone, Copy, Debug)]
struct Parts<'a> {
    /// The upper half of the hash, and an id; 0 for none.
    slots: &'a [AtomicU64],
    /// A cell's state: its generation, how many words it has, [`FOUND`], [`TOLD`], [`LIVE`].
    cells: &'a [AtomicU64],
    /// The turn in which it was last used.
    used: &'a [AtomicU64],
    /// Of a free cell: the next one, plus 1.
    links: &'a [AtomicU64],
    dirty: &'a [AtomicU64],
    sums: &'a [AtomicU64],
    words: &'a [AtomicU64],
}

impl<'a> Parts<'a> {
    fn window(self, hash: u64) -> impl Iterator<Item = &'a AtomicU64> {
        (0..WINDOW).map(move |at| &self.slots[(hash as usize).wrapping_add(at) % SLOTS])
    }

    fn words_of(self, cell: usize) -> &'a [AtomicU64] {
        let (group, lane) = (cell / LANES.len(), cell % LANES.len());
        let at = group * GROUP_WORDS + lane_at(lane);
        &self.words[at..at + LANES[lane]]
    }

    /// The state of the cell, if this id has these words.
    fn holds(self, id: u32, words: &[u64]) -> Option<u64> {
        let cell = &self.cells[cell_of(id)];
        let state = cell.load(Ordering::Acquire);
        if !is_of(state, id) || (state >> 8) as usize & 0xff != words.len() {
            return None;
        }
        let entry = self.words_of(cell_of(id));
        let is_same = entry.iter().zip(words).all(|(a, b)| a.load(Ordering::Relaxed) == *b);
        // If one of these was written for the next entry, that one's generation is seen (E2).
        fence(Ordering::Acquire);
        let is_same = is_same && is_of(cell.load(Ordering::Relaxed), id);
        is_same.then_some(state)
    }

    /// By the collector: the words of a cell that is live, which only it ends.
    fn read(self, cell: usize, state: u64, out: &mut Vec<u64>) {
        out.clear();
        let words = self.words_of(cell).iter().take((state >> 8) as usize & 0xff);
        out.extend(words.map(|word| word.load(Ordering::Relaxed)));
    }
}

const fn lane_at(lane: usize) -> usize {
    let (mut at, mut words) = (0, 0);
    while at < lane {
        words += LANES[at];
        at += 1;
    }
    words
}

fn cell_of(id: u32) -> usize {
    id as usize % CELLS
}

fn id_of(cell: usize, state: u64) -> u32 {
    ((state >> 32) << CELL_BITS) as u32 | cell as u32
}

/// Whether a cell in this state is live and has this id.
fn is_of(state: u64, id: u32) -> bool {
    state & LIVE != 0 && state >> 32 == u64::from(id >> CELL_BITS)
}

/// The places of the bits that are set.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = word.trailing_zeros();
        word &= word.wrapping_sub(1);
        (at < 64).then_some(at as usize)
    })
}

#[cfg(all(test, os_hooks, not(exectrace_loom)))]
mod tests;
