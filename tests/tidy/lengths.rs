//! Lines of at most 100 columns, functions of at most 70 lines, sources of at most 600, and two
//! pages that stay short.
//!
//! Sources are in any language; pages may have wider tables and blocks of code. Expansions that are
//! compared with files are printed by a machine.

use crate::tree::{Exception, Fault, File, Tree, excuse};

const COLUMNS_MAX: usize = 100;
const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 600;

/// Ends of the names of files that people write code in.
const SOURCES: [&str; 8] = ["rs", "py", "sh", "js", "mjs", "ts", "css", "html"];

/// A newcomer reads these first, so they have a maximum number of lines and of bytes.
const PAGES: [(&str, usize, usize); 2] =
    [("README.md", 90, 6_000), ("ARCHITECTURE.md", 200, 12_000)];

/// Pages with wider prose.
const WIDE: [Exception; 2] = [
    Exception { path: "trace-format/testdata/README.md", reason: "not wrapped yet" },
    Exception { path: "trace-runtime/src/os/hooks.md", reason: "not wrapped yet" },
];

/// Where printed ones lie.
const PRINTED: &str = "trace-macros/src/snapshot/expected/";

pub(crate) fn faults(tree: &Tree) -> Vec<Fault> {
    let pages = excuse(wide_prose(tree), &WIDE);
    [long_sources(tree), pages, long_pages(tree)].concat()
}

fn long_sources(tree: &Tree) -> Vec<Fault> {
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

/// Lines of pages beyond 100 columns, without tables and blocks of code.
fn wide_prose(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in tree.files.iter().filter(|file| file.extension() == "md") {
        let mut is_code = false;
        for (line, text) in file.lines() {
            is_code ^= text.trim_start().starts_with("```");
            let is_table = text.trim_start().starts_with('|');
            let columns = text.chars().count();
            if columns > COLUMNS_MAX && !is_code && !is_table {
                let what = format!("{columns} columns, wrap prose at {COLUMNS_MAX}");
                faults.push(Fault::new(&file.path, line, what));
            }
        }
    }
    faults
}

fn long_pages(tree: &Tree) -> Vec<Fault> {
    let sizes = PAGES.iter().filter_map(|(path, lines_max, bytes_max)| {
        let file = tree.files.iter().find(|file| file.path == *path)?;
        let (lines, bytes) = (file.text.lines().count(), file.text.len());
        let limits = format!("{lines_max} lines and {bytes_max} bytes");
        let what = format!("{lines} lines and {bytes} bytes of at most {limits}, move a part out");
        (lines > *lines_max || bytes > *bytes_max).then(|| Fault::new(path, lines, what))
    });
    sizes.collect()
}

mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        long_sources(&Tree::sample(&[(path, text)])).len()
    }

    #[test]
    fn a_line_may_have_100_columns_and_no_more() {
        let fits = format!("//{}\n", "ä".repeat(98));
        let wide = format!("\n//{}\n", "ä".repeat(99));
        assert_eq!(count("a.rs", &fits), 0);
        let found = long_sources(&Tree::sample(&[("a.rs", &wide)]));
        assert_eq!(found, [Fault::new("a.rs", 2, "101 columns, break the line before 100")]);
    }

    #[test]
    fn prose_is_wrapped_but_for_tables_and_code() {
        let wide = "ä ".repeat(51);
        let count = |text: &str| wide_prose(&Tree::sample(&[("a.md", text)])).len();
        assert_eq!(count(&wide), 1);
        assert_eq!(count(&format!("```\n{wide}\n```\n{wide}\n")), 1);
        for text in ["ä ".repeat(50), format!("| {wide} |"), format!("```text\n{wide}\n```")] {
            assert_eq!(count(&text), 0, "{text}");
        }
    }

    #[test]
    fn the_first_pages_stay_short() {
        let count = |path: &str, text: &str| long_pages(&Tree::sample(&[(path, text)])).len();
        assert_eq!(count("README.md", &"\n".repeat(90)), 0);
        assert_eq!(count("README.md", &"\n".repeat(91)), 1);
        assert_eq!(count("ARCHITECTURE.md", &"a".repeat(12_001)), 1);
        assert_eq!(count("guide/README.md", &"\n".repeat(91)), 0);
    }

    #[test]
    fn a_function_may_have_70_lines_and_no_more() {
        let function = |lines: usize| format!("fn f() {{{}}}", "\n".repeat(lines - 1));
        assert_eq!(count("a.rs", &function(70)), 0);
        assert_eq!(count("a.rs", &function(71)), 1);
    }

    #[test]
    fn a_file_may_have_600_lines_and_no_more() {
        assert_eq!(count("a.py", &"\n".repeat(600)), 0);
        assert_eq!(count("a.py", &"\n".repeat(601)), 1);
    }
}
