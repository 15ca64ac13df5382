//! Traces that no recorder writes, with right checksums: absurd times, ids and nesting. They are
//! summed up, and lives are made of them, without a panic, in any part and by any number of
//! workers.

use trace_analysis::async_tasks::AsyncTasks;
use trace_analysis::explain::explain;
use trace_analysis::heap::{Heap, HeapOptions};
use trace_analysis::profile::ProfileKind;
use trace_analysis::symbols::Symbols;
use trace_analysis::{Options, Report, Summary, Trace, Wanted};
use trace_format::batch::{BatchInfo, Compression};
use trace_format::definition::{CallsiteKind, Definition, OpenSince, ResourceKind};
use trace_format::event::{Event, EventKind, Outcome, put_event};
use trace_format::header::{BatchKind, FLAG_RESTATED};
use trace_format::id::{
    CallId, FutureId, Open, OpenCall, ResourceId, SampleId, SiteId, StackId, TaskId, ThreadId,
};
use trace_format::read::TraceFile;
use trace_format::testgen::TraceBuilder;
use trace_format::time::{ClockSnapshot, Nanos, Ticks};
use trace_format::value::{Text, Value, Values};

/// A small generator: the same traces on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Mostly small, now and then as great as can be.
    fn number(&mut self) -> u64 {
        match self.below(40) {
            0 => u64::MAX,
            1 => u64::MAX - self.below(1000),
            2 => self.next(),
            3 => 0,
            _ => self.below(2000),
        }
    }

    fn site(&mut self) -> SiteId {
        match self.below(30) {
            0 => SiteId(u32::MAX),
            1 => SiteId(0),
            2 => SiteId(70_000),
            _ => SiteId(self.below(8) as u32),
        }
    }

    fn open(&mut self) -> Open {
        match self.below(3) {
            0 => Open::Region(self.site()),
            1 => Open::Poll(FutureId(self.below(6))),
            _ => Open::Task(TaskId(self.below(6))),
        }
    }

    fn kind(&mut self) -> EventKind<'static> {
        let values = Values::new(&[]);
        let (site, task) = (self.site(), TaskId(self.below(9)));
        match self.below(6) {
            0 | 1 => return self.life(),
            2 => return self.future(),
            _ => {}
        }
        match self.below(20) {
            0..4 => EventKind::Region { site, duration: Ticks(self.number()), values },
            4..7 => EventKind::RegionBegin { site, values },
            7..10 => EventKind::End,
            10 => EventKind::EndValue { outcome: Outcome::Failed, values },
            11 => EventKind::EndDetached { open: self.open(), since: Ticks(self.number()) },
            12 => EventKind::Reopen { open: self.open(), since: Ticks(self.number()) },
            13 => EventKind::Counter { site, value: Value::F64(f64::from_bits(self.next())) },
            14 => {
                let name = Text::cut(b"task", 10);
                EventKind::TaskBegin { task, parent: TaskId(self.below(9)), name }
            }
            15 => EventKind::TaskEnd { task },
            16 => EventKind::TaskRun { task, duration: Ticks(self.number()) },
            17 => self.future(),
            18 => EventKind::TaskRunBegin { task },
            _ => {
                let (from, to) = (Ticks(self.number()), Ticks(self.number()));
                EventKind::Dropped { events: self.number(), ends: self.number(), from, to }
            }
        }
    }

    fn future(&mut self) -> EventKind<'static> {
        let values = Values::new(&[]);
        let (site, task, future) = (self.site(), TaskId(self.below(9)), FutureId(self.below(9)));
        let (stack, parent) = (StackId(self.below(4) as u32), FutureId(self.below(9)));
        match self.below(11) {
            0 => EventKind::FutureBegin { future, task, site, values },
            1 => EventKind::FutureSpawn { future, parent, task, site, stack },
            2 => {
                let outcome = Outcome::ALL[self.below(Outcome::ALL.len() as u64) as usize];
                EventKind::FutureEnd { future, outcome, values }
            }
            3 | 4 => EventKind::PollBegin { future },
            5 => EventKind::EndPoll { waits_at: stack },
            6 => EventKind::Wake { future, stack },
            7 => EventKind::Ready { future, since: Ticks(self.number()) },
            8 => EventKind::Unwakeable { future },
            9 => EventKind::TaskLink { task, trace: u128::MAX, span: self.next(), parent: 0 },
            _ => EventKind::Poll { future, waits_at: stack, duration: Ticks(self.number()) },
        }
    }

    fn call(&mut self) -> OpenCall {
        const CALLS: [CallId; 6] = [
            CallId::FUTEX_WAIT,
            CallId::FUTEX_WAKE,
            CallId::READ,
            CallId::CLOCK_NANOSLEEP,
            CallId::PTHREAD_COND_BROADCAST,
            CallId(255),
        ];
        OpenCall {
            call: CALLS[self.below(6) as usize],
            stack: StackId(self.below(4) as u32),
            resource: ResourceId(self.below(5) as u32),
        }
    }

    /// What is recorded without annotations, on the wrong lanes as on the right ones.
    fn life(&mut self) -> EventKind<'static> {
        let result = self.next() as i64 >> self.below(64);
        let (call, duration) = (self.call(), Ticks(self.number()));
        let (os_thread, stack) = (999 + self.below(6), StackId(self.below(4) as u32));
        let sample = SampleId(self.below(5));
        match self.below(12) {
            0 | 1 => EventKind::Call { call, result, duration },
            2 | 3 => EventKind::CallBegin { call },
            4 => EventKind::EndCall { result },
            5 => EventKind::SwitchIn { os_thread },
            6 | 7 => EventKind::SwitchOut { os_thread, preempted: self.below(2) == 0 },
            8 => EventKind::Fault { os_thread, address: self.number(), stack },
            9 => match self.below(3) {
                0 => EventKind::LostKernel { records: self.number() },
                _ => EventKind::Sample { os_thread, stack },
            },
            10 => EventKind::Alloc { sample, address: 1, bytes: self.number(), stack },
            _ => EventKind::Free { sample },
        }
    }

    /// A thread, or a CPU.
    fn lane(&mut self) -> ThreadId {
        match self.below(3) {
            0 => ThreadId::cpu(self.below(3) as u32),
            _ => ThreadId(self.below(4) as u32),
        }
    }

    fn trace(&mut self) -> Vec<u8> {
        let mut trace = TraceBuilder::started(Compression::None);
        for site in 1..=5 {
            trace.callsite(site, CallsiteKind::Function, "f");
        }
        if self.below(2) == 0 {
            (1..4).for_each(|thread| trace.thread(thread, "t"));
            trace.stack(1, &[1, 2]);
            trace.symbol(1, &[("std::sys::sync::mutex::futex::Mutex::lock_contended", "", 0)]);
            for (id, kind) in (1..).zip([ResourceKind::Address, ResourceKind::File]) {
                trace.resource(id, kind, self.number(), "");
            }
        }
        for _ in 0..self.below(30) {
            match self.below(8) {
                0 => self.define(&mut trace),
                _ => self.batch(&mut trace),
            }
        }
        if self.below(2) == 0 { trace.stop(self.below(1 << 40)) } else { trace.killed() }
    }

    fn define(&mut self, trace: &mut TraceBuilder) {
        let open = OpenSince { open: self.open(), begin: Ticks(self.number()) };
        let id = ThreadId(self.below(4) as u32);
        trace.define(&Definition::Generation { number: 2, ticks: Ticks(self.number()) });
        trace.define(&Definition::ThreadState {
            id,
            sequence: self.below(3) as u32,
            offset: self.below(3) as u32,
            more: self.below(2) == 0,
            open: vec![open; self.below(4) as usize],
        });
        trace.define(&Definition::Clock(ClockSnapshot {
            ticks: Ticks(self.number()),
            monotonic: Nanos(self.number()),
            wall: Nanos(self.number()),
        }));
        trace.define(&Definition::ThreadEnd {
            id,
            ended: true,
            ticks: Ticks(self.number()),
            events: self.number(),
            dropped_events: self.number(),
            dropped_ends: self.number(),
        });
    }

    fn batch(&mut self, trace: &mut TraceBuilder) {
        let base = Ticks(self.number());
        let (mut payload, mut clock) = (Vec::new(), base);
        let mut events = 0;
        if self.below(10) == 0 {
            payload = (0..self.below(100)).map(|_| self.next() as u8).collect();
        } else {
            for _ in 0..self.below(60) {
                let kind = self.kind();
                let at = clock.0.saturating_add(self.below(100));
                put_event(&mut payload, &mut clock, &Event { ticks: Ticks(at), kind });
                events += 1;
            }
        }
        let lie = self.below(10) == 0;
        let info = BatchInfo {
            kind: BatchKind::Events,
            thread: self.lane(),
            sequence: self.below(4) as u32,
            offset: if self.below(3) == 0 { self.below(200) as u32 } else { 0 },
            generation: self.below(4) as u32,
            base_ticks: base,
            last_ticks: if lie { Ticks(self.number()) } else { clock },
            events: if lie { self.next() as u32 } else { events },
            flags: if self.below(2) == 0 { FLAG_RESTATED } else { 0 },
        };
        trace.write_definitions();
        trace.batch(&info, &payload);
    }
}

#[test]
fn no_trace_makes_a_summary_panic_or_depend_on_the_workers() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..300 {
        let bytes = random.trace();
        let Ok(file) = TraceFile::open(bytes) else { continue };
        let one = Summary::read(&Trace::new(&file), |_| {});
        let many = Options { workers: 3, ..Options::default() };
        let many = Summary::read(&Trace::new(&file).with(many.clone()), |_| {});
        assert_eq!((many.events, many.batches, many.bytes), (one.events, one.batches, one.bytes));
        let (from, to) = (Some(Ticks(random.number())), Some(Ticks(random.number())));
        let threads = if random.below(2) == 0 { vec![ThreadId(1)] } else { vec![] };
        Summary::read(
            &Trace::new(&file).with(Options {
                from,
                to,
                threads: threads.into(),
                ..Options::default()
            }),
            |_| {},
        );
    }
}

/// Nothing goes on beyond the window, and a thread did not do more in it than there was time.
fn check_tasks(tasks: &AsyncTasks) {
    let wall = tasks.to.0 - tasks.from.0;
    for poll in &tasks.polls {
        assert!(poll.duration <= poll.begin.until(tasks.to), "{poll:?}");
        assert!(poll.activity.is_none_or(|it| it.times.total() <= poll.duration), "{poll:?}");
    }
    assert!(tasks.delays.iter().all(|delay| delay.duration.0 <= wall));
    for idle in tasks.waits.iter().flat_map(|group| &group.longest) {
        assert!(idle.inside.0 <= wall && idle.duration <= idle.begin.until(tasks.to), "{idle:?}");
    }
    for site in &tasks.sites {
        let ended = site.returned + site.failed + site.dropped + site.panicked + site.ended;
        assert!(site.alive <= site.alive_max && site.alive_max <= site.count, "{site:?}");
        assert!(ended <= site.count, "{site:?}");
    }
}

#[test]
fn no_trace_makes_a_life_panic_or_last_longer_than_its_states() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for _ in 0..600 {
        let bytes = random.trace();
        let Ok(file) = TraceFile::open(bytes) else { continue };
        let symbols = Symbols::of_trace(file.tables());
        let (from, to) = match random.below(2) {
            0 => (None, None),
            _ => (Some(Ticks(random.number())), Some(Ticks(random.number()))),
        };
        let options = Options { from, to, ..Options::default() };
        let wanted = Wanted { async_tasks: true, heap: true, ..Wanted::default() };
        let trace = Trace::new(&file).named(&symbols).with(options);
        let mut report = Report::read(&trace, wanted, |_| {});
        check_tasks(&report.async_tasks.take().unwrap_or_default());
        for life in &report.lives.threads {
            assert_eq!(life.times.total().0, life.end.0 - life.begin.0);
        }
        report.heap = Some(Heap::read(&file, &HeapOptions { from, at: to, to: None }, |_| {}));
        assert!(explain(&trace, &report).len() < 40, "few findings");
        ProfileKind::ALL.iter().for_each(|kind| drop(report.lives.profile(*kind)));
    }
}
