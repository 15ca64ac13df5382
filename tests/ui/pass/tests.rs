//! Tests that are tasks, alone and above other harnesses' attributes.

#![deny(warnings, clippy::pedantic, clippy::nursery)]

use std::num::ParseIntError;

mod renamed {
    pub(super) use exectrace::*;
}

#[exectrace::test]
fn a_plain_test_runs() {
    assert!(exectrace::Task::current().id() == 0 || exectrace::is_enabled());
}

#[exectrace::test]
fn a_test_may_return_a_result() -> Result<(), ParseIntError> {
    "7".parse::<u8>().map(drop)
}

#[exectrace::test]
#[should_panic(expected = "on purpose")]
fn a_test_may_panic() {
    panic!("on purpose");
}

#[exectrace::test]
#[tokio::test]
async fn an_async_test_has_its_runtime() {
    tokio::task::yield_now().await;
    assert!(tokio::runtime::Handle::try_current().is_ok());
}

#[exectrace::test(name = "another", crate = renamed)]
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn options_of_both_are_heard() -> Result<(), ParseIntError> {
    tokio::spawn(async { "7".parse::<u8>() }).await.expect("no panic").map(drop)
}

#[exectrace::test]
#[test]
fn the_plain_attribute_may_stand_there_too() {}
