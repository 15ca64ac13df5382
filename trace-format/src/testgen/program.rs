//! What is recorded without annotations, made by hand: threads and who made them, calls, CPUs,
//! stacks, modules, the heap.

use super::TraceBuilder;
use crate::definition::{Definition, Function, ResourceKind, StackFlags};
use crate::event::EventKind;
use crate::id::{CallId, OpenCall, ResourceId, SampleId, StackId, ThreadId};
use crate::time::Ticks;

/// The system's id of a thread of [`TraceBuilder::thread`].
#[must_use]
pub const fn os_id(thread: u32) -> u64 {
    1000 + thread as u64
}

/// A call of a function about a resource, from a stack; 0 for none.
#[must_use]
pub const fn open_call(call: CallId, resource: u32, stack: u32) -> OpenCall {
    OpenCall { call, stack: StackId(stack), resource: ResourceId(resource) }
}

impl TraceBuilder {
    /// Adds a thread that thread `parent` made at `ticks`, from a stack; the function it begins
    /// with lies at `entry`.
    pub fn spawned(&mut self, id: u32, name: &str, ticks: u64, origin: (u32, u32, u64)) {
        let (parent, stack, entry) = origin;
        self.define(&Definition::Thread {
            id: ThreadId(id),
            os_id: os_id(id),
            name: name.as_bytes(),
            first: Ticks(ticks),
            parent: ThreadId(parent),
            stack: StackId(stack),
            entry,
        });
    }

    /// Gives a thread another name.
    pub fn rename(&mut self, id: u32, ticks: u64, name: &str) {
        let (id, ticks, name) = (ThreadId(id), Ticks(ticks), name.as_bytes());
        self.define(&Definition::ThreadName { id, ticks, name });
    }

    /// A complete call.
    pub fn call(&mut self, thread: u32, call: OpenCall, ticks: u64, duration: u64, result: i64) {
        self.event(thread, ticks, EventKind::Call { call, result, duration: Ticks(duration) });
    }

    /// The begin of a call.
    pub fn begin_call(&mut self, thread: u32, call: OpenCall, ticks: u64) {
        self.event(thread, ticks, EventKind::CallBegin { call });
    }

    /// The end of what a thread opened last, a call.
    pub fn end_call(&mut self, thread: u32, ticks: u64, result: i64) {
        self.event(thread, ticks, EventKind::EndCall { result });
    }

    /// A thread, by the system's id, begins to run on a CPU.
    pub fn switch_in(&mut self, cpu: u32, ticks: u64, os_thread: u64) {
        self.event(ThreadId::cpu(cpu).0, ticks, EventKind::SwitchIn { os_thread });
    }

    /// A thread, by the system's id, stops running on a CPU.
    pub fn switch_out(&mut self, cpu: u32, ticks: u64, os_thread: u64, preempted: bool) {
        self.event(ThreadId::cpu(cpu).0, ticks, EventKind::SwitchOut { os_thread, preempted });
    }

    /// A thread, by the system's id, is seen running on a CPU.
    pub fn sample(&mut self, cpu: u32, ticks: u64, os_thread: u64, stack: u32) {
        let stack = StackId(stack);
        self.event(ThreadId::cpu(cpu).0, ticks, EventKind::Sample { os_thread, stack });
    }

    /// A sampled allocation; its address follows from its number.
    pub fn alloc(&mut self, thread: u32, ticks: u64, sample: u64, bytes: u64, stack: u32) {
        let (sample, address, stack) = (SampleId(sample), 0x1000 + 16 * sample, StackId(stack));
        self.event(thread, ticks, EventKind::Alloc { sample, address, bytes, stack });
    }

    /// A sampled allocation is freed.
    pub fn free(&mut self, thread: u32, ticks: u64, sample: u64) {
        self.event(thread, ticks, EventKind::Free { sample: SampleId(sample) });
    }

    /// Adds a stack that is whole.
    pub fn stack(&mut self, id: u32, addresses: &[u64]) {
        let (id, flags) = (StackId(id), StackFlags::default());
        self.define(&Definition::Stack { id, flags, addresses: addresses.to_vec() });
    }

    /// Adds what calls are about.
    pub fn resource(&mut self, id: u32, kind: ResourceKind, value: u64, name: &str) {
        let (id, name) = (ResourceId(id), name.as_bytes());
        self.define(&Definition::Resource { id, kind, value, name });
    }

    /// Adds a module that is loaded where its file says plus `bias`.
    pub fn module(&mut self, first: u64, last: u64, bias: u64, path: &str) {
        let (build_id, path) = (&[0xab, 0xcd][..], path.as_bytes());
        self.define(&Definition::Module { first, last, bias, build_id, path });
    }

    /// Adds the functions at an address: name, file, line, innermost inlined one first.
    pub fn symbol(&mut self, address: u64, functions: &[(&str, &str, u32)]) {
        let functions = functions.iter().map(|&(name, file, line)| Function {
            name: name.as_bytes(),
            file: file.as_bytes(),
            line,
        });
        self.define(&Definition::Symbol { address, functions: functions.collect() });
    }

    /// Says whether a part of the recorder works.
    pub fn facility(&mut self, name: &str, on: bool, note: &str) {
        let (name, note) = (name.as_bytes(), note.as_bytes());
        self.define(&Definition::Facility { name, on, note });
    }

    /// Says how the heap is: live bytes and allocations, and those since the program began.
    pub fn heap(&mut self, ticks: u64, live: (u64, u64), allocated: (u64, u64)) {
        self.define(&Definition::Heap {
            ticks: Ticks(ticks),
            live_bytes: live.0,
            live_allocations: live.1,
            allocated_bytes: allocated.0,
            allocations: allocated.1,
            sample_bytes: 512 * 1024,
        });
    }
}
