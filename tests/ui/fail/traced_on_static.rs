//! A static has no calls.

use exectrace::traced;

#[traced]
static A: u8 = 1;

fn main() {
    let _: u8 = A;
}
