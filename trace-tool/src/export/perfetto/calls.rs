//! Calls into the system: slices on their threads, and arrows from wakes to the waits they ended.
//!
//! A call of a function that wakes sends its flow along; when a wait ends that was woken, a mark at
//! its end takes the flow up and says by whom. The waiter is ready from the wake on: if the trace
//! has CPUs, its state says so.
//!
//! Elsewhere: which wake it was (`wakes`), states (`cpus`), what nests (`convert`, `lane`).

use std::io;

use trace_analysis::reason::{Reason, why};
use trace_format::call::CallClass;
use trace_format::definition::ResourceKind;
use trace_format::id::{Open, OpenCall, StackId};
use trace_format::time::Ticks;

use super::annotate::{put_signed, put_word};
use super::convert::{Converter, OWN_CATEGORY};
use super::intern::{Heading, Interner};
use super::lane::Wait;
use super::message::{EventType, TrackEvent};
use crate::{call, errno};

/// Of so many stacks of waits it is remembered what they are for.
const WAITS_MAX: usize = 1 << 16;

impl Converter<'_, '_> {
    /// A call with nothing inside.
    pub(super) fn call_complete(
        &mut self,
        lane: usize,
        (begin, at): (Ticks, u64),
        made: OpenCall,
        (result, duration): (i64, Ticks),
    ) -> io::Result<()> {
        if !self.lanes[lane].has_room() {
            self.totals.hidden += 1;
            return Ok(());
        }
        self.totals.slices += 1;
        self.fill_call(lane, at, made, Some(result));
        self.send(lane, at)?;
        let end = self.nanos(Ticks(begin.0.saturating_add(duration.0)));
        self.lanes[lane].wait = wait(made, at, result);
        self.end_later(lane, end);
        Ok(())
    }

    /// Fills in the begin of a call's slice; a complete one has its result at once.
    pub(super) fn fill_call(&mut self, lane: usize, at: u64, made: OpenCall, result: Option<i64>) {
        let heading = self.call_heading(made);
        let resource = call::resource(self.tables, made.resource);
        let callstack = self.callstack(made.stack);
        let event = self.packets.event(EventType::SliceBegin, self.lanes[lane].track);
        heading.put(event);
        event.callstack_iid = callstack;
        if let Some(resource) = resource {
            put_word(event, &mut self.names, "resource", &resource);
        }
        if let Some(result) = result {
            put_result(event, &mut self.names, result);
        }
        // Whom a call woke that is not over is not known yet: it may be anybody.
        let woken = call::wakes(made.call, result.unwrap_or(i64::MAX)).unwrap_or(0);
        if woken > 0 {
            let by = (self.lanes[lane].thread, at);
            event.flow_ids.push(self.wakes.add(made.resource, by, woken));
        }
    }

    /// What was opened last ends, and it is a call.
    pub(super) fn end_call(&mut self, lane: usize, at: u64, result: i64) -> io::Result<()> {
        if let Some((Open::Call(made), begin)) = self.lanes[lane].top() {
            self.lanes[lane].wait = wait(made, self.nanos(begin), result);
            self.woken(lane, at)?;
        }
        let put = |event: &mut TrackEvent, names: &mut Interner<'_>| {
            put_result(event, names, result);
        };
        self.end_with(lane, at, Some(put))
    }

    /// If the wait that ends now was ended by a wake, says by whose.
    pub(super) fn woken(&mut self, lane: usize, at: u64) -> io::Result<()> {
        let Some(Wait { resource, from }) = self.lanes[lane].wait.take() else { return Ok(()) };
        let Some(wake) = self.wakes.claim(resource, from, at) else { return Ok(()) };
        self.ready(self.lanes[lane].thread, wake.at)?;
        let heading = self.names.heading("woken", OWN_CATEGORY);
        let by = self.tables.thread_name(wake.thread).into_owned();
        let event = self.packets.event(EventType::Instant, self.lanes[lane].track);
        heading.put(event);
        event.flow_ids.push(wake.flow);
        put_word(event, &mut self.names, "by", &by);
        self.send(lane, at)
    }

    /// What stands over a call's slice: the function, or of a wait in memory what it is for.
    pub(super) fn call_heading(&mut self, made: OpenCall) -> Heading {
        let key = (made.call, made.stack);
        if let Some(heading) = self.waits.get(&key) {
            return heading.clone();
        }
        let class = call::class(made.call);
        if made.call.info().is_none_or(|info| info.class != CallClass::Futex) {
            return self.names.heading(&call::name(made.call), class);
        }
        let frames = self.stacks.frames(made.stack);
        let heading = match why(made.call, Some(ResourceKind::Address), &frames).reason {
            Reason::Futex => self.names.heading(&call::name(made.call), class),
            reason => self.names.heading(&format!("waits: {}", reason.name()), class),
        };
        if self.waits.len() < WAITS_MAX {
            self.waits.insert(key, heading.clone());
        }
        heading
    }

    /// The number of a stack's callstack.
    pub(super) fn callstack(&mut self, stack: StackId) -> Option<u64> {
        self.stacks.number(stack, &mut self.names.fresh)
    }
}

fn wait(made: OpenCall, from: u64, result: i64) -> Option<Wait> {
    let waits = made.call.info().is_some_and(|info| info.class == CallClass::Futex);
    (waits && result == 0).then_some(Wait { resource: made.resource, from })
}

fn put_result(event: &mut TrackEvent, names: &mut Interner<'_>, result: i64) {
    match u64::try_from(result) {
        Ok(_) => put_signed(event, names, "result", result),
        Err(_) => put_word(event, names, "error", &errno::shown(result.unsigned_abs())),
    }
}
