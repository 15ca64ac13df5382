//! Profiles in the formats of other tools.
//!
//! What a profile is, and the formats of `pprof` and of folded lines, live in
//! `trace_export::profile`, which programs that serve profiles of themselves use as well.
//!
//! - `flame_graph`: SVG.

pub mod flame_graph;

use std::io;

use trace_export::profile::{Code, Profile, folded, pprof};

/// A format of profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For `go tool pprof` and others: gzipped protobuf.
    Pprof,
    /// A line for each stack: `outer;inner 42`.
    Folded,
    /// A flame graph, for a browser.
    Svg,
}

/// Writes a profile.
///
/// # Errors
/// If it can't be written.
pub fn write(
    profile: &Profile<'_>,
    code: Code<'_>,
    format: Format,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    match format {
        Format::Pprof => pprof::write(profile, code, out),
        Format::Folded => folded::write(profile, code, out),
        Format::Svg => flame_graph::write(profile, code, out),
    }
}
