//! What the hot path is given to write: the front of a begin, and the values behind it.
//!
//! Elsewhere: how both get into a batch (`state`), other values' bytes (`value`).

use crate::thread::value::Value;
use trace_format::event::opcode;

/// The fixed front of a begin: its opcode, and the id if that is not folded into it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// With the open bit.
    pub(crate) code: u8,
    /// 0 for none.
    pub(crate) id: u64,
}

impl Head {
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

impl Head {
    /// The head of a region with values.
    #[inline(always)]
    pub(crate) const fn region_args(site: u32) -> Self {
        Self { code: opcode::REGION_ARGS | opcode::OPEN, id: site as u64 }
    }
}

/// A list of values on its way into a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Encoded<'a> {
    /// At most [`NUMBERS_MAX`], each one for which [`Value::is_number`] holds. They are encoded
    /// where they are to lie.
    Numbers(&'a [Value<'a>]),
    /// Their length and their bytes.
    Bytes(&'a [u8]),
    /// The same, with this stack among them.
    BytesOn(u32, &'a [u8]),
    /// None but the stack.
    Stack(u32),
}

/// So many numbers have a length of one byte.
pub(crate) const NUMBERS_MAX: usize = 8;

/// The longest number: its tag and ten bytes.
const NUMBER_BYTES_MAX: usize = 11;

impl Encoded<'_> {
    #[inline(always)]
    pub(crate) fn bytes_max(self) -> usize {
        match self {
            Self::Numbers(values) => 1 + values.len() * NUMBER_BYTES_MAX,
            Self::Bytes(bytes) | Self::BytesOn(_, bytes) => bytes.len(),
            Self::Stack(_) => 1 + NUMBER_BYTES_MAX,
        }
    }
}
