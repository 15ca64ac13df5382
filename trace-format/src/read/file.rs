//! Random access to a trace: by its index, one batch at a time.
//!
//! Opening reads the index and all definitions, and nothing else, so memory is in proportion to
//! the number of batches and of names. Loading a batch checks it again: an index can be right about
//! where a batch lies and the batch damaged all the same.

use std::collections::{BTreeMap, BTreeSet};

use super::check::{BATCH_BYTES_MAX, judge_checksum, judge_lengths, unpack};
use super::directory::{Directory, find};
use super::error::{ReadError, ReadErrorKind};
use super::order::{InOrder, Window};
use super::source::{ReadAt, read_full};
use super::stream::Batch;
use super::tables::{Tables, TaskState, ThreadState, text};
use super::unowned::{MissingEnd, Unowned};
use crate::definition::Definition;
use crate::header::{BATCH_HEADER_BYTES, BatchHeader, BatchKind, FileHeader};
use crate::id::ThreadId;
use crate::index::IndexEntry;
use crate::time::Ticks;

/// A buffer's memory grows by multiples of this.
pub(crate) const MEMORY_STEP: usize = 16 * 1024;

/// Memory for one batch, to be used again and again.
#[derive(Clone, Debug, Default)]
pub struct BatchBuffer {
    stored: Vec<u8>,
    unpacked: Vec<u8>,
    /// Where in `stored` the payload is; `None` if it is all of `unpacked`.
    within: Option<(usize, usize)>,
}

impl BatchBuffer {
    /// The payload of the batch that was loaded last.
    #[inline]
    pub(crate) fn payload(&self) -> &[u8] {
        match self.within {
            Some((from, to)) => self.stored.get(from..to).unwrap_or(&[]),
            None => &self.unpacked,
        }
    }
}

/// What was open when a generation began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenerationState {
    /// From 1.
    pub number: u32,
    /// When.
    pub ticks: Ticks,
    /// One for each thread whose state could be read.
    pub threads: Vec<ThreadState>,
    /// The tasks that were open.
    pub tasks: Vec<TaskState>,
}

/// A trace whose batches can be read in any order, by several threads at once.
#[derive(Debug)]
pub struct TraceFile<S> {
    source: S,
    bytes: u64,
    header: FileHeader,
    tables: Tables,
    index: Vec<IndexEntry>,
    /// Number of a generation, and the place in the index of the batch that begins it.
    generations: Vec<(u32, usize)>,
    faults: Vec<ReadError>,
    unowned: Unowned,
    complete: bool,
    bytes_missing: u64,
    events_missing: u64,
}

impl<S: ReadAt> TraceFile<S> {
    /// Finds all batches and reads all definitions.
    ///
    /// The index comes from the file's end; if it is missing or wrong, it is rebuilt by reading the
    /// whole file. What is damaged is left out and named in [`TraceFile::faults`].
    ///
    /// # Errors
    /// `NotATrace`, `VersionUnsupported`, `Truncated` inside the file header, `Io`.
    pub fn open(source: S) -> Result<Self, ReadError> {
        let bytes = source.bytes().map_err(|error| ReadError::new(0, ReadErrorKind::Io(error)))?;
        let Directory { header, index, faults, complete, bytes_missing, unowned } =
            find(&source, bytes)?;
        let mut file = Self {
            source,
            bytes,
            header,
            tables: Tables::default(),
            index,
            generations: Vec::new(),
            faults,
            unowned: Unowned::default(),
            complete,
            bytes_missing,
            events_missing: 0,
        };
        file.read_definitions();
        let whole = file.count_missing();
        file.unowned = Unowned::new(unowned, &file.index, whole);
        Ok(file)
    }

    fn read_definitions(&mut self) {
        let (mut tables, mut buffer) = (Tables::default(), BatchBuffer::default());
        let mut clock_at = None;
        for (at, entry) in self.index.iter().enumerate() {
            if entry.kind != BatchKind::Definitions {
                continue;
            }
            let known = tables.generations.len();
            let batch = load_entry(&self.source, entry, &mut buffer);
            if let Err(error) = batch.and_then(|batch| tables.apply_batch(&batch)) {
                self.faults.push(error);
            }
            let new = &tables.generations[known..];
            self.generations.extend(new.iter().map(|generation| (generation.number, at)));
            if tables.clock.has_snapshot() {
                clock_at = clock_at.or(Some(entry.offset));
            }
        }
        self.tables = tables;
        // A trace begins with its clock: what can't be read before the first may have been that.
        let is_damage = |kind: &ReadErrorKind| {
            !matches!(kind, ReadErrorKind::HeaderDamaged | ReadErrorKind::BatchMissing { .. })
        };
        let before = |fault: &ReadError| clock_at.is_some_and(|clock| fault.offset < clock);
        if self.faults.iter().any(|fault| before(fault) && is_damage(&fault.kind)) {
            let first = self.first_event(self.tables.clock.origin().ticks);
            self.tables.clock.begin_at(first);
        }
    }

    /// When the first event is, if it is before then. What bases say of that is only a bound.
    fn first_event(&self, mut first: Ticks) -> Ticks {
        let events = self.index.iter().filter(|entry| entry.kind == BatchKind::Events);
        let mut earlier: Vec<_> = events.filter(|entry| entry.base_ticks < first).collect();
        earlier.sort_by_key(|entry| entry.base_ticks);
        let mut buffer = BatchBuffer::default();
        for entry in earlier {
            if entry.base_ticks >= first {
                break;
            }
            if let Ok(batch) = self.load(entry, &mut buffer) {
                first = first.min(batch.first_ticks());
            }
        }
        first
    }

    /// Compares what is in the file with what the recorder counted. Returns the threads of which
    /// all events are there.
    fn count_missing(&mut self) -> BTreeSet<ThreadId> {
        let mut whole = BTreeSet::new();
        let mut found = BTreeMap::<ThreadId, u64>::new();
        for entry in self.index.iter().filter(|entry| entry.kind == BatchKind::Events) {
            *found.entry(entry.thread).or_default() += u64::from(entry.events);
        }
        for thread in self.tables.threads.values() {
            let Some(written) = thread.end.map(|end| end.events) else { continue };
            let found = found.get(&thread.id).copied().unwrap_or(0);
            if written <= found {
                whole.insert(thread.id);
                continue;
            }
            self.events_missing = self.events_missing.saturating_add(written - found);
            let kind = ReadErrorKind::EventsMissing { thread: thread.id.0, written, found };
            self.faults.push(ReadError::new(self.bytes, kind));
        }
        whole
    }

    /// Where the bytes come from.
    pub(super) fn source(&self) -> &S {
        &self.source
    }

    /// Where the bytes come from, back.
    pub(crate) fn into_source(self) -> S {
        self.source
    }

    /// The file header.
    #[must_use]
    pub fn header(&self) -> FileHeader {
        self.header
    }

    /// What the definitions say, all of them applied.
    #[must_use]
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// All batches of events, definitions and unknown kinds, in file order.
    #[must_use]
    pub fn index(&self) -> &[IndexEntry] {
        &self.index
    }

    /// Whether the kernel's switches are in the file: events of CPUs rather than of threads.
    #[must_use]
    pub fn has_cpus(&self) -> bool {
        let mut events = self.index.iter().filter(|entry| entry.kind == BatchKind::Events);
        events.any(|entry| entry.thread.as_cpu().is_some())
    }

    /// What is wrong with the file, as far as opening it shows: no trailer (`Truncated`), a damaged
    /// index, missing batches and events, bytes behind the end. Damage inside batches of events
    /// shows when they are loaded, if the index was whole.
    #[must_use]
    pub fn faults(&self) -> &[ReadError] {
        &self.faults
    }

    /// Whether the trace was stopped properly: it has its trailer.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The file's size.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of the file that belong to no whole batch of the trace.
    #[must_use]
    pub fn bytes_missing(&self) -> u64 {
        self.bytes_missing
    }

    /// Events that were written and are not in the file, as far as their number can be known.
    #[must_use]
    pub fn events_missing(&self) -> u64 {
        self.events_missing
    }

    /// From when on events of a thread or a CPU may be missing behind the last that is here: its
    /// last batches may have been in damaged bytes of which nothing says whose they were. `None` if
    /// they can't have been.
    #[must_use]
    pub fn end_missing_since(&self, thread: ThreadId) -> Option<Ticks> {
        self.missing_end(thread).map(|missing| missing.since)
    }

    /// The same, with the place of the bytes.
    pub(super) fn missing_end(&self, thread: ThreadId) -> Option<MissingEnd> {
        let generations = self.generations.iter().zip(&self.tables.generations);
        let generations = generations.map(|((_, at), it)| (self.index[*at].offset, it));
        self.unowned.missing_end(thread, generations)
    }

    /// Whether such bytes lie behind the begin of generation `number`: then what was open when that
    /// began may be so no longer. `false` if the trace has no such generation.
    #[must_use]
    pub fn is_damaged_behind(&self, number: u32) -> bool {
        let begin = self.generations.iter().find(|generation| generation.0 == number);
        begin.is_some_and(|(_, at)| self.unowned.are_behind(self.index[*at].offset))
    }

    /// Reads one batch, checks it, decompresses it.
    ///
    /// # Errors
    /// Whatever is wrong with it, `IndexDisagrees` if another batch lies there, `Io`.
    pub fn load<'b>(
        &self,
        entry: &IndexEntry,
        buffer: &'b mut BatchBuffer,
    ) -> Result<Batch<'b>, ReadError> {
        load_entry(&self.source, entry, buffer)
    }

    /// What was open when generation `number` began; `None` if the trace has no such generation.
    ///
    /// # Errors
    /// Whatever is wrong with the definitions that say it.
    pub fn state_at(&self, number: u32) -> Result<Option<GenerationState>, ReadError> {
        let Some(&(_, at)) = self.generations.iter().find(|generation| generation.0 == number)
        else {
            return Ok(None);
        };
        let (mut state, mut buffer) = (None, BatchBuffer::default());
        for entry in &self.index[at..] {
            if entry.kind != BatchKind::Definitions {
                continue;
            }
            for definition in self.load(entry, &mut buffer)?.definitions() {
                match (definition, &mut state) {
                    (Definition::Generation { number: this, ticks }, None) if this == number => {
                        state = Some(GenerationState { number, ticks, ..Default::default() });
                    }
                    (Definition::Generation { .. }, Some(_)) => return Ok(state),
                    (definition, Some(state)) => state.add(definition),
                    _ => {}
                }
            }
        }
        Ok(state)
    }

    /// The index entries of all event batches in `count` shares of about equal size, for workers
    /// that each load their own share.
    ///
    /// - `whole_threads`: each thread's batches are in one share, in order. Else shares are more
    ///   equal, and what one thread did is spread over several.
    #[must_use]
    pub fn shares(&self, count: usize, whole_threads: bool) -> Vec<Vec<IndexEntry>> {
        let mut shares = vec![(0_u64, Vec::new()); count.max(1)];
        let mut whose = BTreeMap::<ThreadId, usize>::new();
        let mut sizes = BTreeMap::<ThreadId, u64>::new();
        let events = || self.index.iter().filter(|entry| entry.kind == BatchKind::Events);
        for entry in events() {
            *sizes.entry(entry.thread).or_default() += u64::from(entry.bytes);
        }
        let least = |shares: &[(u64, Vec<IndexEntry>)]| {
            (0..shares.len()).min_by_key(|&at| shares[at].0).expect("there is a share")
        };
        if whole_threads {
            let mut sizes: Vec<_> = sizes.into_iter().collect();
            sizes.sort_by_key(|&(thread, bytes)| (std::cmp::Reverse(bytes), thread));
            for (thread, bytes) in sizes {
                let at = least(&shares);
                shares[at].0 += bytes;
                whose.insert(thread, at);
            }
        }
        for entry in events() {
            let at = whose.get(&entry.thread).copied().unwrap_or_else(|| least(&shares));
            shares[at].0 += if whole_threads { 0 } else { u64::from(entry.bytes) };
            shares[at].1.push(*entry);
        }
        shares.into_iter().map(|share| share.1).collect()
    }

    /// The events of all threads, merged by time, as far as they lie in `window`.
    pub fn in_order(&self, window: Window) -> InOrder<'_, S> {
        InOrder::new(self, window)
    }
}

impl GenerationState {
    fn add(&mut self, definition: Definition<'_>) {
        match definition {
            Definition::ThreadState { id, sequence, offset, more, open } => {
                let generation = self.number;
                self.threads.push(ThreadState { id, generation, sequence, offset, more, open });
            }
            Definition::TaskState { id, parent, name, begin } => {
                self.tasks.push(TaskState { id, parent, name: text(name), begin });
            }
            _ => {}
        }
    }
}

fn load_entry<'b, S: ReadAt>(
    source: &S,
    entry: &IndexEntry,
    buffer: &'b mut BatchBuffer,
) -> Result<Batch<'b>, ReadError> {
    let batch = load_at(source, entry.offset, u64::from(entry.bytes), buffer)?;
    if IndexEntry::new(entry.offset, &batch.header) != *entry {
        return Err(ReadError::new(entry.offset, ReadErrorKind::IndexDisagrees));
    }
    Ok(batch)
}

/// Loads the batch at `offset`, of whose length only the limit is known: it ends within `bytes`.
pub(crate) fn load_at<'b, S: ReadAt>(
    source: &S,
    offset: u64,
    bytes: u64,
    buffer: &'b mut BatchBuffer,
) -> Result<Batch<'b>, ReadError> {
    let fault = |kind| ReadError::new(offset, kind);
    let wanted = usize::try_from(bytes).unwrap_or(usize::MAX).min(BATCH_BYTES_MAX);
    if buffer.stored.len() < wanted {
        // Fresh, not grown, as nothing in the old is wanted; and rounded, so that batches that are
        // a little longer each time do not each cost an allocation.
        buffer.stored = Vec::new();
        buffer.stored = vec![0; wanted.next_multiple_of(MEMORY_STEP)];
    }
    let read = read_full(source, &mut buffer.stored[..wanted], offset)
        .map_err(|error| fault(ReadErrorKind::Io(error)))?;
    let stored = &buffer.stored[..read];
    let fixed = stored.first_chunk::<BATCH_HEADER_BYTES>();
    let fixed = fixed.ok_or_else(|| fault(ReadErrorKind::Truncated))?;
    let missing =
        ReadErrorKind::BatchMagicMissing { found: [stored[0], stored[1], stored[2], stored[3]] };
    let header = BatchHeader::decode(fixed).ok_or_else(|| fault(missing))?;
    let whole = judge_lengths(&header).map_err(fault)?;
    let Some(stored) = stored.get(..whole) else {
        let (bytes, bytes_max) = (whole as u64, read as u64);
        return Err(fault(ReadErrorKind::BatchTooLong { bytes, bytes_max }));
    };
    judge_checksum(stored).map_err(fault)?;
    let from = usize::from(header.header_bytes);
    let unpacked = unpack(&header, &stored[from..], &mut buffer.unpacked).map_err(fault)?;
    buffer.within = (!unpacked).then_some((from, whole));
    Ok(Batch { header, offset, payload: buffer.payload() })
}
