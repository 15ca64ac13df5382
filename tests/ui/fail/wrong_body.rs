//! A fault in a traced body is shown where it is, and once.

use exectrace::traced;

#[traced]
fn f(x: u8) -> String {
    let y: u16 = x;
    y.to_string()
}

fn main() {
    f(1);
}
