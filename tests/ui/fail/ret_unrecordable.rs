//! A value without `Debug` cannot be recorded.

use exectrace::traced;

struct A;

#[traced(ret)]
fn f() -> A {
    A
}

fn main() {
    f();
}
