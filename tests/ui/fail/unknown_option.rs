//! An option that is not there.

use exectrace::traced;

#[traced(arg(x))]
fn f(x: u8) -> u8 {
    x
}

fn main() {
    f(1);
}
