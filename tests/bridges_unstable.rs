//! The bridge to tokio under `--cfg tokio_unstable`. That setting applies to a whole build, so this
//! test builds a package in the build folder, offline and with this workspace's lock file, and runs
//! `bridges_tokio` and `bridges_tokio_hooks` there.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The package's manifest; `ROOT` is this workspace.
const MANIFEST: &str = r#"
[workspace]

[package]
name = "unstable"
version = "0.0.0"
edition = "2024"

[lib]
path = "lib.rs"

[dev-dependencies]
exectrace = { path = "ROOT", features = ["full", "schedule-latency"] }
tokio = { version = "1.54.1", features = ["rt-multi-thread", "sync", "time"] }
trace-format = { path = "ROOT/trace-format", features = ["read"] }

[lints.rust.unexpected_cfgs]
level = "warn"
check-cfg = ["cfg(tokio_unstable)"]

[[test]]
name = "bridges_tokio"
path = "ROOT/tests/bridges_tokio.rs"

[[test]]
name = "bridges_tokio_hooks"
path = "ROOT/tests/bridges_tokio_hooks.rs"
"#;

#[test]
fn all_that_holds_of_tokio_holds_when_it_tells_more() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("unstable");
    fs::create_dir_all(&folder).expect("it can be made");
    let manifest = MANIFEST.replace("ROOT", &root.display().to_string());
    fs::write(folder.join("lib.rs"), "").expect("it can be written");
    fs::write(folder.join("Cargo.toml"), manifest).expect("it can be written");
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).expect("the workspace has one");
    let mut command = Command::new(env!("CARGO"));
    command.args(["test", "--quiet", "--tests"]).current_dir(&folder);
    command.env("CARGO_TARGET_DIR", folder.join("target"));
    command.env("RUSTFLAGS", "--cfg tokio_unstable -Dwarnings").env("CARGO_NET_OFFLINE", "true");
    for name in ["CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "EXECTRACE_TEST_ALONE"] {
        command.env_remove(name);
    }
    let output = command.output().expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{error}");
    assert_eq!(said.matches("test result: ok").count(), 3, "the library's, and two files: {said}");
}
