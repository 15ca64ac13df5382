//! The futures that live, for the collector to tell of them: what each is, since when it lives, and
//! where it waits.
//!
//! Places come in blocks of 64, made as they are needed and never freed; a bit each in the block's
//! word says which are free. Whoever clears a bit has the place until it sets the bit again. What
//! is in a place is read by anybody at any moment. Invariants:
//!
//! - **F1** A place has one owner at a time, who alone writes it.
//! - **F2** What is read of a place under one number, the same before and after, is of that future.
//!
//! Futures beyond a million are recorded as ever; a reader that starts in the middle does not
//! know what they are. They are counted while they live, and traces say so.

use crate::base::primitive::{AtomicU64, Ordering, global};
use crate::stack;
use crate::thread::local;
use std::sync::OnceLock;
use trace_format::definition::Definition;
use trace_format::id::{FutureId, SiteId, StackId, TaskId};
use trace_format::time::Ticks;

/// Places of a block: the bits of a word.
const PLACES: usize = if cfg!(exectrace_loom) { 2 } else { 64 };

/// Blocks there may be: a million futures.
const BLOCKS_MAX: usize = if cfg!(test) { 16 } else { 1 << 14 };

/// A search for a free place looks at so many blocks before it makes a new one.
const PROBES: usize = 8;

/// That a future was handed over to be polled by others, beside its call site's id.
const SPAWNED: u64 = 1 << 32;

/// What is told of a future that lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) future: u64,
    pub(crate) parent: u64,
    pub(crate) task: u64,
    pub(crate) site: u32,
    pub(crate) spawned: bool,
    pub(crate) begin: u64,
    /// Where it waits, and since when; zeros if it does not.
    pub(crate) waits_at: u32,
    pub(crate) since: u64,
    /// The trace that was told of it.
    pub(crate) told: u64,
}

/// One future.
#[derive(Debug)]
struct Place {
    /// 0 while nobody is here.
    future: AtomicU64,
    parent: AtomicU64,
    task: AtomicU64,
    /// With [`SPAWNED`].
    site: AtomicU64,
    begin: AtomicU64,
    waits_at: AtomicU64,
    since: AtomicU64,
    told: AtomicU64,
    /// Which one it is of all.
    at: u32,
}

/// Places, and which of them are free.
#[derive(Debug)]
pub(crate) struct Block {
    free: AtomicU64,
    places: [Place; PLACES],
}

impl Place {
    fn new(at: usize) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            future: zero(),
            parent: zero(),
            task: zero(),
            site: zero(),
            begin: zero(),
            waits_at: zero(),
            since: zero(),
            told: zero(),
            at: at as u32,
        }
    }

    fn open(&self, life: &Life) {
        // `Release` orders the 0 of the last `close` before each: whoever reads one of these will
        // not read the number before that again (F2).
        let site = u64::from(life.site) | if life.spawned { SPAWNED } else { 0 };
        self.parent.store(life.parent, Ordering::Release);
        self.task.store(life.task, Ordering::Release);
        self.site.store(site, Ordering::Release);
        self.begin.store(life.begin, Ordering::Release);
        self.waits_at.store(0, Ordering::Release);
        self.since.store(0, Ordering::Release);
        self.told.store(0, Ordering::Release);
        // `Release` pairs with the `Acquire` in `read`: this number goes with those.
        self.future.store(life.future, Ordering::Release);
    }

    fn close(&self) {
        self.future.store(0, Ordering::Release);
    }

    #[inline(always)]
    fn wait(&self, waits_at: u32, since: u64) {
        if since != 0 && waits_at != 0 {
            // Else it waits where it did.
            self.waits_at.store(waits_at.into(), Ordering::Release);
        }
        self.since.store(since, Ordering::Release);
    }

    /// Who is here; nobody if that changes just now.
    fn read(&self) -> Option<Life> {
        let future = self.future.load(Ordering::Acquire);
        if future == 0 {
            return None;
        }
        let load = |field: &AtomicU64| field.load(Ordering::Acquire);
        let site = load(&self.site);
        let life = Life {
            future,
            parent: load(&self.parent),
            task: load(&self.task),
            site: site as u32,
            spawned: site & SPAWNED != 0,
            begin: load(&self.begin),
            waits_at: load(&self.waits_at) as u32,
            since: load(&self.since),
            told: load(&self.told),
        };
        (self.future.load(Ordering::Acquire) == future).then_some(life)
    }
}

impl Block {
    /// The block of this number.
    pub(crate) fn new(number: usize) -> Self {
        Self {
            free: AtomicU64::new(u64::MAX >> (64 - PLACES)),
            places: std::array::from_fn(|at| Place::new(number * PLACES + at)),
        }
    }

    /// Takes a free place and puts a future there.
    pub(crate) fn open(&self, life: &Life) -> Option<usize> {
        loop {
            let free = self.free.load(Ordering::Relaxed);
            if free == 0 {
                return None;
            }
            let at = free.trailing_zeros() as usize;
            // `Acquire` pairs with the `Release` in `close`: the last owner is done (F1).
            if self.free.fetch_and(!(1 << at), Ordering::Acquire) & 1 << at != 0 {
                self.places[at].open(life);
                return Some(at);
            }
        }
    }

    /// Gives a place back. By its owner, once.
    pub(crate) fn close(&self, at: usize) {
        self.places[at].close();
        self.free.fetch_or(1 << at, Ordering::Release);
    }

    /// Who is at a place.
    pub(crate) fn read(&self, at: usize) -> Option<Life> {
        self.places[at].read()
    }
}

/// Futures that live and found no place.
static UNLISTED: global::AtomicU64 = global::AtomicU64::new(0);

/// Where all of those are: in no block, so nobody reads what they write there, and F1 does not
/// matter.
static BEYOND: OnceLock<Place> = OnceLock::new();

static BLOCKS: [OnceLock<Box<Block>>; BLOCKS_MAX] = [const { OnceLock::new() }; BLOCKS_MAX];

thread_local! {
    /// The block where this thread has found or left a place last.
    static HINT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// A future's place in the list; gives it back when it is dropped.
#[derive(Debug)]
pub(crate) struct Listed(Option<&'static Place>);

impl Listed {
    /// Not in the list.
    pub(crate) const fn nowhere() -> Self {
        Self(None)
    }

    /// Puts a future into the list, if there is a place for it.
    pub(crate) fn new(life: &Life) -> Self {
        let hint = HINT.get();
        for step in 0..PROBES {
            let at = (hint + step) % BLOCKS_MAX;
            let Some(block) = BLOCKS[at].get() else { break };
            if let Some(place) = block.open(life) {
                HINT.set(at);
                return Self(Some(&block.places[place]));
            }
        }
        Self::search(life)
    }

    /// Looks everywhere, and makes a block where there is none yet.
    #[cold]
    #[inline(never)]
    fn search(life: &Life) -> Self {
        for (at, block) in BLOCKS.iter().enumerate() {
            let block = block.get_or_init(|| {
                // A block is the recorder's, not the program's.
                let _quiet = local::quiet();
                Box::new(Block::new(at))
            });
            if let Some(place) = block.open(life) {
                HINT.set(at);
                return Self(Some(&block.places[place]));
            }
        }
        UNLISTED.fetch_add(1, Ordering::Relaxed);
        Self(Some(BEYOND.get_or_init(|| Place::new(PLACES * BLOCKS_MAX))))
    }

    /// It waits since then, at this stack or, if that is 0, where it did before; or not any more,
    /// if `since` is 0.
    #[inline(always)]
    pub(crate) fn wait(&self, waits_at: u32, since: u64) {
        if let Some(place) = self.0 {
            place.wait(waits_at, since);
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let Some(at) = self.0.map(|place| place.at as usize) else { return };
        match BLOCKS.get(at / PLACES).and_then(OnceLock::get) {
            Some(block) => {
                block.close(at % PLACES);
                HINT.set(at / PLACES);
            }
            None => {
                UNLISTED.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

/// How many futures live that found no place: traces that begin now do not know of them.
pub(crate) fn unlisted() -> u64 {
    UNLISTED.load(Ordering::Relaxed)
}

/// Hands all futures to `take`.
pub(crate) fn for_each(mut take: impl FnMut(&Definition<'_>)) {
    for block in BLOCKS.iter().map_while(OnceLock::get) {
        (0..PLACES).filter_map(|at| block.read(at)).for_each(|life| take(&life.definition()));
    }
}

/// Hands the futures that trace `number` has not been told of to `take`.
pub(crate) fn for_each_untold(number: u64, mut take: impl FnMut(&Definition<'_>)) {
    for block in BLOCKS.iter().map_while(OnceLock::get) {
        for at in 0..PLACES {
            let Some(life) = block.read(at).filter(|life| life.told != number) else { continue };
            // If the place has another owner by now, that one is not told of: its own events do.
            block.places[at].told.store(number, Ordering::Release);
            take(&life.definition());
        }
    }
}

impl Life {
    /// As it stands in the running trace, which is to define where it waits, too.
    fn definition(&self) -> Definition<'static> {
        let waits_at = if self.since == 0 { 0 } else { self.waits_at };
        stack::note_used(waits_at);
        Definition::FutureState {
            id: FutureId(self.future),
            parent: FutureId(self.parent),
            task: TaskId(self.task),
            site: SiteId(self.site),
            begin: Ticks(self.begin),
            spawned: self.spawned,
            waits_at: StackId(waits_at),
            since: Ticks(self.since),
        }
    }
}

#[cfg(all(test, not(exectrace_loom)))]
mod tests {
    use super::*;
    use crate::alone::{Memory, is_alone};

    #[test]
    fn futures_beyond_the_list_are_counted_and_every_trace_says_so() {
        const BEYOND: usize = 5;
        if !is_alone(module_path!(), "futures_beyond_the_list_are_counted_and_every_trace_says_so")
        {
            return;
        }
        let life = |future| Life { future, begin: 1, ..Life::default() };
        let all = (PLACES * BLOCKS_MAX + BEYOND) as u64;
        let listed: Vec<_> = (1..=all).map(|future| Listed::new(&life(future))).collect();
        assert_eq!(unlisted(), BEYOND as u64);
        for _ in 0..2 {
            let memory = Memory::default();
            let trace = crate::start::recorder::start(memory.clone()).expect("none is running");
            trace.stop().expect("memory takes it");
            let bytes = memory.take();
            let said = b"more futures lived at once than can be listed; 5 were left out";
            assert!(bytes.windows(said.len()).any(|it| it == said), "the trace says nothing");
        }
        drop(listed);
        assert_eq!(unlisted(), 0, "none of them lives");
        // Places that were given back are found again.
        let listed: Vec<_> = (1..=all - 5).map(|future| Listed::new(&life(future))).collect();
        assert_eq!((unlisted(), listed.len() as u64), (0, all - 5));
    }
}
