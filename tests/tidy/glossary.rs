//! The glossary is true: its words are in order and defined once, the files and types it names
//! exist, and it has the words that `words` demands.
//!
//! Elsewhere: that a type's name stands for one thing (`types`); what FORMAT.md says in its own
//! section 13, which the glossary follows.

use crate::tree::{Fault, File, Tree};
use crate::words::NAMES;
use std::collections::BTreeSet;

const PAGE: &str = "docs/glossary.md";

/// Folders that paths begin in; the page says so of the second.
const ROOTS: [&str; 3] = ["", "trace-runtime/src/", "trace-analysis/src/"];

/// Types that are not ours.
const FOREIGN: [&str; 1] = ["Waker"];

/// A word with its definition.
#[derive(Debug)]
struct Entry {
    word: String,
    line: usize,
    /// The whole entry on one line.
    text: String,
}

impl Entry {
    /// What stands in backticks.
    fn quoted(&self) -> impl Iterator<Item = &str> {
        self.text.split('`').skip(1).step_by(2)
    }
}

pub(crate) fn faults(tree: &Tree) -> Vec<Fault> {
    let Some(page) = tree.files.iter().find(|file| file.path == PAGE) else {
        return vec![Fault::new(PAGE, 0, "missing, define the project's words")];
    };
    let entries = entries(page);
    let mut faults = out_of_order(&entries);
    faults.extend(missing(tree, &entries));
    faults.extend(untold(&entries));
    faults
}

/// Entries begin with `- **word**` and go on in lines that are indented.
fn entries(page: &File) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for (line, text) in page.lines() {
        if let Some((word, rest)) = text.strip_prefix("- **").and_then(|it| it.split_once("**")) {
            entries.push(Entry { word: word.to_lowercase(), line, text: rest.to_owned() });
        } else if let (Some(entry), Some(rest)) = (entries.last_mut(), text.strip_prefix("  ")) {
            entry.text.push(' ');
            entry.text.push_str(rest);
        }
    }
    entries
}

fn out_of_order(entries: &[Entry]) -> Vec<Fault> {
    let pairs = entries.iter().zip(entries.iter().skip(1));
    let wrong = pairs.filter(|(before, entry)| before.word >= entry.word);
    let fault = |(before, entry): (&Entry, &Entry)| {
        let what = format!("`{}` stands behind `{}`, sort them", entry.word, before.word);
        Fault::new(PAGE, entry.line, what)
    };
    wrong.map(fault).collect()
}

/// Files, folders and types that entries name and that do not exist.
fn missing(tree: &Tree, entries: &[Entry]) -> Vec<Fault> {
    let sources = tree.sources().flat_map(|(_, tokens)| &tokens.0);
    let idents: BTreeSet<&str> = sources.map(|token| token.text.as_str()).collect();
    let mut faults = Vec::new();
    for entry in entries {
        for name in entry.quoted() {
            let is_path = name.contains('/') || name.ends_with(".rs");
            let is_type = name.starts_with(|first: char| first.is_ascii_uppercase())
                && name.contains(|letter: char| letter.is_ascii_lowercase())
                && !name.contains('.')
                && !FOREIGN.contains(&name);
            let first = name.split("::").next().unwrap_or(name);
            let exists = match (is_path, is_type) {
                (true, _) => ROOTS.iter().any(|root| has(tree, &format!("{root}{name}"))),
                (_, true) => idents.contains(first),
                _ => true,
            };
            if !exists {
                let what = format!("`{name}` does not exist, write what it is called now");
                faults.push(Fault::new(PAGE, entry.line, what));
            }
        }
    }
    faults
}

/// Whether there is such a file, or a folder with files.
fn has(tree: &Tree, path: &str) -> bool {
    let folder = format!("{}/", path.trim_end_matches('/'));
    tree.files.iter().any(|file| file.path == path || file.path.starts_with(&folder))
}

/// Words that public names must not have, without an entry that says so.
fn untold(entries: &[Entry]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (word, instead) in NAMES {
        let entry = entries.iter().find(|entry| entry.word == instead);
        let rejected = entry.and_then(|entry| entry.text.split_once("Not "));
        if !rejected.is_some_and(|(_, rest)| rest.contains(&format!("*{word}*"))) {
            let what = format!("`{instead}` does not say \"Not *{word}*\", as tidy demands");
            faults.push(Fault::new(PAGE, 0, what));
        }
    }
    faults
}

mod tests {
    use super::*;

    fn found(entries: &str) -> Vec<String> {
        let page = format!("# Glossary\n\n{entries}");
        let batch = ("trace-runtime/src/buffer/batch.rs", "struct Batch;");
        let tree = Tree::sample(&[(PAGE, page.as_str()), batch]);
        let faults = faults(&tree).into_iter().map(|it| it.to_string());
        faults.filter(|it| !it.contains("as tidy demands")).collect()
    }

    #[test]
    fn words_stand_once_and_in_order() {
        assert_eq!(found("- **arena**: a.\n- **at rest**: b.\n- **batch**: c.\n"), [""; 0]);
        assert_eq!(found("- **batch**: a.\n- **arena**: b.\n").len(), 1);
        assert_eq!(found("- **arena**: a.\n- **Arena**: b.\n").len(), 1);
    }

    #[test]
    fn what_an_entry_names_exists() {
        for name in ["buffer/batch.rs", "buffer/", "trace-runtime/src", "Batch", "log!", "Waker"] {
            assert_eq!(found(&format!("- **batch**: a\n  `{name}`.\n")), [""; 0], "{name}");
        }
        for name in ["buffer/arena.rs", "arena/", "Chunk", "Chunk::new"] {
            let what = format!("{PAGE}:3: `{name}` does not exist, write what it is called now");
            assert_eq!(found(&format!("- **batch**: a\n  `{name}`.\n")), [what]);
        }
    }

    #[test]
    fn the_words_that_tidy_rejects_are_in_it() {
        let entry =
            |text: &str| Entry { word: "region".to_owned(), line: 1, text: text.to_owned() };
        let all = untold(&[]).len();
        assert_eq!(all, NAMES.len());
        assert_eq!(untold(&[entry("A time. Not *span*, *scope*, *zone*.")]).len(), all - 3);
        assert_eq!(untold(&[entry("A *span* of time. Not *scope*.")]).len(), all - 1);
    }
}
