//! For tests that need a process of their own: one that starts the process's trace, or limits it.

use std::process::Command;

/// Says to this program that it runs one test, alone.
const ROLE: &str = "EXECTRACE_TEST_ALONE";

/// Whether this process runs the calling test alone. If not, runs it in one that does, and checks
/// that it passed there.
///
/// - `name`: the test's full name, as `--exact` wants it.
#[track_caller]
pub(crate) fn is_alone(name: &str) -> bool {
    if std::env::var_os(ROLE).is_some() {
        return true;
    }
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    let output = command.args([name, "--exact"]).env(ROLE, "").output();
    let output = output.expect("this program starts again");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{output:?}");
    false
}
