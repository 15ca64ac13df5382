//! Profiles as flame graphs: a picture for the browser, made of folded lines.

use std::io::{self, Write};

use inferno::flamegraph::color::MultiPalette;
use inferno::flamegraph::{self, Options, Palette};
use trace_export::profile::{Code, Profile, folded};

/// Writes a flame graph.
///
/// # Errors
/// If it can't be written.
pub fn write(profile: &Profile<'_>, code: Code<'_>, out: &mut dyn Write) -> io::Result<()> {
    let lines = folded::lines(profile, code);
    let mut options = Options::default();
    options.title.clone_from(&profile.title);
    let unit = profile.kinds[profile.shown].unit;
    // Nobody reads nanoseconds of nine digits.
    let (unit, factor) = if unit == "nanoseconds" { ("us", 0.001) } else { (unit, 1.0) };
    (options.count_name, options.factor) = (unit.to_owned(), factor);
    // The program's own functions and the standard library's differ in colour, and the same
    // function looks the same in every graph.
    (options.colors, options.hash) = (Palette::Multi(MultiPalette::Rust), true);
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut *out)?;
    out.flush()
}
