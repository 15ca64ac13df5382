//! The `exectrace` command: arguments to command to exit code, nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    trace_tool::command::run(std::env::args_os())
}
