//! Which threads are watched on which CPUs: all threads on all CPUs, as far as the program can
//! spare descriptors.
//!
//! The kernel watches a new thread from its begin if its parent is watched. Elsewhere: how to watch
//! (`perf`), where records arrive (`ring`).

use super::perf::{Manner, PerfEvent, WatchKind, descriptors_max, refusal, refusal_of_memory};
use super::ring::{PerfRing, page_bytes};
use crate::source::proc_folder::{self, threads};
use crate::sys::clock;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;

/// Maximum bytes of a ring: what the kernel allows a user per CPU by default.
pub(super) const RING_BYTES_MAX: usize = 512 << 10;

/// Minimum bytes of a ring.
const RING_BYTES_MIN: usize = 16 << 10;

/// One in this number of the program's descriptors may be used.
const DESCRIPTORS_SHARE: usize = 4;

/// How often the threads are listed again, to find those that began meanwhile with a parent that
/// was not watched yet.
const ROUNDS: usize = 4;

/// All that is watched. The rings are dropped first.
#[derive(Debug)]
pub(super) struct Cover {
    /// Each CPU's ring, with the event it was mapped for.
    pub(super) rings: Vec<(u32, PerfRing, usize)>,
    pub(super) events: Vec<PerfEvent>,
    /// The threads that are watched from the start, by the system's ids.
    pub(super) threads: BTreeMap<u32, Covered>,
    kinds: Vec<WatchKind>,
    manner: Manner,
    ring_bytes: usize,
    /// Number of threads that are not watched, and why the first is not.
    missed: usize,
    reason: Option<String>,
}

/// A thread that is watched from the start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Covered {
    /// Since when it is watched, in ticks.
    pub(super) since: u64,
    /// The index of its first event; its events for the CPUs follow each other.
    pub(super) first_event: usize,
}

impl Cover {
    /// Watches all threads of this process. The first of `kinds` is the one for switches.
    ///
    /// # Errors
    /// The note for the trace, if no thread can be watched.
    pub(super) fn new(kinds: Vec<WatchKind>, manner: Manner) -> Result<Self, String> {
        let mut cover = Self {
            rings: Vec::new(),
            events: Vec::new(),
            threads: BTreeMap::new(),
            kinds,
            manner,
            ring_bytes: RING_BYTES_MAX,
            missed: 0,
            reason: None,
        };
        let descriptors = descriptors_max() / DESCRIPTORS_SHARE;
        let mut cpus = online();
        let listed = threads().map_err(|error| proc_folder::refusal(&error))?;
        if listed.len() * cpus.len() * cover.kinds.len() > descriptors {
            let allowed = allowed();
            cpus.retain(|cpu| allowed.contains(cpu));
        }
        let mut seen = BTreeSet::new();
        for _ in 0..ROUNDS {
            let listed = threads().unwrap_or_default();
            let fresh: Vec<_> = listed.into_iter().filter(|id| seen.insert(*id)).collect();
            if fresh.is_empty() {
                break;
            }
            for thread in fresh {
                let wanted = cpus.len() * cover.kinds.len();
                if cover.events.len() + wanted > descriptors {
                    cover.miss(format!(
                        "at most a quarter of the program's descriptors is used, here \
                         {descriptors} (ulimit -n), and a thread needs {wanted}"
                    ));
                } else {
                    cover.thread(thread, &cpus);
                }
            }
        }
        if cover.threads.is_empty() {
            return Err(cover.reason.unwrap_or_else(|| "there is no CPU".to_owned()));
        }
        Ok(cover)
    }

    /// The note for the trace: what is watched.
    pub(super) fn how(&self) -> String {
        let bytes = self.rings.iter().map(|(_, ring, _)| ring.bytes()).min().unwrap_or(0);
        let (threads, cpus) = (self.threads.len(), self.rings.len());
        let missed = match &self.reason {
            Some(reason) if self.missed > 0 => {
                format!("; threads not watched: {}, as {reason}", self.missed)
            }
            _ => String::new(),
        };
        let kib = bytes >> 10;
        format!("perf_event_open; threads at start: {threads}; {cpus} rings of {kib} KiB{missed}")
    }

    /// Bytes of a ring.
    pub(super) fn ring_bytes(&self) -> usize {
        self.ring_bytes
    }

    /// The event for switches of a thread on the CPU of a ring. These events have the order of the
    /// rings.
    pub(super) fn event_on(&self, thread: Covered, ring: usize) -> Option<&PerfEvent> {
        self.events.get(thread.first_event + ring * self.kinds.len())
    }

    fn miss(&mut self, reason: String) {
        self.missed += 1;
        self.reason.get_or_insert(reason);
    }

    fn thread(&mut self, thread: u32, cpus: &[u32]) {
        let first_event = self.events.len();
        for (at, &cpu) in cpus.iter().enumerate() {
            for kind in 0..self.kinds.len() {
                match self.event(self.kinds[kind], thread, at, cpu) {
                    Ok(()) => {}
                    // The thread has ended.
                    Err(None) => return self.events.truncate(first_event.max(self.owners())),
                    Err(Some(reason)) => {
                        self.events.truncate(first_event.max(self.owners()));
                        return self.miss(reason);
                    }
                }
            }
        }
        self.threads.insert(thread, Covered { since: clock::ticks(), first_event });
    }

    /// Number of events up to the last one for which a ring was mapped.
    fn owners(&self) -> usize {
        self.rings.iter().map(|(_, _, owner)| owner + 1).max().unwrap_or(0)
    }

    /// Watches one thread on the CPU that is number `at` of those watched.
    ///
    /// # Errors
    /// Why it can't be done; `None` if the thread has ended.
    fn event(
        &mut self,
        kind: WatchKind,
        thread: u32,
        at: usize,
        cpu: u32,
    ) -> Result<(), Option<String>> {
        let told = |error: io::Error| {
            let gone = error.raw_os_error() == Some(libc::ESRCH);
            if gone { None } else { Some(refusal(&error)) }
        };
        let event = PerfEvent::open(kind, self.manner, thread, Some(cpu)).map_err(told)?;
        match self.rings.get(at) {
            Some(&(_, _, owner)) => event.write_to(&self.events[owner]).map_err(told)?,
            None => {
                let ring = self.map(&event).map_err(|error| Some(refusal_of_memory(&error)))?;
                self.rings.push((cpu, ring, self.events.len()));
            }
        }
        event.enable().map_err(told)?;
        self.events.push(event);
        Ok(())
    }

    /// Maps a ring as large as memory allows, but not larger than the previous ones.
    fn map(&mut self, event: &PerfEvent) -> io::Result<PerfRing> {
        loop {
            match PerfRing::map(event.descriptor(), self.ring_bytes) {
                Err(_) if self.ring_bytes / 2 >= RING_BYTES_MIN.max(page_bytes()) => {
                    self.ring_bytes /= 2;
                }
                mapped => return mapped,
            }
        }
    }
}

/// The CPUs that are there.
fn online() -> Vec<u32> {
    let told = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let cpus = list(&told);
    if cpus.is_empty() {
        let count = std::thread::available_parallelism().map_or(1, |count| count.get() as u32);
        return (0..count).collect();
    }
    cpus
}

/// A CPU that is there.
pub(super) fn any_cpu() -> u32 {
    online().first().copied().unwrap_or(0)
}

/// The CPUs that some thread of this process may run on now.
fn allowed() -> BTreeSet<u32> {
    let mut cpus = BTreeSet::new();
    for thread in threads().unwrap_or_default() {
        let status = fs::read_to_string(format!("/proc/self/task/{thread}/status"));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        cpus.extend(list(line.unwrap_or_default()));
    }
    cpus
}

/// The numbers of a list like `0-3,8`.
fn list(text: &str) -> Vec<u32> {
    let ranges = text.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    ranges.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_read_as_the_kernel_writes_them() {
        assert_eq!(list("0-3,8\n"), [0, 1, 2, 3, 8]);
        assert_eq!(list("\t5"), [5]);
        assert_eq!(list(""), [0_u32; 0]);
    }
}
