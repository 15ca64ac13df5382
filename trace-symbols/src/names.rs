//! From an address of a program file to functions: by DWARF with inlined calls, or by the symbol
//! table if DWARF says nothing.
//!
//! `trace_format::function` spells the names. If it cannot tell the function of a closure or an
//! async block, the source text does (`bodies`).
//!
//! Files are mapped, and only the parts that addresses need are read. Asking for addresses in order
//! is fast, because neighbours are in the same unit.

use std::path::PathBuf;

use addr2line::gimli::{DW_LANG_Rust, Reader};
use addr2line::{Frame, Loader};
use trace_analysis::symbols::Function;
use trace_format::definition::FUNCTIONS_MAX;
use trace_format::function::{DebugFunction, Nameless, name_all, plain};

use trace_analysis::reason::is_plumbing;
use trace_analysis::symbols::Frame as Shown;

use crate::bodies::Sources;
use crate::program::Program;

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
    /// Opens the files; one that cannot be read as a whole is left out.
    #[must_use]
    pub fn open(files: &[Program]) -> Self {
        let load = |program: &Program| {
            let more = debug_more(program);
            Loader::new_with_sup(&program.path, more).or_else(|_| Loader::new(&program.path)).ok()
        };
        // A copy is younger than the build, so the oldest file is the best estimate.
        let built = files.iter().filter_map(|program| program.changed).min();
        Self { loaders: files.iter().filter_map(load).collect(), sources: Sources::new(built) }
    }

    /// The functions at an address of the file, innermost inlined first; empty if it has no name.
    #[must_use]
    pub fn functions(&self, address: u64) -> Vec<Function> {
        let mut by_lines = self.loaders.iter().map(|loader| inlined(loader, address));
        let found = by_lines.find(|it| !it.is_empty()).unwrap_or_default();
        let in_source =
            |body: Nameless<'_>, at: &DebugFunction, module| self.in_source(body, at, module);
        let named = name_all(found, || self.symbol(address), in_source);
        let owned = |DebugFunction { name, file, line, .. }| Function { name, file, line };
        named.into_iter().map(owned).collect()
    }

    /// The name of a closure or async block with its function's name, if the source text is
    /// unambiguous.
    fn in_source(
        &self,
        body: Nameless<'_>,
        at: &DebugFunction,
        module: Option<String>,
    ) -> Option<String> {
        let function = self.sources.function(body, &at.file, at.line, at.column)?;
        match module {
            Some(module) => Some(format!("{module}::{function}::{body}")),
            // The function's crate is unknown: a function `blocking` must not look like the crate
            // of that name.
            None => Some(format!("{function}::{body}")).filter(|name| !is_library(name)),
        }
    }

    fn symbol(&self, address: u64) -> Option<String> {
        let name = self.loaders.iter().find_map(|loader| loader.find_symbol(address))?;
        Some(plain(&addr2line::demangle_auto(name.into(), None)))
    }
}

/// What debug information says about a function.
fn debug_function<R: Reader>(frame: &Frame<'_, R>) -> DebugFunction {
    let function = frame.function.as_ref();
    let name = function.and_then(|function| function.demangle().ok());
    let raw = function.and_then(|function| function.raw_name().ok());
    let is_rust = function.and_then(|function| function.language) == Some(DW_LANG_Rust);
    let is_short = name.is_none() || is_rust && name == raw;
    let at = frame.location.as_ref();
    let file = at.and_then(|at| at.file).unwrap_or_default().to_owned();
    let line = at.and_then(|at| at.line).unwrap_or_default();
    let column = at.and_then(|at| at.column).unwrap_or_default();
    let name = name.map(|name| plain(&name)).unwrap_or_default();
    DebugFunction { name, is_short, file, line, column }
}

/// Whether a name alone would make a function one of a library.
fn is_library(name: &str) -> bool {
    let (name, file, module) = (name.into(), "", "");
    is_plumbing(&Shown { address: 0, name, file, line: 0, module, inlined: true, named: true })
}

/// What debug information says about an address, innermost first. The outermost may have no name.
fn inlined(loader: &Loader, address: u64) -> Vec<DebugFunction> {
    let mut found = Vec::new();
    let Ok(mut frames) = loader.find_frames(address) else { return found };
    while let Ok(Some(frame)) = frames.next() {
        found.push(debug_function(&frame));
        if found.len() == FUNCTIONS_MAX {
            break;
        }
    }
    found
}

/// The file that debug information refers to, if it is there and the right one.
fn debug_more(program: &Program) -> Option<PathBuf> {
    let (path, id) = program.debug_more.as_ref()?;
    let home = program.path.parent()?;
    let more = Program::open(&home.join(path)).ok()?;
    (more.build_id == *id).then_some(more.path)
}
