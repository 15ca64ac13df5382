//! Checked-in traces: every golden text yields what its first line says, and the bytes of every
//! kind of item are still those that version 1.0 was published with.
//!
//! `BLESS=1 cargo test -p trace-format --test golden` rewrites the expectations and the bytes.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{in_order, in_order_by_steps, stream};
use trace_format::batch::Compression;
use trace_format::read::{TraceFile, Window};
use trace_format::testgen::everything;
use trace_format::text::{from_text, to_text};
use trace_format::time::Ticks;

const ALL: Window = Window { from: None, to: None, thread: None };

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

fn bless() -> bool {
    std::env::var_os("BLESS").is_some()
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = fs::read_dir(testdata().join(folder)).expect("it is checked in");
    let mut files: Vec<_> = folder.map(|file| file.expect("readable").path()).collect();
    files.sort();
    files
}

/// What a text trace comes to: `# expect 3 events, 0 faults`, and the faults.
fn expectation(bytes: &[u8]) -> String {
    let outcome = in_order(bytes, ALL);
    assert_eq!(outcome.events, in_order_by_steps(bytes, ALL).events);
    let (events, faults) = (outcome.events.len(), outcome.faults.len());
    let mut line = format!("# expect {events} events, {faults} faults");
    for fault in &outcome.faults {
        line += &format!("; {fault}");
    }
    line
}

#[test]
fn every_golden_yields_what_its_first_line_says() {
    let files = files("golden");
    assert!(files.len() >= 5, "the goldens are gone");
    for path in files {
        let text = fs::read_to_string(&path).expect("text");
        let name = path.display();
        let bytes = from_text(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (first, rest) = text.split_once('\n').expect("a first line");
        let found = expectation(&bytes);
        if bless() && first != found {
            fs::write(&path, format!("{found}\n{rest}")).expect("writable");
        } else {
            assert_eq!(first, found, "{name}");
        }
        let again = from_text(&to_text(&bytes)).expect("own text");
        assert!(again == bytes, "{name}: the way to text and back loses something");
    }
}

#[test]
fn the_bytes_of_version_1_0_have_not_changed() {
    let path = testdata().join("trace/everything.trace");
    let bytes = everything(Compression::None);
    if bless() {
        fs::write(&path, &bytes).expect("writable");
        let lz4 = everything(Compression::Lz4);
        fs::write(testdata().join("trace/everything-lz4.trace"), lz4).expect("writable");
    }
    assert!(fs::read(&path).expect("it is checked in") == bytes, "the wire has changed");
}

#[test]
fn compressed_bytes_of_version_1_0_are_still_read() {
    let bytes = fs::read(testdata().join("trace/everything-lz4.trace")).expect("checked in");
    let (found, expected) = (stream(&bytes), stream(&everything(Compression::None)));
    assert_eq!(found.events, expected.events);
    assert_eq!(found.definitions, expected.definitions);
    assert!(found.complete && found.faults.is_empty());
}

#[test]
fn bytes_that_once_broke_the_reader_do_so_no_more() {
    let listed = fs::read_to_string(testdata().join("README.md")).expect("it is checked in");
    for path in files("corpus") {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        assert!(listed.contains(&name), "{name} is not told of in testdata/README.md");
        let bytes = fs::read(&path).expect("readable");
        let outcome = in_order(&bytes, ALL);
        assert!(outcome.events.is_sorted_by_key(|event| event.ticks), "{name}");
        stream(&bytes);
        if let Ok(file) = TraceFile::open(bytes.as_slice()) {
            let times = outcome.events.iter().map(|event| event.ticks);
            let nanos = times.map(|ticks| file.tables().clock.nanos(Ticks(ticks)));
            assert!(
                nanos.chain([file.tables().clock.nanos(Ticks(u64::MAX))]).is_sorted(),
                "{name}"
            );
        }
        if let Ok(text) = str::from_utf8(&bytes)
            && let Ok(bytes) = from_text(text)
        {
            assert!(TraceFile::open(bytes.as_slice()).is_ok(), "{name}");
        }
    }
}

#[test]
fn text_faults_name_their_line() {
    let check = |text: &str, fault: &str| {
        assert_eq!(from_text(text).expect_err("it is wrong").to_string(), fault);
    };
    let batch = "batch events kind=1 thread=1 sequence=0 offset=0 generation=1 base=5 last=9 \
                 flags=1 events=1";
    check("batch", "line 1: this can't stand here");
    check("file 2.0", "line 1: 1.0 should stand where \"2.0\" is");
    check("file 1.0\n\nfile 1.0", "line 3: this can't stand here");
    check("file 1.0\n  5 end", "line 2: this can't stand here");
    check("file 1.0\nbatch events kind=3", "line 2: thread should follow");
    check(
        &format!("file 1.0\n{batch}\n 4 end"),
        "line 3: a time that is not before the event \
        before should stand where \"4\" is",
    );
    check(&format!("file 1.0\n{batch}\n 6 end now"), "line 3: the line should end before \"now\"");
    check(
        &format!("file 1.0\n{batch}\n 6 log 1 \"x"),
        "line 3: a quoted text that does not end \
        well",
    );
    check(
        &format!("file 1.0\n{batch}\n 6 jump 1"),
        "line 3: an event should stand where \"jump\" \
        is",
    );
}
