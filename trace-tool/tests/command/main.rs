//! The commands as programs: arguments, files and pipes, exit codes, foreign readers.
//!
//! - `beside`: what lies beside a trace under the name of its process's memory is used only if it
//!   is that.
//! - `cargo`: `cargo exectrace` on small packages: features are switched on, every process has a
//!   trace, tests are ranked, the exit code is cargo's.
//! - `command_line`: wrong use is one clear line and exit 2; a closed pipe is no error.
//! - `names`: what is said of addresses that have no names.
//! - `outputs`: what commands write by a name from the command line costs nothing that was there
//!   before: not the trace, by whatever name, and no older output if there will be no new one.
//! - `parts`: a part of a trace: which threads can be asked for; and what commands say shows more
//!   is about the same part.
//! - `perfetto`: `exectrace export --format perfetto`, from the outside: files, pipes, exit codes.
//! - `pipes`: a trace through a pipe, or from standard input, is read like a file.
//! - `profile`: profiles as other tools read them: the real `pprof`, folded lines, flame graphs.
//! - `reads`: every verb reads a trace twice at most: once for what is missing, once for its
//!   answer.
//! - `symbolize`: `exectrace symbolize`, which puts names into a trace.
//!
//! Shared with others: `common`, `program`, `sample`.

#[cfg(unix)]
mod beside;
#[cfg(target_os = "linux")]
mod cargo;
mod command_line;
#[path = "../common/mod.rs"]
mod common;
mod names;
#[cfg(unix)]
mod outputs;
mod parts;
mod perfetto;
#[cfg(unix)]
mod pipes;
mod profile;
#[path = "../../../trace-symbols/tests/common/program.rs"]
#[allow(dead_code, reason = "every test uses a part of it")]
mod program;
#[cfg(target_os = "linux")]
mod reads;
#[path = "../../../trace-export/tests/common/sample.rs"]
mod sample;
mod symbolize;
