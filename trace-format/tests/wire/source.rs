//! Sources that are slow, short, or fail: the trace is the same, or the error is theirs.

use std::error::Error as _;
use std::fs::File;
use std::io::{self, Read};

use crate::common::stream;
use trace_format::batch::Compression;
use trace_format::read::{BatchReader, ReadAt, ReadErrorKind, TraceFile, Window};
use trace_format::testgen::{everything, tight_loops};

/// Hands out a few bytes at a time, is interrupted now and then, and fails at `fails_at`.
struct Trickle<'b> {
    bytes: &'b [u8],
    at: usize,
    calls: usize,
    fails_at: usize,
}

impl Read for Trickle<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls.is_multiple_of(3) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.at >= self.fails_at {
            return Err(io::Error::other("the disk is gone"));
        }
        let count = (self.calls % 7 + 1).min(out.len()).min(self.bytes.len() - self.at);
        out[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

#[test]
fn a_trickling_source_gives_the_same_batches() {
    let bytes = everything(Compression::Lz4);
    let source = Trickle { bytes: &bytes, at: 0, calls: 0, fails_at: usize::MAX };
    let mut slow = BatchReader::new(source).expect("a trace");
    let mut fast = BatchReader::new(bytes.as_slice()).expect("a trace");
    while let Some(batch) = fast.next_batch() {
        let batch = batch.expect("whole");
        let other = slow.next_batch().expect("as many").expect("whole");
        assert_eq!((batch.offset, batch.payload), (other.offset, other.payload));
    }
    assert!(slow.next_batch().is_none() && slow.is_complete());
}

#[test]
fn a_failing_source_is_told_once_with_its_cause() {
    let bytes = everything(Compression::None);
    for fails_at in 0..bytes.len() {
        let source = Trickle { bytes: &bytes, at: 0, calls: 0, fails_at };
        let mut faults = Vec::new();
        match BatchReader::new(source) {
            Err(error) => faults.push(error),
            Ok(mut reader) => {
                while let Some(batch) = reader.next_batch() {
                    faults.extend(batch.err());
                }
                assert!(!reader.is_complete());
            }
        }
        assert_eq!(faults.len(), 1, "failing at {fails_at}");
        assert!(matches!(faults[0].kind, ReadErrorKind::Io(_)), "{}", faults[0]);
        let cause = faults[0].source().expect("a cause").to_string();
        assert_eq!(cause, "the disk is gone");
    }
}

/// Reads at most 100 bytes at once, and fails behind `fails_at`.
struct Short<'b> {
    bytes: &'b [u8],
    fails_at: u64,
}

impl ReadAt for Short<'_> {
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset >= self.fails_at {
            return Err(io::Error::other("the disk is gone"));
        }
        let count = out.len().min(100);
        self.bytes.read_at(&mut out[..count], offset)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }
}

#[test]
fn short_reads_give_the_same_file() {
    let bytes = tight_loops(2, 2_000, Compression::None);
    let short = Short { bytes: &bytes, fails_at: u64::MAX };
    let file = TraceFile::open(short).expect("a trace");
    assert!(file.faults().is_empty() && file.is_complete());
    let mut events = 0;
    let mut order = file.in_order(Window::default());
    while let Some(timed) = order.next_event() {
        timed.expect("whole");
        events += 1;
    }
    assert_eq!(events, 4_000);
}

#[test]
fn a_file_whose_end_cannot_be_read_says_so() {
    let bytes = everything(Compression::None);
    let short = Short { bytes: &bytes, fails_at: 200 };
    let file = TraceFile::open(short).expect("its header is there");
    let told = |kind: &ReadErrorKind| matches!(kind, ReadErrorKind::Io(_));
    assert!(file.faults().iter().any(|fault| told(&fault.kind)));
    assert!(!file.is_complete());
    assert!(TraceFile::open(Short { bytes: &bytes, fails_at: 0 }).is_err());
}

#[test]
fn a_file_on_disk_is_read_like_one_in_memory() {
    let bytes = everything(Compression::Lz4);
    let path = std::env::temp_dir().join(format!("exectrace-source-{}", std::process::id()));
    std::fs::write(&path, &bytes).expect("there is room");
    let file = TraceFile::open(File::open(&path).expect("it is there")).expect("a trace");
    std::fs::remove_file(&path).expect("it is there");
    let memory = TraceFile::open(bytes.as_slice()).expect("a trace");
    assert_eq!(file.index(), memory.index());
    assert_eq!(file.bytes(), bytes.len() as u64);
    let mut found = 0;
    let (mut a, mut b) = (file.in_order(Window::default()), memory.in_order(Window::default()));
    while let Some(timed) = a.next_event() {
        let other = b.next_event().expect("as many");
        assert_eq!(timed.expect("whole"), other.expect("whole"));
        found += 1;
    }
    assert!(b.next_event().is_none());
    let reopens = stream(&bytes).events.iter().filter(|event| event.is_reopen()).count();
    assert_eq!(found, stream(&bytes).events.len() - reopens);
}
