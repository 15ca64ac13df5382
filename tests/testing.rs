//! `#[exectrace::test]`: a test is a task with the test's path as its name, also above another
//! harness's attribute, and the task ends in whatever way the test ends.
//!
//! The functions below are tests, and the test of this file calls them again under a trace.
//! Elsewhere: what compiles (`ui`), the command that ranks tests
//! (`trace-tool/tests/command/cargo.rs`).

mod common;

use common::{on_thread, record};
use std::ffi::OsStr;
use std::fs;
use std::panic;
use std::path::Path;
use trace_format::event::EventKind;

mod inner {
    #[exectrace::test]
    pub(super) fn plain() {
        assert!(std::hint::black_box(true));
    }
}

#[exectrace::test]
#[should_panic(expected = "on purpose")]
fn panicking() {
    panic!("on purpose");
}

#[exectrace::test]
#[tokio::test]
async fn asynchronous() {
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
}

#[exectrace::test(name = "of its own")]
fn named() -> Result<(), std::num::ParseIntError> {
    "7".parse::<u8>().map(drop)
}

/// Runs `run` on a thread of its own under a trace, and returns that thread's events of tasks. The
/// tests run on other threads meanwhile.
fn tasks(run: impl FnOnce() + Send) -> Vec<String> {
    let recorded = record(|| on_thread("caller", run));
    let mut lines = recorded.lines_of("caller");
    lines.retain(|line| line.starts_with("task "));
    lines
}

#[test]
fn a_test_is_a_task_called_by_its_path() {
    let expected = ["task testing::inner::plain", "task testing::inner::plain ends"];
    assert_eq!(tasks(inner::plain), expected);
    let named = tasks(|| named().expect("seven is a number"));
    assert_eq!(named, ["task of its own", "task of its own ends"]);
}

#[test]
fn a_test_that_panics_ends_its_task() {
    let ended = tasks(|| {
        let unwound = panic::catch_unwind(panicking);
        assert!(unwound.is_err(), "the panic goes on");
    });
    assert_eq!(ended, ["task testing::panicking", "task testing::panicking ends"]);
}

#[test]
fn an_async_test_is_a_task_inside_of_its_runtime() {
    assert_eq!(
        tasks(asynchronous),
        ["task testing::asynchronous", "task testing::asynchronous ends"]
    );
}

/// Tests that fail, but only in a process of their own.
mod failing {
    /// Whether this is that process.
    fn is_wanted() -> bool {
        std::env::var_os("EXECTRACE_TEST_FAILS").is_some()
    }

    #[exectrace::test]
    fn by_panic() {
        exectrace::instant!("before");
        assert!(!is_wanted(), "as wanted");
    }

    #[exectrace::test]
    fn by_value() -> Result<(), std::num::ParseIntError> {
        exectrace::instant!("before");
        let text = if is_wanted() { "seven" } else { "7" };
        text.parse::<u8>().map(drop)
    }

    #[exectrace::test]
    #[tokio::test]
    async fn asynchronously() -> Result<(), String> {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        exectrace::instant!("before");
        if is_wanted() { Err("as wanted".to_owned()) } else { Ok(()) }
    }

    #[exectrace::test]
    fn not_at_all() {}

    /// Fails in another folder than the process began in.
    #[exectrace::test]
    fn elsewhere() {
        if is_wanted() {
            std::env::set_current_dir("away").expect("it was made");
            panic!("as wanted");
        }
    }
}

/// Runs these tests, which fail, in a process that begins in `folder`.
fn fail(folder: &Path, tests: &[&str], keep: &OsStr) -> std::process::Output {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = std::process::Command::new(program);
    command.args(tests).current_dir(folder);
    command.env("EXECTRACE_KEEP", keep).env("EXECTRACE_TEST_FAILS", "1");
    command.output().expect("it runs")
}

/// If no file may be written, a failing test says so, and nothing else changes.
#[cfg(target_os = "linux")]
#[test]
fn a_test_that_fails_under_a_limit_of_files_fails_as_ever() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -f 0; exec \"$0\" \"$@\""]).arg(program);
    command.args(["failing::by_panic", "--exact"]).current_dir(folder.path());
    command.env("EXECTRACE_KEEP", "kept").env("EXECTRACE_TEST_FAILS", "1");
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("0 passed; 1 failed"), "{output:?}");
    assert_eq!(output.status.code(), Some(101), "no signal ended it: {output:?}");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(said.contains("; nothing is kept"), "a line says so: {said}");
    let kept = fs::read_dir(folder.path().join("kept")).expect("a folder is no file");
    assert_eq!(kept.count(), 0, "nothing of it is left");
}

#[test]
fn a_test_that_fails_leaves_the_last_seconds_and_others_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = folder.path().join("kept");
    let tests = ["failing::", "panicking", "--skip=elsewhere"];
    let output = fail(folder.path(), &tests, kept.as_os_str());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("2 passed; 3 failed"), "{said}");
    let names = ["asynchronously", "by_panic", "by_value"];
    let files: Vec<_> = std::fs::read_dir(&kept).expect("it was made").collect();
    assert_eq!(files.len(), names.len(), "{files:?}");
    for name in names {
        let path = kept.join(format!("testing.failing.{name}.trace"));
        assert!(said.contains(&format!("exectrace explain {}", path.display())), "{said}");
        let trace = common::decoded::Decoded::new(&std::fs::read(path).expect("it is there"));
        common::checks::check(&trace);
        let ids = trace.tables.threads.keys();
        let sites = ids.flat_map(|&id| trace.events(id)).filter_map(|event| match event.kind {
            EventKind::Instant { site, .. } | EventKind::TaskBeginSite { site, .. } => {
                Some(trace.site_name(site).to_owned())
            }
            _ => None,
        });
        let sites: Vec<_> = sites.collect();
        let has = |wanted: &str| sites.iter().any(|site| site == wanted);
        assert!(has("before") && has(&format!("testing::failing::{name}")), "{sites:?}");
    }
}

#[test]
#[cfg(unix)]
fn what_is_kept_is_its_owners_alone_wherever_a_test_goes_and_follows_no_link() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(folder.path().join("kept")).expect("a name is free");
    fs::create_dir(folder.path().join("away")).expect("a name is free");
    let victim = folder.path().join("victim");
    fs::write(&victim, "precious").expect("a name is free");
    let path = folder.path().join("kept/testing.failing.elsewhere.trace");
    symlink(&victim, &path).expect("a name is free");
    let tests = ["failing::elsewhere", "--exact"];
    let output = fail(folder.path(), &tests, OsStr::new("kept"));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 failed"), "{output:?}");
    assert_eq!(fs::read_to_string(&victim).expect("it is there"), "precious");
    let kept = path.symlink_metadata().expect("it is there");
    assert!(kept.is_file(), "the link is gone");
    assert_eq!(kept.permissions().mode() & 0o777, 0o600);
    let trace = common::decoded::Decoded::new(&fs::read(&path).expect("it is there"));
    common::checks::check(&trace);
    let count = |folder: &str| fs::read_dir(folder).expect("it is there").count();
    let at = |name: &str| folder.path().join(name).display().to_string();
    assert_eq!((count(&at("kept")), count(&at("away"))), (1, 0));
}

#[test]
#[cfg(unix)]
fn whatever_says_where_to_keep_traces_a_test_fails_as_ever() {
    use std::os::unix::ffi::OsStrExt as _;
    let outer = tempfile::tempdir().expect("a folder");
    // Files in `..` must be removed, too; and a test must leave nothing in `/`.
    let folder = outer.path().join("inner");
    fs::create_dir(&folder).expect("the other one is empty");
    fs::write(folder.join("file"), "no folder").expect("a name is free");
    let long = b"x/".repeat(3_000);
    let values: [&[u8]; 12] = [
        b"",
        b".",
        b"..",
        b"./",
        b"file",
        b"file/below",
        b"/dev/null",
        b"/proc/1/fd",
        b"a\nb",
        b"\xff\xfe",
        b"no/such/folder",
        &long,
    ];
    for value in values {
        let tests = ["failing::by_panic", "--exact"];
        let output = fail(&folder, &tests, OsStr::from_bytes(value));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("0 passed; 1 failed"), "{value:?}: {output:?}");
        assert_eq!(output.status.code(), Some(101), "{value:?}: {output:?}");
    }
}
