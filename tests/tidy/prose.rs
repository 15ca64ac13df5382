//! Phrases that made sentences of the old prose hard to read do not come back.
//!
//! In any file of the tree, also across the end of a line: comments, messages, pages. A folder
//! that still has some is listed with the maximum number.
//!
//! Elsewhere: words of other projects in public names (`words`).

use crate::tree::{Fault, File, Tree};
use regex::Regex;
use std::collections::BTreeMap;

/// Folders that still have such phrases, and the maximum number of each. This list only shrinks.
const LEFT: [(&str, usize); 4] =
    [("trace-analysis", 81), ("trace-format", 21), ("trace-runtime", 165), ("trace-tool", 6)];

/// Spelled in pieces so that the check does not find this file.
const PHRASES: &str = concat!(
    r"(?i)\b(who",
    r"m?ever|told",
    r" of|so",
    r" many|be",
    r" had|(is|are|was|were)",
    r" had|(is|are)",
    r" met)\b"
);

pub(crate) fn faults(tree: &Tree) -> Vec<Fault> {
    more_than(found(tree), &LEFT)
}

fn found(tree: &Tree) -> Vec<Fault> {
    let phrases = Regex::new(PHRASES).expect("a pattern");
    let mut found = Vec::new();
    for file in &tree.files {
        let (text, begins) = flat(file);
        for phrase in phrases.find_iter(&text) {
            let line = begins.partition_point(|begin| *begin <= phrase.start());
            let what = format!("`{}` is hard to read, say who does what", phrase.as_str());
            found.push(Fault::new(&file.path, line, what));
        }
    }
    found
}

/// A file as one line without the marks of comments, and where each of its lines begins in that.
fn flat(file: &File) -> (String, Vec<usize>) {
    let (mut text, mut begins) = (String::new(), Vec::new());
    for (_, line) in file.lines() {
        begins.push(text.len());
        text.push_str(line.trim_start().trim_start_matches(['/', '!', '#', '*']).trim());
        text.push(' ');
    }
    (text, begins)
}

/// The phrases in folders without a number, and the folders whose number is wrong.
fn more_than(found: Vec<Fault>, left: &[(&str, usize)]) -> Vec<Fault> {
    let mut counts = BTreeMap::new();
    for fault in &found {
        *counts.entry(folder(fault.path()).to_owned()).or_insert(0) += 1;
    }
    let miscounted = left.iter().filter_map(|(name, count_max)| {
        let what = match counts.get(*name) {
            None => "no hard phrase is left, take the folder off the list".to_owned(),
            Some(count) if count > count_max => {
                format!("{count} hard phrases of at most {count_max}, say the new ones plainly")
            }
            Some(_) => return None,
        };
        Some(Fault::new(&format!("{name}/"), 0, what))
    });
    let miscounted: Vec<_> = miscounted.collect();
    let is_listed = |fault: &Fault| left.iter().any(|(name, _)| *name == folder(fault.path()));
    found.into_iter().filter(|fault| !is_listed(fault)).chain(miscounted).collect()
}

/// The folder at the root that a file is in; empty for a file at the root.
fn folder(path: &str) -> &str {
    path.split_once('/').map_or("", |(folder, _)| folder)
}

mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<String> {
        found(&Tree::sample(&[(path, text)])).iter().map(Fault::to_string).collect()
    }

    #[test]
    fn hard_phrases_are_faults_in_any_file() {
        for text in [
            concat!("//! For who", "ever reads.\n"),
            concat!("fn f() { panic!(\"it is told", " of\"); }"),
            concat!("/// So", " many at most.\nconst A: u8 = 1;"),
            concat!("No memory can be", " had.\n"),
            concat!("# A stack that is", " met twice.\n"),
        ] {
            for path in ["src/a.rs", "guide/a.md", ".ci/a"] {
                assert_eq!(lines(path, text).len(), 1, "{path}: {text}");
            }
        }
        for text in ["somany", "whoevery", "it had been", "it is mete", "be\n\nhad", "so. Many"] {
            assert_eq!(lines("a.md", text), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_phrase_may_go_across_the_end_of_a_line() {
        let text = concat!("//! A.\n\n    /// What is told\n    /// of", " it.\n");
        assert_eq!(lines("a.rs", text).len(), 1);
        assert!(lines("a.rs", text)[0].starts_with("a.rs:3: "), "{:?}", lines("a.rs", text));
    }

    #[test]
    fn a_folder_has_at_most_its_number_and_one_without_any_is_off_the_list() {
        let fault = |path: &str| Fault::new(path, 1, "x");
        let two = || vec![fault("a/b.rs"), fault("a/c.rs")];
        assert_eq!(more_than(two(), &[]).len(), 2);
        assert_eq!(more_than(two(), &[("a", 2)]), []);
        assert_eq!(more_than(two(), &[("a", 1)]).len(), 1);
        assert_eq!(more_than(two(), &[("a", 2), ("b", 1)]).len(), 1);
        assert_eq!(more_than(vec![fault("b.rs")], &[("a", 1)]).len(), 2);
    }
}
