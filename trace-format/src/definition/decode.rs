//! From a payload's bytes to definitions: the table, read.
//!
//! Lists grow with the entries that are really there, so a false count costs no memory.

use super::table::definitions;
use super::{
    ArgumentKind, CallsiteKind, Definition, FRAMES_MAX, FUNCTIONS_MAX, Function, OpenSince,
    ResourceKind, StackFlags,
};
use crate::id::{FutureId, Open, ResourceId, SiteId, StackId, TaskId, ThreadId};
use crate::time::{ClockKind, ClockSnapshot, Nanos, Ticks};
use crate::value::take_bytes;
use crate::varint::{take_varint, unzigzag};

/// The definitions of one batch's payload. It ends early at bytes that are no definition; see
/// [`Definitions::rest`].
#[derive(Clone, Copy, Debug)]
pub struct Definitions<'a> {
    bytes: &'a [u8],
}

impl<'a> Definitions<'a> {
    /// The definitions in `payload`.
    #[must_use]
    pub const fn new(payload: &'a [u8]) -> Self {
        Self { bytes: payload }
    }

    /// Number of bytes that have not been taken; not 0 at the end if the payload is faulty.
    #[must_use]
    pub const fn rest(&self) -> usize {
        self.bytes.len()
    }
}

impl<'a> Iterator for Definitions<'a> {
    type Item = Definition<'a>;

    fn next(&mut self) -> Option<Definition<'a>> {
        let (&kind, mut rest) = self.bytes.split_first()?;
        let mut body = take_bytes(&mut rest)?;
        let definition = take_body(kind, &mut body)?;
        self.bytes = rest;
        Some(definition)
    }
}

/// Takes the fields of a definition, in the order of the wire.
macro_rules! take_fields {
    ($bytes:ident, { $($field:tt),* }) => { $(let $field = Take::take($bytes)?;)* };
    ($bytes:ident, ($($field:tt),*)) => { $(let $field = Take::take($bytes)?;)* };
    ($bytes:ident, $fields:tt, $wire:tt) => { take_fields!($bytes, $wire); };
}

macro_rules! take_body {
    ($($number:literal $constant:ident $variant:ident $fields:tt $(=> $wire:tt)?, $holds:ident,
        $word:literal $words:tt;)*) => {
        /// The definition of this kind that has these bytes. Bytes behind the known fields are of a
        /// newer version, and are left.
        fn take_body<'a>(kind: u8, bytes: &mut &'a [u8]) -> Option<Definition<'a>> {
            Some(match kind {
                $($number => {
                    take_fields!(bytes, $fields $(, $wire)?);
                    Definition::$variant $fields
                })*
                kind => Definition::Unknown { kind },
            })
        }
    };
}

definitions!(take_body);

/// A field, or several that belong together, which can be taken off the front of some bytes.
trait Take<'a>: Sized {
    /// `None` if the bytes are no such field, or end inside it.
    fn take(bytes: &mut &'a [u8]) -> Option<Self>;
}

impl Take<'_> for u64 {
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        take_varint(bytes)
    }
}

impl Take<'_> for u32 {
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        Self::try_from(take_varint(bytes)?).ok()
    }
}

impl Take<'_> for bool {
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        Some(take_varint(bytes)? != 0)
    }
}

impl<'a> Take<'a> for &'a [u8] {
    fn take(bytes: &mut &'a [u8]) -> Option<Self> {
        take_bytes(bytes)
    }
}

/// Fields that are another type of one number.
macro_rules! take_number {
    ($($field:ty, $of:expr;)*) => {
        $(impl Take<'_> for $field {
            fn take(bytes: &mut &[u8]) -> Option<Self> {
                let of: fn(_) -> Option<Self> = $of;
                of(Take::take(bytes)?)
            }
        })*
    };
}

take_number! {
    Ticks, |number: u64| Some(Self(number));
    Nanos, |number: u64| Some(Self(number));
    TaskId, |number: u64| Some(Self(number));
    FutureId, |number: u64| Some(Self(number));
    ThreadId, |number: u32| Some(Self(number));
    SiteId, |number: u32| Some(Self(number));
    StackId, Self::from_number;
    ResourceId, Self::from_number;
    Open, Self::from_word;
    CallsiteKind, |number| Some(Self::from_number(number));
    ArgumentKind, |number| Some(Self::from_number(number));
    ResourceKind, |number| Some(Self::from_number(number));
    StackFlags, |number| Some(Self::from_number(number));
}

impl Take<'_> for ClockKind {
    /// A byte, not a varint.
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        Some(Self::from_byte(byte))
    }
}

impl Take<'_> for ClockSnapshot {
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        Some(Self {
            ticks: Take::take(bytes)?,
            monotonic: Take::take(bytes)?,
            wall: Take::take(bytes)?,
        })
    }
}

impl Take<'_> for Option<Nanos> {
    /// Whether it is known, and then the number in any case.
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let (is_known, nanos) = (bool::take(bytes)?, Nanos::take(bytes)?);
        Some(is_known.then_some(nanos))
    }
}

/// How a thread was made. Writers leave all three out if nothing is known.
impl Take<'_> for (ThreadId, StackId, u64) {
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let mut number = || if bytes.is_empty() { Some(0) } else { take_varint(bytes) };
        let parent = ThreadId(u32::try_from(number()?).ok()?);
        Some((parent, StackId::from_number(number()?)?, number()?))
    }
}

/// A stack's addresses, of which [`FRAMES_MAX`] are kept: the first as it is, then how far each is
/// from the one before it.
impl Take<'_> for (StackFlags, Vec<u64>) {
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let mut flags = StackFlags::take(bytes)?;
        let count = take_varint(bytes)?;
        let (mut addresses, mut before) = (Vec::new(), None);
        for _ in 0..count.min(FRAMES_MAX as u64) {
            let word = take_varint(bytes)?;
            let address = match before {
                None => word,
                Some(before) => unzigzag(word).cast_unsigned().wrapping_add(before),
            };
            addresses.push(address);
            before = Some(address);
        }
        flags.cut |= count > FRAMES_MAX as u64;
        Some((flags, addresses))
    }
}

/// What a list can hold.
trait Item<'a>: Take<'a> {
    /// Maximum number of items that a reader keeps; it leaves those behind them.
    const COUNT_MAX: u64 = u64::MAX;
}

impl<'a, T: Item<'a>> Take<'a> for Vec<T> {
    fn take(bytes: &mut &'a [u8]) -> Option<Self> {
        let count = take_varint(bytes)?.min(T::COUNT_MAX);
        (0..count).map(|_| T::take(bytes)).collect()
    }
}

/// The name and the kind of an argument.
impl<'a> Take<'a> for (&'a [u8], ArgumentKind) {
    fn take(bytes: &mut &'a [u8]) -> Option<Self> {
        Some((Take::take(bytes)?, Take::take(bytes)?))
    }
}

impl<'a> Item<'a> for (&'a [u8], ArgumentKind) {}

impl Take<'_> for OpenSince {
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        Some(Self { open: Take::take(bytes)?, begin: Take::take(bytes)? })
    }
}

impl Item<'_> for OpenSince {}

impl<'a> Take<'a> for Function<'a> {
    fn take(bytes: &mut &'a [u8]) -> Option<Self> {
        Some(Self { name: Take::take(bytes)?, file: Take::take(bytes)?, line: Take::take(bytes)? })
    }
}

impl<'a> Item<'a> for Function<'a> {
    const COUNT_MAX: u64 = FUNCTIONS_MAX as u64;
}
