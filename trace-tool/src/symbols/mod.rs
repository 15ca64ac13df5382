//! Names for the addresses of a trace, from the files of the program.
//!
//! Names that a trace brings along are believed; the files are asked for the others. A file serves
//! only if it is known to be the one that ran: its build id is the module's, or, where the
//! module has none, it was not changed since the trace began, or somebody named it. A wrong name is
//! worse than none.
//!
//! - [`binaries`]: which files have a module's names, and what the others lack.
//! - [`program`]: what one file says about itself.
//! - [`names`]: from an address to functions.

pub mod binaries;
pub mod names;
pub mod program;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, SystemTime};

use trace_analysis::symbols::{Symbols, file_name};
use trace_format::read::{Module, ReadAt, TraceFile};

use self::binaries::{Binaries, Lacking, Options};
use self::names::Names;
use crate::command::Failure;
use crate::escape::plain;
use crate::output::say;
use crate::units;

/// So many lines at most say whose names are missing.
const LINES_MAX: usize = 8;

/// Why addresses of a module have no names.
#[derive(Debug)]
pub struct Unnamed {
    /// The module's name; empty for addresses that are in none.
    pub module: String,
    /// How many addresses have none.
    pub addresses: u64,
    /// Why.
    pub why: Lacking,
}

/// Names for `addresses`, and one line on standard error for each file that is not to be had.
///
/// # Errors
/// If a file that `options` names can't be read.
pub fn resolve<S: ReadAt>(
    file: &TraceFile<S>,
    addresses: impl IntoIterator<Item = u64>,
    options: &Options,
) -> Result<Symbols, Failure> {
    let binaries = binaries(file, options)?;
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
    let binaries = binaries(file, options)?;
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

fn binaries<S: ReadAt>(file: &TraceFile<S>, options: &Options) -> Result<Binaries, Failure> {
    let tables = file.tables();
    let began = Duration::from_nanos(tables.clock.origin().wall.0);
    let binaries = Binaries::new(options, SystemTime::UNIX_EPOCH + began)?;
    binaries.say_unused(&tables.modules);
    Ok(binaries)
}

/// Adds to `symbols` what `binaries` know of `addresses`.
pub fn name(
    symbols: &mut Symbols,
    addresses: impl IntoIterator<Item = u64>,
    binaries: &Binaries,
) -> Vec<Unnamed> {
    // In the order of addresses: neighbours are in the same unit of debug information.
    let addresses = addresses.into_iter().collect::<BTreeSet<_>>().into_iter();
    let unnamed = addresses.filter(|address| symbols.functions(*address).is_empty());
    let mut wanted = BTreeMap::<Option<u64>, Vec<u64>>::new();
    for address in unnamed {
        let module = symbols.module(address).map(|module| module.first);
        wanted.entry(module).or_default().push(address);
    }
    let missing = wanted.into_iter().filter_map(|(first, addresses)| {
        let module = first.and_then(|first| symbols.module(first)).cloned();
        name_of_module(symbols, module.as_ref(), addresses, binaries)
    });
    missing.collect()
}

/// Names addresses of one module, or of none; what is left without a name.
fn name_of_module(
    symbols: &mut Symbols,
    module: Option<&Module>,
    mut addresses: Vec<u64>,
    binaries: &Binaries,
) -> Option<Unnamed> {
    let wanted = addresses.len();
    let files = module.ok_or(Lacking::Module).and_then(|module| binaries.of(module));
    let why = match (module, files) {
        (Some(module), Ok(files)) => {
            let names = Names::open(&files);
            addresses.retain(|&address| {
                let functions = names.functions(module.in_file(address));
                let is_unnamed = functions.is_empty();
                symbols.add(address, functions);
                is_unnamed
            });
            match files.into_iter().next() {
                Some(file) if addresses.len() == wanted && !file.has_lines => {
                    Lacking::Stripped { path: file.path }
                }
                _ => Lacking::Names,
            }
        }
        (_, Err(why)) => why,
        (None, Ok(_)) => Lacking::Module,
    };
    let module = module.map_or("", file_name).to_owned();
    let addresses = addresses.len() as u64;
    (addresses > 0).then_some(Unnamed { module, addresses, why })
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

/// Whether `path` is the file of this name, or the separate debug information of it.
fn is_named(path: &Path, name: &str) -> bool {
    let file = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    file == name || file.strip_suffix(".debug") == Some(name)
}
