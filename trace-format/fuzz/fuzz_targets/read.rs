//! Any bytes, through every way of reading: no panic, no hang, no runaway memory, time in order.
//!
//! Checksums keep random bytes out of everything behind them, so the bytes are read twice: as they
//! are, and as a recipe of batches whose headers and checksums are right, if not their contents.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trace_format::batch::{BatchInfo, Compression, FileEncoder};
use trace_format::definition::{Definition, FRAMES_MAX, Function};
use trace_format::event::Event;
use trace_format::header::{BatchKind, FILE_HEADER_BYTES};
use trace_format::id::ThreadId;
use trace_format::read::{BatchReader, TraceFile, Window, rewrite};
use trace_format::survive::ring::{FIRST_AT, RingHeader, TABLE_HEADER_BYTES, unwind};
use trace_format::time::{Nanos, Ticks};

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    let cooked = cooked(bytes);
    read(&cooked);
    if let Some(trace) = unwind(&recorders(bytes, &cooked)) {
        read(&trace);
    }
});

/// A flight recorder's file: names are what comes, the log is batches that are right.
fn recorders(bytes: &[u8], cooked: &[u8]) -> Vec<u8> {
    let batches = cooked.get(FILE_HEADER_BYTES..).unwrap_or(&[]);
    let table_bytes = (TABLE_HEADER_BYTES + bytes.len()) as u64;
    let header = RingHeader { table_bytes, log_bytes: batches.len() as u64, process: 1 };
    let mut file = header.encode().to_vec();
    file.resize(FIRST_AT as usize, 0);
    for _ in 0..2 {
        file.extend_from_slice(&1_u64.to_le_bytes());
        file.extend_from_slice(bytes);
    }
    file.extend_from_slice(batches);
    file
}

fn read(bytes: &[u8]) {
    if let Ok(mut reader) = BatchReader::new(bytes) {
        while let Some(batch) = reader.next_batch() {
            if let Ok(batch) = batch {
                batch.definitions().for_each(drop);
                batch.events().flatten().for_each(look);
            }
        }
        assert!(reader.bytes_skipped() <= bytes.len() as u64);
    }
    let Ok(file) = TraceFile::open(bytes) else {
        return;
    };
    let middle = file.index().get(file.index().len() / 2).map(|entry| entry.base_ticks);
    let windows = [
        Window::default(),
        Window { from: middle, ..Window::default() },
        Window { to: middle, thread: Some(ThreadId(1)), ..Window::default() },
    ];
    for window in windows {
        let (mut order, mut last) = (file.in_order(window), 0);
        while let Some(timed) = order.next_event() {
            if let Ok(timed) = timed {
                assert!(timed.event.ticks.0 >= last, "time runs backwards");
                last = timed.event.ticks.0;
                look(timed.event);
            }
        }
    }
    for number in 0..4 {
        let _ = file.state_at(number);
    }
    look_up(&file);
    let clock = &file.tables().clock;
    for ticks in [0, 1, 1 << 40, u64::MAX] {
        let nanos = clock.nanos(Ticks(ticks));
        let _ = (clock.wall(Ticks(ticks)), clock.ticks(nanos), clock.ticks(Nanos(ticks)));
    }
    assert!(clock.drift_ppm() >= 0.0);
}

/// What definitions say is found, and goes into a trace written anew.
fn look_up(file: &TraceFile<&[u8]>) {
    let tables = file.tables();
    for stack in tables.stacks.values() {
        assert!(stack.addresses.len() <= FRAMES_MAX);
        for &address in &stack.addresses {
            assert!(tables.module_at(address).is_none_or(|module| module.contains(address)));
        }
    }
    for thread in tables.threads.values() {
        assert!(thread.names.is_sorted_by_key(|name| name.0));
        let _ = (thread.name_at(thread.first), tables.thread_name(thread.id));
    }
    let functions = vec![Function { name: b"f", file: b"", line: 1 }];
    let symbol = Definition::Symbol { address: 7, functions };
    let mut again = Vec::new();
    rewrite(file, [symbol], Compression::Lz4, &mut again).expect("memory is enough");
    let again = TraceFile::open(again.as_slice()).expect("a trace");
    assert!(again.tables().symbols.contains_key(&7) && again.is_complete() == file.is_complete());
}

/// Looks at all of an event.
fn look(event: Event<'_>) {
    use trace_format::event::EventKind;
    let values = match event.kind {
        EventKind::Region { values, .. }
        | EventKind::RegionBegin { values, .. }
        | EventKind::EndValue { values, .. }
        | EventKind::Instant { values, .. }
        | EventKind::TaskBeginSite { values, .. }
        | EventKind::FutureBegin { values, .. }
        | EventKind::FutureEnd { values, .. } => values,
        _ => return,
    };
    let _ = (values.stack(), values.is_empty());
    let (count, whole) = (values.count(), values.is_whole());
    assert!(count > 0 || values.is_empty() || !whole);
}

/// Batches out of pieces of the input: four bytes say which kind, whose, when, and how long.
fn cooked(mut bytes: &[u8]) -> Vec<u8> {
    let Some((&first, rest)) = bytes.split_first() else {
        return Vec::new();
    };
    bytes = rest;
    let compression = if first & 1 == 1 { Compression::Lz4 } else { Compression::None };
    let mut encoder = FileEncoder::new(compression);
    let mut out = encoder.begin().to_vec();
    while let Some((&[what, whose, when, length], rest)) = bytes.split_first_chunk::<4>() {
        let (payload, rest) = rest.split_at(usize::from(length).min(rest.len()));
        bytes = rest;
        let info = BatchInfo {
            kind: if what & 3 == 3 { BatchKind::Definitions } else { BatchKind::Events },
            thread: if whose & 8 == 8 { ThreadId::cpu(0) } else { ThreadId(u32::from(whose & 3)) },
            sequence: u32::from(whose >> 4),
            offset: u32::from(what >> 6),
            generation: 1,
            base_ticks: Ticks(u64::from(when & 0x3f) << (when >> 6 << 4)),
            last_ticks: Ticks(1 << 50),
            events: 1,
            flags: u32::from(what >> 2 & 1),
        };
        let encoded = encoder.batch(&info, payload);
        out.extend_from_slice(&encoded.header);
        out.extend_from_slice(encoded.stored);
    }
    if first & 2 == 2 {
        out.extend_from_slice(&encoder.end());
    }
    out
}
