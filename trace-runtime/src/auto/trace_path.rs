//! The path of the file that a process writes its trace to.
//!
//! Children inherit the variable. With `%p` in the name, each process has its own file. Without it,
//! the first process holds the file's lock, and as long as it runs the others print that the file
//! is in use.

use super::stream::Stream;
use crate::base::error::{StartError, with_cause};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What the marks in a name stand for.
#[derive(Clone, Copy, Debug)]
struct MarkValues<'a> {
    id: u32,
    executable: &'a str,
    seconds: u64,
}

/// The path of a process's trace.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TracePath {
    path: PathBuf,
    /// Whether another process at the same time would have another path.
    is_own: bool,
}

impl TracePath {
    /// Reads a name with the marks `%p`, `%e` and `%t`, relative to this folder: the program may
    /// change its working folder later.
    pub(super) fn of_this_process(name: &str, folder: &Path) -> Result<Self, String> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let executable = crate::session::process::executable();
        let process = MarkValues { id: std::process::id(), executable, seconds };
        let path = Self::read(name, process)?;
        Ok(Self { path: folder.join(&path.path), ..path })
    }

    /// Whether another process would have another path.
    pub(super) fn is_own(&self) -> bool {
        self.is_own
    }

    fn read(name: &str, process: MarkValues<'_>) -> Result<Self, String> {
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

    /// The file's path.
    pub(super) fn as_path(&self) -> &Path {
        &self.path
    }

    /// Whether it is a file, or would be one: no pipe and no device.
    pub(super) fn is_file(&self) -> bool {
        self.path.metadata().map_or(true, |kind| kind.is_file())
    }

    /// Opens it, if it is a pipe or a device.
    pub(super) fn open_stream(&self) -> Result<Stream, String> {
        Stream::open(&self.path).map_err(|error| self.failure(&error))
    }

    fn failure(&self, error: &io::Error) -> String {
        format!("`{}`: {error}", self.path.display())
    }

    /// The line to print about this error.
    pub(super) fn fault(&self, error: &StartError) -> String {
        match error {
            StartError::InUse(_) => self.taken(),
            StartError::File(path, error) => format!("`{}`: {error}", path.display()),
            error => with_cause(error),
        }
    }

    fn taken(&self) -> String {
        let advice = if self.is_own { "" } else { ", and %p in the name gives each its own" };
        let by = "another process, or by another copy of exectrace in this one";
        format!("`{}` is being written by {by}{advice}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: MarkValues<'_> = MarkValues { id: 7, executable: "a%pp", seconds: 1_234 };

    fn read(name: &str) -> Result<(String, bool), String> {
        let path = TracePath::read(name, PROCESS)?;
        Ok((path.path.display().to_string(), path.is_own))
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
}
