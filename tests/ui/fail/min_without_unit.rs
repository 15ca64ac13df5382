//! A duration has a unit.

use exectrace::traced;

#[traced(min = "10")]
fn f() {}

fn main() {
    f();
}
