//! The option is there or it is not.

use exectrace::traced;

#[traced(ret = true)]
fn f() -> u8 {
    1
}

fn main() {
    f();
}
