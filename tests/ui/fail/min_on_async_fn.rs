//! Slices of a future are never filtered.

use exectrace::traced;

#[traced(min = "10us")]
async fn f() {}

fn main() {
    drop(f());
}
