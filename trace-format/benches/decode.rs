//! How fast traces are read, on one core and on all: events per second, in memory and from a file.
//!
//! `cargo bench -p trace-format`. The trace is the reader's worst case per byte and its goal's
//! measure: tight loops of short regions, 3 to 4 bytes each, by four threads.

#![allow(missing_docs, reason = "a bench has no readers of its docs")]

use std::fs::File;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use trace_format::batch::Compression;
use trace_format::event::EventKind;
use trace_format::read::{BatchBuffer, BatchReader, TraceFile, Window};
use trace_format::testgen::tight_loops;

const THREADS: u32 = 4;
const EVENTS_PER_THREAD: u32 = 2_000_000;
const EVENTS: u64 = THREADS as u64 * EVENTS_PER_THREAD as u64;

static PLAIN: LazyLock<Vec<u8>> =
    LazyLock::new(|| tight_loops(THREADS, EVENTS_PER_THREAD, Compression::None));
static LZ4: LazyLock<Vec<u8>> =
    LazyLock::new(|| tight_loops(THREADS, EVENTS_PER_THREAD, Compression::Lz4));

fn main() {
    divan::main();
}

fn bytes(compression: Compression) -> &'static [u8] {
    if compression == Compression::Lz4 { &LZ4 } else { &PLAIN }
}

fn counted<'a, 'b>(bencher: Bencher<'a, 'b>, trace: &[u8]) -> Bencher<'a, 'b> {
    bencher.counter(ItemsCount::new(EVENTS)).counter(BytesCount::new(trace.len()))
}

/// What a summary does at least: looks at each event's site and duration.
#[derive(Default)]
struct Sums {
    count: u64,
    ticks: u64,
    sites: u64,
}

impl Sums {
    #[inline(always)]
    fn add(&mut self, kind: EventKind<'_>) {
        self.count += 1;
        if let EventKind::Region { site, duration, .. } = kind {
            self.ticks += duration.0;
            self.sites ^= u64::from(site.0);
        }
    }
}

#[divan::bench(args = [Compression::None, Compression::Lz4])]
fn raw_walk(bencher: Bencher<'_, '_>, compression: Compression) {
    let file = TraceFile::open(bytes(compression)).expect("it is a trace");
    let mut buffer = BatchBuffer::default();
    counted(bencher, bytes(compression)).bench_local(|| {
        let mut sums = Sums::default();
        for entry in file.index() {
            let batch = file.load(entry, &mut buffer).expect("it is whole");
            if entry.thread.0 != 0 {
                batch.events().walk(|event| sums.add(event.kind)).expect("they are events");
            }
        }
        assert_eq!(sums.count, EVENTS);
        black_box((sums.ticks, sums.sites))
    });
}

#[divan::bench]
fn raw_iterator(bencher: Bencher<'_, '_>) {
    let file = TraceFile::open(PLAIN.as_slice()).expect("it is a trace");
    let mut buffer = BatchBuffer::default();
    counted(bencher, &PLAIN).bench_local(|| {
        let mut sums = Sums::default();
        for entry in file.index() {
            let batch = file.load(entry, &mut buffer).expect("it is whole");
            if entry.thread.0 != 0 {
                batch.events().for_each(|event| sums.add(event.expect("an event").kind));
            }
        }
        assert_eq!(sums.count, EVENTS);
        black_box((sums.ticks, sums.sites))
    });
}

#[divan::bench]
fn load_only(bencher: Bencher<'_, '_>) {
    let file = TraceFile::open(PLAIN.as_slice()).expect("it is a trace");
    let mut buffer = BatchBuffer::default();
    counted(bencher, &PLAIN).bench_local(|| {
        let load = |entry| file.load(entry, &mut buffer).expect("it is whole").payload.len();
        file.index().iter().map(load).sum::<usize>()
    });
}

#[divan::bench]
fn streamed_from_a_file(bencher: Bencher<'_, '_>) {
    let path = std::env::temp_dir().join(format!("exectrace-decode-{}", std::process::id()));
    std::fs::write(&path, PLAIN.as_slice()).expect("there is room");
    counted(bencher, &PLAIN).bench_local(|| {
        let mut sums = Sums::default();
        let mut reader = BatchReader::new(File::open(&path).expect("it is there")).expect("whole");
        while let Some(batch) = reader.next_batch() {
            let batch = batch.expect("it is whole");
            if batch.header.thread.0 != 0 {
                batch.events().walk(|event| sums.add(event.kind)).expect("they are events");
            }
        }
        assert_eq!(sums.count, EVENTS);
        black_box((sums.ticks, sums.sites))
    });
    std::fs::remove_file(&path).expect("it is there");
}

#[divan::bench]
fn in_order_visitor(bencher: Bencher<'_, '_>) {
    let file = TraceFile::open(PLAIN.as_slice()).expect("it is a trace");
    counted(bencher, &PLAIN).bench_local(|| {
        let mut sums = Sums::default();
        let mut order = file.in_order(Window::default());
        let end = order.for_each(|timed| {
            sums.add(timed.event.kind);
            ControlFlow::Continue(())
        });
        assert_eq!(end.expect("it is whole"), ControlFlow::Continue(()));
        assert_eq!(sums.count, EVENTS);
        black_box((sums.ticks, sums.sites))
    });
}

#[divan::bench]
fn in_order_next_event(bencher: Bencher<'_, '_>) {
    let file = TraceFile::open(PLAIN.as_slice()).expect("it is a trace");
    counted(bencher, &PLAIN).bench_local(|| {
        let mut sums = Sums::default();
        let mut order = file.in_order(Window::default());
        while let Some(timed) = order.next_event() {
            sums.add(timed.expect("it is whole").event.kind);
        }
        assert_eq!(sums.count, EVENTS);
        black_box((sums.ticks, sums.sites))
    });
}

#[divan::bench(args = [1, 2])]
fn by_workers(bencher: Bencher<'_, '_>, workers: usize) {
    let file = TraceFile::open(PLAIN.as_slice()).expect("it is a trace");
    let shares = file.shares(workers, true);
    counted(bencher, &PLAIN).bench_local(|| {
        std::thread::scope(|scope| {
            let mut workers = Vec::new();
            for share in &shares {
                workers.push(scope.spawn(|| walk_share(&file, share)));
            }
            let count = |worker: std::thread::ScopedJoinHandle<'_, u64>| worker.join().expect("ok");
            assert_eq!(workers.into_iter().map(count).sum::<u64>(), EVENTS);
        });
    });
}

fn walk_share(file: &TraceFile<&[u8]>, share: &[trace_format::index::IndexEntry]) -> u64 {
    let (mut sums, mut buffer) = (Sums::default(), BatchBuffer::default());
    for entry in share {
        let batch = file.load(entry, &mut buffer).expect("it is whole");
        batch.events().walk(|event| sums.add(event.kind)).expect("they are events");
    }
    black_box((sums.ticks, sums.sites));
    sums.count
}
