//! There is no error to record.

use exectrace::traced;

#[traced(err)]
fn f() {}

fn main() {
    f();
}
