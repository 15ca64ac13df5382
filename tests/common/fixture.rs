//! Programs that tests build from sources in `tests/fixtures`, in a workspace in the build folder.
//! It has this workspace's lock file, and is built once and offline: the packages are fetched for
//! the tests already.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A package of such a workspace.
pub(crate) struct Member<'a> {
    pub(crate) name: &'a str,
    /// Its only file: its path in the package, and in this project's `tests/fixtures`.
    pub(crate) source: (&'a str, &'a str),
    /// The features of exectrace; `None` for a package that does not depend on it.
    pub(crate) features: Option<&'a str>,
    /// Further lines of its manifest, after its dependencies.
    pub(crate) rest: &'a str,
}

/// Builds the packages. Returns the folder with the programs.
pub(crate) fn build(name: &str, members: &[Member<'_>]) -> PathBuf {
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
    let names: Vec<_> = members.iter().map(|member| member.name).collect();
    write("Cargo.toml", &format!("[workspace]\nresolver = \"3\"\nmembers = {names:?}\n"));
    for Member { name, source: (to, from), features, rest } in members {
        write(&format!("{name}/{to}"), &read(&format!("tests/fixtures/{from}")));
        let head = "version = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\n";
        let own = features.map_or_else(String::new, |features| {
            format!("exectrace = {{ path = {root:?}, features = [{features}] }}\n")
        });
        let manifest = format!("[package]\nname = \"{name}\"\n{head}{own}{rest}");
        write(&format!("{name}/Cargo.toml"), &manifest);
    }
    let mut command = Command::new(env!("CARGO"));
    for (name, _) in std::env::vars() {
        let outer = ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"];
        if name.starts_with("CARGO_PROFILE") || outer.contains(&name.as_str()) {
            command.env_remove(name);
        }
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-target"));
    command.arg("build").current_dir(&folder).env("RUSTFLAGS", "-Dwarnings");
    command.env("CARGO_TARGET_DIR", &target).env("CARGO_NET_OFFLINE", "true");
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join("debug")
}

/// Copies a program in another process. A program cannot be started while its file is open for
/// writing, and a process that another test starts inherits our descriptors until it runs its
/// program.
pub(crate) fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg(from).arg(to).status().expect("there is `cp`");
    assert!(copied.success(), "there is room");
}

/// A folder for the files of one test, empty.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("it can be made");
    folder
}
