//! What the hot path writes: the head of a begin, and the values behind it.
//!
//! Elsewhere: writing both into a batch (`state`), the bytes of other values (`value`).

use crate::thread::value::Value;
use trace_format::event::opcode;

/// The head of a begin: its opcode, and the id if the opcode does not contain it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventHead {
    /// With the open bit.
    pub(crate) code: u8,
    /// 0 for none.
    pub(crate) id: u64,
}

impl EventHead {
    /// The shortest head of a region without values.
    #[inline(always)]
    pub(crate) const fn region(site: u32) -> Self {
        if site <= opcode::SHORT_SITES {
            let code = opcode::REGION_SHORT | opcode::OPEN | (site as u8 - 1);
            Self { code, id: 0 }
        } else {
            Self { code: opcode::REGION | opcode::OPEN, id: site as u64 }
        }
    }
}

impl EventHead {
    /// The head of a region with values.
    #[inline(always)]
    pub(crate) const fn region_args(site: u32) -> Self {
        Self { code: opcode::REGION_ARGS | opcode::OPEN, id: site as u64 }
    }
}

/// A list of values for a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ValueList<'a> {
    /// At most [`NUMBERS_MAX`] values, for all of which [`Value::is_number`] holds. They are
    /// encoded directly into the batch.
    Numbers(&'a [Value<'a>]),
    /// Encoded values: their length and their bytes.
    Bytes(&'a [u8]),
    /// The same, with this stack among them.
    BytesOn(u32, &'a [u8]),
    /// Only a stack.
    Stack(u32),
}

/// Maximum number of numbers: the length of their list fits one byte.
pub(crate) const NUMBERS_MAX: usize = 8;

/// Bytes of the longest number: its tag and ten bytes.
const NUMBER_BYTES_MAX: usize = 11;

impl ValueList<'_> {
    #[inline(always)]
    pub(crate) fn bytes_max(self) -> usize {
        match self {
            Self::Numbers(values) => 1 + values.len() * NUMBER_BYTES_MAX,
            Self::Bytes(bytes) | Self::BytesOn(_, bytes) => bytes.len(),
            Self::Stack(_) => 1 + NUMBER_BYTES_MAX,
        }
    }
}
