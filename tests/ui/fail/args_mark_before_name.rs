//! The mark stands before the expression.

use exectrace::traced;

#[traced(args(?x = x))]
fn f(x: u8) -> u8 {
    x
}

fn main() {
    f(1);
}
