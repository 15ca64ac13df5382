//! A duration is a string.

use exectrace::traced;

#[traced(min = 10)]
fn f() {}

fn main() {
    f();
}
