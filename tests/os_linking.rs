//! Hooks in programs that are linked in other ways: statically, with link-time optimisation,
//! without unwinding. Each function has one definition, no null pointer is called, and calls are
//! recorded.
//!
//! The source in `fixtures/os` becomes a package in the build folder, with this workspace's lock
//! file. It is built offline, because its packages are fetched already.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use common::calls::{calls, of_thread};
use common::decoded::Decoded;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use trace_format::id::CallId;

/// The profiles in the package's manifest.
const PROFILES: &str = "[profile.whole]\ninherits = \"release\"\nlto = \"fat\"\n\
    panic = \"abort\"\ncodegen-units = 1\n";

/// Makes the package, and returns its folder.
fn package(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let write = |path: &str, text: &str| {
        let path = folder.join(path);
        if fs::read_to_string(&path).is_ok_and(|before| before == text) {
            return;
        }
        fs::create_dir_all(path.parent().expect("it has a folder")).expect("it can be made");
        fs::write(&path, text).expect("it can be written");
    };
    let read = |path: &str| fs::read_to_string(root.join(path)).expect("it is there");
    write("Cargo.lock", &read("Cargo.lock"));
    write("src/main.rs", &read("tests/fixtures/os/program.rs"));
    let manifest = format!(
        "[workspace]\n\n[package]\nname = \"program\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [dependencies]\nexectrace = {{ path = {root:?}, features = [\"os\"] }}\n\
         libc = \"0.2\"\n\n{PROFILES}"
    );
    write("Cargo.toml", &manifest);
    folder
}

/// Builds the program with these flags, runs it, and reads its trace.
fn run(name: &str, flags: &str, profile: &str) -> Decoded {
    let folder = package(name);
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut command = Command::new(env!("CARGO"));
    for (name, _) in std::env::vars() {
        let outer = ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"];
        if name.starts_with("CARGO_PROFILE") || outer.contains(&name.as_str()) {
            command.env_remove(name);
        }
    }
    // With an explicit target, build scripts are not linked statically.
    command.args(["build", "--profile", profile, "--target", &target]).current_dir(&folder);
    command.env("CARGO_TARGET_DIR", folder.join("target")).env("CARGO_NET_OFFLINE", "true");
    let output = command.env("RUSTFLAGS", flags).output().expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(!errors.contains("warning"), "{errors}");
    let built = if profile == "dev" { "debug" } else { profile };
    let program = folder.join("target").join(&target).join(built).join("program");
    let trace = folder.join(format!("{}.trace", std::process::id()));
    let output = Command::new(program).arg(&trace).output().expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    let bytes = fs::read(&trace).expect("it has written its trace");
    fs::remove_file(&trace).expect("it is ours");
    let trace = Decoded::new(&bytes);
    common::checks::check(&trace);
    trace
}

/// Checks what must hold for every way of linking.
fn check(trace: &Decoded) {
    let holder = trace.thread("holder");
    let held = of_thread(trace, holder);
    assert!(held.iter().any(|call| call.call == CallId::FUTEX_WAKE), "{held:?}");
    let slept = held.iter().find(|call| call.call == CallId::CLOCK_NANOSLEEP);
    assert!(slept.is_some_and(|call| call.result == 0), "{held:?}");
    let all = calls(trace);
    let names: BTreeSet<_> = all.iter().map(|call| call.name()).collect();
    for name in ["futex_wait", "futex_wake", "open", "read", "close", "statx"] {
        assert!(names.contains(name), "{name} of {names:?}");
    }
    let files: BTreeSet<_> = trace.tables.resources.values().map(|it| it.name.as_str()).collect();
    assert!(files.contains("/dev/zero"), "{files:?}");
    assert!(trace.tables.facilities["os"].on);
}

#[test]
fn a_static_program_is_recorded() {
    let trace = run("os_static", "-Ctarget-feature=+crt-static", "dev");
    check(&trace);
    assert!(trace.tables.facilities["os"].note.starts_with("static program"));
}

#[test]
fn a_static_program_that_is_optimised_as_a_whole_is_recorded() {
    let trace = run("os_static_whole", "-Ctarget-feature=+crt-static", "whole");
    check(&trace);
}

#[test]
fn a_program_that_is_optimised_as_a_whole_is_recorded() {
    let trace = run("os_whole", "", "whole");
    check(&trace);
    let joined = calls(&trace).into_iter().find(|call| call.call == CallId::PTHREAD_JOIN);
    assert!(joined.is_some(), "threads are joined");
}
