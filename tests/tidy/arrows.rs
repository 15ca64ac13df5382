//! Dependencies between the workspace's crates point down only, and pin each other's version.
//!
//! Both sides share the wire, so neither may depend on the other: a recorder that decodes would put
//! the reader into every application, and a macro crate with a path upwards would be a circle.

use crate::tree::{Fault, File, Tree};
use toml::{Table, Value};

/// The crates of the workspace that each crate may depend on.
const ARROWS: [(&str, &[&str]); 15] = [
    ("examples", &[]),
    ("exectrace", &["trace-bridges", "trace-macros", "trace-runtime"]),
    ("exectrace-cli", &["trace-analysis", "trace-export", "trace-format", "trace-symbols"]),
    ("exectrace-criterion", &["exectrace"]),
    ("sanitized", &[]),
    ("service", &["exectrace", "trace-http"]),
    ("trace-analysis", &["trace-format"]),
    ("trace-bridges", &["trace-runtime"]),
    ("trace-export", &["trace-analysis", "trace-format"]),
    ("trace-format", &[]),
    (
        "trace-http",
        &["exectrace", "trace-analysis", "trace-export", "trace-format", "trace-symbols"],
    ),
    ("trace-http-off", &[]),
    ("trace-macros", &[]),
    ("trace-runtime", &["trace-format"]),
    ("trace-symbols", &["trace-analysis", "trace-format"]),
];

pub(crate) fn faults(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in tree.files.iter().filter(|file| file.name() == "Cargo.toml") {
        let manifest: Table = match file.text.parse() {
            Ok(manifest) => manifest,
            Err(error) => {
                faults.push(Fault::new(&file.path, 1, format!("no TOML: {error}")));
                continue;
            }
        };
        faults.extend(unpinned(file, &manifest));
        let name = at(&manifest, &["package", "name"]).and_then(Value::as_str).unwrap_or_default();
        match ARROWS.iter().find(|(known, _)| *known == name) {
            Some((_, allowed)) => faults.extend(upward(file, &manifest, allowed)),
            None if is_member(tree, &file.path) => {
                faults.push(Fault::new(&file.path, 1, format!("`{name}` has no place in ARROWS")));
            }
            None => {}
        }
    }
    faults.extend(decoding(tree));
    faults
}

fn at<'a>(table: &'a Table, path: &[&str]) -> Option<&'a Value> {
    let (last, folders) = path.split_last()?;
    let inner = folders.iter().try_fold(table, |table, name| table.get(*name)?.as_table());
    inner?.get(*last)
}

fn is_member(tree: &Tree, path: &str) -> bool {
    let root = tree.get("Cargo.toml").and_then(|file| file.text.parse::<Table>().ok());
    let members = root.as_ref().and_then(|root| at(root, &["workspace", "members"])?.as_array());
    let folder = path.strip_suffix("/Cargo.toml").unwrap_or(".");
    members.is_some_and(|members| members.iter().any(|member| member.as_str() == Some(folder)))
}

/// The dependencies of a user's build, without those of tests.
fn dependencies(manifest: &Table) -> Vec<(&String, &Value)> {
    let targets = at(manifest, &["target"]).and_then(Value::as_table);
    let targets = targets.into_iter().flat_map(Table::values).filter_map(Value::as_table);
    let places = [manifest].into_iter().chain(targets);
    let kinds =
        places.flat_map(|table| ["dependencies", "build-dependencies"].map(|kind| (table, kind)));
    let tables = kinds.filter_map(|(table, kind)| table.get(kind)?.as_table());
    tables.flatten().collect()
}

fn upward(file: &File, manifest: &Table, allowed: &[&str]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, value) in dependencies(manifest) {
        let package = value.get("package").and_then(Value::as_str).unwrap_or(name);
        if !ARROWS.iter().any(|(known, _)| *known == package) {
            continue;
        }
        let line = file.line_of(name);
        if !allowed.contains(&package) {
            let what = format!("an arrow up to `{package}`, move what is needed below both");
            faults.push(Fault::new(&file.path, line, what));
        }
        if value.get("workspace").and_then(Value::as_bool) != Some(true) {
            let what = format!("`{package}` by its own path, write `{name}.workspace = true`");
            faults.push(Fault::new(&file.path, line, what));
        }
        if file.path == "trace-runtime/Cargo.toml" && value.get("features").is_some() {
            let what = format!("features of `{package}`, leave them to the crates that read");
            faults.push(Fault::new(&file.path, line, what));
        }
    }
    faults
}

/// Crates of the workspace that are not pinned to the workspace's one version.
fn unpinned(file: &File, manifest: &Table) -> Vec<Fault> {
    let version = at(manifest, &["workspace", "package", "version"]).and_then(Value::as_str);
    let pinned = version.map(|version| format!("={version}"));
    let shared = at(manifest, &["workspace", "dependencies"]).and_then(Value::as_table);
    let paths = shared.into_iter().flatten().filter(|(_, value)| value.get("path").is_some());
    let loose = paths
        .filter(|(_, value)| value.get("version").and_then(Value::as_str) != pinned.as_deref());
    let fault = |(name, _): (&String, &Value)| {
        let what = format!("`{name}` may differ from this version, pin it with `=`");
        Fault::new(&file.path, file.line_of(&format!("{name} =")), what)
    };
    loose.map(fault).collect()
}

/// Places in the recorder that name the reader. Leaving the feature `read` off does not prevent
/// that, because cargo unifies features in one build.
fn decoding(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    let recorder = |path: &str| {
        path.starts_with("trace-runtime/src/") && !path.starts_with("trace-runtime/src/tests/")
    };
    for (file, tokens) in tree.sources().filter(|(file, _)| recorder(&file.path)) {
        for (at, token) in tokens.find(&["trace_format", ":", ":"]) {
            let use_ends = tokens.0[at..].iter().position(|token| token.text == ";");
            let mut path = tokens.0[at + 3..at + use_ends.unwrap_or(4).max(4)].iter();
            let names_read = if tokens.text(at + 3) == "{" {
                path.any(|token| token.text == "read")
            } else {
                tokens.text(at + 3) == "read"
            };
            if names_read && !token.in_test {
                let what = "`trace_format::read` in the recorder, which never decodes";
                faults.push(Fault::new(&file.path, token.line, what));
            }
        }
    }
    faults
}

mod tests {
    use super::*;

    const ROOT: &str = "[package]\nname = \"exectrace\"\n\
        [workspace]\nmembers = [\".\", \"trace-format\", \"new\"]\n\
        [workspace.package]\nversion = \"0.1.0\"\n[workspace.dependencies]\n\
        trace-format = { path = \"trace-format\", version = \"=0.1.0\" }\n";

    fn found(path: &str, manifest: &str) -> Vec<String> {
        let tree = Tree::sample(&[("Cargo.toml", ROOT), (path, manifest)]);
        faults(&tree).iter().map(Fault::to_string).collect()
    }

    #[test]
    fn an_arrow_down_is_fine() {
        let manifest = "[package]\nname = \"trace-runtime\"\n[dependencies]\n\
            trace-format.workspace = true\n[dev-dependencies]\nexectrace.path = \"..\"\n";
        assert_eq!(found("trace-runtime/Cargo.toml", manifest), Vec::<String>::new());
    }

    #[test]
    fn an_arrow_up_is_a_fault_in_every_kind_of_table() {
        for table in ["dependencies", "build-dependencies", "target.'cfg(unix)'.dependencies"] {
            let head = format!("[package]\nname = \"trace-format\"\n[{table}]\n");
            let plain = format!("{head}trace-runtime.workspace = true\n");
            let renamed =
                format!("{head}renamed = {{ workspace = true, package = \"exectrace-cli\" }}\n");
            for manifest in [plain, renamed] {
                let faults = found("trace-format/Cargo.toml", &manifest);
                assert_eq!(faults.len(), 1, "{manifest}");
                assert!(faults[0].starts_with("trace-format/Cargo.toml:4: an arrow up"));
            }
        }
    }

    #[test]
    fn a_crate_without_a_place_is_a_fault() {
        let manifest = "[package]\nname = \"new\"\n";
        assert_eq!(found("new/Cargo.toml", manifest).len(), 1);
        assert_eq!(found("not-a-member/Cargo.toml", manifest).len(), 0);
    }

    #[test]
    fn a_version_that_may_differ_is_a_fault() {
        let loose = ROOT.replace("=0.1.0", "0.1.0");
        assert_eq!(faults(&Tree::sample(&[("Cargo.toml", &loose)])).len(), 1);
        let old = ROOT.replace("\"0.1.0\"", "\"0.2.0\"");
        assert_eq!(faults(&Tree::sample(&[("Cargo.toml", &old)])).len(), 1);
        let own =
            "[package]\nname = \"exectrace-cli\"\n[dependencies.trace-format]\npath = \"..\"\n";
        assert_eq!(found("trace-tool/Cargo.toml", own).len(), 1);
    }

    #[test]
    fn a_recorder_that_decodes_is_a_fault() {
        for text in ["use trace_format::read::Tables;", "use trace_format::{id::A, read::B};"] {
            let inside = Tree::sample(&[("trace-runtime/src/a.rs", text)]);
            assert_eq!(faults(&inside).len(), 1, "{text}");
            let outside = Tree::sample(&[("trace-tool/src/a.rs", text)]);
            assert_eq!(faults(&outside), []);
        }
        let other = "use trace_format::{id::A};\nfn read() {}\nuse trace_format::reader::B;";
        assert_eq!(faults(&Tree::sample(&[("trace-runtime/src/a.rs", other)])), []);
    }

    #[test]
    fn a_recorder_that_asks_for_the_reader_is_a_fault() {
        let manifest = "[package]\nname = \"trace-runtime\"\n[dependencies]\n\
            trace-format = { workspace = true, features = [\"read\"] }\n";
        assert_eq!(found("trace-runtime/Cargo.toml", manifest).len(), 1);
    }
}
