//! `None` is no error.

use exectrace::traced;

#[traced(err)]
fn f() -> Option<u8> {
    None
}

fn main() {
    f();
}
