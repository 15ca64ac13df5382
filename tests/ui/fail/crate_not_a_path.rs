//! The crate is a path.

use exectrace::traced;

#[traced(crate = "exectrace")]
fn f() {}

fn main() {
    f();
}
