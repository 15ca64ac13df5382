//! An option is given once.

use exectrace::traced;

#[traced(ret, min = "1us", ret)]
fn f() -> u8 {
    1
}

fn main() {
    f();
}
