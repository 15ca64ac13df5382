//! THE table: every definition, its number, its fields as they lie on the wire, and its line in the
//! text form. Sections 7, 9 and 12 of FORMAT.md say the same, and tests compare them.
//!
//! [`definitions`] hands the rows to another macro, which turns them into a `match` over all
//! definitions: `decode` reads, `encode` writes, `text` does both with lines. So a definition
//! without a row does not compile. A row is
//!
//! ```text
//! NUMBER CONSTANT Variant { fields in the order of the wire }, lasting|moment,
//!     "first word of its line" [the other words];
//! ```
//!
//! - A field's type decides what its bytes and its words are: `Put` and `Take` in `encode` and
//!   `decode`, `PutWords` and `TakeWords` in `text`.
//! - Fields whose bytes depend on each other are a group: then `=>` and the order of the wire
//!   follow, with the group in parentheses.
//! - `lasting` definitions hold until another one of the same thing comes, or to the end of the
//!   trace; those of a `moment` say what held at one time. A flight recorder's file keeps the
//!   former in its tables, and the latter in its log.
//! - Of a line's words, a text is a keyword, and a name is that field. `[field "yes" "no"]` is a
//!   truth value as one of two words, `[address field]` a number as an address, `[hex field]`
//!   bytes that are no text.

/// Hands all rows of the table to the macro `generate`.
macro_rules! definitions {
    ($generate:ident) => {
        $generate! {
            1 PROCESS Process { pid, executable, os, arch, clock, tracer }, lasting,
                "process" [pid executable os arch clock tracer];
            2 CLOCK Clock(snapshot), moment,
                "clock" [snapshot];
            3 CALLSITE Callsite { id, kind, name, module, file, line, column, min, arguments },
                lasting,
                "callsite" [id kind "line" line "column" column "min" min name module file
                    arguments];
            4 THREAD Thread { id, os_id, name, first, parent, stack, entry }
                => { id, os_id, name, first, (parent, stack, entry) }, lasting,
                "thread" [id "first" first "system" os_id (parent, stack, entry) name];
            5 THREAD_END ThreadEnd { id, ended, ticks, events, dropped_events, dropped_ends },
                moment,
                "thread-end" [id [ended "ended" "lives"] ticks "events" events
                    "dropped" dropped_events "ends" dropped_ends];
            6 GENERATION Generation { number, ticks }, moment,
                "generation" [number ticks];
            7 THREAD_STATE ThreadState { id, sequence, offset, more, open }, moment,
                "thread-state" [id "sequence" sequence "offset" offset [more "more" "all"] open];
            8 TASK_STATE TaskState { id, parent, name, begin }, moment,
                "task-state" [id "parent" parent "begin" begin name];
            9 SWITCH Switch { site, on, ticks }, moment,
                "switch" [site [on "on" "off"] ticks];
            10 STOP Stop { ticks, events, dropped_events, dropped_ends, tracer_cpu, memory_max },
                moment,
                "stop" [ticks "events" events "dropped" dropped_events "ends" dropped_ends
                    "cpu" tracer_cpu "memory" memory_max];
            11 THREAD_NAME ThreadName { id, ticks, name }, lasting,
                "thread-name" [id ticks name];
            12 MODULE Module { first, last, bias, build_id, path }, lasting,
                "module" [[address first] "to" [address last] "bias" [address bias]
                    "build" [hex build_id] path];
            13 STACK Stack { id, flags, addresses } => { id, (flags, addresses) }, lasting,
                "stack" [id flags addresses];
            14 RESOURCE Resource { id, kind, value, name }, lasting,
                "resource" [id kind value name];
            15 SYMBOL Symbol { address, functions }, lasting,
                "symbol" [[address address] functions];
            16 FACILITY Facility { name, on, note }, lasting,
                "facility" [[on "on" "off"] name note];
            17 HEAP Heap { ticks, live_bytes, live_allocations, allocated_bytes, allocations,
                sample_bytes }, moment,
                "heap" [ticks "live" live_bytes "in" live_allocations "allocated" allocated_bytes
                    "in" allocations "one-in" sample_bytes];
            18 FUTURE_STATE FutureState { id, parent, task, site, begin, spawned, waits_at,
                since }, lasting,
                "future-state" [id "parent" parent "task" task "site" site "begin" begin
                    [spawned "spawned" "polled"] "waits-at" waits_at "since" since];
            19 STOPPED Stopped { from, to, suspended }, moment,
                "stopped" ["from" from "to" to "suspended" suspended];
            20 THREAD_TIME ThreadTime { id, ticks, cpu, ready }, moment,
                "thread-time" [id ticks "cpu" cpu "ready" ready];
        }
    };
}

pub(crate) use definitions;
