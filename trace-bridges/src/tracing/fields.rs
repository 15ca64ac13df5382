//! The fields and the task of a span, kept from when it is made, because its begin on any thread
//! needs them.
//!
//! Values are kept in the order of the span's fields; a field that is not set has none. A value
//! that is recorded as text is printed once, when it is set, as `tracing` demands.

use crate::names::cut;
use smallvec::SmallVec;
use std::error::Error;
use std::fmt::{self, Write as _};
use trace_runtime::{Task, Value};
use tracing_core::field::{Field, Visit};

/// Maximum number of bytes kept of one field. The recorder writes 1 KiB of them, and says that the
/// rest is missing.
const FIELD_BYTES_MAX: usize = 4096;

/// Maximum number of values that are passed on without allocating.
const FEW: usize = 8;

/// What the layer keeps with a span.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) fields: Fields,
    /// The task, if the span is one.
    pub(super) task: Option<Task>,
}

/// The values of a span's fields.
#[derive(Debug, Default)]
pub(super) struct Fields {
    values: SmallVec<[Option<Own>; 4]>,
}

#[derive(Debug)]
enum Own {
    U64(u64),
    I64(i64),
    F64(f64),
    Bool(bool),
    U128(u128),
    I128(i128),
    Bytes(Box<[u8]>),
    Str(Box<str>),
    Printed(Box<str>),
}

impl Fields {
    /// Values of `count` fields, none of them set.
    pub(super) fn new(count: usize) -> Self {
        Self { values: std::iter::repeat_with(|| None).take(count).collect() }
    }

    /// Replaces the values that `newer` sets.
    pub(super) fn update(&mut self, newer: Self) {
        if self.values.len() < newer.values.len() {
            self.values.resize_with(newer.values.len(), || None);
        }
        for (value, newer) in self.values.iter_mut().zip(newer.values) {
            if newer.is_some() {
                *value = newer;
            }
        }
    }

    /// Passes all values to `act`, in the order of the fields.
    pub(super) fn with_values<T>(&self, act: impl FnOnce(&[Value<'_>]) -> T) -> T {
        let values = self.values.iter().map(|own| own.as_ref().map_or(Value::None, Own::value));
        if self.values.len() > FEW {
            return act(&values.collect::<Vec<_>>());
        }
        let mut few = [Value::None; FEW];
        few.iter_mut().zip(values).for_each(|(place, value)| *place = value);
        act(&few[..self.values.len()])
    }

    fn set(&mut self, field: &Field, value: Own) {
        if let Some(place) = self.values.get_mut(field.index()) {
            *place = Some(value);
        }
    }
}

impl Own {
    fn value(&self) -> Value<'_> {
        match self {
            Self::U64(number) => Value::U64(*number),
            Self::I64(number) => Value::I64(*number),
            Self::F64(number) => Value::F64(*number),
            Self::Bool(truth) => Value::Bool(*truth),
            Self::U128(number) => Value::U128(*number),
            Self::I128(number) => Value::I128(*number),
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::Str(text) => Value::Str(text),
            Self::Printed(text) => Value::Display(text),
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, Own::F64(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, Own::I64(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, Own::U64(value));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.set(field, Own::I128(value));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.set(field, Own::U128(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, Own::Bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let kept = cut(value, FIELD_BYTES_MAX);
        self.set(field, Own::Str(kept.into()));
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        self.set(field, Own::Bytes(value[..value.len().min(FIELD_BYTES_MAX)].into()));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.set(field, Own::Printed(printed(format_args!("{value}"))));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, Own::Printed(printed(format_args!("{value:?}"))));
    }
}

/// Keeps only the first [`FIELD_BYTES_MAX`] bytes: printing a huge value costs time, not memory.
fn printed(arguments: fmt::Arguments<'_>) -> Box<str> {
    let mut bounded = Bounded(String::new());
    // A failing `Debug` leaves what it printed before it failed.
    let _ = bounded.write_fmt(arguments);
    bounded.0.into()
}

struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = FIELD_BYTES_MAX.saturating_sub(self.0.len());
        self.0.push_str(cut(text, room));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_field_is_bounded() {
        let long = "é".repeat(FIELD_BYTES_MAX);
        assert_eq!(printed(format_args!("a{long}")).len(), FIELD_BYTES_MAX - 1);
        assert_eq!(&*printed(format_args!("{}-{}", 1, 2)), "1-2");
    }

    #[test]
    fn newer_values_take_the_place_of_older_ones() {
        let (mut fields, mut newer) = (Fields::new(1), Fields::new(10));
        fields.values[0] = Some(Own::U64(1));
        newer.values[9] = Some(Own::I64(-1));
        fields.update(newer);
        let shown = fields.with_values(|values| format!("{values:?}"));
        assert_eq!(shown.replace("None, ", ""), "[1, -1]");
    }
}
