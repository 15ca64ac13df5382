//! Every cited invariant of the recorder is defined at the top of a file, and every defined one has
//! a loom model.
//!
//! A definition is a header's line `- **B1** ...`. A citation is the number in a comment, outside
//! backticks. A model is a test among the models whose name has the number: `b1_b2_...`.

use crate::tree::{Fault, File, Tree};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};

const SOURCES: &str = "trace-runtime/src/";
const MODELS: &str = "trace-runtime/src/tests/";

/// Invariants that loom cannot model, with the reason.
const UNMODELLED: [(&str, &str); 7] = [
    ("B6", "about other processes; `tests/live_changed.rs` has it"),
    ("L2", "one thread by itself: no interleaving to model; `tests/allocator.rs` has it"),
    ("L3", "a thread and its signal handlers; `tests/os_faults.rs` has it"),
    ("C1", "about functions of libc; `tests/os_conformance/main.rs` has it"),
    ("C2", "about unwinding; `tests/os_faults.rs` has it"),
    ("O1", "statics, which loom can't have; `tests/os_faults.rs` has it"),
    ("O2", "likewise"),
];

pub(crate) fn faults(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut defined: BTreeMap<String, (&File, usize)> = BTreeMap::new();
    let definition = Regex::new(r"^//! - \*\*([A-Z]\d+)\*\*").expect("a pattern");
    for file in tree.below(SOURCES) {
        for (line, text) in file.lines() {
            let Some(found) = definition.captures(text) else { continue };
            if defined.insert(found[1].to_owned(), (file, line)).is_some() {
                let what = format!("{} is defined twice, number it anew", &found[1]);
                faults.push(Fault::new(&file.path, line, what));
            }
        }
    }
    for (file, line, number) in cited(tree) {
        if !defined.contains_key(&number) {
            let what = format!("{number} is defined nowhere, define it at the top of a file");
            faults.push(Fault::new(&file.path, line, what));
        }
    }
    let modelled = modelled(tree);
    for (number, (file, line)) in &defined {
        let is_excused = UNMODELLED.iter().any(|(excused, _)| excused == number);
        if is_excused == modelled.contains(number) {
            let what = format!("{number} has no loom model, or an excuse besides, have one");
            faults.push(Fault::new(&file.path, *line, what));
        }
    }
    faults
}

/// Numbers in comments, with file and line.
fn cited(tree: &Tree) -> Vec<(&File, usize, String)> {
    let number = Regex::new(r"\b[A-Z]\d{1,2}\b").expect("a pattern");
    let quoted = Regex::new(r"`[^`]*`").expect("a pattern");
    let mut all = Vec::new();
    for file in tree.below(SOURCES) {
        for (line, text) in file.lines() {
            let Some((_, comment)) = text.split_once("//") else { continue };
            let comment = quoted.replace_all(comment, "");
            let found = number.find_iter(&comment);
            all.extend(found.map(|found| (file, line, found.as_str().to_owned())));
        }
    }
    all
}

/// Numbers in the names of models.
fn modelled(tree: &Tree) -> BTreeSet<String> {
    let models = tree.sources().filter(|(file, _)| file.path.starts_with(MODELS));
    let names = models.flat_map(|(_, tokens)| tokens.functions().map(|(name, ..)| name));
    names.flat_map(|name| name.split('_')).map(str::to_uppercase).collect()
}

mod tests {
    use super::*;

    const MODEL: (&str, &str) =
        ("trace-runtime/src/tests/a.rs", "//! Models.\nfn b1_b2_it_holds() {}\n");

    fn found(sources: &str) -> Vec<String> {
        let tree = Tree::sample(&[("trace-runtime/src/a.rs", sources), MODEL]);
        faults(&tree).iter().map(Fault::to_string).collect()
    }

    #[test]
    fn what_is_defined_and_modelled_can_be_cited() {
        let text = "//! - **B1** One.\n//! - **B2** Two.\n\n// Free: B1, B2, and `U64` is a type.";
        assert_eq!(found(text), Vec::<String>::new());
    }

    #[test]
    fn an_undefined_number_is_a_fault() {
        let text = "//! - **B1** One.\n\n// By B3.\nfn f() {}";
        let what = "B3 is defined nowhere, define it at the top of a file";
        assert_eq!(found(text), [format!("trace-runtime/src/a.rs:3: {what}")]);
    }

    #[test]
    fn a_number_without_model_is_a_fault() {
        assert_eq!(found("//! - **B1** One.\n//! - **B3** Three.\n").len(), 1);
    }

    #[test]
    fn a_number_for_two_things_is_a_fault() {
        assert_eq!(found("//! - **B1** One.\n//! - **B1** Two.\n").len(), 1);
    }
}
