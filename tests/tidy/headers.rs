//! Every source opens by saying what lives there, and the top file of a folder names its modules.

use crate::tree::{Fault, Tree};

/// Top files of folders.
const DOORS: [&str; 3] = ["lib.rs", "mod.rs", "main.rs"];

pub(crate) fn faults(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (file, tokens) in tree.sources() {
        let header = file.header();
        if header.is_empty() {
            let what = "no header, begin with `//!` and say what lives here";
            faults.push(Fault::new(&file.path, 1, what));
        }
        if !DOORS.contains(&file.name()) {
            continue;
        }
        for (at, token) in tokens.find(&["mod"]) {
            let is_child = tokens.text(at + 2) == ";" && !token.in_test && !token.in_attribute;
            let name = tokens.text(at + 1);
            if is_child && !names(&header, name) {
                let what = format!("the header does not name `{name}`, say what it is for");
                faults.push(Fault::new(&file.path, token.line, what));
            }
        }
    }
    faults
}

/// Whether the header has `name` in backticks, alone or as a part of a path.
fn names(header: &str, name: &str) -> bool {
    let quoted = header.split('`').skip(1).step_by(2);
    let mut pieces = quoted.flat_map(|path| path.split(['/', ':', '.', ' ', '@']));
    pieces.any(|piece| piece == name)
}

mod tests {
    use super::*;

    #[test]
    fn a_file_without_header_is_a_fault() {
        assert_eq!(faults(&Tree::sample(&[("a.rs", "//! A.\n")])), []);
        assert_eq!(faults(&Tree::sample(&[("a.rs", "// A.\n"), ("b.rs", "")])).len(), 2);
    }

    #[test]
    fn a_door_names_its_children() {
        let named = "//! In [`mod@a`], `b::c` and `d.rs`.\nmod a;\nmod b;\npub(crate) mod d;\n";
        assert_eq!(faults(&Tree::sample(&[("src/lib.rs", named)])), []);
        let unnamed = "//! Here: parse.\nmod parse;\n#[cfg(test)]\nmod tests;\n";
        let found = faults(&Tree::sample(&[("src/lib.rs", unnamed), ("src/a.rs", unnamed)]));
        let what = "the header does not name `parse`, say what it is for";
        assert_eq!(found, [Fault::new("src/lib.rs", 2, what)]);
    }
}
