//! Lines of at most 100 columns, functions of at most 70 lines, files of at most 600.
//!
//! Of sources in any language. Prose may be as wide as it likes, and expansions compared with files
//! are printed by a machine.

use crate::tree::{Fault, File, Tree};

const COLUMNS_MAX: usize = 100;
const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 600;

/// Ends of the names of files that people write code in.
const SOURCES: [&str; 8] = ["rs", "py", "sh", "js", "mjs", "ts", "css", "html"];

/// Where printed ones lie.
const PRINTED: &str = "trace-macros/src/snapshot/expected/";

pub(crate) fn faults(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    let is_source = |file: &&File| {
        let is_written = file.path == ".ci/run" || SOURCES.contains(&file.extension());
        is_written && !file.path.starts_with(PRINTED)
    };
    for file in tree.files.iter().filter(is_source) {
        for (line, text) in file.lines() {
            let columns = text.chars().count();
            if columns > COLUMNS_MAX {
                let what = format!("{columns} columns, break the line before {COLUMNS_MAX}");
                faults.push(Fault::new(&file.path, line, what));
            }
        }
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            let what = format!("{lines} lines of at most {FILE_LINES_MAX}, make it two files");
            faults.push(Fault::new(&file.path, lines, what));
        }
    }
    for (file, tokens) in tree.sources() {
        for (name, from, to) in tokens.functions() {
            let lines = to - from + 1;
            if lines > FUNCTION_LINES_MAX {
                let what = format!(
                    "`{name}` has {lines} lines of at most {FUNCTION_LINES_MAX}, move a part out"
                );
                faults.push(Fault::new(&file.path, from, what));
            }
        }
    }
    faults
}

mod tests {
    use super::*;

    #[test]
    fn a_line_may_have_100_columns_and_no_more() {
        let fits = format!("//{}\n", "ä".repeat(98));
        let wide = format!("\n//{}\n", "ä".repeat(99));
        assert_eq!(faults(&Tree::sample(&[("a.rs", &fits), ("a.md", &wide)])), []);
        let found = faults(&Tree::sample(&[("a.rs", &wide)]));
        assert_eq!(found, [Fault::new("a.rs", 2, "101 columns, break the line before 100")]);
    }

    #[test]
    fn a_function_may_have_70_lines_and_no_more() {
        let function = |lines: usize| format!("fn f() {{{}}}", "\n".repeat(lines - 1));
        assert_eq!(faults(&Tree::sample(&[("a.rs", &function(70))])), []);
        assert_eq!(faults(&Tree::sample(&[("a.rs", &function(71))])).len(), 1);
    }

    #[test]
    fn a_file_may_have_600_lines_and_no_more() {
        assert_eq!(faults(&Tree::sample(&[("a.py", &"\n".repeat(600))])), []);
        assert_eq!(faults(&Tree::sample(&[("a.py", &"\n".repeat(601))])).len(), 1);
    }
}
