//! Names for the addresses of a trace, from the files of the program.
//!
//! Names in the trace itself are used as they are; other names are read from files. A file is used
//! only if it is known to be the one that ran: its build id is the module's, or, if the module has
//! none, it was not changed since the trace began, or the user gave it. A wrong name is worse than
//! none.
//!
//! - [`binaries`]: which files have a module's names, and why other files do not serve.
//! - [`program`]: headers of one file: build id, debug information.
//! - [`cache`]: keeps names that were read, for when the program has been built anew.
//! - [`names`]: from an address to functions; `bodies` names closures, by `source_text` if need be.
//!
//! Files are read, nothing is printed. Elsewhere: names that a trace brings along, and how frames
//! are shown (`trace_analysis::symbols`); the command's options and messages (`trace-tool`).

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

pub mod binaries;
mod bodies;
pub mod cache;
pub mod names;
pub mod program;
mod source_text;

use std::collections::{BTreeMap, BTreeSet};

use trace_analysis::symbols::{Symbols, file_name};
use trace_format::read::Module;

use crate::binaries::{Binaries, Lacking};
use crate::cache::CachedNames;
use crate::names::Names;

/// Why addresses of a module have no names.
#[derive(Debug)]
pub struct Unnamed {
    /// The module's name; empty for addresses that are in no module.
    pub module: String,
    /// Number of addresses without a name.
    pub addresses: u64,
    /// Why they have no name.
    pub why: Lacking,
}

/// Adds the names of `addresses` to `symbols`, as far as `binaries` have them.
pub fn name(
    symbols: &mut Symbols,
    addresses: impl IntoIterator<Item = u64>,
    binaries: &Binaries,
) -> Vec<Unnamed> {
    // In the order of addresses, because neighbours are in the same unit of debug information.
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

/// Names addresses of one module, or of none; returns those without a name.
///
/// Names that files have are put into the cache; names that they lack are taken from it.
fn name_of_module(
    symbols: &mut Symbols,
    module: Option<&Module>,
    mut addresses: Vec<u64>,
    binaries: &Binaries,
) -> Option<Unnamed> {
    let wanted = addresses.len();
    let mut fresh = CachedNames::new();
    let files = module.ok_or(Lacking::Module).and_then(|module| binaries.of(module));
    let why = match (module, files) {
        (Some(module), Ok(files)) => {
            let names = Names::open(&files);
            addresses.retain(|&address| {
                let functions = names.functions(module.in_file(address));
                let is_unnamed = functions.is_empty();
                if !is_unnamed {
                    fresh.insert(module.in_file(address), functions.clone());
                }
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
    if let (Some(cache), Some(module)) = (binaries.cache(), module) {
        if !fresh.is_empty() {
            cache.add(&module.build_id, &fresh);
        }
        if !addresses.is_empty() {
            let mut kept = cache.read(&module.build_id);
            addresses.retain(|&address| {
                let functions = kept.remove(&module.in_file(address)).unwrap_or_default();
                let is_unnamed = functions.is_empty();
                symbols.add(address, functions);
                is_unnamed
            });
        }
    }
    let module = module.map_or("", file_name).to_owned();
    let addresses = addresses.len() as u64;
    (addresses > 0).then_some(Unnamed { module, addresses, why })
}
