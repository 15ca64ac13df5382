//! The name of a type stands for one thing in the workspace.
//!
//! Names of types that occur in more than one crate are listed. Some of them are the same thing on
//! both sides of a boundary (`Callsite`), others are different things that need names of their own.
//!
//! The facade in `src` has the recorder's types and their twins, so it does not count. Elsewhere:
//! what words stand for (`glossary`).

use crate::tree::{Fault, Tree};
use std::collections::BTreeMap;

/// Names of types that occur in more than one crate. This list only shrinks.
const SHARED: &str = "\
    Argument ArgumentKind \
    Batch By \
    Call Callsite Clock ClockSnapshot \
    Ending \
    Frame Function \
    Given Group \
    Heap Held Here \
    Kept Key Kind Known \
    Line \
    Name Named Names Next \
    Open Opened Options Output \
    Part Place Places Process Profile \
    Reading Report \
    Sink Site Source Spent Stack Stacks State Switch \
    Tables TaskState Thread ThreadState Trace Traced Turn \
    Value Verdict \
    Walk";

/// Words before the name of a type.
const KEYWORDS: [&str; 4] = ["struct", "enum", "union", "trait"];

/// The crates that have a type of a name, each with the place of the first one.
type Places = BTreeMap<String, (String, usize)>;

pub(crate) fn faults(tree: &Tree) -> Vec<Fault> {
    beside(&types(tree), SHARED)
}

/// The types of all crates by name, without those in code for tests.
fn types(tree: &Tree) -> BTreeMap<String, Places> {
    let mut types: BTreeMap<String, Places> = BTreeMap::new();
    for (file, tokens) in tree.sources().filter(|(file, _)| !file.is_test()) {
        let Some((package, _)) = file.path.split_once('/') else { continue };
        if package == "src" {
            continue;
        }
        for (at, token) in tokens.0.iter().enumerate() {
            let name = tokens.text(at + 1);
            let is_type = KEYWORDS.contains(&token.text.as_str())
                && !(token.in_test || token.in_attribute || token.is_literal)
                && name.starts_with(|first: char| first.is_ascii_uppercase());
            if is_type {
                let places = types.entry(name.to_owned()).or_default();
                let place = (file.path.clone(), token.line);
                places.entry(package.to_owned()).or_insert(place);
            }
        }
    }
    types
}

/// Shared names that are not listed, and listed names that are not shared.
fn beside(types: &BTreeMap<String, Places>, listed: &str) -> Vec<Fault> {
    let is_listed = |name: &str| listed.split_whitespace().any(|it| it == name);
    let is_shared = |name: &str| types.get(name).is_some_and(|places| places.len() > 1);
    let mut faults = Vec::new();
    for (name, places) in types {
        if is_shared(name) && !is_listed(name) {
            let packages: Vec<_> = places.keys().map(String::as_str).collect();
            let what =
                format!("`{name}` is a type in {}, give one another name", packages.join(", "));
            let (path, line) = places.values().last().expect("a name has a place");
            faults.push(Fault::new(path, *line, what));
        }
    }
    for name in listed.split_whitespace().filter(|name| !is_shared(name)) {
        let what = format!("`{name}` is a type in one crate at most, take it off SHARED");
        faults.push(Fault::new("tests/tidy/types.rs", 0, what));
    }
    faults
}

mod tests {
    use super::*;

    fn found(files: &[(&str, &str)], listed: &str) -> Vec<String> {
        beside(&types(&Tree::sample(files)), listed).iter().map(Fault::to_string).collect()
    }

    #[test]
    fn a_name_in_two_crates_is_a_fault_unless_it_is_listed() {
        let files = [("a/src/x.rs", "pub struct Frame;"), ("b/src/y.rs", "\nenum Frame { A }")];
        let what = "b/src/y.rs:2: `Frame` is a type in a, b, give one another name";
        assert_eq!(found(&files, ""), [what]);
        assert_eq!(found(&files, "Frame"), [""; 0]);
        assert_eq!(found(&files, "Frame Walk").len(), 1);
    }

    #[test]
    fn twins_tests_and_names_in_one_crate_are_free() {
        let twin = [("a/src/x.rs", "struct A;"), ("src/disabled/x.rs", "struct A;")];
        assert_eq!(found(&twin, ""), [""; 0]);
        let tests = "#[cfg(test)]\nmod tests { struct A; }";
        for (path, text) in [("b/tests/y.rs", "struct A;"), ("b/src/y.rs", tests)] {
            assert_eq!(found(&[("a/src/x.rs", "struct A;"), (path, text)], ""), [""; 0], "{path}");
        }
        let twice = [("a/src/x.rs", "struct A;"), ("a/src/y.rs", "trait A {}")];
        assert_eq!(found(&twice, ""), [""; 0]);
    }

    #[test]
    fn words_that_are_no_definition_do_not_count() {
        let text = "/// A struct Frame.\nfn f() { \"enum Frame\"; let union = Frame; }";
        assert_eq!(found(&[("a/src/x.rs", "struct Frame;"), ("b/src/y.rs", text)], ""), [""; 0]);
    }
}
