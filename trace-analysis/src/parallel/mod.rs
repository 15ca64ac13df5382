//! A whole trace, or a window of it, summed up: the batches are decoded in file order, by several
//! workers if wanted, and never put in the order of time.
//!
//! 1. Threads are dealt to workers, whole, so that each has about as many bytes.
//! 2. Batches are read in bunches of some megabytes; each worker reads its threads' part.
//! 3. After each bunch the workers' notes on tasks and futures, which have no home thread, are
//!    put in order and told, up to where the earliest of the unread batches begins.
//! 4. At the end what is still open is closed, as unfinished, and the workers' sums are added up.
//!
//! `shard` is one worker's share, `notes` what it tells about tasks and futures.

mod notes;
mod shard;

use std::collections::{BTreeMap, HashMap, HashSet};

use trace_format::header::BatchKind;
use trace_format::id::{SiteId, ThreadId};
use trace_format::index::IndexEntry;
use trace_format::read::{ReadAt, ReadError, ReadErrorKind, Tables, TraceFile};
use trace_format::time::{Nanos, Ticks};

use self::notes::{Name, NoteKind, Notes};
use self::shard::{Part, Shard, ThreadReading};
use crate::report::findings::{Finding, FindingKind, Findings};
use crate::report::futures::Futures;
use crate::report::summary::Summary;
use crate::report::tasks::Forest;
use crate::report::threads::ThreadSummary;
use crate::time::Scale;
use crate::timeline::open_tasks::{earlier, open_tasks, site_name, told_from};
use crate::trace::{Options, Progress, Trace, bounds, zero};
use crate::walk::{last_states, states_behind};

/// Bytes that are read between two looks at tasks, futures and progress.
const BUNCH_BYTES: u64 = 8 << 20;

/// Between two looks at which tasks are over.
const SETTLE_NOTES: usize = 4096;

/// A greater id of a call site is taken for undefined: the places of sums lie in an array by id.
const SITES_MAX: u32 = (1 << 16) - 1;

/// Drift below this is within what two clock readings can tell.
const DRIFT_PPM_MIN: f64 = 200.0;

impl Summary {
    /// Sums up a trace. Whatever is wrong with it is among the findings.
    ///
    /// - `progress` is called every few megabytes.
    pub fn read<S: ReadAt + Sync>(trace: &Trace<'_, S>, progress: impl FnMut(Progress)) -> Self {
        Reading::new(trace).read(progress)
    }
}

struct Reading<'f, S> {
    file: &'f TraceFile<S>,
    options: &'f Options,
    from: Ticks,
    to: Ticks,
    /// The end of the trace, and whether the window reaches it.
    trace_end: Ticks,
    is_trace_end: bool,
    shards: Vec<Shard>,
    /// Which shard has a thread.
    deal: BTreeMap<ThreadId, usize>,
    notes: Notes,
    forest: Forest,
    futures: Futures<'f>,
    /// The first ones lie before the window, and are read for tasks and futures alone.
    entries: Vec<IndexEntry>,
    /// How many of these there are.
    earlier: usize,
}

impl<'f, S: ReadAt + Sync> Reading<'f, S> {
    fn new(trace: &'f Trace<'_, S>) -> Self {
        let (file, options) = (trace.file, &trace.options);
        let tables = file.tables();
        let (begin, end) = bounds(file);
        let from = options.from.unwrap_or(begin).max(begin);
        let is_trace_end = options.to.is_none_or(|to| to >= end);
        // The last event may lie at the end itself, and a window has no end tick of its own.
        let after = Ticks(end.0.saturating_add(1));
        let to = options.to.unwrap_or(after).min(after).max(from);
        let sites = tables.callsites.iter().map(|site| site.id.0);
        let sites_max = SiteId(sites.filter(|id| *id <= SITES_MAX).max().unwrap_or(0));
        let wanted = wanted(file.index(), from, to, options);
        let workers = options.workers.clamp(1, 256);
        let counted_from = from.max(zero(file));
        let is_window = options.from.is_some();
        let told_from = if is_window { told_from(tables, from) } else { Ticks(0) };
        let part = Part { from, to, counted_from, told_from, is_window };
        let mut entries = earlier(file.index(), &wanted, told_from);
        let earlier = entries.len();
        entries.extend(wanted);
        let shard = || Shard::new(sites_max, part, options);
        Self {
            file,
            options,
            from,
            to,
            trace_end: end,
            is_trace_end,
            shards: std::iter::repeat_with(shard).take(workers).collect(),
            deal: deal(&entries, workers),
            notes: Notes::default(),
            forest: Forest::new(from, options.trees, options.threads.is_all()),
            futures: Futures::new(sites_max, &tables.futures, from),
            entries,
            earlier,
        }
    }

    fn read(mut self, mut progress: impl FnMut(Progress)) -> Summary {
        self.tell_open_tasks();
        let entries = std::mem::take(&mut self.entries);
        let firsts = firsts(&entries);
        let bytes_total = entries.iter().map(|entry| u64::from(entry.bytes)).sum();
        let (mut bytes, mut rest) = (0, entries.as_slice());
        while !rest.is_empty() {
            let done = entries.len() - rest.len();
            let (alike, read): (_, fn(&mut Shard, &TraceFile<S>, &IndexEntry)) =
                match done < self.earlier {
                    true => (&entries[done..self.earlier], Shard::read_steps),
                    false => (rest, Shard::read),
                };
            let bunch = alike.split_at(bunch(alike)).0;
            rest = &rest[bunch.len()..];
            self.read_bunch(bunch, read);
            self.tell(firsts[entries.len() - rest.len()]);
            bytes += bunch.iter().map(|entry| u64::from(entry.bytes)).sum::<u64>();
            progress(Progress { bytes, bytes_total });
        }
        self.finish()
    }

    fn read_bunch(
        &mut self,
        bunch: &[IndexEntry],
        read: fn(&mut Shard, &TraceFile<S>, &IndexEntry),
    ) {
        let (file, deal) = (self.file, &self.deal);
        if let [shard] = self.shards.as_mut_slice() {
            bunch.iter().for_each(|entry| read(shard, file, entry));
            return;
        }
        std::thread::scope(|scope| {
            for (number, shard) in self.shards.iter_mut().enumerate() {
                scope.spawn(move || {
                    let own = |entry: &&IndexEntry| deal.get(&entry.thread) == Some(&number);
                    bunch.iter().filter(own).for_each(|entry| read(shard, file, entry));
                });
            }
        });
    }

    /// The tasks that were open when the window began: of the whole trace, those that its first
    /// generation tells of. The events of some of these come, and are then what holds.
    fn tell_open_tasks(&mut self) {
        for task in open_tasks(self.file, self.from) {
            self.forest.was_open(task.id, task.parent, task.name.as_bytes(), task.begin);
        }
    }

    /// Tells what the workers noted, as far as it was before `until`.
    fn tell(&mut self, until: u64) {
        for shard in &mut self.shards {
            self.notes.append(&mut shard.notes);
        }
        let notes = self.notes.take_until(until);
        let tables = self.file.tables();
        for (number, note) in notes.notes.iter().enumerate() {
            if number % SETTLE_NOTES == 0 {
                self.forest.settle();
            }
            let (at, is_own) = (Ticks(note.at), self.options.wants(note.thread));
            match note.kind {
                NoteKind::TaskBegin { task, parent, name: Name::Text { at: text, bytes } } => {
                    let text = notes.text(text, bytes);
                    self.forest.begin_named(task, parent, text, at, is_own);
                }
                NoteKind::TaskBegin { task, parent, name: Name::Site(site) } => {
                    let name = || site_name(tables, site);
                    self.forest.begin_at_site((task, parent), site, name, at, is_own);
                }
                NoteKind::TaskEnd { task } => self.forest.end(task, at, is_own),
                NoteKind::TaskRun { task, inside } => {
                    self.forest.run(task, note.thread, Ticks(inside));
                }
                NoteKind::FutureBegin { future, site } => {
                    self.futures.begin(future, site, at, is_own);
                }
                NoteKind::FutureEnd { future, outcome } => {
                    self.futures.end(future, outcome, at, is_own);
                }
                NoteKind::Poll { future, end, inside } => {
                    self.futures.poll(future, at, end.map(Ticks), Ticks(inside));
                }
            }
        }
    }

    fn finish(mut self) -> Summary {
        let tables = self.file.tables();
        let scale = Scale::new(&tables.clock);
        let end = self.to.min(self.trace_end).max(self.from);
        self.close_threads(end);
        self.tell(u64::MAX);

        let mut shards = self.shards.into_iter();
        let mut sum = shards.next().expect("there is at least one worker");
        for shard in shards {
            sum.regions.merge(shard.regions);
            sum.counters.merge(shard.counters);
            sum.findings.merge(shard.findings);
            sum.threads.extend(shard.threads);
            sum.unknown += shard.unknown;
            sum.lost_records = sum.lost_records.saturating_add(shard.lost_records);
        }
        let mut findings = sum.findings;
        let mut threads = threads(self.file, &sum.threads, &scale);
        if self.options.from.is_some() || self.options.to.is_some() {
            // Its batch was read for what it might have had open.
            threads.retain(|thread| thread.events > 0 || thread.busy > Nanos(0));
        }
        let (tasks, count, open) = self.forest.summarise(end, &scale);
        if self.is_trace_end {
            add_open_tasks(&mut findings, &scale, end, count, open);
        }
        let regions = sum.regions.summarise(&scale);
        let (counters, moments) = sum.counters.summarise(&scale);
        let undefined = regions.iter().map(|sum| (sum.site, sum.count));
        let undefined = undefined.chain(counters.iter().map(|sum| (sum.site, sum.count)));
        let undefined = undefined.chain(moments.iter().map(|sum| (sum.site, sum.count)));
        let undefined = undefined.filter(|(site, _)| *site == SiteId(0)).map(|(_, count)| count);
        let skipped = sum.unknown + tables.unknown;
        add_file_findings(&mut findings, self.file, undefined.sum(), skipped);
        if self.options.is_whole() {
            add_untold_drops(&mut findings, tables, &sum.threads);
        }
        findings.sort();
        Summary {
            from: scale.nanos(self.from),
            to: scale.nanos(end),
            events: threads.iter().map(|thread| thread.events).sum(),
            batches: threads.iter().map(|thread| thread.batches).sum(),
            bytes: threads.iter().map(|thread| thread.bytes).sum(),
            regions,
            threads,
            tasks,
            futures: self.futures.summarise(&scale),
            counters,
            moments,
            findings,
            lost_records: sum.lost_records,
        }
    }

    /// Closes what is open, knowing what states behind the window say of it.
    fn close_threads(&mut self, end: Ticks) {
        let (file, tables) = (self.file, self.file.tables());
        for (&thread, reading) in self.shards.iter_mut().flat_map(|shard| &mut shard.threads) {
            let since = file.end_missing_since(thread).filter(|since| *since < self.to);
            since.into_iter().for_each(|since| reading.miss_end(since));
        }
        let readings = self.shards.iter().flat_map(|shard| &shard.threads);
        let unsure = readings.filter(|(_, reading)| reading.is_unsure());
        let unsure: HashSet<_> = unsure.map(|(thread, _)| *thread).collect();
        let mut states = match self.is_trace_end {
            true => last_states(file),
            false if unsure.is_empty() => HashMap::new(),
            false => states_behind(file, Some(self.to), |thread| unsure.contains(&thread)),
        };
        states.retain(|thread, _| self.options.wants(*thread));
        for state in states.values().filter(|state| !state.open.is_empty()) {
            // A thread that wrote nothing may still have something open.
            let shard = &mut self.shards[self.deal.get(&state.id).copied().unwrap_or(0)];
            shard.come(state.id);
        }
        let elsewhere = self.shards.iter().flat_map(|shard| shard.elsewhere.iter().copied());
        let elsewhere: HashSet<_> = elsewhere.collect();
        for shard in &mut self.shards {
            shard.finish(&tables.clock, end, self.is_trace_end, &states, |open, begin| {
                elsewhere.contains(&(open, begin))
            });
        }
    }
}

/// The batches that a window needs: of each thread from the last one on that says what is open.
/// Other threads than those that were asked for may begin and end the tasks of these.
fn wanted(index: &[IndexEntry], from: Ticks, to: Ticks, options: &Options) -> Vec<IndexEntry> {
    let wanted = |entry: &&IndexEntry| {
        let is_thread = options.wants(entry.thread) || entry.thread.as_cpu().is_none();
        entry.kind == BatchKind::Events && is_thread && entry.base_ticks < to
    };
    let (mut starts, mut before) = (HashMap::new(), HashMap::new());
    for entry in index.iter().filter(wanted) {
        if entry.begins_window(before.insert(entry.thread, entry), from) {
            starts.insert(entry.thread, entry.offset);
        }
    }
    let is_late =
        |entry: &&IndexEntry| starts.get(&entry.thread).is_none_or(|start| entry.offset >= *start);
    index.iter().filter(wanted).filter(is_late).copied().collect()
}

/// For each entry, and for the end, the earliest begin of the batches from it on.
fn firsts(entries: &[IndexEntry]) -> Vec<u64> {
    let mut firsts = vec![u64::MAX; entries.len() + 1];
    for (at, entry) in entries.iter().enumerate().rev() {
        firsts[at] = firsts[at + 1].min(entry.base_ticks.0);
    }
    firsts
}

/// Which worker reads which thread: the longest first, to the worker with the least.
fn deal(entries: &[IndexEntry], workers: usize) -> BTreeMap<ThreadId, usize> {
    let mut bytes: HashMap<ThreadId, u64> = HashMap::new();
    for entry in entries {
        *bytes.entry(entry.thread).or_default() += u64::from(entry.bytes);
    }
    let mut threads: Vec<_> = bytes.into_iter().collect();
    threads.sort_by_key(|&(thread, bytes)| (std::cmp::Reverse(bytes), thread));
    let mut loads = vec![0_u64; workers];
    let dealt = threads.into_iter().map(|(thread, bytes)| {
        let least = (0..workers).min_by_key(|worker| loads[*worker]).unwrap_or(0);
        loads[least] += bytes;
        (thread, least)
    });
    dealt.collect()
}

/// How many entries make the next bunch.
fn bunch(entries: &[IndexEntry]) -> usize {
    let mut bytes = 0;
    let full = entries.iter().position(|entry| {
        bytes += u64::from(entry.bytes);
        bytes >= BUNCH_BYTES
    });
    full.map_or(entries.len(), |at| at + 1)
}

fn threads<S: ReadAt>(
    file: &TraceFile<S>,
    readings: &BTreeMap<ThreadId, ThreadReading>,
    scale: &Scale<'_>,
) -> Vec<ThreadSummary> {
    let tables = file.tables();
    let mut threads: Vec<_> = readings.iter().collect();
    threads.sort_by_key(|(id, reading)| (std::cmp::Reverse(reading.stack.busy()), **id));
    let threads = threads.into_iter().map(|(&id, reading)| {
        let known = tables.threads.get(&id);
        let first = reading.first.or(known.map(|thread| thread.first.0)).unwrap_or(0);
        ThreadSummary {
            thread: id,
            first: scale.nanos(Ticks(first)),
            last: scale.nanos(Ticks(reading.last.max(first))),
            ended: known.and_then(|thread| thread.end).is_some_and(|end| end.ended),
            busy: scale.duration(reading.stack.busy()),
            events: reading.events,
            regions: reading.regions,
            dropped_events: reading.dropped_events,
            dropped_ends: reading.dropped_ends,
            batches: reading.batches,
            bytes: reading.bytes,
        }
    });
    threads.collect()
}

fn add_open_tasks(
    findings: &mut Findings,
    scale: &Scale<'_>,
    end: Ticks,
    count: u64,
    open: Vec<crate::report::tasks::OpenTask>,
) {
    let (at, kept) = (Some(scale.nanos(end)), open.len() as u64);
    for task in open {
        let open_for = scale.moment(task.begin).until(scale.nanos(end));
        let kind = FindingKind::TaskUnfinished { task: task.task, name: task.name, open_for };
        findings.add(Finding { thread: None, at, kind });
    }
    let kind = FindingKind::TaskUnfinished {
        task: trace_format::id::TaskId(0),
        name: String::new(),
        open_for: Nanos(0),
    };
    findings.add_unkept(&kind, count.saturating_sub(kept));
}

fn add_file_findings<S: ReadAt>(
    findings: &mut Findings,
    file: &TraceFile<S>,
    undefined: u64,
    skipped: u64,
) {
    let tables = file.tables();
    let mut add = |kind| findings.add(Finding { thread: None, at: None, kind });
    let bytes = file.bytes();
    for ReadError { offset, kind } in file.faults() {
        match kind {
            ReadErrorKind::EventsMissing { .. } => {}
            ReadErrorKind::Truncated if *offset >= bytes => {}
            kind => add(FindingKind::Damage { offset: *offset, what: kind.to_string() }),
        }
    }
    if tables.stop.is_none() || !file.is_complete() {
        add(FindingKind::NotStopped);
    }
    if undefined > 0 {
        add(FindingKind::SitesUndefined { events: undefined });
    }
    if skipped > 0 {
        add(FindingKind::Skipped { items: skipped });
    }
    let clock = &tables.clock;
    if !clock.is_known() && !file.index().is_empty() {
        add(FindingKind::ClockUnknown);
    }
    if clock.rejected() > 0 {
        add(FindingKind::ClockContradicts { snapshots: clock.rejected() });
    }
    if clock.drift_ppm() > DRIFT_PPM_MIN {
        add(FindingKind::ClockDrift { parts_per_million: clock.drift_ppm() });
    }
    for ReadError { kind, .. } in file.faults() {
        if let ReadErrorKind::EventsMissing { thread, written, found } = kind {
            let kind = FindingKind::Missing { events: written.saturating_sub(*found) };
            let thread = Some(ThreadId(*thread));
            findings.add(Finding { thread, at: None, kind });
        }
    }
}

/// Drops that the threads' totals know and no event in the file tells.
fn add_untold_drops(
    findings: &mut Findings,
    tables: &Tables,
    readings: &BTreeMap<ThreadId, ThreadReading>,
) {
    for thread in tables.threads.values() {
        let Some(end) = thread.end else { continue };
        let told = readings.get(&thread.id);
        let told = told.map_or((0, 0), |told| (told.dropped_events, told.dropped_ends));
        let events = end.dropped_events.saturating_sub(told.0);
        let ends = end.dropped_ends.saturating_sub(told.1);
        if events > 0 || ends > 0 {
            let to = tables.clock.nanos(end.ticks);
            let kind = FindingKind::Dropped { events, ends, to };
            findings.add(Finding { thread: Some(thread.id), at: None, kind });
        }
    }
    let Some(stop) = tables.stop else { return };
    let ends = tables.threads.values().filter_map(|thread| thread.end);
    let of_threads = ends.fold(0_u64, |sum, end| sum.saturating_add(end.dropped_events));
    let events = stop.dropped_events.saturating_sub(of_threads);
    if events > 0 {
        // Of threads that could not be recorded at all.
        let kind = FindingKind::Dropped { events, ends: 0, to: tables.clock.nanos(stop.ticks) };
        findings.add(Finding { thread: None, at: None, kind });
    }
}
