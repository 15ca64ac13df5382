//! What a trace's definitions say, owned, with names made valid text once.
//!
//! The memory is in proportion to the definitions that are really in the file: an absurd id costs
//! an entry of a map, never an array of its size. The states at the beginnings of generations are
//! not kept; `TraceFile::state_at` loads one when it is needed.
//!
//! - `sites`: call sites. `items`: threads, the process, generations. `program`: modules, stacks,
//!   functions, resources, the heap. All private, and named here.

mod items;
mod program;
mod sites;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

pub use items::{
    Counted, FutureState, Generation, Process, Stop, Stopped, Switch, TaskState, Thread, ThreadEnd,
    ThreadState, ThreadTimes,
};
pub use program::{Facility, Function, HeapState, Module, Resource, Stack};
pub use sites::{Callsite, Callsites};

use super::clock::Clock;
use super::error::{ReadError, ReadErrorKind};
use super::stream::Batch;
use crate::definition::{Definition, StackFlags};
use crate::id::{FutureId, ResourceId, SiteId, StackId, ThreadId};
use crate::time::Ticks;

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
    /// Executables and libraries, by their first address.
    pub modules: BTreeMap<u64, Module>,
    /// The stacks that events name.
    pub stacks: BTreeMap<StackId, Stack>,
    /// What calls are about.
    pub resources: BTreeMap<ResourceId, Resource>,
    /// The functions at addresses of stacks, innermost inlined one first; only in a trace that was
    /// symbolised.
    pub symbols: BTreeMap<u64, Vec<Function>>,
    /// Whether parts of the recorder worked, by name; the last definition of each counts.
    pub facilities: BTreeMap<String, Facility>,
    /// The heap over time, in file order.
    pub heap: Vec<HeapState>,
    /// Futures that lived when a generation began, by their last states; the first [`FUTURES_MAX`].
    pub futures: BTreeMap<FutureId, FutureState>,
    /// When the whole process stood still, in file order; the first [`STOPS_MAX`].
    pub stops: Vec<Stopped>,
    /// What the kernel has counted for threads.
    pub thread_times: BTreeMap<ThreadId, ThreadTimes>,
    /// Number of definitions of kinds that only a newer version knows.
    pub unknown: u64,
    /// How many addresses `stacks` hold.
    addresses: usize,
    /// The batch that is being applied was written in a generation whose events are gone.
    is_old: bool,
}

impl Tables {
    /// Adds what one definition says. It refuses none: it ignores repeated definitions, and absurd
    /// clock snapshots.
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
            &Definition::Thread { id, os_id, name, first, parent, stack, entry } => {
                let thread = self.thread_mut(id, first);
                (thread.os_id, thread.first) = (os_id, first);
                (thread.parent, thread.stack, thread.entry) = (parent, stack, entry);
                thread.rename(first, text(name));
            }
            &Definition::ThreadEnd { id, ended, ticks, events, dropped_events, dropped_ends } => {
                let thread = self.thread_mut(id, ticks);
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
            definition => self.apply_of_program(definition),
        }
    }

    /// Adds what a definition says of the program itself.
    fn apply_of_program(&mut self, definition: &Definition<'_>) {
        match definition {
            &Definition::ThreadName { id, ticks, name } => {
                self.thread_mut(id, ticks).rename(ticks, text(name));
            }
            &Definition::Module { first, last, bias, build_id, path } => {
                let (build_id, path) = (build_id.to_vec(), text(path));
                self.modules.insert(first, Module { first, last, bias, build_id, path });
            }
            Definition::Stack { id, flags, addresses } => self.note_stack(*id, *flags, addresses),
            &Definition::Resource { id, kind, value, name } => {
                let resource = || Resource { id, kind, value, name: text(name) };
                self.resources.entry(id).or_insert_with(resource);
            }
            Definition::Symbol { address, functions } => {
                self.symbols.insert(*address, functions.iter().map(Function::new).collect());
            }
            &Definition::Facility { name, on, note } => {
                let (name, note) = (text(name), text(note));
                self.facilities.insert(name.clone(), Facility { name, on, note });
            }
            &Definition::Heap {
                ticks,
                live_bytes,
                live_allocations,
                allocated_bytes,
                allocations,
                sample_bytes,
            } => self.heap.push(HeapState {
                ticks,
                live_bytes,
                live_allocations,
                allocated_bytes,
                allocations,
                sample_bytes,
            }),
            &Definition::FutureState {
                id,
                parent,
                task,
                site,
                begin,
                spawned,
                waits_at,
                since,
            } => self.note_future(FutureState {
                id,
                parent,
                task,
                site,
                begin,
                spawned,
                waits_at,
                since,
                is_old: self.is_old,
            }),
            &Definition::Stopped { from, to, suspended } => {
                if self.stops.len() < STOPS_MAX {
                    self.stops.push(Stopped { from, to, suspended });
                }
            }
            &Definition::ThreadTime { id, ticks, cpu, ready } => {
                self.thread_times.entry(id).or_default().note(ticks, cpu, ready);
            }
            _ => self.unknown += 1,
        }
    }

    fn note_stack(&mut self, id: StackId, mut flags: StackFlags, addresses: &[u64]) {
        if let Entry::Vacant(place) = self.stacks.entry(id) {
            let kept = addresses.len().min(ADDRESSES_MAX - self.addresses);
            self.addresses += kept;
            flags.cut |= kept < addresses.len();
            place.insert(Stack { id, flags, addresses: addresses[..kept].into() });
        }
    }

    fn note_future(&mut self, state: FutureState) {
        let is_newer = |old: &FutureState| old.is_old || !state.is_old;
        if !self.futures.get(&state.id).is_none_or(is_newer) {
            return;
        }
        if self.futures.len() < FUTURES_MAX || self.futures.contains_key(&state.id) {
            self.futures.insert(state.id, state);
        }
    }

    /// Applies all definitions of a batch.
    ///
    /// # Errors
    /// `DefinitionFaulty` if bytes in it are no definition; those before have been applied.
    pub fn apply_batch(&mut self, batch: &Batch<'_>) -> Result<(), ReadError> {
        self.is_old = batch.header.generation == 0;
        let mut definitions = batch.definitions();
        for definition in definitions.by_ref() {
            self.apply(&definition);
        }
        self.is_old = false;
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

    /// The name of a thread for people: its own, or `thread 7`; for the lane of a CPU `cpu 3`.
    #[must_use]
    pub fn thread_name(&self, id: ThreadId) -> Cow<'_, str> {
        match (self.threads.get(&id), id.as_cpu()) {
            (Some(thread), _) if !thread.name.is_empty() => Cow::Borrowed(&thread.name),
            (_, Some(cpu)) => Cow::Owned(format!("cpu {cpu}")),
            _ => Cow::Owned(format!("thread {}", id.0)),
        }
    }

    /// The module an address lies in. Of modules that overlap, the one that begins last.
    #[must_use]
    pub fn module_at(&self, address: u64) -> Option<&Module> {
        let below = self.modules.range(..=address).rev();
        below.take(OVERLAPPING_MAX).map(|(_, module)| module).find(|it| it.contains(address))
    }

    fn thread_mut(&mut self, id: ThreadId, first: Ticks) -> &mut Thread {
        self.threads.entry(id).or_insert_with(|| Thread::unknown(id, first))
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

/// Maximum number of futures that are kept of those that lived when a generation began.
pub const FUTURES_MAX: usize = 1 << 20;

/// Maximum number of times of standing still that are kept: one every minute for two months.
pub const STOPS_MAX: usize = 100_000;

/// Maximum number of addresses of all stacks together: 128 MiB. The stacks of a recorder have at
/// most a quarter of that. Without a limit, a few compressed bytes could take any amount of memory.
const ADDRESSES_MAX: usize = 1 << 24;

/// Maximum number of modules below an address that are searched. Modules do not overlap, so the
/// first one has the address; in a trace where they overlap, the search has to end.
const OVERLAPPING_MAX: usize = 16;

/// Bytes as text; what is not UTF-8 becomes U+FFFD.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
