//! What the session asks of the collector: outputs that begin and end while it runs, and the next
//! part of a trace.
//!
//! Elsewhere: how a file ends (`ending`).

use super::Collector;
use super::generation::States;
use super::totals::{counted_of, reported_of, thread_end};
use crate::annotate::future::executor;
use crate::collect::drain::Drain;
use crate::output::Output;
use crate::output::beginning::beginning;
use crate::session::Request;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use trace_format::definition::Definition;

impl Collector {
    /// Does what a request asks for.
    pub(super) fn answer(&mut self, request: Request) {
        match request {
            Request::Attach(output, done) => {
                let failed = self.attach_first(output);
                let _ = done.send(failed);
            }
            Request::EndFile(done) => {
                self.advance();
                if let Some(file) = self.outputs.detach_file() {
                    self.end_file(file, done);
                }
            }
            Request::EndRing(done) => {
                self.advance();
                if let Some(ring) = self.outputs.ring_mut() {
                    for drain in &self.drains {
                        ring.define(&thread_end(drain, counted_of(drain).all()));
                    }
                }
                let lost = self.tally(counted_of).total();
                self.end_ring(lost);
                let _ = done.send(());
            }
            Request::Snapshot(done) => {
                self.advance();
                if let Some(ring) = self.outputs.ring_mut() {
                    ring.make_room_for_snapshot();
                }
                if let Some(snapshot) = self.outputs.snapshot(self.tally(counted_of)) {
                    let _ = done.send(snapshot);
                }
            }
        }
    }

    /// Adds an output to the session. If its writer fails at once, removes the output and returns
    /// the error.
    fn attach_first(&mut self, output: Output) -> Option<io::Error> {
        let is_file = matches!(output, Output::File(_));
        self.note_exits();
        self.collect();
        let states = self.states();
        self.attach(output, states);
        let file = self.outputs.file().filter(|_| is_file)?;
        file.note_begin();
        let failed = file.take_error()?;
        let file = self.outputs.detach_file();
        // It has failed already, so a panic changes nothing.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(file)));
        Some(failed)
    }

    /// Goes on with the trace in its next part. False if there is none.
    ///
    /// Threads have batches open of which the previous part has the first pieces; it gets the rest,
    /// too. A thread's next batch is its first in the new part. So the previous part stays until
    /// all threads have seen that they have to open another batch: until the next generation, which
    /// comes soon.
    pub(super) fn next_part(&mut self) -> bool {
        self.note_exits();
        // The part before the current one gets what is left for it; what comes later is in no part.
        self.collect();
        self.end_previous_part();
        self.take_ended_part();
        if self.part_ending.is_some() {
            // The next part would take the name that this one is to get.
            return false;
        }
        let states = self.states();
        let Some(next) = self.outputs.next_part() else { return false };
        self.attach(next, states);
        if let Some(file) = self.outputs.file() {
            file.note_begin();
        }
        // If the process ends now, what came meanwhile is in the previous part.
        self.collect();
        true
    }

    /// Adds an output, after everything has been collected. It begins with the definitions that
    /// still hold, and then with a generation. `states` were read last.
    fn attach(&mut self, output: Output, states: States) {
        let lost = self.tally(reported_of);
        let is_file = matches!(output, Output::File(_));
        self.outputs.attach(output, &beginning(), &lost);
        self.drains.iter_mut().for_each(Drain::define_again);
        let busy = |(at, state): (usize, &Result<_, _>)| state.is_err().then_some(at);
        let busy: Vec<_> = states.iter().enumerate().filter_map(busy).collect();
        self.begin_generation(states);
        for at in busy {
            // What is open there is not known. The state says where the thread was, in case the
            // process ends before its next batch comes.
            let drain = &self.drains[at];
            let (id, (sequence, offset)) = (drain.thread.id, drain.place());
            let (more, open) = (true, Vec::new());
            let state = Definition::ThreadState { id, sequence, offset, more, open };
            self.outputs.define_in_newest(&state);
        }
        self.outputs.define_futures_in_newest();
        // The stacks where they wait.
        self.outputs.define_interned();
        if is_file {
            self.put_rate();
        }
        for drain in &self.drains {
            drain.thread.spares.renew();
            drain.thread.retire();
        }
        self.release_exited();
        self.outputs.write_definitions();
        self.outputs.flush();
        executor::begin_generation();
    }
}
