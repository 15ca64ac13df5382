//! Cut, flipped and lying files: an error that names the place, the rest of the events, no panic.

use crate::common::{Outcome, batches, in_order, in_order_by_steps, stream};
use trace_format::batch::{BatchInfo, Compression};
use trace_format::definition::CallsiteKind;
use trace_format::header::{BATCH_HEADER_BYTES, BatchKind, FILE_HEADER_BYTES};
use trace_format::id::ThreadId;
use trace_format::read::{ReadErrorKind, TraceFile, Window};
use trace_format::testgen::{TraceBuilder, everything, tight_loops};
use trace_format::time::Ticks;

const ALL: Window = Window { from: None, to: None, thread: None };

/// The faults that are certain to be the file's and not the consequence of another.
fn own_faults(outcome: &Outcome) -> usize {
    let missing = |fault: &&String| !fault.contains("missing") && !fault.contains("were written");
    outcome.faults.iter().filter(missing).count()
}

#[test]
fn any_cut_point_is_truncated_and_all_events_before_it_come_out() {
    for compression in [Compression::None, Compression::Lz4] {
        let whole = everything(compression);
        let all = stream(&whole);
        let places = batches(&whole);
        assert!(all.complete && all.faults.is_empty(), "{:?}", all.faults);
        for cut in 0..whole.len() {
            let outcome = stream(&whole[..cut]);
            let boundary = cut == FILE_HEADER_BYTES || places.iter().any(|place| place.1 == cut);
            let faults = if boundary { 0 } else { 1 };
            assert_eq!(outcome.faults.len(), faults, "cut at {cut}: {:?}", outcome.faults);
            assert!(outcome.faults.iter().all(|fault| fault.ends_with("ends too early")));
            assert!(!outcome.complete, "cut at {cut}");
            let kept = outcome.events.len();
            assert_eq!(outcome.events, all.events[..kept], "cut at {cut}");
            let whole_batches = places.iter().filter(|place| place.1 <= cut).count();
            assert_eq!(kept, stream(&whole[..end_of(&places, whole_batches)]).events.len());
        }
    }
}

fn end_of(places: &[(usize, usize, ThreadId)], count: usize) -> usize {
    count.checked_sub(1).map_or(FILE_HEADER_BYTES, |last| places[last].1)
}

#[test]
fn any_cut_point_is_truncated_in_order_too() {
    let whole = everything(Compression::None);
    for cut in 0..whole.len() {
        let (outcome, steps) =
            (in_order(&whole[..cut], ALL), in_order_by_steps(&whole[..cut], ALL));
        let truncated = outcome.faults.iter().filter(|fault| fault.ends_with("ends too early"));
        assert_eq!(truncated.count(), 1, "cut at {cut}: {:?}", outcome.faults);
        assert_eq!(outcome.events, steps.events, "cut at {cut}");
    }
}

#[test]
fn any_flipped_bit_costs_one_batch_at_most() {
    let whole = everything(Compression::None);
    let all = stream(&whole);
    let places = batches(&whole);
    for at in 0..whole.len() {
        for bit in [0, 3, 7] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            let outcome = stream(&bytes);
            assert_eq!(own_faults(&outcome), 1, "byte {at}: {:?}", outcome.faults);
            if at < FILE_HEADER_BYTES {
                continue;
            }
            let hit = places.iter().find(|place| (place.0..place.1).contains(&at));
            let Some(&(from, to, _)) = hit else {
                assert_eq!(outcome.events, all.events, "byte {at} is in the trailer");
                continue;
            };
            let mut without = whole[..from].to_vec();
            without.extend_from_slice(&whole[to..]);
            let expected = stream(&without);
            assert_eq!(outcome.events, expected.events, "byte {at}");
            assert_eq!(outcome.definitions, expected.definitions, "byte {at}");
            assert!(outcome.complete, "byte {at}: the trailer is whole");
        }
    }
}

#[test]
fn any_flipped_byte_is_survived_in_order_and_told() {
    let whole = everything(Compression::Lz4);
    let all = in_order(&whole, ALL);
    assert!(all.faults.is_empty(), "{:?}", all.faults);
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        let (outcome, steps) = (in_order(&bytes, ALL), in_order_by_steps(&bytes, ALL));
        assert!(!outcome.faults.is_empty(), "byte {at}: nothing was told");
        assert_eq!(outcome.events, steps.events, "byte {at}");
        let times = outcome.events.iter().map(|event| event.ticks);
        assert!(times.is_sorted(), "byte {at}: time runs backwards");
    }
}

#[test]
fn what_is_no_trace_is_named_so() {
    let check = |bytes: &[u8], what: &str| {
        let fault = &stream(bytes).faults[0];
        assert!(fault.contains(what), "{fault}");
        let fault = TraceFile::open(bytes).map(|_| ()).expect_err("it is no trace").to_string();
        assert!(fault.contains(what), "{fault}");
    };
    check(b"", "at byte 0: the file ends too early");
    check(b"\x89XTR\r\n", "at byte 0: the file ends too early");
    check(b"hello", "at byte 0: not an exectrace trace");
    check(&[0; 1000], "at byte 0: not an exectrace trace");
    check(&[b"\x89XTR\n\x1a\n".as_slice(), &[0; 99]].concat(), "not an exectrace trace");
    let mut newer = trace_format::header::FileHeader::CURRENT;
    newer.major = 2;
    check(&newer.encode(), "at byte 0: trace version 2.0, this reader knows 1.x");
}

#[test]
fn a_damaged_file_header_costs_nothing_but_itself_in_a_file() {
    let whole = everything(Compression::None);
    for at in 8..FILE_HEADER_BYTES {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        let file = TraceFile::open(bytes.as_slice()).expect("the rest is whole");
        assert!(matches!(file.faults()[0].kind, ReadErrorKind::HeaderDamaged));
        assert_eq!(in_order(&bytes, ALL).events, in_order(&whole, ALL).events);
    }
}

fn info(thread: u32) -> BatchInfo {
    BatchInfo {
        kind: BatchKind::Events,
        thread: ThreadId(thread),
        sequence: 0,
        offset: 0,
        generation: 1,
        base_ticks: Ticks(1000),
        last_ticks: Ticks(2000),
        events: 1,
        flags: 1,
    }
}

/// One batch that says what `info` says, between two threads that are fine.
fn between(info: &BatchInfo, payload: &[u8]) -> Vec<u8> {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.region(1, 1, 1_000, 10);
    trace.seal(1);
    trace.batch(info, payload);
    trace.region(2, 1, 1_500, 10);
    trace.stop(3_000)
}

#[test]
fn lies_about_times_and_ids_cost_their_own_batch() {
    let check = |info: &BatchInfo, payload: &[u8], fault: Option<&str>| {
        let bytes = between(info, payload);
        let outcome = in_order(&bytes, ALL);
        assert_eq!((outcome.of(1).len(), outcome.of(2).len()), (1, 1), "{:?}", outcome.faults);
        assert!(outcome.events.iter().map(|event| event.ticks).is_sorted());
        let told = fault.is_none_or(|text| outcome.faults.iter().any(|it| it.contains(text)));
        assert!(told, "{:?}", outcome.faults);
        assert_eq!(outcome.events, in_order_by_steps(&bytes, ALL).events);
    };
    let huge = [0xff; 9];
    let delta = |end: &[u8]| [&[0x80], huge.as_slice(), &[1], end].concat();
    check(&BatchInfo { base_ticks: Ticks(u64::MAX), ..info(7) }, &[0x80, 0, 5], Some("no event"));
    check(&BatchInfo { base_ticks: Ticks(u64::MAX), ..info(7) }, &[0x80, 0, 0], None);
    check(&info(7), &delta(&[0]), Some("no event"));
    check(&BatchInfo { base_ticks: Ticks(0), ..info(7) }, &delta(&[0]), Some("no event"));
    let eternal = BatchInfo { base_ticks: Ticks(0), last_ticks: Ticks(u64::MAX), ..info(7) };
    check(&eternal, &delta(&[0]), None);
    check(&eternal, &delta(&[1]), Some("no event"));
    check(&BatchInfo { last_ticks: Ticks(1004), ..info(7) }, &[0x80, 5, 1], Some("no event"));
    check(&BatchInfo { last_ticks: Ticks(1005), ..info(7) }, &[0x80, 5, 1], None);
    check(&info(u32::MAX), &[0x01, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 5], None);
    check(&info(7), &[0x01, 0, 0xff, 0xff, 0xff, 0xff, 0x1f, 5], Some("no event"));
    check(&info(7), &[0x09, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f], Some("no event"));
    check(&info(7), &[0x08, 0, 3, 0], None);
    check(&info(7), &[0x08, 0, 0x80, 0x80, 0x80, 0x80, 0x40, 0], Some("0x08, begins no event"));
    check(&info(7), &[0x45, 0], Some("0x45, begins no event"));
    check(&info(7), &[0x00, 0], Some("0x00, begins no event"));
    check(&info(7), &[0x06, 0, 5, 0], Some("begins no event"));
    check(&BatchInfo { sequence: 5, ..info(7) }, &[0x80, 0, 5], Some("batches 0 to 5"));
    check(&BatchInfo { offset: 5, ..info(7) }, &[0x80, 0, 5], Some("5 bytes of the batch"));
    check(&BatchInfo { events: u32::MAX, ..info(7) }, &[0x80, 0, 5], None);
    check(&BatchInfo { kind: BatchKind::Unknown(99), ..info(7) }, &[1, 2, 3], None);
    check(&BatchInfo { sequence: u32::MAX, offset: u32::MAX, ..info(7) }, &[0x80, 0, 5], None);
}

#[test]
fn calls_and_stacks_beyond_their_bits_are_faults() {
    let check = |payload: &[u8], is_fault: bool| {
        let outcome = in_order(&between(&info(7), payload), ALL);
        assert_eq!((outcome.of(1).len(), outcome.of(2).len()), (1, 1), "{:?}", outcome.faults);
        assert_eq!(outcome.of(7).is_empty(), is_fault, "{payload:x?}: {:?}", outcome.faults);
        let told = outcome.faults.iter().any(|it| it.contains("begins no event"));
        assert_eq!(told, is_fault, "{payload:x?}: {:?}", outcome.faults);
    };
    let at = [0xff, 0xff, 0xff, 0x07];
    let beyond = [0x80, 0x80, 0x80, 0x08];
    check(&[&[0x52, 0, 0xff, 1, 0], &at[..]].concat(), false);
    check(&[&[0x52, 0, 0x80, 2, 0], &at[..]].concat(), true);
    check(&[&[0x52, 0, 1, 0], &beyond[..]].concat(), true);
    check(&[0x52, 0, 1, 0xff, 0xff, 0xff, 0xff, 3, 0], false);
    check(&[0x52, 0, 1, 0x80, 0x80, 0x80, 0x80, 4, 0], true);
    check(&[&[0x18, 0, 1], &at[..]].concat(), false);
    check(&[&[0x18, 0, 1], &beyond[..]].concat(), true);
    // The smallest result and the greatest duration that fits behind tick 1,000.
    let least = [&[0xff; 9][..], &[1]].concat();
    check(&[&[0x12, 0, 1, 0, 0], &least[..], &[5]].concat(), false);
    check(&[&[0x12, 0, 1, 0, 0, 0], &least[..]].concat(), true);
    check(&[0x53, 0, 1], true);
    check(&[0x17, 0, 1, 0xff, 1], false);
}

#[test]
fn a_batch_that_runs_back_in_time_is_refused() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.region(1, 1, 5_000, 10);
    trace.seal(1);
    let past = BatchInfo { sequence: 1, base_ticks: Ticks(10), ..info(1) };
    trace.batch(&past, &[0x80, 0, 5]);
    trace.batch(
        &BatchInfo { sequence: 2, base_ticks: Ticks(6_000), last_ticks: Ticks(6_005), ..info(1) },
        &[0x80, 0, 5],
    );
    let outcome = in_order(&trace.stop(9_000), ALL);
    assert_eq!(outcome.events.iter().map(|event| event.ticks).collect::<Vec<_>>(), [5_000, 6_000]);
    let text = "thread 1: a batch begins at 10 ticks, the one before it ended at 5010";
    assert!(outcome.faults[0].ends_with(text), "{:?}", outcome.faults);
}

#[test]
fn lying_lengths_are_told_with_what_they_claim() {
    let whole = everything(Compression::None);
    let first = FILE_HEADER_BYTES;
    let check = |at: usize, value: u32, text: &str| {
        let mut bytes = whole.clone();
        bytes[first + at..first + at + 4].copy_from_slice(&value.to_le_bytes());
        let fault = &stream(&bytes).faults[0];
        assert!(fault.starts_with("at byte 32: ") && fault.contains(text), "{fault}");
    };
    check(8, u32::MAX, "a batch of 4294967295 bytes where 1048576 are possible");
    check(12, u32::MAX, "a batch of 4294967295 bytes where 1048576 are possible");
    check(12, 7, "and of 7 bytes");
    check(8, 0, "of 0 and of");
    check(0, 0x0403_0201, "no batch begins here, but the bytes 01 02 03 04");
    let mut bytes = whole.clone();
    bytes[first + 6] = 63;
    assert!(stream(&bytes).faults[0].contains("a batch header of 63 bytes"));
    // Both lengths equal and possible, but the file is shorter: not a cut, as the file goes on.
    let mut bytes = whole.clone();
    for at in [8, 12] {
        bytes[first + at..first + at + 4].copy_from_slice(&(1_u32 << 20).to_le_bytes());
    }
    assert!(stream(&bytes).faults[0].contains("a batch of 1048640 bytes where"));
}

#[test]
fn an_unknown_codec_costs_its_batch() {
    let mut trace = TraceBuilder::started(Compression::Lz4);
    trace.region(1, 1, 1_000, 10);
    let mut bytes = trace.stop(2_000);
    let place = batches(&bytes).into_iter().find(|place| place.2 == ThreadId(1)).expect("one");
    bytes[place.0 + 5] = 9;
    let header = place.0..place.0 + BATCH_HEADER_BYTES;
    let crc = crc32c(&[&bytes[place.0..place.0 + 60], &bytes[header.end..place.1]].concat());
    bytes[place.0 + 60..header.end].copy_from_slice(&crc.to_le_bytes());
    let outcome = stream(&bytes);
    assert!(outcome.faults[0].ends_with("codec 9"), "{:?}", outcome.faults);
    assert!(outcome.complete && outcome.events.is_empty());
}

/// Bit by bit, from FORMAT.md alone: an independent check of the checksum.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

#[test]
fn a_damaged_index_is_rebuilt() {
    let whole = tight_loops(3, 5_000, Compression::None);
    let trailer = &whole[whole.len() - 32..];
    let index = u64::from_le_bytes(trailer[8..16].try_into().expect("8 bytes")) as usize;
    let mut bytes = whole.clone();
    bytes[index + 70] ^= 1;
    let file = TraceFile::open(bytes.as_slice()).expect("it is a trace");
    let good = TraceFile::open(whole.as_slice()).expect("it is a trace");
    assert!(good.faults().is_empty());
    assert_eq!(file.index(), good.index());
    assert!(file.is_complete());
    assert_eq!(file.faults()[0].offset, index as u64);
}

#[test]
fn what_lies_behind_the_end_is_counted_and_told() {
    let whole = tight_loops(3, 5_000, Compression::None);
    let good = TraceFile::open(whole.as_slice()).expect("it is a trace");
    let other = tight_loops(1, 100, Compression::None);
    for (behind, is_another) in [(b"nonsense!".as_slice(), false), (&other, true)] {
        let bytes = [&whole, behind].concat();
        let file = TraceFile::open(bytes.as_slice()).expect("it is a trace");
        assert_eq!(file.index(), good.index());
        assert!(file.is_complete());
        assert_eq!(file.bytes_missing(), behind.len() as u64);
        let [fault] = file.faults() else { panic!("{:?}", file.faults()) };
        assert_eq!(fault.offset, whole.len() as u64);
        let ReadErrorKind::BytesBehind { bytes, is_trace } = fault.kind else {
            panic!("{fault}");
        };
        assert_eq!((bytes, is_trace), (behind.len() as u64, is_another));
    }
}

#[test]
fn missing_batches_are_counted() {
    let whole = tight_loops(2, 50_000, Compression::None);
    let places = batches(&whole);
    let victim = places.iter().filter(|place| place.2 == ThreadId(2)).nth(1).expect("two");
    let mut bytes = whole.clone();
    bytes[victim.0 + 100] ^= 1;
    let file = TraceFile::open(bytes.as_slice()).expect("it is a trace");
    assert_eq!(file.events_missing(), 0, "the index is whole, and damage shows when loaded");
    let mut order = file.in_order(ALL);
    let mut seen = 0;
    let mut faults = Vec::new();
    while let Some(timed) = order.next_event() {
        match timed {
            Ok(_) => seen += 1,
            Err(error) => faults.push(error.to_string()),
        }
    }
    assert_eq!(seen + order.events_lost(), 100_000);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[1].contains("thread 2: batches 1 to 2 (exclusive) are missing"));
    // Without an index, the counts of the threads' ends tell.
    bytes[whole.len() - 1] ^= 1;
    let file = TraceFile::open(bytes.as_slice()).expect("it is a trace");
    assert_eq!(file.events_missing(), 100_000 - seen);
    assert_eq!(file.bytes_missing(), (victim.1 - victim.0) as u64 + 32);
}

#[test]
fn damaged_bytes_without_an_owner_may_have_been_the_last_of_any_thread() {
    let damaged = |is_stopped: bool| {
        let mut trace = TraceBuilder::started(Compression::None);
        (1..=3).for_each(|thread| trace.thread(thread, "t"));
        trace.region(1, 1, 1_000, 10);
        trace.region(2, 1, 1_100, 10);
        trace.generation(1_500);
        let damaged = trace.bytes();
        trace.region(1, 1, 2_000, 10);
        trace.seal(1);
        trace.region(3, 1, 3_000, 10);
        let mut bytes = if is_stopped { trace.stop(4_000) } else { trace.killed() };
        bytes[damaged + BATCH_HEADER_BYTES] ^= 1;
        if is_stopped {
            // The index would say whose the batch was.
            let trailer = bytes.len() - 1;
            bytes[trailer] ^= 1;
        }
        bytes
    };
    let told = |bytes: &[u8]| {
        let outcome = in_order(bytes, ALL);
        assert_eq!(outcome.events, in_order_by_steps(bytes, ALL).events);
        let faults =
            outcome.faults.into_iter().filter(|fault| fault.contains("nothing says whose"));
        faults.map(|fault| fault.split(": ").nth(1).expect("a text").to_owned()).collect::<Vec<_>>()
    };
    // The third thread has a batch behind the damage, whose number says that none is missing.
    assert_eq!(told(&damaged(false)), ["thread 1", "thread 2"]);
    assert_eq!(told(&damaged(true)), ["thread 1"], "all that the second wrote is there");
    let bytes = damaged(false);
    let file = TraceFile::open(bytes.as_slice()).expect("it is a trace");
    let since = [1, 2, 3].map(|thread| file.end_missing_since(ThreadId(thread)));
    let generation = Some(Ticks(1_500));
    assert_eq!(since, [generation, generation, None], "what is older lies before it in the file");
    assert!(file.is_damaged_behind(1) && file.is_damaged_behind(2));
    // The window ends before anything may be missing.
    let window = Window { to: Some(Ticks(1_400)), ..ALL };
    assert_eq!(in_order(&bytes, window).faults.len(), file.faults().len());
}

#[test]
fn a_damaged_batch_of_definitions_was_no_thread_s_last() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.region(1, 1, 1_000, 10);
    trace.seal(1);
    let damaged = trace.bytes();
    trace.callsite(9, CallsiteKind::Region, "late");
    trace.write_definitions();
    let mut bytes = trace.killed();
    bytes[damaged + BATCH_HEADER_BYTES] ^= 1;
    let file = TraceFile::open(bytes.as_slice()).expect("it is a trace");
    assert!(file.faults().len() == 2 && file.end_missing_since(ThreadId(1)).is_none());
}

#[test]
fn bytes_that_pretend_to_be_batches_do_not_hold_a_reader_up() {
    // Each header claims the longest payload: checked one by one, that were 32 GiB.
    let mut header = [0_u8; BATCH_HEADER_BYTES];
    header[..8].copy_from_slice(b"XTB\xf1\x01\x00\x40\x00");
    header[8..12].copy_from_slice(&(1_u32 << 20).to_le_bytes());
    header[12..16].copy_from_slice(&(1_u32 << 20).to_le_bytes());
    let mut bytes = trace_format::header::FileHeader::CURRENT.encode().to_vec();
    for _ in 0..(2 << 20) / BATCH_HEADER_BYTES {
        bytes.extend_from_slice(&header);
    }
    let outcome = stream(&bytes);
    assert_eq!(outcome.faults.len(), 1);
    assert!(outcome.events.is_empty() && !outcome.complete);
}
