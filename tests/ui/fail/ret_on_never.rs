//! There is no value to record.

use exectrace::traced;

#[traced(ret)]
fn f() -> ! {
    std::process::exit(0)
}

fn main() {
    f();
}
