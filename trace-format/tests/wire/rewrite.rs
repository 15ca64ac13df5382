//! A rewritten trace has all that the old one had, and the new definitions.

use std::io::{self, Write};

use crate::common::{batches, in_order, stream};
use trace_format::batch::Compression;
use trace_format::definition::{Definition, Function};
use trace_format::header::BatchKind;
use trace_format::read::{RewriteError, TraceFile, Window, rewrite};
use trace_format::testgen::{TraceBuilder, everything, tight_loops};

const ALL: Window = Window { from: None, to: None, thread: None };

fn symbols(count: u64) -> impl Iterator<Item = Definition<'static>> {
    (0..count).map(|at| Definition::Symbol {
        address: 0x1000 + at,
        functions: vec![Function { name: b"parse", file: b"src/parse.rs", line: at as u32 }],
    })
}

fn rewritten(bytes: &[u8], count: u64, compression: Compression) -> Vec<u8> {
    let file = TraceFile::open(bytes).expect("a trace");
    let mut out = Vec::new();
    let written = rewrite(&file, symbols(count), compression, &mut out).expect("memory is enough");
    assert_eq!(written, out.len() as u64);
    out
}

#[test]
fn nothing_is_lost_and_the_new_definitions_are_there() {
    for compression in [Compression::None, Compression::Lz4] {
        for old in [everything(compression), tight_loops(2, 2_000, compression)] {
            // Enough for several batches.
            let new = rewritten(&old, 20_000, compression);
            let (before, after) = (stream(&old), stream(&new));
            assert_eq!((&after.faults, after.complete), (&before.faults, true));
            assert_eq!(after.events, before.events);
            let count = before.definitions.len();
            assert_eq!(after.definitions[..count], before.definitions);
            assert_eq!(after.definitions.len(), count + 20_000);
            assert_eq!(in_order(&new, ALL).events, in_order(&old, ALL).events);
            let file = TraceFile::open(new.as_slice()).expect("a trace");
            assert!(file.faults().is_empty() && file.is_complete(), "{:?}", file.faults());
            assert_eq!(file.tables().symbols[&0x1007][0].line, 7);
            let added = batches(&new).len() - batches(&old).len();
            assert!(added >= 2, "{added} batches for half a megabyte");
        }
    }
}

#[test]
fn without_new_definitions_it_is_the_same_file() {
    for compression in [Compression::None, Compression::Lz4] {
        for bytes in [everything(compression), tight_loops(3, 100_000, compression)] {
            assert!(rewritten(&bytes, 0, compression) == bytes);
        }
    }
    let mut trace = TraceBuilder::started(Compression::None);
    for at in 0..10_000 {
        trace.region(1, 1, 1_000 + 10 * at, 5);
        trace.cut(1);
    }
    let bytes = trace.stop(1 << 30);
    assert!(rewritten(&bytes, 0, Compression::None) == bytes, "an index of several parts too");
}

#[test]
fn a_later_symbol_of_an_address_counts() {
    let once = rewritten(&everything(Compression::None), 10, Compression::None);
    let file = TraceFile::open(once.as_slice()).expect("a trace");
    let functions = vec![Function { name: b"other", file: b"", line: 0 }];
    let more = [Definition::Symbol { address: 0x1001, functions }];
    let mut twice = Vec::new();
    rewrite(&file, more, Compression::None, &mut twice).expect("memory is enough");
    let file = TraceFile::open(twice.as_slice()).expect("a trace");
    assert!(file.faults().is_empty(), "{:?}", file.faults());
    assert_eq!(file.tables().symbols[&0x1001][0].name, "other");
    assert_eq!(file.tables().symbols[&0x1002][0].name, "parse");
}

#[test]
fn a_cut_trace_stays_cut_and_a_damaged_one_damaged() {
    let whole = everything(Compression::None);
    for cut in [whole.len() - 1, whole.len() / 2] {
        let new = rewritten(&whole[..cut], 5, Compression::None);
        let file = TraceFile::open(new.as_slice()).expect("a trace");
        assert!(!file.is_complete() && file.tables().symbols.contains_key(&0x1004));
        assert_eq!(in_order(&new, ALL).events, in_order(&whole[..cut], ALL).events);
    }
    let mut damaged = whole.clone();
    let index = TraceFile::open(whole.as_slice()).expect("a trace").index().to_vec();
    let entry = index.iter().rfind(|entry| entry.kind == BatchKind::Events).expect("one");
    damaged[entry.offset as usize + 70] ^= 1;
    let new = rewritten(&damaged, 5, Compression::None);
    let (old, new) = (in_order(&damaged, ALL), in_order(&new, ALL));
    assert_eq!((new.events, new.faults), (old.events, old.faults));
}

#[test]
fn any_flipped_bit_is_survived() {
    let whole = everything(Compression::Lz4);
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        if let Ok(file) = TraceFile::open(bytes.as_slice()) {
            let mut out = Vec::new();
            rewrite(&file, symbols(1), Compression::Lz4, &mut out).expect("memory is enough");
            let new = TraceFile::open(out.as_slice()).expect("a trace");
            assert!(new.tables().symbols.contains_key(&0x1000), "byte {at}");
        }
    }
}

/// Takes so many bytes, then fails.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.0);
        self.0 -= count;
        if count == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(count) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_can_not_be_written_is_said() {
    let bytes = everything(Compression::None);
    let file = TraceFile::open(bytes.as_slice()).expect("a trace");
    for room in (0..bytes.len()).step_by(97) {
        let error = rewrite(&file, symbols(5), Compression::None, &mut Full(room));
        assert!(matches!(error, Err(RewriteError::Write(_))), "room for {room} bytes");
    }
    let name = vec![b'x'; 1 << 20];
    let functions = vec![Function { name: &name, file: b"", line: 1 }];
    let long = [Definition::Symbol { address: 1, functions }];
    let error = rewrite(&file, long, Compression::None, &mut Vec::new()).expect_err("too long");
    assert!(error.to_string().starts_with("a definition has 10485"), "{error}");
}
