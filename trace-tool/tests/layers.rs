//! Arrows between the tool's folders point down only: `cli` asks `answer`, `text` and `json` show
//! what that says and know nothing of each other, and `label` has the words and never prints.

use std::fs;
use std::path::{Path, PathBuf};

/// What a folder must not name.
const FORBIDDEN: [(&str, &[&str]); 5] = [
    ("label", &["answer", "cli", "json", "output", "source", "symbols", "text"]),
    ("source", &["answer", "cli", "json", "text"]),
    ("answer", &["cli", "json", "text"]),
    ("text", &["cli", "json"]),
    ("json", &["cli", "text"]),
];

#[test]
fn no_folder_names_one_above_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut faults = Vec::new();
    for (folder, forbidden) in FORBIDDEN {
        let files = files(&source.join(folder));
        assert!(!files.is_empty(), "{folder} is elsewhere");
        for path in files {
            let text = fs::read_to_string(&path).expect("it is text");
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let code = code.collect::<Vec<_>>().join("\n");
            let names = forbidden.iter().filter(|name| mentions(&code, name));
            faults.extend(names.map(|name| format!("{} names {name}", path.display())));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Whether code has a path into a folder of the crate: `crate::text`, `use crate::{json, text}`.
fn mentions(code: &str, name: &str) -> bool {
    let groups = code.split("use crate::{").skip(1).filter_map(|rest| rest.split_once("};"));
    let mut members = groups.flat_map(|(group, _)| group.split(','));
    let starts = |text: &str| {
        let rest = text.trim().strip_prefix(name);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    code.split("crate::").skip(1).any(starts) || members.any(starts)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    let (folders, files): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
    files.into_iter().chain(folders.iter().flat_map(|folder| self::files(folder))).collect()
}
