//! Arguments are a list.

use exectrace::traced;

#[traced(args = x)]
fn f(x: u8) -> u8 {
    x
}

fn main() {
    f(1);
}
