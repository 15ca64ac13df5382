//! What makes no sense for a test is refused.

#[exectrace::test(min = "1us")]
fn f() {}

fn main() {}
