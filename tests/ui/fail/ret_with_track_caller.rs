//! The body would be a closure, and `Location::caller` in it would be a place in the library.

use exectrace::traced;

#[traced(ret)]
#[track_caller]
fn f() -> u32 {
    std::panic::Location::caller().line()
}

fn main() {
    f();
}
