//! A container cannot know whether the condition holds.

use exectrace::traced;

struct A;

#[traced]
impl A {
    #[cfg_attr(all(), traced(skip))]
    fn f() {}
}

fn main() {
    A::f();
}
