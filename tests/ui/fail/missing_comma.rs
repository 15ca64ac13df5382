//! Options are separated by commas.

use exectrace::traced;

#[traced(ret err)]
fn f() -> Result<u8, u8> {
    Ok(1)
}

fn main() {
    let _ = f();
}
