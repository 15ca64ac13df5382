//! What needs nothing else of this crate: the user's `options`, each `error`, what variables of the
//! `environment` may say, and `primitive`, which swaps in loom's atomics for models.

pub(crate) mod environment;
pub(crate) mod error;
pub(crate) mod options;
pub(crate) mod primitive;
