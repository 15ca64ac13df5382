//! Arguments and results, with their types kept as far as JSON has them.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use trace_analysis::regions::OwnedValues;
use trace_format::id::SiteId;
use trace_format::value::{Text, Value, Values};

use crate::describe::Names;

/// Arguments as an object, by name, in the call site's order.
#[derive(Debug)]
pub struct Named(Vec<String>, OwnedValues);

impl Named {
    /// The values of an event of this call site. Those that have no name are called `#2`.
    #[must_use]
    pub fn new(names: &Names<'_>, site: SiteId, values: Values<'_>) -> Self {
        let name =
            |at| names.argument_name(site, at).map_or_else(|| format!("#{at}"), str::to_owned);
        Self((0..values.count()).map(name).collect(), OwnedValues::new(values))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0.iter().zip(self.1.values()) {
            map.serialize_entry(name, &ValueOut(value))?;
        }
        map.end()
    }
}

/// Values without names: what a call returned, or its error.
#[derive(Debug)]
pub struct OwnedValuesOut(pub OwnedValues);

impl Serialize for OwnedValuesOut {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for value in self.0.values() {
            list.serialize_element(&ValueOut(value))?;
        }
        list.end()
    }
}

/// A value: numbers, booleans and texts as JSON has them; what JSON has not, as text.
#[derive(Debug)]
pub struct ValueOut<'a>(pub Value<'a>);

#[derive(Serialize)]
struct Cut {
    text: String,
    bytes_before: u64,
}

impl Serialize for ValueOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::U64(number) => serializer.serialize_u64(number),
            Value::I64(number) => serializer.serialize_i64(number),
            Value::F64(number) if number.is_finite() => serializer.serialize_f64(number),
            Value::F64(number) => serializer.collect_str(&number),
            Value::Bool(truth) => serializer.serialize_bool(truth),
            Value::Char(character) => serializer.serialize_char(character),
            Value::Str(text) | Value::Formatted(text) => text_out(text, false, serializer),
            Value::Bytes(text) => text_out(text, true, serializer),
            Value::U128(number) => serializer.collect_str(&number),
            Value::I128(number) => serializer.collect_str(&number),
            _ => serializer.serialize_none(),
        }
    }
}

fn text_out<S: Serializer>(text: Text<'_>, hex: bool, serializer: S) -> Result<S::Ok, S::Error> {
    let shown = if hex {
        text.bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    } else {
        String::from_utf8_lossy(text.bytes).into_owned()
    };
    match text.missing() {
        0 => serializer.serialize_str(&shown),
        _ => Cut { text: shown, bytes_before: text.bytes_before }.serialize(serializer),
    }
}
