//! Names of things in a trace, as text that is safe to print.
//!
//! - [`call`]: calls into the system, and their resources.
//! - [`errno`]: error numbers.
//! - [`escape`]: text out of a trace, made safe to show.
//! - [`place`]: stacks, and where in the program something was done.

pub mod call;
pub mod errno;
pub mod escape;
pub mod place;

/// A task's id in other processes, in the form of W3C Trace Context: version 00, flag "recorded".
#[must_use]
pub fn traceparent(trace: u128, span: u64) -> String {
    format!("00-{trace:032x}-{span:016x}-01")
}
