//! What is left of a trace whose process was killed, and how many steps that process had reported.

use super::decoded::Decoded;
use super::waiting::wait_until;
use exectrace::{instant, trace_region};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use trace_format::event::EventKind;
use trace_format::id::ThreadId;
use trace_format::read::{ReadAt as _, TraceFile};
use trace_format::survive::live::recover_part;
use trace_format::survive::ring::unwind;
use trace_format::value::Value;

/// The file beside a running trace.
pub(crate) fn live_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".live");
    name.into()
}

/// Number of steps of each of the two threads below.
static STEPS: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// Waits until both threads have made `count` steps.
pub(crate) fn wait_for_steps(count: u64) {
    let is_far = |steps: &AtomicU64| steps.load(Ordering::Relaxed) >= count;
    wait_until("both make steps", || STEPS.iter().all(is_far));
}

/// The work of a process that is to be killed: records steps, and prints how many, until `is_over`.
pub(crate) fn count_steps(thread: u64, is_over: &AtomicBool) {
    trace_region!("around", thread);
    for n in 0_u64.. {
        instant!("step", n);
        trace_region!("inside");
        STEPS[thread as usize].store(n, Ordering::Relaxed);
        if n.is_multiple_of(64) {
            // One write, so that a line is whole or not there.
            let line = format!("{thread} {n}\n");
            std::io::stderr().write_all(line.as_bytes()).expect("a pipe");
        }
        if is_over.load(Ordering::Relaxed) {
            break;
        }
    }
}

/// The last step that each thread has printed; a line has the numbers of a thread and a step.
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

/// The recovered bytes of a trace whose process has ended.
pub(crate) fn recovered(path: &Path) -> Vec<u8> {
    let bytes = read(path);
    let live = std::fs::read(live_of(path)).expect("it was not removed");
    let bytes = unwind(&bytes).unwrap_or(bytes);
    let file = TraceFile::open(bytes).expect("a trace, as far as it goes");
    let before = parts(path).iter().nth_back(1).map(|part| TraceFile::open(read(part)));
    let before = before.map(|part| part.expect("a part is a trace"));
    let recovered = recover_part(file, &live, before.as_ref()).expect("it is such a file");
    let mut bytes = vec![0; recovered.bytes().expect("files are there") as usize];
    let mut at = 0;
    while at < bytes.len() {
        at += recovered.read_at(&mut bytes[at..], at as u64).expect("files are there");
    }
    bytes
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("it is there")
}

/// The files of a trace, oldest first. A process that is killed while it begins a part leaves the
/// part before under two names. That part is listed once, under the name that the file beside it
/// belongs to.
pub(crate) fn parts(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().expect("it has one");
    let name = path.file_stem().expect("it has one").to_string_lossy().into_owned();
    let entries = std::fs::read_dir(folder).expect("a folder").filter_map(Result::ok);
    let is_part = |entry: &PathBuf| {
        let entry = entry.file_name().expect("it has one").to_string_lossy().into_owned();
        entry.starts_with(&format!("{name}.0")) && entry.ends_with(".trace")
    };
    let mut parts: Vec<_> = entries.map(|entry| entry.path()).filter(is_part).collect();
    parts.sort();
    parts.pop_if(|newest| read(newest) == read(path));
    parts.push(path.to_owned());
    parts
}

/// What a killed process has left of a trace, part by part, oldest first.
///
/// The last part is recovered. The process may still have been writing the part before it, too,
/// with the events that threads added to batches that were open when the last part began. So its
/// last batch may be cut, and the last part has the missing events. The parts before those two are
/// whole.
pub(crate) fn left(path: &Path) -> Vec<Decoded> {
    let mut parts = parts(path);
    let last = parts.pop().map(|path| Decoded::new(&recovered(&path)));
    let before = parts.pop().map(|path| Decoded::cut(&read(&path)));
    let mut traces: Vec<_> = parts.iter().map(|path| Decoded::new(&read(path))).collect();
    assert!(traces.iter().all(|part| part.complete), "a part ends before the next but one begins");
    traces.extend(before.into_iter().chain(last));
    traces
}

/// The range of a thread's steps, which must be consecutive except for those reported as dropped.
/// `None` if there are none.
pub(crate) fn steps(trace: &Decoded, thread: ThreadId) -> Option<(u64, u64)> {
    let (mut first, mut next, mut is_gap) = (None, 0, false);
    for event in trace.events(thread) {
        match event.kind {
            EventKind::Instant { mut values, .. } => {
                let Some(Value::U64(n)) = values.next() else { continue };
                let follows = n == next || first.is_none() || is_gap && n > next;
                assert!(follows, "{n} follows {next}: one is missing");
                first.get_or_insert(n);
                (next, is_gap) = (n + 1, false);
            }
            EventKind::Dropped { .. } => is_gap = true,
            _ => {}
        }
    }
    first.map(|first| (first, next))
}

/// The thread of this name.
fn worker(trace: &Decoded, name: &str) -> Option<ThreadId> {
    let threads = || trace.tables.threads.values();
    let named = threads().find(|it| it.name == name).map(|it| it.id);
    // The collector had not seen the thread: its batch has its id, but not its name.
    let unnamed = threads().filter(|it| it.name.is_empty()).map(|it| it.id);
    named.or_else(|| unnamed.max_by_key(|&id| steps(trace, id).map_or(0, |steps| steps.1)))
}

/// Checks the recovered events of threads `worker-0` and so on. Returns how many of them had
/// dropped events at their end.
pub(crate) fn check(path: &Path, far: &BTreeMap<u64, u64>) -> u32 {
    let mut lost = 0;
    let parts = left(path);
    assert!(!parts[parts.len() - 1].complete, "nobody has ended it");
    for (&thread, &n) in far {
        let name = format!("worker-{thread}");
        let (mut next, mut dropped) = (None, false);
        for part in &parts {
            let Some(id) = worker(part, &name) else { continue };
            dropped |= part.events(id).any(|it| matches!(it.kind, EventKind::Dropped { .. }));
            let Some((first, behind)) = steps(part, id) else { continue };
            assert!(next.is_none_or(|next| first <= next) || dropped, "{first} follows {next:?}");
            next = next.max(Some(behind));
        }
        // The next batch would have reported the last dropped events, but there is none.
        let is_whole = next > Some(n);
        lost += u32::from(!is_whole);
        assert!(is_whole || dropped, "{name} had come to {n}, the trace has {next:?}");
    }
    lost
}
