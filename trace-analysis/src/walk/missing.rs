//! What a walk could not read, for everybody who shows what it has found.

use trace_format::read::ReadError;

/// Maximum number of faults that are kept in words; all are counted.
const DAMAGE_MAX: usize = 5;

/// What is missing from the events.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    /// Faults met.
    pub(crate) items: u64,
    /// The first of them, in words.
    pub(crate) damage: Vec<String>,
    /// Events they cost.
    pub(crate) events: u64,
}

impl Missing {
    /// Notes a fault.
    pub(crate) fn note(&mut self, error: &ReadError) {
        self.items += 1;
        if self.damage.len() < DAMAGE_MAX {
            self.damage.push(error.to_string());
        }
    }
}
