//! An expression needs a name.

use exectrace::traced;

struct A {
    id: u8,
}

impl A {
    #[traced(args(self.id))]
    fn f(&self) -> u8 {
        self.id
    }
}

fn main() {
    A { id: 1 }.f();
}
