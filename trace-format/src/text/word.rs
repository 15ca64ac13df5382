//! The words of a line: numbers, quoted bytes, values, what can be open.

use std::fmt::Write as _;

use super::TextErrorKind;
use crate::id::{CallId, FutureId, Open, OpenCall, ResourceId, SiteId, StackId, TaskId};
use crate::value::{Text, Value, Values, is_shown, put_stack, put_value, tag};

/// Appends `bytes` in quotes. Characters for which [`is_shown`] holds are written as they are.
pub(super) fn put_quoted(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '\\' => out.extend(['\\', character]),
                '\n' => out.push_str("\\n"),
                hidden if !is_shown(hidden) => {
                    let mut bytes = [0; 4];
                    put_escaped(out, hidden.encode_utf8(&mut bytes).as_bytes());
                }
                character => out.push(character),
            }
        }
        put_escaped(out, chunk.invalid());
    }
    out.push('"');
}

fn put_escaped(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(out, "\\x{byte:02x}");
    }
}

/// Appends a text that may be cut: the length before the cut follows a tilde.
pub(super) fn put_text(out: &mut String, text: Text<'_>) {
    put_quoted(out, text.bytes);
    if text.bytes_before != text.bytes.len() as u64 {
        let _ = write!(out, "~{}", text.bytes_before);
    }
}

pub(super) fn put_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
}

/// Appends values in brackets; as `hex:` and bytes if words can't say exactly these bytes.
pub(super) fn put_values(out: &mut String, values: Values<'_>) {
    let (mut again, stack) = (Vec::new(), values.stack());
    if let Some(stack) = stack {
        put_stack(&mut again, stack);
    }
    values.for_each(|value| put_value(&mut again, &value));
    out.push_str(" [");
    if again == values.as_bytes() {
        if let Some(StackId(stack)) = stack {
            let _ = write!(out, " stack:{stack}");
        }
        for value in values {
            out.push(' ');
            put_one(out, &value);
        }
    } else {
        out.push_str(" hex:");
        put_hex(out, values.as_bytes());
    }
    out.push_str(" ]");
}

/// Appends one value.
pub(super) fn put_one(out: &mut String, value: &Value<'_>) {
    let _ = match *value {
        Value::None => write!(out, "none"),
        Value::U64(number) => write!(out, "{number}"),
        Value::I64(number) => write!(out, "{number:+}"),
        Value::F64(number) if number.is_nan() => write!(out, "bits:{:x}", number.to_bits()),
        Value::F64(number) => write!(out, "float:{number:?}"),
        Value::Bool(truth) => write!(out, "{truth}"),
        Value::Char(character) => write!(out, "char:{:x}", u32::from(character)),
        Value::U128(number) => write!(out, "u128:{number}"),
        Value::I128(number) => write!(out, "i128:{number}"),
        Value::Str(text) => {
            put_text(out, text);
            Ok(())
        }
        Value::Bytes(text) => {
            out.push('b');
            put_text(out, text);
            Ok(())
        }
        Value::Formatted(text) => {
            out.push('f');
            put_text(out, text);
            Ok(())
        }
    };
}

/// Appends the name of a call's function, or its number.
pub(super) fn put_call(out: &mut String, call: CallId) {
    let _ = match call.info() {
        Some(info) => write!(out, "{}", info.name),
        None => write!(out, "{}", call.0),
    };
}

/// Appends what is open, as `region:5`.
pub(super) fn put_open(out: &mut String, open: Open) {
    let _ = match open {
        Open::Region(site) => write!(out, "region:{}", site.0),
        Open::Poll(future) => write!(out, "poll:{}", future.0),
        Open::Task(task) => write!(out, "task:{}", task.0),
        Open::Call(OpenCall { call, stack, resource }) => {
            out.push_str("call:");
            put_call(out, call);
            write!(out, ":{}:{}", resource.0, stack.0)
        }
    };
}

/// A line, word by word.
pub(super) struct TextLine<'l> {
    rest: &'l str,
}

pub(super) type Parsed<T> = Result<T, TextErrorKind>;

impl<'l> TextLine<'l> {
    pub(super) fn new(line: &'l str) -> Self {
        Self { rest: line.trim() }
    }

    /// The next word, up to a space. A word that is quoted is to be taken by [`TextLine::text`].
    pub(super) fn word(&mut self) -> &'l str {
        let word = self.rest.split(' ').next().unwrap_or("");
        self.rest = self.rest[word.len()..].trim_start();
        word
    }

    /// What the next word is, without taking it.
    pub(super) fn next(&self) -> &'l str {
        self.rest.split(' ').next().unwrap_or("")
    }

    /// Takes the word `what`.
    pub(super) fn keyword(&mut self, what: &'static str) -> Parsed<()> {
        let found = self.word();
        if found == what { Ok(()) } else { Err(expected(what, found)) }
    }

    /// Takes the word `what` if it is the next one. Whether it was.
    pub(super) fn takes(&mut self, what: &str) -> bool {
        let is_next = self.next() == what;
        if is_next {
            self.word();
        }
        is_next
    }

    /// One of two words.
    pub(super) fn flag(&mut self, yes: &'static str, no: &'static str) -> Parsed<bool> {
        match self.word() {
            found if found == yes => Ok(true),
            found if found == no => Ok(false),
            found => Err(expected(yes, found)),
        }
    }

    /// The one of `all` whose name is the next word.
    pub(super) fn one_of<T: Copy, const N: usize>(
        &mut self,
        all: [T; N],
        name: fn(T) -> &'static str,
        what: &'static str,
    ) -> Parsed<T> {
        let found = self.word();
        all.into_iter().find(|it| name(*it) == found).ok_or_else(|| expected(what, found))
    }

    pub(super) fn number(&mut self) -> Parsed<u64> {
        let found = self.word();
        found.parse().map_err(|_| expected("a number", found))
    }

    /// An address: `0x` and hexadecimal digits.
    pub(super) fn address(&mut self) -> Parsed<u64> {
        let found = self.word();
        let digits = found.strip_prefix("0x").and_then(|it| u64::from_str_radix(it, 16).ok());
        digits.ok_or_else(|| expected("an address", found))
    }

    /// A number of exactly this many hexadecimal digits.
    pub(super) fn hex_number(&mut self, digits: usize) -> Parsed<u128> {
        let found = self.word();
        let number = u128::from_str_radix(found, 16).ok().filter(|_| found.len() == digits);
        number.ok_or_else(|| expected("hexadecimal digits", found))
    }

    /// A number with a sign, if it is negative.
    pub(super) fn signed(&mut self) -> Parsed<i64> {
        let found = self.word();
        found.parse().map_err(|_| expected("a number with a sign", found))
    }

    /// The word `what`, then a stack's number.
    pub(super) fn stack(&mut self) -> Parsed<StackId> {
        self.keyword("stack")?;
        self.stack_id()
    }

    pub(super) fn stack_id(&mut self) -> Parsed<StackId> {
        let found = self.next();
        StackId::from_number(self.number()?).ok_or_else(|| expected("a number below 2^24", found))
    }

    pub(super) fn resource(&mut self) -> Parsed<ResourceId> {
        let found = self.next();
        let id = ResourceId::from_number(self.number()?);
        id.ok_or_else(|| expected("a number below 2^30", found))
    }

    /// The begin of a call.
    pub(super) fn call(&mut self) -> Parsed<OpenCall> {
        let found = self.word();
        let call = call(found).ok_or_else(|| expected("a call", found))?;
        self.keyword("resource")?;
        let resource = self.resource()?;
        Ok(OpenCall { call, resource, stack: self.stack()? })
    }

    pub(super) fn small(&mut self) -> Parsed<u32> {
        let found = self.word();
        found.parse().map_err(|_| expected("a number below 2^32", found))
    }

    /// `name=number`.
    pub(super) fn field(&mut self, name: &'static str) -> Parsed<u64> {
        let found = self.word();
        let value = found.strip_prefix(name).and_then(|rest| rest.strip_prefix('='));
        value.and_then(|value| value.parse().ok()).ok_or_else(|| expected(name, found))
    }

    /// `name=number`, below 2^32.
    pub(super) fn small_field(&mut self, name: &'static str) -> Parsed<u32> {
        let found = self.next();
        u32::try_from(self.field(name)?).map_err(|_| expected(name, found))
    }

    /// Quoted bytes.
    pub(super) fn quoted(&mut self) -> Parsed<Vec<u8>> {
        let found = self.next();
        let inside = self.rest.strip_prefix('"').ok_or_else(|| expected("a quoted text", found))?;
        let (bytes, rest) = unquote(inside).ok_or(TextErrorKind::QuoteFaulty)?;
        self.rest = rest;
        if !rest.starts_with('~') {
            self.rest = rest.trim_start();
        }
        Ok(bytes)
    }

    /// The bytes of all words from here on that are quoted, up to a faulty one: what the line's
    /// words become can borrow them.
    pub(super) fn all_quoted(&self) -> Vec<Vec<u8>> {
        let (mut line, mut all) = (TextLine { rest: self.rest }, Vec::new());
        while !line.rest.is_empty() {
            if !line.rest.starts_with('"') {
                line.word();
                continue;
            }
            let Ok(bytes) = line.quoted() else { break };
            all.push(bytes);
        }
        all
    }

    /// Quoted bytes and, where they were cut, how many there were.
    pub(super) fn text(&mut self) -> Parsed<(Vec<u8>, u64)> {
        let bytes = self.quoted()?;
        let count = bytes.len() as u64;
        let Some(rest) = self.rest.strip_prefix('~') else {
            return Ok((bytes, count));
        };
        self.rest = rest;
        Ok((bytes, self.number()?))
    }

    pub(super) fn hex(&mut self) -> Parsed<Vec<u8>> {
        let found = self.word();
        unhex(found).ok_or_else(|| expected("bytes in hexadecimal", found))
    }

    pub(super) fn open(&mut self) -> Parsed<Open> {
        let found = self.word();
        let fault = || expected("region:, poll:, task: or call: and ids", found);
        let (kind, id) = found.split_once(':').ok_or_else(fault)?;
        if kind == "call" {
            return open_call(id).map(Open::Call).ok_or_else(fault);
        }
        let id = id.parse::<u64>().map_err(|_| fault())?;
        let open = match kind {
            "region" => Open::Region(SiteId(u32::try_from(id).map_err(|_| fault())?)),
            "poll" => Open::Poll(FutureId(id)),
            "task" => Open::Task(TaskId(id)),
            _ => return Err(fault()),
        };
        // The wire has two bits less for an id.
        if Open::from_word(open.to_word()) == Some(open) { Ok(open) } else { Err(fault()) }
    }

    /// Values in brackets, as they lie on the wire.
    pub(super) fn values(&mut self) -> Parsed<Vec<u8>> {
        self.keyword("[")?;
        let mut out = Vec::new();
        while self.next() != "]" {
            let next = self.next();
            if let Some(stack) = next.strip_prefix("stack:") {
                let stack = stack.parse().ok().and_then(StackId::from_number);
                put_stack(&mut out, stack.ok_or_else(|| expected("a stack", next))?);
                self.word();
                continue;
            }
            match next.strip_prefix("hex:") {
                Some(hex) => {
                    let fault = || expected("bytes in hexadecimal", hex);
                    out.extend_from_slice(&unhex(hex).ok_or_else(fault)?);
                    self.word();
                }
                None => self.value(&mut out)?,
            }
        }
        self.word();
        Ok(out)
    }

    /// One value, appended as it lies on the wire.
    pub(super) fn value(&mut self, out: &mut Vec<u8>) -> Parsed<()> {
        // Quoted values differ by a letter in front.
        let (letters, kind) = match self.rest.as_bytes() {
            [b'"', ..] => (0, tag::STR),
            [b'b', b'"', ..] => (1, tag::BYTES),
            [b'f', b'"', ..] => (1, tag::FORMATTED),
            _ => (0, tag::NONE),
        };
        if kind != tag::NONE {
            self.rest = &self.rest[letters..];
            let (bytes, bytes_before) = self.text()?;
            let text = Text { bytes: &bytes, bytes_before };
            let value = match kind {
                tag::STR => Value::Str(text),
                tag::BYTES => Value::Bytes(text),
                _ => Value::Formatted(text),
            };
            put_value(out, &value);
            return Ok(());
        }
        let found = self.word();
        let value = plain_value(found).ok_or_else(|| expected("a value", found))?;
        put_value(out, &value);
        Ok(())
    }

    /// That nothing follows.
    pub(super) fn end(&self) -> Parsed<()> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(TextErrorKind::TooMuch { found: self.next().to_owned() })
    }
}

fn call(word: &str) -> Option<CallId> {
    CallId::by_name(word).or_else(|| word.parse().ok().map(CallId))
}

/// `read:5:7`: a call, its resource, its stack.
fn open_call(word: &str) -> Option<OpenCall> {
    let (name, ids) = word.split_once(':')?;
    let (resource, stack) = ids.split_once(':')?;
    let resource = ResourceId::from_number(resource.parse().ok()?)?;
    let stack = StackId::from_number(stack.parse().ok()?)?;
    Some(OpenCall { call: call(name)?, stack, resource })
}

pub(super) fn expected(what: &'static str, found: &str) -> TextErrorKind {
    TextErrorKind::Expected { what, found: found.to_owned() }
}

fn plain_value(word: &str) -> Option<Value<'static>> {
    let number = |prefix| word.strip_prefix(prefix);
    Some(match word {
        "none" => Value::None,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ if word.starts_with(['+', '-']) => Value::I64(word.parse().ok()?),
        _ => {
            if let Some(number) = number("float:") {
                Value::F64(number.parse().ok()?)
            } else if let Some(bits) = number("bits:") {
                Value::F64(f64::from_bits(u64::from_str_radix(bits, 16).ok()?))
            } else if let Some(code) = number("char:") {
                Value::Char(char::from_u32(u32::from_str_radix(code, 16).ok()?)?)
            } else if let Some(number) = number("u128:") {
                Value::U128(number.parse().ok()?)
            } else if let Some(number) = number("i128:") {
                Value::I128(number.parse().ok()?)
            } else {
                Value::U64(word.parse().ok()?)
            }
        }
    })
}

/// The bytes up to the closing quote, and what follows it.
fn unquote(text: &str) -> Option<(Vec<u8>, &str)> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    loop {
        let at = rest.find(['"', '\\'])?;
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let mut after = rest[at..].chars();
        if after.next() == Some('"') {
            return Some((bytes, after.as_str()));
        }
        match after.next()? {
            'n' => bytes.push(b'\n'),
            escaped @ ('"' | '\\') => bytes.push(escaped as u8),
            'x' => {
                let hex = after.as_str().get(..2)?;
                bytes.extend_from_slice(&unhex(hex)?);
                after = after.as_str()[2..].chars();
            }
            _ => return None,
        }
        rest = after.as_str();
    }
}

fn unhex(hex: &str) -> Option<Vec<u8>> {
    let digits =
        hex.bytes().map(|byte| char::from(byte).to_digit(16)).collect::<Option<Vec<_>>>()?;
    let (pairs, odd) = digits.as_chunks::<2>();
    odd.is_empty().then(|| pairs.iter().map(|pair| (pair[0] << 4 | pair[1]) as u8).collect())
}
