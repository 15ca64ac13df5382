//! A duration fits 64 bits of nanoseconds.

use exectrace::traced;

#[traced(min = "99999999999s")]
fn f() {}

fn main() {
    f();
}
