//! A test is a function.

#[exectrace::test]
pub struct A;

fn main() {}
