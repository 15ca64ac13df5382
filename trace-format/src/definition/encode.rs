//! From definitions to a payload's bytes: the table, written.

use super::table::definitions;
use super::{
    ArgumentKind, CallsiteKind, Definition, Function, OpenSince, ResourceKind, StackFlags,
};
use crate::id::{FutureId, Open, ResourceId, SiteId, StackId, TaskId, ThreadId};
use crate::time::{ClockKind, ClockSnapshot, Nanos, Ticks};
use crate::varint::{put_varint, zigzag};

/// Appends one definition to a payload.
pub fn put_definition(out: &mut Vec<u8>, definition: &Definition<'_>) {
    let mut body = Vec::with_capacity(64);
    let kind = put_body(&mut body, definition);
    out.push(kind);
    body.as_slice().put(out);
}

/// Appends the fields of a definition, in the order of the wire.
macro_rules! put_fields {
    ($out:ident, { $($field:tt),* }) => { $($field.put($out);)* };
    ($out:ident, ($($field:tt),*)) => { $($field.put($out);)* };
    ($out:ident, $fields:tt, $wire:tt) => { put_fields!($out, $wire); };
}

macro_rules! put_body {
    ($($number:literal $constant:ident $variant:ident $fields:tt $(=> $wire:tt)?, $holds:ident,
        $word:literal $words:tt;)*) => {
        /// Appends all fields of a definition. Returns its kind.
        fn put_body(out: &mut Vec<u8>, definition: &Definition<'_>) -> u8 {
            match definition {
                $(Definition::$variant $fields => {
                    put_fields!(out, $fields $(, $wire)?);
                    $number
                })*
                // What a newer version wrote in it is not known.
                Definition::Unknown { kind } => *kind,
            }
        }
    };
}

definitions!(put_body);

/// A field, or several that belong together: the inverse of `Take`.
trait Put {
    fn put(&self, out: &mut Vec<u8>);
}

impl Put for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, *self);
    }
}

impl Put for &[u8] {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.len() as u64);
        out.extend_from_slice(self);
    }
}

/// Fields that are another type of one number.
macro_rules! put_number {
    ($($field:ty, $number:expr;)*) => {
        $(impl Put for $field {
            fn put(&self, out: &mut Vec<u8>) {
                let number: fn(Self) -> u64 = $number;
                put_varint(out, number(*self));
            }
        })*
    };
}

put_number! {
    u32, u64::from;
    bool, u64::from;
    Ticks, |it| it.0;
    Nanos, |it| it.0;
    TaskId, |it| it.0;
    FutureId, |it| it.0;
    ThreadId, |it| it.0.into();
    SiteId, |it| it.0.into();
    StackId, |it| it.0.into();
    ResourceId, |it| it.0.into();
    Open, Self::to_word;
    CallsiteKind, |it| it.to_byte().into();
    ArgumentKind, |it| it.to_byte().into();
    ResourceKind, |it| it.to_byte().into();
    StackFlags, Self::to_number;
}

impl Put for ClockKind {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(self.to_byte());
    }
}

impl Put for ClockSnapshot {
    fn put(&self, out: &mut Vec<u8>) {
        self.ticks.put(out);
        self.monotonic.put(out);
        self.wall.put(out);
    }
}

impl Put for Option<Nanos> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        self.unwrap_or_default().put(out);
    }
}

impl Put for (&ThreadId, &StackId, &u64) {
    fn put(&self, out: &mut Vec<u8>) {
        let &(&parent, &stack, &entry) = self;
        if (parent, stack, entry) != (ThreadId(0), StackId(0), 0) {
            parent.put(out);
            stack.put(out);
            entry.put(out);
        }
    }
}

impl Put for (&StackFlags, &Vec<u64>) {
    fn put(&self, out: &mut Vec<u8>) {
        let (flags, addresses) = self;
        flags.put(out);
        put_varint(out, addresses.len() as u64);
        let mut before = None;
        for &address in *addresses {
            let word = match before {
                None => address,
                Some(before) => zigzag(address.wrapping_sub(before).cast_signed()),
            };
            put_varint(out, word);
            before = Some(address);
        }
    }
}

impl<T: Put> Put for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.len() as u64);
        self.iter().for_each(|item| item.put(out));
    }
}

impl Put for (&[u8], ArgumentKind) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }
}

impl Put for OpenSince {
    fn put(&self, out: &mut Vec<u8>) {
        self.open.put(out);
        self.begin.put(out);
    }
}

impl Put for Function<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        self.name.put(out);
        self.file.put(out);
        self.line.put(out);
    }
}
