//! A type without a recorded form needs `?` or `%`.

use exectrace::traced;

struct A;

#[traced(args(x, a))]
fn f(x: u8, a: &A) -> u8 {
    let _ = a;
    x
}

fn main() {
    f(1, &A);
}
