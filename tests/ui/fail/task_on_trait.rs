//! A task is one call of one function.

use exectrace::traced;

#[traced(task)]
trait A {
    fn f() {}
}

impl A for u8 {}

fn main() {
    u8::f();
}
