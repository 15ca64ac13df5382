//! What a trace says of stacks: what is mapped, and how stacks are found.

use super::tables::{Known, Walker};
use super::{Bounds, End, Frames, METHOD, MISSED, Method, Registers, prepare_thread};
use crate::base::primitive::Ordering;
use crate::intern::STACKS;
use crate::output::Output;
use crate::source::Source;
use crate::stack::modules::Module;
use std::fmt;
use trace_format::definition::Definition;
use trace_format::facility;

/// Makes sure that there is memory for stacks: for tables, and for those who walk. Whether the
/// system gives it.
pub(crate) fn prepare() -> bool {
    let is_there = STACKS.prepare();
    #[cfg(os_hooks)]
    let is_there = is_there && crate::intern::resources::RESOURCES.prepare();
    is_there && super::tables::prepare()
}

/// A trace begins, which uses no stack yet. Nobody has attached to it.
pub(crate) fn begin() {
    STACKS.begin();
}

/// Prepares stacks when a trace starts, keeps up with what is loaded, and reports.
#[derive(Default)]
pub(crate) struct StackSource {
    known: Known,
    /// Already in the trace.
    told: Vec<Module>,
    /// As the process counted when the trace began.
    lost_before: u64,
    missed_before: u64,
    unnamed_before: u64,
    /// How many stacks and resources that have no name it has told of.
    unnamed: (u64, u64),
}

impl fmt::Debug for StackSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StackSource").field("modules", &self.told).finish_non_exhaustive()
    }
}

impl StackSource {
    fn tell_modules(&mut self, output: &mut Output) {
        for module in self.known.modules() {
            if !self.told.contains(module) {
                output.define(&Definition::Module {
                    first: module.range.start,
                    last: module.range.end,
                    bias: module.bias,
                    build_id: &module.build_id,
                    path: &module.path,
                });
            }
        }
        self.told = self.known.modules().cloned().collect();
    }

    /// Says how many stacks and resources have no name, if there are more by now.
    fn tell_unnamed(&mut self, output: &mut Output) {
        let stacks = STACKS.lost() - self.lost_before;
        let resources = resources_lost() - self.unnamed_before;
        if (stacks, resources) == self.unnamed {
            return;
        }
        self.unnamed = (stacks, resources);
        let note = format!(
            "{stacks} times a stack, {resources} times a lock, file or socket was not recorded: \
             there were too many distinct ones"
        );
        let name = facility::NAMES.as_bytes();
        output.define(&Definition::Facility { name, on: false, note: note.as_bytes() });
    }

    /// The best of the three ways that serves here.
    fn method(&self) -> Method {
        if !self.known.serves() || !tables_serve() {
            Method::System
        } else if keeps_frame_pointers() {
            Method::Pointers
        } else {
            Method::Tables
        }
    }
}

impl Source for StackSource {
    fn begin(&mut self, output: &mut Output) {
        let _quiet = crate::thread::local::quiet();
        prepare_thread();
        self.known.refresh();
        METHOD.store(self.method() as u32, Ordering::Relaxed);
        self.lost_before = STACKS.lost();
        self.missed_before = MISSED.load(Ordering::Relaxed);
        self.unnamed_before = resources_lost();
        self.tell_modules(output);
        define(output, &how());
    }

    fn cut(&mut self, output: &mut Output) {
        if self.known.refresh() {
            self.tell_modules(output);
        }
        self.tell_unnamed(output);
    }

    fn stop(&mut self, output: &mut Output) {
        self.tell_unnamed(output);
        let busy = MISSED.load(Ordering::Relaxed) - self.missed_before;
        let lacking = self.known.lacking();
        let mut note = how();
        if busy > 0 {
            note += &format!("; {busy} were not had, for too many threads wanted one at once");
        }
        if lacking > 0 {
            note += &format!(
                "; {lacking} libraries are left out: there was no memory to copy their tables, or \
                 nobody knows how to read them"
            );
        }
        if busy > 0 || lacking > 0 {
            define(output, &note);
        }
    }
}

/// How many times the table of resources had no room, in this process.
fn resources_lost() -> u64 {
    #[cfg(os_hooks)]
    return crate::intern::resources::RESOURCES.lost();
    #[cfg(not(os_hooks))]
    0
}

fn define(output: &mut Output, note: &str) {
    let name = facility::STACKS.as_bytes();
    output.define(&Definition::Facility { name, on: true, note: note.as_bytes() });
}

/// For people.
fn how() -> String {
    let pointers = facility::FRAME_POINTERS;
    match METHOD.load(Ordering::Relaxed) {
        method if method == Method::Pointers as u32 => {
            format!("{pointers}, and unwind tables where they do not lead to a thread's start")
        }
        method if method == Method::Tables as u32 => {
            "unwind tables; for stacks that seldom repeat -C force-frame-pointers=yes is faster"
                .to_owned()
        }
        _ => "the system's unwinder, one in 64; the program has no index of its unwind tables"
            .to_owned(),
    }
}

/// Whether a walk by tables leaves this function.
fn tables_serve() -> bool {
    let registers = Registers::here();
    let mut frames = Frames::new();
    let bounds = Bounds::at(registers.sp as usize);
    let end = Walker::take().map(|mut walker| walker.walk(&registers, bounds, &mut frames));
    end.is_some_and(|end| end != End::Lost || frames.count > 2)
}

/// Whether functions begin by making a frame. One of this crate stands for all.
fn keeps_frame_pointers() -> bool {
    super::begins_with_frame(super::capture as fn() -> u32)
}
