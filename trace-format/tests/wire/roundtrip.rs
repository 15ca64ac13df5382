//! Properties: what was encoded is what is decoded, in every form; any bytes are survived.

use crate::common::{in_order, in_order_by_steps, stream};
use proptest::prelude::*;
use trace_format::batch::Compression;
use trace_format::definition::{
    Definition, Definitions, FoundBy, Function, ResourceKind, StackFlags, put_definition,
};
use trace_format::event::{Event, EventKind, Events, Outcome, put_event};
use trace_format::id::{
    CallId, FutureId, Open, OpenCall, ResourceId, SampleId, SiteId, StackId, TaskId, ThreadId,
};
use trace_format::read::{BatchReader, Clock, ClockCursor, Tables, TraceFile, Window};
use trace_format::testgen::{TraceBuilder, everything, tight_loops, value_bytes};
use trace_format::text::{from_text, to_text};
use trace_format::time::{ClockSnapshot, Nanos, Ticks};
use trace_format::value::{Text, Value, Values, put_stack};

const ALL: Window = Window { from: None, to: None, thread: None };

/// How many kinds of events the seeds make; those from the second on are of CPUs.
const KINDS: u8 = 33;
const CPU_KINDS_FROM: u8 = 22;

/// Bytes that events borrow; the events are made from the numbers beside them.
#[derive(Clone, Debug)]
struct Seed {
    which: u8,
    gap: u64,
    ids: [u64; 3],
    duration: u64,
    text: Vec<u8>,
    more: u16,
    values: Vec<(u8, u64)>,
}

fn seeds() -> impl Strategy<Value = Vec<Seed>> {
    let small = || prop_oneof![4 => 0_u64..300, 1 => 0_u64..1 << 40];
    let values = prop::collection::vec((any::<u8>(), any::<u64>()), 0..5);
    let text = prop::collection::vec(any::<u8>(), 0..20);
    let all = (any::<u8>(), small(), [small(), small(), small()], small(), text, 0..9_u16, values);
    let seed = all.prop_map(|(which, gap, ids, duration, text, more, values)| Seed {
        which,
        gap,
        ids,
        duration,
        text,
        more,
        values,
    });
    prop::collection::vec(seed, 0..60)
}

fn value<'t>(which: u8, number: u64, text: Text<'t>) -> Value<'t> {
    match which % 12 {
        0 => Value::None,
        1 => Value::U64(number),
        2 => Value::I64(number as i64),
        3 => Value::F64(f64::from_bits(number)),
        4 => Value::Bool(number.is_multiple_of(2)),
        5 => Value::Char(char::from_u32((number % 0xd800) as u32).expect("below the gap")),
        6 => Value::Str(text),
        7 => Value::Bytes(text),
        8 => Value::Formatted(text),
        9 => Value::U128(u128::from(number) << 64 | 1),
        _ => Value::I128(-i128::from(number) - 1),
    }
}

impl Seed {
    fn text(&self) -> Text<'_> {
        let bytes_before = self.text.len() as u64 + u64::from(self.more);
        Text { bytes: &self.text, bytes_before }
    }

    fn values(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.more == 1 {
            put_stack(&mut bytes, self.stack());
        }
        let values = self.values.iter().map(|it| value(it.0, it.1, self.text()));
        bytes.extend(value_bytes(&values.collect::<Vec<_>>()));
        bytes
    }

    fn stack(&self) -> StackId {
        StackId(self.duration as u32 & StackId::MAX.0)
    }

    fn call(&self) -> OpenCall {
        let resource = ResourceId(self.ids[0] as u32 & ResourceId::MAX.0);
        OpenCall { call: CallId(self.ids[1] as u8), stack: self.stack(), resource }
    }

    fn is_of_a_cpu(&self) -> bool {
        (CPU_KINDS_FROM..CPU_KINDS_FROM + 5).contains(&(self.which % KINDS))
    }

    fn kind<'t>(&'t self, ticks: u64, values: &'t [u8]) -> EventKind<'t> {
        let [a, b, c] = self.ids;
        let (site, values) = (SiteId(a as u32), Values::new(values));
        let (task, parent, future) = (TaskId(b), TaskId(c), FutureId(c));
        let (duration, since) = (Ticks(self.duration), Ticks(self.duration.min(ticks)));
        let outcome = Outcome::ALL[c as usize % 5];
        let opens = [Open::Region(site), Open::Poll(future), Open::Task(task)];
        let open = *opens.get(c as usize % 4).unwrap_or(&Open::Call(self.call()));
        match self.which % KINDS {
            0 => EventKind::Region { site, duration, values },
            1 => EventKind::RegionBegin { site, values },
            2 => EventKind::Poll { future, waits_at: self.stack(), duration },
            3 => EventKind::PollBegin { future },
            4 => EventKind::TaskRun { task, duration },
            5 => EventKind::TaskRunBegin { task },
            6 => EventKind::End,
            7 => EventKind::EndValue { outcome, values },
            8 => EventKind::EndDetached { open, since },
            9 => EventKind::Instant { site, values },
            10 => EventKind::Log { site, text: self.text() },
            11 => EventKind::Counter { site, value: value(b as u8, c, self.text()) },
            12 => EventKind::TaskBegin { task, parent, name: self.text() },
            13 => EventKind::TaskBeginSite { task, parent, site, values },
            14 => EventKind::TaskEnd { task },
            15 => EventKind::FutureBegin { future, task, site, values },
            16 => EventKind::FutureEnd { future, outcome, values },
            _ => self.kind_of_system(),
        }
    }

    fn kind_of_system(&self) -> EventKind<'static> {
        let [a, b, c] = self.ids;
        let (call, stack, sample) = (self.call(), self.stack(), SampleId(a));
        let result = self.values.first().map_or(-1, |it| it.1 as i64);
        match self.which % KINDS {
            17 => EventKind::Call { call, result, duration: Ticks(self.duration) },
            18 => EventKind::CallBegin { call },
            19 => EventKind::EndCall { result },
            20 => EventKind::Alloc { sample, address: b, bytes: c, stack },
            21 => EventKind::Free { sample },
            CPU_KINDS_FROM => EventKind::SwitchIn { os_thread: a },
            23 => EventKind::SwitchOut { os_thread: a, preempted: b.is_multiple_of(2) },
            24 => EventKind::Sample { os_thread: a, stack },
            25 => EventKind::Fault { os_thread: a, address: b, stack },
            26 => EventKind::LostKernel { records: a },
            _ => self.kind_of_async(),
        }
    }

    fn kind_of_async(&self) -> EventKind<'static> {
        let [a, b, c] = self.ids;
        let (future, stack, since) = (FutureId(c), self.stack(), Ticks(self.duration));
        match self.which % KINDS {
            27 => {
                let (parent, task, site) = (FutureId(a), TaskId(b), SiteId(a as u32));
                EventKind::FutureSpawn { future, parent, task, site, stack }
            }
            28 => EventKind::Wake { future, stack },
            29 => EventKind::EndPoll { waits_at: stack },
            30 => EventKind::Ready { future, since },
            31 => EventKind::Unwakeable { future },
            _ => {
                let trace = u128::from(b) << 64 | u128::from(c);
                EventKind::TaskLink { task: TaskId(a), trace, span: b, parent: c }
            }
        }
    }

    /// A definition of what is recorded without annotations.
    fn definition<'t>(&'t self, values: &'t [u8]) -> Definition<'t> {
        let [a, b, c] = self.ids;
        let (id, ticks, name) = (ThreadId(a as u32), Ticks(b), self.text.as_slice());
        let (stack, on) = (self.stack(), a.is_multiple_of(2));
        match self.which % 11 {
            0 => Definition::ThreadName { id, ticks, name },
            1 => Definition::Module { first: a, last: b, bias: c, build_id: values, path: name },
            2 => {
                let by = FoundBy::ALL[b as usize % 4];
                let addresses = self.values.iter().map(|it| it.1).collect();
                Definition::Stack { id: stack, flags: StackFlags { cut: on, by }, addresses }
            }
            3 => {
                let kind = ResourceKind::ALL[b as usize % ResourceKind::ALL.len()];
                Definition::Resource { id: self.call().resource, kind, value: c, name }
            }
            4 => {
                let function = |it: &(u8, u64)| Function { name, file: values, line: it.1 as u32 };
                let functions = self.values.iter().map(function).collect();
                Definition::Symbol { address: a, functions }
            }
            5 => Definition::Facility { name, on, note: values },
            6 => Definition::Heap {
                ticks,
                live_bytes: a,
                live_allocations: b,
                allocated_bytes: c,
                allocations: self.gap,
                sample_bytes: self.duration,
            },
            7 => Definition::FutureState {
                id: FutureId(a),
                parent: FutureId(b),
                task: TaskId(c),
                site: SiteId(a as u32),
                begin: ticks,
                spawned: on,
                waits_at: stack,
                since: Ticks(self.duration),
            },
            8 => Definition::Stopped { from: ticks, to: Ticks(c), suspended: Nanos(a) },
            9 => Definition::ThreadTime { id, ticks, cpu: Nanos(a), ready: on.then_some(Nanos(c)) },
            _ => {
                let (parent, first) = (ThreadId(c as u32 % 2), ticks);
                let stack = if on { stack } else { StackId(0) };
                let entry = self.duration % 2;
                Definition::Thread { id, os_id: a, name, first, parent, stack, entry }
            }
        }
    }
}

/// Threads, batches and generations as the seeds' numbers say.
fn build(seeds: &[Seed], compression: Compression) -> Vec<u8> {
    let mut trace = TraceBuilder::started(compression);
    let lanes = [1, 2, 3, ThreadId::cpu(0).0];
    let mut clocks = [1_000_u64; 4];
    for seed in seeds {
        let at = if seed.is_of_a_cpu() { 3 } else { seed.ids[2] as usize % 3 };
        let ticks = clocks[at] + seed.gap;
        let values = seed.values();
        trace.event(lanes[at], ticks, seed.kind(ticks, &values));
        clocks[at] = ticks + seed.duration;
        match seed.which / KINDS {
            0 => trace.cut(lanes[at]),
            1 => trace.seal(lanes[at]),
            2 => {
                let now = clocks.into_iter().max().expect("four");
                trace.generation(now);
            }
            3 => trace.define(&seed.definition(&values)),
            _ => {}
        }
    }
    trace.stop(1 << 50)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_encoded_is_what_is_decoded(seeds in seeds(), base in 0..1_u64 << 50) {
        let all_values: Vec<Vec<u8>> = seeds.iter().map(Seed::values).collect();
        let (mut payload, mut clock, mut expected) = (Vec::new(), Ticks(base), Vec::new());
        for (seed, values) in seeds.iter().zip(&all_values) {
            let ticks = Ticks(clock.0 + seed.gap);
            let event = Event { ticks, kind: seed.kind(ticks.0, values) };
            put_event(&mut payload, &mut clock, &event);
            expected.push(format!("{event:?}"));
        }
        let mut events = Events::new(ThreadId(1), Ticks(base), &payload);
        let found: Vec<String> =
            events.by_ref().map(|event| format!("{:?}", event.expect("an event"))).collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(events.now(), clock);
        let mut walked = 0;
        Events::new(ThreadId(1), Ticks(base), &payload).walk(|_| walked += 1).expect("events");
        prop_assert_eq!(walked, seeds.len());
    }

    #[test]
    fn definitions_come_back(seeds in seeds()) {
        let all_values: Vec<Vec<u8>> = seeds.iter().map(Seed::values).collect();
        let definitions: Vec<Definition<'_>> =
            seeds.iter().zip(&all_values).map(|(seed, values)| seed.definition(values)).collect();
        let mut payload = Vec::new();
        definitions.iter().for_each(|definition| put_definition(&mut payload, definition));
        let mut found = Definitions::new(&payload);
        let mut tables = Tables::default();
        for definition in &definitions {
            let found = found.next();
            prop_assert_eq!(found.as_ref(), Some(definition));
            tables.apply(definition);
        }
        prop_assert_eq!(found.rest(), 0);
        for (first, module) in &tables.modules {
            let inside = first..&module.last;
            prop_assert!(inside.is_empty() || tables.module_at(*first).is_some());
        }
        for thread in tables.threads.values() {
            prop_assert!(thread.names.is_sorted_by_key(|name| name.0));
        }
    }

    #[test]
    fn text_gives_back_the_bytes(seeds in seeds()) {
        for compression in [Compression::None, Compression::Lz4] {
            let bytes = build(&seeds, compression);
            let text = to_text(&bytes);
            prop_assert!(from_text(&text).expect("own text") == bytes, "{}", text);
        }
    }

    #[test]
    fn order_and_stream_have_the_same_events(seeds in seeds()) {
        let bytes = build(&seeds, Compression::None);
        let mut streamed = stream(&bytes);
        let ordered = in_order(&bytes, ALL);
        prop_assert_eq!(&ordered.faults, &[""; 0]);
        prop_assert_eq!(&ordered.events, &in_order_by_steps(&bytes, ALL).events);
        streamed.events.retain(|event| !event.is_reopen());
        streamed.events.sort_by_key(|event| (event.ticks, event.thread));
        prop_assert_eq!(&ordered.events, &streamed.events);
    }

    #[test]
    fn any_bytes_are_survived(
        seeds in seeds(),
        at in any::<prop::sample::Index>(),
        noise in prop::collection::vec(any::<u8>(), 0..200),
        keep in any::<bool>(),
    ) {
        let mut bytes = build(&seeds, Compression::Lz4);
        let at = at.index(bytes.len());
        let end = if keep { (at + noise.len()).min(bytes.len()) } else { at };
        bytes.splice(at..end, noise);
        let (outcome, steps) = (in_order(&bytes, ALL), in_order_by_steps(&bytes, ALL));
        prop_assert!(outcome.events == steps.events);
        prop_assert!(outcome.events.is_sorted_by_key(|event| event.ticks));
        stream(&bytes);
        prop_assert!(!to_text(&bytes).is_empty());
    }

    #[test]
    fn any_payload_is_survived(payload in prop::collection::vec(any::<u8>(), 0..300), base: u64) {
        let mut events = Events::new(ThreadId(1), Ticks(base), &payload);
        let mut before = base;
        for Event { ticks, kind } in events.by_ref().flatten() {
            prop_assert!(ticks.0 >= before);
            before = ticks.0;
            let printed = format!("{kind:?}");
            prop_assert!(!printed.is_empty());
        }
        prop_assert!(events.next().is_none());
        Definitions::new(&payload).for_each(drop);
    }

    #[test]
    fn clocks_never_run_backwards(
        snapshots in prop::collection::vec((any::<u64>(), any::<u64>()), 0..6),
        mut times in prop::collection::vec(any::<u64>(), 1..20),
        duration: u64,
    ) {
        let mut clock = Clock::default();
        for &(ticks, monotonic) in &snapshots {
            let (ticks, monotonic) = (Ticks(ticks), Nanos(monotonic));
            clock.add(ClockSnapshot { ticks, monotonic, wall: monotonic });
        }
        times.extend(snapshots.iter().flat_map(|it| [it.0, it.0.saturating_add(1)]));
        times.sort_unstable();
        let nanos = times.iter().map(|&ticks| clock.nanos(Ticks(ticks)));
        prop_assert!(nanos.is_sorted());
        prop_assert!(times.iter().map(|&ticks| clock.signed_nanos(Ticks(ticks))).is_sorted());
        // From line to line and back.
        let cursor = ClockCursor::new(&clock);
        for &ticks in times.iter().chain(times.iter().rev()) {
            prop_assert_eq!(cursor.nanos(Ticks(ticks)), clock.nanos(Ticks(ticks)));
        }
        prop_assert!(clock.drift_ppm() >= 0.0 && clock.frequency_hz() > 0.0);
        for &time in &times {
            let end = Ticks(time.saturating_add(duration));
            let bound = clock.nanos(end).0 - clock.nanos(Ticks(time)).0;
            prop_assert!(clock.duration(Ticks(time), Ticks(duration)).0 >= bound);
            prop_assert!(clock.wall(end) >= clock.wall(Ticks(time)) || snapshots.len() > 1);
            let ticks = clock.ticks(Nanos(time));
            prop_assert!(ticks.0 == u64::MAX || clock.nanos(ticks).0 >= time);
            prop_assert!(ticks.0 == 0 || clock.nanos(Ticks(ticks.0 - 1)).0 < time);
        }
    }
}

#[test]
fn text_gives_back_whole_files() {
    for compression in [Compression::None, Compression::Lz4] {
        for bytes in [everything(compression), tight_loops(3, 3_000, compression)] {
            assert!(from_text(&to_text(&bytes)).expect("own text") == bytes);
        }
    }
}

#[test]
fn an_index_of_many_parts_is_read_whole() {
    let mut trace = TraceBuilder::started(Compression::None);
    for at in 0..10_000 {
        trace.region(1, 1, 1_000 + 10 * at, 5);
        trace.cut(1);
    }
    let bytes = trace.stop(1 << 30);
    let file = TraceFile::open(bytes.as_slice()).expect("a trace");
    assert!(file.faults().is_empty() && file.index().len() > 10_000);
    let mut reader = BatchReader::new(bytes.as_slice()).expect("a trace");
    let mut offsets = Vec::new();
    while let Some(batch) = reader.next_batch() {
        let batch = batch.expect("whole");
        let listed = batch.header.kind != trace_format::header::BatchKind::Index;
        offsets.extend(listed.then_some(batch.offset));
    }
    assert!(file.index().iter().map(|entry| entry.offset).eq(offsets));
    assert!(from_text(&to_text(&bytes)).expect("own text") == bytes);
}

#[test]
fn a_clock_is_linear_between_snapshots_and_beyond() {
    let mut clock = Clock::default();
    assert!(!clock.is_known());
    assert_eq!(clock.nanos(Ticks(5)), Nanos(5));
    for (ticks, nanos) in [(1_000, 500_000), (4_000, 501_000), (10_000, 505_000)] {
        let (ticks, monotonic, wall) = (Ticks(ticks), Nanos(nanos), Nanos(nanos + 7));
        clock.add(ClockSnapshot { ticks, monotonic, wall });
    }
    // Neither of these can be: earlier than the last on one clock or on both.
    clock.add(ClockSnapshot { ticks: Ticks(9_000), monotonic: Nanos(600_000), wall: Nanos(0) });
    clock.add(ClockSnapshot { ticks: Ticks(11_000), monotonic: Nanos(400_000), wall: Nanos(0) });
    assert!(clock.is_known() && clock.rejected() == 2);
    let nanos = |ticks| clock.nanos(Ticks(ticks)).0;
    assert_eq!([nanos(0), nanos(1_000), nanos(2_500)], [0, 0, 499]);
    assert_eq!([nanos(4_000), nanos(7_000), nanos(10_000)], [1_000, 2_999, 5_000]);
    assert_eq!(nanos(13_000), 6_999, "as between the last two");
    assert_eq!(clock.signed_nanos(Ticks(400)), -199);
    assert_eq!(clock.duration(Ticks(2_500), Ticks(3_000)), Nanos(1_500));
    assert_eq!(clock.wall(Ticks(4_000)), Nanos(501_007));
    assert_eq!(clock.ticks(Nanos(1_000)), Ticks(4_000));
}
