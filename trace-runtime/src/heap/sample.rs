//! What happens when a block is allocated and freed: almost all are only counted, a few become
//! events.
//!
//! Two kinds of blocks are in the table: the recorder's own, which are not the program's heap even
//! if the program frees them, and samples, whose end is an event, too. A sample's number is not
//! used again in this process, and the numbers from [`FIRST`] on belong to the running trace.

use super::count::{CountSlot, Crossing};
use super::{COUNTERS, TABLE, own, peak};
use crate::base::primitive::Ordering;
use crate::base::primitive::global::AtomicU64;
use crate::stack;
use crate::sys::errno;
use crate::thread::local;
use crate::thread::record;
use crate::thread::value::{EventBody, put_number};
use trace_format::event::opcode;

/// The mark of the recorder's own blocks; other marks are samples' numbers.
const RECORDERS: u64 = 0;

/// The number of the next sample.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The first number of the running trace.
static FIRST: AtomicU64 = AtomicU64::new(1);

/// Number of samples that the table had no room for.
static UNTAKEN: AtomicU64 = AtomicU64::new(0);

/// The state of the random numbers, for all threads, as it is used once in many kilobytes.
static RANDOM: AtomicU64 = AtomicU64::new(0);

/// The caller has allocated a block of `bytes`.
#[inline(always)]
pub(super) fn allocated(address: usize, bytes: usize) {
    if local::is_suppressed() {
        return allocated_suppressed(address, bytes);
    }
    if let Some((slot, crossing)) = own::allocated(bytes as u64) {
        decide(slot, crossing, address, bytes);
    }
}

/// The caller is about to free its block of `bytes`.
#[inline(always)]
pub(super) fn freeing(address: usize, bytes: usize) {
    if TABLE.may_hold(address) {
        return gone(forget(address), bytes);
    }
    own::freed(bytes as u64);
}

/// The caller's block is about to be reallocated. Takes it out of the table, and returns its mark.
#[inline(always)]
pub(super) fn take(address: usize) -> Option<u64> {
    if TABLE.may_hold(address) { forget(address) } else { None }
}

/// The block with this mark is gone.
#[inline(always)]
pub(super) fn gone(mark: Option<u64>, bytes: usize) {
    if mark != Some(RECORDERS) {
        own::freed(bytes as u64);
    }
}

/// The block with this mark was not reallocated after all.
#[inline(always)]
pub(super) fn put_back(mark: Option<u64>, address: usize, bytes: usize) {
    if let Some(mark) = mark {
        put_back_mark(mark, address, bytes);
    }
}

/// Takes the caller's block out of the table. A sample ends here, before its address can be given
/// out again.
#[cold]
#[inline(never)]
fn forget(address: usize) -> Option<u64> {
    let mark = TABLE.remove(address);
    if let Some(sample @ 1..) = mark
        && COUNTERS.mean() != 0
        && is_of_this_trace(sample)
    {
        errno::keeping(|| record_free(sample));
    }
    mark
}

/// Marks a block as the recorder's own; if there is no room for that, it counts as the program's.
#[cold]
#[inline(never)]
fn allocated_suppressed(address: usize, bytes: usize) {
    if !TABLE.insert(address, RECORDERS) {
        // If the slot stops here, the next allocation decides.
        own::allocated(bytes as u64);
    }
}

#[cold]
#[inline(never)]
fn decide(slot: &CountSlot, crossing: Crossing, address: usize, bytes: usize) {
    if COUNTERS.decide(slot, crossing, draw) {
        errno::keeping(|| record(address, bytes));
    }
    errno::keeping(|| peak::look(bytes as u64));
}

#[cold]
#[inline(never)]
fn put_back_mark(mark: u64, address: usize, bytes: usize) {
    if mark != RECORDERS {
        // Its sample has ended: it becomes another one.
        errno::keeping(|| record(address, bytes));
    } else if !TABLE.insert(address, RECORDERS) {
        // Another thread has taken the place meanwhile: the block counts as the program's from now
        // on.
        own::allocated(bytes as u64);
    }
}

/// Records the caller's block as a sample.
fn record(address: usize, bytes: usize) {
    if COUNTERS.mean() == 0 {
        return;
    }
    let sample = NEXT.fetch_add(1, Ordering::Relaxed);
    if !TABLE.insert(address, sample) {
        UNTAKEN.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let stack = stack::capture();
    let mut body = EventBody::new();
    for number in [sample, address as u64, bytes as u64, u64::from(stack)] {
        put_number(&mut body, number);
    }
    let is_wanted = || {
        let is_wanted = is_of_this_trace(sample);
        if is_wanted {
            stack::note_used(stack);
        }
        is_wanted
    };
    if record::append_if(is_wanted, opcode::ALLOC, &body) == 0 {
        // The event was lost, and counted if it belongs to a trace.
        TABLE.remove(address);
    }
}

/// Whether a sample belongs to the running trace.
fn is_of_this_trace(sample: u64) -> bool {
    sample >= FIRST.load(Ordering::Relaxed)
}

fn record_free(sample: u64) {
    let mut body = EventBody::new();
    put_number(&mut body, sample);
    record::append_if(|| is_of_this_trace(sample), opcode::FREE, &body);
}

/// Begins to sample for a trace, which has no earlier samples.
pub(super) fn begin(mean: u64) {
    FIRST.store(NEXT.load(Ordering::Relaxed), Ordering::Relaxed);
    UNTAKEN.store(0, Ordering::Relaxed);
    RANDOM.fetch_xor(crate::sys::clock::ticks(), Ordering::Relaxed);
    COUNTERS.start(mean);
}

/// Number of samples of this trace that the table had no room for.
pub(super) fn untaken() -> u64 {
    UNTAKEN.load(Ordering::Relaxed)
}

/// Bytes until the next sample: exponentially distributed around `mean`, rounded up, at least 1.
fn draw(mean: u64) -> u64 {
    // `splitmix64`: any state gives a good number, so threads need not take turns.
    let mut z = RANDOM.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    // Above 0 and at most 1, in steps of 2^-53.
    let uniform = ((z >> 11) + 1) as f64 * (1.0 / (1_u64 << 53) as f64);
    (-uniform.ln() * mean as f64).ceil().max(1.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_exponentially_distributed() {
        const DRAWS: usize = 200_000;
        const MEAN: u64 = 1 << 19;
        let mut draws: Vec<_> = (0..DRAWS).map(|_| draw(MEAN) as f64 / MEAN as f64).collect();
        draws.sort_by(f64::total_cmp);
        // Kolmogorov and Smirnov: beyond 2.5 / sqrt(n) is once in 100,000 times.
        let deviation = draws.iter().enumerate().map(|(at, draw)| {
            let (told, expected) = ((at as f64 + 0.5) / DRAWS as f64, 1.0 - (-draw).exp());
            (told - expected).abs()
        });
        let worst = deviation.fold(0.0, f64::max);
        assert!(worst < 2.5 / (DRAWS as f64).sqrt(), "{worst}");
        assert!(draw(1) >= 1);
    }
}
