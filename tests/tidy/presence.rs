//! The pages that newcomers look for exist, and links between pages lead to files that exist.

use crate::tree::{Fault, File, Tree};
use regex::Regex;

const FILES: [&str; 10] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SECURITY.md",
    ".ci/run",
    "trace-format/FORMAT.md",
];

pub(crate) fn faults(tree: &Tree) -> Vec<Fault> {
    let is_there = |path: &str| tree.get(path).is_some_and(|file| !file.text.trim().is_empty());
    let missing = FILES.iter().filter(|path| !is_there(path));
    let missing = missing.map(|path| Fault::new(path, 0, "missing or empty, write it"));
    let pages = tree.files.iter().filter(|file| file.extension() == "md");
    missing.chain(pages.flat_map(|file| dead_links(tree, file))).collect()
}

/// Links to files that do not exist.
fn dead_links(tree: &Tree, file: &File) -> Vec<Fault> {
    // `[text](target)`, or `[text]: target` on a line of its own.
    let link = r"(?:\]\(|^\[[^\]]+\]:\s+)([^)#\s]+)";
    let link = Regex::new(link).expect("a pattern");
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut faults = Vec::new();
    for (line, text) in file.lines() {
        for found in link.captures_iter(text) {
            let target = &found[1];
            if !target.contains("://") && !leads_somewhere(tree, folder, target) {
                let what = format!("a link to `{target}`, which is not there, mend it");
                faults.push(Fault::new(&file.path, line, what));
            }
        }
    }
    faults
}

fn leads_somewhere(tree: &Tree, folder: &str, target: &str) -> bool {
    let mut path: Vec<_> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/').filter(|part| !["", "."].contains(part)) {
        if part == ".." {
            path.pop();
        } else {
            path.push(part);
        }
    }
    let path = path.join("/");
    tree.get(&path).is_some() || tree.below(&format!("{path}/")).next().is_some()
}

mod tests {
    use super::*;

    #[test]
    fn a_missing_or_empty_file_is_a_fault() {
        let mut files: Vec<_> = FILES.iter().map(|path| (*path, "text")).collect();
        assert_eq!(faults(&Tree::sample(&files)), []);
        files[3].1 = " \n";
        files.pop();
        assert_eq!(faults(&Tree::sample(&files)).len(), 2);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_a_fault() {
        let text = "[a](../b.md) [c](https://a.b/c) [d](#d) [e](e/) [f](b.md#g)\n\n[h](gone.md)\n\
            [i]\n\n[i]: b.md#g\n[j k]: gone.md\nNot one [l]: gone.md\n";
        let tree = Tree::sample(&[("x/a.md", text), ("b.md", ""), ("x/e/f", ""), ("x/b.md", "")]);
        let found = dead_links(&tree, &tree.files[1]);
        let what = "a link to `gone.md`, which is not there, mend it";
        assert_eq!(found, [3, 7].map(|line| Fault::new("x/a.md", line, what)));
    }
}
