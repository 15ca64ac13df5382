//! `cargo exectrace`: arguments to command to exit code, nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    trace_tool::cargo::run(std::env::args_os())
}
