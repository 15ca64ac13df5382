//! What rules look at, and how they say it: names, places, times.

use std::collections::{HashMap, HashSet};

use trace_format::id::{ResourceId, SiteId, StackId, ThreadId};
use trace_format::read::Tables;
use trace_format::time::Nanos;

use super::cost::Cost;
use super::measure::Measure;
use super::{Insight, InsightKind};
use crate::reason::{
    Await, Awaited, await_place, blocks_in_place, is_own, never_blocks, place, without_closures,
};
use crate::report::async_tasks::Unfinished;
use crate::report::life::{Lives, ThreadLife, Wait, saturating_sum};
use crate::sources;
use crate::symbols::{Frame, Symbols};
use crate::time::Moment;
pub(super) use crate::units::{bytes, count, plural, time};

/// Longer names are cut: type arguments of a library fill a screen.
const NAME_CHARS_MAX: usize = 80;

/// Number of the last parts of a file's path that are said.
const PATH_PARTS: usize = 3;

/// A thread is as bad as the worst if it has at least this part of what that has, in per cents.
const ALIKE_PERCENT: u64 = 67;

/// Maximum number of callers of a function that are looked at.
const CALLERS_MAX: usize = 16;

/// Functions of executors in which whoever joined a task is woken: their path, and their own name.
const TASK_ENDS: [(&str, &str); 2] =
    [("tokio::runtime::task::harness", "complete"), ("async_task::header", "")];

/// A wait is taken for one that the end of what was read has cut if that is no further from its
/// end than this part of its length.
const CUT_PART: u64 = 64;

/// What rules look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub(super) tables: &'a Tables,
    pub(super) lives: &'a Lives,
    symbols: &'a Symbols,
    /// Names that several threads have.
    shared: &'a HashSet<&'a str>,
    /// What findings are measured by; not of those who only want names.
    pub(super) measure: Option<&'a Measure<'a>>,
}

/// The names that several threads have.
pub(super) fn shared_names(tables: &Tables) -> HashSet<&str> {
    let mut seen = HashSet::new();
    let names = tables.threads.values().map(|thread| thread.name.as_str());
    names.filter(|name| !seen.insert(*name)).collect()
}

impl<'a> Facts<'a> {
    pub(super) fn new(
        tables: &'a Tables,
        lives: &'a Lives,
        symbols: &'a Symbols,
        shared: &'a HashSet<&'a str>,
    ) -> Self {
        Self { tables, lives, symbols, shared, measure: None }
    }

    /// The same with a measure for findings.
    pub(super) fn measured_by(self, measure: &'a Measure<'a>) -> Self {
        Self { measure: Some(measure), ..self }
    }

    /// A finding that has yet to get its evidence.
    ///
    /// - `cost`: what it is about.
    pub(super) fn finding(&self, kind: InsightKind, cost: &Cost, title: String) -> Insight {
        let together = Nanos(cost.together());
        let explained = self.measure.map_or(together, |measure| measure.explained(cost));
        let is_beside = self.measure.is_some_and(|measure| measure.is_beside(explained, cost));
        Insight { together, is_beside, ..Insight::new(kind, explained, title) }
    }

    /// How long the time is that was looked at; never 0.
    pub(super) fn wall(&self) -> u64 {
        self.lives.to.0.saturating_sub(self.lives.from.0).max(1)
    }

    /// Whether a time is worth a word: at least this share of the trace's, in thousandths, and a
    /// millisecond.
    pub(super) fn is_worth(&self, time: Nanos, thousandths: u64) -> bool {
        time.0 >= 1_000_000
            && u128::from(time.0) * 1000 >= u128::from(self.wall()) * u128::from(thousandths)
    }

    /// What CPU time of threads costs: who uses a CPU waits for it as well where CPUs are short.
    pub(super) fn cpu_cost(&self, cpu: impl IntoIterator<Item = (ThreadId, u64)>) -> Cost {
        let mut lives: HashMap<ThreadId, (u64, u64)> = HashMap::new();
        for life in &self.lives.threads {
            let (all, ready) = lives.entry(life.thread).or_default();
            *all = all.saturating_add(life.times.cpu().0);
            *ready = ready.saturating_add(life.times.ready.0);
        }
        let times = cpu.into_iter().map(|(thread, cpu)| {
            let (all, ready) = lives.get(&thread).copied().unwrap_or_default();
            let share = (all as f64 + ready as f64) / all.max(1) as f64;
            (thread, cpu.max((cpu as f64 * share) as u64))
        });
        Cost::of_threads(times).at_once(self.able_at_once())
    }

    /// How many threads were able to run at once, in the mean of the time in which any was;
    /// infinite if that is not known.
    pub(super) fn able_at_once(&self) -> f64 {
        let able = self.lives.concurrency.able.iter().enumerate().skip(1);
        let (any, all) = able.fold((0.0, 0.0), |(any, all), (threads, time)| {
            (any + time.0 as f64, all + threads as f64 * time.0 as f64)
        });
        if any > 0.0 { all / any } else { f64::INFINITY }
    }

    /// `app::f`, or several such call sites, each once.
    pub(super) fn sites(&self, sites: impl IntoIterator<Item = SiteId>) -> String {
        let mut known = HashSet::new();
        let sites: Vec<_> = sites.into_iter().filter(|site| known.insert(*site)).collect();
        listed(sites.len(), |at| self.site(sites[at]))
    }

    /// `12.0 ms`; `at least 12.0 ms` of a wait that was not over at the end of what was read.
    pub(super) fn took(&self, wait: &Wait) -> String {
        // A call runs a little before it waits.
        let wide = wait.duration.0.saturating_add(wait.duration.0 / CUT_PART);
        let is_cut = wait.begin.until(self.lives.to).0 <= wide;
        let mut unended = self.lives.unended.iter().map(|it| &it.wait);
        let is_open = unended.any(|it| (it.thread, it.begin) == (wait.thread, wait.begin));
        let long = time(wait.duration);
        if is_open || is_cut && wait.waker.is_none() { format!("at least {long}") } else { long }
    }

    /// What all threads of the program were on CPUs for, whichever of them were asked for.
    pub(super) fn program_cpu(&self) -> u64 {
        let threads = self.lives.threads.iter().map(|life| life.times.cpu().0);
        let cpus = self.lives.cpus.iter().map(|cpu| cpu.busy.0);
        saturating_sum(threads).max(saturating_sum(cpus))
    }

    /// A thread of which lives tell; of one that recorded nothing, what the system calls it.
    pub(super) fn life(&self, life: &ThreadLife) -> String {
        match (life.thread, life.name.as_str()) {
            (ThreadId(0), "") => format!("os thread {}", life.os_id),
            (ThreadId(0), name) => format!("{name} (os {})", life.os_id),
            _ => self.thread(life.thread),
        }
    }

    pub(super) fn thread(&self, thread: ThreadId) -> String {
        if thread == ThreadId(0) {
            let mut strangers = self.lives.threads.iter().filter(|life| life.thread == thread);
            return match (strangers.next(), strangers.next()) {
                (Some(one), None) => self.life(one),
                _ => "another thread".to_owned(),
            };
        }
        let name = self.tables.thread_name(thread);
        if self.shared.contains(&*name) {
            return format!("{name} #{}", thread.0);
        }
        name.into_owned()
    }

    /// The thread that has the most; `one of 4 threads` if others have about as much, as a name
    /// would say that these are better.
    ///
    /// - `is_cut`: whether there may be more such threads than these.
    pub(super) fn worst(&self, threads: &[(ThreadId, u64)], is_cut: bool) -> String {
        let most = threads.iter().map(|(_, has)| *has).max().unwrap_or(0);
        let alike = threads.iter().filter(|(_, has)| is_part(*has, most, ALIKE_PERCENT));
        let alike: Vec<_> = alike.map(|(thread, _)| *thread).collect();
        match alike.as_slice() {
            [one] => self.thread(*one),
            all if is_cut && all.len() == threads.len() => "one of many threads".to_owned(),
            several => format!("one of {} threads", count(several.len() as u64)),
        }
    }

    /// `a`, `a and b`, or `a, b and 3 more`.
    pub(super) fn threads(&self, threads: &[ThreadId]) -> String {
        listed(threads.len(), |at| self.thread(threads[at]))
    }

    /// The same of lives.
    pub(super) fn all(&self, lives: &[&ThreadLife]) -> String {
        listed(lives.len(), |at| self.life(lives[at]))
    }

    /// ` at app::f (src/app.rs:13)`, or nothing if it is not known.
    pub(super) fn at(&self, stack: StackId) -> String {
        let frames = self.frames(stack);
        place(&frames).map_or_else(String::new, at)
    }

    /// The same, in the program's own code if there is any, rather than in a package's.
    pub(super) fn own_at(&self, stack: StackId) -> String {
        let frames = self.frames(stack);
        await_place(&frames)
            .map_or_else(String::new, |frame| named_at(without_closures(&frame.name), frame))
    }

    /// The program's own functions of a stack with their places, innermost first; if it has none,
    /// the function that stands for it.
    pub(super) fn own_path(&self, stack: StackId) -> Vec<String> {
        let frames = self.frames(stack);
        let shown = |frame: &Frame<'_>| placed(without_closures(&frame.name), frame);
        let own = frames.iter().filter(|frame| is_own(frame)).take(CALLERS_MAX);
        let path: Vec<_> = own.map(shown).collect();
        if path.is_empty() { await_place(&frames).map(shown).into_iter().collect() } else { path }
    }

    /// The program's own function that a stack is in, or else the library's; nothing if unknown.
    pub(super) fn function(&self, stack: StackId) -> Option<String> {
        let frames = self.frames(stack);
        await_place(&frames).map(|frame| cut(without_closures(&frame.name)))
    }

    /// `app::f (src/app.rs:13)`: the same with its place.
    pub(super) fn in_function(&self, stack: StackId) -> String {
        self.own_at(stack).trim_start_matches(" at ").to_owned()
    }

    /// `tokio timer at app::f (src/app.rs:13)`; `one of ...` if it may have been another.
    pub(super) fn awaited(&self, one: (StackId, Await), others: &[(StackId, Await)]) -> String {
        let name = |(stack, awaited): (StackId, Await)| match awaited.awaited {
            Awaited::Unknown => format!("something{}", self.own_at(stack)),
            _ => format!("{}{}", awaited.name(), self.own_at(stack)),
        };
        let all: Vec<_> = std::iter::once(one).chain(others.iter().copied()).map(name).collect();
        if others.is_empty() { all.concat() } else { format!("one of {}", all.join(", ")) }
    }

    /// The same of a task that has not ended.
    pub(super) fn awaited_by(&self, task: &Unfinished) -> String {
        self.awaited((task.stack, task.awaited), &task.one_of)
    }

    /// Whether the thread had given its other tasks away before it blocked there.
    pub(super) fn blocks_in_place(&self, stack: StackId) -> bool {
        blocks_in_place(&self.frames(stack))
    }

    /// Whether a read or write there comes back at once if it would have to wait.
    pub(super) fn never_blocks(&self, stack: StackId) -> bool {
        never_blocks(&self.frames(stack))
    }

    /// Whether somebody is woken there as a task of an executor has ended.
    pub(super) fn is_task_end(&self, stack: StackId) -> bool {
        let frames = self.frames(stack);
        frames.iter().any(|frame| {
            let is_in =
                |(path, own): &(&str, &str)| frame.name.contains(path) && frame.name.contains(own);
            TASK_ENDS.iter().any(is_in)
        })
    }

    /// Whether somebody waits there for a connection to accept.
    pub(super) fn accepts(&self, stack: StackId) -> bool {
        self.frames(stack).iter().any(|frame| frame.name.contains("accept"))
    }

    /// A name that is not too long.
    pub(super) fn short(&self, name: &str) -> String {
        cut(name)
    }

    fn frames(&self, stack: StackId) -> Vec<Frame<'a>> {
        let stack = self.tables.stacks.get(&stack);
        stack.map(|stack| self.symbols.shown(&stack.addresses)).unwrap_or_default()
    }

    /// `handler (src/app.rs:13)`: a call site's name and place; the place alone if it has no other
    /// name, and the name alone if it is nowhere.
    pub(super) fn site(&self, site: SiteId) -> String {
        let Some(site) = self.tables.callsite(site) else { return "an unknown future".to_owned() };
        let (name, file) = (cut(&site.name), sources::normal(&site.file));
        let place = format!("{}:{}", short_path(&file), site.line);
        match sources::is_place(&name, &file, site.line) {
            true => place,
            false if file.is_empty() => name,
            false => format!("{name} ({place})"),
        }
    }

    /// A file's path, a lock's address; empty if it has no name.
    pub(super) fn resource(&self, resource: ResourceId) -> String {
        let Some(resource) = self.tables.resources.get(&resource) else { return String::new() };
        match resource.name.as_str() {
            "" if resource.kind.is_descriptor() => format!("descriptor {}", resource.value),
            "" => format!("{:#x}", resource.value),
            name => name.to_owned(),
        }
    }
}

/// `a`, `a and b`, or `a, b and 3 more`.
fn listed(number: usize, name: impl Fn(usize) -> String) -> String {
    match number {
        0 => "nobody".to_owned(),
        1 => name(0),
        2 => format!("{} and {}", name(0), name(1)),
        3 => format!("{}, {} and {}", name(0), name(1), name(2)),
        more => format!("{}, {} and {} more", name(0), name(1), count(more as u64 - 2)),
    }
}

fn cut(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).collect()
}

/// ` at app::f (src/app.rs:13)`.
fn at(frame: &Frame<'_>) -> String {
    named_at(&frame.name, frame)
}

fn named_at(name: &str, frame: &Frame<'_>) -> String {
    format!(" at {}", placed(name, frame))
}

/// `app::f (src/app.rs:13)`.
fn placed(name: &str, frame: &Frame<'_>) -> String {
    let name = cut(name);
    if frame.file.is_empty() {
        return name;
    }
    format!("{name} ({}:{})", short_path(frame.file), frame.line)
}

/// The last parts of a path: `…/app/src/main.rs`.
fn short_path(path: &str) -> String {
    let cut = path.rmatch_indices('/').nth(PATH_PARTS - 1).map(|(at, _)| at);
    match cut {
        Some(at) if at > 0 => format!("…{}", &path[at..]),
        _ => path.to_owned(),
    }
}

/// All that somebody may wait for who waits at one of several places.
pub(super) fn all_of(one: Await, others: &[(StackId, Await)]) -> impl Iterator<Item = Awaited> {
    std::iter::once(one).chain(others.iter().map(|(_, other)| *other)).map(|it| it.awaited)
}

/// How often a lock was held and for how long: `34 holds, 13.9 ms at most and 310 ms in all`. What
/// follows is said of all together.
pub(super) fn holds(number: u64, max: Nanos, total: Nanos) -> String {
    match number {
        0 | 1 => format!("1 hold of {}", time(total)),
        _ => format!("{} holds, {} at most and {} in all", count(number), time(max), time(total)),
    }
}

/// Whether a part is at least so many per cents of a whole.
pub(super) fn is_part(part: u64, whole: u64, percent: u64) -> bool {
    u128::from(part) * 100 >= u128::from(whole) * u128::from(percent)
}

/// A share in whole per cents; less than one is said to be so.
pub(super) fn percent(part: u64, whole: u64) -> String {
    let percent = part as f64 / whole.max(1) as f64 * 100.0;
    if percent < 1.0 { "less than 1%".to_owned() } else { format!("{percent:.0}%") }
}

/// A moment since the begin: `1.234567 s`, or `5.00 s before the trace`.
pub(super) fn moment(at: impl Into<Moment>) -> String {
    let at = at.into();
    if at < Moment(0) {
        return format!("{} before the trace", time(at.before_trace()));
    }
    let at = at.inside();
    format!("{}.{:06} s", at.0 / 1_000_000_000, at.0 / 1_000 % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_more_are_counted_as_everywhere() {
        let names = |number| listed(number, |at| format!("t{at}"));
        assert_eq!([0, 2, 3].map(names), ["nobody", "t0 and t1", "t0, t1 and t2"]);
        assert_eq!(names(7_999), "t0, t1 and 7,997 more");
    }
}
