//! A trace as lines of text, and back: for golden files, and for people who look at bytes.
//!
//! There is a line for the file, for each batch, for each definition and event in it, and for the
//! trailer, as section 9 of FORMAT.md says. What a writer of this version wrote comes back byte by
//! byte: what words can't express is there as `hex`. Damage becomes a comment.
//!
//! - `write`: from bytes to lines. `parse`: the other way. `definition`: definitions, both ways.
//! - `word`: the words of a line: numbers, quoted bytes, values; both ways.

mod definition;
mod parse;
mod word;
mod write;

use std::{error, fmt, io};

use crate::read::ReadError;

pub use parse::from_text;
pub use write::{to_text, write_text};

/// Why text is no trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextError {
    /// From 1.
    pub line: usize,
    /// What is wrong with it.
    pub kind: TextErrorKind,
}

/// A fault in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextErrorKind {
    /// Something else should stand here.
    Expected {
        /// What should.
        what: &'static str,
        /// What does; empty at the line's end.
        found: String,
    },
    /// The line goes on where it should end.
    TooMuch {
        /// The first word too many.
        found: String,
    },
    /// A quoted text has no closing quote, or an unknown escape.
    QuoteFaulty,
    /// An event or a definition outside a batch that can hold it, or the file line not first.
    OutOfPlace,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.kind {
            TextErrorKind::Expected { what, found } if found.is_empty() => {
                write!(f, "{what} should follow")
            }
            TextErrorKind::Expected { what, found } => {
                write!(f, "{what} should stand where {found:?} is")
            }
            TextErrorKind::TooMuch { found } => write!(f, "the line should end before {found:?}"),
            TextErrorKind::QuoteFaulty => write!(f, "a quoted text that does not end well"),
            TextErrorKind::OutOfPlace => write!(f, "this can't stand here"),
        }
    }
}

impl error::Error for TextError {}

/// Why a trace could not be written as text.
#[derive(Debug)]
pub enum TextWriteError {
    /// The bytes are no trace, or could not be read.
    Read(ReadError),
    /// The lines could not be written.
    Write(io::Error),
}

impl From<io::Error> for TextWriteError {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

impl fmt::Display for TextWriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "{error}"),
            Self::Write(_) => write!(f, "the text can't be written"),
        }
    }
}

impl error::Error for TextWriteError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Read(error) => error.source(),
            Self::Write(error) => Some(error),
        }
    }
}
