//! The file beside a trace: its layout is FORMAT.md's, and whatever is in it does no harm.

use trace_format::batch::{BatchInfo, Compression};
use trace_format::definition::{Definition, OpenSince};
use trace_format::header::{BatchKind, FLAG_FIRST, FLAG_RESTATED};
use trace_format::id::{Open, SiteId, StackId, ThreadId};
use trace_format::read::{ReadAt, ReadError, ReadErrorKind, TraceFile, Window};
use trace_format::survive::PAGE_BYTES;
use trace_format::survive::live::{
    HEADER_BYTES, LiveHeader, MAGIC, OWNER_MAGIC, SLOTS, SLOTS_AT, recover, recover_part,
};
use trace_format::testgen::{TraceBuilder, os_id};
use trace_format::time::Ticks;

const SPEC: &str = include_str!("../../FORMAT.md");

#[test]
fn numbers_in_the_prose_are_the_codes_own() {
    let says = |text: &str| assert!(SPEC.contains(text), "FORMAT.md does not say: {text}");
    let hex: Vec<String> = MAGIC.iter().map(|byte| format!("{byte:02X}")).collect();
    says(&format!("magic `{}`", hex.join(" ")));
    says(&format!("{OWNER_MAGIC:#X} if these bytes are a batch").replace("0X", "0x"));
    says(&format!("| {SLOTS_AT} | {} | {SLOTS} slots", 16 * SLOTS));
    says(&format!("{} or more", SLOTS_AT + 16 * SLOTS));
    assert_eq!(PAGE_BYTES, 4096);
    let header = LiveHeader { process: 7 };
    assert_eq!(LiveHeader::decode(&header.encode()), Some(header));
    let mut damaged = header.encode();
    damaged[16] ^= 1;
    assert_eq!(LiveHeader::decode(&damaged), None);
}

/// A trace that was cut, with one thread and a region in its batch 0.
fn cut_trace() -> Vec<u8> {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "main");
    trace.region(1, 1, 1_000, 10);
    trace.cut(1);
    let mut bytes = trace.stop(2_000);
    // Without index and trailer.
    bytes.truncate(bytes.len() - 32);
    bytes
}

/// A page-aligned batch with a payload.
fn batch(thread: u32, sequence: u32, base: u64, payload: &[u8], slots: &[(u64, u64)]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(thread.to_le_bytes());
    out.extend(OWNER_MAGIC.to_le_bytes());
    out.extend((payload.len() as u16).to_le_bytes());
    out.extend([0; 6]);
    out.extend(base.to_le_bytes());
    out.extend(sequence.to_le_bytes());
    out.extend(3_000_u32.to_le_bytes());
    out.extend(77_u64.to_le_bytes());
    out.extend(600_u64.to_le_bytes());
    for at in 0..SLOTS {
        let (begin, what) = slots.get(at).copied().unwrap_or_default();
        out.extend(begin.to_le_bytes());
        out.extend(what.to_le_bytes());
    }
    out.resize(600, 0xee);
    out.extend(payload);
    out.resize(PAGE_BYTES, 0xee);
    out
}

fn live(batches: &[Vec<u8>]) -> Vec<u8> {
    let mut out = LiveHeader { process: 1 }.encode().to_vec();
    out.resize(PAGE_BYTES, 0);
    out.extend(batches.concat());
    out
}

fn recovered(live: &[u8]) -> (TraceFile<Vec<u8>>, u64) {
    recovered_of(cut_trace(), live)
}

fn recovered_of(trace: Vec<u8>, live: &[u8]) -> (TraceFile<Vec<u8>>, u64) {
    recovered_behind(trace, live, None)
}

fn recovered_behind(
    trace: Vec<u8>,
    live: &[u8],
    before: Option<Vec<u8>>,
) -> (TraceFile<Vec<u8>>, u64) {
    let file = TraceFile::open(trace).expect("a trace");
    let before = before.map(|part| TraceFile::open(part).expect("a trace"));
    let recovered = recover_part(file, live, before.as_ref()).expect("it is such a file");
    let events = recovered.events;
    let mut bytes = vec![0; recovered.bytes().expect("memory") as usize];
    let mut at = 0;
    while at < bytes.len() {
        at += recovered.read_at(&mut bytes[at..], at as u64).expect("memory");
    }
    (TraceFile::open(bytes).expect("a trace"), events)
}

#[test]
fn what_the_trace_has_is_taken_once_and_the_rest_is_added() {
    // The region that the trace has, and another.
    let first = [0x80, 0, 10];
    let both = [first.as_slice(), &[0x80, 5, 7]].concat();
    let begun = [(1_500, 1 << 2)];
    let (file, events) = recovered(&live(&[batch(1, 0, 1_000, &both, &begun)]));
    assert_eq!(events, 2, "the second region, and what had begun");
    let pieces: Vec<_> = file.index().iter().filter(|entry| entry.thread.0 == 1).collect();
    assert_eq!(pieces.len(), 2);
    assert_eq!((pieces[1].sequence, pieces[1].piece, pieces[1].events), (0, 3, 2));
    assert_eq!((pieces[1].base_ticks.0, pieces[1].last_ticks.0), (1_010, 1_500));
    let (_, events) = recovered(&live(&[batch(1, 0, 1_000, &first, &[])]));
    assert_eq!(events, 0, "the trace has it all");
}

#[test]
fn threads_that_the_trace_does_not_know_are_told_of() {
    let (file, events) = recovered(&live(&[batch(9, 0, 1_200, &[0x80, 0, 1], &[])]));
    assert_eq!(events, 1);
    let thread = &file.tables().threads[&trace_format::id::ThreadId(9)];
    assert_eq!((thread.os_id, thread.first.0), (77, 1_200));
}

/// A trace that began when batch 5 of a thread was open, and what lies beside it.
fn open_at_the_begin() -> (Vec<u8>, Vec<u8>) {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "main");
    let open = |site, begin| OpenSince { open: Open::Region(SiteId(site)), begin: Ticks(begin) };
    // The third has begun and is not written; a region is all that was written of the batch.
    let open = vec![open(7, 800), open(8, 900), open(9, 1_012)];
    let (id, sequence, offset) = (ThreadId(1), 5, 3);
    trace.define(&Definition::ThreadState { id, sequence, offset, more: false, open });
    let batches = [
        batch(1, 4, 500, &LATER[..3], &[]),
        batch(1, 5, 1_000, &LATER, &[(800, 7 << 2)]),
        batch(1, 6, 2_000, &[0x08, 0, 7 << 2, 0xb0, 0x09, 0x80, 1, 2], &[(800, 7 << 2)]),
    ];
    (trace.killed(), live(&batches))
}

/// A region of 10 ticks; the begin of the third, another region, of 7 ticks; and the ends of the
/// third and the second.
const LATER: [u8; 13] = [0x80, 0, 10, 0x41, 2, 9, 0x80, 1, 7, 0x05, 1, 0x05, 1];

#[test]
fn of_a_batch_that_was_open_when_the_trace_began_what_came_later_is_added() {
    let (trace, live) = open_at_the_begin();
    let (file, events) = recovered_of(trace, &live);
    let is_news = |fault: &&ReadError| !matches!(fault.kind, ReadErrorKind::Truncated);
    assert_eq!(file.faults().iter().filter(is_news).count(), 0, "{:?}", file.faults());
    let pieces = file.index().iter().filter(|entry| entry.thread.0 == 1);
    let pieces: Vec<_> = pieces.map(|it| (it.sequence, it.piece, it.flags, it.events)).collect();
    let first = FLAG_RESTATED | FLAG_FIRST;
    assert_eq!(pieces, [(5, 0, first, 6), (6, 0, FLAG_RESTATED, 2)]);
    assert_eq!(events, 8);
    let (mut order, mut told) = (file.in_order(Window::default()), Vec::new());
    while let Some(event) = order.next_event() {
        let event = event.expect("no fault").event;
        told.push((event.ticks.0, format!("{:?}", event.kind)));
    }
    let times: Vec<_> = told.iter().map(|it| it.0).collect();
    // What is restated at the begin is told, what a later batch restates is known.
    assert_eq!(times, [1_010, 1_010, 1_012, 1_013, 1_021, 1_022, 2_001], "{told:#?}");
    assert!(told[0].1.contains("Reopen") && told[0].1.contains("210"), "{told:#?}");
}

/// The part before that trace, of a thread with this id: batch 5, in pieces of so many bytes, each
/// of so many events that end at this time.
fn part_before(os_id: u64, pieces: &[(usize, u32, u64)]) -> Vec<u8> {
    let mut part = TraceBuilder::started(Compression::None);
    part.define(&Definition::Thread {
        id: ThreadId(1),
        os_id,
        name: b"main",
        first: Ticks(0),
        parent: ThreadId(0),
        stack: StackId(0),
        entry: 0,
    });
    part.write_definitions();
    let (mut offset, mut base_ticks) = (0, Ticks(1_000));
    for &(bytes, events, last_ticks) in pieces {
        let info = BatchInfo {
            kind: BatchKind::Events,
            thread: ThreadId(1),
            sequence: 5,
            offset: offset as u32,
            generation: 1,
            base_ticks,
            last_ticks: Ticks(last_ticks),
            events,
            flags: if offset == 0 { FLAG_RESTATED | FLAG_FIRST } else { 0 },
        };
        part.batch(&info, &LATER[offset..offset + bytes]);
        (offset, base_ticks) = (offset + bytes, info.last_ticks);
    }
    part.killed()
}

/// The pieces of the thread that come behind the part before: sequence, base and events.
fn pieces_behind(before: Vec<u8>) -> Vec<(u32, u64, u32)> {
    let (trace, live) = open_at_the_begin();
    let (file, _) = recovered_behind(trace, &live, Some(before));
    let pieces = file.index().iter().filter(|entry| entry.thread.0 == 1);
    pieces.map(|it| (it.sequence, it.base_ticks.0, it.events)).collect()
}

#[test]
fn what_the_part_before_has_of_that_batch_is_left_out() {
    let pieces =
        |bytes, events, last| pieces_behind(part_before(os_id(1), &[(bytes, events, last)]));
    // Up to where the trace begins: nothing of what came later.
    assert_eq!(pieces(3, 1, 1_010), [(5, 1_010, 6), (6, 2_000, 2)]);
    // Up to the end of the other region: three are open, and two end.
    assert_eq!(pieces(9, 3, 1_020), [(5, 1_020, 5), (6, 2_000, 2)]);
    // One end more: two are open, and one ends.
    assert_eq!(pieces(11, 4, 1_021), [(5, 1_021, 3), (6, 2_000, 2)]);
    // All of it.
    assert_eq!(pieces(13, 5, 1_022), [(6, 2_000, 2)]);
    // Another run's thread of the same number.
    let others = part_before(4_000_000, &[(13, 5, 1_022)]);
    assert_eq!(pieces_behind(others), [(5, 1_010, 6), (6, 2_000, 2)]);
}

#[test]
fn what_the_part_before_lacks_as_it_was_cut_is_added_wherever_it_was_cut() {
    let one = (3, 1, 1_010);
    let (first, both) =
        (part_before(os_id(1), &[one]), part_before(os_id(1), &[one, (6, 2, 1_020)]));
    assert!(both.starts_with(&first), "a piece more");
    for cut in first.len()..both.len() {
        let pieces = pieces_behind(both[..cut].to_vec());
        assert_eq!(pieces, [(5, 1_010, 6), (6, 2_000, 2)], "cut at {cut}: as without that piece");
    }
    assert_eq!(pieces_behind(both), [(5, 1_020, 5), (6, 2_000, 2)], "whole");
}

#[test]
fn nonsense_is_left_alone() {
    let file = || TraceFile::open(cut_trace()).expect("a trace");
    for bytes in [&[][..], &[0; HEADER_BYTES], &MAGIC, &[0xff; 9_000]] {
        assert!(recover(file(), bytes).is_err());
    }
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let whole =
        live(&[batch(1, 1, 1_100, &[0x80, 0, 10], &[(1_200, 9)]), batch(2, 0, 5, &[5], &[])]);
    for _ in 0..2_000 {
        let mut bytes = whole.clone();
        for _ in 0..8 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = HEADER_BYTES + random as usize % (bytes.len() - HEADER_BYTES);
            bytes[at] = (random >> 40) as u8;
        }
        bytes.truncate(bytes.len() - random as usize % 5_000);
        let (file, _) = recovered(&bytes);
        assert!(file.tables().threads.len() <= 4);
    }
}

#[test]
fn memory_of_another_process_is_not_taken() {
    let batches = [batch(1, 0, 1_000, &[0x80, 0, 10, 0x80, 5, 7], &[])];
    let own = live(&batches);
    let file = TraceFile::open(cut_trace()).expect("a trace");
    assert!(recover_part(file, &own, None::<&TraceFile<Vec<u8>>>).is_ok());
    let mut others = own;
    others[..HEADER_BYTES].copy_from_slice(&LiveHeader { process: 2 }.encode());
    let file = TraceFile::open(cut_trace()).expect("a trace");
    let file = recover_part(file, &others, None::<&TraceFile<Vec<u8>>>).expect_err("it is not its");
    assert_eq!(file.index().iter().filter(|it| it.thread == ThreadId(1)).count(), 1);
}
