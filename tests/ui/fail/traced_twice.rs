//! One function is one call site.

use exectrace::traced;

#[traced]
#[traced(ret)]
fn f() -> u8 {
    1
}

fn main() {
    f();
}
