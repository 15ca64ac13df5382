//! Programs that know what is true of them: the answer must be that. Each runs in a process of its
//! own, so that nothing else is in its trace.
//!
//! May contain `unsafe`: it asks for a thread's CPU time.

#![cfg(target_os = "linux")]

#[path = "waits/answer.rs"]
#[allow(dead_code, reason = "every test file uses its own part")]
mod answer;
mod common;

use answer::Answer;
use common::{in_own_process, loudly, writers};
use exectrace::{Task, TracedExt, traced};
use std::hint::black_box;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::oneshot::{Receiver, Sender};
use tokio::sync::{mpsc, oneshot};
use trace_analysis::async_tasks::{AsyncTasks, AwaitGroup};
use trace_analysis::explain::{Insight, InsightKind, explain};
use trace_analysis::slow_tasks::slow_tasks;
use trace_analysis::{Report, Summary, Trace, Wanted};

fn named<T: Send + 'static>(name: &str, act: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    thread::Builder::new().name(name.to_owned()).spawn(act).expect("a thread starts")
}

/// CPU time the calling thread has used.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call wants room for a time: `time` is that.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Computes until the thread has had the CPU for so much longer.
#[inline(never)]
fn burn(time: Duration) -> u64 {
    let (end, mut number) = (cpu_time() + time, 1_u64);
    while cpu_time() < end {
        for _ in 0..1_000 {
            number = black_box(number.wrapping_mul(31).wrapping_add(7));
        }
    }
    number
}

/// The finding of this kind.
#[track_caller]
fn find(found: Vec<Insight>, kind: InsightKind) -> Insight {
    let text = format!("{found:#?}");
    let one = found.into_iter().find(|insight| insight.kind == kind);
    one.unwrap_or_else(|| panic!("{} is not said: {text}", kind.name()))
}

/// Whether the kernel told who ran when; says so if not.
fn has_cpus(answer: &Answer) -> bool {
    let has = !answer.report.lives.cpus.is_empty();
    if !has {
        loudly(&format!("SKIPPED: no switches were recorded: {:?}", answer.facilities()));
    }
    has
}

#[inline(never)]
fn fill_late(pipe: &mut PipeWriter) {
    thread::sleep(Duration::from_millis(150));
    pipe.write_all(&[1]).expect("the pipe is open");
}

#[inline(never)]
fn read_input(pipe: &mut PipeReader) {
    pipe.read_exact(&mut [0]).expect("a byte comes");
}

#[test]
fn who_waits_through_a_chain_of_threads_is_told_its_end() {
    if !in_own_process("who_waits_through_a_chain_of_threads_is_told_its_end") {
        return;
    }
    let mut others = Vec::new();
    let answer = Answer::record(|| {
        let (mut reader, mut writer) = std::io::pipe().expect("the system makes a pipe");
        let ((to_second, from_first), (to_third, from_second)) = (channel(), channel());
        let source = named("source", move || fill_late(&mut writer));
        let first = named("stage-1", move || {
            read_input(&mut reader);
            to_second.send(1).expect("it listens");
        });
        let second = named("stage-2", move || {
            let number: i32 = from_first.recv().expect("it sends");
            to_third.send(number).expect("it listens");
        });
        let third = named("stage-3", move || from_second.recv().expect("it sends"));
        third.join().expect("no panic");
        // One of them may end later, and to wait for that would be the end of the chain.
        others.extend([first, second, source]);
    });
    others.into_iter().for_each(|thread| thread.join().expect("no panic"));
    let found = find(answer.explain(), InsightKind::CriticalPath);
    assert_eq!(answer.name(found.threads[0]), "source");
    assert!(found.title.contains("source, which slept at truth::fill_late"), "{found:#?}");
    let chain = &found.evidence[0];
    let at: Vec<_> = ["for stage-3 (join", "for stage-2 (channel", "for stage-1 (channel"]
        .into_iter()
        .chain(["for source (pipe read at truth::read_input"])
        .map(|part| chain.find(part).unwrap_or_else(|| panic!("`{part}` is not in {chain}")))
        .collect();
    assert!(at.is_sorted(), "{chain}");
}

#[test]
fn who_waits_for_the_only_one_that_works_is_told_so() {
    if !in_own_process("who_waits_for_the_only_one_that_works_is_told_so") {
        return;
    }
    let answer = Answer::record(|| {
        let helper = named("helper", || burn(Duration::from_millis(2)));
        named("only-worker", || burn(Duration::from_millis(100))).join().expect("no panic");
        helper.join().expect("no panic");
    });
    if !has_cpus(&answer) || answer.report.lives.cpus_watched < 2 {
        return;
    }
    let found = find(answer.explain(), InsightKind::OneThread);
    assert_eq!(answer.name(found.threads[0]), "only-worker", "{found:#?}");
    assert!(found.title.contains("depend on only-worker, which computed"), "{found:#?}");
}

#[inline(never)]
fn search_everything(time: Duration) -> u64 {
    let (end, mut found) = (cpu_time() + time, 0_u64);
    while cpu_time() < end {
        // Operators alone: unoptimised, all else is a function of the library's.
        let mut at = 0_u64;
        while at < 1_000_000 {
            found = (found ^ at) & 0xffff;
            at += 1;
        }
    }
    found
}

#[test]
fn the_function_that_has_the_cpu_time_is_told() {
    if !in_own_process("the_function_that_has_the_cpu_time_is_told") {
        return;
    }
    let options = exectrace::Options::new().cpu_samples(1000);
    let answer = Answer::record_with(options, || {
        black_box(search_everything(Duration::from_millis(180)));
        burn(Duration::from_millis(20));
    });
    if !has_cpus(&answer) {
        return;
    }
    let found = answer.explain();
    let hot = find(found, InsightKind::HotFunction);
    assert!(hot.title.contains("in truth::search_everything"), "{hot:#?}");
}

fn tasks(answer: &Answer) -> AsyncTasks {
    AsyncTasks::read(&Trace::new(&answer.file).named(&answer.symbols), |_| ())
}

/// The places at which the task of this name waited, with how often, and whether it is known that
/// it was there.
fn places(answer: &Answer, tasks: &AsyncTasks, task: &str) -> Vec<(String, u64, bool)> {
    let is_its = |group: &&AwaitGroup| {
        let site = answer.file.tables().callsite(group.site);
        site.is_some_and(|site| site.name.ends_with(task))
    };
    let own = |group: &AwaitGroup| {
        let names = answer.names(Some(group.stack));
        let own = names.into_iter().find(|name| name.contains("truth::")).unwrap_or_default();
        let function = own.split("::{").next().unwrap_or_default().to_owned();
        (function, group.count, group.one_of.is_empty())
    };
    let mut places: Vec<_> = tasks.waits.iter().filter(is_its).map(own).collect();
    places.sort();
    places
}

#[traced]
async fn quick_part(from: Receiver<()>) {
    from.await.expect("it is sent");
}

#[traced]
async fn slow_part(from: Receiver<()>) {
    from.await.expect("it is sent");
}

#[traced]
async fn joins([one, two, three]: [Receiver<()>; 3]) {
    tokio::join!(quick_part(one), slow_part(two), quick_part(three));
}

#[traced]
async fn selects([one, two, _]: [Receiver<()>; 3]) {
    tokio::select! {
        () = slow_part(one) => {}
        () = quick_part(two) => {}
    }
}

/// Records a task that waits for three senders, which `send` uses.
fn record_waiting<F: Future<Output = ()> + Send + 'static>(
    wait: fn([Receiver<()>; 3]) -> F,
    send: impl AsyncFnOnce([Sender<()>; 3]),
) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it is built");
    Answer::record(|| {
        runtime.block_on(async {
            let [one, two, three] = [(); 3].map(|()| oneshot::channel());
            let task = exectrace::tokio::spawn(wait([one.1, two.1, three.1]));
            tokio::task::yield_now().await;
            send([one.0, two.0, three.0]).await;
            task.await.expect("no panic");
        });
    })
}

#[test]
fn of_futures_that_are_joined_each_has_the_waiting_that_was_for_it() {
    if !in_own_process("of_futures_that_are_joined_each_has_the_waiting_that_was_for_it") {
        return;
    }
    let answer = record_waiting(joins, async |[one, two, three]| {
        for quick in [one, three] {
            quick.send(()).expect("it listens");
            tokio::task::yield_now().await;
        }
        two.send(()).expect("it listens");
    });
    let places = places(&answer, &tasks(&answer), "joins");
    let expected = [("truth::quick_part", 2, true), ("truth::slow_part", 1, true)];
    assert_eq!(places, expected.map(|(name, count, is_known)| (name.to_owned(), count, is_known)));
}

#[test]
fn of_a_selection_the_branch_that_was_woken_has_the_waiting() {
    if !in_own_process("of_a_selection_the_branch_that_was_woken_has_the_waiting") {
        return;
    }
    let answer = record_waiting(selects, async |[_one, two, _]| {
        two.send(()).expect("it listens");
        tokio::task::yield_now().await;
    });
    let places = places(&answer, &tasks(&answer), "selects");
    assert_eq!(places, [("truth::quick_part".to_owned(), 1, true)]);
}

type Message = (bool, Task, Sender<()>);

#[traced]
async fn compact_segment() {
    tokio::time::sleep(Duration::from_millis(400)).await;
}

#[traced]
async fn store(is_slow: bool, back: Sender<()>) {
    if is_slow {
        compact_segment().await;
    }
    back.send(()).expect("it listens");
}

#[traced]
async fn stores(mut requests: mpsc::Receiver<Message>) {
    while let Some((is_slow, task, back)) = requests.recv().await {
        exectrace::tokio::spawn(store(is_slow, back).traced(task));
    }
}

async fn request(is_slow: bool, to: mpsc::Sender<Message>) {
    let task = Task::new("request");
    let (back, answer) = oneshot::channel();
    to.send((is_slow, task.clone(), back)).await.expect("it listens");
    answer.await.expect("it answers");
    task.end();
}

#[test]
fn a_slow_request_is_followed_into_another_service() {
    if !in_own_process("a_slow_request_is_followed_into_another_service") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("it is built");
    let answer = Answer::record(|| {
        runtime.block_on(async {
            let (to, requests) = mpsc::channel(4);
            exectrace::tokio::spawn(stores(requests));
            for at in 0..20 {
                request(at == 11, to.clone()).await;
            }
        });
    });
    let trace = Trace::new(&answer.file).named(&answer.symbols);
    let slow_tasks = slow_tasks(&trace, &Summary::read(&trace, |_| ()));
    let wanted = Wanted { slow_tasks, async_tasks: true, ..Wanted::default() };
    let found = explain(&trace, &Report::read(&trace, wanted, |_| ()));
    let found = find(found, InsightKind::SlowTask);
    assert!(found.title.contains("for tokio timer at truth::compact_segment"), "{found:#?}");
}
