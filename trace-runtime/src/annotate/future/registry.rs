//! The table of live futures, for the collector: what each is, when it began, and where it waits.
//!
//! Blocks of 64 places are made as they are needed and never freed; each place has a bit in the
//! block's word that says whether it is free. The thread that clears a bit owns the place until the
//! bit is set again. Any thread may read a place at any moment. Invariants:
//!
//! - **F1** A place has one owner at a time, and only the owner writes it.
//! - **F2** If a place has the same number before and after its fields were read, the fields are
//!   that future's.
//!
//! Futures beyond a million have no place. They are recorded as usual, but a reader that starts in
//! the middle does not know what they are. They are counted while they live, and traces say so.

use crate::base::primitive::{AtomicU64, Ordering, global};
use crate::stack;
use crate::thread::local;
use std::sync::OnceLock;
use trace_format::definition::Definition;
use trace_format::id::{FutureId, SiteId, StackId, TaskId};
use trace_format::time::Ticks;

/// Number of places of a block: the bits of a word.
const PLACES: usize = if cfg!(exectrace_loom) { 2 } else { 64 };

/// Maximum number of blocks: a million futures.
const BLOCKS_MAX: usize = if cfg!(test) { 16 } else { 1 << 14 };

/// Number of blocks that a search for a free place tries before it searches all.
const PROBES: usize = 8;

/// A bit beside the call site's id: the future was spawned, to be polled by others.
const SPAWNED: u64 = 1 << 32;

/// A copy of a live future's fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LiveFuture {
    pub(crate) future: u64,
    pub(crate) parent: u64,
    pub(crate) task: u64,
    pub(crate) site: u32,
    pub(crate) spawned: bool,
    pub(crate) begin: u64,
    /// The stack on which it waits, and since when; `since` is 0 if it does not wait.
    pub(crate) waits_at: u32,
    pub(crate) since: u64,
    /// The number of the trace that has its definition.
    pub(crate) defined_in: u64,
}

/// The place of one future.
#[derive(Debug)]
struct FuturePlace {
    /// 0 while the place is free.
    future: AtomicU64,
    parent: AtomicU64,
    task: AtomicU64,
    /// With [`SPAWNED`].
    site: AtomicU64,
    begin: AtomicU64,
    waits_at: AtomicU64,
    since: AtomicU64,
    defined_in: AtomicU64,
    /// The number of the place.
    at: u32,
}

/// 64 places, and which of them are free.
#[derive(Debug)]
pub(crate) struct FutureBlock {
    free: AtomicU64,
    places: [FuturePlace; PLACES],
}

impl FuturePlace {
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
            defined_in: zero(),
            at: at as u32,
        }
    }

    fn open(&self, life: &LiveFuture) {
        // `Release` orders the 0 of the last `close` before each: a thread that reads one of these
        // does not read the earlier number afterwards (F2).
        let site = u64::from(life.site) | if life.spawned { SPAWNED } else { 0 };
        self.parent.store(life.parent, Ordering::Release);
        self.task.store(life.task, Ordering::Release);
        self.site.store(site, Ordering::Release);
        self.begin.store(life.begin, Ordering::Release);
        self.waits_at.store(0, Ordering::Release);
        self.since.store(0, Ordering::Release);
        self.defined_in.store(0, Ordering::Release);
        // `Release` pairs with the `Acquire` in `read`: this number belongs to those fields.
        self.future.store(life.future, Ordering::Release);
    }

    fn close(&self) {
        self.future.store(0, Ordering::Release);
    }

    #[inline(always)]
    fn wait(&self, waits_at: u32, since: u64) {
        if since != 0 && waits_at != 0 {
            // Otherwise it still waits on the stack of the last wait.
            self.waits_at.store(waits_at.into(), Ordering::Release);
        }
        self.since.store(since, Ordering::Release);
    }

    /// The future that is here; `None` also if the place changes just now.
    fn read(&self) -> Option<LiveFuture> {
        let future = self.future.load(Ordering::Acquire);
        if future == 0 {
            return None;
        }
        let load = |field: &AtomicU64| field.load(Ordering::Acquire);
        let site = load(&self.site);
        let life = LiveFuture {
            future,
            parent: load(&self.parent),
            task: load(&self.task),
            site: site as u32,
            spawned: site & SPAWNED != 0,
            begin: load(&self.begin),
            waits_at: load(&self.waits_at) as u32,
            since: load(&self.since),
            defined_in: load(&self.defined_in),
        };
        (self.future.load(Ordering::Acquire) == future).then_some(life)
    }
}

impl FutureBlock {
    /// The block of this number.
    pub(crate) fn new(number: usize) -> Self {
        Self {
            free: AtomicU64::new(u64::MAX >> (64 - PLACES)),
            places: std::array::from_fn(|at| FuturePlace::new(number * PLACES + at)),
        }
    }

    /// Takes a free place and puts a future there.
    pub(crate) fn open(&self, life: &LiveFuture) -> Option<usize> {
        loop {
            let free = self.free.load(Ordering::Relaxed);
            if free == 0 {
                return None;
            }
            let at = free.trailing_zeros() as usize;
            // `Acquire` pairs with the `Release` in `close`: the last owner is done with it (F1).
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

    /// The future at a place.
    pub(crate) fn read(&self, at: usize) -> Option<LiveFuture> {
        self.places[at].read()
    }
}

/// Number of live futures without a place.
static UNLISTED: global::AtomicU64 = global::AtomicU64::new(0);

/// The place that those share. It is in no block, so it is never read, and F1 does not matter.
static BEYOND: OnceLock<FuturePlace> = OnceLock::new();

static BLOCKS: [OnceLock<Box<FutureBlock>>; BLOCKS_MAX] = [const { OnceLock::new() }; BLOCKS_MAX];

thread_local! {
    /// The block where this thread last took or gave back a place.
    static HINT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// A future's place in the table. Dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Registration(Option<&'static FuturePlace>);

impl Registration {
    /// No place.
    pub(crate) const fn nowhere() -> Self {
        Self(None)
    }

    /// Puts a future into the table; if there is no place for it, counts it.
    pub(crate) fn new(life: &LiveFuture) -> Self {
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

    /// Searches all blocks, and makes those that are missing.
    #[cold]
    #[inline(never)]
    fn search(life: &LiveFuture) -> Self {
        for (at, block) in BLOCKS.iter().enumerate() {
            let block = block.get_or_init(|| {
                // The allocation is the recorder's, not the program's.
                let _suppressed = local::suppress();
                Box::new(FutureBlock::new(at))
            });
            if let Some(place) = block.open(life) {
                HINT.set(at);
                return Self(Some(&block.places[place]));
            }
        }
        UNLISTED.fetch_add(1, Ordering::Relaxed);
        Self(Some(BEYOND.get_or_init(|| FuturePlace::new(PLACES * BLOCKS_MAX))))
    }

    /// The future waits since `since`, on this stack, or on that of its last wait if this is 0. If
    /// `since` is 0, it does not wait.
    #[inline(always)]
    pub(crate) fn wait(&self, waits_at: u32, since: u64) {
        if let Some(place) = self.0 {
            place.wait(waits_at, since);
        }
    }
}

impl Drop for Registration {
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

/// Number of live futures without a place: traces that begin now do not know them.
pub(crate) fn unlisted() -> u64 {
    UNLISTED.load(Ordering::Relaxed)
}

/// Calls `take` with the definition of each live future.
pub(crate) fn for_each(mut take: impl FnMut(&Definition<'_>)) {
    for block in BLOCKS.iter().map_while(OnceLock::get) {
        (0..PLACES).filter_map(|at| block.read(at)).for_each(|life| take(&life.definition()));
    }
}

/// The same for the futures that trace `number` has no definition of.
pub(crate) fn for_each_undefined(number: u64, mut take: impl FnMut(&Definition<'_>)) {
    for block in BLOCKS.iter().map_while(OnceLock::get) {
        for at in 0..PLACES {
            let Some(life) = block.read(at).filter(|life| life.defined_in != number) else {
                continue;
            };
            // If the place has another owner by now, that one is skipped: its own events define it.
            block.places[at].defined_in.store(number, Ordering::Release);
            take(&life.definition());
        }
    }
}

impl LiveFuture {
    /// Its definition in the running trace. Marks the stack on which it waits as used.
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
    use crate::alone::{WriterMemory, is_alone};

    #[test]
    fn futures_beyond_the_list_are_counted_and_every_trace_says_so() {
        const BEYOND: usize = 5;
        if !is_alone(module_path!(), "futures_beyond_the_list_are_counted_and_every_trace_says_so")
        {
            return;
        }
        let life = |future| LiveFuture { future, begin: 1, ..LiveFuture::default() };
        let all = (PLACES * BLOCKS_MAX + BEYOND) as u64;
        let listed: Vec<_> = (1..=all).map(|future| Registration::new(&life(future))).collect();
        assert_eq!(unlisted(), BEYOND as u64);
        for _ in 0..2 {
            let memory = WriterMemory::default();
            let trace = crate::start::trace::start(memory.clone()).expect("none is running");
            trace.stop().expect("memory takes it");
            let bytes = memory.take();
            let said = b"more futures lived at once than can be listed; 5 were left out";
            assert!(bytes.windows(said.len()).any(|it| it == said), "the trace says nothing");
        }
        drop(listed);
        assert_eq!(unlisted(), 0, "none of them lives");
        // Places that were given back are used again.
        let listed: Vec<_> = (1..=all - 5).map(|future| Registration::new(&life(future))).collect();
        assert_eq!((unlisted(), listed.len() as u64), (0, all - 5));
    }
}
