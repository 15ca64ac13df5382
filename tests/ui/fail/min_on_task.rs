//! A task is never filtered.

use exectrace::traced;

#[traced(min = "10us", task)]
fn f() {}

fn main() {
    f();
}
