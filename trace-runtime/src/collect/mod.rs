//! The collector: the thread that brings batches from the recording threads to the sink.
//!
//! It sleeps until enough is sealed, until the next cut is due, or until the trace is to stop. A
//! *cut* ends a generation: everything committed so far is written, then a definition batch with
//! the clock and the states that a reader needs to start there; and every thread that has recorded
//! is asked to restate with its next event. Nothing here ever waits for a recording thread.
//!
//! - `generation`: what a generation begins with.
//! - `ending`: how a file ends, and a part of a trace.
//! - `drain`: reads what a thread has committed.
//! - `thread_time`: what the kernel counts for each thread.

pub(crate) mod drain;
pub(crate) mod thread_time;

mod ending;
mod generation;

use self::ending::Ending;
use self::generation::States;
use crate::annotate::future::hooked;
use crate::base::error::Report;
use crate::base::primitive::{AtomicU64, Ordering};
use crate::buffer::losses::{Losses, Tally, ThreadLosses};
use crate::buffer::memory::BUDGET;
use crate::collect::drain::Drain;
use crate::output::Output;
use crate::output::beginning::beginning;
use crate::output::outlet::Outlet;
use crate::session::process;
use crate::session::{Request, Session};
use crate::source::Source;
use crate::stack;
use crate::start::kept;
use crate::sys::clock::{self, Instant};
use crate::sys::handler;
use crate::sys::standstill::Standstill;
use crate::thread::naming::NAME_BYTES_MAX;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use trace_format::definition::Definition;
use trace_format::facility;
#[cfg(os_hooks)]
use trace_format::id::Open;
use trace_format::id::{SiteId, StackId};
use trace_format::time::{ClockSnapshot, Nanos, Ticks};
use trace_format::value::Text;

/// When the first cut is: soon, for two clock snapshots that are far apart are what makes
/// nanoseconds of ticks, and a program may be killed early.
const FIRST_CUT: Duration = Duration::from_millis(20);

/// How long the part before stays when a trace goes on in the next: an event that was just being
/// recorded then is committed by that time, whatever else the machine does.
const LEAVING: Duration = Duration::from_millis(20);

/// Spares that an idle thread keeps.
const SPARES_IDLE: usize = 2;

/// One trace's collector.
#[derive(Debug)]
pub(crate) struct Collector {
    session: Arc<Session>,
    output: Output,
    sources: Vec<Box<dyn Source>>,
    drains: Vec<Drain>,
    every: Duration,
    /// The last look at it.
    clock: ClockSnapshot,
    threads: u64,
    /// The trace says that the program's clock is not the kernel's.
    tells_clock: bool,
    /// As many futures as it has said are not listed.
    unlisted: u64,
    /// What was lost by threads that have ended.
    lost: Losses,
    /// The part before, while it ends on a thread of its own.
    part_ending: Option<Ending>,
}

impl Collector {
    /// A collector that has written the beginning of the trace: what the process is, the clock, the
    /// call sites.
    ///
    /// # Errors
    /// The writer's.
    pub(crate) fn begin(
        session: Arc<Session>,
        outlet: Outlet,
        sources: Vec<Box<dyn Source>>,
        every: Duration,
        beginning: &[Definition<'_>],
    ) -> io::Result<Self> {
        let mut collector = Self {
            session,
            output: Output::new(outlet),
            sources,
            drains: Vec::new(),
            every,
            clock: ClockSnapshot::default(),
            threads: 0,
            tells_clock: false,
            unlisted: 0,
            lost: Losses::default(),
            part_ending: None,
        };
        beginning.iter().for_each(|definition| collector.output.define(definition));
        #[cfg(os_hooks)]
        crate::intern::resources::RESOURCES.begin();
        collector.output.define_interned();
        collector.put_generation();
        // Those that an earlier trace has left open.
        collector.put_tasks();
        collector.put_futures();
        collector.sources.iter_mut().for_each(|source| source.begin(&mut collector.output));
        collector.put_rate();
        collector.output.write_definitions();
        collector.output.flush();
        hooked::begin_generation();
        let Some(file) = collector.output.file() else { return Ok(collector) };
        file.note_begin();
        file.take_error().map_or(Ok(collector), Err)
    }

    /// Collects until the session ends; returns what the trace came to, if there still is one, and
    /// the first failure.
    pub(crate) fn run(mut self) -> (Report, Option<io::Error>) {
        let _quiet = crate::thread::local::quiet();
        let mut standstill = Standstill::new();
        let mut cut_at = Instant::now() + self.every.min(FIRST_CUT);
        let mut look_at = self.next_look();
        while !self.session.is_ended() {
            let now = Instant::now();
            let requests = self.session.take_requests();
            if !requests.is_empty() {
                requests.into_iter().for_each(|request| self.answer(request));
            } else if self.output.file().is_some_and(|file| file.is_full(now)) && self.turn() {
                cut_at = Instant::now() + LEAVING.min(self.every);
            } else if now >= cut_at || self.output.ring().is_some_and(|ring| ring.wants_cut()) {
                self.tell(standstill.look());
                self.cut();
                // That has asked the sources, too.
                (cut_at, look_at) = (Instant::now() + self.every, self.next_look());
            } else if self.session.take_wanted() {
                self.sweep();
            } else if self.session.take_crowded() {
                self.collect();
                self.turn_names();
            } else if self.session.take_sealed() > 0 {
                self.collect();
            } else if now >= look_at {
                self.collect();
                look_at = self.next_look();
            } else {
                self.tell(standstill.park_until(cut_at.min(look_at)));
            }
        }
        self.stop()
    }

    /// What the recorder has found out by itself.
    fn tell(&mut self, found: Option<Definition<'_>>) {
        if let Some(found) = found {
            self.output.define(&found);
        }
    }

    /// When the sources want to be asked again; the next cut comes first if they do not care.
    fn next_look(&self) -> Instant {
        let every = self.sources.iter().filter_map(|source| source.collect_every()).min();
        Instant::now() + every.unwrap_or(2 * self.every)
    }

    /// Writes everything that is committed. Whether that gave back a batch.
    fn collect(&mut self) -> bool {
        let news = self.session.take_news();
        for switch in news.switches {
            self.output.define(&Definition::Switch {
                site: SiteId(switch.site),
                on: switch.on,
                ticks: Ticks(switch.ticks),
            });
        }
        for thread in news.threads {
            self.threads += 1;
            stack::note_used(thread.identity.spawn.stack);
            self.output.define(&Definition::Thread {
                id: thread.id,
                os_id: thread.identity.os_id,
                name: thread.identity.name.as_bytes(),
                first: Ticks(thread.begin),
                parent: thread.identity.spawn.parent,
                stack: StackId(thread.identity.spawn.stack),
                entry: thread.identity.spawn.entry,
            });
            self.tell(thread_time::at_begin(&thread));
            self.drains.push(Drain::new(thread));
        }
        for (id, ticks, name) in news.names {
            let name = Text::cut(name.as_bytes(), NAME_BYTES_MAX).bytes;
            self.output.define(&Definition::ThreadName { id, ticks: Ticks(ticks), name });
        }
        self.output.define_interned();
        self.output.write_definitions();
        let mut gave = false;
        for thread in &mut self.drains {
            gave |= drain(thread, &mut self.output);
        }
        for source in &mut self.sources {
            source.collect(&mut self.output);
        }
        if gave {
            self.session.note_sweep(true);
        }
        gave
    }

    /// Finds memory for a thread that has none: all that no thread has open.
    fn sweep(&mut self) {
        self.note_exits();
        let gave = self.collect();
        let trim = |freed, drain: &Drain| drain.thread.spares.trim(0) || freed;
        let trimmed = self.drains.iter().fold(false, trim);
        let released = self.release_exited();
        self.output.write_definitions();
        self.session.note_sweep(gave || trimmed || released);
    }

    /// Asked before the last look: who has exited by now has committed all it ever will.
    fn note_exits(&mut self) {
        for drain in &mut self.drains {
            let exited = drain.thread.exited.load(Ordering::Acquire);
            drain.exited = (exited != 0).then_some(Ticks(exited));
        }
    }

    /// Lets go of threads that have ended, after the last look. Whether there were any.
    fn release_exited(&mut self) -> bool {
        let (exited, alive): (Vec<_>, _) =
            self.drains.drain(..).partition(|drain| drain.exited.is_some());
        self.drains = alive;
        self.put_ends(&exited);
        !exited.is_empty()
    }

    /// Ends a generation and begins the next.
    fn cut(&mut self) {
        self.session.take_sealed();
        self.note_exits();
        self.collect();
        if !self.output.take_leaving_busy() {
            self.end_leaving();
        }
        self.take_ended_part();
        let states = self.states();
        self.put_cut(states);
        self.turn_names();
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
        self.look_after_kept();
        self.output.write_definitions();
        self.output.flush();
        hooked::begin_generation();
        handler::look();
        #[cfg(not(exectrace_loom))]
        crate::thread::limbo::empty();
    }

    /// Gives up names that are not used any more.
    fn turn_names(&mut self) {
        #[cfg(os_hooks)]
        {
            let open = self.drains.iter().flat_map(Drain::maybe_open);
            let resource = |open| match open {
                Open::Call(call) => Some(call.resource),
                _ => None,
            };
            let held = open.filter_map(resource).collect();
            self.output.turn_names(&held);
        }
    }

    /// The ring may have a file, which has its limits.
    fn look_after_ring(&mut self) {
        self.output.renew_names();
        if let Some((on, news)) = self.output.ring_mut().and_then(|ring| ring.take_news()) {
            let (name, note) = (facility::MAPPED.as_bytes(), news.as_bytes());
            self.output.define(&Definition::Facility { name, on, note });
        }
    }

    /// Others may do something to the file beside the trace, too.
    fn look_after_kept(&mut self) {
        if let Some(fault) = kept::take_fault() {
            let (name, note) = (facility::LIVE.as_bytes(), fault.as_bytes());
            self.output.define(&Definition::Facility { name, on: false, note });
        }
    }

    /// Does what it is asked for.
    fn answer(&mut self, request: Request) {
        match request {
            Request::Attach(outlet, done) => {
                let failed = self.attach_first(outlet);
                let _ = done.send(failed);
            }
            Request::EndFile(done) => {
                self.cut();
                if let Some(file) = self.output.detach_file() {
                    self.end_file(file, done);
                }
            }
            Request::EndRing(done) => {
                self.cut();
                if let Some(ring) = self.output.ring_mut() {
                    for drain in &self.drains {
                        ring.define(&thread_end(drain, counted_of(drain).all()));
                    }
                }
                let lost = self.tally(counted_of).total();
                self.end_ring(lost);
                let _ = done.send(());
            }
            Request::Snapshot(done) => {
                self.cut();
                if let Some(ring) = self.output.ring_mut() {
                    ring.make_room_for_snapshot();
                }
                if let Some(snapshot) = self.output.snapshot(self.tally(counted_of)) {
                    let _ = done.send(snapshot);
                }
            }
        }
    }

    /// An outlet begins that was not there before. If its writer fails at once, it is gone again.
    fn attach_first(&mut self, outlet: Outlet) -> Option<io::Error> {
        let is_file = matches!(outlet, Outlet::File(_));
        self.note_exits();
        self.collect();
        let states = self.states();
        self.attach(outlet, states);
        let file = self.output.file().filter(|_| is_file)?;
        file.note_begin();
        let failed = file.take_error()?;
        let file = self.output.detach_file();
        // It has failed already, however it goes.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(file)));
        Some(failed)
    }

    /// The trace goes on in its next part. Whether there is one.
    ///
    /// Threads have batches open, of which the part before has the first pieces and gets the rest;
    /// each thread's next batch is the first of it in the new one. So the part before stays until
    /// all have seen that they were asked for another batch: the next cut, which comes soon.
    fn turn(&mut self) -> bool {
        self.note_exits();
        // The part before gets what is left for it; what comes later is in no part.
        self.collect();
        self.end_leaving();
        self.take_ended_part();
        if self.part_ending.is_some() {
            // The next part's beginning would take the name that this one is to have.
            return false;
        }
        let states = self.states();
        let Some(next) = self.output.next_part() else { return false };
        self.attach(next, states);
        if let Some(file) = self.output.file() {
            file.note_begin();
        }
        // What came meanwhile is in the part before, should the process end now.
        self.collect();
        true
    }

    /// Another outlet begins here, all having been collected: with what lasts, and then with a
    /// generation, for which `states` were read last.
    fn attach(&mut self, outlet: Outlet, states: States) {
        let lost = self.tally(reported_of);
        let is_file = matches!(outlet, Outlet::File(_));
        self.output.attach(outlet, &beginning(), &lost);
        self.drains.iter_mut().for_each(Drain::tell_again);
        let busy = |(at, state): (usize, &Result<_, _>)| state.is_err().then_some(at);
        let busy: Vec<_> = states.iter().enumerate().filter_map(busy).collect();
        self.put_cut(states);
        for at in busy {
            // What is open there is not known; but where the thread was, should the process end
            // before its next batch comes.
            let drain = &self.drains[at];
            let (id, (sequence, offset)) = (drain.thread.id, drain.place());
            let (more, open) = (true, Vec::new());
            let state = Definition::ThreadState { id, sequence, offset, more, open };
            self.output.tell_newest(&state);
        }
        self.output.define_futures();
        // Where they wait.
        self.output.define_interned();
        if is_file {
            self.put_rate();
        }
        for drain in &self.drains {
            drain.thread.spares.renew();
            drain.thread.retire();
        }
        self.release_exited();
        self.output.write_definitions();
        self.output.flush();
        hooked::begin_generation();
    }

    /// What the session has lost so far; `of`: as it is counted, or as events report it.
    fn tally(&self, of: fn(&Drain) -> ThreadLosses) -> Tally {
        Tally {
            threads: self.drains.iter().map(of).collect(),
            ended: self.lost,
            unattached: process::unattached(),
        }
    }

    /// The last cut. No thread opens another batch any more.
    fn stop(mut self) -> (Report, Option<io::Error>) {
        self.collect();
        self.note_exits();
        self.drains.iter().for_each(|drain| drain.thread.retire());
        self.collect();
        self.end_leaving();
        let states = self.states();
        // What the kernel counted is told until the end, also of threads that rest.
        self.drains.iter_mut().for_each(|drain| drain.kernel.tell_again());
        self.put_cut(states);
        self.sources.iter_mut().for_each(|source| source.stop(&mut self.output));
        self.look_after_kept();
        let drains = std::mem::take(&mut self.drains);
        self.put_ends(&drains);
        drains.iter().for_each(|drain| _ = drain.thread.spares.trim(0));
        let lost = self.tally(counted_of).total();
        self.end_ring(lost);
        self.wait_for_part();
        let Some(mut file) = self.output.detach_file() else {
            let Losses { events: dropped_events, ends: dropped_ends } = lost;
            return (Report { dropped_events, dropped_ends, ..Report::default() }, None);
        };
        let report = self.put_stop(&mut file, lost);
        file.end(report)
    }

    /// Ends the ring, after the ends of its threads: what it has in a file is a whole trace.
    /// `lost`: in the whole session.
    fn end_ring(&mut self, lost: Losses) {
        if let Some(ring) = self.output.ring_mut() {
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
        // The last names may have found no room.
        self.look_after_ring();
        self.output.detach_ring();
    }

    /// The totals of threads that are done, or whose trace is.
    fn put_ends(&mut self, drains: &[Drain]) {
        for drain in drains {
            let lost = counted_of(drain).all();
            self.tell(thread_time::at_end(drain));
            self.output.define(&thread_end(drain, lost));
            self.lost += lost;
        }
    }
}

/// What a thread has lost so far.
fn counted_of(drain: &Drain) -> ThreadLosses {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let thread = &drain.thread;
    let full = Losses { events: count(&thread.dropped_events), ends: count(&thread.dropped_ends) };
    ThreadLosses { id: thread.id, full, interrupted: interrupted_of(drain) }
}

/// The same, as far as events that were handed out report it: the rest will be reported in a batch
/// that is yet to come, and counts where that is.
fn reported_of(drain: &Drain) -> ThreadLosses {
    let (full, interrupted) = (drain.reported.now, interrupted_of(drain));
    ThreadLosses { id: drain.thread.id, full, interrupted }
}

fn interrupted_of(drain: &Drain) -> u64 {
    drain.thread.interrupted.load(Ordering::Relaxed)
}

/// A thread's totals. How many events it has each outlet knows.
fn thread_end(drain: &Drain, lost: Losses) -> Definition<'static> {
    Definition::ThreadEnd {
        id: drain.thread.id,
        ended: drain.exited.is_some(),
        ticks: drain.exited.unwrap_or_else(|| Ticks(clock::ticks())),
        events: 0,
        dropped_events: lost.events,
        dropped_ends: lost.ends,
    }
}

fn drain(drain: &mut Drain, output: &mut Output) -> bool {
    drain.drain(output.generation, &mut |info, bytes, reported| {
        output.events(info, bytes, reported);
    })
}
