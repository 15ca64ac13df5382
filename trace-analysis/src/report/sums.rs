//! Everything that the timeline tells, added up.

use std::cmp::Reverse;

use trace_format::call::CallClass;
use trace_format::event::Event;
use trace_format::id::{CallId, ResourceId, StackId, TaskId, ThreadId};
use trace_format::read::{ReadAt, Tables};
use trace_format::time::Nanos;

use super::calls::CallTable;
use super::children::ChildTable;
use super::grouped::Sum;
use super::heap::HeapReport;
use super::kernel_times::{PerhapsReady, UnseenReady};
use super::life::{Calls, Fine, Lives, WaitGroup, saturating_sum};
use super::long::LongWaits;
use super::region_times::RegionTable;
use super::slow_tasks::Runs;
use super::waits::WaitTable;
use crate::durations::Scratch;
use crate::hash::FastMap;
use crate::reason::Reason;
use crate::spans::LongSpans;
use crate::timeline::{ClosedCall, EndedRegion, EndedRun, Fold, Found, Stretch, Unended, Waited};
use crate::trace::{Options, Trace};

/// Minimum length of a time ready that is kept one by one, in nanoseconds.
const READY_NS_MIN: u64 = 20_000;

/// Time by stack and thread.
type ByStack = FastMap<(StackId, ThreadId), Sum>;

/// All sums.
pub(super) struct Sums<'t> {
    tables: &'t Tables,
    waits: WaitTable,
    long: LongWaits,
    calls: CallTable,
    /// Time ready, by the stack of the call it was in.
    ready: ByStack,
    /// When threads could run and did not, one by one: whether something waited for that.
    long_ready: LongSpans<ThreadId>,
    /// Time on CPUs inside calls: the kernel's, by the stack of the call.
    kernel: ByStack,
    /// Time on CPUs where a page had to be read, by the stack that touched it: the kernel's.
    faults: ByStack,
    /// Samples on CPUs.
    samples: ByStack,
    regions: RegionTable,
    children: ChildTable<'t>,
    unended: Vec<Unended>,
    pub(super) heap: Option<HeapReport>,
    pub(super) runs: Option<Runs>,
}

impl<'t> Sums<'t> {
    pub(super) fn new<S: ReadAt>(trace: &Trace<'t, S>) -> Self {
        let (tables, threads) = (trace.file.tables(), &trace.options.threads);
        let (from, to) = trace.window();
        Self {
            tables,
            waits: WaitTable::new(threads, tables),
            long: LongWaits::new(tables, to - from),
            calls: CallTable::new(threads),
            ready: ByStack::default(),
            long_ready: LongSpans::new(READY_NS_MIN),
            kernel: ByStack::default(),
            faults: ByStack::default(),
            samples: ByStack::default(),
            regions: RegionTable::new(tables),
            children: ChildTable::new(tables),
            unended: Vec::new(),
            heap: None,
            runs: None,
        }
    }

    /// What is returned of it, with what the timeline found out itself.
    pub(super) fn finish(
        mut self,
        found: Found,
        options: &Options,
    ) -> (Lives, Option<HeapReport>, Option<Runs>) {
        let wanted = |thread: ThreadId| options.wants(thread);
        let by_stack = |sums: ByStack| {
            sums.into_iter().filter(|((_, thread), _)| wanted(*thread)).collect::<Vec<_>>()
        };
        let mut scratch = Scratch::new();
        let mut waits = self.waits.finish(&mut scratch);
        add_holders(&mut waits.by_resource, &found);
        waits.late_holders = found.late_holders();
        let fine = Fine {
            waits: self.waits.fine(),
            calls: self.calls.fine(),
            ready: by_stack(self.ready),
            kernel: by_stack(self.kernel),
            faults: by_stack(self.faults),
            samples: by_stack(self.samples),
            long_waits: self.long.finish(),
            is_ready_cut: self.long_ready.is_cut(),
            long_ready: self.long_ready.by_party(),
            children: self.children.finish(),
        };
        let mut unended = self.unended;
        unended.retain(|it| wanted(it.wait.thread));
        unended.sort_by_key(|it| (Reverse(it.wait.duration), it.wait.thread));
        let calls = Calls { open: found.calls_open, ..self.calls.finish(&mut scratch) };
        let threads: Vec<_> =
            found.threads.into_iter().filter(|life| wanted(life.thread)).collect();
        let unseen = UnseenReady::new(&threads, self.tables, &waits.by_reason);
        for group in waits.groups_mut() {
            let PerhapsReady { most, share } = unseen.within(group);
            (group.perhaps_ready, group.perhaps_ready_share) = (most, share);
        }
        let lives = Lives {
            from: found.from,
            to: found.to,
            lost_records: saturating_sum(found.cpus.iter().map(|cpu| cpu.lost_records)),
            threads,
            cpus_watched: found.cpus_watched,
            cpus: found.cpus,
            waits,
            unended,
            calls,
            regions: self.regions.finish(),
            concurrency: found.concurrency,
            standstills: found.standstills,
            faults: found.faults,
            events_dropped: found.events_dropped,
            unreadable: found.missing.items,
            damage: found.missing.damage,
            events_missing: found.missing.events,
            too_deep: found.too_deep,
            fine,
        };
        (lives, self.heap, self.runs)
    }
}

/// Locks get their holders.
fn add_holders(groups: &mut [WaitGroup], found: &Found) {
    for group in groups.iter_mut().filter(|group| group.reason.is_lock()) {
        if group.resource == ResourceId(0) {
            group.holders = found.holders_at(group.reason, group.stack);
        } else if let Some(lock) = found.holders_of(group.reason, group.resource.0) {
            (group.waiters_max, group.holders) = (lock.waiters_max, lock.holders);
            group.free = lock.free;
        }
    }
}

impl Fold for Sums<'_> {
    fn restart(&mut self) {
        self.waits.restart();
        self.long.restart();
        self.calls.restart();
        (self.ready, self.kernel, self.faults, self.samples) = Default::default();
        self.long_ready.restart();
        self.regions = RegionTable::new(self.tables);
        self.children.restart();
        self.unended.clear();
    }

    #[inline]
    fn raw(&mut self, event: &Event<'_>) {
        if let Some(heap) = &mut self.heap {
            heap.event(event);
        }
        if let Some(runs) = &mut self.runs {
            runs.event(&event.kind, self.tables);
        }
    }

    fn counts(&self, thread: ThreadId) -> bool {
        self.waits.counts(thread)
    }

    fn wait(&mut self, waited: &Waited) {
        self.long.add(waited.reason, &waited.wait, waited.end);
        self.waits.add(waited);
        if waited.reason == Reason::Process {
            self.children.waited(waited);
        }
    }

    fn unended(&mut self, unended: Unended) {
        self.unended.push(unended);
    }

    fn call(&mut self, call: &ClosedCall) {
        self.calls.add(call);
        if !call.is_over {
            return;
        }
        self.long.ended(call.call, &call.one);
        if call.call == CallId::POSIX_SPAWN {
            self.children.start(call);
        } else if call.call.info().is_some_and(|info| info.class == CallClass::Process) {
            self.children.ended(call);
        }
    }

    fn ready(&mut self, stack: StackId, ready: Stretch) {
        let nanos = ready.to.0.saturating_sub(ready.from.0);
        self.ready.entry((stack, ready.thread)).or_default().add(nanos);
        self.long_ready.add((ready.thread, (ready.from.0, ready.to.0)));
    }

    fn in_kernel(&mut self, thread: ThreadId, stack: StackId, time: Nanos) {
        self.kernel.entry((stack, thread)).or_default().add(time.0);
    }

    fn in_fault(&mut self, thread: ThreadId, stack: StackId, time: Nanos) {
        self.faults.entry((stack, thread)).or_default().add(time.0);
    }

    fn sampled(&mut self, thread: ThreadId, stack: StackId) {
        self.samples.entry((stack, thread)).or_default().add(0);
    }

    #[inline]
    fn region(&mut self, region: &EndedRegion) {
        self.regions.add(region);
    }

    fn wants_runs(&self) -> bool {
        self.runs.is_some()
    }

    fn wants_run(&self, task: TaskId) -> bool {
        self.runs.as_ref().is_some_and(|runs| runs.wants(task))
    }

    fn run(&mut self, run: EndedRun<'_>) {
        if let Some(runs) = &mut self.runs {
            runs.add(run.task, run.around, run.stretch, run.activity);
        }
    }
}
