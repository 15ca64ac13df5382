//! A trace as every report takes it: the file, the names of its code, and what is asked of it.

use std::cmp::Reverse;
use std::sync::LazyLock;

use trace_format::header::BatchKind;
use trace_format::id::ThreadId;
use trace_format::index::IndexEntry;
use trace_format::read::{BatchBuffer, ReadAt, TraceFile};
use trace_format::time::{Nanos, Ticks};

use crate::symbols::Symbols;

/// The names of a trace's code if nobody gives any.
static NAMELESS: LazyLock<Symbols> = LazyLock::new(Symbols::default);

/// A trace, the names of its code, and the part that is to be read.
///
/// ```
/// use trace_analysis::{Options, Trace};
/// # use trace_analysis::symbols::Symbols;
/// # use trace_format::read::{ReadAt, TraceFile};
/// # fn of<S: ReadAt>(file: &TraceFile<S>) {
/// let symbols = Symbols::of_trace(file.tables());
/// let whole = Trace::new(file).named(&symbols);
/// let part = whole.with(Options { threads: vec![].into(), ..Options::default() });
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Trace<'t, S> {
    /// The file.
    pub file: &'t TraceFile<S>,
    /// The names of its code, by which reasons are found: without them a lock is only a futex.
    pub symbols: &'t Symbols,
    /// The part that is to be read, and how much is kept of it.
    pub options: Options,
}

impl<'t, S> Trace<'t, S> {
    /// All of a trace, without names.
    #[must_use]
    pub fn new(file: &'t TraceFile<S>) -> Self {
        Self { file, symbols: &NAMELESS, options: Options::default() }
    }

    /// With these names.
    #[must_use]
    pub fn named(self, symbols: &'t Symbols) -> Self {
        Self { symbols, ..self }
    }

    /// The last moment of the whole trace, since the first clock snapshot: of its events, or when
    /// it was stopped if that is later.
    #[must_use]
    pub fn end(&self) -> Nanos
    where
        S: ReadAt,
    {
        self.file.tables().clock.nanos(bounds(self.file).1)
    }

    /// From when to when the part goes, in nanoseconds since the first clock snapshot.
    pub(crate) fn window(&self) -> (u64, u64)
    where
        S: ReadAt,
    {
        let (begin, end) = bounds(self.file);
        let nanos = |ticks: Ticks| self.file.tables().clock.nanos(ticks).0;
        let from = nanos(self.options.from.unwrap_or(begin).max(begin));
        (from, nanos(self.options.to.unwrap_or(end).min(end)).max(from))
    }

    /// The part that these options name.
    #[must_use]
    pub fn with(self, options: Options) -> Self {
        Self { options, ..self }
    }
}

/// Which threads of a trace are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Threads {
    /// In order, each once; empty for all.
    chosen: Vec<ThreadId>,
}

impl Threads {
    /// Whether these are all.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.chosen.is_empty()
    }

    /// Whether this thread is one of them.
    #[must_use]
    pub fn wants(&self, thread: ThreadId) -> bool {
        self.is_all() || self.chosen.binary_search(&thread).is_ok()
    }

    /// Those that were chosen, in order; empty if all are meant.
    #[must_use]
    pub fn as_slice(&self) -> &[ThreadId] {
        &self.chosen
    }
}

/// These threads; all if there are none.
impl From<Vec<ThreadId>> for Threads {
    fn from(mut chosen: Vec<ThreadId>) -> Self {
        chosen.sort_unstable();
        chosen.dedup();
        Self { chosen }
    }
}

/// What to read, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// From when on; nothing for the beginning of the trace.
    pub from: Option<Ticks>,
    /// Until when, exclusively; nothing for the end of the trace.
    pub to: Option<Ticks>,
    /// Which threads.
    pub threads: Threads,
    /// How many threads read; each takes whole threads of the trace. At least 1.
    pub workers: usize,
    /// How many of the longest regions are kept of each call site.
    pub outliers: usize,
    /// How many of the slowest task trees are kept.
    pub trees: usize,
}

impl Default for Options {
    fn default() -> Self {
        let threads = Threads::default();
        Self { from: None, to: None, threads, workers: 1, outliers: 5, trees: 10 }
    }
}

impl Options {
    pub(crate) fn wants(&self, thread: ThreadId) -> bool {
        self.threads.wants(thread)
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.from.is_none() && self.to.is_none() && self.threads.is_all()
    }
}

/// How far reading has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Read so far.
    pub bytes: u64,
    /// To be read.
    pub bytes_total: u64,
}

/// The first and the last moment of a trace.
pub(crate) fn bounds<S: ReadAt>(file: &TraceFile<S>) -> (Ticks, Ticks) {
    let tables = file.tables();
    let events = || file.index().iter().filter(|entry| entry.kind == BatchKind::Events);
    let first = events().map(|entry| entry.base_ticks).min();
    let origin = tables.clock.is_known().then(|| tables.clock.origin().ticks);
    let begin = match (origin, first) {
        (Some(origin), Some(first)) => origin.min(first),
        (origin, first) => origin.or(first).unwrap_or_default(),
    };
    let stop = tables.stop.map(|stop| stop.ticks);
    let generation = tables.generations.last().map(|generation| generation.ticks);
    let clock = tables.clock.is_known().then(|| tables.clock.last().ticks);
    // A killed trace may know of a thread's end that came after all events.
    let ends = tables.threads.values().filter_map(|thread| Some(thread.end?.ticks)).max();
    let told = stop.max(generation).max(clock).max(ends).unwrap_or(begin);
    let end = last_event(file, told.max(begin));
    (begin, end.max(begin))
}

/// The last moment of events, or this one if none is later. What headers say of it is only a bound
/// (FORMAT.md, section 4), so batches that may have a later one are read: mostly one or none.
fn last_event<S: ReadAt>(file: &TraceFile<S>, mut last: Ticks) -> Ticks {
    let events = file.index().iter().filter(|entry| entry.kind == BatchKind::Events);
    let mut later: Vec<_> = events.filter(|entry| entry.last_ticks > last).collect();
    later.sort_by_key(|entry| Reverse(entry.last_ticks));
    let mut buffer = BatchBuffer::default();
    for entry in later {
        if entry.last_ticks <= last {
            break;
        }
        last = last.max(last_of(file, entry, &mut buffer).unwrap_or(entry.last_ticks));
    }
    last
}

/// The last moment of a batch's events; `None` if they can't be read to their end.
pub(crate) fn last_of<S: ReadAt>(
    file: &TraceFile<S>,
    entry: &IndexEntry,
    buffer: &mut BatchBuffer,
) -> Option<Ticks> {
    let batch = file.load(entry, buffer).ok()?;
    let mut last = entry.base_ticks;
    for event in batch.events() {
        let event = event.ok()?;
        last = last.max(event.end());
    }
    Some(last.min(entry.last_ticks))
}

/// The moment that has the time 0: the first look at the clocks, or the begin if there was none.
/// Nothing that lies before it is in a sum of times.
pub(crate) fn zero<S: ReadAt>(file: &TraceFile<S>) -> Ticks {
    let clock = &file.tables().clock;
    if clock.is_known() { clock.origin().ticks } else { bounds(file).0 }
}
