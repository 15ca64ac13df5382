//! `#[exectrace::test]`: a test is a task, called by its path, also above another harness's
//! attribute, and ends however the test ends.
//!
//! The functions below are tests, and are called once more while a trace runs. Elsewhere: what
//! compiles (`ui`), the command that ranks tests (`trace-tool/tests/cargo.rs`).

mod common;

use common::{on_thread, record};
use std::panic;
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

/// What is recorded of tasks while this runs, on its own thread: the tests run elsewhere meanwhile.
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

/// What fails when it is asked to, in a process of its own.
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
}

#[test]
fn a_test_that_fails_leaves_the_last_seconds_and_others_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = folder.path().join("kept");
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = std::process::Command::new(program);
    command.args(["failing::", "panicking"]);
    command.env("EXECTRACE_KEEP", &kept).env("EXECTRACE_TEST_FAILS", "1");
    let output = command.output().expect("it runs");
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
