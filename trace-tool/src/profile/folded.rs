//! Profiles as lines, `outer;inner 42`, and flame graphs made of them.
//!
//! All threads together, sorted by their texts, so that two profiles can be compared by `diff`.

use std::collections::BTreeMap;
use std::io::{self, Write};

use inferno::flamegraph::{self, Options};

use super::{Code, Profile};
use crate::escape;

/// Longer names are cut: types of futures can be pages long.
const NAME_CHARS_MAX: usize = 400;

/// Stands where no stack was taken.
const NO_STACK: &str = "[no stack]";

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
    options.count_name = profile.kinds[profile.shown].unit.to_owned();
    // Colours by names, so that the same function looks the same in every graph.
    options.hash = true;
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
            let sum = sums.entry(stack(code, row.addresses)).or_default();
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
