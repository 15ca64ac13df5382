//! The collector: the thread that brings batches from the recording threads to the sink.
//!
//! It sleeps until enough is sealed, until the next cut is due, or until the trace is to stop. A
//! *cut* ends a generation: everything committed so far is written, then a definition batch with
//! the clock and the states that a reader needs to start there; and every thread that has recorded
//! is asked to restate with its next event. Nothing here ever waits for a recording thread.

use crate::batch::{SLOTS, Unstable};
use crate::clock;
use crate::drain::Drain;
use crate::error::Report;
use crate::hooked;
use crate::living;
use crate::memory::BUDGET;
use crate::outlet::{File, Outlet};
use crate::output::Output;
use crate::primitive::Ordering;
use crate::recorder;
use crate::session::{Request, Session};
use crate::source::Source;
use crate::task;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use trace_format::definition::{Definition, OpenSince};
use trace_format::id::{SiteId, StackId};
use trace_format::time::{Nanos, Ticks};
use trace_format::value::Text;

/// How often a thread's open things are read anew if it keeps changing them. A thread that is so
/// busy restates soon, and is known from there on.
const STATE_TRIES: usize = 4;

/// When the first cut is: soon, for two clock snapshots are what makes nanoseconds of ticks, and a
/// program may be killed early.
const FIRST_CUT: Duration = Duration::from_millis(20);

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
    threads: u64,
    /// Of threads that have ended.
    events: u64,
    dropped_events: u64,
    dropped_ends: u64,
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
            threads: 0,
            events: 0,
            dropped_events: 0,
            dropped_ends: 0,
        };
        beginning.iter().for_each(|definition| collector.output.define(definition));
        collector.output.define_interned();
        collector.put_generation();
        // Those that an earlier trace has left open.
        collector.put_tasks();
        collector.put_futures();
        collector.sources.iter_mut().for_each(|source| source.begin(&mut collector.output));
        collector.output.write_definitions();
        collector.output.flush();
        hooked::begin_generation();
        let error = collector.output.file().and_then(|file| file.sink.take_error());
        error.map_or(Ok(collector), Err)
    }

    /// Collects until the session ends; returns what the trace came to, if there still is one, and
    /// the first failure.
    pub(crate) fn run(mut self) -> (Report, Option<io::Error>) {
        let _quiet = crate::local::quiet();
        let mut cut_at = Instant::now() + self.every.min(FIRST_CUT);
        let mut look_at = self.next_look();
        while !self.session.is_ended() {
            let now = Instant::now();
            let requests = self.session.take_requests();
            if !requests.is_empty() {
                requests.into_iter().for_each(|request| self.answer(request));
            } else if now >= cut_at || self.output.ring().is_some_and(|ring| ring.wants_cut()) {
                self.cut();
                // That has asked the sources, too.
                (cut_at, look_at) = (Instant::now() + self.every, self.next_look());
            } else if self.session.take_wanted() {
                self.sweep();
            } else if self.session.take_sealed() > 0 {
                self.collect();
            } else if now >= look_at {
                self.collect();
                look_at = self.next_look();
            } else {
                std::thread::park_timeout(cut_at.min(look_at) - now);
            }
        }
        self.stop()
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
            self.output.define(&Definition::Thread {
                id: thread.id,
                os_id: thread.identity.os_id,
                name: Text::cut(thread.identity.name.as_bytes(), task::NAME_BYTES_MAX).bytes,
                first: Ticks(thread.begin),
                parent: thread.identity.spawn.parent,
                stack: StackId(thread.identity.spawn.stack),
                entry: thread.identity.spawn.entry,
            });
            self.drains.push(Drain::new(thread));
        }
        for (id, ticks, name) in news.names {
            let name = Text::cut(name.as_bytes(), task::NAME_BYTES_MAX).bytes;
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
        self.put_cut();
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
        self.output.write_definitions();
        self.output.flush();
        hooked::begin_generation();
    }

    /// Does what it is asked for.
    fn answer(&mut self, request: Request) {
        match request {
            Request::Attach(outlet, done) => {
                let failed = self.attach(outlet);
                let _ = done.send(failed);
            }
            Request::EndFile(done) => {
                self.cut();
                // A writer that panics when it is dropped is the trace's fault, and nobody else's:
                // without an answer, the trace knows.
                let end = || self.output.detach_file().map(|file| self.finish(file));
                if let Ok(Some(ended)) = catch_unwind(AssertUnwindSafe(end)) {
                    let _ = done.send(ended);
                }
            }
            Request::EndRing(done) => {
                self.output.detach_ring();
                let _ = done.send(());
            }
            Request::Snapshot(done) => {
                self.cut();
                let lives = self.drains.iter().map(|drain| {
                    let [events, ends] = dropped(drain);
                    (drain.thread.id, events, ends)
                });
                if let Some(snapshot) = self.output.snapshot(lives.collect()) {
                    let _ = done.send(snapshot);
                }
            }
        }
    }

    /// Another outlet begins here: with what lasts, and then with a generation. If its writer
    /// fails at once, it is gone again.
    fn attach(&mut self, outlet: Outlet) -> Option<io::Error> {
        let is_file = matches!(outlet, Outlet::File(_));
        self.note_exits();
        self.collect();
        self.output.attach(outlet, &recorder::beginning());
        self.put_cut();
        self.output.define_futures();
        // Where they wait.
        self.output.define_interned();
        self.drains.iter().for_each(|drain| drain.thread.retire());
        self.release_exited();
        self.output.write_definitions();
        self.output.flush();
        hooked::begin_generation();
        let failed = self.output.file().filter(|_| is_file)?.sink.take_error()?;
        let file = self.output.detach_file();
        // It has failed already, however it goes.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(file)));
        Some(failed)
    }

    /// Ends a file while the session goes on.
    fn finish(&self, mut file: Box<File>) -> (Report, Option<io::Error>) {
        let (mut dropped_events, mut dropped_ends) = (self.dropped_events, self.dropped_ends);
        let mut events = self.events;
        for drain in &self.drains {
            let [lost_events, lost_ends] = dropped(drain);
            dropped_events += lost_events;
            dropped_ends += lost_ends;
            events += drain.events;
            file.define(&thread_end(drain));
        }
        events += self.sources.iter().map(|source| source.events()).sum::<u64>();
        let events = file.events_told().unwrap_or(events);
        self.end_file(file, events, (dropped_events, dropped_ends))
    }

    /// The last definition, and the end of a file.
    fn end_file(
        &self,
        mut file: Box<File>,
        events: u64,
        (dropped_events, dropped_ends): (u64, u64),
    ) -> (Report, Option<io::Error>) {
        let tracer_cpu = Nanos(clock::thread_cpu());
        let memory_max = BUDGET.used_max() as u64;
        file.define(&Definition::Stop {
            ticks: Ticks(clock::ticks()),
            events,
            dropped_events,
            dropped_ends,
            tracer_cpu,
            memory_max,
        });
        file.write_definitions();
        file.sink.finish();
        let report = Report {
            events: file.sink.events,
            bytes: file.sink.bytes,
            threads: self.threads,
            dropped_events,
            dropped_ends,
            unwritten_events: file.sink.unwritten_events,
            tracer_cpu: Duration::from_nanos(tracer_cpu.0),
            memory_max,
        };
        (report, file.sink.take_error())
    }

    /// The last cut. No thread opens another batch any more.
    fn stop(mut self) -> (Report, Option<io::Error>) {
        self.collect();
        self.note_exits();
        self.drains.iter().for_each(|drain| drain.thread.retire());
        self.collect();
        self.put_cut();
        self.sources.iter_mut().for_each(|source| source.stop(&mut self.output));
        self.events += self.sources.iter().map(|source| source.events()).sum::<u64>();
        let drains = std::mem::take(&mut self.drains);
        self.put_ends(&drains);
        drains.iter().for_each(|drain| _ = drain.thread.spares.trim(0));
        self.dropped_events += recorder::take_unattached();
        let dropped = (self.dropped_events, self.dropped_ends);
        let Some(file) = self.output.detach_file() else {
            let (dropped_events, dropped_ends) = dropped;
            return (Report { dropped_events, dropped_ends, ..Report::default() }, None);
        };
        let events = file.events_told().unwrap_or(self.events);
        self.end_file(file, events, dropped)
    }

    /// The definitions of a cut: the clock, and what is open.
    fn put_cut(&mut self) {
        let mut states = Vec::with_capacity(self.drains.len());
        for at in 0..self.drains.len() {
            states.push(self.state(at));
        }
        self.output.generation += 1;
        self.put_generation();
        // What open calls name.
        self.output.define_interned();
        for (drain, open) in self.drains.iter_mut().zip(states) {
            let Ok(open) = open else { continue };
            if !drain.is_news(&open) {
                continue;
            }
            let (sequence, offset) = drain.place();
            self.output.define(&Definition::ThreadState {
                id: drain.thread.id,
                sequence,
                offset,
                more: open.len() == SLOTS,
                open,
            });
        }
        self.put_tasks();
        self.put_futures();
        // Where they wait.
        self.output.define_interned();
        self.sources.iter_mut().for_each(|source| source.cut(&mut self.output));
    }

    /// Each once: what a file has said of a future stands for all that follows.
    fn put_futures(&mut self) {
        living::for_each_untold(self.session.number, |future| {
            self.output.define(future);
        });
    }

    fn put_tasks(&mut self) {
        task::for_each_live(|task| {
            self.output.define(task);
        });
    }

    /// What is open on a thread exactly after what has been written of it.
    fn state(&mut self, at: usize) -> Result<Vec<OpenSince>, Unstable> {
        for _ in 1..STATE_TRIES {
            if let Ok(open) = self.drains[at].open() {
                return Ok(open);
            }
            drain(&mut self.drains[at], &mut self.output);
        }
        self.drains[at].open()
    }

    fn put_generation(&mut self) {
        let clock = clock::snapshot();
        let (number, ticks) = (self.output.generation, clock.ticks);
        self.output.define(&Definition::Generation { number, ticks });
        self.output.define(&Definition::Clock(clock));
    }

    /// The totals of threads that are done, or whose trace is.
    fn put_ends(&mut self, drains: &[Drain]) {
        for drain in drains {
            let [dropped_events, dropped_ends] = dropped(drain);
            self.output.define(&thread_end(drain));
            self.events += drain.events;
            self.dropped_events += dropped_events;
            self.dropped_ends += dropped_ends;
        }
    }
}

/// Events and ends that a thread has lost.
fn dropped(drain: &Drain) -> [u64; 2] {
    let thread = &drain.thread;
    let interrupted = thread.interrupted.load(Ordering::Relaxed);
    let events = thread.dropped_events.load(Ordering::Relaxed) + interrupted;
    [events, thread.dropped_ends.load(Ordering::Relaxed)]
}

/// A thread's totals.
fn thread_end(drain: &Drain) -> Definition<'static> {
    let [dropped_events, dropped_ends] = dropped(drain);
    Definition::ThreadEnd {
        id: drain.thread.id,
        ended: drain.exited.is_some(),
        ticks: drain.exited.unwrap_or_else(|| Ticks(clock::ticks())),
        events: drain.events,
        dropped_events,
        dropped_ends,
    }
}

fn drain(drain: &mut Drain, output: &mut Output) -> bool {
    drain.drain(output.generation, &mut |info, bytes| output.events(info, bytes))
}
