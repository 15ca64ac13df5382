//! Arguments: values with their types kept.
//!
//! On the wire a list of values is its length in bytes and then each value as a tag byte and a
//! body; names are in the call site. FORMAT.md, section 6.

use std::borrow::Cow;

use crate::id::StackId;
use crate::varint::{put_varint, take_varint, unzigzag, zigzag};

/// Maximum length of a text or byte string in an argument, in bytes. A longer one is cut, and its
/// value says how long it was.
pub const TEXT_BYTES_MAX: usize = 1024;

/// Maximum length of a log message, in bytes; a longer one is cut.
pub const LOG_BYTES_MAX: usize = 8 * 1024;

/// Whether a terminal or an editor shows this character as itself.
///
/// `false` for control characters (C0, DEL, C1), for characters that reorder or hide the text
/// around them, and for line ends that are not control characters. This rule decides what is
/// escaped wherever text from a trace is shown: on terminals, in JSON, in the text form of section
/// 9.
#[must_use]
pub const fn is_shown(character: char) -> bool {
    !matches!(
        character,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
    )
}

/// One argument.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// Nothing: `None`, `()`.
    None,
    /// Any unsigned integer up to 64 bits.
    U64(u64),
    /// Any signed integer up to 64 bits.
    I64(i64),
    /// Any float.
    F64(f64),
    /// A truth value.
    Bool(bool),
    /// A character.
    Char(char),
    /// A text.
    Str(Text<'a>),
    /// Bytes that are no text.
    Bytes(Text<'a>),
    /// What `Debug` or `Display` printed.
    Formatted(Text<'a>),
    /// 128 bits, unsigned.
    U128(u128),
    /// 128 bits, signed.
    I128(i128),
}

/// Bytes that may have been cut, and how many there were before the cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// What is kept, [`TEXT_BYTES_MAX`] bytes at most; a text may end inside a character.
    pub bytes: &'a [u8],
    /// How many bytes there were before the cut.
    pub bytes_before: u64,
}

impl<'a> Text<'a> {
    /// The front of `bytes`, at most `bytes_max` of it.
    #[must_use]
    pub fn cut(bytes: &'a [u8], bytes_max: usize) -> Self {
        Self { bytes: &bytes[..bytes.len().min(bytes_max)], bytes_before: bytes.len() as u64 }
    }

    /// How many bytes are missing.
    #[must_use]
    pub fn missing(self) -> u64 {
        self.bytes_before.saturating_sub(self.bytes.len() as u64)
    }

    /// The text for people. What is not UTF-8 is replaced; a cut text loses a character that was
    /// cut in the middle, and has the original length behind it.
    #[must_use]
    pub fn readable(self) -> Cow<'a, str> {
        if self.missing() == 0 {
            return String::from_utf8_lossy(self.bytes);
        }
        let kept = match std::str::from_utf8(self.bytes) {
            Err(fault) if fault.error_len().is_none() => &self.bytes[..fault.valid_up_to()],
            _ => self.bytes,
        };
        self.with_cut(&String::from_utf8_lossy(kept)).into()
    }

    /// `kept`, which shows the bytes that are kept, and behind it the original length.
    #[must_use]
    pub fn with_cut(self, kept: &str) -> String {
        format!("{kept}… ({} bytes in all)", self.bytes_before)
    }
}

/// Tags on the wire; FORMAT.md section 6 lists the same numbers.
pub mod tag {
    /// [`super::Value::None`]
    pub const NONE: u8 = 0;
    /// [`super::Value::U64`]: varint.
    pub const U64: u8 = 1;
    /// [`super::Value::I64`]: zigzag varint.
    pub const I64: u8 = 2;
    /// [`super::Value::F64`]: 8 bytes, little endian.
    pub const F64: u8 = 3;
    /// [`super::Value::Bool`]: no body.
    pub const FALSE: u8 = 4;
    /// [`super::Value::Bool`]: no body.
    pub const TRUE: u8 = 5;
    /// [`super::Value::Char`]: varint.
    pub const CHAR: u8 = 6;
    /// [`super::Value::Str`]: length, bytes.
    pub const STR: u8 = 7;
    /// [`super::Value::Bytes`]: length, bytes.
    pub const BYTES: u8 = 8;
    /// [`super::Value::Formatted`]: length, bytes.
    pub const FORMATTED: u8 = 9;
    /// [`super::Value::U128`]: 16 bytes, little endian.
    pub const U128: u8 = 10;
    /// [`super::Value::I128`]: 16 bytes, little endian.
    pub const I128: u8 = 11;
    /// The stack at which the event was recorded, in front of its arguments: varint.
    pub const STACK: u8 = 12;
    /// Set on `STR`, `BYTES` and `FORMATTED` of a cut value: the length before the cut comes first.
    pub const CUT: u8 = 0x80;
}

/// Appends one value: its tag and its body.
pub fn put_value(out: &mut Vec<u8>, value: &Value<'_>) {
    match *value {
        Value::None => out.push(tag::NONE),
        Value::U64(number) => {
            out.push(tag::U64);
            put_varint(out, number);
        }
        Value::I64(number) => {
            out.push(tag::I64);
            put_varint(out, zigzag(number));
        }
        Value::F64(number) => {
            out.push(tag::F64);
            out.extend_from_slice(&number.to_le_bytes());
        }
        Value::Bool(truth) => out.push(if truth { tag::TRUE } else { tag::FALSE }),
        Value::Char(character) => {
            out.push(tag::CHAR);
            put_varint(out, u64::from(u32::from(character)));
        }
        Value::Str(text) => put_text(out, tag::STR, text),
        Value::Bytes(text) => put_text(out, tag::BYTES, text),
        Value::Formatted(text) => put_text(out, tag::FORMATTED, text),
        Value::U128(number) => {
            out.push(tag::U128);
            out.extend_from_slice(&number.to_le_bytes());
        }
        Value::I128(number) => {
            out.push(tag::I128);
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
}

/// Appends the stack at which an event was recorded. It must be in front of all values.
pub fn put_stack(out: &mut Vec<u8>, stack: StackId) {
    out.push(tag::STACK);
    put_varint(out, u64::from(stack.0));
}

fn put_text(out: &mut Vec<u8>, tag: u8, text: Text<'_>) {
    if text.missing() > 0 {
        out.push(tag | tag::CUT);
        put_varint(out, text.bytes_before);
    } else {
        out.push(tag);
    }
    put_varint(out, text.bytes.len() as u64);
    out.extend_from_slice(text.bytes);
}

/// A list of values, decoded by iterating. The iteration ends early at bytes that are no value:
/// [`Values::is_whole`] says whether there are any. A stack is no argument: the iteration skips it,
/// and [`Values::stack`] returns it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values<'a> {
    bytes: &'a [u8],
}

impl<'a> Values<'a> {
    /// The values in `bytes`: tags and bodies, without the length in front.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The bytes on the wire.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Whether there are no arguments. There may be a stack.
    #[must_use]
    #[inline]
    pub fn is_empty(self) -> bool {
        self.bytes.is_empty() || self.after_stacks().is_empty()
    }

    /// The stack at which the event was recorded, if it has one. Call it before iterating.
    #[must_use]
    pub fn stack(mut self) -> Option<StackId> {
        take_stack(&mut self.bytes)
    }

    /// Whether every byte belongs to a value, so that the iteration reaches the end.
    #[must_use]
    pub fn is_whole(mut self) -> bool {
        while self.next().is_some() {}
        self.after_stacks().is_empty()
    }

    /// The bytes behind stacks. A second stack, or one in the middle, means nothing and is skipped.
    fn after_stacks(mut self) -> &'a [u8] {
        while take_stack(&mut self.bytes).is_some() {}
        self.bytes
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let mut rest = self.after_stacks();
        let value = take_value(&mut rest)?;
        self.bytes = rest;
        Some(value)
    }
}

/// Takes a stack off the front; `None` if there is none, and then nothing is taken.
fn take_stack(bytes: &mut &[u8]) -> Option<StackId> {
    let (&tag::STACK, mut rest) = bytes.split_first()? else { return None };
    let stack = StackId::from_number(take_varint(&mut rest)?)?;
    *bytes = rest;
    Some(stack)
}

/// Takes one value off the front; `None` if these bytes are no value. A stack is no value.
pub fn take_value<'a>(bytes: &mut &'a [u8]) -> Option<Value<'a>> {
    let (&tag, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(match tag {
        tag::NONE => Value::None,
        tag::U64 => Value::U64(take_varint(bytes)?),
        tag::I64 => Value::I64(unzigzag(take_varint(bytes)?)),
        tag::F64 => Value::F64(f64::from_le_bytes(take_array(bytes)?)),
        tag::FALSE => Value::Bool(false),
        tag::TRUE => Value::Bool(true),
        tag::CHAR => Value::Char(char::from_u32(u32::try_from(take_varint(bytes)?).ok()?)?),
        tag::U128 => Value::U128(u128::from_le_bytes(take_array(bytes)?)),
        tag::I128 => Value::I128(i128::from_le_bytes(take_array(bytes)?)),
        _ => {
            let text = take_text(bytes, tag & tag::CUT != 0)?;
            match tag & !tag::CUT {
                tag::STR => Value::Str(text),
                tag::BYTES => Value::Bytes(text),
                tag::FORMATTED => Value::Formatted(text),
                _ => return None,
            }
        }
    })
}

fn take_text<'a>(bytes: &mut &'a [u8], cut: bool) -> Option<Text<'a>> {
    let bytes_before = if cut { Some(take_varint(bytes)?) } else { None };
    let kept = take_bytes(bytes)?;
    Some(Text { bytes: kept, bytes_before: bytes_before.unwrap_or(kept.len() as u64) })
}

/// Takes a length, and then that many bytes.
pub(crate) fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let count = usize::try_from(take_varint(bytes)?).ok()?;
    let (front, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(front)
}

fn take_array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (front, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*front)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_seen_in_what_people_read() {
        let whole = "caf\u{e9}".as_bytes();
        assert_eq!(Text::cut(whole, 4).readable(), "caf… (5 bytes in all)");
        assert_eq!(Text::cut(whole, 5).readable(), "caf\u{e9}");
        assert_eq!(Text::cut(b"a\xffb", 9).readable(), "a\u{fffd}b");
    }

    #[test]
    fn every_kind_comes_back_and_no_cut_point_does() {
        let long = vec![b'x'; TEXT_BYTES_MAX + 1];
        let values = [
            Value::None,
            Value::U64(u64::MAX),
            Value::I64(i64::MIN),
            Value::F64(-0.5),
            Value::Bool(true),
            Value::Bool(false),
            Value::Char('\u{10ffff}'),
            Value::Str(Text::cut("caf\u{e9} \"\n\0".as_bytes(), TEXT_BYTES_MAX)),
            Value::Bytes(Text::cut(&[0xff, 0], TEXT_BYTES_MAX)),
            Value::Formatted(Text::cut(&long, TEXT_BYTES_MAX)),
            Value::U128(u128::MAX),
            Value::I128(i128::MIN),
        ];
        for value in values {
            let mut out = Vec::new();
            put_value(&mut out, &value);
            assert_eq!(take_value(&mut out.as_slice()), Some(value));
            for cut in 0..out.len() {
                assert_eq!(take_value(&mut &out[..cut]), None);
            }
        }
    }
}
