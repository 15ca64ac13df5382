//! What threads did while they worked for tasks: how much of it they ran, were ready, and waited.
//!
//! Of tests this is what a ranking is for: a task's latency does not say why it took so long.

use std::collections::HashMap;

use trace_analysis::life::{STRETCHES_MAX, Stretch};
use trace_analysis::stack::{Closed, Stack, Visitor};
use trace_analysis::symbols::Symbols;
use trace_format::event::EventKind;
use trace_format::id::{Open, SiteId, TaskId, ThreadId};
use trace_format::read::Window;
use trace_format::time::{Nanos, Ticks};

use crate::command::reading::Reading;

/// How the time went that threads worked for a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spent {
    pub(super) cpu: Nanos,
    pub(super) ready: Nanos,
    pub(super) blocked: Nanos,
}

impl Spent {
    pub(super) fn add(&mut self, other: Self) {
        for (sum, part) in [
            (&mut self.cpu, other.cpu),
            (&mut self.ready, other.ready),
            (&mut self.blocked, other.blocked),
        ] {
            *sum = Nanos(sum.0.saturating_add(part.0));
        }
    }
}

/// The runs of one thread that have just ended.
#[derive(Debug, Default)]
struct Ended(Vec<(TaskId, u64, u64)>);

impl Visitor for Ended {
    fn closed(&mut self, closed: &Closed<'_>) {
        if let Open::Task(task) = closed.open {
            self.0.push((task, closed.begin.0, closed.end.0));
        }
    }
}

/// By the names of tasks; empty if the trace does not say what threads did. Of many runs the first
/// [`STRETCHES_MAX`] count.
pub(super) fn spent(reading: &Reading) -> HashMap<String, Spent> {
    if !reading.has_life() {
        return HashMap::new();
    }
    let (names, runs) = runs(reading);
    let stretches: Vec<_> = runs.iter().map(|(_, stretch)| *stretch).collect();
    // Reasons are told by names of functions, and are not asked for.
    let lives = reading.lives_and(&Symbols::default(), &stretches);
    let mut spent: HashMap<String, Spent> = HashMap::new();
    for ((task, _), doing) in runs.iter().zip(&lives.stretches) {
        let Some(name) = names.get(task) else { continue };
        let times = &doing.times;
        let part = Spent { cpu: times.cpu(), ready: times.ready, blocked: times.blocked() };
        spent.entry(name.clone()).or_default().add(part);
    }
    spent
}

/// Names of tasks, and the times when threads worked for them.
fn runs(reading: &Reading) -> (HashMap<TaskId, String>, Vec<(TaskId, Stretch)>) {
    let tables = reading.file.tables();
    let mut names = HashMap::new();
    let mut runs = Vec::new();
    let mut stacks: HashMap<ThreadId, Stack> = HashMap::new();
    let mut ended = Ended::default();
    let mut order = reading.file.in_order(Window::default());
    while runs.len() < STRETCHES_MAX {
        let timed = match order.next_event() {
            None => break,
            Some(Ok(timed)) => timed,
            // Whoever ranks tasks says what is damaged.
            Some(Err(_)) => continue,
        };
        match timed.event.kind {
            EventKind::TaskBegin { task, name, .. } => {
                names.insert(task, String::from_utf8_lossy(name.bytes).into_owned());
            }
            EventKind::TaskBeginSite { task, site, .. } => {
                let site = tables.callsites.iter().find(|it| it.id == site);
                names.insert(task, site.map(|site| site.name.clone()).unwrap_or_default());
            }
            _ => {}
        }
        if timed.thread.as_cpu().is_some() {
            continue;
        }
        let stack = stacks.entry(timed.thread).or_insert_with(|| Stack::new(SiteId(0)));
        stack.feed(&timed.event, &mut ended);
        for (task, begin, end) in ended.0.drain(..) {
            let [from, to] = [begin, end].map(|at| tables.clock.nanos(Ticks(at)));
            runs.push((task, Stretch { thread: timed.thread, from, to }));
        }
    }
    runs.truncate(STRETCHES_MAX);
    (names, runs)
}
