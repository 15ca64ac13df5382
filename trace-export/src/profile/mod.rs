//! Profiles: stacks, and how much of something each stands for. For the command, and for programs
//! that serve profiles of themselves.
//!
//! Where the weights come from is the analysis's business; here they are numbers. The recorder's
//! own functions are left out of every format.
//!
//! - [`contents`]: which stacks and weights a trace has for each kind of profile.
//! - [`pprof`]: for `pprof` and whatever reads its files; [`message`]: its messages.
//! - [`folded`]: a line for each stack, for scripts and flame graphs.
//!
//! Elsewhere: flame graphs and the command line (`trace-tool`).

pub mod contents;
pub mod folded;
pub mod message;
pub mod pprof;

use std::borrow::Cow;
use std::collections::BTreeMap;

use trace_analysis::symbols::{Frame, Symbols, is_std};
use trace_format::read::Module;
use trace_format::time::Nanos;

/// The name of a row whose stack was not taken.
pub const NO_STACK: &str = "[no stack]";

/// What a value of a profile counts, in pprof's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// As `contentions`, `delay`, `inuse_space`.
    pub name: &'static str,
    /// As `count`, `nanoseconds`, `bytes`.
    pub unit: &'static str,
}

/// The kernel's name in stacks.
pub const KERNEL: &str = "[kernel]";

/// Stacks with their weights.
#[derive(Clone, Debug)]
pub struct Profile<'a> {
    /// What it shows, for a title.
    pub title: String,
    /// What the values of a row count, in their order.
    pub kinds: &'static [Kind],
    /// The index in `kinds` of the value shown by default.
    pub shown: usize,
    /// What is sampled, and the sampling period: 1 if everything is recorded.
    pub period: (Kind, u64),
    /// When the profile begins, since 1970.
    pub wall: Nanos,
    /// Length of the part of the trace that the profile covers.
    pub length: Nanos,
    /// The stacks.
    pub rows: Vec<Row<'a>>,
}

/// One stack of one thread.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    /// Innermost first; may be empty, if no stack was taken.
    pub addresses: &'a [u64],
    /// Whether the kernel was working for the innermost function: then [`KERNEL`] is shown inside
    /// it.
    pub is_kernel: bool,
    /// The thread's name for people.
    pub thread: String,
    /// One for each of the profile's kinds.
    pub values: [u64; 4],
}

/// What is known about the program's code.
#[derive(Clone, Copy, Debug)]
pub struct Code<'a> {
    /// Names of addresses.
    pub symbols: &'a Symbols,
    /// The modules, by their first addresses.
    pub modules: &'a BTreeMap<u64, Module>,
    /// Whether functions of the standard library are left out.
    pub without_std: bool,
}

impl<'a> Code<'a> {
    /// A stack's functions as they are shown, innermost first.
    #[must_use]
    pub fn frames(&self, addresses: &[u64]) -> Vec<Frame<'a>> {
        let mut frames = self.symbols.shown(addresses);
        // A stack that has only such functions, as in a thread's first moments, stays.
        if self.without_std && frames.iter().any(|frame| !is_std(&frame.name)) {
            frames.retain(|frame| !is_std(&frame.name));
        }
        for frame in &mut frames {
            // The compiler left no path here, and `{closure#0}` alone could be any closure.
            if frame.name.starts_with('{') && !frame.file.is_empty() {
                let file = frame.file.rsplit('/').next().unwrap_or_default();
                frame.name = Cow::Owned(format!("{} ({file})", frame.name));
            }
        }
        frames
    }
}
