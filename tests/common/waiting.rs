//! Waiting for what others do, other threads, the collector, other processes: for the thing itself,
//! never for a time in which it should have happened. On a busy machine it has not.

use super::writers::Memory;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use trace_format::event::EventKind;
use trace_format::header::BatchKind;
use trace_format::read::{BatchReader, Tables};

/// Longer than anything takes that ends at all, however busy the machine is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// Waits until it is so, and fails if it never is.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// Where the trace is written that is recorded now, see [`super::record_here`].
static WRITTEN: Mutex<Option<Memory>> = Mutex::new(None);

/// While it lives, what is written there can be waited for.
#[derive(Debug)]
pub(crate) struct Watched(());

impl Watched {
    pub(crate) fn new(memory: &Memory) -> Self {
        *WRITTEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(memory.clone());
        Self(())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        *WRITTEN.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Where the trace that is recorded now is written.
pub(crate) fn written() -> Memory {
    let written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    written.expect("a trace is recorded")
}

/// Waits until the trace that is recorded now has so many generations more: the collector has come
/// by that often.
pub(crate) fn wait_for_generations(more: usize) {
    wait_for_generations_in(&written(), more);
}

/// The same of another trace.
pub(crate) fn wait_for_generations_in(memory: &Memory, more: usize) {
    let generations = || tables(memory).generations.len();
    let wanted = generations() + more;
    wait_until("the collector comes by", || generations() >= wanted);
}

/// What a trace that is being written says so far.
pub(crate) fn tables(memory: &Memory) -> Tables {
    tables_of(&memory.copy())
}

/// The same of what has been written so far.
pub(crate) fn tables_of(bytes: &[u8]) -> Tables {
    let mut tables = Tables::default();
    let Ok(mut reader) = BatchReader::new(bytes) else { return tables };
    // The last batch may not be whole yet.
    while let Some(Ok(batch)) = reader.next_batch() {
        if batch.header.kind == BatchKind::Definitions {
            tables.apply_batch(&batch).expect("whole definitions only");
        }
    }
    tables
}

/// Whether an event of this kind has been written, or of several: `is_it` is asked of one after
/// another.
pub(crate) fn is_written(memory: &Memory, mut is_it: impl FnMut(&EventKind<'_>) -> bool) -> bool {
    let bytes = memory.copy();
    let Ok(mut reader) = BatchReader::new(&bytes[..]) else { return false };
    let mut found = false;
    while let Some(Ok(batch)) = reader.next_batch() {
        if batch.header.kind == BatchKind::Events {
            found |= batch.events().flatten().any(|event| is_it(&event.kind));
        }
    }
    found
}

/// The calling thread, as the system knows it.
#[cfg(target_os = "linux")]
pub(crate) fn os_thread() -> i32 {
    let path = std::fs::read_link("/proc/thread-self").expect("the system has it");
    let id = path.file_name().and_then(|id| id.to_str()).and_then(|id| id.parse().ok());
    id.expect("a number")
}

/// Waits until that thread of this process waits in the system, and not for a page.
#[cfg(target_os = "linux")]
pub(crate) fn wait_until_asleep(os_thread: i32) {
    wait_until("the thread waits", || {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{os_thread}/stat"));
        // The state is the first word behind the name, which is in parentheses.
        stat.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" S")))
    });
}
