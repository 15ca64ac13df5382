//! What makes no sense for a test is refused, all of it.

#[exectrace::test(min = "1us", task)]
fn f() {}

fn main() {}
