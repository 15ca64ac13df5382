//! The collector: the thread that takes batches from the recording threads and writes them to the
//! outputs.
//!
//! It sleeps until enough batches are sealed, until the next generation is due, or until the trace
//! is to stop. To *advance* to the next generation, it writes everything committed so far, then a
//! definition batch with the clock and the states that a reader needs to start there; and it asks
//! every thread that has recorded to restate with its next event. The collector never waits for a
//! recording thread.
//!
//! - `generation`: what a generation begins with.
//! - `requests`: outputs that come and go, and the next part of a trace.
//! - `ending`: how a file ends, and a part of a trace.
//! - `totals`: the ends of threads, and what was lost.
//! - `drain`: reads what a thread has committed.
//! - `thread_time`: what the kernel counts for each thread.

pub(crate) mod drain;
pub(crate) mod thread_time;

mod ending;
mod generation;
mod requests;
mod totals;

use self::ending::EndingFile;
use self::totals::counted_of;
use crate::annotate::future::executor;
use crate::base::error::Report;
use crate::base::primitive::Ordering;
use crate::buffer::losses::Losses;
use crate::buffer::memory::BUDGET;
use crate::collect::drain::Drain;
use crate::output::{Output, Outputs, Ring};
use crate::session::Session;
use crate::source::Source;
use crate::stack;
use crate::start::backing_file;
use crate::sys::clock::{self, Instant};
use crate::sys::handler;
use crate::sys::standstill::StandstillDetector;
use crate::thread::naming::NAME_BYTES_MAX;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use trace_format::definition::Definition;
use trace_format::facility;
#[cfg(os_hooks)]
use trace_format::id::Open;
use trace_format::id::{SiteId, StackId};
use trace_format::time::{ClockSnapshot, Nanos, Ticks};
use trace_format::value::Text;

/// When the first generation ends: soon, as readers need two clock snapshots that are far apart to
/// turn ticks into nanoseconds, and a program may be killed early.
const FIRST_ADVANCE: Duration = Duration::from_millis(20);

/// How long the previous part stays when a trace goes on in the next one: long enough even on a
/// busy machine for a thread to commit the event that it was recording.
const PREVIOUS_PART_STAYS: Duration = Duration::from_millis(20);

/// Number of spares that an idle thread keeps.
const SPARES_IDLE: usize = 2;

/// One trace's collector.
#[derive(Debug)]
pub(crate) struct Collector {
    session: Arc<Session>,
    outputs: Outputs,
    sources: Vec<Box<dyn Source>>,
    drains: Vec<Drain>,
    every: Duration,
    /// Its last snapshot.
    clock: ClockSnapshot,
    threads: u64,
    /// Whether the trace says that the program's clock is not the kernel's.
    has_clock_note: bool,
    /// How many unlisted futures the trace has said there are.
    unlisted: u64,
    /// What was lost by threads that have ended.
    lost: Losses,
    /// The previous part, while it ends on its own thread.
    part_ending: Option<EndingFile>,
}

impl Collector {
    /// Makes a collector, and writes the beginning of the trace: the process, the clock, the call
    /// sites.
    ///
    /// # Errors
    /// The writer's.
    pub(crate) fn begin(
        session: Arc<Session>,
        output: Output,
        sources: Vec<Box<dyn Source>>,
        every: Duration,
        beginning: &[Definition<'_>],
    ) -> io::Result<Self> {
        let mut collector = Self {
            session,
            outputs: Outputs::new(output),
            sources,
            drains: Vec::new(),
            every,
            clock: ClockSnapshot::default(),
            threads: 0,
            has_clock_note: false,
            unlisted: 0,
            lost: Losses::default(),
            part_ending: None,
        };
        beginning.iter().for_each(|definition| collector.outputs.define(definition));
        #[cfg(os_hooks)]
        crate::intern::resources::RESOURCES.begin();
        collector.outputs.define_interned();
        collector.put_generation();
        // Tasks and futures that are still open since before this trace.
        collector.put_tasks();
        collector.put_futures();
        collector.sources.iter_mut().for_each(|source| source.begin(&mut collector.outputs));
        collector.put_rate();
        collector.outputs.write_definitions();
        collector.outputs.flush();
        executor::begin_generation();
        let Some(file) = collector.outputs.file() else { return Ok(collector) };
        file.note_begin();
        file.take_error().map_or(Ok(collector), Err)
    }

    /// Collects until the session ends. Returns the report on the trace, if it still has a file,
    /// and the first failure.
    pub(crate) fn run(mut self) -> (Report, Option<io::Error>) {
        let _suppressed = crate::thread::local::suppress();
        let mut standstill = StandstillDetector::new();
        let mut advance_at = Instant::now() + self.every.min(FIRST_ADVANCE);
        let mut look_at = self.next_look();
        while !self.session.is_ended() {
            let now = Instant::now();
            let requests = self.session.take_requests();
            if !requests.is_empty() {
                requests.into_iter().for_each(|request| self.answer(request));
            } else if self.outputs.file().is_some_and(|file| file.is_full(now)) && self.next_part()
            {
                advance_at = Instant::now() + PREVIOUS_PART_STAYS.min(self.every);
            } else if now >= advance_at || self.outputs.ring().is_some_and(Ring::wants_advance) {
                self.define_if_any(standstill.look());
                self.advance();
                // That has collected from the sources, too.
                (advance_at, look_at) = (Instant::now() + self.every, self.next_look());
            } else if self.session.take_wanted() {
                self.sweep();
            } else if self.session.take_crowded() {
                self.collect();
                self.give_up_idle_names();
            } else if self.session.take_sealed() > 0 {
                self.collect();
            } else if now >= look_at {
                self.collect();
                look_at = self.next_look();
            } else {
                self.define_if_any(standstill.park_until(advance_at.min(look_at)));
            }
        }
        self.stop()
    }

    /// Adds a definition, if there is one.
    fn define_if_any(&mut self, found: Option<Definition<'_>>) {
        if let Some(found) = found {
            self.outputs.define(&found);
        }
    }

    /// When to collect from the sources again; after the next generation if no source says.
    fn next_look(&self) -> Instant {
        let every = self.sources.iter().filter_map(|source| source.collect_every()).min();
        Instant::now() + every.unwrap_or(2 * self.every)
    }

    /// Writes everything that is committed. Returns whether it has given back a batch, to its
    /// thread or to the system.
    fn collect(&mut self) -> bool {
        let news = self.session.take_news();
        for switch in news.switches {
            self.outputs.define(&Definition::Switch {
                site: SiteId(switch.site),
                on: switch.on,
                ticks: Ticks(switch.ticks),
            });
        }
        for thread in news.threads {
            self.threads += 1;
            stack::note_used(thread.identity.spawn.stack);
            self.outputs.define(&Definition::Thread {
                id: thread.id,
                os_id: thread.identity.os_id,
                name: thread.identity.name.as_bytes(),
                first: Ticks(thread.begin),
                parent: thread.identity.spawn.parent,
                stack: StackId(thread.identity.spawn.stack),
                entry: thread.identity.spawn.entry,
            });
            self.define_if_any(thread_time::at_begin(&thread));
            self.drains.push(Drain::new(thread));
        }
        for (id, ticks, name) in news.names {
            let name = Text::cut(name.as_bytes(), NAME_BYTES_MAX).bytes;
            self.outputs.define(&Definition::ThreadName { id, ticks: Ticks(ticks), name });
        }
        self.outputs.define_interned();
        self.outputs.write_definitions();
        let mut gave = false;
        for thread in &mut self.drains {
            gave |= drain(thread, &mut self.outputs);
        }
        for source in &mut self.sources {
            source.collect(&mut self.outputs);
        }
        if gave {
            self.session.note_sweep(true);
        }
        gave
    }

    /// Frees memory for a thread that has none: all batches that no thread has open.
    fn sweep(&mut self) {
        self.note_exits();
        let gave = self.collect();
        let trim = |freed, drain: &Drain| drain.thread.spares.trim(0) || freed;
        let trimmed = self.drains.iter().fold(false, trim);
        let released = self.release_exited();
        self.outputs.write_definitions();
        self.session.note_sweep(gave || trimmed || released);
    }

    /// Notes which threads have exited. To be called before the last look at them: such a thread
    /// has committed all its events.
    fn note_exits(&mut self) {
        for drain in &mut self.drains {
            let exited = drain.thread.exited.load(Ordering::Acquire);
            drain.exited = (exited != 0).then_some(Ticks(exited));
        }
    }

    /// Releases threads that have ended, after the last look at them. Returns whether there were
    /// any.
    fn release_exited(&mut self) -> bool {
        let (exited, alive): (Vec<_>, _) =
            self.drains.drain(..).partition(|drain| drain.exited.is_some());
        self.drains = alive;
        self.put_ends(&exited);
        !exited.is_empty()
    }

    /// Ends a generation and begins the next.
    fn advance(&mut self) {
        self.session.take_sealed();
        self.note_exits();
        self.collect();
        if !self.outputs.take_previous_part_grew() {
            self.end_previous_part();
        }
        self.take_ended_part();
        let states = self.states();
        self.begin_generation(states);
        self.give_up_idle_names();
        for drain in &self.drains {
            if drain.has_begun() {
                drain.thread.retire();
            } else {
                drain.thread.spares.trim(SPARES_IDLE);
            }
        }
        if self.release_exited() {
            self.session.note_sweep(true);
        }
        self.look_after_ring();
        self.look_after_backing_file();
        self.outputs.write_definitions();
        self.outputs.flush();
        executor::begin_generation();
        handler::look();
        #[cfg(not(exectrace_loom))]
        crate::thread::limbo::empty();
    }

    /// Gives up names that are not used any more.
    fn give_up_idle_names(&mut self) {
        #[cfg(os_hooks)]
        {
            let open = self.drains.iter().flat_map(Drain::maybe_open);
            let resource = |open| match open {
                Open::Call(call) => Some(call.resource),
                _ => None,
            };
            let held = open.filter_map(resource).collect();
            self.outputs.give_up_idle_names(&held);
        }
    }

    /// Writes names anew to the ring's file if its table is full, and says in the trace what has
    /// happened to the file.
    fn look_after_ring(&mut self) {
        self.outputs.renew_names();
        if let Some((on, news)) = self.outputs.ring_mut().and_then(|ring| ring.take_news()) {
            let (name, note) = (facility::MAPPED.as_bytes(), news.as_bytes());
            self.outputs.define(&Definition::Facility { name, on, note });
        }
    }

    /// Says in the trace what other programs have done to the file beside it.
    fn look_after_backing_file(&mut self) {
        if let Some(fault) = backing_file::take_fault() {
            let (name, note) = (facility::LIVE.as_bytes(), fault.as_bytes());
            self.outputs.define(&Definition::Facility { name, on: false, note });
        }
    }

    /// Ends the trace. No thread opens another batch any more.
    fn stop(mut self) -> (Report, Option<io::Error>) {
        self.collect();
        self.note_exits();
        self.drains.iter().for_each(|drain| drain.thread.retire());
        self.collect();
        self.end_previous_part();
        let states = self.states();
        // The times that the kernel counted are written up to the end, also for idle threads.
        self.drains.iter_mut().for_each(|drain| drain.kernel.define_again());
        self.begin_generation(states);
        self.sources.iter_mut().for_each(|source| source.stop(&mut self.outputs));
        self.look_after_backing_file();
        let drains = std::mem::take(&mut self.drains);
        self.put_ends(&drains);
        drains.iter().for_each(|drain| _ = drain.thread.spares.trim(0));
        let lost = self.tally(counted_of).total();
        self.end_ring(lost);
        self.wait_for_part();
        let Some(mut file) = self.outputs.detach_file() else {
            let Losses { events: dropped_events, ends: dropped_ends } = lost;
            return (Report { dropped_events, dropped_ends, ..Report::default() }, None);
        };
        let report = self.put_stop(&mut file, lost);
        file.end(report)
    }

    /// Ends the ring, after the ends of its threads, so that its file has a complete trace. `lost`:
    /// in the whole session.
    fn end_ring(&mut self, lost: Losses) {
        if let Some(ring) = self.outputs.ring_mut() {
            let Losses { events: dropped_events, ends: dropped_ends } = ring.lost(lost);
            ring.define(&Definition::Stop {
                ticks: Ticks(clock::ticks()),
                events: 0,
                dropped_events,
                dropped_ends,
                tracer_cpu: Nanos(clock::thread_cpu()),
                memory_max: BUDGET.used_max() as u64,
            });
            ring.flush();
        }
        // The last names may not have fitted into the table.
        self.look_after_ring();
        self.outputs.detach_ring();
    }
}

fn drain(drain: &mut Drain, outputs: &mut Outputs) -> bool {
    drain.drain(outputs.generation, &mut |info, bytes, reported| {
        outputs.events(info, bytes, reported);
    })
}
