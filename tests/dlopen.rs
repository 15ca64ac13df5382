//! Libraries with the recorder in them, loaded while a program runs, unloaded, and loaded again: by
//! a Rust program without a recorder, by one with its own, and by Python.
//!
//! The sources are in `fixtures/dlopen`. Elsewhere: programs that the same variable traces
//! (`auto`).
#![cfg(target_os = "linux")]

mod common;

use common::decoded::Decoded;
use common::fixture::{self, Member, folder};
use common::loudly;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// The folder with the built programs and libraries.
static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
    let (plugin, host) = ("dlopen/plugin.rs", "dlopen/host.rs");
    let library = Some("\"auto\", \"full\"");
    let cdylib = "\n[lib]\ncrate-type = [\"cdylib\"]\n";
    let bare = "libc = \"0.2\"\n\n[features]\ntraced = []\n";
    let traced = format!("{bare}default = [\"traced\"]\n");
    let member = |name, source, features, rest| Member { name, source, features, rest };
    fixture::build(
        "dlopen",
        &[
            member("plugin", ("src/lib.rs", plugin), library, cdylib),
            member("other", ("src/lib.rs", plugin), library, cdylib),
            member("bare", ("src/main.rs", host), None, bare),
            member("traced", ("src/main.rs", host), library, &traced),
        ],
    )
});

fn library(name: &str) -> PathBuf {
    BUILT.join(format!("lib{name}.so"))
}

/// A command that runs a program with these libraries.
fn program(name: &str, how: &str, libraries: &[&str]) -> Command {
    let mut command = Command::new(BUILT.join(name));
    command.arg(how).args(libraries.iter().map(|name| library(name))).stdin(Stdio::null());
    command
}

/// Runs a command to its end, and returns what it printed.
#[track_caller]
fn said(command: &mut Command) -> (String, String) {
    let output = command.output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{:?}\n{out}\n{error}", output.status);
    (out, error)
}

/// Checks that a trace is whole, and that the library's function was called `calls` times.
///
/// - `is_program`: whether it is the trace of a program, not of a library.
#[track_caller]
fn check(path: &Path, calls: usize, is_program: bool) {
    let trace = Decoded::new(&fs::read(path).expect("it was written"));
    assert!(trace.complete, "it has its end");
    let regions = trace.tables.threads.keys().flat_map(|&id| trace.events(id));
    let adds = regions.filter(|event| match event.kind {
        trace_format::event::EventKind::Region { site, .. } => trace.site_name(site) == "add",
        _ => false,
    });
    assert_eq!(adds.count(), calls);
    // Its note about calls is true: the library has no hooks.
    let os = trace.tables.facilities.get("os");
    assert!(os.is_none_or(|os| os.on == is_program), "{os:?}");
}

#[test]
fn a_library_is_loaded_and_unloaded_and_traced_until_the_program_ends() {
    let path = folder("dlopen-again").join("a.trace");
    for options in ["", ",survive=off", ",os=off,sched=off", ",on_full=wait,memory=64K"] {
        let variable = format!("{}{options}", path.display());
        let told = said(program("bare", "again", &["plugin"]).env("EXECTRACE", variable));
        assert_eq!(told, ("5\n5\n".to_owned(), String::new()), "{options}");
        check(&path, 2, false);
    }
    let told = said(program("bare", "again", &["plugin"]).env_remove("EXECTRACE"));
    assert_eq!(told, ("5\n5\n".to_owned(), String::new()));
}

#[test]
fn python_loads_it_as_any_extension() {
    let path = folder("dlopen-python").join("a.trace");
    let script = "import ctypes, _ctypes, signal, sys\n\
                  signal.alarm(120)\n\
                  for _ in range(2):\n    \
                      library = ctypes.CDLL(sys.argv[1])\n    \
                      print(library.add(2, 3))\n    \
                      _ctypes.dlclose(library._handle)\n";
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(library("plugin")).env("EXECTRACE", &path);
    if Command::new("python3").args(["-c", "import ctypes"]).output().is_err() {
        return loudly("SKIPPED: python_loads_it_as_any_extension: there is no python3 here");
    }
    assert_eq!(said(&mut python), ("5\n5\n".to_owned(), String::new()));
    check(&path, 2, false);
}

#[test]
fn of_two_recorders_in_a_process_one_has_the_file_and_the_other_says_so() {
    let path = folder("dlopen-both").join("a.trace");
    let both = ["plugin", "other"];
    let (out, error) = said(program("bare", "both", &both).env("EXECTRACE", &path));
    assert_eq!(out, "5\n5\n");
    assert!(error.contains("or by another copy of exectrace in this one"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    check(&path, 1, false);

    // The program's own recorder comes first. A library that could not start its recorder can be
    // unloaded: it is loaded anew, and reports that each time.
    let (out, error) = said(program("traced", "again", &["plugin"]).env("EXECTRACE", &path));
    assert_eq!((&*out, error.lines().count()), ("5\n5\n", 2), "{error}");
    check(&path, 0, true);
}

#[test]
fn a_library_that_has_traced_itself_may_be_unloaded_while_its_threads_live() {
    let folder = folder("dlopen-itself");
    for (host, variable) in [("bare", ""), ("traced", "host.trace")] {
        let path = folder.join("itself.trace");
        let mut command = program(host, "thread", &["plugin"]);
        command.arg(&path).env("EXECTRACE", variable).current_dir(&folder);
        if host == "traced" {
            // Both read the variable; the library has no trace, because it would be the same file.
            let (out, _) = said(&mut command);
            assert_eq!(out, "5\n");
        } else {
            assert_eq!(said(&mut command), ("5\n".to_owned(), String::new()));
        }
        check(&path, 1, false);
        fs::remove_file(path).expect("it is there");
    }
    let host = Decoded::new(&fs::read(folder.join("host.trace")).expect("it was written"));
    assert!(host.complete);
}

#[test]
fn a_constructor_that_records_more_than_fits_comes_to_its_end() {
    let mut command = program("bare", "again", &["plugin"]);
    let (out, error) = said(command.env_remove("EXECTRACE").env("PLUGIN_IS_EAGER", ""));
    assert!(out.starts_with("it is constructed\n5\n"), "{out}");
    assert_eq!(error, "");
}
