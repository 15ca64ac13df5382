//! What things in a trace are called, in text that is safe to print.
//!
//! - [`call`]: calls into the system, what they were about.
//! - [`errno`]: error numbers.
//! - [`escape`]: text out of a trace, made safe to show.
//! - [`place`]: stacks, and where in the program something was done.

pub mod call;
pub mod errno;
pub mod escape;
pub mod place;

/// What other processes call a task, in the words of W3C Trace Context: version 00, and recorded.
#[must_use]
pub fn traceparent(trace: u128, span: u64) -> String {
    format!("00-{trace:032x}-{span:016x}-01")
}
