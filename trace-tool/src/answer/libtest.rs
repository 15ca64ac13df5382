//! What each test of a test program did, without annotations: Rust's test harness, libtest, makes
//! a thread for each test and gives it the test's name.
//!
//! Such a thread is known by its maker: the main thread, inside libtest. Where the program's
//! functions in that stack have no names, the thread's own name decides: it must be a path of
//! Rust's.
//!
//! Elsewhere: tests that are tasks, by `#[exectrace::test]` ([`tasks`](super::tasks)); several
//! traces together ([`ranking`](super::ranking)).

use std::cmp::Reverse;
use std::collections::HashMap;

use clap::ValueEnum;
use trace_analysis::Wanted;
use trace_analysis::kernel_times::KernelTimes;
use trace_analysis::life::{Lives, ThreadLife, Times, WaitGroup};
use trace_analysis::reason::Reason;
use trace_analysis::symbols::{Symbols, is_std};
use trace_analysis::timeline::main_thread;
use trace_format::id::ThreadId;
use trace_format::read::Tables;
use trace_format::time::Nanos;

use super::{Disturbances, LifeReading, Question, Subject, cut};
use crate::error::Failure;
use crate::label::places::{Place, Places};
use crate::label::units;

/// Functions of libtest, one of which is in every stack that a test's thread was made in.
const HARNESS: [&str; 3] = ["test::run_test", "test::console::", "test::test_main"];

/// Maximum number of threads between a thread and the test that it was made for.
const ANCESTORS_MAX: usize = 64;

/// Number of hexadecimal digits that cargo puts behind the name of a test program.
const HASH_DIGITS: usize = 16;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct TestsAsk {
    /// Maximum number of tests; 0 for all.
    pub top: usize,
    /// What they are sorted by.
    pub sort: Sort,
}

/// What tests are sorted by.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Sort {
    /// The time that passed; the longest first.
    Wall,
    /// The time on CPUs; the longest first.
    Cpu,
    /// The time that the test's thread waited; the longest first.
    Blocked,
    /// The name, from A to Z.
    Name,
}

/// The answer.
#[derive(Debug)]
pub struct TestsAnswer {
    /// What it is about.
    pub subject: Subject,
    /// What disturbs its times.
    pub disturbances: Disturbances,
    /// How many tests there were.
    pub count: usize,
    /// How long they took, one after the other.
    pub total: Nanos,
    /// The tests, sorted and cut.
    pub tests: Vec<Test>,
    /// Tests that were left out.
    pub omitted: usize,
}

/// One test that ran, as far as it lies in the window.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    /// Its path, from its crate on; not made safe to print.
    pub name: String,
    /// The thread that ran it.
    pub thread: ThreadId,
    /// When that began.
    pub begin: Nanos,
    /// When it ended, or the window did.
    pub end: Nanos,
    /// Whether it ended.
    pub ended: bool,
    /// What the thread did; adds up to `end - begin`.
    pub times: Times,
    /// How long the thread was on CPUs; `None` if the trace does not say.
    pub own_cpu: Option<Nanos>,
    /// The same with all threads that were made for the test.
    pub cpu: Option<Nanos>,
    /// How many such threads there were.
    pub made_threads: u64,
    /// What the thread waited for, the most time first.
    pub waits: Vec<TestWait>,
}

/// Waits of a test's thread for one reason.
#[derive(Clone, Debug, PartialEq)]
pub struct TestWait {
    /// Why.
    pub reason: Reason,
    /// How often.
    pub count: u64,
    /// How long in all.
    pub total: Nanos,
    /// Where most of it was; `None` if that is not known.
    pub place: Option<Place>,
}

impl TestsAnswer {
    /// Reads the trace.
    ///
    /// # Errors
    /// If there is none, or a file that names were to be taken from can't be read.
    pub fn read(question: &Question, ask: TestsAsk) -> Result<Self, Failure> {
        let LifeReading { subject, report } = LifeReading::read(question, Wanted::default())?;
        let disturbances = Disturbances::new(&report.lives);
        let mut tests = tests(subject.reading.file.tables(), &report.lives, &subject.symbols);
        let count = tests.len();
        let total = Nanos(units::sum(tests.iter().map(|test| test.wall().0)));
        sort(&mut tests, ask.sort);
        let omitted = cut(&mut tests, ask.top);
        Ok(Self { subject, disturbances, count, total, tests, omitted })
    }
}

impl Test {
    /// Without what is told by other threads and by groups of waits.
    fn new(program: &str, tables: &Tables, life: &ThreadLife) -> Self {
        let own_cpu = cpu(tables, life);
        Self {
            name: name(program, &life.name),
            thread: life.thread,
            begin: life.begin,
            end: life.end,
            ended: life.ended,
            times: life.times,
            own_cpu,
            cpu: own_cpu,
            made_threads: 0,
            waits: Vec::new(),
        }
    }

    /// How long it took.
    #[must_use]
    pub fn wall(&self) -> Nanos {
        Nanos(self.end.0.saturating_sub(self.begin.0))
    }
}

/// The tests of one trace, by their begins.
///
/// - `lives`: what its threads did. `symbols`: names of its stacks.
#[must_use]
pub fn tests(tables: &Tables, lives: &Lives, symbols: &Symbols) -> Vec<Test> {
    let Some(main) = main_thread(tables) else { return Vec::new() };
    let places = Places::new(tables, symbols);
    let program = tables.process.as_ref().map_or("", |process| process.executable.as_str());
    let is_one = |life: &&ThreadLife| life.parent == main && is_test(life, places);
    let found = lives.threads.iter().filter(is_one);
    let mut tests: Vec<_> = found.map(|life| Test::new(program, tables, life)).collect();
    let by_thread: HashMap<_, _> =
        tests.iter().enumerate().map(|(at, test)| (test.thread, at)).collect();
    for life in &lives.threads {
        let Some(at) = owner(tables, &by_thread, life.parent) else { continue };
        let test = &mut tests[at];
        test.made_threads += 1;
        if let Some(more) = cpu(tables, life) {
            let sum = test.cpu.unwrap_or_default();
            test.cpu = Some(Nanos(sum.0.saturating_add(more.0)));
        }
    }
    // The groups are sorted by time, and so is what is put together of them.
    for group in &lives.waits.by_thread {
        if let Some(&at) = by_thread.get(&group.thread) {
            tests[at].waits.push(wait(group, places));
        }
    }
    tests
}

fn sort(tests: &mut [Test], by: Sort) {
    match by {
        Sort::Wall => tests.sort_by_key(|test| Reverse(test.wall())),
        Sort::Cpu => tests.sort_by_key(|test| Reverse(test.cpu)),
        Sort::Blocked => tests.sort_by_key(|test| Reverse(test.times.blocked())),
        Sort::Name => tests.sort_by(|one, other| one.name.cmp(&other.name)),
    }
}

/// Whether a thread that the main thread has made runs a test.
fn is_test(life: &ThreadLife, places: Places<'_>) -> bool {
    let frames = places.frames(life.stack);
    let mut names = frames.iter().filter(|frame| frame.named).map(|frame| &*frame.name);
    if names.clone().any(|name| HARNESS.iter().any(|harness| name.starts_with(harness))) {
        return !life.name.is_empty();
    }
    // The standard library's say nothing, and libc's may have names where the program's have none.
    let is_own = |name: &str| name.contains("::") && !is_std(name);
    !names.any(is_own) && is_path(&life.name)
}

/// Whether a text can be the path of a function: `tests::words_are_refused`.
fn is_path(text: &str) -> bool {
    text.split("::").all(|part| {
        let mut letters = part.chars();
        letters.next().is_some_and(|first| first.is_alphabetic() || first == '_')
            && letters.all(|letter| letter.is_alphanumeric() || letter == '_')
    })
}

/// A test's path with its crate's name, which cargo gives to the program with a hash behind it, and
/// libtest leaves out.
fn name(program: &str, test: &str) -> String {
    let is_hash = |text: &str| {
        text.len() == HASH_DIGITS && text.bytes().all(|digit| digit.is_ascii_hexdigit())
    };
    match program.rsplit_once('-').filter(|(_, hash)| is_hash(hash)) {
        Some((own, _)) if is_path(test) => format!("{own}::{test}"),
        _ => test.to_owned(),
    }
}

/// How long a thread was on CPUs: as the kernel counted it, or else as switches show it.
fn cpu(tables: &Tables, life: &ThreadLife) -> Option<Nanos> {
    let counted = KernelTimes::new(tables, life.thread).cpu_in(life);
    let shown = Some(life.times.cpu()).filter(|_| life.times.running > Nanos(0));
    counted.or(shown)
}

/// The test for which a thread was made, by the thread that made it.
fn owner(tables: &Tables, tests: &HashMap<ThreadId, usize>, parent: ThreadId) -> Option<usize> {
    let mut at = parent;
    for _ in 0..ANCESTORS_MAX {
        if let Some(&test) = tests.get(&at) {
            return Some(test);
        }
        at = tables.threads.get(&at)?.parent;
    }
    None
}

fn wait(group: &WaitGroup, places: Places<'_>) -> TestWait {
    let WaitGroup { reason, count, total, .. } = *group;
    let stack = group.stacks.first().map_or(group.stack, |most| most.of);
    TestWait { reason, count, total, place: places.place(stack) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_named_from_its_crate_on() {
        let hashed = "my_crate-d17e0310651b3af1";
        for (program, test, expected) in [
            (hashed, "tests::adds", "my_crate::tests::adds"),
            (hashed, "adds", "my_crate::adds"),
            (hashed, "src/lib.rs - adds (line 3)", "src/lib.rs - adds (line 3)"),
            ("my-program", "adds", "adds"),
            ("program", "adds", "adds"),
            ("", "adds", "adds"),
        ] {
            assert_eq!(name(program, test), expected, "{program}");
        }
    }

    #[test]
    fn a_path_is_told_from_other_names_of_threads() {
        for text in ["adds", "tests::adds_2", "a::_b::größe"] {
            assert!(is_path(text), "{text}");
        }
        for text in ["", "worker-1", "tokio-runtime-worker", "a b", "2nd", "a::", "a:b"] {
            assert!(!is_path(text), "{text}");
        }
    }
}
