//! A workspace in the build folder, made from the sources in `tests/fixtures`. cargo builds it as a
//! user's, with this workspace's lock file, and offline, because its packages are fetched already.
//!
//! Tests that build the same packages with the same features use the same workspace, so that
//! nothing is built twice.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// All editions of Rust.
pub(crate) const EDITIONS: [&str; 4] = ["2015", "2018", "2021", "2024"];

/// A workspace, named after what is built in it.
pub(crate) struct Fixture {
    pub(crate) folder: PathBuf,
}

impl Fixture {
    pub(crate) fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let fixture = Self { folder };
        let members = r#"["library", "program", "shapes", "macros-*"]"#;
        fixture
            .write("Cargo.toml", &format!("[workspace]\nresolver = \"3\"\nmembers = {members}\n"));
        let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
        fixture.write("Cargo.lock", &fs::read_to_string(lock).expect("the workspace has one"));
        let library = "library = { path = \"../library\" }\n";
        let feature = "[features]\ntrace = [\"exectrace/enabled\"]\n";
        fixture.package("library", "off/library.rs", "2024", "", "");
        fixture.package("program", "off/program.rs", "2024", library, feature);
        fixture.package("shapes", "off/shapes.rs", "2024", "", "");
        for edition in EDITIONS {
            let name = format!("macros-{edition}");
            fixture.package(&name, "macros/editions.rs", edition, "", feature);
        }
        fixture.package("macros-old", "macros/old.rs", "2015", "", feature);
        fixture.package("macros-statement", "macros/statement.rs", "2024", "", feature);
        let other_core = "core = { path = \"../library\", package = \"library\" }\n";
        fixture.package("macros-shadows", "macros/shadows.rs", "2024", other_core, feature);
        fixture
    }

    fn package(&self, name: &str, source: &str, edition: &str, dependencies: &str, more: &str) {
        let exectrace = Path::new(env!("CARGO_MANIFEST_DIR"));
        let source = exectrace.join("tests/fixtures").join(source);
        let source = fs::read_to_string(source).expect("the fixture is there");
        let root = if source.contains("\nfn main()") { "main.rs" } else { "lib.rs" };
        self.write(&format!("{name}/src/{root}"), &source);
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"{edition}\"\n\n\
             [dependencies]\nexectrace = {{ path = {exectrace:?} }}\n{dependencies}\n{more}\n\
             [lints.rust.unexpected_cfgs]\nlevel = \"warn\"\ncheck-cfg = [\"cfg(annotated)\"]\n"
        );
        self.write(&format!("{name}/Cargo.toml"), &manifest);
    }

    /// The file that the program writes, a different one for each run of this test.
    pub(crate) fn trace(&self) -> PathBuf {
        self.folder.join(format!("{}.trace", std::process::id()))
    }

    /// Writes a file only if its text is new, so that cargo builds nothing without need.
    fn write(&self, path: &str, text: &str) {
        let path = self.folder.join(path);
        if fs::read_to_string(&path).is_ok_and(|before| before == text) {
            return;
        }
        fs::create_dir_all(path.parent().expect("it has a folder")).expect("it can be made");
        fs::write(&path, text).expect("it can be written");
    }

    /// Runs cargo in the workspace, with warnings as errors, and without the outer cargo's
    /// settings.
    pub(crate) fn cargo(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO"));
        command.args(words).current_dir(&self.folder);
        for (name, _) in std::env::vars() {
            let flags = ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"];
            if name.starts_with("CARGO_PROFILE") || flags.contains(&name.as_str()) {
                command.env_remove(name);
            }
        }
        command.env("CARGO_TARGET_DIR", self.folder.join("target")).env("RUSTFLAGS", "-Dwarnings");
        command.env("CARGO_NET_OFFLINE", "true");
        command.output().expect("cargo runs")
    }

    /// As [`Fixture::cargo`], which must succeed; returns its output.
    pub(crate) fn cargo_prints(&self, words: &[&str]) -> String {
        let output = self.cargo(words);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo {words:?} failed:\n{error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
