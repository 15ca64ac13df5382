//! In a container a const fn is left out, but not if it is asked for by itself.

use exectrace::traced;

struct A;

#[traced]
impl A {
    #[traced]
    const fn f() -> u8 {
        1
    }
}

fn main() {
    A::f();
}
