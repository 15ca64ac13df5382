//! A macro is not expanded yet when the attribute sees it.

use exectrace::traced;

#[traced]
macro_rules! a {
    () => {};
}

fn main() {
    a!();
}
