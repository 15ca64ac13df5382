//! A region without `=>` is a statement.

use exectrace::trace_region;

fn main() {
    let f = || trace_region!("t");
    f();
}
