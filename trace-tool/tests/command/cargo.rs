//! `cargo exectrace` on small packages: features are switched on, every process has a trace, tests
//! are ranked, the exit code is cargo's.
//!
//! The sources in `fixtures/cargo` become a workspace in the build folder, with this workspace's
//! lock file, built offline: what this test needs has been fetched for it. They are built in the
//! folder of the root package's test `auto`, for both build the same.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use serde_json::Value;

/// Made once, for the tests of this file run at the same time.
static WORKSPACE: LazyLock<PathBuf> = LazyLock::new(workspace);

/// The packages: with a feature of its own, one that starts a trace of its own, a program, one that
/// does not use exectrace, and one that does not know it.
fn workspace() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = own.parent().expect("it is in a workspace");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cargo");
    let write = |path: &str, text: &str| {
        let path = folder.join(path);
        if fs::read_to_string(&path).is_ok_and(|before| before == text) {
            return;
        }
        fs::create_dir_all(path.parent().expect("it has a folder")).expect("it can be made");
        fs::write(&path, text).expect("it can be written");
    };
    let source = |name: &str| {
        fs::read_to_string(own.join("tests/fixtures/cargo").join(name)).expect("it is there")
    };
    let lock = fs::read_to_string(root.join("Cargo.lock")).expect("it is there");
    write("Cargo.lock", &lock);
    let packages = ["bare", "library", "own", "program", "unused"];
    write("Cargo.toml", &format!("[workspace]\nresolver = \"3\"\nmembers = {packages:?}\n"));
    for name in packages {
        let dependency = match name {
            "bare" => String::new(),
            "program" => format!("tracer = {{ package = \"exectrace\", path = {root:?} }}\n"),
            _ => format!("exectrace = {{ path = {root:?} }}\n"),
        };
        let features = "[features]\ntrace = [\"exectrace/enabled\"]\n";
        let features = if name == "library" { features } else { "" };
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
             [dependencies]\n{dependency}\n{features}"
        );
        write(&format!("{name}/Cargo.toml"), &manifest);
    }
    write("library/src/lib.rs", &source("library.rs"));
    write("library/tests/more.rs", &source("more.rs"));
    let program = source("program.rs").replace("exectrace::", "tracer::");
    write("program/src/main.rs", &program);
    write("own/src/main.rs", &source("own.rs"));
    write("bare/src/main.rs", "fn main() {}\n");
    write("unused/src/main.rs", "fn main() {}\n");
    folder
}

struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs `cargo exectrace`, as cargo does.
fn run(line: &str, variables: &[(&str, &str)]) -> Run {
    let mut command = command(line, variables);
    Run::of(&command.output().expect("it runs"))
}

impl Run {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        Self { code: output.status.code(), out, err }
    }
}

fn command(line: &str, variables: &[(&str, &str)]) -> Command {
    let folder = &*WORKSPACE;
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-exectrace"));
    command.arg("exectrace").args(line.split_whitespace()).current_dir(folder);
    for (name, _) in std::env::vars() {
        let outer = ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"];
        if name.starts_with("CARGO_PROFILE") || outer.contains(&name.as_str()) {
            command.env_remove(name);
        }
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("auto-target");
    command.env("CARGO_TARGET_DIR", target).env("CARGO_NET_OFFLINE", "true");
    command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command.env("CARGO", env!("CARGO")).env("RUSTFLAGS", "-Dwarnings");
    command.env("RUST_BACKTRACE", "0").env_remove("FIXTURE_FAILS").envs(variables.iter().copied());
    command
}

/// Where each of these stands in the ranking of tests, which has them all in this order.
#[track_caller]
fn check_order(run: &Run, names: &[&str]) {
    let (_, ranking) = run.out.split_once("Tests, the longest first").expect("tests are ranked");
    let places: Vec<_> = names.iter().map(|name| ranking.find(name)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}\n{}", run.out);
}

#[test]
fn tests_of_all_processes_are_ranked_by_time() {
    let run = run("test -p library --lib --test more", &[]);
    assert_eq!(run.code, Some(0), "{}\n{}", run.out, run.err);
    let names = [
        "library::tests::takes_long",
        "library::tests::has_no_annotation",
        "more::takes_some_time",
        "library::tests::takes_no_time",
    ];
    check_order(&run, &names);
    assert!(!run.out.contains("Tasks, "), "each has one row: {}", run.out);
    assert!(run.out.contains("2 processes"), "{}", run.out);
}

#[test]
fn tests_say_to_programs_what_they_waited_for_and_where() {
    let run = run("--json test -p library --lib", &[]);
    assert_eq!(run.code, Some(0), "{}\n{}", run.out, run.err);
    let ranking: Value = serde_json::from_str(&run.out).expect("JSON and nothing else");
    assert!(run.err.contains("test tests::takes_long ... ok"), "cargo's words: {}", run.err);
    let tests = ranking["tests"].as_array().expect("a list");
    for (name, reason, nanos, threads) in [
        ("library::tests::takes_long", "sleep", 300_000_000, 0),
        ("library::tests::has_no_annotation", "join", 0, 1),
    ] {
        let test = tests.iter().find(|test| test["name"] == name).expect("it is ranked");
        let wait = &test["waits"][0];
        assert_eq!((&wait["reason"], &test["made_threads"]), (&reason.into(), &threads.into()));
        assert!(wait["total_ns"].as_u64() > Some(nanos), "{test:#}");
        assert!(test["wall_ns"].as_u64() >= wait["total_ns"].as_u64(), "{test:#}");
        assert!(test["cpu_ns"].as_u64() > Some(0), "the kernel counted: {test:#}");
        let file = wait["place"]["file"].as_str().expect("the place of the wait");
        assert!(file.ends_with("library/src/lib.rs"), "{file}");
    }
    assert_eq!(ranking["tasks"].as_array().map(Vec::len), Some(0), "they are tests: {ranking:#}");
}

#[test]
fn names_of_what_ran_are_kept_by_build_id_for_when_it_is_built_anew() {
    let cache = tempfile::tempdir().expect("a folder");
    let path = cache.path().to_str().expect("it is text");
    let run = run("--record os test -p library --lib", &[("XDG_CACHE_HOME", path)]);
    assert_eq!(run.code, Some(0), "{}\n{}", run.out, run.err);
    let kept = fs::read_dir(cache.path().join("exectrace/names")).expect("names were kept");
    let kept: Vec<_> = kept.map(|entry| entry.expect("it can be read").path()).collect();
    let is_of_test = |path: &&PathBuf| {
        fs::read_to_string(path).expect("it is text").contains("library::tests::takes_long")
    };
    let of_test = kept.iter().find(is_of_test).expect("where the test slept has a name");
    let build_id = of_test.file_stem().and_then(|stem| stem.to_str()).expect("it is text");
    assert!(
        build_id.len() >= 16 && build_id.bytes().all(|it| it.is_ascii_hexdigit()),
        "{build_id}"
    );
}

#[test]
fn a_failing_test_is_ranked_as_well_and_the_exit_code_is_cargos() {
    let line = "--top 1 test -p library --lib -- --test-threads=1";
    let run = run(line, &[("FIXTURE_FAILS", "1")]);
    assert_eq!(run.code, Some(101), "{}\n{}", run.out, run.err);
    check_order(&run, &["library::tests::takes_long", "… and 2 more"]);
    assert!(!run.out.contains("processes"), "one process needs no table: {}", run.out);
}

#[test]
fn a_program_is_summed_up_and_gets_its_own_arguments() {
    let line = "--options generation=20ms run -p program one --features two";
    let run = run(line, &[]);
    assert_eq!(run.code, Some(7), "{}\n{}", run.out, run.err);
    for part in ["[\"one\", \"--features\", \"two\"]", "the only region", "Traces: "] {
        assert!(run.out.contains(part), "{part}: {}\n{}", run.out, run.err);
    }
}

#[test]
fn a_program_that_is_interrupted_is_summed_up() {
    let mut command = command("run -p program forever", &[]);
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().expect("it runs");
    let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut said = String::new();
    out.read_line(&mut said).expect("a pipe");
    assert!(said.contains("forever"), "it runs: {said}");
    // As the terminal does it, to all of them.
    let group = format!("-{}", child.id());
    let sent = Command::new("kill").args(["-INT", "--", &group]).status();
    assert!(sent.expect("every system has it").success());
    child.stdout = Some(out.into_inner());
    let run = Run::of(&child.wait_with_output().expect("it ends"));
    assert_eq!(run.code, Some(130), "as a shell says it: {}\n{}", run.out, run.err);
    for part in ["the only region", "Traces: "] {
        assert!(run.out.contains(part), "{part}: {}\n{}", run.out, run.err);
    }
}

#[test]
fn a_program_whose_own_trace_is_refused_is_told_why_nothing_was_traced() {
    let run = run("run -p own", &[]);
    assert_eq!(run.code, Some(1), "{}\n{}", run.out, run.err);
    assert!(run.err.contains("AlreadyRunning"), "{}", run.err);
    let words = run.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["nothing that is annotated ran before the program failed", "let it go on"] {
        assert!(words.contains(part), "{part}: {words}");
    }
}

#[test]
fn a_wrong_option_of_the_recorder_is_said_by_it_and_nothing_more() {
    let run = run("--options memory=tiny run -p program", &[]);
    assert_eq!(run.code, Some(7), "the program runs all the same: {}", run.err);
    assert!(run.err.contains("`memory=tiny`: a size"), "{}", run.err);
}

#[test]
fn what_a_project_lacks_is_said_before_anything_is_built() {
    let run = run("test -p bare", &[]);
    assert_eq!((run.code, &*run.out), (Some(2), ""), "{}", run.err);
    for part in ["`bare` does not depend", "bare/Cargo.toml", "exectrace = ", "use exectrace as _;"]
    {
        assert!(run.err.contains(part), "{part}: {}", run.err);
    }
}

#[test]
fn a_program_that_does_not_link_exectrace_is_told_how_to() {
    let run = run("run -p unused", &[]);
    assert_eq!((run.code, &*run.out), (Some(0), ""), "{}", run.err);
    assert!(run.err.contains("no trace was written"), "{}", run.err);
}

#[test]
fn wrong_use_is_one_line_and_exit_2() {
    let cases = [
        ("", "a command of cargo's is needed"),
        ("build", "can't trace `cargo build`"),
        ("nextest list", "can't trace `cargo nextest list`"),
        ("--top many test", "many"),
        ("test -p nobody", "no package"),
        ("test --manifest-path nowhere/Cargo.toml", "nowhere"),
    ];
    for (line, message) in cases {
        let run = run(line, &[]);
        assert_eq!((run.code, &*run.out), (Some(2), ""), "{line}: {}", run.err);
        assert_eq!(run.err.lines().count(), 1, "{line}: {}", run.err);
        assert!(run.err.contains(message), "{line}: {}", run.err);
    }
    let help = run("--help", &[]);
    assert_eq!((help.code, &*help.err), (Some(0), ""));
    assert!(help.out.contains("use exectrace as _;"), "{}", help.out);
}
