//! Names from program files: inlined calls, symbol tables, separate debug information, and files
//! that are the wrong ones; and `exectrace symbolize`, which puts them into a trace.
//!
//! The program is made here, by the compiler that runs these tests, and taken apart by `objcopy`,
//! which is where a linker is.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::SystemTime;

use common::Bench;
use object::read::{Object, ObjectSymbol};
use tempfile::TempDir;
use trace_analysis::symbols::{Function, Symbols};
use trace_format::batch::Compression;
use trace_format::definition::Definition;
use trace_format::id::{CallId, OpenCall, ResourceId, StackId};
use trace_format::read::{Module, TraceFile};
use trace_format::testgen::TraceBuilder;
use trace_tool::symbols::binaries::{Binaries, Lacking, Options};
use trace_tool::symbols::program::Program;
use trace_tool::symbols::{Unnamed, name};

/// Line 3 is inlined into line 7.
const SOURCE: &str = "
#[inline(always)]
fn inner(n: u64) -> u64 { std::hint::black_box(n) / std::hint::black_box(3) }

pub mod work {
    #[inline(never)]
    pub fn outer(n: u64) -> u64 { super::inner(n) + std::hint::black_box(1) }
}

fn main() { println!(\"{}\", work::outer(std::env::args().count() as u64)); }
";

/// Where the traced program had its code.
const BIAS: u64 = 0x5555_5555_4000;

/// The program as it was built, once for all tests.
struct Built {
    path: PathBuf,
    module: Module,
    /// All addresses of `work::outer`, in memory.
    outer: Vec<u64>,
}

static BUILT: LazyLock<Built> = LazyLock::new(|| {
    // Not in a temporary folder: statics are never dropped, so nobody would take it away.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("symbolize");
    fs::create_dir_all(&folder).expect("room");
    build("full", &folder)
});

fn build(debug_information: &str, folder: &Path) -> Built {
    let (source, path) = (folder.join("program.rs"), folder.join("program"));
    // Put in place at once, as these tests may run twice at a time; equal sources are equal
    // programs.
    let fresh = TempDir::new_in(folder).expect("room");
    let (new_source, new) = (fresh.path().join("program.rs"), fresh.path().join("program"));
    fs::write(&new_source, SOURCE).expect("room");
    fs::rename(new_source, &source).expect("the same disk");
    let mut rustc = Command::new("rustc");
    rustc.arg(format!("-Cdebuginfo={debug_information}")).arg(&source).arg("-o").arg(&new);
    run(rustc.args(["-O", "-Clink-arg=-Wl,--build-id"]).current_dir(folder));
    fs::rename(new, &path).expect("the same disk");
    let bytes = fs::read(&path).expect("the program");
    let file = object::File::parse(bytes.as_slice()).expect("a program");
    let mut symbols = file.symbols();
    let outer = symbols.find(|symbol| symbol.name().is_ok_and(|name| name.contains("outer")));
    let outer = outer.expect("a function that is never inlined");
    let outer = (outer.address()..outer.address() + outer.size()).map(|at| at + BIAS).collect();
    let build_id = Program::open(&path).expect("a program").build_id;
    assert!(!build_id.is_empty());
    let module = module(&path, build_id);
    Built { path, module, outer }
}

fn module(path: &Path, build_id: Vec<u8>) -> Module {
    let path = path.to_str().expect("a path of letters").to_owned();
    Module { first: BIAS, last: BIAS + (1 << 24), bias: BIAS, build_id, path }
}

fn run(command: &mut Command) {
    let output = command.output().expect("it is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A copy of the program that `objcopy` has changed.
fn objcopy(options: &[&str], from: &Path, to: &Path) {
    run(Command::new("objcopy").args(options).arg(from).arg(to));
}

/// Names all addresses of `work::outer`, and says which functions were seen, each as
/// `name file:line` with the file's last part.
fn seen(module: &Module, options: &Options) -> (BTreeSet<String>, Vec<Unnamed>) {
    seen_at(&BUILT.outer, module, options)
}

fn seen_at(
    addresses: &[u64],
    module: &Module,
    options: &Options,
) -> (BTreeSet<String>, Vec<Unnamed>) {
    let mut symbols = Symbols::default();
    symbols.add_module(module.clone());
    let binaries = Binaries::new(options, SystemTime::now()).expect("programs");
    let unnamed = name(&mut symbols, addresses.iter().copied(), &binaries);
    let functions = symbols.iter().flat_map(|(_, functions)| functions);
    let shown = |function: &Function| {
        let file = function.file.rsplit('/').next().unwrap_or_default();
        format!("{} {file}:{}", function.name, function.line)
    };
    (functions.map(shown).collect(), unnamed)
}

fn given(paths: &[&Path]) -> Options {
    let binary = paths.iter().map(|path| path.to_path_buf()).collect();
    Options { binary, debug_dir: Vec::new() }
}

/// With file and line, of the caller and of what was inlined into it.
fn has_all(seen: &BTreeSet<String>) -> bool {
    let wanted = ["program::inner program.rs:3", "program::work::outer program.rs:7"];
    wanted.iter().all(|wanted| seen.contains(*wanted))
}

/// Names without lines, as of a symbol table.
fn has_names_only(seen: &BTreeSet<String>) -> bool {
    seen.iter().eq(["program::work::outer :0"])
}

#[test]
fn an_inlined_call_comes_before_its_caller_with_files_and_lines() {
    let mut symbols = Symbols::default();
    symbols.add_module(BUILT.module.clone());
    let binaries = Binaries::new(&Options::default(), SystemTime::now()).expect("programs");
    let unnamed = name(&mut symbols, BUILT.outer.iter().copied(), &binaries);
    assert!(unnamed.is_empty(), "{unnamed:?}");
    let all = BUILT.outer.iter().map(|address| symbols.frames(&[*address]));
    let inlined = all.clone().filter(|frames| frames.iter().any(|it| it.name == "program::inner"));
    for frames in inlined.clone() {
        let outermost = frames.last().expect("not empty");
        assert_eq!((&*outermost.name, outermost.line), ("program::work::outer", 7));
        let inner = frames.iter().find(|it| it.name == "program::inner").expect("filtered");
        assert!(inner.inlined && !outermost.inlined);
    }
    assert!(inlined.count() > 0, "{:?}", all.collect::<Vec<_>>());
}

#[test]
fn where_debug_information_has_lines_alone_names_still_have_their_paths() {
    let folder = TempDir::new().expect("a folder");
    let built = build("line-tables-only", folder.path());
    let (seen, unnamed) = seen_at(&built.outer, &built.module, &Options::default());
    assert!(unnamed.is_empty(), "{unnamed:?}");
    // The symbol table has the path of the caller; of what was inlined nobody has it.
    let wanted = ["program::work::outer program.rs:7", "inner program.rs:3"];
    assert!(wanted.iter().all(|wanted| seen.contains(*wanted)), "{seen:?}");
    let others = seen.iter().filter(|name| !name.contains("program.rs"));
    assert!(others.clone().all(|name| name.starts_with("core::")), "by their files: {seen:?}");
}

#[test]
fn without_debug_information_the_symbol_table_serves() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("program");
    objcopy(&["--strip-debug"], &BUILT.path, &path);
    let (seen, unnamed) = seen(&module(&path, BUILT.module.build_id.clone()), &Options::default());
    assert!(has_names_only(&seen), "{seen:?}");
    assert!(unnamed.is_empty(), "{unnamed:?}");
}

#[test]
fn a_stripped_program_is_named_by_the_one_that_was_not() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("program");
    objcopy(&["--strip-all"], &BUILT.path, &path);
    let module = module(&path, BUILT.module.build_id.clone());
    let (nothing, unnamed) = seen(&module, &Options::default());
    assert!(nothing.is_empty(), "{nothing:?}");
    assert!(matches!(unnamed[0].why, Lacking::Stripped { .. }), "{unnamed:?}");
    assert_eq!(unnamed[0].addresses, BUILT.outer.len() as u64);
    let (named, unnamed) = seen(&module, &given(&[&BUILT.path]));
    assert!(has_all(&named) && unnamed.is_empty(), "{named:?} {unnamed:?}");
}

#[test]
fn separate_debug_information_is_found_by_link_and_by_build_id() {
    let folder = TempDir::new().expect("a folder");
    let (path, debug) = (folder.path().join("program"), folder.path().join("the.debug"));
    objcopy(&["--only-keep-debug"], &BUILT.path, &debug);
    let link = format!("--add-gnu-debuglink={}", debug.display());
    objcopy(&["--strip-all", &link], &BUILT.path, &path);
    let stripped = module(&path, BUILT.module.build_id.clone());
    let by_link = seen(&stripped, &Options::default());
    assert!(has_all(&by_link.0), "beside the program: {by_link:?}");

    let elsewhere = TempDir::new().expect("a folder");
    let hex = trace_tool::symbols::program::hex(&stripped.build_id);
    let by_id = elsewhere.path().join(format!(".build-id/{}/{}.debug", &hex[..2], &hex[2..]));
    fs::create_dir_all(by_id.parent().expect("a folder")).expect("room");
    fs::rename(&debug, &by_id).expect("the same disk");
    let gone = seen(&stripped, &Options::default());
    assert!(gone.0.is_empty(), "{gone:?}");
    let debug_dir = vec![elsewhere.path().to_path_buf()];
    let found = seen(&stripped, &Options { binary: Vec::new(), debug_dir });
    assert!(has_all(&found.0), "by build id: {found:?}");
    // And when the program itself is gone.
    fs::remove_file(&path).expect("it is there");
    let debug_dir = vec![elsewhere.path().to_path_buf()];
    let found = seen(&stripped, &Options { binary: Vec::new(), debug_dir });
    assert!(has_all(&found.0), "without the program: {found:?}");
}

#[test]
fn debug_information_of_another_program_is_not_taken() {
    let folder = TempDir::new().expect("a folder");
    let (path, debug) = (folder.path().join("program"), folder.path().join("the.debug"));
    objcopy(&["--only-keep-debug", "--remove-section=.note.gnu.build-id"], &BUILT.path, &debug);
    let link = format!("--add-gnu-debuglink={}", debug.display());
    objcopy(&["--strip-all", &link], &BUILT.path, &path);
    let stripped = module(&path, BUILT.module.build_id.clone());
    let by_checksum = seen(&stripped, &Options::default());
    assert!(has_all(&by_checksum.0), "without a build id the checksum tells: {by_checksum:?}");
    let mut bytes = fs::read(&debug).expect("it is there");
    *bytes.last_mut().expect("not empty") ^= 1;
    fs::write(&debug, bytes).expect("room");
    let changed = seen(&stripped, &Options::default());
    assert!(changed.0.is_empty(), "{changed:?}");
}

#[test]
fn another_build_gives_no_names_and_says_so() {
    let mut other = BUILT.module.clone();
    other.build_id[0] ^= 1;
    for options in [Options::default(), given(&[&BUILT.path])] {
        let (seen, unnamed) = seen(&other, &options);
        assert!(seen.is_empty(), "{seen:?}");
        let [Unnamed { module, why, .. }] = unnamed.as_slice() else { panic!("{unnamed:?}") };
        assert_eq!(module, "program");
        assert!(matches!(why, Lacking::OtherBuild { .. }), "{why:?}");
        let text = why.to_string();
        let ids = [&BUILT.module.build_id, &other.build_id];
        assert!(ids.iter().all(|id| text.contains(&trace_tool::symbols::program::hex(id))));
    }
}

#[test]
fn without_build_ids_age_or_somebodys_word_decides() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("program");
    objcopy(&["--remove-section=.note.gnu.build-id"], &BUILT.path, &path);
    let module = module(&path, Vec::new());
    assert!(has_all(&seen(&module, &Options::default()).0), "older than the trace");
    let mut symbols = Symbols::default();
    symbols.add_module(module.clone());
    let long_ago = SystemTime::UNIX_EPOCH;
    let young = Binaries::new(&Options::default(), long_ago).expect("programs");
    let unnamed = name(&mut symbols, BUILT.outer.iter().copied(), &young);
    assert!(matches!(unnamed[0].why, Lacking::Changed { .. }), "{unnamed:?}");
    let vouched = Binaries::new(&given(&[&path]), long_ago).expect("programs");
    let unnamed = name(&mut symbols, BUILT.outer.iter().copied(), &vouched);
    assert!(unnamed.is_empty(), "{unnamed:?}");
}

#[test]
fn what_is_no_regular_file_is_not_opened() {
    let folder = TempDir::new().expect("a folder");
    let pipe = folder.path().join("pipe");
    run(Command::new("mkfifo").arg(&pipe));
    let garbage = folder.path().join("garbage");
    fs::write(&garbage, [0x7f; 5000]).expect("room");
    let nowhere = folder.path().join("nowhere");
    for path in [Path::new("/dev/zero"), folder.path(), &pipe, &garbage, &nowhere] {
        let (seen, unnamed) = seen(&module(path, vec![1, 2, 3]), &Options::default());
        assert!(seen.is_empty());
        assert!(matches!(unnamed[0].why, Lacking::Missing { .. }), "{path:?}: {unnamed:?}");
        assert!(Binaries::new(&given(&[path]), SystemTime::now()).is_err(), "{path:?}");
    }
    let (_, unnamed) = seen(&module(Path::new("linux-vdso.so.1"), vec![1]), &Options::default());
    assert!(!unnamed[0].why.is_news(), "nobody can do anything about it: {unnamed:?}");
}

#[test]
fn a_damaged_program_names_what_it_can_and_nothing_panics() {
    let folder = TempDir::new().expect("a folder");
    let whole = fs::read(&BUILT.path).expect("the program");
    let path = folder.path().join("program");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..40 {
        let mut bytes = whole.clone();
        for _ in 0..200 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            // The headers stay whole half of the time: else nothing further in is reached.
            let from = if round % 2 == 0 { 4096 } else { 0 };
            let at = from + (random >> 8) as usize % (bytes.len() - from);
            bytes[at] = random as u8;
        }
        bytes.truncate(if round % 5 == 4 { bytes.len() / 2 } else { bytes.len() });
        fs::write(&path, bytes).expect("room");
        let build_id = Program::open(&path).map_or_else(|_| vec![1], |program| program.build_id);
        let _ = seen(&module(&path, build_id), &Options::default());
    }
}

/// A trace with one stack in the program: two addresses of `work::outer`, and one of the kernel's.
fn trace(module: &Module) -> Vec<u8> {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "main");
    let (build_id, path) = (module.build_id.as_slice(), module.path.as_bytes());
    let (first, last, bias) = (module.first, module.last, module.bias);
    trace.define(&Definition::Module { first, last, bias, build_id, path });
    let (first, last) = (0x7fff_0000, 0x7fff_1000);
    let (bias, build_id, path) = (first, [7].as_slice(), b"linux-vdso.so.1".as_slice());
    trace.define(&Definition::Module { first, last, bias, build_id, path });
    trace.stack(1, &[first + 4, BUILT.outer[0], BUILT.outer[1]]);
    let open = OpenCall { call: CallId(1), stack: StackId(1), resource: ResourceId(0) };
    trace.call(1, open, 1000, 500, 10);
    trace.stop(5000)
}

fn names_in(path: &Path) -> BTreeSet<String> {
    let file = TraceFile::open(fs::File::open(path).expect("it is there")).expect("a trace");
    assert!(file.is_complete() && file.faults().is_empty(), "{:?}", file.faults());
    let functions = file.tables().symbols.values().flatten();
    functions.map(|function| function.name.clone()).collect()
}

#[test]
fn a_symbolised_trace_needs_the_program_no_more() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("moved");
    fs::copy(&BUILT.path, &path).expect("room");
    let bench = Bench::new(&trace(&module(&path, BUILT.module.build_id.clone())));
    let run = bench.run("symbolize FILE -o named.trace");
    assert_eq!((run.err.as_str(), run.code), ("", Some(0)));
    assert_eq!(run.out, "2 of 3 addresses named in named.trace\n");
    let named = bench.path("named.trace");
    assert!(names_in(&named).contains("program::work::outer"));
    let before = names_in(&named);
    fs::remove_file(&path).expect("it is there");
    // Once more, without the program: nothing is lost, and nothing is missing.
    let again = bench.run("symbolize named.trace -o again.trace");
    assert_eq!((again.err.as_str(), again.code), ("", Some(0)));
    assert_eq!(names_in(&bench.path("again.trace")), before);
    let too_late = bench.run("symbolize FILE -o nameless.trace");
    assert_eq!(too_late.code, Some(1));
    assert!(too_late.err.contains("no names for 2 addresses of moved: "), "{}", too_late.err);
}

#[test]
fn symbolising_twice_adds_nothing_and_better_names_win() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("program");
    objcopy(&["--strip-debug"], &BUILT.path, &path);
    let bench = Bench::new(&trace(&module(&path, BUILT.module.build_id.clone())));
    let ran = |line: &str| assert_eq!(bench.run(line).code, Some(0), "{line}");
    let lines = |name: &str| {
        let file = fs::File::open(bench.path(name)).expect("it is there");
        let file = TraceFile::open(file).expect("a trace");
        file.tables().symbols.values().flatten().filter(|function| function.line > 0).count()
    };
    ran("symbolize FILE -o one.trace");
    ran("symbolize one.trace -o two.trace");
    let bytes = |name: &str| fs::metadata(bench.path(name)).expect("it is there").len();
    assert_eq!(bytes("one.trace"), bytes("two.trace"));
    assert_eq!(lines("two.trace"), 0);
    let better = format!("symbolize two.trace -o three.trace --binary {}", BUILT.path.display());
    ran(&better);
    assert!(lines("three.trace") > 0);
    ran("check three.trace");
}

#[test]
fn a_binary_of_no_module_and_an_output_onto_the_trace_are_told() {
    let bench = Bench::new(&trace(&BUILT.module));
    let run = bench.run("symbolize FILE -o b.trace --binary /bin/sh");
    assert!(run.err.contains("/bin/sh: is no module of this trace (build id "), "{}", run.err);
    for line in ["symbolize FILE -o FILE", "symbolize FILE --binary nowhere -o b.trace"] {
        let run = bench.run(line);
        assert_eq!((run.out.as_str(), run.code), ("", Some(2)), "{line}");
        assert_eq!(run.err.lines().count(), 1, "{}", run.err);
    }
    assert!(names_in(&bench.path("a.trace")).is_empty(), "the trace is as it was");
}
