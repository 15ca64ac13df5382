//! `#[exectrace::test]`: a test is a task, called by its path, also above another harness's
//! attribute, and ends however the test ends.
//!
//! The functions below are tests, and are called once more while a trace runs. Elsewhere: what
//! compiles (`ui`), the command that ranks tests (`trace-tool/tests/cargo.rs`).

mod common;

use common::{on_thread, record};
use std::panic;

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
