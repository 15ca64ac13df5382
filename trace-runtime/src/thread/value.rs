//! Arguments of events: the value that a macro makes of an expression, and the value's bytes.
//!
//! All user code (`Debug`, `Display`) runs here, before the thread's state is touched. So an
//! argument that traces while it is printed only records an event before this one.

pub(crate) use crate::thread::body::EventBody;
use std::fmt;
use trace_format::value::{LOG_BYTES_MAX, TEXT_BYTES_MAX, Text, tag};
use trace_format::varint::zigzag;

/// The value of one argument.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Value<'a> {
    /// `None`, `()`.
    None,
    /// Unsigned integers up to 64 bits.
    U64(u64),
    /// Signed integers up to 64 bits.
    I64(i64),
    /// Floats.
    F64(f64),
    /// Truth values.
    Bool(bool),
    /// Characters.
    Char(char),
    /// Text.
    Str(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// `u128`.
    U128(u128),
    /// `i128`.
    I128(i128),
    /// Printed by `Debug` when the event is recorded.
    Debug(&'a dyn fmt::Debug),
    /// Printed by `Display` when the event is recorded.
    Display(&'a dyn fmt::Display),
}

impl Value<'_> {
    /// Whether it is an integer or a truth value, which are encoded in a few steps.
    #[inline(always)]
    pub(crate) const fn is_number(&self) -> bool {
        matches!(self, Self::U64(_) | Self::I64(_) | Self::Bool(_))
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::U64(number) => number.fmt(f),
            Self::I64(number) => number.fmt(f),
            Self::F64(number) => number.fmt(f),
            Self::Bool(truth) => truth.fmt(f),
            Self::Char(character) => character.fmt(f),
            Self::Str(text) => text.fmt(f),
            Self::Bytes(bytes) => bytes.fmt(f),
            Self::U128(number) => number.fmt(f),
            Self::I128(number) => number.fmt(f),
            Self::Debug(value) => value.fmt(f),
            Self::Display(value) => value.fmt(f),
        }
    }
}

/// A type whose values keep their type in a trace.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a type that a trace keeps",
    label = "a trace keeps integers, floats, bool, char, text and bytes",
    note = "put `?` before the value to record what `Debug` prints, or `%` for `Display`"
)]
pub trait Argument {
    /// The value to record. It should be cheap, as the program's own thread calls it while it
    /// records.
    fn value(&self) -> Value<'_>;
}

macro_rules! argument {
    ($($type:ty => $variant:ident as $wide:ty),* $(,)?) => {$(
        impl Argument for $type {
            #[inline(always)]
            fn value(&self) -> Value<'_> {
                Value::$variant(*self as $wide)
            }
        }
    )*};
}

argument! {
    u8 => U64 as u64, u16 => U64 as u64, u32 => U64 as u64, u64 => U64 as u64, usize => U64 as u64,
    i8 => I64 as i64, i16 => I64 as i64, i32 => I64 as i64, i64 => I64 as i64, isize => I64 as i64,
    f32 => F64 as f64, f64 => F64 as f64, bool => Bool as bool, char => Char as char,
    u128 => U128 as u128, i128 => I128 as i128,
}

macro_rules! argument_nonzero {
    ($($type:ident)*) => {$(
        impl Argument for std::num::$type {
            fn value(&self) -> Value<'_> {
                match self.get().value() {
                    Value::U64(number) => Value::U64(number),
                    Value::I64(number) => Value::I64(number),
                    _ => Value::None,
                }
            }
        }
    )*};
}

argument_nonzero! { NonZeroU8 NonZeroU16 NonZeroU32 NonZeroU64 NonZeroUsize
NonZeroI8 NonZeroI16 NonZeroI32 NonZeroI64 NonZeroIsize }

impl Argument for str {
    #[inline(always)]
    fn value(&self) -> Value<'_> {
        Value::Str(self)
    }
}

impl Argument for String {
    fn value(&self) -> Value<'_> {
        Value::Str(self)
    }
}

impl Argument for [u8] {
    fn value(&self) -> Value<'_> {
        Value::Bytes(self)
    }
}

impl<const N: usize> Argument for [u8; N] {
    fn value(&self) -> Value<'_> {
        Value::Bytes(self)
    }
}

impl Argument for Vec<u8> {
    fn value(&self) -> Value<'_> {
        Value::Bytes(self)
    }
}

impl Argument for () {
    fn value(&self) -> Value<'_> {
        Value::None
    }
}

impl<T: Argument> Argument for Option<T> {
    fn value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::None, T::value)
    }
}

impl<T: Argument + ?Sized> Argument for &T {
    #[inline(always)]
    fn value(&self) -> Value<'_> {
        T::value(self)
    }
}

impl<T: Argument + ?Sized> Argument for &mut T {
    fn value(&self) -> Value<'_> {
        T::value(self)
    }
}

impl<T: Argument + ?Sized> Argument for Box<T> {
    fn value(&self) -> Value<'_> {
        T::value(self)
    }
}

impl<T: Argument + ?Sized> Argument for std::rc::Rc<T> {
    fn value(&self) -> Value<'_> {
        T::value(self)
    }
}

impl<T: Argument + ?Sized> Argument for std::sync::Arc<T> {
    fn value(&self) -> Value<'_> {
        T::value(self)
    }
}

impl<T: Argument + ToOwned + ?Sized> Argument for std::borrow::Cow<'_, T> {
    fn value(&self) -> Value<'_> {
        T::value(self)
    }
}

/// Appends a varint.
#[inline]
pub(crate) fn put_number(body: &mut EventBody, value: u64) {
    body.push_number(value);
}

/// Appends a list of values: its length, then each.
pub(crate) fn put_values(body: &mut EventBody, values: &[Value<'_>]) {
    put_values_on(body, 0, values);
}

/// As [`put_values`], with a stack among the values, unless it is 0.
pub(crate) fn put_values_on(body: &mut EventBody, stack: u32, values: &[Value<'_>]) {
    // The length comes first; it nearly always fits the one byte that is reserved for it.
    let at = body.len();
    body.push(0);
    if stack != 0 {
        put_tagged(body, tag::STACK, u64::from(stack));
    }
    values.iter().for_each(|value| put_value(body, value));
    let bytes = body.len() - at - 1;
    if bytes < 0x80 {
        body[at] = bytes as u8;
    } else {
        // It needs two bytes or three: a list is shorter than a batch.
        let (low, middle, high) = (bytes as u8, (bytes >> 7) as u8, (bytes >> 14) as u8);
        body[at] = low | 0x80;
        match high {
            0 => body.insert_from_slice(at + 1, &[middle & 0x7f]),
            _ => body.insert_from_slice(at + 1, &[middle | 0x80, high]),
        }
    }
}

/// Appends one value. A list stays shorter than a batch: after 16 KiB of values, the rest are
/// `None`.
#[inline]
pub(crate) fn put_value(body: &mut EventBody, value: &Value<'_>) {
    const LIST_BYTES_MAX: usize = 16 * 1024;
    // The longest value that is no text, and the length of the list.
    const VALUE_BYTES_MAX: usize = 32;
    if !body.has_room(VALUE_BYTES_MAX) {
        // The system has no memory for a longer list.
        return;
    }
    match *value {
        _ if body.len() > LIST_BYTES_MAX => body.push(tag::NONE),
        Value::U64(number) => put_tagged(body, tag::U64, number),
        Value::I64(number) => put_tagged(body, tag::I64, zigzag(number)),
        ref other => put_other(body, other),
    }
}

#[inline(never)]
fn put_other(body: &mut EventBody, value: &Value<'_>) {
    match *value {
        Value::Str(text) => put_kept(body, tag::STR, Text::cut(text.as_bytes(), TEXT_BYTES_MAX)),
        Value::Bytes(bytes) => put_kept(body, tag::BYTES, Text::cut(bytes, TEXT_BYTES_MAX)),
        Value::Debug(value) => {
            let printed = PrintedText::<TEXT_BYTES_MAX>::new(format_args!("{value:?}"));
            put_kept(body, tag::FORMATTED, printed.text());
        }
        Value::Display(value) => {
            let printed = PrintedText::<TEXT_BYTES_MAX>::new(format_args!("{value}"));
            put_kept(body, tag::FORMATTED, printed.text());
        }
        Value::U64(number) => put_tagged(body, tag::U64, number),
        Value::I64(number) => put_tagged(body, tag::I64, zigzag(number)),
        Value::Char(character) => put_tagged(body, tag::CHAR, u64::from(u32::from(character))),
        Value::None => body.push(tag::NONE),
        Value::Bool(truth) => body.push(if truth { tag::TRUE } else { tag::FALSE }),
        Value::F64(number) => put_fixed(body, tag::F64, &number.to_le_bytes()),
        Value::U128(number) => put_fixed(body, tag::U128, &number.to_le_bytes()),
        Value::I128(number) => put_fixed(body, tag::I128, &number.to_le_bytes()),
    }
}

#[inline(always)]
fn put_tagged(body: &mut EventBody, tag: u8, number: u64) {
    body.push(tag);
    put_number(body, number);
}

fn put_fixed(body: &mut EventBody, tag: u8, bytes: &[u8]) {
    body.push(tag);
    body.extend_from_slice(bytes);
}

/// Appends a text as a value; a cut one has its original length.
fn put_kept(body: &mut EventBody, tag: u8, text: Text<'_>) {
    let text = fitting(body, text);
    if text.missing() > 0 {
        put_tagged(body, tag | tag::CUT, text.bytes_before);
    } else {
        body.push(tag);
    }
    put_number(body, text.bytes.len() as u64);
    body.extend_from_slice(text.bytes);
}

/// Appends a log message as a text field.
pub(crate) fn put_message(body: &mut EventBody, message: fmt::Arguments<'_>) {
    match message.as_str() {
        Some(fixed) => put_text(body, Text::cut(fixed.as_bytes(), LOG_BYTES_MAX)),
        None => put_text(body, PrintedText::<LOG_BYTES_MAX>::new(message).text()),
    }
}

/// Appends a text field: the length before the cut, the length, the bytes.
pub(crate) fn put_text(body: &mut EventBody, text: Text<'_>) {
    let text = fitting(body, text);
    put_number(body, text.bytes_before);
    put_number(body, text.bytes.len() as u64);
    body.extend_from_slice(text.bytes);
}

/// The text, cut if there is no room for all of it and the fields around it. There is, unless the
/// system has no memory.
fn fitting<'a>(body: &mut EventBody, text: Text<'a>) -> Text<'a> {
    const AROUND: usize = 32;
    let room = body.room_for(text.bytes.len() + AROUND).saturating_sub(AROUND);
    let bytes = text.bytes.get(..room).unwrap_or(text.bytes);
    Text { bytes, ..text }
}

/// A printed text, cut at the limit: printing a huge value costs time, not memory.
struct PrintedText<const BYTES_MAX: usize> {
    kept: EventBody,
    bytes: u64,
}

impl<const BYTES_MAX: usize> PrintedText<BYTES_MAX> {
    fn new(arguments: fmt::Arguments<'_>) -> Self {
        let mut printed = Self { kept: EventBody::new(), bytes: 0 };
        // If `Debug` fails, what it printed before is kept.
        let _ = fmt::write(&mut printed, arguments);
        printed
    }

    fn text(&self) -> Text<'_> {
        Text { bytes: &self.kept, bytes_before: self.bytes }
    }
}

impl<const BYTES_MAX: usize> fmt::Write for PrintedText<BYTES_MAX> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes += text.len() as u64;
        let room = BYTES_MAX.saturating_sub(self.kept.len()).min(text.len());
        let room = self.kept.room_for(room);
        self.kept.extend_from_slice(text.as_bytes().get(..room).unwrap_or_default());
        Ok(())
    }
}

#[cfg(all(test, not(exectrace_loom)))]
mod tests {
    use super::*;
    use crate::thread::attach;
    use trace_format::value::{Value as Wire, put_value as put_wire};

    /// The recorder's encoder and the format's write the same bytes.
    fn check(value: Value<'_>, wire: Wire<'_>) {
        let mut body = EventBody::new();
        put_value(&mut body, &value);
        let mut expected = Vec::new();
        put_wire(&mut expected, &wire);
        assert_eq!(&*body, expected, "{value:?}");
    }

    #[test]
    fn values_have_the_bytes_of_the_format() {
        attach::watch_exit();
        for number in [0, 127, 128, u64::MAX] {
            check(Value::U64(number), Wire::U64(number));
            check(Value::I64(number as i64), Wire::I64(number as i64));
        }
        check(Value::None, Wire::None);
        check(Value::Bool(true), Wire::Bool(true));
        check(Value::Bool(false), Wire::Bool(false));
        check(Value::Char('\u{10ffff}'), Wire::Char('\u{10ffff}'));
        check(Value::F64(-0.5), Wire::F64(-0.5));
        check(Value::U128(u128::MAX), Wire::U128(u128::MAX));
        check(Value::I128(i128::MIN), Wire::I128(i128::MIN));
        for bytes in [0, 200, TEXT_BYTES_MAX, TEXT_BYTES_MAX + 1] {
            let text = "x".repeat(bytes);
            let cut = Text::cut(text.as_bytes(), TEXT_BYTES_MAX);
            check(Value::Str(&text), Wire::Str(cut));
            check(Value::Bytes(text.as_bytes()), Wire::Bytes(cut));
            check(Value::Display(&text), Wire::Formatted(cut));
        }
        check(Value::Debug(&"a"), Wire::Formatted(Text::cut(b"\"a\"", TEXT_BYTES_MAX)));
    }

    #[test]
    fn a_list_stays_far_below_a_batch() {
        attach::watch_exit();
        let text = "x".repeat(1 << 20);
        let mut body = EventBody::new();
        put_values(&mut body, &[Value::Str(&text); 64]);
        assert!(body.len() < crate::buffer::memory::BATCH_BYTES_MAX / 2, "{}", body.len());
        let mut list = &*body;
        let bytes = trace_format::varint::take_varint(&mut list);
        assert_eq!(bytes, Some(list.len() as u64));
        assert_eq!(trace_format::value::Values::new(list).count(), 64, "each has its place");
    }
}
