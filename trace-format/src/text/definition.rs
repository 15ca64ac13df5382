//! Definitions as lines, both ways: the table of `definition`, in words.

use std::fmt::{self, Write as _};
use std::slice;

use super::word::{Parsed, TextLine, expected, put_hex, put_open, put_quoted};
use crate::definition::table::definitions;
use crate::definition::{
    ArgumentKind, CallsiteKind, Definition, FoundBy, Function, OpenSince, ResourceKind, StackFlags,
    put_definition,
};
use crate::id::{FutureId, ResourceId, SiteId, StackId, TaskId, ThreadId};
use crate::time::{ClockKind, ClockSnapshot, Nanos, Ticks};

macro_rules! lines {
    ($($number:literal $constant:ident $variant:ident $fields:tt $(=> $wire:tt)?, $holds:ident,
        $first:literal [$($word:tt)*];)*) => {
        /// Appends the words of a definition, each behind a space; none for one of an unknown kind,
        /// which stands as its bytes.
        pub(super) fn put_words(out: &mut String, definition: &Definition<'_>) {
            match definition {
                $(Definition::$variant $fields => {
                    put_word!(out, $first);
                    $(put_word!(out, $word);)*
                })*
                Definition::Unknown { .. } => {}
            }
        }

        /// Appends the definition on this line, as it lies on the wire.
        pub(super) fn parse(line: &mut TextLine<'_>, out: &mut Vec<u8>) -> Parsed<()> {
            let quoted = line.all_quoted();
            let texts = &mut quoted.iter();
            match line.word() {
                $($first => {
                    $(take_word!(line, texts, $word);)*
                    put_definition(out, &Definition::$variant $fields);
                })*
                found => return Err(expected("a definition", found)),
            }
            Ok(())
        }
    };
}

macro_rules! put_word {
    ($out:ident, $keyword:literal) => {
        put(concat!(" ", $keyword), $out)
    };
    ($out:ident, [address $field:ident]) => {
        put(format_args!(" {:#x}", $field), $out)
    };
    ($out:ident, [hex $field:ident]) => {
        put_bytes($field, $out)
    };
    ($out:ident, [$field:ident $yes:literal $no:literal]) => {
        put(if *$field { concat!(" ", $yes) } else { concat!(" ", $no) }, $out)
    };
    ($out:ident, $field:tt) => {
        $field.put_words($out)
    };
}

macro_rules! take_word {
    ($line:ident, $texts:ident, $keyword:literal) => {
        $line.keyword($keyword)?
    };
    ($line:ident, $texts:ident, [address $field:ident]) => {
        let $field = $line.address()?;
    };
    ($line:ident, $texts:ident, [hex $field:ident]) => {
        let $field = &take_bytes($line)?[..];
    };
    ($line:ident, $texts:ident, [$field:ident $yes:literal $no:literal]) => {
        let $field = $line.flag($yes, $no)?;
    };
    ($line:ident, $texts:ident, $field:tt) => {
        let $field = TakeWords::take_words($line, $texts)?;
    };
}

definitions!(lines);

fn put(words: impl fmt::Display, out: &mut String) {
    let _ = write!(out, "{words}");
}

/// A field, or several that belong together, as words that each follow a space.
trait PutWords {
    fn put_words(&self, out: &mut String);
}

/// The inverse of [`PutWords`].
trait TakeWords<'t>: Sized {
    /// - `texts`: those of the line that are quoted and have not been taken: see
    ///   [`TextLine::all_quoted`].
    fn take_words(line: &mut TextLine<'_>, texts: &mut Texts<'t>) -> Parsed<Self>;
}

type Texts<'t> = slice::Iter<'t, Vec<u8>>;

/// Fields that are one word: how it prints, and how a line has it.
macro_rules! one_word {
    ($($field:ty: |$it:ident| $print:expr, |$line:ident| $take:expr;)*) => {
        $(
            impl PutWords for $field {
                fn put_words(&self, out: &mut String) {
                    let $it = self;
                    let _ = write!(out, " {}", $print);
                }
            }

            impl TakeWords<'_> for $field {
                fn take_words($line: &mut TextLine<'_>, _: &mut Texts<'_>) -> Parsed<Self> {
                    $take
                }
            }
        )*
    };
}

one_word! {
    u64: |it| it, |line| line.number();
    u32: |it| it, |line| line.small();
    Ticks: |it| it.0, |line| line.number().map(Self);
    Nanos: |it| it.0, |line| line.number().map(Self);
    TaskId: |it| it.0, |line| line.number().map(Self);
    FutureId: |it| it.0, |line| line.number().map(Self);
    ThreadId: |it| it.0, |line| line.small().map(Self);
    SiteId: |it| it.0, |line| line.small().map(Self);
    StackId: |it| it.0, |line| line.stack_id();
    ResourceId: |it| it.0, |line| line.resource();
    CallsiteKind: |it| it.name(), |line| line.one_of(Self::ALL, Self::name, "a kind of call site");
    ResourceKind: |it| it.name(), |line| line.one_of(Self::ALL, Self::name, "a kind of resource");
    FoundBy: |it| it.name(), |line| line.one_of(Self::ALL, Self::name, "who found it");
}

impl PutWords for &[u8] {
    fn put_words(&self, out: &mut String) {
        out.push(' ');
        put_quoted(out, self);
    }
}

impl<'t> TakeWords<'t> for &'t [u8] {
    fn take_words(line: &mut TextLine<'_>, texts: &mut Texts<'t>) -> Parsed<Self> {
        let found = line.next();
        line.quoted()?;
        texts.next().map(Vec::as_slice).ok_or_else(|| expected("a quoted text", found))
    }
}

/// Bytes that are no text: `-` if there are none.
fn put_bytes(bytes: &[u8], out: &mut String) {
    out.push_str(if bytes.is_empty() { " -" } else { " " });
    put_hex(out, bytes);
}

/// The inverse of [`put_bytes`].
fn take_bytes(line: &mut TextLine<'_>) -> Parsed<Vec<u8>> {
    if line.takes("-") { Ok(Vec::new()) } else { line.hex() }
}

impl PutWords for ClockKind {
    fn put_words(&self, out: &mut String) {
        self.name().as_bytes().put_words(out);
    }
}

impl TakeWords<'_> for ClockKind {
    fn take_words(line: &mut TextLine<'_>, texts: &mut Texts<'_>) -> Parsed<Self> {
        let name = <&[u8]>::take_words(line, texts)?;
        let kind = Self::ALL.into_iter().find(|kind| kind.name().as_bytes() == name);
        kind.ok_or_else(|| expected("a clock's name", ""))
    }
}

impl PutWords for ClockSnapshot {
    fn put_words(&self, out: &mut String) {
        let (ticks, monotonic, wall) = (self.ticks.0, self.monotonic.0, self.wall.0);
        let _ = write!(out, " {ticks} monotonic {monotonic} wall {wall}");
    }
}

impl TakeWords<'_> for ClockSnapshot {
    fn take_words(line: &mut TextLine<'_>, _: &mut Texts<'_>) -> Parsed<Self> {
        let ticks = Ticks(line.number()?);
        line.keyword("monotonic")?;
        let monotonic = Nanos(line.number()?);
        line.keyword("wall")?;
        Ok(Self { ticks, monotonic, wall: Nanos(line.number()?) })
    }
}

impl PutWords for Option<Nanos> {
    fn put_words(&self, out: &mut String) {
        match self {
            Some(nanos) => nanos.put_words(out),
            None => out.push_str(" unknown"),
        }
    }
}

impl TakeWords<'_> for Option<Nanos> {
    fn take_words(line: &mut TextLine<'_>, texts: &mut Texts<'_>) -> Parsed<Self> {
        if line.takes("unknown") {
            return Ok(None);
        }
        Nanos::take_words(line, texts).map(Some)
    }
}

/// How a thread was made; no words if nothing is known of it.
impl PutWords for (&ThreadId, &StackId, &u64) {
    fn put_words(&self, out: &mut String) {
        let &(&ThreadId(parent), &StackId(stack), &entry) = self;
        if (parent, stack, entry) != (0, 0, 0) {
            let _ = write!(out, " parent {parent} stack {stack} entry {entry:#x}");
        }
    }
}

impl TakeWords<'_> for (ThreadId, StackId, u64) {
    fn take_words(line: &mut TextLine<'_>, _: &mut Texts<'_>) -> Parsed<Self> {
        if !line.takes("parent") {
            return Ok((ThreadId(0), StackId(0), 0));
        }
        let (parent, stack) = (ThreadId(line.small()?), line.stack()?);
        line.keyword("entry")?;
        Ok((parent, stack, line.address()?))
    }
}

impl PutWords for StackFlags {
    fn put_words(&self, out: &mut String) {
        self.by.put_words(out);
        out.push_str(if self.cut { " cut" } else { " whole" });
    }
}

impl TakeWords<'_> for StackFlags {
    fn take_words(line: &mut TextLine<'_>, texts: &mut Texts<'_>) -> Parsed<Self> {
        let by = FoundBy::take_words(line, texts)?;
        Ok(Self { cut: line.flag("cut", "whole")?, by })
    }
}

/// Lists are in brackets.
impl<T: PutItem> PutWords for Vec<T> {
    fn put_words(&self, out: &mut String) {
        out.push_str(" [");
        self.iter().for_each(|item| item.put_item(out));
        out.push_str(" ]");
    }
}

impl<'t, T: TakeItem<'t>> TakeWords<'t> for Vec<T> {
    fn take_words(line: &mut TextLine<'_>, texts: &mut Texts<'t>) -> Parsed<Self> {
        line.keyword("[")?;
        let mut items = Self::new();
        while !line.takes("]") {
            items.push(T::take_item(line, texts)?);
        }
        Ok(items)
    }
}

/// What can be in a list: it may have other words there than alone.
trait PutItem {
    fn put_item(&self, out: &mut String);
}

/// The inverse of [`PutItem`].
trait TakeItem<'t>: Sized {
    fn take_item(line: &mut TextLine<'_>, texts: &mut Texts<'t>) -> Parsed<Self>;
}

/// An address of a stack.
impl PutItem for u64 {
    fn put_item(&self, out: &mut String) {
        let _ = write!(out, " {self:#x}");
    }
}

impl TakeItem<'_> for u64 {
    fn take_item(line: &mut TextLine<'_>, _: &mut Texts<'_>) -> Parsed<Self> {
        line.address()
    }
}

/// The name and the kind of an argument.
impl PutItem for (&[u8], ArgumentKind) {
    fn put_item(&self, out: &mut String) {
        out.push_str(match self.1 {
            ArgumentKind::Typed => " typed",
            ArgumentKind::Debug => " debug",
            ArgumentKind::Display => " display",
        });
        self.0.put_words(out);
    }
}

impl<'t> TakeItem<'t> for (&'t [u8], ArgumentKind) {
    fn take_item(line: &mut TextLine<'_>, texts: &mut Texts<'t>) -> Parsed<Self> {
        let kind = match line.word() {
            "typed" => ArgumentKind::Typed,
            "debug" => ArgumentKind::Debug,
            "display" => ArgumentKind::Display,
            found => return Err(expected("typed, debug, display or ]", found)),
        };
        Ok((TakeWords::take_words(line, texts)?, kind))
    }
}

impl PutItem for OpenSince {
    fn put_item(&self, out: &mut String) {
        out.push(' ');
        put_open(out, self.open);
        let _ = write!(out, " begin {}", self.begin.0);
    }
}

impl TakeItem<'_> for OpenSince {
    fn take_item(line: &mut TextLine<'_>, _: &mut Texts<'_>) -> Parsed<Self> {
        let open = line.open()?;
        line.keyword("begin")?;
        Ok(Self { open, begin: Ticks(line.number()?) })
    }
}

impl PutItem for Function<'_> {
    fn put_item(&self, out: &mut String) {
        let _ = write!(out, " line {}", self.line);
        self.name.put_words(out);
        self.file.put_words(out);
    }
}

impl<'t> TakeItem<'t> for Function<'t> {
    fn take_item(line: &mut TextLine<'_>, texts: &mut Texts<'t>) -> Parsed<Self> {
        line.keyword("line")?;
        let number = line.small()?;
        let (name, file) =
            (TakeWords::take_words(line, texts)?, TakeWords::take_words(line, texts)?);
        Ok(Self { name, file, line: number })
    }
}
