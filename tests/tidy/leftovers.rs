//! Nothing is unfinished, and no panic is without a reason.

use crate::tokens::Tokens;
use crate::tree::{Exception, Fault, File, Tree, excuse};
use regex::Regex;

/// Macros that have no place even in tests.
const MACROS: [&str; 3] = ["dbg", "todo", "unimplemented"];

const UNWRAPS: [Exception; 1] = [Exception {
    path: "trace-macros/src/model.rs",
    reason: "`Span::unwrap` of proc-macro2 turns its span into the compiler's",
}];

pub(crate) fn faults(tree: &Tree) -> Vec<Fault> {
    let unwraps = tree.sources().flat_map(|(file, tokens)| unwraps(file, tokens)).collect();
    let mut faults = excuse(unwraps, &UNWRAPS);
    for (file, tokens) in tree.sources() {
        faults.extend(unfinished(file, tokens));
        faults.extend(unreasoned(file, tokens));
    }
    for file in &tree.files {
        faults.extend(marks(file));
    }
    faults
}

fn unwraps(file: &File, tokens: &Tokens) -> Vec<Fault> {
    let found = tokens.find(&[".", "unwrap", "(", ")"]);
    let found = found.filter(|(_, token)| !token.in_test && !file.is_test());
    let what = "`unwrap()` outside tests, `expect` an invariant or return the error";
    found.map(|(_, token)| Fault::new(&file.path, token.line, what)).collect()
}

fn unfinished(file: &File, tokens: &Tokens) -> Vec<Fault> {
    let mut faults = Vec::new();
    for name in MACROS {
        for (_, token) in tokens.find(&[name, "!"]) {
            faults.push(Fault::new(&file.path, token.line, format!("`{name}!`, finish it")));
        }
    }
    for (at, token) in tokens.find(&["ignore"]) {
        if token.in_attribute && tokens.text(at.saturating_sub(1)) == "[" {
            let what = "a test that never runs, make it fast or take it out";
            faults.push(Fault::new(&file.path, token.line, what));
        }
    }
    faults
}

/// Messages of `expect` that are empty or, outside tests, no sentence.
fn unreasoned(file: &File, tokens: &Tokens) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (at, token) in tokens.find(&[".", "expect", "("]) {
        let Some(message) = tokens.0.get(at + 3).filter(|token| token.is_literal) else { continue };
        let text = message.text.trim_matches(['"', 'r', '#']).trim();
        let is_free = token.in_test || file.is_test();
        if text.is_empty() || !is_free && !text.contains(' ') {
            let what = "`expect` without a reason, say which invariant makes it impossible";
            faults.push(Fault::new(&file.path, token.line, what));
        }
    }
    faults
}

/// Notes to oneself, and pages with gaps for text.
fn marks(file: &File) -> Vec<Fault> {
    // Spelled so that the check does not find this file.
    let note =
        Regex::new(concat!(r"\bFIX", r"ME\b|\bXX", r"X\b|\bTO", r"DO\b")).expect("a pattern");
    let gap = Regex::new(r"^[A-Z_]{4,}$").expect("a pattern");
    let mut faults = Vec::new();
    for (line, text) in file.lines() {
        if note.is_match(text) {
            faults.push(Fault::new(&file.path, line, "a note to oneself, do it"));
        }
        if file.extension() == "md" && gap.is_match(text) {
            faults.push(Fault::new(&file.path, line, "a gap, write what belongs here"));
        }
    }
    faults
}

mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        let tree = Tree::sample(&[(path, text)]);
        faults(&tree).iter().filter(|it| it.to_string().starts_with(&format!("{path}:"))).count()
    }

    #[test]
    fn unwrap_is_a_fault_outside_tests_only() {
        let text = "fn f() { g().unwrap(); }";
        assert_eq!(count("src/a.rs", text), 1);
        assert_eq!(count("tests/a.rs", text), 0);
        assert_eq!(count("src/a.rs", &format!("#[cfg(test)]\nmod tests {{ {text} }}")), 0);
        assert_eq!(count("src/a.rs", "//! `x.unwrap()`\nfn f() { g().unwrap_or(1); }"), 0);
    }

    #[test]
    fn unfinished_code_is_a_fault_even_in_tests() {
        for text in ["fn f() { dbg!(1); }", "fn f() { todo!() }", "fn f() { unimplemented!() }"] {
            assert_eq!(count("tests/a.rs", text), 1, "{text}");
        }
        assert_eq!(count("src/a.rs", "#[test]\n#[ignore]\nfn f() {}"), 1);
        assert_eq!(count("src/a.rs", "#[ignore = \"slow\"]\nfn f() {}"), 1);
        assert_eq!(count("src/a.rs", "fn f() { ignore::walk(); }"), 0);
    }

    #[test]
    fn expect_states_an_invariant() {
        assert_eq!(count("src/a.rs", "fn f() { g().expect(\"\"); }"), 1);
        assert_eq!(count("src/a.rs", "fn f() { g().expect(\"ok\"); }"), 1);
        assert_eq!(count("tests/a.rs", "fn f() { g().expect(\"\"); }"), 1);
        assert_eq!(count("tests/a.rs", "fn f() { g().expect(\"ok\"); }"), 0);
        assert_eq!(count("src/a.rs", "fn f() { g().expect(\"it was just written\"); }"), 0);
    }

    #[test]
    fn notes_to_oneself_and_gaps_are_faults() {
        for word in [concat!("FIX", "ME"), concat!("XX", "X"), concat!("TO", "DO")] {
            assert_eq!(count("a.py", &format!("# {word} later\n")), 1);
        }
        assert_eq!(count("a.md", "# A\n\nFIGURES\n"), 1);
        assert_eq!(count("a.md", "MIT is a licence.\n"), 0);
    }
}
