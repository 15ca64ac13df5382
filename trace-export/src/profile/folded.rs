//! Profiles as lines, `outer;inner 42`, of which flame graphs are made.
//!
//! All threads together, sorted by their texts, so that two profiles can be compared by `diff`.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::{Code, KERNEL, NO_STACK, Profile};
use crate::label::escape;

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
