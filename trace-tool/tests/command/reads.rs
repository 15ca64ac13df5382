//! Every verb reads a trace twice at most: once for what is missing, once for its answer. (Asked
//! about one thread, it reads the others once more for what is missing; `explain` begins its walk
//! again if there were slow tasks.) The kernel counts the bytes.

use std::process::Command;

use crate::common::{Bench, Words};
use trace_format::batch::Compression;
use trace_format::definition::CallsiteKind;
use trace_format::event::EventKind;
use trace_format::id::{CallId, TaskId};
use trace_format::testgen::{TraceBuilder, open_call};
use trace_format::value::{Text, Value};

/// Bytes that a process reads for other reasons: libraries, and the file's end, where its index is.
const OTHER_BYTES: u64 = 512 << 10;

/// How often each verb may read the file.
const VERBS: [(&str, u64); 17] = [
    ("summary", 2),
    ("explain", 2),
    ("events", 2),
    ("check", 1),
    ("regions", 2),
    ("tasks", 1),
    ("threads", 2),
    ("blocked", 2),
    ("async", 2),
    ("syscalls", 2),
    ("heap", 2),
    ("tests", 2),
    ("profile --kind block -o -", 2),
    ("profile --kind heap -o -", 2),
    ("recover -o whole.trace", 2),
    ("symbolize -o names.trace", 2),
    ("export --format perfetto -o out.pftrace", 2),
];

/// Three megabytes of calls, regions, tasks and allocations that are all freed.
fn large() -> Vec<u8> {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.site(1, CallsiteKind::Function, "app::work", &["text"]);
    trace.thread(1, "main");
    trace.thread(2, "worker");
    trace.facility("os", true, "");
    let filler = [b'x'; 400];
    for round in 0..6_000_u64 {
        let (thread, now) = (1 + (round % 2) as u32, 1_000 + round * 10_000);
        let value = Value::Str(Text::cut(&filler, 1024));
        trace.region_with(thread, now, 1, 100, &[value]);
        let (task, name) = (TaskId(round + 1), Text::cut(b"job", 256));
        trace.event(thread, now + 2_000, EventKind::TaskBegin { task, parent: TaskId(0), name });
        trace.event(thread, now + 5_000, EventKind::TaskEnd { task });
        trace.alloc(thread, now + 6_000, round + 1, 1 << 20, 0);
        trace.free(thread, now + 7_000, round + 1);
        // Long enough to be a wait.
        trace.call(thread, open_call(CallId::NANOSLEEP, 0, 0), now + 8_000, 6_000, 0);
    }
    trace.heap(30_000_000, (1 << 20, 1), (3_000 << 20, 3_000));
    trace.heap(60_900_000, (0, 0), (6_000 << 20, 6_000));
    trace.stop(61_000_000)
}

#[test]
fn no_verb_reads_a_trace_more_than_twice() {
    let bytes = large();
    let size = bytes.len() as u64;
    assert!(size > 4 * OTHER_BYTES, "{size} bytes tell nothing");
    let bench = Bench::new(&bytes);
    for (verb, times) in VERBS {
        let read = read_by(&bench, verb);
        let most = times * size + OTHER_BYTES;
        assert!(read >= size, "{verb}: {read} of {size} bytes: the kernel counts otherwise");
        assert!(read <= most, "{verb} reads {read} bytes, {times} times {size} are enough");
    }
}

/// The bytes that a run reads: its shell's, once it has waited for it.
fn read_by(bench: &Bench, verb: &str) -> u64 {
    let script = "\"$@\" >/dev/null || exit; cat /proc/$$/io";
    let (name, options) = verb.split_once(' ').unwrap_or((verb, ""));
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_exectrace"), name]);
    command.arg(bench.path("a.trace")).args(options.split_whitespace());
    command.current_dir(bench.path("")).env("XDG_CACHE_HOME", bench.path(""));
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = said.lines().find_map(|line| line.strip_prefix("rchar: "));
    let error = String::from_utf8_lossy(&output.stderr);
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or_else(|| panic!("{verb}: {said}{error}"))
}
