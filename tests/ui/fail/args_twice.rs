//! Two arguments cannot have one name.

use exectrace::traced;

#[traced(args(x, x = x + 1))]
fn f(x: u8) -> u8 {
    x
}

fn main() {
    f(1);
}
