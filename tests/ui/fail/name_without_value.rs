//! A name is a string.

use exectrace::traced;

#[traced(name)]
fn f() {}

fn main() {
    f();
}
