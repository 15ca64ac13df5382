//! A name says something.

use exectrace::traced;

#[traced(name = "")]
fn f() {}

fn main() {
    f();
}
