//! Arguments and results as debug annotations, with their types kept.
//!
//! Perfetto has integers of 64 bits, doubles, booleans and text. A value that fits one of these
//! becomes one; any other becomes text: `None` as `none`, wider integers in decimal, bytes escaped.
//! A text that was cut ends in a note about that.

use std::borrow::Cow;

use trace_format::event::Outcome;
use trace_format::id::SiteId;
use trace_format::value::{Value, Values};

use super::intern::{Interner, Repeated};
use super::message::{DebugAnnotation, InternedData, TrackEvent};

/// Adds the arguments of an event of `site`.
pub(super) fn put_values(
    event: &mut TrackEvent,
    names: &mut Interner<'_>,
    site: SiteId,
    values: Values<'_>,
) {
    let mut unnamed = 0;
    for (at, value) in values.enumerate() {
        let (site, texts, fresh) = names.site_and_texts(site);
        let mut annotation = annotation(value, texts, fresh);
        annotation.name_iid = site.arguments.get(at).copied();
        if annotation.name_iid.is_none() {
            unnamed += 1;
            annotation.name_iid = Some(names.argument(unnamed_name(unnamed)));
        }
        event.debug_annotations.push(annotation);
    }
}

/// Adds how something ended and, if they were recorded, its value or its error.
pub(super) fn put_outcome(
    event: &mut TrackEvent,
    names: &mut Interner<'_>,
    outcome: Outcome,
    values: Values<'_>,
) {
    let (word, result) = match outcome {
        Outcome::Returned => (None, "return"),
        Outcome::Failed => (Some("failed"), "error"),
        Outcome::Dropped | Outcome::Panicked | Outcome::Ended => (Some(outcome.name()), "value"),
    };
    if let Some(word) = word {
        put_word(event, names, "outcome", word);
    }
    for value in values {
        let mut annotation = annotation(value, &mut names.repeated, &mut names.fresh);
        annotation.name_iid = Some(names.argument(result));
        event.debug_annotations.push(annotation);
    }
}

/// Adds a text under one of the exporter's own words.
pub(super) fn put_word(
    event: &mut TrackEvent,
    names: &mut Interner<'_>,
    name: &'static str,
    text: &str,
) {
    let name_iid = Some(names.argument(name));
    let annotation = text_annotation(Cow::Borrowed(text), &mut names.repeated, &mut names.fresh);
    event.debug_annotations.push(DebugAnnotation { name_iid, ..annotation });
}

/// Adds a number under one of the exporter's own words.
pub(super) fn put_number(
    event: &mut TrackEvent,
    names: &mut Interner<'_>,
    name: &'static str,
    number: u64,
) {
    let name_iid = Some(names.argument(name));
    let uint_value = Some(number);
    event.debug_annotations.push(DebugAnnotation { name_iid, uint_value, ..Default::default() });
}

/// Adds a number that may be negative.
pub(super) fn put_signed(
    event: &mut TrackEvent,
    names: &mut Interner<'_>,
    name: &'static str,
    number: i64,
) {
    let name_iid = Some(names.argument(name));
    let int_value = Some(number);
    event.debug_annotations.push(DebugAnnotation { name_iid, int_value, ..Default::default() });
}

fn annotation(value: Value<'_>, texts: &mut Repeated, fresh: &mut InternedData) -> DebugAnnotation {
    let mut annotation = DebugAnnotation::default();
    match value {
        Value::U64(number) => annotation.uint_value = Some(number),
        Value::I64(number) => annotation.int_value = Some(number),
        Value::F64(number) => annotation.double_value = Some(number),
        Value::Bool(truth) => annotation.bool_value = Some(truth),
        Value::U128(number) => match u64::try_from(number) {
            Ok(number) => annotation.uint_value = Some(number),
            Err(_) => annotation.string_value = Some(number.to_string()),
        },
        Value::I128(number) => match i64::try_from(number) {
            Ok(number) => annotation.int_value = Some(number),
            Err(_) => annotation.string_value = Some(number.to_string()),
        },
        Value::Char(character) => annotation.string_value = Some(character.into()),
        Value::Str(text) | Value::Formatted(text) => {
            return text_annotation(text.readable(), texts, fresh);
        }
        Value::Bytes(text) => {
            let escaped = text.bytes.escape_ascii().to_string();
            let cut = text.missing() > 0;
            annotation.string_value = Some(if cut { text.with_cut(&escaped) } else { escaped });
        }
        Value::None => return text_annotation(Cow::Borrowed("none"), texts, fresh),
        // A kind of value from a newer version.
        _ => annotation.string_value = Some("?".to_owned()),
    }
    annotation
}

fn text_annotation(
    text: Cow<'_, str>,
    texts: &mut Repeated,
    fresh: &mut InternedData,
) -> DebugAnnotation {
    match texts.number(&text, fresh) {
        Some(number) => {
            DebugAnnotation { string_value_iid: Some(number), ..DebugAnnotation::default() }
        }
        None => {
            DebugAnnotation { string_value: Some(text.into_owned()), ..DebugAnnotation::default() }
        }
    }
}

/// Names for values beyond those that the call site names. Only a damaged or foreign trace has such
/// values, so a few names are enough.
fn unnamed_name(count: usize) -> &'static str {
    match count {
        1 => "value 1",
        2 => "value 2",
        3 => "value 3",
        _ => "more values",
    }
}

#[cfg(test)]
mod tests {
    use trace_format::value::Text;

    use super::*;

    #[test]
    fn a_text_gets_its_number_when_it_comes_again() {
        let (mut texts, mut fresh) = (Repeated::default(), InternedData::default());
        let mut put = |text| {
            let value = Value::Str(Text::cut(text, 1024));
            let put = annotation(value, &mut texts, &mut fresh);
            (put.string_value.is_some(), put.string_value_iid, fresh.clone())
        };
        assert_eq!(put(b"GET"), (true, None, InternedData::default()));
        let (inline, number, fresh) = put(b"GET");
        assert_eq!((inline, number), (false, Some(1)));
        assert_eq!(fresh.debug_annotation_string_values.len(), 1);
        assert_eq!(put(b"GET").2.debug_annotation_string_values.len(), 1, "written once");
    }

    #[test]
    fn wide_integers_are_numbers_only_where_they_fit() {
        let (mut texts, mut fresh) = (Repeated::default(), InternedData::default());
        let mut put = |value| annotation(value, &mut texts, &mut fresh);
        assert_eq!(put(Value::U128(7)).uint_value, Some(7));
        assert_eq!(put(Value::I128(-7)).int_value, Some(-7));
        let wide = put(Value::U128(1 << 64)).string_value;
        assert_eq!(wide.as_deref(), Some("18446744073709551616"));
    }
}
