//! Which annotations have stacks: regions none, all, or some by chance; futures all or none.

use crate::base::options::Stacks;
use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicBool, AtomicU32};
use std::cell::Cell;

/// Maximum of `one_in`.
const ONE_IN_MAX: u32 = 1 << 24;

/// 0 for no stacks, or one region in this many has one.
static ONE_IN: AtomicU32 = AtomicU32::new(0);

/// Whether wakes, spawns and waits of futures have stacks.
static ASYNC: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Number of regions until the next one with a stack.
    static LEFT: Cell<u32> = const { Cell::new(0) };
    /// The state of the generator of random numbers; 0 at first.
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// Sets whether wakes, spawns and waits of futures have stacks. Before a trace begins.
pub(crate) fn want_for_async(want: bool) {
    ASYNC.store(want, Ordering::Relaxed);
}

/// The stack of a wake, a spawn or a wait; 0 for none.
#[inline]
pub(crate) fn for_async() -> u32 {
    if ASYNC.load(Ordering::Relaxed) { super::capture() } else { 0 }
}

/// Sets which regions have stacks. Before a trace begins.
pub(crate) fn want_for_regions(stacks: Stacks) {
    let one_in = match stacks {
        Stacks::None => 0,
        Stacks::Sampled { one_in } => one_in.clamp(1, ONE_IN_MAX),
        Stacks::All => 1,
    };
    ONE_IN.store(one_in, Ordering::Relaxed);
}

/// Whether any region may have a stack.
pub(crate) fn regions_want() -> bool {
    ONE_IN.load(Ordering::Relaxed) != 0
}

/// The id of the stack of a region that begins now; 0 for none.
#[inline(never)]
pub(crate) fn for_region() -> u32 {
    let one_in = ONE_IN.load(Ordering::Relaxed);
    if one_in == 1 || one_in > 1 && is_chosen(one_in) { super::capture() } else { 0 }
}

/// Chooses one in `one_in`, at random distances, so that no pattern of the program matters: each
/// distance from 1 to `2 * one_in - 1` is equally likely.
fn is_chosen(one_in: u32) -> bool {
    if STATE.get() == 0 {
        // Each thread has another seed, and the first region is not always chosen.
        STATE.set(STATE.with(|cell| std::ptr::from_ref(cell).addr()) as u64 | 1);
        LEFT.set(draw(one_in));
    }
    let left = LEFT.get();
    // It may be far too large, if it was drawn for an earlier trace.
    let left = left.min(one_in * 2).saturating_sub(1);
    LEFT.set(if left == 0 { draw(one_in) } else { left });
    left == 0
}

fn draw(one_in: u32) -> u32 {
    // A step of xorshift64*.
    let mut state = STATE.get();
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    STATE.set(state);
    let number = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
    let choices = u64::from(one_in) * 2 - 1;
    1 + ((number * choices) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_chosen_as_were_asked_for() {
        for one_in in [2, 10, 1000] {
            let chosen = (0..1000 * one_in).filter(|_| is_chosen(one_in)).count();
            // Five standard deviations of a sum of a thousand uniform distances.
            assert!((900..1100).contains(&chosen), "{chosen} of 1000, one in {one_in}");
        }
    }

    #[test]
    fn a_rare_choice_does_not_outlive_its_trace() {
        is_chosen(ONE_IN_MAX);
        LEFT.set(u32::MAX);
        assert!((0..20).any(|_| is_chosen(10)));
    }
}
