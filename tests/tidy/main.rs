//! The style guide as a test: what a machine can check of the tree, reported as `path:line: fault,
//! do this instead`.
//!
//! Every check is a function from a [`Tree`] to its faults. It is called here once on the real
//! tree, and in its own file on small bad ones, which show that it can fail. `tree` reads files,
//! `tokens` reads Rust. The checks are `lengths`, `headers`, `unsafety`, `invariants`,
//! `primitives`, `arrows`, `folders`, `walks`, `leftovers`, `sleeps`, `data`, `words`, `prose`,
//! `types`, `glossary` and `presence`.
//!
//! Exceptions stand beside their check with a reason. An exception that excuses nothing is a fault
//! itself, so these lists only shrink. Elsewhere: that FORMAT.md and the code agree
//! (`trace-format/tests/wire/spec.rs`).

mod arrows;
mod data;
mod folders;
mod glossary;
mod headers;
mod invariants;
mod leftovers;
mod lengths;
mod presence;
mod primitives;
mod prose;
mod sleeps;
mod tokens;
mod tree;
mod types;
mod unsafety;
mod walks;
mod words;

use std::sync::LazyLock;
use tree::{Fault, Tree};

static TREE: LazyLock<Tree> = LazyLock::new(Tree::of_this_project);

fn check(faults: &[Fault]) {
    let list: Vec<_> = faults.iter().map(Fault::to_string).collect();
    assert!(list.is_empty(), "{} faults\n\n{}\n", list.len(), list.join("\n"));
}

#[exectrace::test]
fn the_tree_was_found_and_every_source_is_tokens() {
    assert!(TREE.sources().count() > 50, "this walked somewhere else");
    check(&TREE.unreadable);
}

#[exectrace::test]
fn lines_functions_and_files_are_short() {
    check(&lengths::faults(&TREE));
}

#[exectrace::test]
fn every_file_says_what_lives_there() {
    check(&headers::faults(&TREE));
}

#[exectrace::test]
fn unsafe_is_in_named_files_and_says_why() {
    check(&unsafety::faults(&TREE));
}

#[exectrace::test]
fn every_invariant_is_defined_and_modelled() {
    check(&invariants::faults(&TREE));
}

#[exectrace::test]
fn atomics_and_cells_come_by_way_of_primitive() {
    check(&primitives::faults(&TREE));
}

#[exectrace::test]
fn dependencies_point_down() {
    check(&arrows::faults(&TREE));
}

#[exectrace::test]
fn folders_of_a_crate_point_down() {
    check(&folders::faults(&TREE));
}

#[test]
fn modules_have_one_style() {
    check(&folders::two_styles(&TREE));
}

#[exectrace::test]
fn one_loop_follows_a_trace_in_order() {
    check(&walks::faults(&TREE));
}

#[exectrace::test]
fn nothing_is_left_over() {
    check(&leftovers::faults(&TREE));
}

#[exectrace::test]
fn tests_wait_for_what_they_want_to_see() {
    check(&sleeps::faults(&TREE));
}

#[exectrace::test]
fn test_data_says_what_it_expects() {
    check(&data::faults(&TREE));
}

#[exectrace::test]
fn one_word_per_thing() {
    check(&words::faults(&TREE));
}

#[exectrace::test]
fn hard_phrases_do_not_come_back() {
    check(&prose::faults(&TREE));
}

#[exectrace::test]
fn the_name_of_a_type_stands_for_one_thing() {
    check(&types::faults(&TREE));
}

#[exectrace::test]
fn the_glossary_is_true() {
    check(&glossary::faults(&TREE));
}

#[exectrace::test]
fn a_newcomer_finds_what_every_project_has() {
    check(&presence::faults(&TREE));
}
