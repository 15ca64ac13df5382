//! What is left of a trace whose process was killed, and how far that process had said to be.

use super::decoded::Decoded;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use trace_format::event::EventKind;
use trace_format::id::ThreadId;
use trace_format::live::recover;
use trace_format::read::{ReadAt as _, TraceFile};
use trace_format::value::Value;

/// The file beside a trace that runs.
pub(crate) fn live_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".live");
    name.into()
}

/// How far each thread has said that it had come: a line is a thread's number, and a step's.
pub(crate) fn reported(said: BufReader<impl Read>) -> BTreeMap<u64, u64> {
    let mut far = BTreeMap::new();
    for line in said.split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        let numbers =
            line.split_once(' ').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        if let Some((thread, n)) = numbers {
            far.insert(thread, n);
        }
    }
    far
}

/// All that is there of a trace whose process has ended.
pub(crate) fn recovered(path: &Path) -> Vec<u8> {
    let file = std::fs::File::open(path).expect("it was made");
    let live = std::fs::read(live_of(path)).expect("it was not removed");
    let file = TraceFile::open(file).expect("a trace, as far as it goes");
    let recovered = recover(file, &live).expect("it is such a file");
    let mut bytes = vec![0; recovered.bytes().expect("files are there") as usize];
    let mut at = 0;
    while at < bytes.len() {
        at += recovered.read_at(&mut bytes[at..], at as u64).expect("files are there");
    }
    bytes
}

/// The steps of a thread, which follow each other but for those that it says it has dropped; how
/// far they go.
pub(crate) fn steps(trace: &Decoded, thread: ThreadId) -> u64 {
    let (mut next, mut is_gap) = (0, false);
    for event in trace.events(thread) {
        match event.kind {
            EventKind::Instant { mut values, .. } => {
                let Some(Value::U64(n)) = values.next() else { panic!("a number") };
                assert!(n == next || is_gap && n > next, "{n} follows {next}: one is missing");
                (next, is_gap) = (n + 1, false);
            }
            EventKind::Dropped { .. } => is_gap = true,
            _ => {}
        }
    }
    next
}

/// Checks what is recovered of threads `worker-0` and so on; how many had dropped events at their
/// end.
pub(crate) fn check(path: &Path, far: &BTreeMap<u64, u64>) -> u32 {
    let mut lost = 0;
    let trace = Decoded::new(&recovered(path));
    assert!(!trace.complete, "nobody has ended it");
    for (&thread, &n) in far {
        let name = format!("worker-{thread}");
        let id = trace.tables.threads.values().find(|it| it.name == name);
        let id = match id {
            Some(thread) => thread.id,
            // The collector had not met it: its batch says which it is, not what it is called.
            None => {
                let unnamed = trace.tables.threads.values().filter(|it| it.name.is_empty());
                unnamed.map(|it| it.id).max_by_key(|&id| steps(&trace, id)).expect("it is there")
            }
        };
        let steps = steps(&trace, id);
        // What was dropped last, if anything was, is told with the next batch, which did not come.
        let is_whole = steps > n;
        lost += u32::from(!is_whole);
        let dropped = trace.events(id).any(|it| matches!(it.kind, EventKind::Dropped { .. }));
        assert!(is_whole || dropped, "{name} had come to {n}, the trace has {steps}");
    }
    lost
}
