//! Why [`serve`](crate::serve) could not open its port.

use std::error::Error;
use std::fmt;
use std::io;

/// Why nothing is served, and where.
#[derive(Debug)]
pub struct ServeError {
    /// The address, as far as it was known.
    pub address: String,
    /// What is wrong with it.
    pub kind: ServeErrorKind,
}

/// What is wrong.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeErrorKind {
    /// Other machines can reach the address, and neither a token nor `allow_remote` was given.
    Remote,
    /// The address can't be bound.
    Bind(io::Error),
    /// The server's thread can't be started.
    Thread(io::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = &self.address;
        match self.kind {
            ServeErrorKind::Remote => write!(
                f,
                "{address} can be reached from elsewhere: give a token, or allow_remote(true)"
            ),
            ServeErrorKind::Bind(_) => write!(f, "{address} can't be bound"),
            ServeErrorKind::Thread(_) => {
                write!(f, "the thread that serves {address} can't be started")
            }
        }
    }
}

impl Error for ServeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.kind {
            ServeErrorKind::Remote => None,
            ServeErrorKind::Bind(error) | ServeErrorKind::Thread(error) => Some(error),
        }
    }
}
