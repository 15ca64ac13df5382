//! Walking by frame pointers: each frame begins with the address of its caller's frame, followed by
//! the return address.
//!
//! The chain does not say where it ends, and code without frame pointers in between diverts it. So
//! a walk counts as whole only if it reaches the thread's *root*: the outermost frame of the chain
//! that an earlier walk by unwind tables has found. The frames below the root, libc's start of a
//! thread, are also known from that walk. A chain that does not reach the root is not trusted.

use super::own::{self, Bounds, RootTail, TAIL_MAX};
use super::{End, Frames, METHOD, Method, Registers, return_address};
use crate::base::primitive::Ordering;

/// Walks from `registers` to the root.
#[inline]
pub(super) fn walk(registers: &Registers, bounds: Bounds, frames: &mut Frames) -> End {
    let Some(root) = own::root() else { return End::Lost };
    let mut pointer = registers.fp as usize;
    loop {
        let (Some(next), Some(back)) = (bounds.read(pointer), bounds.read(pointer.wrapping_add(8)))
        else {
            return End::Lost;
        };
        if !frames.push(return_address(back).wrapping_sub(1)) {
            return End::Limit;
        }
        if pointer >= root {
            return if pointer == root { below(bounds, frames) } else { End::Lost };
        }
        if next as usize <= pointer {
            return End::Lost;
        }
        pointer = next as usize;
    }
}

/// Adds the frames below the root, if they have not changed.
fn below(bounds: Bounds, frames: &mut Frames) -> End {
    for (place, back) in own::tail() {
        if place == 0 {
            break;
        }
        if bounds.read(place) != Some(back) {
            return End::Lost;
        }
        if !frames.push(return_address(back).wrapping_sub(1)) {
            return End::Limit;
        }
    }
    End::Start
}

/// Follows the chain beside a walk by tables, to find the root.
#[derive(Debug)]
pub(super) struct PointerChain {
    bounds: Bounds,
    /// The next frame's address; `None` once the chain ends.
    pointer: Option<usize>,
    root: Option<usize>,
    tail: RootTail,
    tail_count: usize,
}

impl PointerChain {
    /// The calling thread's chain; on a stack that is not its own it learns nothing.
    pub(super) fn new(registers: &Registers, bounds: Bounds) -> Self {
        let learns = bounds.is_own && METHOD.load(Ordering::Relaxed) == Method::Pointers as u32;
        let pointer = learns.then_some(registers.fp as usize);
        Self { bounds, pointer, root: None, tail: [(0, 0); TAIL_MAX], tail_count: 0 }
    }

    /// The walk by tables has found that its function returns to `back`, and that its frame ends at
    /// `end`.
    pub(super) fn follow(&mut self, end: u64, back: u64) {
        while let Some(pointer) = self.pointer.filter(|&pointer| pointer < end as usize) {
            let found = self.bounds.read(pointer.wrapping_add(8)).map(return_address);
            let next = self.bounds.read(pointer).map(|next| next as usize);
            self.pointer = next.filter(|&next| next > pointer);
            if found == Some(back) {
                self.root = Some(pointer);
                self.tail = [(0, 0); TAIL_MAX];
                self.tail_count = 0;
                return;
            }
        }
        if self.root.is_none() {
            return;
        }
        if let Some(last) = self.tail.get_mut(self.tail_count) {
            *last = ((end as usize).wrapping_sub(8), back);
        }
        self.tail_count += 1;
    }

    /// The walk by tables has reached the thread's start: keeps what was learnt.
    pub(super) fn keep(&self) {
        if let Some(root) = self.root.filter(|_| self.tail_count <= TAIL_MAX) {
            own::set_root(root, self.tail);
        }
    }
}
