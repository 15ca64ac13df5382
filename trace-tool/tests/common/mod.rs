//! Traces for the tests of the command, and a way to run it. `convoy`: a trace of the program's own
//! life. `server`: one of its async tasks. `suite`: one of a test program.

#![allow(dead_code, reason = "every test uses a part of it")]

pub(crate) mod convoy;
pub(crate) mod server;
pub(crate) mod suite;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use trace_format::batch::Compression;
use trace_format::definition::{ArgumentKind, CallsiteKind, Definition};
use trace_format::event::{EventKind, Outcome};
use trace_format::id::{SiteId, TaskId};
use trace_format::testgen::TraceBuilder;
use trace_format::time::{Nanos, Ticks};
use trace_format::value::{TEXT_BYTES_MAX, Text, Value, Values, put_value};

/// A folder with one trace in it.
pub(crate) struct Bench {
    folder: TempDir,
}

/// What a run has shown.
pub(crate) struct Run {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: Option<i32>,
}

impl Bench {
    pub(crate) fn new(trace: &[u8]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        std::fs::write(folder.path().join("a.trace"), trace).expect("it can be written");
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a command on `a.trace`; the words of `line` are its arguments, `FILE` is the trace.
    pub(crate) fn run(&self, line: &str) -> Run {
        let file = self.path("a.trace");
        let words = line.split_whitespace();
        let words = words.map(|word| if word == "FILE" { file.as_path() } else { Path::new(word) });
        let mut command = command();
        command.args(words).current_dir(self.folder.path());
        command.env("XDG_CACHE_HOME", self.folder.path());
        Run::new(&command.output().expect("it runs"))
    }
}

impl Run {
    pub(crate) fn new(output: &Output) -> Self {
        Self {
            out: String::from_utf8(output.stdout.clone()).expect("standard output is UTF-8"),
            err: String::from_utf8(output.stderr.clone()).expect("standard error is UTF-8"),
            code: output.status.code(),
        }
    }
}

/// Fails unless it went well, silently, and said all of this.
#[track_caller]
pub(crate) fn check(run: &Run, expected: &[&str]) {
    for line in expected {
        assert!(run.out.contains(line), "no `{line}` in:\n{}{}", run.out, run.err);
    }
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
}

/// What it has said, which went well.
#[track_caller]
pub(crate) fn json(run: &Run) -> serde_json::Value {
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    serde_json::from_str(&run.out).expect("JSON")
}

pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_exectrace"));
    // Tests leave nothing in the folders of whoever runs them.
    command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command
}

pub(crate) fn bytes_of(values: &[Value<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    values.iter().for_each(|value| put_value(&mut bytes, value));
    bytes
}

pub(crate) fn text(text: &[u8]) -> Value<'_> {
    Value::Str(Text::cut(text, TEXT_BYTES_MAX))
}

/// The builder's own words, shorter.
pub(crate) trait Words {
    fn site(&mut self, id: u32, kind: CallsiteKind, path: &str, arguments: &[&str]);
    fn begin_with(&mut self, thread: u32, at: u64, site: u32, values: &[Value<'_>]);
    fn region_with(&mut self, thread: u32, at: u64, site: u32, ns: u64, values: &[Value<'_>]);
    fn log(&mut self, thread: u32, at: u64, site: u32, message: &[u8]);
}

impl Words for TraceBuilder {
    fn site(&mut self, id: u32, kind: CallsiteKind, path: &str, arguments: &[&str]) {
        let (module, name) = path.rsplit_once("::").unwrap_or(("", path));
        let arguments = arguments.iter().map(|name| (name.as_bytes(), ArgumentKind::Typed));
        self.define(&Definition::Callsite {
            id: SiteId(id),
            kind,
            name: name.as_bytes(),
            module: module.as_bytes(),
            file: b"src/main.rs",
            line: 10 * id,
            column: 5,
            min: Nanos(0),
            arguments: arguments.collect(),
        });
    }

    fn begin_with(&mut self, thread: u32, at: u64, site: u32, values: &[Value<'_>]) {
        let bytes = bytes_of(values);
        let (site, values) = (SiteId(site), Values::new(&bytes));
        self.event(thread, at, EventKind::RegionBegin { site, values });
    }

    fn region_with(&mut self, thread: u32, at: u64, site: u32, ns: u64, values: &[Value<'_>]) {
        let bytes = bytes_of(values);
        let (site, duration, values) = (SiteId(site), Ticks(ns), Values::new(&bytes));
        self.event(thread, at, EventKind::Region { site, duration, values });
    }

    fn log(&mut self, thread: u32, at: u64, site: u32, message: &[u8]) {
        let text = Text::cut(message, 8192);
        self.event(thread, at, EventKind::Log { site: SiteId(site), text });
    }
}

/// Two threads of a small program: a request on `main` that a worker works for.
pub(crate) fn request() -> Vec<u8> {
    request_builder().stop(1_000_000)
}

pub(crate) fn request_builder() -> TraceBuilder {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.site(1, CallsiteKind::Function, "app::main", &[]);
    trace.site(2, CallsiteKind::Function, "app::work::load", &["id", "path"]);
    trace.site(3, CallsiteKind::Region, "app::work::parse", &["n"]);
    trace.site(4, CallsiteKind::Counter, "app::queue", &[]);
    trace.site(5, CallsiteKind::Log, "app::note", &[]);
    trace.site(6, CallsiteKind::Instant, "app::tick", &["n"]);
    trace.thread(1, "main");
    trace.thread(2, "worker");
    trace.begin(1, 1, 1000);
    let (task, name) = (TaskId(1), Text::cut(b"request", 256));
    trace.event(1, 2000, EventKind::TaskBegin { task, parent: TaskId(0), name });
    trace.event(1, 3000, EventKind::Counter { site: SiteId(4), value: Value::U64(3) });
    trace.event(2, 10_000, EventKind::TaskRunBegin { task });
    trace.begin_with(2, 20_000, 2, &[Value::U64(7), text(b"/tmp/a b")]);
    for at in 0..10 {
        trace.region_with(2, 30_000 + at * 10_000, 3, 1000 + at * 100, &[Value::I64(at as i64)]);
    }
    trace.log(2, 200_000, 5, b"halfway");
    let bytes = bytes_of(&[text(b"no such file")]);
    let (outcome, values) = (Outcome::Failed, Values::new(&bytes));
    trace.event(2, 300_000, EventKind::EndValue { outcome, values });
    trace.end(2, 310_000);
    let bytes = bytes_of(&[Value::U64(1)]);
    trace.event(2, 320_000, EventKind::Instant { site: SiteId(6), values: Values::new(&bytes) });
    trace.event(1, 400_000, EventKind::TaskEnd { task });
    trace.end(1, 501_000);
    trace
}

/// Much of everything: four threads, many batches and generations, nested regions, tasks.
pub(crate) fn long() -> Vec<u8> {
    let mut trace = TraceBuilder::started(Compression::Lz4);
    trace.batch_bytes_max(4096);
    for site in 1..=10 {
        let path = format!("app::module_{}::function_number_{site}", site % 3);
        trace.site(site, CallsiteKind::Function, &path, &["n"]);
    }
    for thread in 1..=4 {
        trace.thread(thread, &format!("worker-{thread}"));
    }
    for round in 0..2000_u64 {
        let (thread, now) = (1 + (round % 4) as u32, round * 10_000);
        if round % 500 == 499 {
            trace.generation(now);
        }
        trace.begin_with(thread, now, 1 + (round % 5) as u32, &[Value::U64(round)]);
        let task = TaskId(round + 1);
        let (parent, name) = (TaskId(round / 10 * 10), Text::cut(b"job", 256));
        trace.event(thread, now + 10, EventKind::TaskBegin { task, parent, name });
        for inner in 0..10 {
            trace.region(thread, 6 + (inner % 5) as u32, now + 100 + inner * 300, 50 + inner * 7);
        }
        trace.event(thread, now + 5000, EventKind::TaskEnd { task });
        trace.end(thread, now + 6000);
    }
    trace.stop(20_000_000)
}
