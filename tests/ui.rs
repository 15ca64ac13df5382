//! What the macros accept and what they refuse.
//!
//! - `ui/pass`: code that must compile without a warning from the compiler or clippy, and do what
//!   it does without the macros. The files are modules of this test, so that
//!   `cargo clippy --all-targets` sees them; each denies the lints itself.
//! - `ui/fail`: one fault per file, and beside it the compiler's message.
//!   `TRYBUILD=overwrite cargo test --test ui` rewrites the messages; read the difference before
//!   you commit it.
//!
//! Elsewhere: what is recorded (`end_to_end`), what is emitted (`trace-macros/src/snapshot`).

use std::pin::pin;
use std::task::{Context, Poll, Waker};

#[path = "ui/pass/annotations.rs"]
mod annotations;
#[path = "ui/pass/containers.rs"]
mod containers;
#[path = "ui/pass/functions.rs"]
mod functions;
#[path = "ui/pass/futures.rs"]
mod futures;
#[path = "ui/pass/options.rs"]
mod options;
#[path = "ui/pass/tests.rs"]
mod tests;

#[test]
fn each_fault_is_one_error_at_its_token() {
    trybuild::TestCases::new().compile_fail("tests/ui/fail/*.rs");
}

/// The output of a future that never waits.
fn ready<F: Future>(future: F) -> F::Output {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("no future here waits"),
    }
}
