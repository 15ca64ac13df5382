//! From an address of a program file to functions: DWARF with inlined calls first, the symbol table
//! where that says nothing.
//!
//! Files are mapped and read as far as addresses lead; asking for addresses in order is fast, as
//! neighbours are in the same unit.

use std::path::PathBuf;

use addr2line::Loader;
use trace_analysis::symbols::Function;

use super::program::Program;

/// More functions than this at one address are the work of a damaged file.
const INLINED_MAX: usize = 256;

/// The files with the names of one module.
pub struct Names {
    loaders: Vec<Loader>,
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
        Self { loaders: files.iter().filter_map(load).collect() }
    }

    /// The functions at an address of the file, innermost inlined first; none if it is not named.
    #[must_use]
    pub fn functions(&self, address: u64) -> Vec<Function> {
        let by_lines = self.loaders.iter().map(|loader| inlined(loader, address));
        let mut functions = by_lines.into_iter().find(|it| !it.is_empty()).unwrap_or_default();
        let symbol = || {
            let name = self.loaders.iter().find_map(|loader| loader.find_symbol(address))?;
            Some(addr2line::demangle_auto(name.into(), None).into_owned())
        };
        match functions.last_mut() {
            // Lines alone, or a name without its path, as of C and assembler.
            Some(outermost) if !outermost.name.contains("::") => {
                if let Some(symbol) = symbol().filter(|name| name.ends_with(&outermost.name)) {
                    outermost.name = symbol;
                }
            }
            Some(_) => {}
            None => {
                let name = symbol();
                functions.extend(name.map(|name| Function { name, file: String::new(), line: 0 }));
            }
        }
        functions.retain(|function| !function.name.is_empty());
        functions
    }
}

/// What debug information says of an address. The outermost may have no name.
fn inlined(loader: &Loader, address: u64) -> Vec<Function> {
    let mut functions = Vec::new();
    let Ok(mut frames) = loader.find_frames(address) else { return functions };
    while let Ok(Some(frame)) = frames.next() {
        let name = frame.function.as_ref().and_then(|name| name.demangle().ok());
        let (file, line) = match &frame.location {
            Some(at) => (at.file.unwrap_or_default(), at.line.unwrap_or_default()),
            None => ("", 0),
        };
        let name = name.map(std::borrow::Cow::into_owned).unwrap_or_default();
        functions.push(Function { name, file: file.to_owned(), line });
        if functions.len() == INLINED_MAX {
            break;
        }
    }
    functions
}

/// The file that debug information refers to, if it is there and the right one.
fn debug_more(program: &Program) -> Option<PathBuf> {
    let (path, id) = program.debug_more.as_ref()?;
    let home = program.path.parent()?;
    let more = Program::open(&home.join(path)).ok()?;
    (more.build_id == *id).then_some(more.path)
}
