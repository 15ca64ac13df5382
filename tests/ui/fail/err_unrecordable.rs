//! An error without `Display` cannot be recorded.

use exectrace::traced;

struct A;

#[traced(err)]
fn f() -> Result<u8, A> {
    Err(A)
}

fn main() {
    let _ = f();
}
