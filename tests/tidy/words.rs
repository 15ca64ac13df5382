//! One word per thing in what users see, and no word of where or how the project was written.
//!
//! Public names only: inside a function, `chunks` of a slice are chunks.

use crate::tokens::Tokens;
use crate::tree::{Exception, Fault, File, Tree, excuse};
use regex::Regex;

/// Words that public names must not have, and the words to use instead.
pub(crate) const NAMES: [(&str, &str); 6] = [
    ("span", "region"),
    ("scope", "region"),
    ("zone", "region"),
    ("chunk", "batch"),
    ("epoch", "generation"),
    ("track", "lane"),
];

const NAME_EXCEPTIONS: [Exception; 4] = [
    Exception {
        path: "trace-runtime/src/annotate/task.rs",
        reason: "`TaskScope` is a macro's, by value",
    },
    Exception {
        path: "trace-runtime/src/annotate/traceparent.rs",
        reason: "W3C's word for its thing",
    },
    Exception { path: "src/disabled/tasks.rs", reason: "likewise" },
    Exception { path: "trace-export/src/", reason: "what viewers call a row" },
];

/// Spelled in pieces so that the check does not find this file.
const PLACES: [(&str, &str); 4] = [
    (concat!(r"(^|[^\w.])/(ro", r"ot|ho", r"me|wo", r"rk)/"), "a path of one machine"),
    (concat!(r"/tmp/(tar", r"get|pl", r"an)\b"), "a path of one machine"),
    (
        concat!(
            r"(?i)art",
            r"ifactory|index-u",
            r"rl|(static|index)\.cra",
            r"tes\.io|files\.pyth",
            r"onhosted"
        ),
        "a registry's host",
    ),
    (
        concat!(r"(?i)\b(sub|co)?-?age", r"nts?\b|\bcla", r"ude\b|\bL", r"LMs?\b|\bissues? #?\d"),
        "a word of how this was written",
    ),
];

pub(crate) fn faults(tree: &Tree) -> Vec<Fault> {
    let names = tree.sources().filter(|(file, _)| !file.is_test());
    let names = names.flat_map(|(file, tokens)| names_of(file, tokens)).collect();
    let mut faults = excuse(names, &NAME_EXCEPTIONS);
    let patterns = PLACES.map(|(pattern, what)| (Regex::new(pattern).expect("a pattern"), what));
    for file in &tree.files {
        for (line, text) in file.lines() {
            let found = patterns.iter().filter(|(pattern, _)| pattern.is_match(text));
            faults.extend(
                found.map(|(_, what)| {
                    Fault::new(&file.path, line, format!("{what}, say it without"))
                }),
            );
        }
    }
    faults
}

/// Public items and fields with a word of [`NAMES`] in their name.
fn names_of(file: &File, tokens: &Tokens) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (at, token) in tokens.find(&["pub"]) {
        let name = public_name(tokens, at + 1);
        let words = words_of(name);
        let used = NAMES.iter().filter(|(word, _)| {
            words.iter().any(|found| found == word || *found == format!("{word}s"))
        });
        faults.extend(used.map(|(word, instead)| {
            let what = format!("`{name}` is public, a {word} is called {instead} here");
            Fault::new(&file.path, token.line, what)
        }));
    }
    faults
}

/// The name of the item or field after `pub`; nothing for `pub(crate)` and `pub use`.
fn public_name(tokens: &Tokens, mut at: usize) -> &str {
    const KEYWORDS: [&str; 12] = [
        "fn", "struct", "enum", "union", "trait", "type", "mod", "static", "const", "unsafe",
        "async", "extern",
    ];
    if ["(", "use"].contains(&tokens.text(at)) {
        return "";
    }
    while KEYWORDS.contains(&tokens.text(at)) || tokens.text(at).starts_with('"') {
        at += 1;
    }
    tokens.text(at)
}

/// The words of a name in `snake_case`, `CamelCase` or `LOUD_CASE`, in lower case.
fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for letter in name.chars() {
        if letter == '_' || letter.is_uppercase() && was_lower {
            words.push(String::new());
        }
        if letter != '_' {
            words.last_mut().expect("it begins with one").extend(letter.to_lowercase());
        }
        was_lower = letter.is_lowercase();
    }
    words
}

mod tests {
    use super::*;

    fn names(text: &str) -> usize {
        let tree = Tree::sample(&[("src/a.rs", text)]);
        tree.sources().map(|(file, tokens)| names_of(file, tokens).len()).sum()
    }

    fn places(text: &str) -> usize {
        let tree = Tree::sample(&[("a.md", text)]);
        faults(&tree).iter().filter(|fault| fault.to_string().starts_with("a.md")).count()
    }

    #[test]
    fn a_public_name_with_another_projects_word_is_a_fault() {
        for text in [
            "pub fn enter_span() {}",
            "pub struct ChunkHeader;",
            "pub const CHUNKS_MAX: u8 = 1;",
            "pub struct A { pub scope: u8 }",
            "pub unsafe extern \"C\" fn zone() {}",
            "pub mod epoch {}",
        ] {
            assert_eq!(names(text), 1, "{text}");
        }
    }

    #[test]
    fn private_names_and_longer_words_are_free() {
        for text in [
            "pub(crate) fn enter_span() {}",
            "fn f() { let chunk = 1; }",
            "pub fn lifespan() {}",
            "pub use other::Span;",
            "pub fn telescope(span: u8) {}",
        ] {
            assert_eq!(names(text), 0, "{text}");
        }
    }

    #[test]
    fn places_and_ways_of_writing_are_faults() {
        for text in [
            concat!("in /ro", "ot/a"),
            concat!("`/wo", "rk/main`"),
            concat!("see /tmp/tar", "get-x"),
            concat!("from index.cra", "tes.io"),
            concat!("an age", "nt wrote it"),
            concat!("for iss", "ue 2"),
        ] {
            assert_eq!(places(text), 1, "{text}");
        }
        for text in ["src/work/a", "an agency", "an issue", "/tmp/a", "reagents"] {
            assert_eq!(places(text), 0, "{text}");
        }
    }
}
