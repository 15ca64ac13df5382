//! Time is measured in nanoseconds.

use exectrace::traced;

#[traced(min = "0.1ns")]
fn f() {}

fn main() {
    f();
}
