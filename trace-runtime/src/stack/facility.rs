//! What a trace says about stacks: what is mapped, and how stacks are walked.

use super::tables::{MappedModules, Walker};
use super::{Bounds, End, Frames, METHOD, MISSED, Method, Registers, prepare_thread};
use crate::base::primitive::Ordering;
use crate::intern::STACKS;
use crate::output::Outputs;
use crate::source::Source;
use crate::stack::modules::MappedModule;
use std::fmt;
use trace_format::definition::Definition;
use trace_format::facility;

/// Gets the memory for stacks: for the tables, and for the walkers. Returns false if the system has
/// no memory.
pub(crate) fn prepare() -> bool {
    let is_there = STACKS.prepare();
    #[cfg(os_hooks)]
    let is_there = is_there && crate::intern::resources::RESOURCES.prepare();
    is_there && super::tables::prepare()
}

/// A trace begins, which uses no stack yet. To be called before any thread attaches.
pub(crate) fn begin() {
    STACKS.begin();
}

/// Prepares stacks when a trace starts, keeps up with what is loaded, and reports.
#[derive(Default)]
pub(crate) struct StackSource {
    known: MappedModules,
    /// The modules that the trace has.
    defined: Vec<MappedModule>,
    /// The process's counts when the trace began.
    lost_before: u64,
    missed_before: u64,
    unnamed_before: u64,
    /// The number of stacks and resources without room that the trace has last reported.
    unnamed: (u64, u64),
}

impl fmt::Debug for StackSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StackSource").field("modules", &self.defined).finish_non_exhaustive()
    }
}

impl StackSource {
    fn define_modules(&mut self, outputs: &mut Outputs) {
        for module in self.known.modules() {
            if !self.defined.contains(module) {
                outputs.define(&Definition::Module {
                    first: module.range.start,
                    last: module.range.end,
                    bias: module.bias,
                    build_id: &module.build_id,
                    path: &module.path,
                });
            }
        }
        self.defined = self.known.modules().cloned().collect();
    }

    /// Says how many stacks and resources had no room, if there are more than last reported.
    fn report_unnamed(&mut self, outputs: &mut Outputs) {
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
        outputs.define(&Definition::Facility { name, on: false, note: note.as_bytes() });
    }

    /// The best of the three ways that works here.
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
    fn begin(&mut self, outputs: &mut Outputs) {
        let _suppressed = crate::thread::local::suppress();
        prepare_thread();
        self.known.refresh();
        METHOD.store(self.method() as u32, Ordering::Relaxed);
        self.lost_before = STACKS.lost();
        self.missed_before = MISSED.load(Ordering::Relaxed);
        self.unnamed_before = resources_lost();
        self.define_modules(outputs);
        define(outputs, &how());
    }

    fn advance(&mut self, outputs: &mut Outputs) {
        if self.known.refresh() {
            self.define_modules(outputs);
        }
        self.report_unnamed(outputs);
    }

    fn stop(&mut self, outputs: &mut Outputs) {
        self.report_unnamed(outputs);
        let missed = MISSED.load(Ordering::Relaxed) - self.missed_before;
        let lacking = self.known.lacking();
        let mut note = how();
        if missed > 0 {
            note += &format!("; {missed} were not taken, as too many threads wanted one at once");
        }
        if lacking > 0 {
            note += &format!(
                "; {lacking} libraries are left out: there was no memory to copy their tables, or \
                 the tables are of an unknown kind"
            );
        }
        if missed > 0 || lacking > 0 {
            define(outputs, &note);
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

fn define(outputs: &mut Outputs, note: &str) {
    let name = facility::STACKS.as_bytes();
    outputs.define(&Definition::Facility { name, on: true, note: note.as_bytes() });
}

/// The note for people: how stacks are walked.
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

/// Whether a walk by tables gets beyond this function.
fn tables_serve() -> bool {
    let registers = Registers::here();
    let mut frames = Frames::new();
    let bounds = Bounds::at(registers.sp as usize);
    let end = Walker::take().map(|mut walker| walker.walk(&registers, bounds, &mut frames));
    end.is_some_and(|end| end != End::Lost || frames.count > 2)
}

/// Whether the program's functions keep frame pointers, judged by one of this crate.
fn keeps_frame_pointers() -> bool {
    super::begins_with_frame(super::capture as fn() -> u32)
}
