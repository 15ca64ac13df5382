//! The `exectrace` command, `cargo exectrace` if it is called so: arguments to command to exit
//! code, nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    trace_tool::run(std::env::args_os())
}
