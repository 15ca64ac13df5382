//! Names of functions in `Symbol` definitions: one spelling for all who write them.
//!
//! The recorder names addresses inside the program (its feature `names`), the tools name them from
//! the program's files. Both take what debug information says, and both use this module, so that a
//! trace has the same names either way.
//!
//! The debug information of `debug = "line-tables-only"`, which the standard library has, gives
//! functions names without paths. The symbol table has the path of the outermost function; the
//! module of an inlined one follows from its file, if that is the standard library's or a
//! registry's. Inlined closures and async blocks get the name of the function they are in (`body`).

mod body;

pub use body::Nameless;

use std::ops::Range;

/// A function as debug information has it, which becomes a function as a trace has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DebugFunction {
    /// Its name, [`plain`]; empty if debug information says none.
    pub name: String,
    /// Whether the name has no path and may have arguments: `load<u8>`.
    pub is_short: bool,
    /// The source file; empty if unknown.
    pub file: String,
    /// From 1; 0 if unknown.
    pub line: u32,
    /// In bytes, from 1; 0 if unknown.
    pub column: u32,
}

impl DebugFunction {
    /// Its path, or, if that is not known, its name without arguments.
    fn spell(&mut self) {
        if !std::mem::take(&mut self.is_short) {
            return;
        }
        // The arguments in the brackets can be pages long, and full names do not have them.
        let end = self.name.find('<').filter(|at| *at > 0);
        self.name.truncate(end.unwrap_or(self.name.len()));
        if let Some(path) = path_by_file(&self.file) {
            self.name = format!("{path}::{}", self.name);
        }
    }
}

/// Names the functions at one address.
///
/// - `found`: what debug information says of it, innermost inlined first; may be empty. The
///   outermost may have no name.
/// - `symbol`: the name of the symbol that the address is in, [`plain`].
/// - `in_source`: the name of a closure or async block that the caller's name does not give, found
///   by its own place, and by the module that its file is.
/// - Returns the functions that have a name.
pub fn name_all(
    mut found: Vec<DebugFunction>,
    symbol: impl FnOnce() -> Option<String>,
    in_source: impl Fn(Nameless<'_>, &DebugFunction, Option<String>) -> Option<String>,
) -> Vec<DebugFunction> {
    // Before the outermost gets its symbol's name, which has no type arguments.
    let inner = found.len().saturating_sub(1);
    name_bodies(&mut found, 0..inner, &in_source);
    if found.last().is_none_or(|outermost| outermost.is_short)
        && let Some(name) = symbol()
    {
        match found.last_mut() {
            Some(outermost) => (outermost.name, outermost.is_short) = (name, false),
            None => found.push(DebugFunction { name, ..DebugFunction::default() }),
        }
    }
    name_bodies(&mut found, inner..inner + 1, &in_source);
    found.retain(|function| !function.name.is_empty());
    found.iter_mut().for_each(DebugFunction::spell);
    found
}

/// Gives closures and async blocks among these the names of their functions.
fn name_bodies(
    found: &mut [DebugFunction],
    which: Range<usize>,
    in_source: &impl Fn(Nameless<'_>, &DebugFunction, Option<String>) -> Option<String>,
) {
    for at in which {
        let Some(function) = found.get(at).filter(|function| function.is_short) else { continue };
        let Some(body) = Nameless::of(&function.name) else { continue };
        let module = path_by_file(&function.file);
        let caller = found.get(at + 1);
        let by_caller = caller.and_then(|it| body.by_caller(&it.name, module.as_deref()));
        let name = match by_caller {
            Some(function) => Some(format!("{function}::{body}")),
            None => in_source(body, function, module),
        };
        if let Some(name) = name {
            (found[at].name, found[at].is_short) = (name, false);
        }
    }
}

/// A name without what differs between the two ways of mangling: `<a::B<C>>::f::<D>` is
/// `a::B<C>::f`. Functions lose their type arguments; types keep theirs, as these distinguish
/// implementations.
#[must_use]
pub fn plain(name: &str) -> String {
    let mut rest = name;
    let mut plain = String::with_capacity(name.len());
    if let Some(end) = rest.starts_with('<').then(|| closing(rest)).flatten() {
        let (inside, behind) = (&rest[1..end], &rest[end + 1..]);
        let is_path = inside.starts_with(|c: char| c.is_alphabetic() || c == '_');
        let is_type = is_path && !inside.contains(" as ") && !inside.starts_with("dyn ");
        if is_type && behind.starts_with("::") {
            plain.push_str(inside);
            rest = behind;
        }
    }
    while let Some(at) = rest.find("::<") {
        let arguments = &rest[at + 2..];
        let Some(end) = closing(arguments) else { break };
        plain.push_str(&rest[..at]);
        if arguments.starts_with("<impl ") {
            plain.push_str(&rest[at..=at + 2 + end]);
        }
        rest = &arguments[end + 1..];
    }
    plain + rest
}

/// The place of the bracket that closes the one at the begin of a text.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_u32;
    let mut before = '<';
    for (at, letter) in text.char_indices() {
        match letter {
            '<' => depth += 1,
            // The one of an arrow closes nothing.
            '>' if before != '-' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
        before = letter;
    }
    None
}

/// The module that a source file is, if its path has the crate's name:
/// `/rustc/1234/library/core/src/num/mod.rs` and `../serde-1.0.2/src/de.rs`.
#[must_use]
pub fn path_by_file(file: &str) -> Option<String> {
    let (before, within) = file.rsplit_once("/src/")?;
    let (above, folder) = before.rsplit_once('/')?;
    let is_std = above.ends_with("/library");
    let version = folder.rfind('-').filter(|at| {
        let version = &folder[at + 1..];
        version.starts_with(|c: char| c.is_ascii_digit()) && version.contains('.')
    });
    let of = if is_std { folder } else { &folder[..version?] };
    let mut path = of.replace('-', "_");
    for part in within.strip_suffix(".rs")?.split('/') {
        if !["lib", "mod", "main"].contains(&part) {
            path.push_str("::");
            path.push_str(part);
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_manglings_give_one_name() {
        for (name, expected) in [
            ("<std::sys::futex::Mutex>::lock_contended", "std::sys::futex::Mutex::lock_contended"),
            ("std::panic::catch_unwind::<app::f::{closure#0}, ()>", "std::panic::catch_unwind"),
            (
                "<a::B<fn(u8) -> c::D<e>>>::f::<g>::{closure#0}",
                "a::B<fn(u8) -> c::D<e>>::f::{closure#0}",
            ),
            ("<a::B as c::D>::e::<f>", "<a::B as c::D>::e"),
            (
                "<alloc::boxed::Box<dyn a::B<C>> as d::E<(f,)>>::g",
                "<alloc::boxed::Box<dyn a::B<C>> as d::E<(f,)>>::g",
            ),
            ("core::slice::<impl [T]>::iter", "core::slice::<impl [T]>::iter"),
            ("<[u8]>::copy_from_slice", "<[u8]>::copy_from_slice"),
            ("<dyn a::B>::c", "<dyn a::B>::c"),
            ("a::b::<unclosed", "a::b::<unclosed"),
            ("<", "<"),
            (">", ">"),
            ("", ""),
            ("main", "main"),
        ] {
            assert_eq!(plain(name), expected);
        }
    }

    #[test]
    fn files_of_std_and_of_registries_tell_the_module() {
        for (file, path) in [
            ("/rustc/59/library/core/src/num/mod.rs", Some("core::num")),
            ("/rustc/59/library/std/src/lib.rs", Some("std")),
            ("/x/rustlib/src/rust/library/alloc/src/vec/drain.rs", Some("alloc::vec::drain")),
            (
                "/x/registry/src/i-1/parking_lot_core-0.9.1/src/a/b.rs",
                Some("parking_lot_core::a::b"),
            ),
            ("/x/trace-runtime-0.1.0/src/os/io.rs", Some("trace_runtime::os::io")),
            // The crate's name would be a guess.
            ("/x/app/src/main.rs", None),
            ("src/main.rs", None),
            ("/x/serde-1/src/de.c", None),
            ("", None),
        ] {
            assert_eq!(path_by_file(file).as_deref(), path, "{file}");
        }
    }
}
