//! Everything that a trace's events tell in the order of time, found out in one walk.

use std::collections::HashMap;

use trace_format::read::ReadAt;

use crate::async_tasks::{AsyncReport, AsyncTasks};
use crate::heap::{Heap, HeapOptions, HeapReport};
use crate::life::{Activity, Also, Lives, Walk};
use crate::slow_tasks::{Runs, SlowTask};
use crate::summary::Progress;
use crate::timeline::Observer;
use crate::trace::Trace;

/// What is to be found out besides what threads did.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Async tasks; traces without any cost nothing more.
    pub async_tasks: bool,
    /// The heap, at the end of the window.
    pub heap: bool,
    /// When threads worked for these, and what they did then.
    pub slow_tasks: Vec<SlowTask>,
    /// What threads did for all tasks, by name; `slow_tasks` must be empty.
    pub tasks_by_name: bool,
}

/// What was found out.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What threads did and waited for.
    pub lives: Lives,
    /// Async tasks; `None` if they were not wanted, or there are none.
    pub async_tasks: Option<AsyncTasks>,
    /// The heap; `None` if it was not wanted, or the trace has no heap counters.
    pub heap: Option<Heap>,
    /// The tasks that were wanted, with what was done in them.
    pub slow_tasks: Vec<SlowTask>,
    /// What threads did for the tasks of each name; empty if that was not wanted.
    pub tasks_by_name: HashMap<String, Activity>,
}

impl Report {
    /// Walks a trace once, or the part of it that its options name (its `outliers`, `trees` and
    /// `workers` do not matter here; `threads` narrows what is returned, not what is read, as
    /// wakers and holders are found among all).
    ///
    /// - `progress` is called every few megabytes.
    pub fn read<S: ReadAt>(
        trace: &Trace<'_, S>,
        wanted: Wanted,
        progress: impl FnMut(Progress),
    ) -> Self {
        let mut nobody = ();
        let walk = Walk::observed(trace, &mut nobody);
        Self::of(walk, trace, wanted, progress)
    }

    /// The same, of a walk that may have an observer.
    pub(crate) fn of<'f, S: ReadAt, O: Observer>(
        mut walk: Walk<'f, O>,
        trace: &'f Trace<'f, S>,
        wanted: Wanted,
        progress: impl FnMut(Progress),
    ) -> Self {
        let (file, symbols, options) = (trace.file, trace.symbols, &trace.options);
        let Wanted { async_tasks, heap, slow_tasks: mut slow, tasks_by_name } = wanted;
        let window = walk.window();
        let heap = heap && !file.tables().heap.is_empty();
        let heap_options = HeapOptions { from: options.from, at: options.to, to: options.to };
        walk.also = Also {
            async_tasks: (async_tasks && AsyncTasks::are_in(file)).then(|| {
                AsyncReport::new(file, (window.0.0, window.1.0), &slow, symbols, O::IS_ON)
                    .with_threads(&options.threads)
            }),
            heap: heap.then(|| HeapReport::new(file, &heap_options)),
            runs: match (slow.is_empty(), tasks_by_name) {
                (false, _) => Some(Runs::new(&slow)),
                (true, true) => Some(Runs::by_name()),
                (true, false) => None,
            },
        };
        walk.walk(file, options, progress);
        let lives = walk.finish(options);
        let Also { async_tasks, heap, runs } = std::mem::take(&mut walk.also);
        let mut by_name = HashMap::new();
        match runs {
            Some(runs) if slow.is_empty() => by_name = runs.activities(),
            Some(runs) => runs.give(&mut slow, window),
            None => {}
        }
        let finished = async_tasks.map(|tasks| tasks.finish(lives.unreadable, lives.too_deep));
        let (async_tasks, waits) = finished.unzip();
        for (slow, waits) in slow.iter_mut().zip(waits.unwrap_or_default()) {
            slow.waits = waits;
        }
        Self {
            async_tasks: async_tasks.filter(|tasks| !tasks.is_empty()),
            heap: heap.map(|heap| heap.finish(file)),
            slow_tasks: slow,
            tasks_by_name: by_name,
            lives,
        }
    }
}

impl Lives {
    /// What threads did, and nothing else: see [`Report::read`].
    pub fn read<S: ReadAt>(trace: &Trace<'_, S>, progress: impl FnMut(Progress)) -> Self {
        Report::read(trace, Wanted::default(), progress).lives
    }
}

impl AsyncTasks {
    /// What async tasks did, and nothing else: see [`Report::read`].
    pub fn read<S: ReadAt>(trace: &Trace<'_, S>, progress: impl FnMut(Progress)) -> Self {
        let wanted = Wanted { async_tasks: true, ..Wanted::default() };
        Report::read(trace, wanted, progress).async_tasks.unwrap_or_default()
    }
}
