//! From the lines of definitions to their bytes.

use super::parse::{flag, parent, waits_at};
use super::word::{Line, Parsed, expected};
use crate::definition::{
    ArgumentKind, CallsiteKind, Definition, FoundBy, Function, OpenSince, ResourceKind, StackFlags,
    put_definition,
};
use crate::id::{FutureId, SiteId, StackId, TaskId, ThreadId};
use crate::time::{ClockKind, ClockSnapshot, Nanos, Ticks};

/// The definition on this line, appended as it lies on the wire.
pub(super) fn definition(out: &mut Vec<u8>, line: &mut Line<'_>) -> Parsed<()> {
    let word = line.word();
    match word {
        "process" => process(out, line)?,
        "clock" => {
            let ticks = Ticks(line.number()?);
            line.keyword("monotonic")?;
            let monotonic = Nanos(line.number()?);
            line.keyword("wall")?;
            let wall = Nanos(line.number()?);
            put_definition(out, &Definition::Clock(ClockSnapshot { ticks, monotonic, wall }));
        }
        "callsite" => callsite(out, line)?,
        "thread" => {
            let id = ThreadId(line.small()?);
            line.keyword("first")?;
            let first = Ticks(line.number()?);
            line.keyword("system")?;
            let (os_id, (parent, stack, entry)) = (line.number()?, origin(line)?);
            let name = &line.quoted()?;
            put_definition(
                out,
                &Definition::Thread { id, os_id, name, first, parent, stack, entry },
            );
        }
        "thread-end" => {
            let (id, ended) = (ThreadId(line.small()?), flag(line, "ended", "lives")?);
            let ticks = Ticks(line.number()?);
            let [events, dropped_events, dropped_ends] = totals(line)?;
            put_definition(
                out,
                &Definition::ThreadEnd { id, ended, ticks, events, dropped_events, dropped_ends },
            );
        }
        "generation" => {
            let (number, ticks) = (line.small()?, Ticks(line.number()?));
            put_definition(out, &Definition::Generation { number, ticks });
        }
        "thread-state" => thread_state(out, line)?,
        "task-state" => {
            let (id, parent) = (TaskId(line.number()?), parent(line)?);
            line.keyword("begin")?;
            let (begin, name) = (Ticks(line.number()?), line.quoted()?);
            put_definition(out, &Definition::TaskState { id, parent, name: &name, begin });
        }
        "switch" => {
            let (site, on) = (SiteId(line.small()?), flag(line, "on", "off")?);
            put_definition(out, &Definition::Switch { site, on, ticks: Ticks(line.number()?) });
        }
        "stop" => stop(out, line)?,
        _ => of_program(word, out, line)?,
    }
    Ok(())
}

/// What is known of a thread's making; nothing if the words are not there.
fn origin(line: &mut Line<'_>) -> Parsed<(ThreadId, StackId, u64)> {
    if line.next() != "parent" {
        return Ok((ThreadId(0), StackId(0), 0));
    }
    line.word();
    let (parent, stack) = (ThreadId(line.small()?), line.stack()?);
    line.keyword("entry")?;
    Ok((parent, stack, line.address()?))
}

fn of_program(word: &str, out: &mut Vec<u8>, line: &mut Line<'_>) -> Parsed<()> {
    match word {
        "thread-name" => {
            let (id, ticks) = (ThreadId(line.small()?), Ticks(line.number()?));
            put_definition(out, &Definition::ThreadName { id, ticks, name: &line.quoted()? });
        }
        "module" => {
            let first = line.address()?;
            line.keyword("to")?;
            let last = line.address()?;
            line.keyword("bias")?;
            let bias = line.address()?;
            line.keyword("build")?;
            let build_id = match line.next() {
                "-" => {
                    line.word();
                    Vec::new()
                }
                _ => line.hex()?,
            };
            let (build_id, path) = (&build_id[..], &line.quoted()?[..]);
            put_definition(out, &Definition::Module { first, last, bias, build_id, path });
        }
        "stack" => stack(out, line)?,
        "resource" => {
            let (id, found) = (line.resource()?, line.word());
            let kind = ResourceKind::ALL.into_iter().find(|kind| kind.name() == found);
            let kind = kind.ok_or_else(|| expected("a kind of resource", found))?;
            let (value, name) = (line.number()?, &line.quoted()?);
            put_definition(out, &Definition::Resource { id, kind, value, name });
        }
        "symbol" => symbol(out, line)?,
        "facility" => {
            let on = flag(line, "on", "off")?;
            let (name, note) = (&line.quoted()?[..], &line.quoted()?[..]);
            put_definition(out, &Definition::Facility { name, on, note });
        }
        "heap" => heap(out, line)?,
        "future-state" => future_state(out, line)?,
        "stopped" => {
            line.keyword("from")?;
            let from = Ticks(line.number()?);
            line.keyword("to")?;
            let to = Ticks(line.number()?);
            line.keyword("suspended")?;
            let suspended = Nanos(line.number()?);
            put_definition(out, &Definition::Stopped { from, to, suspended });
        }
        "thread-time" => thread_time(out, line)?,
        _ => return Err(expected("a definition", word)),
    }
    Ok(())
}

fn stack(out: &mut Vec<u8>, line: &mut Line<'_>) -> Parsed<()> {
    let found = line.next();
    let id = StackId::from_number(line.number()?);
    let id = id.ok_or_else(|| expected("a number below 2^24", found))?;
    let found = line.word();
    let by = FoundBy::ALL.into_iter().find(|by| by.name() == found);
    let by = by.ok_or_else(|| expected("who found it", found))?;
    let flags = StackFlags { cut: flag(line, "cut", "whole")?, by };
    line.keyword("[")?;
    let mut addresses = Vec::new();
    while line.next() != "]" {
        addresses.push(line.address()?);
    }
    line.word();
    put_definition(out, &Definition::Stack { id, flags, addresses });
    Ok(())
}

fn symbol(out: &mut Vec<u8>, line: &mut Line<'_>) -> Parsed<()> {
    let address = line.address()?;
    line.keyword("[")?;
    let mut functions = Vec::new();
    while line.next() != "]" {
        line.keyword("line")?;
        functions.push((line.small()?, line.quoted()?, line.quoted()?));
    }
    line.word();
    let functions = functions.iter().map(|(line, name, file)| Function { name, file, line: *line });
    put_definition(out, &Definition::Symbol { address, functions: functions.collect() });
    Ok(())
}

fn future_state(out: &mut Vec<u8>, line: &mut Line<'_>) -> Parsed<()> {
    let id = FutureId(line.number()?);
    line.keyword("parent")?;
    let parent = FutureId(line.number()?);
    line.keyword("task")?;
    let task = TaskId(line.number()?);
    line.keyword("site")?;
    let site = SiteId(line.small()?);
    line.keyword("begin")?;
    let begin = Ticks(line.number()?);
    let spawned = flag(line, "spawned", "polled")?;
    let waits_at = waits_at(line)?;
    line.keyword("since")?;
    let since = Ticks(line.number()?);
    put_definition(
        out,
        &Definition::FutureState { id, parent, task, site, begin, spawned, waits_at, since },
    );
    Ok(())
}

fn thread_time(out: &mut Vec<u8>, line: &mut Line<'_>) -> Parsed<()> {
    let (id, ticks) = (ThreadId(line.small()?), Ticks(line.number()?));
    line.keyword("cpu")?;
    let cpu = Nanos(line.number()?);
    line.keyword("ready")?;
    let ready = match line.next() {
        "unknown" => {
            line.word();
            None
        }
        _ => Some(Nanos(line.number()?)),
    };
    put_definition(out, &Definition::ThreadTime { id, ticks, cpu, ready });
    Ok(())
}

fn heap(out: &mut Vec<u8>, line: &mut Line<'_>) -> Parsed<()> {
    let ticks = Ticks(line.number()?);
    line.keyword("live")?;
    let live_bytes = line.number()?;
    line.keyword("in")?;
    let live_allocations = line.number()?;
    line.keyword("allocated")?;
    let allocated_bytes = line.number()?;
    line.keyword("in")?;
    let allocations = line.number()?;
    line.keyword("one-in")?;
    let sample_bytes = line.number()?;
    put_definition(
        out,
        &Definition::Heap {
            ticks,
            live_bytes,
            live_allocations,
            allocated_bytes,
            allocations,
            sample_bytes,
        },
    );
    Ok(())
}

fn process(out: &mut Vec<u8>, line: &mut Line<'_>) -> Parsed<()> {
    let pid = line.number()?;
    let (executable, os, arch) = (line.quoted()?, line.quoted()?, line.quoted()?);
    let clock = line.quoted()?;
    let kinds = [ClockKind::Tsc, ClockKind::Cntvct, ClockKind::Monotonic];
    let clock = kinds.into_iter().find(|kind| kind.name().as_bytes() == clock);
    let clock = clock.ok_or_else(|| expected("a clock's name", ""))?;
    let tracer = line.quoted()?;
    let (executable, os, arch, tracer) = (&executable[..], &os[..], &arch[..], &tracer[..]);
    put_definition(out, &Definition::Process { pid, executable, os, arch, clock, tracer });
    Ok(())
}

fn callsite(out: &mut Vec<u8>, line: &mut Line<'_>) -> Parsed<()> {
    let (id, found) = (SiteId(line.small()?), line.word());
    let kind = CallsiteKind::ALL.into_iter().find(|kind| kind.name() == found);
    let kind = kind.ok_or_else(|| expected("a kind of call site", found))?;
    line.keyword("line")?;
    let number = line.small()?;
    line.keyword("column")?;
    let column = line.small()?;
    line.keyword("min")?;
    let min = Nanos(line.number()?);
    let (name, module, file) = (line.quoted()?, line.quoted()?, line.quoted()?);
    line.keyword("[")?;
    let mut arguments = Vec::new();
    loop {
        let kind = match line.word() {
            "typed" => ArgumentKind::Typed,
            "debug" => ArgumentKind::Debug,
            "display" => ArgumentKind::Display,
            "]" => break,
            found => return Err(expected("typed, debug, display or ]", found)),
        };
        arguments.push((line.quoted()?, kind));
    }
    let arguments = arguments.iter().map(|(name, kind)| (name.as_slice(), *kind)).collect();
    put_definition(
        out,
        &Definition::Callsite {
            id,
            kind,
            name: &name,
            module: &module,
            file: &file,
            line: number,
            column,
            min,
            arguments,
        },
    );
    Ok(())
}

fn thread_state(out: &mut Vec<u8>, line: &mut Line<'_>) -> Parsed<()> {
    let id = ThreadId(line.small()?);
    line.keyword("sequence")?;
    let sequence = line.small()?;
    line.keyword("offset")?;
    let offset = line.small()?;
    let more = flag(line, "more", "all")?;
    line.keyword("[")?;
    let mut open = Vec::new();
    while line.next() != "]" {
        let what = line.open()?;
        line.keyword("begin")?;
        open.push(OpenSince { open: what, begin: Ticks(line.number()?) });
    }
    line.word();
    put_definition(out, &Definition::ThreadState { id, sequence, offset, more, open });
    Ok(())
}

fn stop(out: &mut Vec<u8>, line: &mut Line<'_>) -> Parsed<()> {
    let ticks = Ticks(line.number()?);
    let [events, dropped_events, dropped_ends] = totals(line)?;
    line.keyword("cpu")?;
    let tracer_cpu = Nanos(line.number()?);
    line.keyword("memory")?;
    let memory_max = line.number()?;
    put_definition(
        out,
        &Definition::Stop { ticks, events, dropped_events, dropped_ends, tracer_cpu, memory_max },
    );
    Ok(())
}

fn totals(line: &mut Line<'_>) -> Parsed<[u64; 3]> {
    line.keyword("events")?;
    let events = line.number()?;
    line.keyword("dropped")?;
    let dropped = line.number()?;
    line.keyword("ends")?;
    Ok([events, dropped, line.number()?])
}
