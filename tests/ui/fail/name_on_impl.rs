//! Many functions cannot have one name.

use exectrace::traced;

struct A;

#[traced(name = "a")]
impl A {
    fn f() {}
}

fn main() {
    A::f();
}
