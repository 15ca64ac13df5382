//! Profiles as lines, `outer;inner 42`, and flame graphs made of them.
//!
//! All threads together, sorted by their texts, so that two profiles can be compared by `diff`.

use std::collections::BTreeMap;
use std::io::{self, Write};

use inferno::flamegraph::color::MultiPalette;
use inferno::flamegraph::{self, Options, Palette};
use trace_profile::{Code, KERNEL, NO_STACK, Profile, escape};

/// Longer names are cut: types of futures can be pages long.
const NAME_CHARS_MAX: usize = 400;

/// Writes a line for each stack: its functions, outermost first, and its weight.
///
/// # Errors
/// If it can't be written.
pub fn write(profile: &Profile<'_>, code: Code<'_>, out: &mut dyn Write) -> io::Result<()> {
    for line in lines(profile, code) {
        writeln!(out, "{line}")?;
    }
    out.flush()
}

/// Writes a flame graph.
///
/// # Errors
/// If it can't be written.
pub fn write_svg(profile: &Profile<'_>, code: Code<'_>, out: &mut dyn Write) -> io::Result<()> {
    let lines = lines(profile, code);
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

/// The lines, sorted; stacks without weight are left out.
#[must_use]
pub fn lines(profile: &Profile<'_>, code: Code<'_>) -> Vec<String> {
    let mut sums = BTreeMap::<String, u64>::new();
    for row in &profile.rows {
        let value = row.values[profile.shown];
        if value > 0 {
            let mut stack = stack(code, row.addresses);
            if row.is_kernel {
                stack.extend([";", KERNEL]);
            }
            let sum = sums.entry(stack).or_default();
            *sum = sum.saturating_add(value);
        }
    }
    sums.into_iter().map(|(stack, value)| format!("{stack} {value}")).collect()
}

fn stack(code: Code<'_>, addresses: &[u64]) -> String {
    let frames = code.frames(addresses);
    let mut names = frames.iter().rev().map(|frame| {
        // What separates functions here stands in the names of array types as well.
        escape::plain(&frame.name, NAME_CHARS_MAX).replace(';', ":")
    });
    let first = names.next().unwrap_or_else(|| NO_STACK.to_owned());
    names.fold(first, |stack, name| stack + ";" + &name)
}
