//! Code that follows a trace in the order of time uses `trace-analysis/src/walk`, which handles
//! windows, damage and what is open at the begin. Every other such loop is an exception.

use crate::tree::{Exception, Fault, Tree, excuse};

/// Folders with code that reads traces for the user.
const READERS: [&str; 5] = [
    "trace-analysis/src/",
    "trace-export/src/",
    "trace-http/src/",
    "trace-symbols/src/",
    "trace-tool/src/",
];

const EXCEPTIONS: [Exception; 3] = [
    Exception { path: "trace-analysis/src/walk/", reason: "the one loop" },
    Exception {
        path: "trace-analysis/src/timeline/standstill.rs",
        reason: "looks at a second before each stop, for what happened last",
    },
    Exception { path: "trace-tool/src/answer/events.rs", reason: "faults are lines among others" },
];

pub(crate) fn faults(tree: &Tree) -> Vec<Fault> {
    excuse(loops(tree), &EXCEPTIONS)
}

fn loops(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (file, tokens) in tree.sources() {
        if file.is_test() || !READERS.iter().any(|reader| file.path.starts_with(reader)) {
            continue;
        }
        for (_, token) in tokens.find(&["in_order", "("]).filter(|(_, token)| !token.in_test) {
            let what = "a loop over `in_order`, have `walk` call a `Visitor`";
            faults.push(Fault::new(&file.path, token.line, what));
        }
    }
    faults
}

mod tests {
    use super::*;

    const LOOP: &str = "//! A.\nfn f() {\n    let order = file.in_order(window);\n}\n";

    #[test]
    fn a_loop_of_its_own_is_a_fault_wherever_events_are_read() {
        for path in ["trace-analysis/src/report/a.rs", "trace-export/src/draw/a.rs"] {
            let what = "a loop over `in_order`, have `walk` call a `Visitor`";
            assert_eq!(loops(&Tree::sample(&[(path, LOOP)])), [Fault::new(path, 3, what)]);
        }
    }

    #[test]
    fn the_format_and_tests_may_have_theirs() {
        for path in ["trace-format/src/read/a.rs", "trace-analysis/tests/a.rs", "src/a.rs"] {
            assert_eq!(loops(&Tree::sample(&[(path, LOOP)])), []);
        }
        let text = format!("//! A.\n#[cfg(test)]\nmod tests {{\n{}}}\n", &LOOP[8..]);
        assert_eq!(loops(&Tree::sample(&[("trace-tool/src/a.rs", &*text)])), []);
    }
}
