//! The calls of a trace, each with its begin, end, result and resource.

use super::decoded::Decoded;
use trace_format::event::EventKind;
use trace_format::id::{CallId, Open, OpenCall, StackId, ThreadId};
use trace_format::read::Resource;

/// A call that a thread made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) thread: ThreadId,
    pub(crate) call: CallId,
    pub(crate) open: OpenCall,
    pub(crate) begin: u64,
    /// `None` for a call that was open when the trace ended, or whose end was lost.
    pub(crate) end: Option<u64>,
    pub(crate) result: i64,
}

impl Call {
    pub(crate) fn name(&self) -> &'static str {
        self.call.info().map_or("?", |info| info.name)
    }

    pub(crate) fn stack(&self) -> StackId {
        self.open.stack
    }

    /// Whether `other` lies in it.
    pub(crate) fn encloses(&self, other: &Self) -> bool {
        self.begin <= other.begin && other.begin <= self.end.unwrap_or(u64::MAX)
    }
}

/// All calls, thread by thread, by their begins.
pub(crate) fn calls(trace: &Decoded) -> Vec<Call> {
    trace.tables.threads.keys().flat_map(|&thread| of_thread(trace, thread)).collect()
}

/// The calls of one thread.
pub(crate) fn of_thread(trace: &Decoded, thread: ThreadId) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    // What is open, and the index in `calls` if it is a call.
    let mut open: Vec<(Open, u64, Option<usize>)> = Vec::new();
    for event in trace.events(thread) {
        let now = event.ticks.0;
        match event.kind {
            EventKind::Call { call, result, duration, .. } => {
                let end = Some(now + duration.0);
                calls.push(Call { thread, call: call.call, open: call, begin: now, end, result });
            }
            EventKind::CallBegin { call } => {
                open.push((Open::Call(call), now, Some(calls.len())));
                let begin = now;
                calls.push(Call {
                    thread,
                    call: call.call,
                    open: call,
                    begin,
                    end: None,
                    result: 0,
                });
            }
            EventKind::RegionBegin { site, .. } => open.push((Open::Region(site), now, None)),
            EventKind::PollBegin { future } => open.push((Open::Poll(future), now, None)),
            EventKind::TaskRunBegin { task } => open.push((Open::Task(task), now, None)),
            EventKind::End | EventKind::EndValue { .. } | EventKind::EndPoll { .. } => {
                let _ = open.pop();
            }
            EventKind::EndCall { result } => {
                let at = open.pop().and_then(|(.., at)| at).expect("a call ends that has begun");
                calls[at].end = Some(now);
                calls[at].result = result;
            }
            EventKind::EndDetached { open: what, since } => {
                let begin = now - since.0;
                let found = open.iter().rposition(|each| (each.0, each.1) == (what, begin));
                for (.., at) in open.drain(found.unwrap_or(open.len())..) {
                    at.into_iter().for_each(|at| calls[at].end = Some(now));
                }
            }
            EventKind::Dropped { ends, .. } => {
                open.truncate(open.len().saturating_sub(ends as usize));
            }
            _ => {}
        }
    }
    calls
}

/// The resource of a call.
pub(crate) fn resource<'t>(trace: &'t Decoded, call: &Call) -> Option<&'t Resource> {
    trace.tables.resources.get(&call.open.resource)
}
