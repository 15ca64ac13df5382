//! A const fn may run in the compiler, where there is nothing to record.

use exectrace::traced;

#[traced]
const fn f() -> u8 {
    1
}

fn main() {
    f();
}
