//! Many functions have not the same arguments.

use exectrace::traced;

#[traced(args(x))]
mod a {
    pub fn f(x: u8) -> u8 {
        x
    }
}

fn main() {
    a::f(1);
}
