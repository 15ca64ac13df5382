//! Arguments on their way into an event: what a macro makes of an expression, and its bytes.
//!
//! Everything that can run the user's code (`Debug`, `Display`) runs here, before the thread's
//! state is touched, so an argument that traces while it is printed is just another event before.

use smallvec::SmallVec;
use std::fmt;
use trace_format::value::{self, LOG_BYTES_MAX, TEXT_BYTES_MAX, Text};
use trace_format::varint::put_varint;

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
    /// The value to record. Cheap: called only while recording, on the program's own thread.
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

/// Bytes of an event behind its time: on the stack for all but long texts.
pub(crate) type Body = SmallVec<[u8; 128]>;

/// Appends a varint.
#[inline]
pub(crate) fn put_number(body: &mut Body, mut value: u64) {
    while value >= 0x80 {
        body.push(value as u8 | 0x80);
        value >>= 7;
    }
    body.push(value as u8);
}

/// Appends a list of values: its length, then each.
pub(crate) fn put_values(body: &mut Body, values: &[Value<'_>]) {
    // The length comes first; nearly always it fits the one byte kept for it.
    let at = body.len();
    body.push(0);
    values.iter().for_each(|value| put_value(body, value));
    let bytes = body.len() - at - 1;
    if bytes < 0x80 {
        body[at] = bytes as u8;
    } else {
        let mut length = Vec::new();
        put_varint(&mut length, bytes as u64);
        body[at] = length[0];
        body.insert_from_slice(at + 1, &length[1..]);
    }
}

/// Appends one value. A list stays below a batch: 16 texts of 1 KiB, what follows is `None`.
#[inline]
pub(crate) fn put_value(body: &mut Body, value: &Value<'_>) {
    const LIST_BYTES_MAX: usize = 16 * 1024;
    match *value {
        _ if body.len() > LIST_BYTES_MAX => body.push(value::tag::NONE),
        Value::U64(number) => {
            body.push(value::tag::U64);
            put_number(body, number);
        }
        Value::I64(number) => {
            body.push(value::tag::I64);
            put_number(body, trace_format::varint::zigzag(number));
        }
        ref other => put_other(body, other),
    }
}

#[inline(never)]
fn put_other(body: &mut Body, value: &Value<'_>) {
    let cut = |bytes| Text::cut(bytes, TEXT_BYTES_MAX);
    let printed;
    let value = match *value {
        Value::None => value::Value::None,
        Value::U64(number) => value::Value::U64(number),
        Value::I64(number) => value::Value::I64(number),
        Value::F64(number) => value::Value::F64(number),
        Value::Bool(truth) => value::Value::Bool(truth),
        Value::Char(character) => value::Value::Char(character),
        Value::U128(number) => value::Value::U128(number),
        Value::I128(number) => value::Value::I128(number),
        Value::Str(text) => value::Value::Str(cut(text.as_bytes())),
        Value::Bytes(bytes) => value::Value::Bytes(cut(bytes)),
        Value::Debug(value) => {
            printed = Printed::<TEXT_BYTES_MAX>::new(format_args!("{value:?}"));
            value::Value::Formatted(printed.text())
        }
        Value::Display(value) => {
            printed = Printed::<TEXT_BYTES_MAX>::new(format_args!("{value}"));
            value::Value::Formatted(printed.text())
        }
    };
    let mut bytes = Vec::new();
    value::put_value(&mut bytes, &value);
    body.extend_from_slice(&bytes);
}

/// Appends a log message as a text field.
pub(crate) fn put_message(body: &mut Body, message: fmt::Arguments<'_>) {
    match message.as_str() {
        Some(fixed) => put_text(body, Text::cut(fixed.as_bytes(), LOG_BYTES_MAX)),
        None => put_text(body, Printed::<LOG_BYTES_MAX>::new(message).text()),
    }
}

/// Appends a text field: the length before the cut, the length, the bytes.
pub(crate) fn put_text(body: &mut Body, text: Text<'_>) {
    put_number(body, text.bytes_before);
    put_number(body, text.bytes.len() as u64);
    body.extend_from_slice(text.bytes);
}

/// What was printed, as far as it is kept: printing a huge value costs time, not memory.
struct Printed<const BYTES_MAX: usize> {
    kept: SmallVec<[u8; 128]>,
    bytes: u64,
}

impl<const BYTES_MAX: usize> Printed<BYTES_MAX> {
    fn new(arguments: fmt::Arguments<'_>) -> Self {
        let mut printed = Self { kept: SmallVec::new(), bytes: 0 };
        // A failing `Debug` leaves what it printed before it failed.
        let _ = fmt::write(&mut printed, arguments);
        printed
    }

    fn text(&self) -> Text<'_> {
        Text { bytes: &self.kept, bytes_before: self.bytes }
    }
}

impl<const BYTES_MAX: usize> fmt::Write for Printed<BYTES_MAX> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes += text.len() as u64;
        let room = BYTES_MAX - self.kept.len();
        self.kept.extend_from_slice(&text.as_bytes()[..text.len().min(room)]);
        Ok(())
    }
}
