//! For tests that need a process of their own: they start the process's trace, or limit the
//! process.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::process::Command;
use std::sync::{Arc, Mutex};

/// The variable that tells this program that it runs one test, alone.
const ROLE: &str = "EXECTRACE_TEST_ALONE";
/// The variable with the command, and its arguments between spaces, that runs this program: an
/// emulator of another machine. Not set where the program runs directly.
const RUNNER: &str = "EXECTRACE_TEST_RUNNER";

/// Whether this process runs the calling test alone. If not, runs the test in a process of its own,
/// and checks that it passed there.
///
/// - `module`: the test's `module_path!()`; it begins with this crate's name.
/// - `test`: the name of its function.
#[track_caller]
pub(crate) fn is_alone(module: &str, test: &str) -> bool {
    if std::env::var_os(ROLE).is_some() {
        return true;
    }
    let program = std::env::current_exe().expect("this program has a path");
    let runner = std::env::var(RUNNER).unwrap_or_default();
    let mut words = runner.split_whitespace().map(OsStr::new).chain([program.as_os_str()]);
    let mut command = Command::new(words.next().expect("the program is one of them"));
    command.args(words);
    let (_, module) = module.split_once("::").expect("a module of this crate");
    let output = command.args([&format!("{module}::{test}"), "--exact"]).env(ROLE, "").output();
    let output = output.expect("this program starts again");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{output:?}");
    false
}

/// A writer into memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriterMemory(Arc<Mutex<Vec<u8>>>);

impl WriterMemory {
    /// What has been written.
    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().expect("nobody panics with it"))
    }
}

impl Write for WriterMemory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics with it").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
