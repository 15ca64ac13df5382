//! A module's file: whether it is the one that is mapped, and which symbols it has.
//!
//! The crate `backtrace` reads debug information. But with `debug = "line-tables-only"` that has
//! only the bare name of a function, and the path is in the symbol table, which the crate does not
//! hand out. The table is read in pieces, so the memory does not grow with the file.

use crate::stack::modules::{self, MappedModule};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// Sizes of a 64-bit ELF file's header, and of the entries of its tables.
const HEADER_BYTES: usize = 64;
const SEGMENT_BYTES: usize = 56;
const SECTION_BYTES: usize = 64;
const SYMBOL_BYTES: usize = 24;

/// Kinds of segments, sections and symbols.
const PT_NOTE: u32 = 4;
const SHT_SYMTAB: u32 = 2;
const SHT_DYNSYM: u32 = 11;
const STT_FUNC: u8 = 2;

/// Maximum number of segments, and of sections, that are read.
const LINES_MAX: usize = 1 << 10;

/// Maximum size of notes.
const NOTES_BYTES_MAX: u64 = 64 << 10;

/// Number of symbols that are read at once.
const SYMBOLS_AT_ONCE: usize = 4 << 10;

/// Maximum size of a symbol's name.
const NAME_BYTES_MAX: usize = 64 << 10;

/// A module's file, which is known to be the one that is mapped.
#[derive(Debug)]
pub(super) struct ProgramFile {
    file: File,
    pub(super) bytes: u64,
    symbols: Option<SymbolTable>,
}

/// Where a symbol table and its names lie in the file.
#[derive(Clone, Copy, Debug)]
struct SymbolTable {
    at: u64,
    bytes: u64,
    names_at: u64,
    names_bytes: u64,
}

impl ProgramFile {
    /// `None` if there is no file, or if it is not certain that it is the one that is mapped.
    pub(super) fn of(module: &MappedModule) -> Option<Self> {
        let path = Path::new(OsStr::from_bytes(&module.path));
        // Leaves out "linux-vdso.so.1", which the kernel makes, and files that were removed.
        let about = fs::metadata(path).ok().filter(|about| path.has_root() && about.is_file())?;
        let file = File::open(path).ok()?;
        let header = read::<HEADER_BYTES>(&file, 0).ok()?;
        let is_elf64 = header.starts_with(b"\x7fELF\x02");
        let is_mapped = if module.build_id.is_empty() {
            module.is_program && is_running(&about)
        } else {
            is_elf64 && build_id(&file, &header).is_some_and(|id| id == module.build_id)
        };
        let symbols = is_elf64.then(|| symbol_table(&file, &header)).flatten();
        is_mapped.then_some(Self { file, bytes: about.len(), symbols })
    }

    /// The names, by the symbol table, of the functions that these addresses in the file lie in.
    ///
    /// - `addresses`: in ascending order.
    pub(super) fn symbols(&self, addresses: &[u64]) -> BTreeMap<u64, Vec<u8>> {
        let Some(table) = self.symbols else { return BTreeMap::new() };
        let mut found = vec![None; addresses.len()];
        let end = table.at + table.bytes / SYMBOL_BYTES as u64 * SYMBOL_BYTES as u64;
        let mut buffer = vec![0; SYMBOLS_AT_ONCE * SYMBOL_BYTES];
        let mut at = table.at;
        while at < end {
            let bytes = usize::try_from(end - at).map_or(buffer.len(), |it| it.min(buffer.len()));
            if self.file.read_exact_at(&mut buffer[..bytes], at).is_err() {
                break;
            }
            for symbol in buffer[..bytes].chunks_exact(SYMBOL_BYTES) {
                note(symbol, addresses, &mut found);
            }
            at += bytes as u64;
        }
        let named = addresses.iter().zip(found).filter_map(|(&address, found)| {
            let (_, name) = found?;
            Some((address, self.name(table, name)?))
        });
        named.collect()
    }

    fn name(&self, table: SymbolTable, at: u32) -> Option<Vec<u8>> {
        let room = table.names_bytes.checked_sub(at.into())?;
        let mut name = vec![0; usize::try_from(room).map_or(NAME_BYTES_MAX, |it| it.min(256))];
        loop {
            self.file.read_exact_at(&mut name, table.names_at + u64::from(at)).ok()?;
            if let Some(end) = name.iter().position(|&byte| byte == 0) {
                name.truncate(end);
                return Some(name);
            }
            let longer = (name.len() * 4).min(usize::try_from(room).unwrap_or(usize::MAX));
            if longer == name.len() || longer > NAME_BYTES_MAX {
                return None;
            }
            name.resize(longer, 0);
        }
    }
}

/// Notes a symbol for the addresses that it covers, if it begins later than the one that they have.
fn note(symbol: &[u8], addresses: &[u64], found: &mut [Option<(u64, u32)>]) {
    let (kind, section) = (symbol[4] & 0xf, u16::from_ne_bytes([symbol[6], symbol[7]]));
    if kind != STT_FUNC || section == 0 {
        return;
    }
    let (begin, bytes) = (long(symbol, 8), long(symbol, 16));
    let first = addresses.partition_point(|&address| address < begin);
    for (address, found) in addresses[first..].iter().zip(&mut found[first..]) {
        if *address - begin >= bytes {
            return;
        }
        if found.is_none_or(|(before, _)| before < begin) {
            *found = Some((begin, word(symbol, 0)));
        }
    }
}

/// Whether a file is the program that this process runs.
fn is_running(about: &fs::Metadata) -> bool {
    fs::metadata("/proc/self/exe")
        .is_ok_and(|running| running.dev() == about.dev() && running.ino() == about.ino())
}

fn build_id(file: &File, header: &[u8]) -> Option<Vec<u8>> {
    let (at, count) = (long(header, 32), short(header, 56));
    let segments = lines(file, at, count, SEGMENT_BYTES)?;
    segments.chunks_exact(SEGMENT_BYTES).find_map(|segment| {
        let (at, bytes) = (long(segment, 8), long(segment, 32));
        if word(segment, 0) != PT_NOTE || bytes > NOTES_BYTES_MAX {
            return None;
        }
        let mut notes = vec![0; bytes as usize];
        file.read_exact_at(&mut notes, at).ok()?;
        modules::build_id(&notes)
    })
}

/// The table of all symbols; in a file without one, the table of exported symbols.
fn symbol_table(file: &File, header: &[u8]) -> Option<SymbolTable> {
    let (at, count) = (long(header, 40), short(header, 60));
    let sections = lines(file, at, count, SECTION_BYTES)?;
    let mut sections = sections.chunks_exact(SECTION_BYTES);
    let of_kind = |kind| sections.clone().find(move |section| word(section, 4) == kind);
    let symbols = of_kind(SHT_SYMTAB).or_else(|| of_kind(SHT_DYNSYM))?;
    let names = sections.nth(word(symbols, 40) as usize)?;
    Some(SymbolTable {
        at: long(symbols, 24),
        bytes: long(symbols, 32),
        names_at: long(names, 24),
        names_bytes: long(names, 32),
    })
}

/// A table of the file, up to a limit.
fn lines(file: &File, at: u64, count: usize, line_bytes: usize) -> Option<Vec<u8>> {
    let mut lines = vec![0; count.min(LINES_MAX) * line_bytes];
    file.read_exact_at(&mut lines, at).ok()?;
    Some(lines)
}

fn read<const BYTES: usize>(file: &File, at: u64) -> io::Result<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

fn short(bytes: &[u8], at: usize) -> usize {
    bytes[at..].first_chunk().map_or(0, |bytes| u16::from_ne_bytes(*bytes)).into()
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// The test program itself.
    fn own() -> MappedModule {
        let is_program = |module: &MappedModule| module.is_program;
        modules::read(|module| module).into_iter().find(is_program).expect("it is the first")
    }

    #[test]
    fn the_symbol_table_knows_the_paths_of_functions() {
        let module = own();
        let file = ProgramFile::of(&module).expect("it is the one that runs");
        let begin = own as fn() -> MappedModule as usize as u64 - module.bias;
        let symbols = file.symbols(&[1, begin, begin + 1, u64::MAX]);
        let inside = |name: &[u8]| String::from_utf8_lossy(name).contains("program5tests3own");
        assert_eq!(symbols.len(), 2, "{symbols:?}");
        assert!(symbols.iter().all(|(at, name)| [begin, begin + 1].contains(at) && inside(name)));
    }

    #[test]
    fn a_file_is_believed_only_if_it_is_the_one_that_is_mapped() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("program");
        let of = |change: &dyn Fn(&mut MappedModule)| {
            let mut module = own();
            change(&mut module);
            ProgramFile::of(&module).is_some()
        };
        let at_path =
            |module: &mut MappedModule| module.path = path.as_os_str().as_bytes().to_vec();
        fs::copy(std::env::current_exe().expect("there is one"), &path).expect("there is room");
        let has_build_id = !own().build_id.is_empty();
        assert_eq!(of(&at_path), has_build_id, "a copy has the same build id");
        assert!(of(&|module| module.build_id.clear()), "it is the program's own file");
        assert!(!of(&|module| (module.build_id.clear(), at_path(module)).1), "nobody knows");
        assert!(!of(&|module| module.build_id.push(1)), "another build");
        assert!(!of(&|module| module.path = b"linux-vdso.so.1".to_vec()));
        assert!(!of(&|module| module.path.extend(b" (deleted)")));
        // A file that is cut anywhere has the symbols that are left, or none.
        let whole = fs::read(&path).expect("it was copied");
        for bytes in [0, 10, HEADER_BYTES, 1000, whole.len() / 2, whole.len() - 1] {
            let mut file = File::create(&path).expect("nobody runs it");
            file.write_all(&whole[..bytes]).expect("there is room");
            let mut module = own();
            at_path(&mut module);
            let cut = ProgramFile::of(&module);
            let begin = own as fn() -> MappedModule as usize as u64 - module.bias;
            assert!(cut.is_none_or(|cut| cut.symbols(&[begin]).len() <= 1), "{bytes}");
        }
    }
}
