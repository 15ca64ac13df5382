//! An import has no calls.

use exectrace::traced;

#[traced]
use std::fs::File;

fn main() {
    let _: Option<File> = None;
}
