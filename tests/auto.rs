//! The feature `auto`: a program without code for tracing is traced if `EXECTRACE` is set, from
//! before `main` to its exit, in whatever way it exits.
//!
//! The sources are in `fixtures/auto`. Elsewhere: the values of the variable
//! (`trace-runtime/src/auto`), the command that sets it (`trace-tool/tests`), libraries that read
//! it (`dlopen`).
//!
//! Long, because its tests share helpers, and each file here is linked as a program of its own.

#![cfg(target_os = "linux")]

mod common;

use common::decoded::Decoded;
use common::fixture::{self, Member};
use common::loudly;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use trace_format::event::EventKind;
use trace_format::read::{Function, TraceFile, Window};

/// The program, built.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(build);

fn build() -> PathBuf {
    let member = |name, source, features, rest| Member { name, source, features, rest };
    let (library, program) = ("auto/library.rs", "auto/program.rs");
    let built = fixture::build(
        "auto",
        &[
            member("library", ("src/lib.rs", library), Some(""), ""),
            member(
                "program",
                ("src/main.rs", program),
                Some("\"auto\", \"full\""),
                "libc = \"0.2\"\nlibrary.path = \"../library\"\n",
            ),
        ],
    );
    built.join("program")
}

/// A folder for the traces of one test, empty.
fn folder(name: &str) -> PathBuf {
    fixture::folder(&format!("auto-{name}"))
}

/// A command that runs the program with this value of the variable.
fn program(variable: &str, how: &str) -> Command {
    let mut command = Command::new(&*PROGRAM);
    command.arg(how).env("EXECTRACE", variable).stdin(Stdio::null());
    command
}

fn run(variable: &str, how: &str) -> (Output, String, String) {
    let output = program(variable, how).output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    (output, out, error)
}

fn read(path: &Path) -> Decoded {
    Decoded::new(&fs::read(path).expect("it was written"))
}

/// The regions of the program and of its library.
fn regions(trace: &Decoded) -> BTreeSet<String> {
    trace.tables.callsites.iter().map(|site| site.name.clone()).collect()
}

/// Checks that a trace of the program is whole.
fn check(trace: &Decoded) {
    assert!(trace.complete, "it has its end");
    let names = regions(trace);
    for name in ["of_program", "inner", "of_library"] {
        assert!(names.contains(name), "{name} is known: {names:?}");
    }
    let main = trace.thread("main");
    assert!(trace.events(main).count() >= 3, "three regions were recorded");
}

#[test]
fn the_trace_goes_from_before_main_to_the_exit() {
    let folder = folder("exits");
    for (how, code) in [("return", 0), ("exit", 3), ("exit-in-thread", 4)] {
        let path = folder.join(how);
        let (output, out, error) = run(path.to_str().expect("a plain path"), how);
        assert_eq!((output.status.code(), &*error), (Some(code), ""), "{how}");
        assert_eq!(out, "enabled: true\n", "{how}");
        check(&read(&path));
    }
}

#[test]
fn a_trace_with_names_has_them_however_the_program_exits() {
    let folder = folder("names");
    for how in ["return", "exit", "exit-in-thread"] {
        let path = folder.join(how);
        let (_, out, error) = run(&format!("{},stacks,names", path.display()), how);
        assert_eq!((&*out, &*error), ("enabled: true\n", ""), "{how}");
        let trace = read(&path);
        check(&trace);
        let mut functions = trace.tables.symbols.values().flatten();
        let is_own = |it: &Function| it.name == "program::of_program" && it.line > 0;
        assert!(functions.any(is_own), "{how}: {:?}", trace.tables.symbols);
    }
}

#[test]
fn a_program_is_traced_only_if_the_variable_says_so() {
    let (output, out, error) = run("", "return");
    assert!(output.status.success());
    assert_eq!((&*out, &*error), ("enabled: false\n", ""));
}

#[test]
fn a_wrong_value_is_one_line_and_the_program_runs_on() {
    let cases = [
        ("/nowhere/at/all.trace", "`/nowhere/at/all.trace`: "),
        ("x,memory=lots", "`memory=lots`: a size"),
        ("%q.trace", "`%q`"),
        (",", "a file's name comes first"),
    ];
    for (value, message) in cases {
        let (output, out, error) = run(value, "return");
        assert!(output.status.success(), "{value}: {error}");
        assert_eq!(out, "enabled: false\n", "{value}");
        let is_one_line = error.ends_with("; nothing is traced\n") && error.lines().count() == 1;
        let begins = error.starts_with("exectrace: EXECTRACE: ");
        assert!(is_one_line && begins && error.contains(message), "{value}: {error}");
    }
}

#[test]
fn a_trace_that_the_program_starts_itself_is_refused_and_not_mixed_in() {
    let path = folder("second").join("a.trace");
    let (_, out, error) = run(path.to_str().expect("a plain path"), "start");
    assert_eq!(error, "");
    assert!(out.ends_with("a trace is running already in this process\n"), "{out}");
    check(&read(&path));
}

#[test]
fn what_was_recorded_outlives_a_kill() {
    let path = folder("killed").join("a.trace");
    let variable = path.to_str().expect("a plain path");
    let mut command = program(variable, "wait");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    // The program prints a line when it has recorded and waits.
    let mut said = String::new();
    let out = child.stdout.as_mut().expect("it is piped");
    BufReader::new(out).read_line(&mut said).expect("a pipe");
    child.kill().expect("it is ours");
    child.wait().expect("it was killed");
    let trace = trace_tool::source::open(&path).expect("a trace").trace;
    assert!(!trace.is_complete(), "it has no end");
    let names: Vec<_> = trace.tables().callsites.iter().map(|site| site.name.clone()).collect();
    assert!(names.iter().any(|name| name == "of_library"), "{names:?}");
    let (mut count, mut order) = (0, trace.in_order(Window::default()));
    while let Some(event) = order.next_event() {
        let kind = event.expect("no fault").event.kind;
        count += u32::from(matches!(kind, EventKind::Region { .. } | EventKind::End));
    }
    assert!(count >= 3, "three regions were recorded");
}

#[test]
fn a_trace_in_parts_a_compressed_one_and_one_into_a_pipe_are_had_too() {
    let folder = folder("kinds");
    let path = folder.join("parts.trace");
    for round in 1..3 {
        let (_, _, error) = run(&format!("{},total=1M,part=64K", path.display()), "return");
        assert_eq!(error, "");
        check(&read(&path));
        assert_eq!(folder.join("parts.000001.trace").exists(), round == 2, "one part per process");
    }
    let plain = folder.join("plain.trace");
    let (_, _, error) = run(&format!("{},survive=off", plain.display()), "return");
    assert_eq!(error, "");
    check(&read(&plain));
    let (output, _, error) = run("/dev/stderr", "return");
    assert_eq!(error.chars().next(), Some('\u{fffd}'), "a trace, and not a word: {output:?}");
    check(&Decoded::new(&output.stderr));
    let (_, _, error) = run(&format!("{},memory=60000G", plain.display()), "return");
    assert!(error.ends_with("; a crash loses the last second\n"), "{error}");
    assert_eq!(error.lines().count(), 1);
    check(&read(&plain));
}

#[test]
fn a_child_has_a_file_of_its_own_or_none() {
    let folder = folder("children");
    let path = folder.join("one.trace");
    let (output, _, error) = run(path.to_str().expect("a plain path"), "child");
    assert!(output.status.success(), "{error}");
    assert!(error.contains("is being written by another process"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    check(&read(&path));
    fs::remove_file(path).expect("it is ours");

    let own = folder.join("%e-%p.trace");
    let (_, _, error) = run(own.to_str().expect("a plain path"), "child");
    assert_eq!(error, "");
    let files: Vec<_> = fs::read_dir(&folder).expect("it is there").flatten().collect();
    assert_eq!(files.len(), 2, "parent and child: {files:?}");
    for file in files {
        assert!(file.file_name().to_string_lossy().starts_with("program-"));
        check(&read(&file.path()));
    }
}

/// The files of a folder, by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).expect("it is there").map(|file| file.expect("a name").path());
    let mut files: Vec<_> = files.collect();
    files.sort();
    files
}

#[test]
fn a_child_that_goes_on_has_a_trace_of_its_own() {
    let folder = folder("goes-on");
    // A relative path, and the child changes its folder.
    let mut command = program("%p.trace", "daemon");
    let output = command.current_dir(&folder).output().expect("it runs");
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let (mut whole, mut cut) = (0, 0);
    for file in files(&folder) {
        if file.extension().is_some_and(|it| it == "live") {
            continue;
        }
        let trace = trace_tool::source::open(&file).expect("a trace").trace;
        if trace.is_complete() {
            whole += 1;
            check(&read(&file));
        } else {
            cut += 1;
            // Its parent exited at once, as if it were killed.
            assert!(trace.tables().clock.is_known(), "two looks at the clock");
        }
    }
    assert_eq!((whole, cut), (1, 1), "{:?}", files(&folder));

    fs::remove_dir_all(&folder).and_then(|()| fs::create_dir(&folder)).expect("it is ours");
    let own = folder.join("%p.trace");
    let (_, _, error) = run(own.to_str().expect("a plain path"), "workers");
    assert_eq!(error, "");
    let files = files(&folder);
    assert_eq!(files.len(), 4, "parent and three children: {files:?}");
    files.iter().for_each(|file| check(&read(file)));
}

#[test]
fn children_that_are_not_traced_are_one_line() {
    let path = folder("workers").join("one.trace");
    let (output, _, error) = run(path.to_str().expect("a plain path"), "workers");
    assert!(output.status.success(), "{error}");
    assert!(error.contains("was forked by the traced one, and is not traced"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    check(&read(&path));
}

#[test]
fn children_to_whom_nobody_listens_are_not_ended_by_that_line() {
    let path = folder("deaf").join("one.trace");
    let (reader, writer) = std::io::pipe().expect("the system makes a pipe");
    drop(reader);
    let mut program = program(path.to_str().expect("a plain path"), "workers of C");
    let output = program.stderr(writer).output().expect("it runs");
    assert!(output.status.success(), "{:?}", output.status);
    check(&read(&path));
}

#[test]
fn children_that_run_another_program_leave_nothing() {
    for (name, count) in [("%p.trace", 1), ("one.trace", 1)] {
        let folder = folder("runners");
        let path = folder.join(name);
        let (output, _, error) = run(path.to_str().expect("a plain path"), "runners");
        assert!(output.status.success(), "{error}");
        assert_eq!(error, "");
        assert_eq!(files(&folder).len(), count, "{:?}", files(&folder));
    }
}

#[test]
fn a_relative_name_is_of_the_folder_where_the_program_began() {
    for variable in ["out.trace", "out.trace,survive=off", "out.trace,total=1M"] {
        let folder = folder("away");
        let output = program(variable, "away").current_dir(&folder).output().expect("it runs");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{variable}");
        check(&read(&folder.join("out.trace")));
        assert_eq!(files(&folder).len(), 1, "{variable}: {:?}", files(&folder));
    }
}

#[test]
fn a_fifo_without_a_reader_is_one_line_and_one_with_a_reader_gets_the_trace() {
    let folder = folder("fifo");
    let path = folder.join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().expect("every system has it").success());
    let variable = path.to_str().expect("a plain path");
    let (output, out, error) = run(variable, "return");
    assert!(output.status.success(), "{error}");
    assert_eq!(out, "enabled: false\n");
    assert!(error.contains("nobody reads from this FIFO"), "{error}");
    // Opening a FIFO for reading and writing does not wait for the other end.
    let mut reader = fs::File::options().read(true).write(true).open(&path).expect("it is there");
    let whole = std::thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut bytes = Vec::new();
            let mut some = [0; 4096];
            // The trailer is the end of the trace.
            while TraceFile::open(&bytes[..]).map_or(true, |trace| !trace.is_complete()) {
                let count = std::io::Read::read(&mut reader, &mut some).expect("somebody writes");
                bytes.extend_from_slice(&some[..count]);
            }
            bytes
        });
        let (output, out, error) = run(variable, "return");
        assert!(output.status.success() && error.is_empty(), "{error}");
        assert_eq!(out, "enabled: true\n");
        reading.join().expect("it reads")
    });
    check(&Decoded::new(&whole));
}

#[test]
fn a_link_is_not_followed_and_that_is_one_line() {
    let folder = folder("linked");
    fs::write(folder.join("victim"), "precious").expect("a name is free");
    std::os::unix::fs::symlink("victim", folder.join("out.trace")).expect("a name is free");
    let path = folder.join("out.trace");
    let (output, out, error) = run(path.to_str().expect("a plain path"), "return");
    assert!(output.status.success(), "{error}");
    assert_eq!(out, "enabled: false\n");
    assert!(error.contains("symbolic link") && error.lines().count() == 1, "{error}");
    assert_eq!(fs::read_to_string(folder.join("victim")).expect("it is there"), "precious");
}

#[test]
fn a_program_without_standard_output_does_not_print_into_its_trace() {
    let path = folder("closed").join("a.trace");
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" exit 1>&-"]).arg(&*PROGRAM).env("EXECTRACE", &path);
    assert_eq!(shell.status().expect("it runs").code(), Some(3));
    check(&read(&path));
}

/// A user id that is not root's.
const NOBODY: u32 = 65534;

/// A command that runs a copy of the program with these rights, in a folder that everybody may
/// read, as a user who is not root; `None` where that is not possible.
fn privileged(folder: &Path) -> Option<Command> {
    let everybody = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    let is_root = fs::metadata("/proc/self").expect("every process has it").uid() == 0;
    if !is_root {
        return None;
    }
    let copy = folder.join("program");
    fixture::copy_program(&PROGRAM, &copy);
    everybody(folder, 0o755).and_then(|()| everybody(&copy, 0o4755)).expect("it is ours");
    let command = || {
        let mut command = Command::new(&copy);
        command.uid(NOBODY).gid(NOBODY).stdin(Stdio::null()).env_remove("EXECTRACE");
        command
    };
    // A file system may be mounted without such rights.
    let said = command().arg("who").output().expect("it runs");
    let user = String::from_utf8_lossy(&said.stdout).into_owned();
    user.ends_with(&format!("{NOBODY} 0\n")).then(command)
}

#[test]
fn a_program_with_more_rights_than_its_user_does_not_listen_to_its_environment() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mut command) = privileged(folder.path()) else {
        return loudly(
            "SKIPPED: a_program_with_more_rights_than_its_user_does_not_listen_to_its_environment: \
             a setuid program wants root, and a file system that lets one be",
        );
    };
    let secret = folder.path().join("secret");
    fs::create_dir(&secret).expect("it is ours");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o700)).expect("it is ours");
    let file = secret.join("file");
    fs::write(&file, "precious").expect("it is ours");
    for variable in [file.display().to_string(), format!("{},survive=off", file.display())] {
        let output = command.arg("return").env("EXECTRACE", variable).output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "standard error may be any file");
        assert_eq!(fs::read_to_string(&file).expect("it is there"), "precious");
    }
    let Some(mut command) = privileged(folder.path()) else { panic!("it worked before") };
    let output = command.arg("keep").env("EXECTRACE_KEEP", &secret).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read_dir(&secret).expect("it is there").count(), 1, "the file, and no trace");
    // Without such rights the program is traced.
    let (mut plain, kept) = (program("", "keep"), secret.join("kept"));
    let output = plain.env("EXECTRACE_KEEP", &kept).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    assert!(read(&kept.join("failed.trace")).complete, "it has its end");
}

#[test]
fn no_limit_of_file_sizes_and_no_closed_pipe_ends_the_program() {
    let path = folder("limits").join("a.trace");
    for (blocks, is_traced) in [("2048", true), ("0", false)] {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -f {blocks} && exec \"$0\" return")]);
        let output = shell.arg(&*PROGRAM).env("EXECTRACE", &path).output().expect("it runs");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{:?} {error}", output.status);
        assert_eq!(error.lines().count(), 1, "{error}");
        if is_traced {
            assert!(error.ends_with("; a crash loses the last second\n"), "{error}");
            check(&read(&path));
        } else {
            assert!(error.ends_with("; nothing is traced\n"), "{error}");
        }
    }
    // Standard error is closed, and the trace's file cannot be written.
    for variable in [",", "/dev/stderr"] {
        let (reader, writer) = std::io::pipe().expect("the system makes a pipe");
        drop(reader);
        let output = program(variable, "return").stderr(writer).output().expect("it runs");
        assert!(output.status.success(), "{variable}: {:?}", output.status);
    }
}

#[test]
fn a_service_that_waits_for_its_signals_gets_them() {
    let path = folder("signals").join("a.trace");
    let (output, out, error) = run(path.to_str().expect("a plain path"), "signal");
    assert!(output.status.success(), "{:?} {error}", output.status);
    assert_eq!(out, "enabled: true\nended in order\n");
    check(&read(&path));
}

/// Valid and invalid values of the variable: options, values of other options, and any text.
fn variable() -> impl Strategy<Value = OsString> {
    let keys = &[
        "os",
        "sched",
        "heap",
        "page_faults",
        "async_stacks",
        "cpu_samples",
        "heap_sample",
        "stacks",
        "memory",
        "on_full",
        "generation",
        "lz4",
        "names",
        "survive",
        "total",
        "part",
        "every",
    ];
    let values = &[
        "on",
        "off",
        "drop",
        "wait",
        "0",
        "1",
        "64K",
        "1M",
        "1000000G",
        "17179869183G",
        "18446744073709551615",
        "18446744073709551616",
        "18446744073709551615s",
        "5124095576030431h",
        "1s",
        "10ms",
        "1000ms",
        "-1",
        "",
        "=",
    ];
    let key = prop_oneof![8 => select(&keys[..]).prop_map(str::to_owned), 1 => any::<String>()];
    let value = prop_oneof![8 => select(&values[..]).prop_map(str::to_owned), 1 => any::<String>()];
    let option = (key, value).prop_map(|(key, value)| format!(",{key}={value}"));
    let name = prop_oneof![
        8 => select(&["a.trace", "%p-%e-%t.trace", "no/such.trace", "/dev/null", "."][..])
            .prop_map(str::to_owned),
        1 => any::<String>().prop_filter("in the folder", |name| !name.contains('/')),
    ];
    let said = (name, vec(option, 0..5)).prop_map(|(name, options)| name + &options.concat());
    let byte = any::<u8>().prop_filter("in the folder", |byte| *byte != b'/');
    let bytes = vec(byte, 0..60).prop_map(OsString::from_vec);
    let any = prop_oneof![8 => said.prop_map(OsString::from), 1 => bytes];
    any.prop_filter("variables are strings of C's", |value| !value.as_bytes().contains(&0))
}

#[test]
fn whatever_the_variable_says_the_program_runs() {
    let folder = folder("any");
    let config = Config { cases: 120, failure_persistence: None, ..Config::default() };
    let run = |variable| {
        let mut shell = Command::new("sh");
        // 2 GiB of memory, and files of 96 MiB, so that options can ask for far too much.
        let limits = "ulimit -v 2097152 && ulimit -f 196608";
        shell.args(["-c", &format!("{limits} && exec \"$0\" return")]).arg(&*PROGRAM);
        let output = shell.env("EXECTRACE", variable).current_dir(&folder).output();
        let output = output.expect("it runs");
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        prop_assert!(output.status.success(), "{:?} {error}", output.status);
        prop_assert!(out == "enabled: true\n" || out == "enabled: false\n", "{out}");
        Ok(())
    };
    TestRunner::new(config).run(&variable(), run).expect("it holds");
}

/// With less and less memory: if memory is enough for the program, it is enough with the variable,
/// too.
#[test]
fn a_program_that_has_little_memory_runs_as_it_does_without_a_trace() {
    const STEP_KIB: u64 = 2 << 10;
    const MOST_KIB: u64 = 160 << 10;
    let folder = folder("little-memory");
    let run = |kib: u64, variable: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -v {kib} && exec \"$0\" return")]).arg(&*PROGRAM);
        shell.env("EXECTRACE", variable).current_dir(&folder).output().expect("it runs")
    };
    let mut traced = BTreeSet::new();
    for kib in (STEP_KIB..=MOST_KIB).step_by(STEP_KIB as usize) {
        if !run(kib, "").status.success() {
            continue;
        }
        for variable in ["a.trace,memory=8M", "a.trace,memory=8M,survive,heap,stacks=on"] {
            let output = run(kib, variable);
            let out = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{kib} KiB, {variable}: {output:?}");
            traced.insert(out);
        }
    }
    let both = ["enabled: false\n", "enabled: true\n"].map(str::to_owned);
    assert_eq!(traced, BTreeSet::from(both), "too little, and enough");
}

#[test]
fn a_trace_that_there_is_no_room_for_leaves_no_file() {
    let folder = folder("no-room");
    for memory in ["1000000G", "17179869183G"] {
        let path = folder.join("a.trace");
        let (_, out, error) = run(&format!("{},survive,memory={memory}", path.display()), "return");
        assert_eq!((&*out, error.lines().count()), ("enabled: false\n", 1), "{error}");
        assert_eq!(fs::read_dir(&folder).expect("it is there").count(), 0, "{memory}");
    }
}
