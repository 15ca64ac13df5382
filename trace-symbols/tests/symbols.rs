//! Names from program files: inlined calls, symbol tables, separate debug information, and wrong
//! files.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use common::program::{BUILT, build, module, objcopy, run};
use tempfile::TempDir;
use trace_analysis::symbols::{Function, Symbols};
use trace_format::read::Module;
use trace_symbols::binaries::{Binaries, Lacking};
use trace_symbols::cache::Cache;
use trace_symbols::program::{Program, hex};
use trace_symbols::{Unnamed, name};

/// Files that the user gives.
#[derive(Default)]
struct Options {
    binary: Vec<PathBuf>,
    debug_dir: Vec<PathBuf>,
}

impl Options {
    fn open(&self, began: SystemTime) -> io::Result<Binaries> {
        let mut binaries = Binaries::new(began);
        self.binary.iter().try_for_each(|path| binaries.give(path))?;
        self.debug_dir.iter().for_each(|directory| binaries.look_in(directory));
        Ok(binaries)
    }
}

/// Names all addresses of `work::outer`, and returns the functions found, each as `name file:line`
/// with the file's last part.
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
    let binaries = options.open(SystemTime::now()).expect("programs");
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

/// True if the caller and the inlined function have file and line.
fn has_all(seen: &BTreeSet<String>) -> bool {
    let wanted = ["program::inner program.rs:3", "program::work::outer program.rs:7"];
    wanted.iter().all(|wanted| seen.contains(*wanted))
}

/// True if there are names without lines, as from a symbol table.
fn has_names_only(seen: &BTreeSet<String>) -> bool {
    seen.iter().eq(["program::work::outer :0"])
}

#[test]
fn an_inlined_call_comes_before_its_caller_with_files_and_lines() {
    let mut symbols = Symbols::default();
    symbols.add_module(BUILT.module.clone());
    let binaries = Binaries::new(SystemTime::now());
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
    // The symbol table has the path of the caller; nothing has the path of the inlined function.
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
    let id = hex(&stripped.build_id);
    let by_id = elsewhere.path().join(format!(".build-id/{}/{}.debug", &id[..2], &id[2..]));
    fs::create_dir_all(by_id.parent().expect("a folder")).expect("room");
    fs::rename(&debug, &by_id).expect("the same disk");
    let gone = seen(&stripped, &Options::default());
    assert!(gone.0.is_empty(), "{gone:?}");
    let debug_dir = vec![elsewhere.path().to_path_buf()];
    let found = seen(&stripped, &Options { binary: Vec::new(), debug_dir });
    assert!(has_all(&found.0), "by build id: {found:?}");
    // The same when the program itself is gone.
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
        assert!(ids.iter().all(|id| text.contains(&hex(id))));
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
    let young = Binaries::new(long_ago);
    let unnamed = name(&mut symbols, BUILT.outer.iter().copied(), &young);
    assert!(matches!(unnamed[0].why, Lacking::Changed { .. }), "{unnamed:?}");
    let vouched = given(&[&path]).open(long_ago).expect("programs");
    let unnamed = name(&mut symbols, BUILT.outer.iter().copied(), &vouched);
    assert!(unnamed.is_empty(), "{unnamed:?}");
}

#[test]
fn names_that_were_read_once_outlive_the_program() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("program");
    fs::copy(&BUILT.path, &path).expect("room");
    let ran = module(&path, BUILT.module.build_id.clone());
    let read = |module: &Module, keeps: bool| {
        let mut symbols = Symbols::default();
        symbols.add_module(module.clone());
        let mut binaries = Binaries::new(SystemTime::now());
        if keeps {
            binaries.remember_in(Cache::at(folder.path().join("names")));
        }
        let unnamed = name(&mut symbols, BUILT.outer.iter().copied(), &binaries);
        let names: Vec<_> = symbols.iter().map(|(at, names)| (at, names.to_vec())).collect();
        (names, unnamed)
    };
    let first = read(&ran, true).0;
    assert_eq!(first.len(), BUILT.outer.len());
    fs::write(&path, "another build").expect("room");
    let (names, unnamed) = read(&ran, true);
    assert_eq!(names, first);
    assert!(unnamed.is_empty(), "{unnamed:?}");
    let (names, unnamed) = read(&ran, false);
    assert!(names.is_empty() && unnamed.len() == 1, "without the cache: {unnamed:?}");
    let mut other = BUILT.module.build_id.clone();
    other[0] ^= 1;
    let (names, unnamed) = read(&module(&path, other), true);
    assert!(names.is_empty() && unnamed.len() == 1, "of another build: {unnamed:?}");
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
        assert!(given(&[path]).open(SystemTime::now()).is_err(), "{path:?}");
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
            // In half of the cases the headers stay whole, so that the reader gets past them.
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
