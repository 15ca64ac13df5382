//! Walking by frame pointers: each frame begins with the address of the next one out, and the
//! return address beside it.
//!
//! The chain says nothing about where it ends, and code without frame pointers in between bends it.
//! So a walk counts as whole only if it comes to the thread's *root*: the outermost frame that a
//! walk by unwind tables has found in the chain before. What lies below it, libc's start of a
//! thread, is known from there. A chain that does not come to the root is not believed.

use super::own::{self, Bounds, TAIL_MAX, Tail};
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

/// The frames below the root, if they are as they were.
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

/// Follows the chain while another walk goes the same way, to learn where the root is.
#[derive(Debug)]
pub(super) struct Chain {
    bounds: Bounds,
    /// The next frame's; `None` once the chain ends.
    pointer: Option<usize>,
    root: Option<usize>,
    tail: Tail,
    tail_count: usize,
}

impl Chain {
    /// Of the calling thread; nothing is learnt of a stack that is not its own.
    pub(super) fn new(registers: &Registers, bounds: Bounds) -> Self {
        let learns = bounds.is_own && METHOD.load(Ordering::Relaxed) == Method::Pointers as u32;
        let pointer = learns.then_some(registers.fp as usize);
        Self { bounds, pointer, root: None, tail: [(0, 0); TAIL_MAX], tail_count: 0 }
    }

    /// The other walk has found that the function it is in returns to `back`, and that its frame
    /// ends at `end`.
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

    /// The other walk has come to the thread's start: keeps what was learnt.
    pub(super) fn keep(&self) {
        if let Some(root) = self.root.filter(|_| self.tail_count <= TAIL_MAX) {
            own::set_root(root, self.tail);
        }
    }
}
