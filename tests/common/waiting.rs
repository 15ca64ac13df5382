//! Waits for other threads, the collector and other processes: for the event itself, never for a
//! time after which it should have happened, because a busy machine may need longer.

use super::writers::Memory;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use trace_format::event::EventKind;
use trace_format::header::BatchKind;
use trace_format::read::{BatchReader, Tables};

/// Longer than any step takes on a busy machine, unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Time between two checks.
const PAUSE: Duration = Duration::from_millis(2);

/// Waits until `is_so` returns true, and fails if it never does.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// The memory that the present trace is written to, see [`super::record_here`].
static WRITTEN: Mutex<Option<Memory>> = Mutex::new(None);

/// While it lives, other functions here can wait for what is written to the trace.
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

/// The memory that the present trace is written to.
pub(crate) fn written() -> Memory {
    let written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    written.expect("a trace is recorded")
}

/// Waits until the present trace has `more` further generations.
pub(crate) fn wait_for_generations(more: usize) {
    wait_for_generations_in(&written(), more);
}

/// The same for another trace.
pub(crate) fn wait_for_generations_in(memory: &Memory, more: usize) {
    let generations = || tables(memory).generations.len();
    let wanted = generations() + more;
    wait_until("the collector comes by", || generations() >= wanted);
}

/// The tables of a trace that is still being written.
pub(crate) fn tables(memory: &Memory) -> Tables {
    tables_of(&memory.copy())
}

/// The same for the bytes written so far.
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

/// Whether an event has been written for which `is_it` returns true; it is called for one event
/// after another.
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

/// The system's id of the calling thread.
#[cfg(target_os = "linux")]
pub(crate) fn os_thread() -> i32 {
    let path = std::fs::read_link("/proc/thread-self").expect("the system has it");
    let id = path.file_name().and_then(|id| id.to_str()).and_then(|id| id.parse().ok());
    id.expect("a number")
}

/// Waits until that thread of this process is blocked in a call, not by a page fault.
#[cfg(target_os = "linux")]
pub(crate) fn wait_until_asleep(os_thread: i32) {
    wait_until("the thread waits", || {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{os_thread}/stat"));
        // The state is the first word after the name, which is in parentheses.
        stat.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" S")))
    });
}
