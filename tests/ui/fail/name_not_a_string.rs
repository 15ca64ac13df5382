//! A name is a literal, so that it can be in a static.

use exectrace::traced;

#[traced(name = f)]
fn f() {}

fn main() {
    f();
}
