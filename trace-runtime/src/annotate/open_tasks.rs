//! The table of open tasks. Each has a place of its own, with counted references and no lock, so
//! that the collector can define it, and so that a task may begin and end anywhere, also in a
//! signal handler that has interrupted the allocator.
//!
//! Blocks of 64 places are made as they are needed, in pages from the system, and never freed; each
//! place has a bit in the block's word that says whether it is free. Invariants:
//!
//! - **K1** A place belongs to one task from when its bit is cleared until the last reference to it
//!   is gone; only the last owner sets the bit again.
//! - **K2** If a place has the same id before and after its fields were read, the fields are that
//!   task's.
//!
//! While a million tasks are open, further ones do nothing; each is counted as a lost event.
//!
//! Elsewhere: the user's handles of tasks (`task`).
//!
//! May contain `unsafe`: blocks lie in mapped memory.

use crate::annotate::task;
use crate::annotate::traceparent::{LINK_WORDS, TraceLink};
use crate::base::primitive::{AtomicBool, AtomicU64, Ordering};
use crate::thread::naming::NAME_BYTES_MAX;

/// Number of places of a block: the bits of a word.
const PLACES: usize = if cfg!(exectrace_loom) { 1 } else { 64 };

/// Number of words of a name.
const NAME_WORDS: usize = if cfg!(exectrace_loom) { 1 } else { NAME_BYTES_MAX / 8 };

/// A name in a place: eight bytes a word, followed by zeros.
pub(crate) type NameWords = [u64; NAME_WORDS];

/// A name's words, and its length in bytes; longer names are cut.
pub(crate) fn words_of(name: &[u8]) -> (NameWords, usize) {
    let mut words = [0; NAME_WORDS];
    let len = name.len().min(NAME_WORDS * 8);
    for (at, &byte) in name[..len].iter().enumerate() {
        words[at / 8] |= u64::from(byte) << (at % 8 * 8);
    }
    (words, len)
}

/// A link that is set at most once.
#[derive(Debug)]
struct OnceLink {
    /// 0 while there is none, 1 while it is being set, then 2.
    state: AtomicU64,
    words: [AtomicU64; LINK_WORDS],
}

impl OnceLink {
    fn new() -> Self {
        Self { state: AtomicU64::new(0), words: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    fn get(&self) -> Option<TraceLink> {
        // `Acquire` pairs with the `Release` in `set`: the words are written.
        let is_told = self.state.load(Ordering::Acquire) == 2;
        is_told.then(|| TraceLink::from_words(self.load()))
    }

    fn load(&self) -> [u64; LINK_WORDS] {
        std::array::from_fn(|at| self.words[at].load(Ordering::Relaxed))
    }

    /// Sets the link. Returns false if there is one already.
    fn set(&self, link: TraceLink) -> bool {
        let order = Ordering::Relaxed;
        if self.state.compare_exchange(0, 1, order, order).is_err() {
            return false;
        }
        self.words.iter().zip(link.to_words()).for_each(|(to, word)| to.store(word, order));
        self.state.store(2, Ordering::Release);
        true
    }
}

/// The place of one task.
#[derive(Debug)]
struct TaskPlace {
    /// 0 while the place is free.
    id: AtomicU64,
    references: AtomicU64,
    parent: AtomicU64,
    /// 0 until its begin is recorded.
    begin: AtomicU64,
    /// The number of forks before it began: a parent's task is not its child's.
    forks: AtomicU64,
    ended: AtomicBool,
    name_bytes: AtomicU64,
    name: [AtomicU64; NAME_WORDS],
    /// Its link to a distributed trace, if it has one yet.
    link: OnceLink,
    /// The link of its parent, if that had one.
    part_of: OnceLink,
}

/// A task that is about to begin, without its links.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewTask<'a> {
    pub(crate) id: u64,
    pub(crate) parent: u64,
    pub(crate) name: &'a [u8],
    pub(crate) forks: u32,
}

/// A copy of an open task's fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListedTask {
    pub(crate) id: u64,
    pub(crate) parent: u64,
    /// 0 if it is just beginning.
    pub(crate) begin: u64,
    pub(crate) forks: u32,
    pub(crate) name: NameWords,
    pub(crate) name_bytes: usize,
}

impl ListedTask {
    /// Calls `act` with the name.
    pub(crate) fn with_name<T>(&self, act: impl FnOnce(&[u8]) -> T) -> T {
        let mut bytes = [0; NAME_WORDS * 8];
        for (to, word) in bytes.chunks_exact_mut(8).zip(self.name) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        act(&bytes[..self.name_bytes.min(NAME_WORDS * 8)])
    }
}

impl TaskPlace {
    fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            id: zero(),
            references: zero(),
            parent: zero(),
            begin: zero(),
            forks: zero(),
            ended: AtomicBool::new(false),
            name_bytes: zero(),
            name: std::array::from_fn(|_| zero()),
            link: OnceLink::new(),
            part_of: OnceLink::new(),
        }
    }

    /// By its owner: puts a task here that is about to begin.
    fn open(&self, task: &NewTask<'_>, part_of: Option<TraceLink>) {
        let (words, len) = words_of(task.name);
        self.references.store(1, Ordering::Relaxed);
        self.ended.store(false, Ordering::Relaxed);
        self.link.state.store(0, Ordering::Relaxed);
        self.part_of.state.store(0, Ordering::Relaxed);
        if let Some(link) = part_of {
            self.part_of.set(link);
        }
        // `Release` orders the 0 of the last `give_back` before each: a thread that reads one of
        // these does not read the earlier id afterwards (K2).
        self.parent.store(task.parent, Ordering::Release);
        self.begin.store(0, Ordering::Release);
        self.forks.store(task.forks.into(), Ordering::Release);
        self.name_bytes.store(len as u64, Ordering::Release);
        for (to, word) in self.name.iter().zip(words) {
            to.store(word, Ordering::Release);
        }
        // `Release` pairs with the `Acquire` in `read`: this id belongs to those fields.
        self.id.store(task.id, Ordering::Release);
    }

    /// The task, if it has not ended; `None` also if the place changes just now.
    fn read(&self) -> Option<ListedTask> {
        let id = self.id.load(Ordering::Acquire);
        if id == 0 || self.ended.load(Ordering::Relaxed) {
            return None;
        }
        let load = |field: &AtomicU64| field.load(Ordering::Acquire);
        let seen = ListedTask {
            id,
            parent: load(&self.parent),
            begin: load(&self.begin),
            forks: load(&self.forks) as u32,
            name: std::array::from_fn(|at| load(&self.name[at])),
            name_bytes: load(&self.name_bytes) as usize,
        };
        (self.id.load(Ordering::Acquire) == id).then_some(seen)
    }
}

/// 64 places, and which of them are free.
#[derive(Debug)]
pub(crate) struct TaskBlock {
    free: AtomicU64,
    places: [TaskPlace; PLACES],
}

impl TaskBlock {
    /// A block whose places are all free.
    pub(crate) fn new() -> Self {
        Self {
            free: AtomicU64::new(u64::MAX >> (64 - PLACES)),
            places: std::array::from_fn(|_| TaskPlace::new()),
        }
    }

    /// Takes a free place.
    pub(crate) fn take(&self) -> Option<Vacant<'_>> {
        loop {
            let free = self.free.load(Ordering::Relaxed);
            if free == 0 {
                return None;
            }
            let at = free.trailing_zeros() as usize;
            // `Acquire` pairs with the `Release` in `give_back`: the last owner is done with it
            // (K1).
            if self.free.fetch_and(!(1 << at), Ordering::Acquire) & 1 << at != 0 {
                return Some(Vacant { block: self, at });
            }
        }
    }

    /// By the place's owner, once (K1).
    fn give_back(&self, at: usize) {
        self.places[at].id.store(0, Ordering::Release);
        self.free.fetch_or(1 << at, Ordering::Release);
    }

    /// Calls `act` with each open task.
    pub(crate) fn for_each(&self, act: &mut dyn FnMut(&ListedTask)) {
        self.places.iter().filter_map(TaskPlace::read).for_each(|seen| act(&seen));
    }
}

/// A place that was taken for a task that is about to begin.
#[derive(Debug)]
pub(crate) struct Vacant<'b> {
    block: &'b TaskBlock,
    at: usize,
}

impl<'b> Vacant<'b> {
    /// Puts the task there. Returns a reference to it.
    pub(crate) fn open(self, task: &NewTask<'_>, part_of: Option<TraceLink>) -> TaskRef<'b> {
        let place = std::mem::ManuallyDrop::new(self);
        place.block.places[place.at].open(task, part_of);
        TaskRef { block: place.block, at: place.at }
    }
}

impl Drop for Vacant<'_> {
    fn drop(&mut self) {
        self.block.give_back(self.at);
    }
}

/// A counted reference to a task. The task ends with the last one.
#[derive(Debug)]
pub(crate) struct TaskRef<'b> {
    block: &'b TaskBlock,
    at: usize,
}

impl TaskRef<'_> {
    fn place(&self) -> &TaskPlace {
        &self.block.places[self.at]
    }

    pub(crate) fn id(&self) -> u64 {
        self.place().id.load(Ordering::Relaxed)
    }

    /// Sets when its begin was recorded.
    pub(crate) fn set_begin(&self, begin: u64) {
        self.place().begin.store(begin, Ordering::Release);
    }

    pub(crate) fn forks(&self) -> u32 {
        self.place().forks.load(Ordering::Relaxed) as u32
    }

    /// Marks the task as ended. Returns false if it was already.
    pub(crate) fn set_ended(&self) -> bool {
        !self.place().ended.swap(true, Ordering::Relaxed)
    }

    /// A copy of its fields; `None` once it has ended.
    pub(crate) fn seen(&self) -> Option<ListedTask> {
        self.place().read()
    }

    pub(crate) fn link(&self) -> Option<TraceLink> {
        self.place().link.get()
    }

    /// Sets the link. Returns false if there is one already.
    pub(crate) fn set_link(&self, link: TraceLink) -> bool {
        self.place().link.set(link)
    }

    pub(crate) fn part_of(&self) -> Option<TraceLink> {
        self.place().part_of.get()
    }
}

#[cfg(not(exectrace_loom))]
pub(crate) use all::{for_each, take};

/// All blocks.
#[cfg(not(exectrace_loom))]
mod all {
    use super::{ListedTask, TaskBlock, Vacant};
    use crate::base::primitive::Ordering;
    use crate::base::primitive::global::AtomicPtr;
    use crate::buffer::memory::pages;
    use std::cell::Cell;
    use std::ptr;

    /// Maximum number of blocks: a million tasks.
    const BLOCKS_MAX: usize = 1 << 14;

    static BLOCKS: [AtomicPtr<TaskBlock>; BLOCKS_MAX] =
        [const { AtomicPtr::new(ptr::null_mut()) }; BLOCKS_MAX];

    thread_local! {
        /// The block where this thread last found a place.
        static HINT: Cell<usize> = const { Cell::new(0) };
    }

    /// The block of this number, if it has been made.
    fn block(at: usize) -> Option<&'static TaskBlock> {
        let block = BLOCKS[at].load(Ordering::Acquire);
        // SAFETY: a shared reference wants a live block: blocks in the list are never freed.
        unsafe { block.as_ref() }
    }

    /// Takes a place for a task; `None` if too many are open, or there is no memory.
    pub(crate) fn take() -> Option<Vacant<'static>> {
        if let Some(vacant) = block(HINT.get()).and_then(TaskBlock::take) {
            return Some(vacant);
        }
        (0..BLOCKS_MAX).find_map(|at| {
            let vacant = block(at).or_else(|| make(at))?.take()?;
            HINT.set(at);
            Some(vacant)
        })
    }

    /// Makes the block of this number, unless another thread does so first.
    #[cold]
    fn make(at: usize) -> Option<&'static TaskBlock> {
        let fresh: *mut TaskBlock = pages::map(size_of::<TaskBlock>())?.cast();
        // SAFETY: `write` wants room for a block, aligned, and ours alone: new pages are that.
        unsafe { fresh.write(TaskBlock::new()) };
        let order = (Ordering::AcqRel, Ordering::Acquire);
        if BLOCKS[at].compare_exchange(ptr::null_mut(), fresh, order.0, order.1).is_err() {
            // SAFETY: `unmap` wants pages from `map`, owned and unused: no other code has seen
            // them.
            unsafe { pages::unmap(fresh.cast(), size_of::<TaskBlock>()) };
        }
        block(at)
    }

    /// Calls `act` with each open task of the process.
    pub(crate) fn for_each(mut act: impl FnMut(&ListedTask)) {
        (0..BLOCKS_MAX).map_while(block).for_each(|block| block.for_each(&mut act));
    }
}

/// A model has a block of its own.
#[cfg(exectrace_loom)]
pub(crate) fn take() -> Option<Vacant<'static>> {
    None
}

/// A model has a block of its own.
#[cfg(exectrace_loom)]
pub(crate) fn for_each(_: impl FnMut(&ListedTask)) {}

impl Clone for TaskRef<'_> {
    fn clone(&self) -> Self {
        self.place().references.fetch_add(1, Ordering::Relaxed);
        Self { block: self.block, at: self.at }
    }
}

impl Drop for TaskRef<'_> {
    fn drop(&mut self) {
        // `AcqRel`: the last one sees that all others are done (K1).
        if self.place().references.fetch_sub(1, Ordering::AcqRel) == 1 {
            task::end(self);
            self.block.give_back(self.at);
        }
    }
}
