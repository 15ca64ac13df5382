//! What a trace's definitions say, owned, with names made valid text once.
//!
//! Memory is in proportion to the definitions that are really in the file: an absurd id costs a
//! map's entry, never an array of its size. The states at the beginnings of generations are not
//! kept; `TraceFile::state_at` loads one when it is wanted.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::clock::Clock;
use super::error::{ReadError, ReadErrorKind};
use super::stream::Batch;
use crate::definition::{ArgumentKind, CallsiteKind, Definition, OpenSince};
use crate::id::{SiteId, TaskId, ThreadId};
use crate::time::{ClockKind, Nanos, Ticks};

/// A place in the source that emits events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callsite {
    /// Events name it by this.
    pub id: SiteId,
    /// What it emits.
    pub kind: CallsiteKind,
    /// Its name.
    pub name: String,
    /// The module it is in.
    pub module: String,
    /// The source file, as the compiler was given it.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// Regions shorter than this left nothing behind; 0 for none.
    pub min: Nanos,
    /// Names and kinds of its arguments, in the order of its values.
    pub arguments: Vec<(String, ArgumentKind)>,
}

/// A thread of the traced program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Batches name it by this.
    pub id: ThreadId,
    /// The system's id; 0 if its definition is missing.
    pub os_id: u64,
    /// Its name; may be empty.
    pub name: String,
    /// When it recorded for the first time.
    pub first: Ticks,
    /// Its totals, if the trace has them.
    pub end: Option<ThreadEnd>,
}

/// What is known of a thread when it, or the trace, has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadEnd {
    /// Whether the thread has ended; else only the trace has.
    pub ended: bool,
    /// When that was noticed.
    pub ticks: Ticks,
    /// Events it wrote, in all its batches.
    pub events: u64,
    /// Events that were not written for want of memory.
    pub dropped_events: u64,
    /// Ends that were not written for want of memory.
    pub dropped_ends: u64,
}

/// What was traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The system's id.
    pub pid: u64,
    /// The file name of the executable.
    pub executable: String,
    /// As in `std::env::consts::OS`.
    pub os: String,
    /// As in `std::env::consts::ARCH`.
    pub arch: String,
    /// What stamps events.
    pub clock: ClockKind,
    /// The recorder's version.
    pub tracer: String,
}

/// The trace's totals, written when it was stopped properly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// When.
    pub ticks: Ticks,
    /// Events in all batches.
    pub events: u64,
    /// Events that were not written for want of memory.
    pub dropped_events: u64,
    /// Ends that were not written for want of memory.
    pub dropped_ends: u64,
    /// CPU time the recorder took beside the traced threads.
    pub tracer_cpu: Nanos,
    /// The most bytes that batches took.
    pub memory_max: u64,
}

/// The begin of a stretch of trace that stands by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// From 1.
    pub number: u32,
    /// When.
    pub ticks: Ticks,
}

/// What was open on a thread when a generation began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadState {
    /// Which.
    pub id: ThreadId,
    /// The generation's number.
    pub generation: u32,
    /// The state is the one before the payload byte `offset` of the batch `sequence`.
    pub sequence: u32,
    /// See `sequence`.
    pub offset: u32,
    /// Regions deeper than the recorder can list are open as well.
    pub more: bool,
    /// Outermost first.
    pub open: Vec<OpenSince>,
}

/// A task that was open when a generation began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskState {
    /// Which.
    pub id: TaskId,
    /// The task it belongs to; 0 for none.
    pub parent: TaskId,
    /// Its name.
    pub name: String,
    /// Its true begin.
    pub begin: Ticks,
}

/// A call site was switched on or off while the trace ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// Which.
    pub site: SiteId,
    /// Now.
    pub on: bool,
    /// When.
    pub ticks: Ticks,
}

/// Call sites by id.
#[derive(Clone, Debug, Default)]
pub struct Callsites {
    /// Those with the ids below [`DENSE_MAX`], which are all a real program has.
    dense: Vec<Option<Box<Callsite>>>,
    others: BTreeMap<SiteId, Callsite>,
    count: usize,
}

/// Ids from here on are kept in a map: an array of 2^32 entries is no answer to one odd id.
const DENSE_MAX: usize = 1 << 16;

impl Callsites {
    /// The call site with this id.
    #[must_use]
    pub fn get(&self, id: SiteId) -> Option<&Callsite> {
        match self.dense.get(id.0 as usize) {
            Some(site) => site.as_deref(),
            None => self.others.get(&id),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Callsite> {
        self.dense.iter().filter_map(Option::as_deref).chain(self.others.values())
    }

    /// Adds one; of two with the same id the first stays, as events before the second mean it.
    fn add(&mut self, site: Callsite) {
        let at = site.id.0 as usize;
        if self.get(site.id).is_some() {
            return;
        }
        self.count += 1;
        if at >= DENSE_MAX {
            self.others.insert(site.id, site);
            return;
        }
        if at >= self.dense.len() {
            self.dense.resize(at + 1, None);
        }
        self.dense[at] = Some(Box::new(site));
    }
}

/// Everything a trace's definitions say, as far as they have been applied.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// What was traced.
    pub process: Option<Process>,
    /// Where events come from.
    pub callsites: Callsites,
    /// Who recorded.
    pub threads: BTreeMap<ThreadId, Thread>,
    /// Ticks to nanoseconds.
    pub clock: Clock,
    /// The beginnings of generations, in file order.
    pub generations: Vec<Generation>,
    /// Call sites switched on and off, in file order.
    pub switches: Vec<Switch>,
    /// The totals, if the trace was stopped properly.
    pub stop: Option<Stop>,
    /// How many definitions were of a kind that only a newer version knows.
    pub unknown: u64,
}

impl Tables {
    /// Adds what one definition says. Nothing is refused: a repeated definition is ignored, an
    /// absurd clock snapshot too.
    pub fn apply(&mut self, definition: &Definition<'_>) {
        match definition {
            Definition::Process { pid, executable, os, arch, clock, tracer } => {
                self.clock.set_kind(*clock);
                self.process.get_or_insert_with(|| Process {
                    pid: *pid,
                    executable: text(executable),
                    os: text(os),
                    arch: text(arch),
                    clock: *clock,
                    tracer: text(tracer),
                });
            }
            Definition::Clock(snapshot) => self.clock.add(*snapshot),
            Definition::Callsite { .. } => self.apply_callsite(definition),
            Definition::Thread { id, os_id, name, first } => {
                let end = self.threads.get(id).and_then(|thread| thread.end);
                let (os_id, name) = (*os_id, text(name));
                self.threads.insert(*id, Thread { id: *id, os_id, name, first: *first, end });
            }
            &Definition::ThreadEnd { id, ended, ticks, events, dropped_events, dropped_ends } => {
                let thread = self.threads.entry(id).or_insert_with(|| Thread {
                    id,
                    os_id: 0,
                    name: String::new(),
                    first: ticks,
                    end: None,
                });
                thread.end = Some(ThreadEnd { ended, ticks, events, dropped_events, dropped_ends });
            }
            &Definition::Generation { number, ticks } => {
                self.generations.push(Generation { number, ticks });
            }
            &Definition::Switch { site, on, ticks } => {
                self.switches.push(Switch { site, on, ticks });
            }
            &Definition::Stop {
                ticks,
                events,
                dropped_events,
                dropped_ends,
                tracer_cpu,
                memory_max,
            } => {
                let counts = (dropped_events, dropped_ends);
                let (dropped_events, dropped_ends) = counts;
                self.stop = Some(Stop {
                    ticks,
                    events,
                    dropped_events,
                    dropped_ends,
                    tracer_cpu,
                    memory_max,
                });
            }
            Definition::ThreadState { .. } | Definition::TaskState { .. } => {}
            Definition::Unknown { .. } => self.unknown += 1,
        }
    }

    /// Applies all definitions of a batch.
    ///
    /// # Errors
    /// `DefinitionFaulty` if bytes in it are none; those before have been applied.
    pub fn apply_batch(&mut self, batch: &Batch<'_>) -> Result<(), ReadError> {
        let mut definitions = batch.definitions();
        for definition in definitions.by_ref() {
            self.apply(&definition);
        }
        match definitions.rest() {
            0 => Ok(()),
            rest => {
                let at = batch.payload.len() - rest;
                let kind = ReadErrorKind::DefinitionFaulty { at };
                Err(ReadError::new(batch.offset_of(at), kind))
            }
        }
    }

    /// The call site with this id, if it is defined.
    #[must_use]
    pub fn callsite(&self, id: SiteId) -> Option<&Callsite> {
        self.callsites.get(id)
    }

    /// What people call a thread: its name, or `thread 7`.
    #[must_use]
    pub fn thread_name(&self, id: ThreadId) -> Cow<'_, str> {
        match self.threads.get(&id) {
            Some(thread) if !thread.name.is_empty() => Cow::Borrowed(&thread.name),
            _ => Cow::Owned(format!("thread {}", id.0)),
        }
    }

    fn apply_callsite(&mut self, definition: &Definition<'_>) {
        let Definition::Callsite { id, kind, name, module, file, line, column, min, arguments } =
            definition
        else {
            return;
        };
        self.callsites.add(Callsite {
            id: *id,
            kind: *kind,
            name: text(name),
            module: text(module),
            file: text(file),
            line: *line,
            column: *column,
            min: *min,
            arguments: arguments.iter().map(|(name, kind)| (text(name), *kind)).collect(),
        });
    }
}

/// Bytes as text; what is not UTF-8 becomes U+FFFD.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
