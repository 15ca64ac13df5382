//! From an address of a program file to functions: DWARF with inlined calls first, the symbol table
//! where that says nothing.
//!
//! With `debug = "line-tables-only"`, as the standard library is built, functions have names
//! without paths there. Of the outermost function the symbol table knows the path; of inlined ones
//! their file tells the module, where it lies as the standard library's and registries' files do.
//! Inlined closures and async blocks get the name of the function they are in (`bodies`).
//!
//! Files are mapped and read as far as addresses lead; asking for addresses in order is fast, as
//! neighbours are in the same unit.

use std::ops::Range;
use std::path::PathBuf;

use addr2line::gimli::{DW_LANG_Rust, Reader};
use addr2line::{Frame, Loader};
use trace_analysis::symbols::Function;
use trace_format::definition::FUNCTIONS_MAX;

use trace_analysis::reason::is_plumbing;
use trace_analysis::symbols::Frame as Shown;

use super::bodies::{Nameless, Sources};
use super::program::Program;

/// The files with the names of one module.
pub struct Names {
    loaders: Vec<Loader>,
    sources: Sources,
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").field("loaders", &self.loaders.len()).finish()
    }
}

impl Names {
    /// Opens the files; those that can't be read as a whole serve for nothing.
    #[must_use]
    pub fn open(files: &[Program]) -> Self {
        let load = |program: &Program| {
            let more = debug_more(program);
            Loader::new_with_sup(&program.path, more).or_else(|_| Loader::new(&program.path)).ok()
        };
        // A copy is younger than what was built: the oldest file says most.
        let built = files.iter().filter_map(|program| program.changed).min();
        Self { loaders: files.iter().filter_map(load).collect(), sources: Sources::new(built) }
    }

    /// The functions at an address of the file, innermost inlined first; none if it is not named.
    #[must_use]
    pub fn functions(&self, address: u64) -> Vec<Function> {
        let mut by_lines = self.loaders.iter().map(|loader| inlined(loader, address));
        let mut found = by_lines.find(|it| !it.is_empty()).unwrap_or_default();
        // Before the outermost gets its symbol's name, which has no type arguments.
        let inner = found.len().saturating_sub(1);
        self.name_bodies(&mut found, 0..inner);
        if found.last().is_none_or(|outermost| outermost.is_short)
            && let Some(name) = self.symbol(address)
        {
            match found.last_mut() {
                Some(outermost) => (outermost.name, outermost.is_short) = (name, false),
                None => found.push(Found { name, ..Found::default() }),
            }
        }
        self.name_bodies(&mut found, inner..inner + 1);
        let named = found.into_iter().filter(|found| !found.name.is_empty());
        named.map(Found::into_function).collect()
    }

    /// Gives closures and async blocks among these the names of their functions.
    fn name_bodies(&self, found: &mut [Found], which: Range<usize>) {
        for at in which {
            let Some(body) = found.get(at).filter(|body| body.is_short) else { continue };
            if let Some(name) = self.body(body, found.get(at + 1)) {
                (found[at].name, found[at].is_short) = (name, false);
            }
        }
    }

    /// The name of a closure or async block with its function's, if that is certain.
    fn body(&self, found: &Found, caller: Option<&Found>) -> Option<String> {
        let body = Nameless::of(&found.name)?;
        let module = path_by_file(&found.file);
        let by_caller = caller.and_then(|it| body.by_caller(&it.name, module.as_deref()));
        if let Some(function) = by_caller {
            return Some(format!("{function}::{body}"));
        }
        let function = self.sources.function(body, &found.file, found.line, found.column)?;
        let name = match module {
            Some(module) => format!("{module}::{function}::{body}"),
            // Its crate is not known. A function `blocking` must not become the crate of that name.
            None => Some(format!("{function}::{body}")).filter(|name| !is_library(name))?,
        };
        Some(name)
    }

    fn symbol(&self, address: u64) -> Option<String> {
        let name = self.loaders.iter().find_map(|loader| loader.find_symbol(address))?;
        Some(plain(&addr2line::demangle_auto(name.into(), None)))
    }
}

/// A function of debug information.
#[derive(Debug, Default)]
struct Found {
    name: String,
    /// Whether the name has no path and may have arguments: `load<u8>`.
    is_short: bool,
    file: String,
    line: u32,
    /// In bytes, from 1; 0 if unknown.
    column: u32,
}

impl Found {
    fn new<R: Reader>(frame: &Frame<'_, R>) -> Self {
        let function = frame.function.as_ref();
        let name = function.and_then(|function| function.demangle().ok());
        let raw = function.and_then(|function| function.raw_name().ok());
        let is_rust = function.and_then(|function| function.language) == Some(DW_LANG_Rust);
        let is_short = name.is_none() || is_rust && name == raw;
        let at = frame.location.as_ref();
        let file = at.and_then(|at| at.file).unwrap_or_default();
        let line = at.and_then(|at| at.line).unwrap_or_default();
        let column = at.and_then(|at| at.column).unwrap_or_default();
        let name = name.map(|name| plain(&name)).unwrap_or_default();
        Self { name, is_short, file: file.to_owned(), line, column }
    }

    fn into_function(self) -> Function {
        let Self { mut name, is_short, file, line, .. } = self;
        if is_short {
            // What stands in the brackets can be pages long, and full names do not have it.
            name.truncate(name.find('<').filter(|at| *at > 0).unwrap_or(name.len()));
            if let Some(path) = path_by_file(&file) {
                name = format!("{path}::{name}");
            }
        }
        Function { name, file, line }
    }
}

/// Whether a name alone would make a function one of a library.
fn is_library(name: &str) -> bool {
    let (name, file, module) = (name.into(), "", "");
    is_plumbing(&Shown { address: 0, name, file, line: 0, module, inlined: true, named: true })
}

/// What debug information says of an address, innermost first. The outermost may have no name.
fn inlined(loader: &Loader, address: u64) -> Vec<Found> {
    let mut found = Vec::new();
    let Ok(mut frames) = loader.find_frames(address) else { return found };
    while let Ok(Some(frame)) = frames.next() {
        found.push(Found::new(&frame));
        if found.len() == FUNCTIONS_MAX {
            break;
        }
    }
    found
}

/// A name without what the two ways of mangling differ in: `<a::B<C>>::f::<D>` is `a::B<C>::f`.
/// The arguments of functions are left out; that types have theirs tells implementations apart.
fn plain(name: &str) -> String {
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

/// Where the bracket closes that a text begins with.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_u32;
    let mut before = '<';
    for (at, letter) in text.char_indices() {
        match letter {
            '<' => depth += 1,
            // An arrow closes nothing.
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

/// The module that a source file is, if its place tells the crate:
/// `/rustc/1234/library/core/src/num/mod.rs` and `../serde-1.0.2/src/de.rs`.
fn path_by_file(file: &str) -> Option<String> {
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

/// The file that debug information refers to, if it is there and the right one.
fn debug_more(program: &Program) -> Option<PathBuf> {
    let (path, id) = program.debug_more.as_ref()?;
    let home = program.path.parent()?;
    let more = Program::open(&home.join(path)).ok()?;
    (more.build_id == *id).then_some(more.path)
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
            // Whose crate is called what is nothing but a guess.
            ("/x/app/src/main.rs", None),
            ("src/main.rs", None),
            ("/x/serde-1/src/de.c", None),
            ("", None),
        ] {
            assert_eq!(path_by_file(file).as_deref(), path, "{file}");
        }
    }
}
