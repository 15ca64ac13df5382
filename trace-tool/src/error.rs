//! How a command ends: what it says when it could not do its work, and its exit code.
//!
//! Exit codes: 0 all is well; 1 something is missing from the trace, which was said
//! ([`completeness`](crate::answer::completeness)), and what could be read was shown, or names are
//! missing that `symbolize` was asked for; 2 wrong use, or there is no trace to read, or nothing in
//! it that was to be written. A closed pipe ends a command early and is no fault.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use trace_format::read::rewrite::RewriteError;
use trace_format::read::{ReadError, ReadErrorKind};

use crate::label;

/// How a command ended that could do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is missing.
    Fine,
    /// Parts of the trace are damaged, dropped or missing, and this was said.
    Faulty,
}

/// Why a command could not do its work.
#[derive(Debug)]
pub enum Failure {
    /// It was asked something impossible, or for a file of what is not in the trace.
    Usage(String),
    /// The file is no trace, or can't be read.
    Trace(PathBuf, ReadError),
    /// The file can't be opened, made, read or written.
    Open(PathBuf, io::Error),
    /// The answer can't be written.
    Output(io::Error),
}

impl Verdict {
    /// 0 or 1.
    #[must_use]
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Fine => ExitCode::SUCCESS,
            Self::Faulty => ExitCode::from(1),
        }
    }
}

impl Failure {
    /// 2.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(2)
    }

    /// Whether the answer's reader went away.
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// What stopped a trace from being written anew.
    ///
    /// - `path`: of the trace that was read.
    #[must_use]
    pub fn of_rewrite(path: &Path, error: RewriteError) -> Self {
        match error {
            RewriteError::Write(error) => Self::Output(error),
            RewriteError::Read { offset, source } => {
                let error = ReadError::new(offset, ReadErrorKind::Io(source));
                Self::Trace(path.to_owned(), error)
            }
            other => Self::Usage(other.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usage(what) => write!(f, "{what}"),
            Self::Open(path, error) => write!(f, "{}: {error}", label::path(path)),
            Self::Output(error) => write!(f, "can't write the output: {error}"),
            Self::Trace(path, error) => {
                write!(f, "{}: {error}", label::path(path))?;
                match std::error::Error::source(error) {
                    Some(cause) => write!(f, ": {cause}"),
                    None => Ok(()),
                }
            }
        }
    }
}
