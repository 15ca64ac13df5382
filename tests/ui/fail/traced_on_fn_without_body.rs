//! A required method is traced where it is implemented.

use exectrace::traced;

trait A {
    #[traced]
    fn f();
}

impl A for u8 {
    fn f() {}
}

fn main() {
    u8::f();
}
