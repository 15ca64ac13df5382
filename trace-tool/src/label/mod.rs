//! What things in a trace are called, in text that is safe to print. Nothing here prints.
//!
//! - [`names`]: threads, call sites, arguments, findings. [`places`]: stacks.
//! - [`call`], [`errno`]: calls into the system, and the errors that they return.
//! - [`path`], [`pasted`], [`word`]: paths in messages, and words of commands. [`units`]: times,
//!   counts and sizes.

pub mod call;
pub mod names;
mod path;

pub use path::{STANDARD_INPUT, pasted, path, word};
pub use trace_analysis::units;
pub use trace_export::label::{errno, place as places};

use names::Names;
use places::Places;

/// All names of one trace.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'t> {
    /// Of threads, call sites and resources.
    pub names: &'t Names<'t>,
    /// Of stacks.
    pub places: Places<'t>,
}
