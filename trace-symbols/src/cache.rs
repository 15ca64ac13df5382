//! Keeps names that were read once in small files, so that they are still there after the program
//! was built anew.
//!
//! Each build id has one file, named after it. A program that is built anew has another build id,
//! so a name is never used for code that it was not read from. The file repeats the build id and
//! ends with the number of its lines; a damaged or cut file is ignored.
//!
//! ```text
//! exectrace names 1 5ab3…
//! 1f40<tab>17<tab>src/main.rs<tab>app::work         address in the file, line, file, function;
//! 1f40<tab>52<tab>src/main.rs<tab>app::main         an inlined function stands before its caller
//! end 2
//! ```
//!
//! Sizes are limited: [`FILE_BYTES_MAX`] for one program, [`FOLDER_BYTES_MAX`] and [`FILES_MAX`]
//! for all. The file that was not read for the longest time is removed first. Nothing here returns
//! an error: if names cannot be kept, the commands work without the cache.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use trace_analysis::symbols::Function;
use trace_format::definition::FUNCTIONS_MAX;

use crate::program::hex;

/// Maximum size of one program's file. Names that do not fit are dropped: first those from before
/// that this command did not need.
pub const FILE_BYTES_MAX: usize = 4 << 20;

/// Maximum size of all files.
pub const FOLDER_BYTES_MAX: u64 = 64 << 20;

/// Maximum number of programs.
pub const FILES_MAX: usize = 256;

/// Shorter build ids are not trusted to be one program's alone.
const BUILD_ID_BYTES_MIN: usize = 8;

/// Extension of all files.
const ENDING: &str = "names";

/// Extension of files that are being written.
const UNFINISHED: &str = "tmp";

/// Functions by their address in a program's file, innermost inlined first.
pub type CachedNames = BTreeMap<u64, Vec<Function>>;

/// A folder with names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The user's cache: `exectrace/names` in `XDG_CACHE_HOME`, or in `.cache` in the user's home.
    /// `None` if neither is an absolute path.
    #[must_use]
    pub fn of_user() -> Option<Self> {
        let path = |name| std::env::var_os(name).map(PathBuf::from).filter(|it| it.is_absolute());
        let caches = path("XDG_CACHE_HOME").or_else(|| Some(path("HOME")?.join(".cache")));
        caches.map(|caches| Self::at(caches.join("exectrace").join("names")))
    }

    /// The cache in this folder, which is made once there is something to keep.
    #[must_use]
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The names of the program with this build id; empty if there are none, or they cannot be
    /// read.
    #[must_use]
    pub fn read(&self, build_id: &[u8]) -> CachedNames {
        let Some(path) = self.file(build_id) else { return CachedNames::new() };
        let read = || -> io::Result<String> {
            let mut text = String::new();
            let mut file = fs::File::open(&path)?;
            if !file.metadata()?.is_file() {
                return Err(io::Error::other("is no regular file"));
            }
            file.by_ref().take(FILE_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
            // The time of the last read decides which files stay.
            let _ = file.set_modified(SystemTime::now());
            Ok(text)
        };
        read().ok().and_then(|text| parse(&text, build_id)).unwrap_or_default()
    }

    /// Adds names of the program with this build id, if there are new ones. Names of other
    /// addresses stay as far as there is room.
    pub fn add(&self, build_id: &[u8], new: &CachedNames) {
        let Some(path) = self.file(build_id) else { return };
        let old = self.read(build_id);
        if new.iter().all(|(address, functions)| old.get(address) == Some(functions)) {
            return;
        }
        let text = text(build_id, new, &old);
        // Readers find the old file or the new one, never a half-written one.
        let fresh = path.with_extension(format!("{}.{UNFINISHED}", std::process::id()));
        let put = || -> io::Result<()> {
            fs::create_dir_all(&self.folder)?;
            fs::write(&fresh, &text)?;
            fs::rename(&fresh, &path)
        };
        if put().is_err() {
            let _ = fs::remove_file(&fresh);
            return;
        }
        self.clean(&path);
    }

    fn file(&self, build_id: &[u8]) -> Option<PathBuf> {
        let is_telling = build_id.len() >= BUILD_ID_BYTES_MIN;
        is_telling.then(|| self.folder.join(hex(build_id)).with_extension(ENDING))
    }

    /// Removes files above the limits, the oldest first, but not `newest`.
    fn clean(&self, newest: &Path) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| {
                let (path, about) = (entry.path(), entry.metadata().ok()?);
                // Also unfinished files that a killed process left.
                let is_ending = path.extension().is_some_and(|it| it == ENDING || it == UNFINISHED);
                let is_ours = about.is_file() && is_ending;
                let modified = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                (is_ours && path != newest).then_some((modified, about.len(), path))
            })
            .collect();
        files.sort_by_key(|(modified, ..)| std::cmp::Reverse(*modified));
        let (mut count, mut bytes) = (1, fs::metadata(newest).map_or(0, |about| about.len()));
        for (_, size, path) in files {
            (count, bytes) = (count + 1, bytes.saturating_add(size));
            if count > FILES_MAX || bytes > FOLDER_BYTES_MAX {
                let _ = fs::remove_file(path);
            }
        }
    }
}

fn head(build_id: &[u8]) -> String {
    format!("exectrace names 1 {}", hex(build_id))
}

/// A file's text: the new names, and as many of the old ones as fit.
fn text(build_id: &[u8], new: &CachedNames, old: &CachedNames) -> String {
    let mut text = head(build_id) + "\n";
    let mut lines = 0;
    let others = old.iter().filter(|(address, _)| !new.contains_key(address));
    for (address, functions) in new.iter().chain(others) {
        let mut entry = String::new();
        for function in functions.iter().take(FUNCTIONS_MAX) {
            let (file, name) = (escaped(&function.file), escaped(&function.name));
            let _ = writeln!(entry, "{address:x}\t{}\t{file}\t{name}", function.line);
        }
        // Leaves room for the last line.
        if text.len() + entry.len() + 32 > FILE_BYTES_MAX {
            break;
        }
        text.push_str(&entry);
        lines += functions.len().min(FUNCTIONS_MAX);
    }
    let _ = writeln!(text, "end {lines}");
    text
}

/// Reads the names in a file of this build id; `None` unless the file is whole.
fn parse(text: &str, build_id: &[u8]) -> Option<CachedNames> {
    let mut lines = text.strip_suffix('\n')?.split('\n');
    if lines.next()? != head(build_id) {
        return None;
    }
    let count: usize = lines.next_back()?.strip_prefix("end ")?.parse().ok()?;
    let mut kept = CachedNames::new();
    let mut seen = 0;
    for line in lines {
        let mut fields = line.split('\t');
        let address = u64::from_str_radix(fields.next()?, 16).ok()?;
        let line = fields.next()?.parse().ok()?;
        let (file, name) = (unescaped(fields.next()?)?, unescaped(fields.next()?)?);
        let functions = kept.entry(address).or_default();
        if fields.next().is_some() || functions.len() >= FUNCTIONS_MAX {
            return None;
        }
        functions.push(Function { name, file, line });
        seen += 1;
    }
    (seen == count).then_some(kept)
}

/// Replaces tabs and line ends in a text.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n")
}

fn unescaped(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        out.push(match letter {
            '\\' => match letters.next()? {
                '\\' => '\\',
                't' => '\t',
                'n' => '\n',
                _ => return None,
            },
            letter => letter,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
    const OTHER: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 9];

    fn function(name: &str, line: u32) -> Function {
        Function { name: name.to_owned(), file: "src/a\tb\\n.rs".to_owned(), line }
    }

    fn names(addresses: &[u64]) -> CachedNames {
        let of = |address: &u64| vec![function("in\nside", 1), function("app::f", *address as u32)];
        addresses.iter().map(|address| (*address, of(address))).collect()
    }

    fn cache() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::at(folder.path().join("a").join("b"));
        (folder, cache)
    }

    #[test]
    fn names_are_there_again_for_their_own_build_only() {
        let (_folder, cache) = cache();
        assert_eq!(cache.read(&ID), CachedNames::new());
        cache.add(&ID, &names(&[1, 2]));
        cache.add(&ID, &names(&[2, 9]));
        assert_eq!(cache.read(&ID), names(&[1, 2, 9]));
        assert_eq!(cache.read(&OTHER), CachedNames::new());
        // A file under a wrong name is ignored, too.
        let path = |id: &[u8]| cache.file(id).expect("a name");
        fs::copy(path(&ID), path(&OTHER)).expect("it is there");
        assert_eq!(cache.read(&OTHER), CachedNames::new());
    }

    #[test]
    fn a_program_without_a_telling_build_id_has_nothing_kept() {
        let (folder, cache) = cache();
        cache.add(&[], &names(&[1]));
        cache.add(&ID[..7], &names(&[1]));
        assert_eq!(cache.read(&[]), CachedNames::new());
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }

    #[test]
    fn a_file_that_is_cut_or_changed_says_nothing() {
        let whole = text(&ID, &names(&[1, 2]), &CachedNames::new());
        assert_eq!(parse(&whole, &ID), Some(names(&[1, 2])));
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole[..cut], &ID), None, "{cut}");
        }
        let without_a_line = whole.replacen("1\t1\t", "", 1);
        assert_eq!(parse(&without_a_line, &ID), None);
    }

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let (_folder, cache) = cache();
        let id = |number: usize| [number.to_be_bytes(), [0; 8]].concat();
        for number in 0..=FILES_MAX {
            cache.add(&id(number), &names(&[1]));
            let path = cache.file(&id(number)).expect("a name");
            let then = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number as u64 + 1);
            fs::File::open(path).and_then(|file| file.set_modified(then)).expect("it is there");
        }
        assert_eq!(cache.read(&id(0)), CachedNames::new());
        assert_eq!(cache.read(&id(1)), names(&[1]));
        assert_eq!(cache.read(&id(FILES_MAX)), names(&[1]));
    }

    #[test]
    fn one_program_has_a_bounded_file_and_new_names_come_first() {
        let (_folder, cache) = cache();
        let long = |addresses: std::ops::Range<u64>| -> CachedNames {
            let name = "x".repeat(FILE_BYTES_MAX / 8);
            addresses.map(|address| (address, vec![function(&name, 1)])).collect()
        };
        cache.add(&ID, &long(0..6));
        cache.add(&ID, &long(10..14));
        let kept = cache.read(&ID);
        assert!((10..14).all(|address| kept.contains_key(&address)));
        assert!(kept.len() < 10 && kept.len() >= 6, "{}", kept.len());
    }
}
