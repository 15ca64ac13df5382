//! Names for the addresses of a trace, and a line on standard error for those that have none.
//!
//! Names that a trace brings along are believed; the files are asked for the others, and then the
//! user's cache, as `trace-symbols` does it.
//!
//! - [`binaries`]: which files the command line names, and whose they are.

pub mod binaries;

use std::collections::BTreeSet;

use trace_analysis::symbols::{Symbols, file_name};
use trace_export::label::escape::plain;
use trace_format::read::{Module, ReadAt, Tables, TraceFile};
use trace_symbols::{Unnamed, name};

use self::binaries::Options;
use crate::error::Failure;
use crate::label::units;
use crate::output::say;

/// Maximum number of lines that say whose names are missing.
const LINES_MAX: usize = 8;

/// Names for `addresses`, and one line on standard error for each file that is missing.
///
/// # Errors
/// If a file that `options` names can't be read.
pub fn resolve<S: ReadAt>(
    file: &TraceFile<S>,
    addresses: impl IntoIterator<Item = u64>,
    options: &Options,
) -> Result<Symbols, Failure> {
    let binaries = options.open(file)?;
    let mut symbols = Symbols::of_trace(file.tables());
    say_unnamed(&name(&mut symbols, addresses, &binaries));
    if let Some(module) = without_lines(&symbols) {
        say(&format!(
            "{} has no line numbers, and what was inlined has no name: its profile in Cargo.toml \
             needs debug = \"line-tables-only\"",
            plain(file_name(module), 100)
        ));
    }
    Ok(symbols)
}

/// The names of a trace's stacks and threads, which are in the user's cache from now on, for when
/// the program is built anew. Silent: what is missing is said when the trace is read.
pub fn keep<S: ReadAt>(file: &TraceFile<S>) -> Symbols {
    let tables = file.tables();
    let mut symbols = Symbols::of_trace(tables);
    if let Ok(binaries) = Options::default().open(file) {
        name(&mut symbols, addresses(tables), &binaries);
    }
    symbols
}

/// All addresses of a trace that can have names: of its stacks, and where its threads began.
#[must_use]
pub fn addresses(tables: &Tables) -> BTreeSet<u64> {
    let stacks = tables.stacks.values().flat_map(|stack| stack.addresses.iter().copied());
    let entries = tables.threads.values().map(|thread| thread.entry);
    stacks.chain(entries.filter(|entry| *entry != 0)).collect()
}

/// The program, if functions of it are named and not one has a line: release builds are so, unless
/// they are told otherwise.
fn without_lines(symbols: &Symbols) -> Option<&Module> {
    let mut found = None;
    for (address, functions) in symbols.iter() {
        let Some(module) = symbols.module(address) else { continue };
        // Libraries of the system are so everywhere, and nobody can change them.
        if file_name(module).contains(".so") || module.path.starts_with('[') {
            continue;
        }
        if functions.iter().any(|function| function.line > 0) {
            return None;
        }
        found = Some(module);
    }
    found
}

/// The same, but what files say comes before what the trace says: they may know more by now. Also
/// returns whose names are missing.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_anew<S: ReadAt>(
    file: &TraceFile<S>,
    addresses: &BTreeSet<u64>,
    options: &Options,
) -> Result<(Symbols, Vec<Unnamed>), Failure> {
    let binaries = options.open(file)?;
    let (tables, mut symbols) = (file.tables(), Symbols::default());
    tables.modules.values().for_each(|module| symbols.add_module(module.clone()));
    let mut unnamed = name(&mut symbols, addresses.iter().copied(), &binaries);
    if !tables.symbols.is_empty() {
        for (address, functions) in &tables.symbols {
            symbols.add(*address, functions.clone());
        }
        unnamed = name(&mut symbols, addresses.iter().copied(), &binaries);
    }
    say_unnamed(&unnamed);
    Ok((symbols, unnamed))
}

/// Says whose names are missing and what would help. Files that have no more names to give are no
/// news.
pub fn say_unnamed(unnamed: &[Unnamed]) {
    let mut missing: Vec<_> = unnamed.iter().filter(|it| it.why.is_news()).collect();
    missing.sort_by_key(|it| std::cmp::Reverse(it.addresses));
    for it in missing.iter().take(LINES_MAX) {
        let addresses = units::plural(it.addresses, "address", "addresses");
        let module = plain(&it.module, 100);
        let whose = if module.is_empty() { String::new() } else { format!(" of {module}") };
        say(&format!("no names for {addresses}{whose}: {}", plain(&it.why.to_string(), 400)));
    }
    if let Some(more) = missing.len().checked_sub(LINES_MAX).filter(|more| *more > 0) {
        say(&format!("no names for {} more modules", units::count(more as u64)));
    }
}
