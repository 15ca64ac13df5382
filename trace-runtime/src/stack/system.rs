//! Walking by the unwinder that panics use, for programs whose unwind tables have no index.
//!
//! The crate `backtrace` calls that unwinder, without its lock: `trace_unsynchronized` takes none
//! and allocates nothing itself. The unwinder may do both, so a thread that may be in a signal
//! handler does not walk, and its stack is counted as missed. The unwinder searches all tables for
//! every frame, so a thread gets one stack in [`ONE_IN`].
//!
//! May contain `unsafe`: it calls that unwinder.

use super::{Frames, MISSED, Method, Registers};
use crate::base::primitive::Ordering;
use std::cell::Cell;

/// A thread gets one of this many stacks.
pub(super) const ONE_IN: u32 = 64;

thread_local!(static ASKED: Cell<u32> = const { Cell::new(0) });

/// The id of the calling thread's stack, or 0.
///
/// - `registers`: those of the function whose callers are walked.
pub(super) fn walk(registers: &Registers, frames: &mut Frames) -> u32 {
    let asked = ASKED.get();
    ASKED.set(asked.wrapping_add(1));
    if !asked.is_multiple_of(ONE_IN) {
        return 0;
    }
    if crate::sys::handler::may_be_in_one() {
        // The unwinder may take the loader's lock, and allocate.
        MISSED.fetch_add(1, Ordering::Relaxed);
        return 0;
    }
    let is_whole = follow(registers, frames);
    frames.intern(Method::System.flags(!is_whole))
}

/// Adds the callers of the function with these registers. Returns whether the walk reached the
/// thread's start.
fn follow(registers: &Registers, frames: &mut Frames) -> bool {
    frames.count = 0;
    let (mut has_begun, mut is_whole) = (false, false);
    let mut take = |frame: &backtrace::Frame| {
        // After the begin, stack pointers are not compared: a handler's stack may lie above the
        // thread's.
        has_begun = has_begun || frame.sp().addr() > registers.sp as usize;
        if !has_begun {
            return true;
        }
        // The function that starts a thread has no caller, and the unwinder reports a null return
        // address for it. A walk that ends earlier was lost.
        is_whole = frame.ip().is_null();
        !is_whole && frames.push((frame.ip().addr() as u64).wrapping_sub(1))
    };
    // SAFETY: `trace_unsynchronized` wants that no other code uses the crate's shared state:
    // walking has none on systems with this unwinder, and `take` calls the crate only to read the
    // frame.
    unsafe { backtrace::trace_unsynchronized(&mut take) };
    is_whole
}

#[cfg(test)]
mod tests {
    use super::super::{Bounds, End, Walker, facility};
    use super::*;
    use crate::source::Source;

    /// Walks by both ways from the same place.
    #[inline(never)]
    fn both(walker: &mut Walker) -> [(Vec<u64>, bool); 2] {
        let registers = Registers::here();
        let mut frames = Frames::new();
        let is_whole = follow(&registers, &mut frames);
        let by_system = (addresses(&frames), is_whole);
        frames.count = 0;
        let end = walker.walk(&registers, Bounds::at(registers.sp as usize), &mut frames);
        [by_system, (addresses(&frames), end == End::Start)]
    }

    fn addresses(frames: &Frames) -> Vec<u64> {
        // SAFETY: `assume_init_ref` wants words that were written: `push` has written those that
        // it has counted.
        let read = |word: &std::mem::MaybeUninit<u64>| unsafe { *word.assume_init_ref() };
        frames.words[1..=frames.count].iter().map(read).collect()
    }

    #[test]
    fn the_stack_is_the_one_that_unwind_tables_give_and_has_nothing_of_the_unwinder() {
        assert!(facility::prepare(), "there is memory");
        let sink = crate::output::sink::Sink::new(Box::new(std::io::sink()), Default::default());
        let mut source = facility::StackSource::default();
        source.begin(&mut crate::output::Outputs::to_sink(sink));
        let mut walker = Walker::take().expect("nobody else walks for long");
        let [by_system, by_tables] = both(&mut walker);
        // On some systems the function that starts a thread has no unwind table: one of the walks
        // may end before it.
        let common = by_system.0.len().min(by_tables.0.len());
        assert_eq!(by_system.0[..common], by_tables.0[..common]);
        assert!(
            by_system.0.len().abs_diff(by_tables.0.len()) <= 1,
            "{by_system:x?} {by_tables:x?}"
        );
        if cfg!(all(target_arch = "x86_64", target_env = "gnu")) {
            assert_eq!(by_system, by_tables);
        }
        assert!(by_tables.0.len() > 2 && by_tables.1, "{by_tables:x?}");
    }
}
