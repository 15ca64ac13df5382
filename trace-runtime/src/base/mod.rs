//! What uses nothing else of this crate: the user's `options`, the errors (`error`), which
//! environment variables are obeyed (`environment`), and `primitive`, which puts loom's atomics in
//! place of std's for the models.

pub(crate) mod environment;
pub(crate) mod error;
pub(crate) mod options;
pub(crate) mod primitive;
