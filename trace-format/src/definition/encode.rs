//! From definitions to a payload's bytes: the table of FORMAT.md, section 7, written.

use super::{Definition, Function, OpenSince, kind};
use crate::varint::{put_varint, zigzag};

/// Appends one definition to a payload.
pub fn put_definition(out: &mut Vec<u8>, definition: &Definition<'_>) {
    let mut body = Vec::with_capacity(64);
    let kind = put_body(&mut body, definition);
    out.push(kind);
    put_bytes(out, &body);
}

fn put_body(out: &mut Vec<u8>, definition: &Definition<'_>) -> u8 {
    match definition {
        Definition::Process { .. } => {
            put_process(out, definition);
            kind::PROCESS
        }
        Definition::Clock(clock) => {
            put_all(out, &[clock.ticks.0, clock.monotonic.0, clock.wall.0]);
            kind::CLOCK
        }
        Definition::Callsite { .. } => {
            put_callsite(out, definition);
            kind::CALLSITE
        }
        Definition::Thread { id, os_id, name, first, parent, stack, entry } => {
            put_all(out, &[u64::from(id.0), *os_id]);
            put_bytes(out, name);
            put_varint(out, first.0);
            let origin = [u64::from(parent.0), u64::from(stack.0), *entry];
            if origin != [0; 3] {
                put_all(out, &origin);
            }
            kind::THREAD
        }
        Definition::ThreadEnd { id, ended, ticks, events, dropped_events, dropped_ends } => {
            let ended = u64::from(*ended);
            let counts = [*events, *dropped_events, *dropped_ends];
            put_all(out, &[u64::from(id.0), ended, ticks.0]);
            put_all(out, &counts);
            kind::THREAD_END
        }
        Definition::Generation { number, ticks } => {
            put_all(out, &[u64::from(*number), ticks.0]);
            kind::GENERATION
        }
        Definition::ThreadState { id, sequence, offset, more, open } => {
            let front = [id.0, *sequence, *offset, u32::from(*more)];
            put_all(out, &front.map(u64::from));
            put_varint(out, open.len() as u64);
            for OpenSince { open, begin } in open {
                put_all(out, &[open.to_word(), begin.0]);
            }
            kind::THREAD_STATE
        }
        Definition::TaskState { id, parent, name, begin } => {
            put_all(out, &[id.0, parent.0]);
            put_bytes(out, name);
            put_varint(out, begin.0);
            kind::TASK_STATE
        }
        Definition::Switch { site, on, ticks } => {
            put_all(out, &[u64::from(site.0), u64::from(*on), ticks.0]);
            kind::SWITCH
        }
        Definition::Stop {
            ticks,
            events,
            dropped_events,
            dropped_ends,
            tracer_cpu,
            memory_max,
        } => {
            put_all(out, &[ticks.0, *events, *dropped_events, *dropped_ends]);
            put_all(out, &[tracer_cpu.0, *memory_max]);
            kind::STOP
        }
        Definition::Unknown { kind } => *kind,
        definition => put_of_system(out, definition),
    }
}

/// What no call site or task of the user's defines.
fn put_of_system(out: &mut Vec<u8>, definition: &Definition<'_>) -> u8 {
    match definition {
        Definition::ThreadName { id, ticks, name } => {
            put_all(out, &[u64::from(id.0), ticks.0]);
            put_bytes(out, name);
            kind::THREAD_NAME
        }
        Definition::Module { first, last, bias, build_id, path } => {
            put_all(out, &[*first, *last, *bias]);
            put_bytes(out, build_id);
            put_bytes(out, path);
            kind::MODULE
        }
        Definition::Stack { id, flags, addresses } => {
            put_all(out, &[u64::from(id.0), flags.to_number(), addresses.len() as u64]);
            put_addresses(out, addresses);
            kind::STACK
        }
        Definition::Resource { id, kind, value, name } => {
            put_all(out, &[u64::from(id.0), u64::from(kind.to_byte()), *value]);
            put_bytes(out, name);
            kind::RESOURCE
        }
        Definition::Symbol { address, functions } => {
            put_all(out, &[*address, functions.len() as u64]);
            for Function { name, file, line } in functions {
                put_bytes(out, name);
                put_bytes(out, file);
                put_varint(out, u64::from(*line));
            }
            kind::SYMBOL
        }
        Definition::Facility { name, on, note } => {
            put_bytes(out, name);
            put_varint(out, u64::from(*on));
            put_bytes(out, note);
            kind::FACILITY
        }
        &Definition::Heap {
            ticks,
            live_bytes,
            live_allocations,
            allocated_bytes,
            allocations,
            sample_bytes,
        } => {
            put_all(out, &[ticks.0, live_bytes, live_allocations]);
            put_all(out, &[allocated_bytes, allocations, sample_bytes]);
            kind::HEAP
        }
        &Definition::FutureState { id, parent, task, site, begin, spawned, waits_at, since } => {
            put_all(out, &[id.0, parent.0, task.0, u64::from(site.0), begin.0]);
            put_all(out, &[u64::from(spawned), u64::from(waits_at.0), since.0]);
            kind::FUTURE_STATE
        }
        &Definition::Stopped { from, to, suspended } => {
            put_all(out, &[from.0, to.0, suspended.0]);
            kind::STOPPED
        }
        &Definition::ThreadTime { id, ticks, cpu, ready } => {
            let (is_known, ready) = (u64::from(ready.is_some()), ready.unwrap_or_default());
            put_all(out, &[u64::from(id.0), ticks.0, cpu.0, is_known, ready.0]);
            kind::THREAD_TIME
        }
        _ => unreachable!("put_body has written the others"),
    }
}

/// The first as it is, then how far each is from the one before.
fn put_addresses(out: &mut Vec<u8>, addresses: &[u64]) {
    let mut before = None;
    for &address in addresses {
        put_varint(
            out,
            match before {
                None => address,
                Some(before) => zigzag(address.wrapping_sub(before) as i64),
            },
        );
        before = Some(address);
    }
}

fn put_process(out: &mut Vec<u8>, definition: &Definition<'_>) {
    let Definition::Process { pid, executable, os, arch, clock, tracer } = definition else {
        return;
    };
    put_varint(out, *pid);
    for text in [executable, os, arch] {
        put_bytes(out, text);
    }
    out.push(clock.to_byte());
    put_bytes(out, tracer);
}

fn put_callsite(out: &mut Vec<u8>, definition: &Definition<'_>) {
    let Definition::Callsite { id, kind, name, module, file, line, column, min, arguments } =
        definition
    else {
        return;
    };
    put_all(out, &[u64::from(id.0), u64::from(kind.to_byte())]);
    for text in [name, module, file] {
        put_bytes(out, text);
    }
    let count = arguments.len() as u64;
    put_all(out, &[u64::from(*line), u64::from(*column), min.0, count]);
    for (name, kind) in arguments {
        put_bytes(out, name);
        out.push(kind.to_byte());
    }
}

fn put_all(out: &mut Vec<u8>, numbers: &[u64]) {
    for &number in numbers {
        put_varint(out, number);
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
