//! Names of functions, resolved inside the process when a trace or a snapshot ends: the feature
//! `names`, and `Options::names`. Such a trace can be read on a machine without the program's
//! files.
//!
//! It resolves every address in the table of stacks, which has stacks of earlier traces, too, the
//! newest first, and the functions that threads began with. One of the recorder's threads does this
//! (`exectrace names`), with all signals blocked and its own stack. The thread that ends the trace
//! waits for it, at most [`WAIT_MAX`], and takes the names that there are by then. Readers resolve
//! the rest from the program's files.
//!
//! **What can't happen.** The crate `backtrace` resolves under one lock for the whole process, and
//! allocates.
//!
//! - *A hook* never resolves, so it never waits for that lock.
//! - *A panic*: the standard library's own backtraces have another lock. A program that uses the
//!   crate itself, also in a panic hook, waits for one address at most. A dump for a panic waits at
//!   most [`WAIT_MAX`], whatever happens to the thread that resolves.
//! - *A fork* waits until the current address is resolved, at most ten seconds, as it does for the
//!   list of modules (`modules::forks`). So in the child the locks of the crate and of the loader
//!   are free, and [`TURN`] says that its owner was in another process. If one address takes longer
//!   than that, the fork goes on, and the child must not resolve names.
//! - *Out of memory*: the thread first checks how much there is (`headroom`), and frees all of it
//!   at the end.
//!
//! - `resolve`: from addresses to definitions.
//! - `program`: whether a file is the one that is mapped, and its symbol table.

mod program;
mod resolve;

use crate::base::primitive::Ordering;
use crate::base::primitive::global::AtomicU32;
use crate::intern::STACKS;
use crate::sys::clock::Instant;
use crate::thread::recorder_thread::RecorderThread;
use resolve::Resolved;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use trace_format::definition::{Definition, Definitions};
use trace_format::facility;

/// How long the end of a trace waits for names.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// How long the thread resolves: it looks at the clock after each address.
const RESOLVE_MAX: Duration = Duration::from_secs(8);

/// Pause between two looks of the waiting thread. It looks, and is not woken: the standard
/// library's waits with a limit go by the program's clock, which a library may have replaced.
const PAUSE: Duration = Duration::from_millis(1);

/// Maximum number of addresses that are resolved for one trace. The stack that exceeds it is still
/// resolved.
const ADDRESSES_MAX: usize = 1 << 16;

/// The process whose thread resolves, or 0. One thread at a time: they share what the crate has
/// read from files, and each frees it at its end.
static TURN: AtomicU32 = AtomicU32::new(0);

/// Names for one trace, and a note about them.
#[derive(Debug)]
pub(crate) struct ResolvedNames {
    definitions: Vec<u8>,
    is_on: bool,
    note: String,
}

impl ResolvedNames {
    /// Hands out all definitions: a `Symbol` per address that has names, and a `Facility`.
    pub(crate) fn for_each(&self, mut act: impl FnMut(&Definition<'_>)) {
        Definitions::new(&self.definitions).for_each(|definition| act(&definition));
        let (name, on, note) = (facility::SYMBOLS.as_bytes(), self.is_on, self.note.as_bytes());
        act(&Definition::Facility { name, on, note });
    }

    fn unavailable(why: &str) -> Self {
        let note = format!("no address was named in the process: {why}");
        Self { definitions: Vec::new(), is_on: false, note }
    }
}

/// The names of all addresses in stacks, and of these functions. Waits for the thread that
/// resolves, at most [`WAIT_MAX`], and meanwhile takes no lock that the program may hold.
///
/// - `entries`: the addresses of the functions that threads began with; 0 is none.
pub(crate) fn resolve_all(entries: impl IntoIterator<Item = u64>) -> ResolvedNames {
    let begin = Instant::now();
    let mut wanted: BTreeSet<u64> = entries.into_iter().filter(|entry| *entry != 0).collect();
    let stacks = newest_first(STACKS.count(), |id| STACKS.used(id));
    let left_out = add_stacks(&mut wanted, stacks);
    let all = wanted.len();
    // No channel: with one, the new thread would register a destructor, which takes the loader's
    // lock, and the trace may end because a library is loaded or unloaded.
    let place = Arc::new(Mutex::new(None));
    let result = Arc::clone(&place);
    let work = move || {
        let until = begin + RESOLVE_MAX;
        let work = || take_turn(until, || resolve::all(&wanted, until));
        // The waiting thread gets a result in any case. The crate panics if the program has
        // panicked in it.
        let resolved = catch_unwind(AssertUnwindSafe(work)).ok().flatten();
        *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(resolved);
    };
    if let Err(error) = RecorderThread::spawn(c"exectrace names", work) {
        return ResolvedNames::unavailable(&error.to_string());
    }
    let take = || place.lock().unwrap_or_else(PoisonError::into_inner).take();
    let mut resolved = take();
    while resolved.is_none() && begin.elapsed() < WAIT_MAX {
        thread::sleep(PAUSE);
        resolved = take();
    }
    match resolved.flatten() {
        Some(resolved) => named(resolved, all, left_out, begin.elapsed()),
        None => ResolvedNames::unavailable("it took too long, or has failed"),
    }
}

/// The stacks with the ids 1 to `count`, newest first. If there are too many, stacks that only
/// earlier traces have are left without names.
fn newest_first<S>(count: u32, get: impl Fn(u32) -> Option<S>) -> impl Iterator<Item = S> {
    (1..=count).rev().filter_map(get)
}

/// Adds the addresses of these stacks, up to the limit. Returns what was left out.
fn add_stacks(
    wanted: &mut BTreeSet<u64>,
    stacks: impl Iterator<Item = impl AsRef<[u64]>>,
) -> Option<&'static str> {
    for words in stacks {
        wanted.extend(words.as_ref().iter().skip(1));
        if wanted.len() > ADDRESSES_MAX {
            return Some("there were too many addresses for the rest");
        }
    }
    None
}

fn named(resolved: Resolved, all: usize, left_out: Option<&str>, took: Duration) -> ResolvedNames {
    let Resolved { definitions, named, .. } = resolved;
    let mut note = format!("{named} of {all} addresses were named in {} ms", took.as_millis());
    for left_out in left_out.into_iter().chain(resolved.left_out) {
        note += &format!("; {left_out}");
    }
    ResolvedNames { definitions, is_on: true, note }
}

/// Calls `act` while no other thread of this process resolves; `None` if there was no turn in time.
fn take_turn<T>(until: Instant, act: impl FnOnce() -> T) -> Option<T> {
    /// Ends the turn, also when it is dropped by a panic.
    struct Turn;
    impl Drop for Turn {
        fn drop(&mut self) {
            TURN.store(0, Ordering::Release);
        }
    }
    let own = process::id();
    loop {
        let owner = TURN.load(Ordering::Relaxed);
        let order = (Ordering::Acquire, Ordering::Relaxed);
        if owner != own && TURN.compare_exchange(owner, own, order.0, order.1).is_ok() {
            let _turn = Turn;
            return Some(act());
        }
        if Instant::now() >= until {
            return None;
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_stacks_the_newest_are_resolved() {
        let oldest = vec![0, 7];
        let newer: Vec<u64> = (0..=ADDRESSES_MAX as u64).map(|at| 1_000 + at).collect();
        let mut wanted = BTreeSet::new();
        let left_out = add_stacks(
            &mut wanted,
            newest_first(2, |id| match id {
                1 => Some(oldest.clone()),
                _ => Some([vec![0], newer.clone()].concat()),
            }),
        );
        assert!(left_out.is_some());
        assert!(newer.iter().all(|address| wanted.contains(address)) && !wanted.contains(&7));
    }

    #[test]
    fn the_turn_of_a_process_that_was_forked_from_is_not_waited_for() {
        let until = Instant::now() + Duration::from_secs(60);
        TURN.store(process::id() + 1, Ordering::Relaxed);
        assert_eq!(take_turn(until, || TURN.load(Ordering::Relaxed)), Some(process::id()));
        assert_eq!(TURN.load(Ordering::Relaxed), 0, "it is given back");
        let inner = take_turn(until, || take_turn(Instant::now(), || ()));
        assert_eq!(inner, Some(None), "two at once");
    }
}
