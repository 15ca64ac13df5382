//! What definitions say of the program itself, owned: its modules, stacks and functions, what its
//! calls are about, its heap.

use super::text;
use crate::definition::{self, ResourceKind, StackFlags};
use crate::facility;
use crate::id::{ResourceId, StackId};
use crate::time::Ticks;

/// An executable or a library, as it lies in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its first address.
    pub first: u64,
    /// The address behind its last.
    pub last: u64,
    /// Its addresses in memory minus those in its file, modulo 2^64.
    pub bias: u64,
    /// The build id that its linker gave it; may be empty.
    pub build_id: Vec<u8>,
    /// Its file.
    pub path: String,
}

impl Module {
    /// Whether the address lies in it.
    #[must_use]
    pub const fn contains(&self, address: u64) -> bool {
        self.first <= address && address < self.last
    }

    /// The virtual address of the same place in its file.
    #[must_use]
    pub const fn in_file(&self, address: u64) -> u64 {
        address.wrapping_sub(self.bias)
    }
}

/// A stack that events name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// Events name it by this.
    pub id: StackId,
    /// Who walked it, and whether it is whole.
    pub flags: StackFlags,
    /// Innermost first: addresses of calling or running instructions, not return addresses.
    pub addresses: Box<[u64]>,
}

/// What calls are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Calls name it by this.
    pub id: ResourceId,
    /// What it is.
    pub kind: ResourceKind,
    /// Its number: an address, a descriptor, a process, by its kind.
    pub value: u64,
    /// Its path, or `local -> peer`; may be empty.
    pub name: String,
}

/// A function at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name, readable.
    pub name: String,
    /// The source file; empty if unknown.
    pub file: String,
    /// From 1; 0 if unknown.
    pub line: u32,
}

impl Function {
    pub(super) fn new(function: &definition::Function<'_>) -> Self {
        let (name, file) = (text(function.name), text(function.file));
        Self { name, file, line: function.line }
    }
}

/// Whether a part of the recorder worked, and how, or why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facility {
    /// One of [`facility`]'s, or a later version's.
    pub name: String,
    /// Whether it worked.
    pub on: bool,
    /// In words.
    pub note: String,
}

impl Facility {
    /// Whether it is off only because nobody asked for it.
    #[must_use]
    pub fn is_unasked(&self) -> bool {
        !self.on && self.note.starts_with(facility::NOT_ASKED_FOR)
    }

    /// Of [`facility::STACKS`]: whether stacks follow the frame pointers that the program keeps.
    #[must_use]
    pub fn follows_frame_pointers(&self) -> bool {
        self.on && self.note.starts_with(facility::FRAME_POINTERS)
    }
}

/// The heap at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapState {
    /// When.
    pub ticks: Ticks,
    /// Bytes allocated and not freed.
    pub live_bytes: u64,
    /// Allocations not freed.
    pub live_allocations: u64,
    /// Bytes allocated since the program began.
    pub allocated_bytes: u64,
    /// Allocations since the program began.
    pub allocations: u64,
    /// Average number of allocated bytes per sampled one.
    pub sample_bytes: u64,
}
