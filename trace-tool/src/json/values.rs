//! Arguments and results, with their types kept as far as JSON has them.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use trace_analysis::regions::OwnedValues;
use trace_format::value::{Text, Value};

use crate::label::names::NamedValues;

/// Arguments as an object, by name, in the call site's order.
#[derive(Debug)]
pub struct Named(pub NamedValues);

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.names.len()))?;
        for (name, value) in self.0.names.iter().zip(self.0.values.values()) {
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

/// A text that was cut when it was recorded.
#[derive(Debug, Serialize)]
struct CutTextOut {
    /// What was kept.
    text: String,
    /// How long it was, in bytes.
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
        _ => CutTextOut { text: shown, bytes_before: text.bytes_before }.serialize(serializer),
    }
}
