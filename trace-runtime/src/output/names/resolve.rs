//! From addresses of this process to `Symbol` definitions, by the crate `backtrace`.
//!
//! A module's names are taken from its file only if that is the one that is mapped (`program`). The
//! crate lists the libraries once in a process's life. After a library was unloaded, addresses of
//! libraries are not resolved, as another library may lie there now. The program itself stays
//! mapped.

use super::program::ProgramFile;
use crate::stack::modules::{self, MappedModule};
use crate::sys::clock::Instant;
use crate::sys::headroom;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::c_void;
use std::ptr;
use trace_format::definition::{Definition, Function, put_definition};
use trace_format::function::{DebugFunction, name_all, plain};

/// Maximum size of all definitions; names that do not fit are left to the reader.
const DEFINITIONS_BYTES_MAX: usize = 16 << 20;

/// Maximum size of one definition, beyond which outer functions are left out.
const SYMBOL_BYTES_MAX: usize = 128 << 10;

/// Maximum size of a name or a file.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// How much memory must be free to read a file, besides the file's size: an allocation that fails
/// ends the program. A thread that allocates for the first time may take 128 MiB of addresses; if
/// it gets none, each of its allocations takes a page. Separate debug information needs more.
const FILE_BYTES: u64 = 512 << 20;

/// The names that were found.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub(super) definitions: Vec<u8>,
    pub(super) named: u64,
    /// What was left out, and why.
    pub(super) left_out: Option<&'static str>,
}

/// Resolves until the time is over, module by module and in the order of addresses, as neighbours
/// are in the same unit of debug information.
pub(super) fn all(wanted: &BTreeSet<u64>, until: Instant) -> Resolved {
    let mut resolved = Resolved::default();
    let has_unloaded = modules::version().1 > 0;
    let modules = modules::read(|module| module);
    for (module, addresses) in by_module(wanted, &modules) {
        if has_unloaded && !module.is_program {
            resolved.left_out = Some("those in libraries were not, as one has been unloaded");
            continue;
        }
        let Some(file) = ProgramFile::of(module) else { continue };
        let bytes = usize::try_from(FILE_BYTES + file.bytes).unwrap_or(usize::MAX);
        if !headroom::has(bytes) {
            resolved.left_out = Some("there was too little memory for the rest");
            continue;
        }
        resolved.add(module, &file, &addresses, until);
    }
    // Frees what the crate has read from files.
    {
        let _no_fork = modules::no_fork();
        backtrace::clear_symbol_cache();
    }
    resolved
}

/// The addresses by the module that they lie in. An address in several modules goes to the one that
/// begins last.
fn by_module<'m>(
    wanted: &BTreeSet<u64>,
    modules: &'m [MappedModule],
) -> impl Iterator<Item = (&'m MappedModule, Vec<u64>)> {
    let by_begin: BTreeMap<u64, usize> =
        modules.iter().enumerate().map(|(at, module)| (module.range.start, at)).collect();
    let mut addresses = vec![Vec::new(); modules.len()];
    for &address in wanted {
        let mut before = by_begin.range(..=address).rev();
        if let Some((_, &at)) = before.find(|(_, at)| modules[**at].range.contains(&address)) {
            addresses[at].push(address);
        }
    }
    modules.iter().zip(addresses).filter(|(_, addresses)| !addresses.is_empty())
}

impl Resolved {
    fn add(
        &mut self,
        module: &MappedModule,
        file: &ProgramFile,
        addresses: &[u64],
        until: Instant,
    ) {
        let in_file = |address: &u64| address.wrapping_sub(module.bias);
        let in_files: Vec<u64> = addresses.iter().map(in_file).collect();
        let symbols = file.symbols(&in_files);
        for address in addresses {
            if Instant::now() >= until {
                self.left_out = Some("there was no time for the rest");
                return;
            }
            if self.definitions.len() > DEFINITIONS_BYTES_MAX - SYMBOL_BYTES_MAX {
                self.left_out = Some("there was no room for the rest");
                return;
            }
            let symbol = || symbols.get(&in_file(address)).map(|name| demangled(name));
            // The source is not read: it may be missing, or another version.
            let functions = name_all(debug_functions(*address), symbol, |_, _, _| None);
            if !functions.is_empty() {
                self.put(*address, &functions);
            }
        }
    }

    fn put(&mut self, address: u64, functions: &[DebugFunction]) {
        let mut bytes = 0;
        let fits = |function: &&DebugFunction| {
            bytes += function.name.len().min(TEXT_BYTES_MAX);
            bytes += function.file.len().min(TEXT_BYTES_MAX) + 16;
            bytes <= SYMBOL_BYTES_MAX
        };
        let functions = functions.iter().take_while(fits).map(|function| Function {
            name: cut(&function.name),
            file: cut(&function.file),
            line: function.line,
        });
        let functions = functions.collect();
        put_definition(&mut self.definitions, &Definition::Symbol { address, functions });
        self.named += 1;
    }
}

fn cut(text: &str) -> &[u8] {
    &text.as_bytes()[..text.len().min(TEXT_BYTES_MAX)]
}

/// The functions that debug information has for an address, the innermost inlined one first.
fn debug_functions(address: u64) -> Vec<DebugFunction> {
    let mut found = Vec::new();
    // The crate expects return addresses, and subtracts one.
    let back = ptr::without_provenance_mut::<c_void>(address.wrapping_add(1) as usize);
    let _no_fork = modules::no_fork();
    backtrace::resolve(back, |symbol| {
        let raw = symbol.name().and_then(|name| name.as_str().map(str::to_owned));
        let name = symbol.name().map(|name| format!("{name:#}")).unwrap_or_default();
        let file = symbol.filename().map(|file| file.to_string_lossy().into_owned());
        let file = file.unwrap_or_default();
        // A name that is not mangled has no path. In other languages it is the whole name.
        let is_short = name.is_empty() || file.ends_with(".rs") && raw.as_ref() == Some(&name);
        found.push(DebugFunction {
            name: plain(&name),
            is_short,
            file,
            line: symbol.lineno().unwrap_or(0),
            column: symbol.colno().unwrap_or(0),
        });
    });
    found
}

/// A symbol's name, as the crate demangles it.
fn demangled(symbol: &[u8]) -> String {
    plain(&format!("{:#}", backtrace::SymbolName::new(symbol)))
}
