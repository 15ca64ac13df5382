//! A flight recorder's file, whatever has become of it, gives a trace, or nothing.

use proptest::prelude::*;
use trace_format::batch::BatchInfo;
use trace_format::definition::{Definition, put_definition};
use trace_format::event::{Event, EventKind, put_event};
use trace_format::header::{BatchKind, FLAG_RESTATED};
use trace_format::id::{FutureId, SiteId, StackId, TaskId, ThreadId};
use trace_format::read::{TraceFile, Window};
use trace_format::survive::ring::{END, HEADER_BYTES, RingHeader, TABLE_HEADER_BYTES, unwind};
use trace_format::time::{ClockSnapshot, Nanos, Ticks};
use trace_format::value::Value;

/// Events in a generation of these files.
const EVENTS: u32 = 40;

/// A file as the recorder would write it.
struct Made {
    header: RingHeader,
    bytes: Vec<u8>,
    table_end: usize,
    log_end: usize,
}

impl Made {
    fn new(bytes: u64) -> Self {
        let header = RingHeader::divide(bytes, 7);
        let mut made = vec![0; header.bytes() as usize];
        made[..HEADER_BYTES].copy_from_slice(&header.encode());
        let mut made = Self { header, bytes: made, table_end: TABLE_HEADER_BYTES, log_end: 0 };
        made.number(0, 1);
        let thread = Definition::Thread {
            id: ThreadId(1),
            os_id: 11,
            name: b"worker",
            first: Ticks(0),
            parent: ThreadId(0),
            stack: StackId(0),
            entry: 0,
        };
        made.names(&[thread, clock(1_000)]);
        made
    }

    fn number(&mut self, table: u64, number: u64) {
        let at = self.header.table_at(table) as usize;
        self.bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
    }

    fn put(&mut self, at: usize, info: &BatchInfo, payload: &[u8]) -> usize {
        let all = [&info.header(payload), payload, &END].concat();
        self.bytes[at..at + all.len()].copy_from_slice(&all);
        all.len() - END.len()
    }

    fn names(&mut self, definitions: &[Definition<'_>]) {
        self.names_in(1, definitions);
    }

    fn names_in(&mut self, generation: u32, definitions: &[Definition<'_>]) {
        let (info, payload) = defined(generation, definitions);
        let at = self.header.table_at(0) as usize + self.table_end;
        self.table_end += self.put(at, &info, &payload);
    }

    fn log(&mut self, info: &BatchInfo, payload: &[u8]) {
        let needed = info.header(payload).len() + payload.len() + END.len();
        let (at, bytes) = (self.header.log_at() as usize, self.header.log_bytes as usize);
        if self.log_end + needed > bytes {
            self.bytes[at + self.log_end..at + bytes].fill(0);
            self.log_end = 0;
        }
        self.log_end += self.put(at + self.log_end, info, payload);
    }

    /// A generation: its begin, and a batch of a thread's.
    fn generation(&mut self, number: u32) {
        let begin = u64::from(number) * 10_000;
        let generation = Definition::Generation { number, ticks: Ticks(begin) };
        let (info, payload) = defined(number, &[generation, clock(begin)]);
        self.log(&info, &payload);
        let (mut payload, mut now) = (Vec::new(), Ticks(begin));
        for n in 1..=EVENTS {
            let kind = EventKind::Counter { site: SiteId(1), value: Value::F64(n.into()) };
            put_event(&mut payload, &mut now, &Event { ticks: Ticks(begin + u64::from(n)), kind });
        }
        let info = BatchInfo {
            kind: BatchKind::Events,
            thread: ThreadId(1),
            sequence: number,
            offset: 0,
            generation: number,
            base_ticks: Ticks(begin),
            last_ticks: now,
            events: EVENTS,
            flags: FLAG_RESTATED,
        };
        self.log(&info, &payload);
    }
}

fn clock(ticks: u64) -> Definition<'static> {
    let nanos = Nanos(ticks * 2);
    Definition::Clock(ClockSnapshot { ticks: Ticks(ticks), monotonic: nanos, wall: nanos })
}

fn defined(generation: u32, definitions: &[Definition<'_>]) -> (BatchInfo, Vec<u8>) {
    let mut payload = Vec::new();
    definitions.iter().for_each(|definition| put_definition(&mut payload, definition));
    let info = BatchInfo {
        kind: BatchKind::Definitions,
        thread: ThreadId(0),
        sequence: 0,
        offset: 0,
        generation,
        base_ticks: Ticks(0),
        last_ticks: Ticks(0),
        events: definitions.len() as u32,
        flags: 0,
    };
    (info, payload)
}

/// A file of 32 KiB that has seen so many generations.
fn made(generations: u32) -> Made {
    let mut made = Made::new(32 << 10);
    (1..=generations).for_each(|number| made.generation(number));
    made
}

/// The times of all events of a trace without faults.
fn times(trace: &[u8]) -> Vec<u64> {
    let file = TraceFile::open(trace).expect("a trace");
    let is_fault = |kind: &trace_format::read::ReadErrorKind| {
        !matches!(kind, trace_format::read::ReadErrorKind::Truncated)
    };
    assert!(!file.faults().iter().any(|fault| is_fault(&fault.kind)), "{:?}", file.faults());
    let (mut times, mut order) = (Vec::new(), file.in_order(Window::default()));
    while let Some(event) = order.next_event() {
        times.push(event.expect("no fault").event.ticks.0);
    }
    times
}

#[test]
fn what_was_written_last_is_there_in_order() {
    for generations in (1..200).step_by(7) {
        let trace = unwind(&made(generations).bytes).expect("it is one");
        let times = times(&trace);
        assert!(times.is_sorted(), "{generations}");
        let last = u64::from(generations) * 10_000 + u64::from(EVENTS);
        assert_eq!(times.last(), Some(&last), "{generations}");
        let first = times[0] / 10_000;
        let whole = (u64::from(generations) - first + 1) * u64::from(EVENTS);
        assert_eq!(times.len() as u64, whole, "no generation in between is missing");
        assert!(first == 1 || whole * 16 > 18_000, "most of the log is of use: {whole}");
        let file = TraceFile::open(trace.as_slice()).expect("a trace");
        assert_eq!(file.tables().thread_name(ThreadId(1)), "worker");
        let clock = &file.tables().clock;
        assert!((clock.frequency_hz() - 5e8).abs() < 1.0, "{}", clock.frequency_hz());
        assert!(clock.origin().ticks.0 <= times[0]);
    }
}

#[test]
fn the_table_with_the_higher_number_holds() {
    let mut file = made(3);
    // The other one is being written.
    file.number(1, 0);
    assert_eq!(times(&unwind(&file.bytes).expect("it is one")).len(), 3 * EVENTS as usize);
    // And holds, though it has no names.
    file.number(1, 2);
    let trace = unwind(&file.bytes).expect("it is one");
    assert_eq!(times(&trace).len(), 3 * EVENTS as usize);
    let trace = TraceFile::open(trace.as_slice()).expect("a trace");
    assert_eq!(trace.tables().threads[&ThreadId(1)].name, "", "events without a name are kept");
}

fn future(id: u64) -> Definition<'static> {
    Definition::FutureState {
        id: FutureId(id),
        parent: FutureId(0),
        task: TaskId(0),
        site: SiteId(1),
        begin: Ticks(id),
        spawned: true,
        waits_at: StackId(0),
        since: Ticks(id),
    }
}

#[test]
fn a_future_of_a_generation_whose_events_are_gone_is_old() {
    let is_old = |file: &Made| {
        let trace = unwind(&file.bytes).expect("it is one");
        let trace = TraceFile::open(trace.as_slice()).expect("a trace");
        let first = times(&unwind(&file.bytes).expect("it is one"))[0] / 10_000;
        let futures = &trace.tables().futures;
        assert_eq!(trace.tables().thread_name(ThreadId(1)), "worker", "names are not old");
        (first, futures.values().map(|it| (it.id.0, it.is_old)).collect::<Vec<_>>())
    };
    // Nothing is gone yet.
    let mut file = Made::new(32 << 10);
    file.names_in(1, &[future(1)]);
    (1..=3).for_each(|number| file.generation(number));
    file.names_in(2, &[future(2)]);
    assert_eq!(is_old(&file), (1, vec![(1, false), (2, false)]));
    // The log has gone round.
    let mut file = Made::new(32 << 10);
    file.names_in(1, &[future(1), future(2)]);
    (1..=200).for_each(|number| file.generation(number));
    let (first, _) = is_old(&file);
    file.names_in(first as u32, &[future(2), future(3)]);
    file.names_in(first as u32 + 1, &[future(3), future(4)]);
    let expected = vec![(1, true), (2, true), (3, false), (4, false)];
    assert_eq!(is_old(&file), (first, expected));
}

#[test]
fn other_files_are_none() {
    assert_eq!(unwind(b""), None);
    assert_eq!(unwind(&trace_format::header::FileHeader::CURRENT.encode()), None);
    let mut file = made(3).bytes;
    file[20] ^= 1;
    assert_eq!(unwind(&file), None, "its header is damaged");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_write_that_was_cut_short_loses_what_it_was_about(
        at in 0..60_000_usize,
        bytes in 1..400_usize,
    ) {
        let mut file = made(90).bytes;
        let at = HEADER_BYTES + at % (file.len() - HEADER_BYTES);
        let end = (at + bytes).min(file.len());
        file[at..end].fill(0xa5);
        let trace = unwind(&file).expect("its header is whole");
        let trace = TraceFile::open(trace.as_slice()).expect("a trace, as far as it goes");
        let (mut count, mut order) = (0, trace.in_order(Window::default()));
        while let Some(event) = order.next_event() {
            count += usize::from(event.is_ok());
        }
        prop_assert!(count > 20 * EVENTS as usize, "{} of it are left", count);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..9_000)) {
        let mut file = made(2).bytes;
        let at = HEADER_BYTES.min(file.len());
        let end = (at + bytes.len()).min(file.len());
        file[at..end].copy_from_slice(&bytes[..end - at]);
        if let Some(trace) = unwind(&file) {
            prop_assert!(TraceFile::open(trace.as_slice()).is_ok());
        }
    }

    #[test]
    fn a_file_that_is_cut_gives_what_is_left(cut in 0..32_768_usize) {
        let file = made(90).bytes;
        if let Some(trace) = unwind(&file[..cut.min(file.len())]) {
            prop_assert!(TraceFile::open(trace.as_slice()).is_ok());
        }
    }
}
