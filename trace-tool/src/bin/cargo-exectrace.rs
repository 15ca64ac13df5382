//! The same program as `exectrace`, under the name by which cargo finds its commands.

use std::process::ExitCode;

fn main() -> ExitCode {
    trace_tool::run(std::env::args_os())
}
