//! Reads the headers of a program file: its build id, and where its debug information is.
//!
//! Only headers and notes are read, so the size of the file does not matter. Paths come from
//! traces, which may come from anywhere, so only regular files are opened.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use object::read::{Object, ObjectSection, ReadCache};

/// A file with code or names, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// The build id that its linker gave it; may be empty.
    pub build_id: Vec<u8>,
    /// The name and checksum of a file with its debug information.
    pub debug_link: Option<(String, u32)>,
    /// The path and build id of a file that its debug information refers to.
    pub debug_more: Option<(PathBuf, Vec<u8>)>,
    /// Whether it has line numbers.
    pub has_lines: bool,
    /// When it was last changed.
    pub changed: Option<SystemTime>,
}

impl Program {
    /// Reads the headers of a file.
    ///
    /// # Errors
    /// If it can't be read, is no regular file, or is not in a format of programs.
    pub fn open(path: &Path) -> io::Result<Self> {
        // Checked before opening, because opening a named pipe waits for a writer.
        let about = std::fs::metadata(path)?;
        if !about.is_file() {
            return Err(io::Error::other("is no regular file"));
        }
        let cache = ReadCache::new(File::open(path)?);
        let file = object::File::parse(&cache).map_err(io::Error::other)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let build_id = file.build_id().ok().flatten().unwrap_or_default();
        let debug_link = file.gnu_debuglink().ok().flatten();
        let debug_more = file.gnu_debugaltlink().ok().flatten();
        let lines = file.section_by_name(".debug_line");
        Ok(Self {
            path: path.to_path_buf(),
            build_id: build_id.to_vec(),
            debug_link: debug_link.map(|(name, sum)| (text(name), sum)),
            debug_more: debug_more.map(|(path, id)| (PathBuf::from(text(path)), id.to_vec())),
            has_lines: lines.is_some_and(|section| section.size() > 0),
            changed: about.modified().ok(),
        })
    }

    /// Whether its bytes have this checksum, which a link to debug information states.
    #[must_use]
    pub fn has_checksum(&self, expected: u32) -> bool {
        let sum = || -> io::Result<u32> {
            let mut file = File::open(&self.path)?;
            let (mut sum, mut buffer) = (flate2::Crc::new(), vec![0; 1 << 16]);
            loop {
                match file.read(&mut buffer)? {
                    0 => return Ok(sum.sum()),
                    read => sum.update(&buffer[..read]),
                }
            }
        };
        sum().is_ok_and(|sum| sum == expected)
    }
}

/// A build id as people write it.
#[must_use]
pub fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
