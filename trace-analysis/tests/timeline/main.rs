//! The rules that give events a meaning, and the sums of what follows.
//!
//! - `before`: what is said of what began before the trace: how long it really was.
//! - `ends`: when a trace ends: with its events, or when the recorder last looked at the clocks or
//!   stopped.
//! - `full_tables`: traces with more async places, lock addresses and lock places than there is
//!   room for: what finds none is counted, and sums are whole.
//! - `gaps`: what goes on behind a damaged batch, and what is known of the time in it.
//! - `heap`: the heap from sampled allocations: a sample of `mean` bytes stands for 1.582
//!   allocations.
//! - `holders`: who held what others waited for, for how much of that, and what it did meanwhile;
//!   from traces made by hand: one tick is a nanosecond.
//! - `hostile`: traces that no recorder writes, with right checksums: absurd times, ids and
//!   nesting.
//! - `interleaved`: regions and task runs whose guards are dropped in another order than they were
//!   made: what is read in file order and what is walked in the order of time say the same of each.
//! - `intervals`: what an observer sees of a trace: it nests, leaves no time out, points forward in
//!   time, and adds up to what the reports say of the same trace.
//! - `limits`: traces that have too much of something: what is limited stays true.
//! - `lives`: lives of threads, from traces made by hand: one tick is a nanosecond.
//! - `made`: traces that no recorder of ours writes and the format allows, or that are small and
//!   ask for much: sums are of the trace alone, and all readers say the same of a file.
//! - `places`: where and why threads wait, and who made them, from traces made by hand: one tick is
//!   a nanosecond.
//! - `profile`: where time on CPUs went: the program's own by samples, the kernel's by the calls it
//!   was for.
//! - `stack`: the stack of one thread, fed by hand: what it says has ended, when, and how.
//! - `standstill`: processes that were stopped for a while, from traces made by hand: one tick is a
//!   nanosecond.
//! - `states`: states of threads against a machine in small, which knows what each thread did at
//!   every moment.
//! - `summary`: whole traces in, sums out: what a summary says of traces whose contents are known.
//! - `window_lives`: what a window that begins or ends in the middle of things knows of the
//!   threads.
//! - `window_sums`: what a summary of any window counts, against a naive pass over what a random
//!   program did.
//!
//! Shared with others: `common`, `executor`, `machine`, `random`.

mod before;
#[path = "../common/mod.rs"]
mod common;
mod ends;
#[path = "../executor/mod.rs"]
mod executor;
mod full_tables;
mod gaps;
mod heap;
mod holders;
mod hostile;
mod interleaved;
mod intervals;
mod limits;
mod lives;
#[path = "../common/machine.rs"]
mod machine;
mod made;
mod places;
mod profile;
#[path = "../common/random.rs"]
mod random;
mod stack;
mod standstill;
mod states;
mod summary;
mod window_lives;
mod window_sums;
