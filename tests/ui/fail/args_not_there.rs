//! An argument is a parameter or an expression.

use exectrace::traced;

#[traced(args(y))]
fn f(x: u8) -> u8 {
    x
}

fn main() {
    f(1);
}
