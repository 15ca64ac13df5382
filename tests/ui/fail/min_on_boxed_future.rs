//! Slices of a future are never filtered, however it is written.

use std::pin::Pin;

use exectrace::traced;

#[traced(min = "10us")]
fn f() -> Pin<Box<dyn Future<Output = u8>>> {
    Box::pin(async { 1 })
}

fn main() {
    drop(f());
}
