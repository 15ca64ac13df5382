//! The feature `names`: traces and snapshots with the names of their functions can be read without
//! the program's file, and name functions as `exectrace symbolize` does with it. Resolving names
//! never blocks a forked child or a panicking thread for ever.
//!
//! The programs are copies of this test program, which are removed after they ran. Elsewhere: pages
//! over HTTP (`trace-http/tests/names.rs`), the spelling of functions (`trace_format::function`).
#![cfg(target_os = "linux")]

#[path = "common/child.rs"]
mod child;
mod common;
#[path = "common/limits.rs"]
mod limits;

use child::in_child;
use common::{Ends, alone, annotated, in_own_process, with_calls};
use exectrace::{FlightRecorder, Options, Rotation, Stacks, start_file_with, start_rotating};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use trace_analysis::symbols::{Function, Symbols};
use trace_format::read::TraceFile;

/// Tells a copy of this program where to write.
const FOLDER: &str = "EXECTRACE_TEST_NAMES";

/// The command's arguments, one per line.
const WORDS: &str = "EXECTRACE_TEST_WORDS";

/// Not a test: what a copy of this program does.
#[test]
fn as_the_program() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let options = with_calls().stacks(Stacks::All);
    let traced = |options: Options, name: &str, act: &dyn Fn()| {
        let file = fs::File::create(folder.join(name)).expect("a name is free");
        let trace = exectrace::start_with(options, file).expect("no trace is running");
        act();
        trace.stop().expect("there is room");
    };
    let named = options.clone().names(true);
    traced(named.clone(), "named.trace", &outer);
    traced(options.clone(), "plain.trace", &outer);
    let trace = start_file_with(named.clone(), folder.join("mapped.trace")).expect("there is room");
    outer();
    trace.stop().expect("there is room");

    let rotation = Rotation::new(64 << 20).part_bytes(64 << 10);
    let trace = start_rotating(named.clone(), rotation, folder.join("parts.trace"));
    let trace = trace.expect("there is room");
    outer();
    let is_next = || folder.join("parts.000001.trace").exists();
    common::waiting::wait_until("a part ends", || {
        (0..1000).for_each(|_| leaf());
        is_next()
    });
    outer();
    trace.stop().expect("there is room");

    let recorder = FlightRecorder::builder().options(options).start().expect("none is running");
    // This trace has names, although the recorder's options do not ask for them, and ends while
    // names are resolved.
    traced(named, "beside.trace", &outer);
    let create = |name: &str| fs::File::create(folder.join(name)).expect("a name is free");
    recorder.snapshot_with_names(create("snapshot.trace")).expect("there is room");
    recorder.snapshot(create("nameless.trace")).expect("there is room");
}

#[inline(never)]
fn outer() {
    let worker = thread::Builder::new().name("worker".to_owned()).spawn(inner);
    worker.expect("a thread").join().expect("it has not panicked");
}

#[inline(never)]
fn inner() {
    inlined();
    leaf();
}

#[inline(always)]
fn inlined() {
    thread::sleep(Duration::from_millis(3));
}

#[exectrace::traced]
fn leaf() {
    std::hint::black_box(0);
}

/// Not a test: runs the command itself if [`WORDS`] is set.
#[test]
fn as_the_command() {
    let Ok(words) = std::env::var(WORDS) else { return };
    let words = ["exectrace"].into_iter().chain(words.lines()).map(OsString::from);
    let code = trace_tool::run(words);
    std::process::exit(i32::from(code != ExitCode::SUCCESS));
}

/// Runs the command with these arguments, which must succeed. Returns its output.
fn command(folder: &Path, words: &[&str]) -> String {
    let own = std::env::current_exe().expect("this program is a file");
    let mut command = Command::new(own);
    command.args(["--exact", "as_the_command", "--nocapture"]).current_dir(folder);
    command.env(WORDS, words.join("\n")).env_remove("RUST_BACKTRACE");
    let output = command.output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{words:?}: {error}{out}");
    assert!(!error.contains("no names for"), "{words:?}: {error}");
    out
}

/// Functions with files and lines, by address.
type Functions = BTreeMap<u64, Vec<(String, String, u32)>>;

fn read(folder: &Path, name: &str) -> TraceFile<fs::File> {
    let file = fs::File::open(folder.join(name)).expect("it is there");
    let file = TraceFile::open(file).expect("a trace");
    assert!(file.is_complete() && file.faults().is_empty(), "{name}: {:?}", file.faults());
    file
}

/// The functions in a trace, as readers see them: `./a.rs` and `a.rs` are one spelling.
fn functions(file: &TraceFile<fs::File>) -> Functions {
    let symbols = Symbols::of_trace(file.tables());
    let plain = |of: &Function| (of.name.clone(), of.file.clone(), of.line);
    symbols.iter().map(|(at, functions)| (at, functions.iter().map(plain).collect())).collect()
}

/// The folder with traces of a copy of this program, which has been removed. The tool named
/// `symbolized.trace` while the copy was there.
static RECORDED: LazyLock<PathBuf> = LazyLock::new(|| {
    // On a busy machine there may be no time for all names; then the trace says so.
    (0..5).map(|_| record()).find(|folder| !is_out_of_time(folder)).expect("there is time once")
});

/// The traces of [`RECORDED`] that have names.
const NAMED: [&str; 6] = [
    "named.trace",
    "mapped.trace",
    "parts.trace",
    "parts.000001.trace",
    "beside.trace",
    "snapshot.trace",
];

/// Whether one of the traces says that there was no time for all names.
fn is_out_of_time(folder: &Path) -> bool {
    NAMED.iter().any(|name| has_no_time(&read(folder, name)))
}

fn has_no_time(file: &TraceFile<fs::File>) -> bool {
    let note = &file.tables().facilities["symbols"].note;
    note.contains("no time") || note.contains("too long")
}

fn record() -> PathBuf {
    let folder = common::fixture::folder("names");
    let program = folder.join("program");
    let own = std::env::current_exe().expect("this program is a file");
    common::fixture::copy_program(&own, &program);
    let mut command = Command::new(&program);
    command.args(["--exact", "as_the_program", "--test-threads=1"]).env(FOLDER, &folder);
    let output = command.output().expect("it can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    self::command(&folder, &["symbolize", "plain.trace", "-o", "symbolized.trace", "--no-cache"]);
    fs::remove_file(program).expect("it was copied");
    folder
}

/// Whether this is the path of this source file in debug information.
fn is_here(file: &str) -> bool {
    file.ends_with("tests/names.rs")
}

#[test]
fn a_trace_with_names_is_read_where_the_program_is_not() {
    let folder = &*RECORDED;
    for name in NAMED {
        let found = functions(&read(folder, name));
        // An inlined function stands before the function that contains it, each with its own line.
        let is_one = |functions: &Vec<(String, String, u32)>| {
            let at = |name: &str| functions.iter().position(|it| it.0.ends_with(name));
            let here = functions.iter().filter(|it| is_here(&it.1) && it.2 > 0).count();
            // If only line tables have a function, it has no path.
            at("inlined").zip(at("names::inner")).is_some_and(|(a, b)| a < b) && here >= 2
        };
        assert!(found.values().any(is_one), "{name}: {found:#?}");
        let blocked = command(folder, &["blocked", name, "--no-cache"]);
        assert!(blocked.contains("names.rs:"), "{name}: {blocked}");
        let words = ["profile", name, "--kind", "block", "--format", "folded", "-o", "-"];
        let profile = command(folder, &[&words[..], &["--no-cache"]].concat());
        assert!(profile.contains("names::inner"), "{name}: {profile}");
        let events = command(folder, &["events", name, "--stacks", "--no-cache"]);
        assert!(events.contains("names::outer") && events.contains("names.rs:"), "{events}");
        command(folder, &["explain", name, "--no-cache"]);
    }
}

#[test]
fn names_are_those_that_symbolize_finds_where_the_program_is() {
    let by_tool = functions(&read(&RECORDED, "symbolized.trace"));
    let snapshot = read(&RECORDED, "snapshot.trace");
    let by_recorder = functions(&snapshot);
    // Each of the two traces has the stacks that it uses.
    let stacks = snapshot.tables().stacks.values().flat_map(|stack| &stack.addresses);
    let both: BTreeMap<_, _> = stacks.filter_map(|it| by_tool.get_key_value(it)).collect();
    assert!(both.len() > 10, "{both:#?}");
    for (address, functions) in both {
        assert_eq!(by_recorder.get(address), Some(functions));
    }
}

#[test]
fn what_is_not_asked_for_is_not_there_and_what_was_says_what_it_took() {
    let folder = &*RECORDED;
    for name in ["plain.trace", "nameless.trace"] {
        let file = read(folder, name);
        assert!(functions(&file).is_empty(), "{name}");
        assert!(!file.tables().facilities.contains_key("symbols"), "{name}");
    }
    let file = read(folder, "named.trace");
    let told = &file.tables().facilities["symbols"];
    assert!(told.on && told.note.contains(" addresses were named in "), "{told:?}");
    // The function where the worker began is in none of its stacks.
    let entries = file.tables().threads.values().map(|thread| thread.entry);
    let named = functions(&file);
    let of_entries: Vec<_> = entries.filter(|entry| *entry != 0).collect();
    assert!(!of_entries.is_empty() && of_entries.iter().all(|entry| named.contains_key(entry)));
}

#[test]
fn where_memory_is_short_the_trace_is_whole_and_says_that_names_are_left_out() {
    let name = "where_memory_is_short_the_trace_is_whole_and_says_that_names_are_left_out";
    if !in_own_process(name) {
        return;
    }
    let _alone = alone();
    limits::one_arena();
    let memory = common::writers::Memory::default();
    let options = annotated().stacks(Stacks::All).names(true);
    let trace = exectrace::start_with(options, memory.clone()).expect("no trace is running");
    leaf();
    // Less memory than reading the file of this program takes.
    limits::lower(libc::RLIMIT_AS, limits::address_space() + (40 << 20));
    trace.stop().expect("memory takes all");
    let file = TraceFile::open(memory.take()).expect("a trace");
    assert!(file.is_complete());
    let told = &file.tables().facilities["symbols"];
    assert!(told.note.contains("there was too little memory for the rest"), "{told:?}");
}

/// Calls `act` while another thread takes snapshots with names; at least one is complete.
fn resolving(recorder: &FlightRecorder, act: impl FnOnce()) {
    static DONE: AtomicU64 = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    let before = DONE.load(Ordering::Relaxed);
    thread::scope(|scope| {
        let _ends = Ends(&is_over);
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                recorder.snapshot_with_names(std::io::sink()).expect("a sink takes all");
                DONE.fetch_add(1, Ordering::Relaxed);
                // A thread that waits for its turn checks every millisecond.
                thread::sleep(Duration::from_millis(5));
            }
        });
        common::waiting::wait_until("names are resolved", || DONE.load(Ordering::Relaxed) > before);
        act();
    });
}

fn recorder() -> FlightRecorder {
    let options = annotated().stacks(Stacks::All).names(true);
    let limits = (Duration::ZERO, 3);
    let builder = FlightRecorder::builder().options(options).dumps(limits.0, limits.1);
    let recorder = builder.start().expect("none is running");
    leaf();
    recorder
}

#[test]
fn a_child_that_is_forked_while_names_are_resolved_can_resolve_some() {
    if !in_own_process("a_child_that_is_forked_while_names_are_resolved_can_resolve_some") {
        return;
    }
    let _alone = alone();
    let recorder = recorder();
    resolving(&recorder, || {
        for round in 0..8 {
            let said = in_child(|| {
                let found = backtrace::Backtrace::new();
                assert!(!found.frames().is_empty());
                // And the recorder does so itself in the child's own trace.
                if round % 4 == 0 {
                    let bytes = common::writers::Memory::default();
                    let options = annotated().stacks(Stacks::All).names(true);
                    let trace = exectrace::start_with(options, bytes.clone());
                    leaf();
                    trace.expect("none runs in the child").stop().expect("memory takes all");
                    let file = TraceFile::open(bytes.take()).expect("a trace");
                    assert!(!file.tables().symbols.is_empty(), "no names");
                }
                "fine".to_owned()
            });
            assert_eq!(said, "fine");
        }
    });
}

#[test]
fn a_panic_while_names_are_resolved_has_its_backtrace_and_its_dump() {
    if !in_own_process("a_panic_while_names_are_resolved_has_its_backtrace_and_its_dump") {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    static CAUGHT: AtomicU64 = AtomicU64::new(0);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // As the panic hooks of many programs do; the standard library's hook is called, too.
        let own = format!("{:?}", backtrace::Backtrace::new());
        let std = std::backtrace::Backtrace::force_capture().to_string();
        let is_named = |text: &str| text.contains("panics_with_stack");
        CAUGHT.fetch_add(u64::from(is_named(&own) && is_named(&std)), Ordering::Relaxed);
        before(info);
    }));
    let recorder = recorder();
    recorder.on_panic(folder.path()).expect("a folder");
    resolving(&recorder, || {
        for _ in 0..3 {
            let panicked =
                thread::Builder::new().name("panics".to_owned()).spawn(panics_with_stack);
            panicked.expect("a thread").join().expect_err("it panics");
        }
    });
    assert_eq!(CAUGHT.load(Ordering::Relaxed), 3);
    let dumps = fs::read_dir(folder.path()).expect("a folder").map(|it| it.expect("a name").path());
    let dumps: Vec<PathBuf> = dumps.collect();
    assert_eq!(dumps.len(), 3, "{dumps:?}");
    for dump in dumps {
        let file = TraceFile::open(fs::File::open(&dump).expect("it is there")).expect("a trace");
        let functions = functions(&file);
        let is_leaf = |it: &(String, String, u32)| it.0.ends_with("names::leaf") && is_here(&it.1);
        assert!(functions.values().flatten().any(is_leaf), "{}", dump.display());
    }
}

#[inline(never)]
fn panics_with_stack() {
    leaf();
    panic!("on purpose");
}
