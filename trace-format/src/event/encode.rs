//! From events to a payload's bytes: the table of [`super`], written.
//!
//! For tests, tools and converters. The recorder has its own writer on raw memory, and its tests
//! compare the two. Each event is written in its shortest form.

use super::{Event, EventKind, FLAG_PREEMPTED, opcode};
use crate::id::{OpenCall, SiteId, StackId};
use crate::time::Ticks;
use crate::value::{Text, Values, put_value};
use crate::varint::{put_varint, zigzag};

/// Appends one event.
///
/// - `clock`: the time of the event before it, or the batch's base ticks; it becomes the time of
///   this event. An event that is earlier is written as if it were at `clock`: the format has no
///   negative deltas.
/// - An `Unknown` event is written without a body.
pub fn put_event(out: &mut Vec<u8>, clock: &mut Ticks, event: &Event<'_>) {
    let delta = event.ticks.0.saturating_sub(clock.0);
    let ticks = clock.0 + delta;
    let duration = event.kind.duration();
    out.push(opcode_of(&event.kind));
    put_varint(out, delta);
    put_fields(out, &event.kind);
    if let Some(Ticks(duration)) = duration {
        put_varint(out, duration);
    }
    *clock = Ticks(ticks.saturating_add(duration.unwrap_or(Ticks(0)).0));
}

fn opcode_of(kind: &EventKind<'_>) -> u8 {
    match *kind {
        EventKind::Region { site, values, .. } => region(site, values),
        EventKind::RegionBegin { site, values } => region(site, values) | opcode::OPEN,
        EventKind::Poll { waits_at: StackId(0), .. } => opcode::POLL,
        EventKind::Poll { .. } => opcode::POLL_WAITS,
        EventKind::PollBegin { .. } => opcode::POLL | opcode::OPEN,
        EventKind::TaskRun { .. } => opcode::TASK_RUN,
        EventKind::TaskRunBegin { .. } => opcode::TASK_RUN | opcode::OPEN,
        EventKind::End => opcode::END,
        EventKind::EndValue { .. } => opcode::END_VALUE,
        EventKind::EndDetached { .. } => opcode::END_DETACHED,
        EventKind::Reopen { .. } => opcode::REOPEN,
        EventKind::Instant { .. } => opcode::INSTANT,
        EventKind::Log { .. } => opcode::LOG,
        EventKind::Counter { .. } => opcode::COUNTER,
        EventKind::TaskBegin { .. } => opcode::TASK_BEGIN,
        EventKind::TaskBeginSite { .. } => opcode::TASK_BEGIN_SITE,
        EventKind::TaskEnd { .. } => opcode::TASK_END,
        EventKind::FutureBegin { .. } => opcode::FUTURE_BEGIN,
        EventKind::FutureEnd { .. } => opcode::FUTURE_END,
        EventKind::Dropped { .. } => opcode::DROPPED,
        EventKind::Call { .. } => opcode::CALL,
        EventKind::CallBegin { .. } => opcode::CALL | opcode::OPEN,
        EventKind::EndCall { .. } => opcode::END_CALL,
        EventKind::Alloc { .. } => opcode::ALLOC,
        EventKind::Free { .. } => opcode::FREE,
        EventKind::SwitchIn { .. } => opcode::SWITCH_IN,
        EventKind::SwitchOut { .. } => opcode::SWITCH_OUT,
        EventKind::Sample { .. } => opcode::SAMPLE,
        EventKind::Fault { .. } => opcode::FAULT,
        EventKind::LostKernel { .. } => opcode::LOST_KERNEL,
        EventKind::FutureSpawn { .. } => opcode::FUTURE_SPAWN,
        EventKind::Wake { .. } => opcode::WAKE,
        EventKind::EndPoll { .. } => opcode::END_POLL,
        EventKind::Ready { .. } => opcode::READY,
        EventKind::Unwakeable { .. } => opcode::UNWAKEABLE,
        EventKind::TaskLink { .. } => opcode::TASK_LINK,
        EventKind::Unknown { opcode } => opcode,
    }
}

fn region(site: SiteId, values: Values<'_>) -> u8 {
    match site.0 {
        _ if !values.as_bytes().is_empty() => opcode::REGION_ARGS,
        1..=opcode::SHORT_SITES => opcode::REGION_SHORT | (site.0 - 1) as u8,
        _ => opcode::REGION,
    }
}

/// All fields except the duration, which comes last.
fn put_fields(out: &mut Vec<u8>, kind: &EventKind<'_>) {
    match *kind {
        EventKind::Region { site, values, .. } | EventKind::RegionBegin { site, values } => {
            if region(site, values) & opcode::REGION_SHORT == 0 {
                put_varint(out, u64::from(site.0));
            }
            if !values.as_bytes().is_empty() {
                put_values(out, values);
            }
        }
        EventKind::Poll { future, waits_at: StackId(0), .. }
        | EventKind::PollBegin { future }
        | EventKind::Unwakeable { future } => put_varint(out, future.0),
        EventKind::Poll { future, waits_at: stack, .. } | EventKind::Wake { future, stack } => {
            put_all(out, &[future.0, u64::from(stack.0)]);
        }
        EventKind::TaskRun { task, .. }
        | EventKind::TaskRunBegin { task }
        | EventKind::TaskEnd { task } => put_varint(out, task.0),
        EventKind::End => {}
        EventKind::EndValue { outcome, values } => {
            put_varint(out, u64::from(outcome.to_byte()));
            put_values(out, values);
        }
        EventKind::EndDetached { open, since } | EventKind::Reopen { open, since } => {
            put_all(out, &[open.to_word(), since.0]);
        }
        EventKind::Instant { site, values } => {
            put_varint(out, u64::from(site.0));
            put_values(out, values);
        }
        EventKind::Log { site, text } => {
            put_varint(out, u64::from(site.0));
            put_text(out, text);
        }
        EventKind::Counter { site, value } => {
            put_varint(out, u64::from(site.0));
            put_value(out, &value);
        }
        EventKind::TaskBegin { task, parent, name } => {
            put_all(out, &[task.0, parent.0]);
            put_text(out, name);
        }
        EventKind::TaskBeginSite { task, parent, site, values } => {
            put_all(out, &[task.0, parent.0, u64::from(site.0)]);
            put_values(out, values);
        }
        EventKind::FutureBegin { future, task, site, values } => {
            put_all(out, &[future.0, task.0, u64::from(site.0)]);
            put_values(out, values);
        }
        EventKind::FutureEnd { future, outcome, values } => {
            put_all(out, &[future.0, u64::from(outcome.to_byte())]);
            put_values(out, values);
        }
        EventKind::Dropped { events, ends, from, to } => {
            put_all(out, &[events, ends, from.0, to.0]);
        }
        _ => put_fields_of_async(out, kind),
    }
}

fn put_fields_of_async(out: &mut Vec<u8>, kind: &EventKind<'_>) {
    match *kind {
        EventKind::FutureSpawn { future, parent, task, site, stack } => {
            put_all(out, &[future.0, parent.0, task.0, u64::from(site.0), u64::from(stack.0)]);
        }
        EventKind::EndPoll { waits_at } => put_varint(out, u64::from(waits_at.0)),
        EventKind::Ready { future, since } => put_all(out, &[future.0, since.0]),
        EventKind::TaskLink { task, trace, span, parent } => {
            put_varint(out, task.0);
            out.extend_from_slice(&trace.to_be_bytes());
            out.extend_from_slice(&span.to_be_bytes());
            out.extend_from_slice(&parent.to_be_bytes());
        }
        _ => put_fields_of_system(out, kind),
    }
}

fn put_fields_of_system(out: &mut Vec<u8>, kind: &EventKind<'_>) {
    match *kind {
        EventKind::Call { call, result, .. } => {
            put_call(out, call);
            put_varint(out, zigzag(result));
        }
        EventKind::CallBegin { call } => put_call(out, call),
        EventKind::EndCall { result } => put_varint(out, zigzag(result)),
        EventKind::Alloc { sample, address, bytes, stack } => {
            put_all(out, &[sample.0, address, bytes, u64::from(stack.0)]);
        }
        EventKind::Free { sample } => put_varint(out, sample.0),
        EventKind::SwitchIn { os_thread } => put_varint(out, os_thread),
        EventKind::SwitchOut { os_thread, preempted } => {
            put_all(out, &[os_thread, if preempted { FLAG_PREEMPTED } else { 0 }]);
        }
        EventKind::Sample { os_thread, stack } => put_all(out, &[os_thread, u64::from(stack.0)]),
        EventKind::Fault { os_thread, address, stack } => {
            put_all(out, &[os_thread, address, u64::from(stack.0)]);
        }
        EventKind::LostKernel { records } => put_varint(out, records),
        // An event of a newer version: its length.
        _ => put_varint(out, 0),
    }
}

fn put_call(out: &mut Vec<u8>, call: OpenCall) {
    let OpenCall { call, stack, resource } = call;
    put_all(out, &[u64::from(call.0), u64::from(resource.0), u64::from(stack.0)]);
}

fn put_all(out: &mut Vec<u8>, numbers: &[u64]) {
    for &number in numbers {
        put_varint(out, number);
    }
}

fn put_values(out: &mut Vec<u8>, values: Values<'_>) {
    put_varint(out, values.as_bytes().len() as u64);
    out.extend_from_slice(values.as_bytes());
}

fn put_text(out: &mut Vec<u8>, text: Text<'_>) {
    put_all(out, &[text.bytes_before, text.bytes.len() as u64]);
    out.extend_from_slice(text.bytes);
}
