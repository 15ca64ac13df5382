//! A trace with everything on, recorded in memory and read as the tool reads it: what threads did,
//! with the names of this program's functions.

use crate::writers::Memory;
use std::sync::{Mutex, PoisonError};
use trace_analysis::explain::{Insight, explain};
use trace_analysis::reason;
use trace_analysis::symbols::{Frame, Symbols, strip_recorder};
use trace_analysis::{Report, Trace, Wanted};
use trace_format::id::{StackId, ThreadId};
use trace_format::read::TraceFile;
use trace_tool::symbols::{binaries, resolve};

/// The reports about a trace.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) report: Report,
    pub(crate) file: TraceFile<Vec<u8>>,
    pub(crate) symbols: Symbols,
}

impl Answer {
    /// Records `act`. Callers wait for each other, because a process has one trace.
    pub(crate) fn record(act: impl FnOnce()) -> Self {
        Self::record_with(exectrace::Options::new(), act)
    }

    /// The same, with these options.
    pub(crate) fn record_with(options: exectrace::Options, act: impl FnOnce()) -> Self {
        static ONE: Mutex<()> = Mutex::new(());
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let memory = Memory::default();
        let trace = exectrace::start_with(options, memory.clone()).expect("no trace is running");
        act();
        let report = trace.stop().expect("memory takes every byte");
        drop(one);
        assert_eq!(report.dropped_events, 0, "there is memory enough");
        Self::read(memory.take())
    }

    fn read(bytes: Vec<u8>) -> Self {
        let file = TraceFile::open(bytes).expect("what was recorded can be read");
        let addresses = file.tables().stacks.values().flat_map(|stack| stack.addresses.clone());
        let addresses: Vec<u64> = addresses.collect();
        let symbols = resolve(&file, addresses, &binaries::Options::default());
        let symbols = symbols.expect("no file is asked for by name");
        let report = Report::read(&Trace::new(&file).named(&symbols), Wanted::default(), |_| ());
        Self { report, file, symbols }
    }

    /// The thread of this name.
    pub(crate) fn thread(&self, name: &str) -> ThreadId {
        let named = self.report.lives.threads.iter().find(|life| life.name == name);
        named.unwrap_or_else(|| panic!("no thread is called `{name}`")).thread
    }

    pub(crate) fn name(&self, thread: ThreadId) -> &str {
        let life = self.report.lives.threads.iter().find(|life| life.thread == thread);
        life.map_or("", |life| &life.name)
    }

    /// The innermost function of the program's own in a stack, and its line.
    pub(crate) fn site(&self, stack: StackId) -> (String, u32) {
        let frames = self.frames(stack);
        let site = reason::site(&frames);
        site.map_or_else(Default::default, |frame| (frame.name.to_string(), frame.line))
    }

    /// The functions of a stack.
    pub(crate) fn names(&self, stack: Option<StackId>) -> Vec<String> {
        let frames = stack.map(|stack| self.frames(stack)).unwrap_or_default();
        frames.into_iter().map(|frame| frame.name.into_owned()).collect()
    }

    fn frames(&self, stack: StackId) -> Vec<Frame<'_>> {
        let known = self.file.tables().stacks.get(&stack);
        let addresses = known.map_or(&[][..], |known| &known.addresses);
        let mut frames = self.symbols.frames(addresses);
        strip_recorder(&mut frames);
        frames
    }

    /// The findings, worst first.
    pub(crate) fn explain(&self) -> Vec<Insight> {
        explain(&Trace::new(&self.file).named(&self.symbols), &self.report)
    }

    /// What could be recorded, and why the rest could not.
    pub(crate) fn facilities(&self) -> Vec<String> {
        let all = self.file.tables().facilities.iter();
        all.map(|facility| format!("{facility:?}")).collect()
    }
}
