//! Tasks, regions and logs of many threads that begin and end before, in and after a trace, and
//! across its start and stop: their summary is that of the golden files.
//!
//! Modelled on Go's stress test of annotations: every task begins two to six subtasks, each on a
//! thread of its own, and so on. Only the indices decide how many. There are two traces in a row,
//! so that the second one has what goes on after the stop of the first.
//!
//! The files are `tests/fixtures/annotations/*.txt`; `BLESS=1` writes them anew. They have no
//! times, and no numbers that depend on the order of threads.

mod common;

use common::decoded::Decoded;
use common::waiting::wait_for_generations_in;
use common::writers::Memory;
use common::{alone, annotated, checks, story};
use exectrace::{Task, TracedExt, log, trace_region};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use trace_analysis::findings::FindingKind;
use trace_analysis::tasks::TaskTree;
use trace_analysis::{Options, Summary, Trace};
use trace_format::definition::Definition;
use trace_format::event::EventKind;
use trace_format::id::{SiteId, TaskId};
use trace_format::read::TraceFile;

/// Names of async tasks, which must be static, too.
const SPAWNED: [&str; 6] =
    ["spawned 0", "spawned 1", "spawned 2", "spawned 3", "spawned 4", "spawned 5"];

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The number of subtasks: from two to six, and different for neighbours.
fn children(depth: usize, index: usize) -> usize {
    2 + (3 * depth + 2 * index) % 5
}

/// Region names are static, so there is one for each index.
fn in_region(index: usize, body: &mut dyn FnMut()) {
    match index {
        0 => trace_region!("child 0" => body()),
        1 => trace_region!("child 1" => body()),
        2 => trace_region!("child 2" => body()),
        3 => trace_region!("child 3" => body()),
        4 => trace_region!("child 4" => body()),
        5 => trace_region!("child 5" => body()),
        _ => unreachable!("there are six at most"),
    }
}

/// Works for a task, and begins subtasks, each on its own thread.
fn fan_out(task: &Task, name: &str, depth: usize, index: usize) {
    let _working = task.enter();
    in_region(index, &mut || {
        log!("begins", "{name} at depth {depth}");
        let wanted = if depth == 0 { 0 } else { children(depth, index) };
        thread::scope(|scope| {
            for child in 0..wanted {
                let name = format!("{name}.{child}");
                // Both ways to have a parent.
                let child_task = match child % 2 {
                    0 => Task::new(&name),
                    _ => task.subtask(&name),
                };
                scope.spawn(move || {
                    fan_out(&child_task, &name, depth - 1, child);
                    child_task.end();
                });
            }
        });
        log!("ends", "{name} after {wanted}");
    });
}

/// The same with async tasks: each is spawned and awaited by its parent.
fn fan_out_spawned(name: String, depth: usize, index: usize) -> Boxed {
    Box::pin(async move {
        let wanted = if depth == 0 { 0 } else { children(depth, index) };
        log!("begins", "{name} at depth {depth}");
        let spawned: Vec<_> = (0..wanted)
            .map(|child| {
                let name = format!("{name}.{child}");
                let task = Task::current().subtask(&name);
                let work = fan_out_spawned(name, depth - 1, child);
                // Both ways to work for a task.
                match child % 2 {
                    0 => tokio::spawn(task.wrap(work).traced(SPAWNED[child])),
                    _ => tokio::spawn(work.traced(&task)),
                }
            })
            .collect();
        tokio::task::yield_now().await;
        in_region(index, &mut || log!("waits", "{name} for {wanted}"));
        for child in spawned {
            child.await.expect("none panics");
        }
        log!("ends", "{name} after {wanted}");
    })
}

/// A running trace.
struct Running {
    memory: Memory,
    trace: exectrace::Trace,
}

fn start() -> Running {
    let memory = Memory::default();
    let trace = exectrace::start_with(annotated(), memory.clone()).expect("none is running");
    Running { memory, trace }
}

impl Running {
    /// Stops the trace, and returns its content as text.
    fn stop(self) -> String {
        let report = self.trace.stop().expect("memory takes every byte");
        let bytes = self.memory.take();
        let trace = Decoded::new(&bytes);
        checks::check(&trace);
        checks::check_report(&trace, &report);
        assert_eq!(report.dropped_events, 0);
        let file = TraceFile::open(bytes.as_slice()).expect("a trace");
        let options = Options { trees: 1000, workers: 2, ..Options::default() };
        Told::new(&trace, &Summary::read(&Trace::new(&file).with(options), |_| {})).text()
    }
}

/// The text to compare, made from a trace.
struct Told<'t> {
    trace: &'t Decoded,
    summary: &'t Summary,
    names: BTreeMap<TaskId, String>,
    /// What threads did while they worked for a task; 0 stands for no task.
    done: BTreeMap<TaskId, Vec<String>>,
}

impl<'t> Told<'t> {
    fn new(trace: &'t Decoded, summary: &'t Summary) -> Self {
        let mut told = Self { trace, summary, names: BTreeMap::new(), done: BTreeMap::new() };
        for definition in trace.definitions() {
            if let Definition::TaskState { id, name, .. } = definition {
                told.names.insert(id, String::from_utf8_lossy(name).into_owned());
            }
        }
        for &thread in trace.tables.threads.keys() {
            let mut open = Vec::new();
            for event in trace.events(thread) {
                told.event(&event.kind, &mut open);
            }
        }
        told.done.values_mut().for_each(|done| done.sort());
        told
    }

    fn event(&mut self, event: &EventKind<'_>, open: &mut Vec<Option<TaskId>>) {
        let task = open.iter().rev().find_map(|task| *task).unwrap_or(TaskId(0));
        match *event {
            EventKind::TaskBegin { task, name, .. } => {
                self.names.insert(task, String::from_utf8_lossy(name.bytes).into_owned());
            }
            EventKind::TaskRunBegin { task } => open.push(Some(task)),
            EventKind::PollBegin { .. } => open.push(None),
            EventKind::RegionBegin { site, .. } => {
                open.push(None);
                self.did(task, format!("region {}", self.site(site)));
            }
            EventKind::Region { site, .. } => {
                self.did(task, format!("region {}", self.site(site)));
            }
            EventKind::Log { site, text } => {
                let text = String::from_utf8_lossy(text.bytes);
                self.did(task, format!("log {}: {text}", self.site(site)));
            }
            EventKind::End | EventKind::EndValue { .. } | EventKind::EndPoll { .. } => {
                open.pop().expect("an end has a begin");
            }
            _ => {}
        }
    }

    fn did(&mut self, task: TaskId, what: String) {
        self.done.entry(task).or_default().push(what);
    }

    fn site(&self, site: SiteId) -> &'t str {
        self.trace.site_name(site)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let names = &self.summary.tasks.names;
        let (ended, open): (Vec<_>, Vec<_>) =
            names.iter().map(|name| (name.count, name.unfinished)).unzip();
        let (ended, open): (u64, u64) = (ended.iter().sum(), open.iter().sum());
        writeln!(text, "{ended} tasks ended, {open} did not").expect("a string takes it");
        self.trees(&self.summary.tasks.slowest, TaskId(0), 1, &mut text);
        text.push_str("nobody's\n");
        self.done_for(TaskId(0), 1, &mut text);
        for (title, mut lines) in
            [("sums\n", self.sums()), ("async tasks\n", self.spawned()), ("odd\n", self.odd())]
        {
            lines.sort();
            text.push_str(title);
            lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
        }
        text
    }

    fn trees(&self, trees: &[TaskTree], parent: TaskId, depth: usize, text: &mut String) {
        let mut trees: Vec<_> = trees.iter().collect();
        trees.sort_by_key(|tree| &tree.name);
        for tree in trees {
            assert_eq!(tree.omitted, 0, "{} is too large for a summary", tree.name);
            let of = match tree.parent {
                same if same == parent => String::new(),
                other => format!(" of {}", self.names.get(&other).map_or("?", String::as_str)),
            };
            let state = if tree.unfinished { ", unfinished" } else { "" };
            let idle = if tree.runs == 0 { ", nobody worked for it" } else { "" };
            let line = format!("{:1$}{2}{of}{state}{idle}\n", "", 2 * depth, tree.name);
            text.push_str(&line);
            self.done_for(tree.id, depth + 1, text);
            self.trees(&tree.children, tree.id, depth + 1, text);
        }
    }

    fn done_for(&self, task: TaskId, depth: usize, text: &mut String) {
        for done in self.done.get(&task).into_iter().flatten() {
            text.push_str(&format!("{:1$}- {done}\n", "", 2 * depth));
        }
    }

    fn sums(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for sum in &self.summary.regions {
            let (name, open) = (self.site(sum.site), sum.unfinished);
            lines.push(format!("region {name}: {} ended, {open} did not", sum.count));
        }
        for sum in &self.summary.moments {
            lines.push(format!("log {}: {}", self.site(sum.site), sum.count));
        }
        lines
    }

    fn spawned(&self) -> Vec<String> {
        let lives = story::lives(self.trace);
        let lines = lives.values().map(|life| {
            let by = if life.parent.is_empty() { "nobody" } else { &life.parent };
            let task = self.names.get(&TaskId(life.task)).map_or("nobody", String::as_str);
            let polled = if life.polls == 0 { ", never polled" } else { "" };
            format!("{}: by {by} for {task}{polled}, {:?}", life.name, life.ends)
        });
        lines.collect()
    }

    /// The findings of the summary, without those about the machine's clocks.
    fn odd(&self) -> Vec<String> {
        let lines = self.summary.findings.iter().filter_map(|finding| {
            let kind = format!("{:?}", finding.kind);
            let kind = kind.split(|letter: char| !letter.is_alphanumeric()).next()?;
            match &finding.kind {
                FindingKind::TaskUnfinished { name, .. } => Some(format!("{kind} {name}")),
                _ if kind.starts_with("Clock") => None,
                _ => Some(kind.to_owned()),
            }
        });
        lines.collect()
    }
}

/// Compares with the golden file, or writes it.
fn check(name: &str, told: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/annotations");
    let path = path.join(name).with_extension("txt");
    if std::env::var_os("BLESS").is_some_and(|bless| bless == "1") {
        std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder");
        std::fs::write(&path, told).expect("it can be written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let number = golden.lines().zip(told.lines()).take_while(|(a, b)| a == b).count();
    let line = |text: &str| text.lines().nth(number).unwrap_or("(the end)").to_owned();
    let (wanted, found) = (line(&golden), line(told));
    assert!(golden == told, "{name}.txt:{}: `{wanted}`, found `{found}`", number + 1);
}

fn root(name: &str, depth: usize) {
    let task = Task::new(name);
    fan_out(&task, name, depth, depth);
}

#[test]
fn threads_that_fan_out_across_starts_and_stops_are_told_as_they_were() {
    let _alone = alone();
    root("before", 2);
    let across_start = Task::new("across start");
    let entered_before = across_start.enter();
    trace_region!("across the start");

    let first = start();
    thread::scope(|scope| {
        (0..3).for_each(|at| _ = scope.spawn(move || root(&format!("inside {at}"), 3)));
    });
    fan_out(&across_start, "across start", 2, 0);
    drop(entered_before);
    across_start.end();
    let across_stop = Task::new("across stop");
    let forgotten = Task::new("forgotten");
    fan_out(&across_stop, "across stop", 2, 1);
    let entered_inside = across_stop.enter();
    trace_region!("across the stop");
    log!("last", "of the first trace");
    check("threads_first", &first.stop());

    log!("last", "of no trace");
    root("between", 2);
    fan_out(&across_stop, "after the stop", 1, 2);

    let second = start();
    // What was open before is recorded at the end of the first generation, not earlier.
    wait_for_generations_in(&second.memory, 1);
    fan_out(&across_stop, "again", 2, 3);
    drop(entered_inside);
    log!("first", "that is nobody's");
    root("second", 1);
    across_stop.end();
    check("threads_second", &second.stop());
    root("after", 2);
    drop(forgotten);
}

/// Polls a future once, as an executor would.
fn poll(future: &mut Pin<Box<impl Future<Output = ()>>>) -> Poll<()> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Waits once, with a log event before and after.
async fn two_steps(name: &'static str) {
    log!("step", "{name} one");
    let mut waited = false;
    std::future::poll_fn(|_| match std::mem::replace(&mut waited, true) {
        false => Poll::Pending,
        true => Poll::Ready(()),
    })
    .await;
    log!("step", "{name} two");
}

#[test]
fn spawned_tasks_across_starts_and_stops_are_told_as_they_were() {
    let _alone = alone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).build();
    let runtime = runtime.expect("a runtime");
    let root = |name: &'static str, depth| {
        let task = Task::new(name);
        let work = task.wrap(fan_out_spawned(name.to_owned(), depth, depth)).traced(name);
        runtime.block_on(runtime.spawn(work)).expect("none panics");
    };
    root("before", 1);
    let mut across_start = Box::pin(two_steps("across start").traced("across start"));
    assert!(poll(&mut across_start).is_pending());
    let mut across_both = Box::pin(two_steps("across both").traced("across both"));

    let first = start();
    (0..3).for_each(|_| root("inside", 3));
    assert!(poll(&mut across_start).is_ready());
    let mut across_stop = Box::pin(two_steps("across stop").traced("across stop"));
    assert!(poll(&mut across_stop).is_pending());
    let mut dropped_late = Box::pin(two_steps("dropped late").traced("dropped late"));
    assert!(poll(&mut dropped_late).is_pending());
    let mut finished_late = Box::pin(two_steps("finished late").traced("finished late"));
    assert!(poll(&mut finished_late).is_pending());
    check("spawned_first", &first.stop());

    root("between", 1);
    assert!(poll(&mut across_both).is_pending());
    assert!(poll(&mut finished_late).is_ready());

    let second = start();
    assert!(poll(&mut across_both).is_ready());
    assert!(poll(&mut across_stop).is_ready());
    drop(dropped_late);
    root("second", 2);
    check("spawned_second", &second.stop());
    root("after", 1);
}
