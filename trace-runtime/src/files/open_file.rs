//! A file that is open for as long as a trace runs.
//!
//! A program may close descriptors that it did not open, as daemons do when they begin, and get the
//! same numbers again for files of its own. The recorder must not write to those files, empty them,
//! move their positions, lock or close them. So users of a file ask for it here each time, and get
//! it only if its descriptor still leads to it. If the program closes the descriptor between the
//! check and the use, that one call goes wrong: only hooks of all ways to close could prevent that.

use std::fs::File;
use std::io;

/// The file, and what distinguishes it from others.
#[derive(Debug)]
pub(crate) struct OpenFile {
    /// `None` only while it is being dropped.
    file: Option<File>,
    identity: FileIdentity,
}

impl OpenFile {
    /// A file that was just opened.
    ///
    /// # Errors
    /// The system's, if it does not identify the file.
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let identity = identity(&file)?;
        Ok(Self { file: Some(file), identity })
    }

    /// The file.
    ///
    /// # Errors
    /// If the program has closed its descriptor.
    pub(crate) fn get(&self) -> io::Result<&File> {
        let what = "the program has closed the descriptor of this file: let it close only what it \
                    has opened, or start the trace after that";
        let is_same = |file: &&File| identity(file).is_ok_and(|found| found == self.identity);
        self.file.as_ref().filter(is_same).ok_or_else(|| io::Error::other(what))
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let is_open = self.get().is_ok();
        let file = self.file.take();
        if !is_open {
            // The number may belong to another file now, which stays open. If it belongs to none,
            // closing it would abort a program that was built with debug assertions.
            std::mem::forget(file);
        }
    }
}

/// The device, and the file's number on it.
#[cfg(unix)]
type FileIdentity = (u64, u64);

#[cfg(unix)]
fn identity(file: &File) -> io::Result<FileIdentity> {
    use std::os::unix::fs::MetadataExt as _;
    file.metadata().map(|found| (found.dev(), found.ino()))
}

/// On other systems programs do not close handles that they did not open.
#[cfg(not(unix))]
type FileIdentity = ();

#[cfg(not(unix))]
fn identity(_: &File) -> io::Result<FileIdentity> {
    Ok(())
}
