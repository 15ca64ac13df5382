//! Forked children: a child runs a few lines, reports through a pipe, and exits without the test's
//! cleanup.
//!
//! May contain `unsafe`: `fork` is.
#![cfg(unix)]

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Seconds after which a child is killed; longer than any step takes unless it hangs.
const PATIENCE_SECONDS: u32 = 120;

/// Runs `act` in a forked child. Returns its text, or why it panicked.
pub(crate) fn in_child(act: impl FnOnce() -> String) -> String {
    let (mut from_child, mut to_parent) = std::io::pipe().expect("the system makes a pipe");
    // SAFETY: `fork` wants that the child of a process with threads calls only async-signal-safe
    // functions. It does more, on purpose: this system's allocator and the recorder cope with that.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork failed");
    if child == 0 {
        // A child that hangs is killed, and gives no answer.
        // SAFETY: `alarm` wants nothing.
        unsafe { libc::alarm(PATIENCE_SECONDS) };
        let answer = catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            format!("panicked: {}", text.or(panic.downcast_ref().copied()).unwrap_or("?"))
        });
        let told = to_parent.write_all(answer.as_bytes());
        // SAFETY: `_exit` wants nothing; what the test's process would do at its end is not done.
        unsafe { libc::_exit(i32::from(told.is_err())) };
    }
    drop(to_parent);
    let mut answer = String::new();
    from_child.read_to_string(&mut answer).expect("the child writes text");
    let mut status = 0;
    // SAFETY: `waitpid` wants a child and a place for its status.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((waited, status), (child, 0), "the child left as it should; it said: {answer}");
    answer
}
