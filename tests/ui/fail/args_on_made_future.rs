//! The arguments may be gone when the future begins.

use exectrace::traced;

#[traced(args(x))]
fn f(x: u8) -> impl Future<Output = u8> {
    std::future::ready(x)
}

fn main() {
    drop(f(1));
}
