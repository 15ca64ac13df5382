//! Everything that a trace's events tell in the order of time, found out in one walk: the
//! timeline's intervals, waits and calls, added up.
//!
//! - `life` is what threads did, `async_tasks` what executors polled, `heap` what lives.
//! - `sums` takes what the timeline tells: `waits` and `calls` put together, by means of
//!   `grouped`; `region_times` is what threads did in the regions of a call site; `long` keeps the
//!   long waits one by one, for `path`, the critical path of a thread, and `ready` the long times
//!   without a CPU.
//! - `children` counts child processes. `files` puts waiting for many files together. `rest` tells
//!   which waiting is rest.
//! - `summary` and its parts (`regions`, `tasks`, `threads`, `futures`, `counters`, `findings`,
//!   `by_site`) are filled by `parallel`.
//! - `slow_tasks`, `profile`, `kernel_times`: what is made of these.

pub mod async_tasks;
pub(crate) mod by_site;
mod calls;
pub(crate) mod children;
pub mod counters;
mod files;
pub mod findings;
pub mod futures;
mod grouped;
pub mod heap;
pub mod kernel_times;
pub mod life;
mod long;
pub(crate) mod path;
pub mod profile;
mod region_times;
pub mod regions;
mod rest;
pub mod slow_tasks;
pub(crate) mod summary;
mod sums;
pub mod tasks;
pub mod threads;
mod waits;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use trace_format::read::ReadAt;

use self::async_tasks::AsyncTasks;
use self::heap::{Heap, HeapOptions, HeapReport};
use self::life::Lives;
use self::slow_tasks::{Runs, SlowTask};
use self::sums::Sums;
use crate::timeline::futures::AsyncReport;
use crate::timeline::{Activity, Observer, Walk};
use crate::trace::{Progress, Trace};

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
        Self::observed(trace, wanted, &mut Unwatched(&AtomicBool::new(false)), progress)
    }

    /// The same, but gives up soon after another thread has said that this is of no use:
    /// [`Report::read`] may begin before it is known what is wanted.
    ///
    /// - Returns `None` if it was said.
    pub fn read_unless<S: ReadAt>(
        is_useless: &AtomicBool,
        trace: &Trace<'_, S>,
        wanted: Wanted,
        progress: impl FnMut(Progress),
    ) -> Option<Self> {
        let report = Self::observed(trace, wanted, &mut Unwatched(is_useless), progress);
        (!is_useless.load(Ordering::Relaxed)).then_some(report)
    }

    /// The same, shown to an observer.
    fn observed<S: ReadAt, O: Observer>(
        trace: &Trace<'_, S>,
        wanted: Wanted,
        observer: &mut O,
        progress: impl FnMut(Progress),
    ) -> Self {
        let (file, symbols, options) = (trace.file, trace.symbols, &trace.options);
        let Wanted { async_tasks, heap, slow_tasks: mut slow, tasks_by_name } = wanted;
        let mut sums = Sums::new(trace);
        if heap && !file.tables().heap.is_empty() {
            let options = HeapOptions { from: options.from, at: options.to, to: options.to };
            sums.heap = Some(HeapReport::new(file, &options));
        }
        sums.runs = match (slow.is_empty(), tasks_by_name) {
            (false, _) => Some(Runs::new(&slow)),
            (true, true) => Some(Runs::by_name()),
            (true, false) => None,
        };
        let async_tasks = async_tasks && AsyncTasks::are_in(file);
        let mut walk = Walk::new(trace, observer, sums, async_tasks);
        let window = walk.window();
        if async_tasks {
            let window = (window.0.0, window.1.0);
            let tasks = AsyncReport::new(file, window, &slow, symbols, O::IS_ON);
            walk.async_tasks = Some(tasks.with_threads(&options.threads));
        }
        let (found, async_tasks, sums) = walk.walk(file, options, progress);
        let (lives, heap, runs) = sums.finish(found, options);
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

/// Sees nothing, and is done once that flag is set.
struct Unwatched<'s>(&'s AtomicBool);

impl Observer for Unwatched<'_> {
    const IS_ON: bool = false;

    fn is_done(&self) -> bool {
        // Nothing else is read that the thread that says so has written.
        self.0.load(Ordering::Relaxed)
    }
}

/// Walks a trace once, or the part of it that its options name, and shows `observer` what is found
/// out.
///
/// - `progress` is called every few megabytes.
/// - Returns the sums over what was shown; see [`Report::read`].
pub fn observe<S: ReadAt>(
    trace: &Trace<'_, S>,
    observer: &mut impl Observer,
    progress: impl FnMut(Progress),
) -> Lives {
    let wanted = Wanted { async_tasks: true, ..Wanted::default() };
    Report::observed(trace, wanted, observer, progress).lives
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
