//! A struct has no calls.

use exectrace::traced;

#[traced]
pub struct A;

fn main() {
    let _: A = A;
}
