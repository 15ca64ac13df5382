//! Which file a process writes its trace to, and that no other process does.
//!
//! Children inherit the variable. With `%p` in its name each process has a file of its own;
//! without, the first one has the file's lock, and the others are told so, as long as it runs.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a name is made of.
#[derive(Clone, Copy, Debug)]
struct Process<'a> {
    id: u32,
    executable: &'a str,
    seconds: u64,
}

/// The file of a process.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    path: PathBuf,
    /// Whether a second process at the same time would have another one.
    is_own: bool,
}

impl Place {
    /// Reads a name with `%p`, `%e` and `%t` in it.
    pub(super) fn of_this_process(name: &str) -> Result<Self, String> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let executable = crate::recorder::executable();
        Self::read(name, Process { id: std::process::id(), executable, seconds })
    }

    fn read(name: &str, process: Process<'_>) -> Result<Self, String> {
        let mut path = String::with_capacity(name.len());
        let mut is_own = false;
        let mut letters = name.chars();
        while let Some(letter) = letters.next() {
            match (letter, if letter == '%' { letters.next() } else { None }) {
                ('%', Some('p')) => {
                    is_own = true;
                    path += &process.id.to_string();
                }
                ('%', Some('e')) => path += process.executable,
                ('%', Some('t')) => path += &process.seconds.to_string(),
                ('%', Some('%')) => path.push('%'),
                ('%', other) => {
                    let other = other.map_or_else(String::new, String::from);
                    let known = "there are %p (process), %e (executable), %t (time) and %%";
                    return Err(format!("`%{other}` in the name `{name}`: {known}"));
                }
                (letter, _) => path.push(letter),
            }
        }
        Ok(Self { path: path.into(), is_own })
    }

    /// Opens the file for this process alone, and empties it.
    pub(super) fn open(&self) -> Result<File, String> {
        let fail = |error: std::io::Error| format!("`{}`: {error}", self.path.display());
        // Not emptied before it is locked: it may be another's.
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.path);
        let file = file.map_err(fail)?;
        // A pipe or a device has as many writers as it likes.
        if file.metadata().map_err(fail)?.is_file() {
            match file.try_lock() {
                // Some file systems have no locks.
                Ok(()) | Err(TryLockError::Error(_)) => {}
                Err(TryLockError::WouldBlock) => return Err(self.taken()),
            }
            file.set_len(0).map_err(fail)?;
        }
        Ok(file)
    }

    fn taken(&self) -> String {
        let advice = if self.is_own { "" } else { ", and %p in the name gives each its own" };
        format!("`{}` is being written by another process{advice}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: Process<'_> = Process { id: 7, executable: "a%pp", seconds: 1_234 };

    fn read(name: &str) -> Result<(String, bool), String> {
        let place = Place::read(name, PROCESS)?;
        Ok((place.path.display().to_string(), place.is_own))
    }

    #[test]
    fn marks_stand_for_process_executable_and_time() {
        assert_eq!(read("out.trace"), Ok(("out.trace".to_owned(), false)));
        assert_eq!(read("d/%e-%p-%t.x"), Ok(("d/a%pp-7-1234.x".to_owned(), true)));
        assert_eq!(read("100%%p"), Ok(("100%p".to_owned(), false)));
        for (name, mark) in [("%", "`%`"), ("a%", "`%`"), ("%d.trace", "`%d`")] {
            let fault = read(name).expect_err("there is no such mark");
            assert!(fault.starts_with(mark), "{fault}");
        }
    }

    #[test]
    fn a_file_has_one_writer_at_a_time() {
        let name = format!("exectrace-place-{}.trace", std::process::id());
        let path = std::env::temp_dir().join(name);
        let place = Place { path: path.clone(), is_own: false };
        let first = place.open().expect("it can be created");
        std::io::Write::write_all(&mut &first, b"first").expect("it can be written");
        let fault = place.open().expect_err("the first has it");
        assert!(fault.contains("another process") && fault.contains("%p"), "{fault}");
        assert_eq!(std::fs::read(&path).expect("it is there"), b"first", "it was left alone");
        drop(first);
        place.open().expect("it is free again");
        assert_eq!(std::fs::read(&path).expect("it is there"), b"", "it was emptied");
        std::fs::remove_file(path).expect("it is ours");
    }
}
