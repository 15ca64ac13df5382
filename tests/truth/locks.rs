//! Threads that wait for each other: which thread waits for which, where, and which causes the
//! wait.

use crate::answer::Answer;
use crate::common::in_own_process;
use crate::common::waiting::{os_thread, wait_until_asleep};
use crate::cpu::burn;
use crate::{find, named};
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use trace_analysis::explain::InsightKind;
use trace_analysis::life::WaitGroup;
use trace_analysis::reason::Reason;

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
fn a_wait_through_a_chain_of_threads_names_the_end_of_the_chain() {
    if !in_own_process("locks::a_wait_through_a_chain_of_threads_names_the_end_of_the_chain") {
        return;
    }
    let mut others = Vec::new();
    let answer = Answer::record(|| {
        let (mut reader, mut writer) = std::io::pipe().expect("the system makes a pipe");
        let ((to_second, from_first), (to_third, from_second)) = (channel(), channel());
        let (tell, told) = channel();
        let source = named("source", move || {
            wait_until_asleep(told.recv().expect("it says so"));
            fill_late(&mut writer);
        });
        let first = named("stage-1", move || {
            tell.send(os_thread()).expect("it listens");
            read_input(&mut reader);
            to_second.send(1).expect("it listens");
        });
        let second = named("stage-2", move || {
            let number: i32 = from_first.recv().expect("it sends");
            to_third.send(number).expect("it listens");
        });
        let third = named("stage-3", move || from_second.recv().expect("it sends"));
        third.join().expect("no panic");
        // One of the threads may end later, and waiting for that would be the end of the chain.
        others.extend([first, second, source]);
    });
    others.into_iter().for_each(|thread| thread.join().expect("no panic"));
    let found = find(answer.explain(), InsightKind::CriticalPath);
    assert_eq!(answer.name(found.threads[0]), "source");
    assert!(found.title.contains("source, which slept at truth::locks::fill_late"), "{found:#?}");
    let chain = &found.evidence[0];
    let at: Vec<_> = ["for stage-3 (join", "for stage-2 (channel", "for stage-1 (channel"]
        .into_iter()
        .chain(["for source (pipe read at truth::locks::read_input"])
        .map(|part| chain.find(part).unwrap_or_else(|| panic!("`{part}` is not in {chain}")))
        .collect();
    assert!(at.is_sorted(), "{chain}");
}

/// The only mutex that threads waited for. A channel has an internal mutex, which a thread without
/// a CPU may hold.
#[track_caller]
fn wait(answer: &Answer) -> &WaitGroup {
    let is_channels = |it: &WaitGroup| {
        let names = answer.names(it.stacks.first().map(|share| share.of));
        names.iter().any(|name| name.contains("std::sync::mp"))
    };
    let groups = answer.report.lives.waits.by_resource.iter();
    let groups = groups.filter(|it| it.reason == Reason::Mutex && !is_channels(it));
    let groups: Vec<_> = groups.collect();
    let [wait] = groups[..] else { panic!("it is one: {groups:#?}") };
    wait
}

#[inline(never)]
fn find_customer(names: &Mutex<Vec<u32>>) -> u32 {
    (0..3).map(|at| names.lock().expect("nobody panics")[at]).sum()
}

#[test]
fn a_wait_inside_a_closure_is_its_functions() {
    if !in_own_process("locks::a_wait_inside_a_closure_is_its_functions") {
        return;
    }
    let answer = Answer::record(|| {
        let names = Arc::new(Mutex::new(vec![1; 3]));
        let held = names.lock().expect("nobody panics");
        let (tell, told) = channel();
        let finder = named("finder", {
            let names = Arc::clone(&names);
            move || {
                tell.send(os_thread()).expect("somebody listens");
                find_customer(&names)
            }
        });
        wait_until_asleep(told.recv().expect("it says so"));
        drop(held);
        finder.join().expect("no panic");
    });
    let wait = wait(&answer);
    assert_eq!((wait.waiters[0].of, wait.count), (answer.thread("finder"), 1), "{wait:#?}");
    let place = answer.site(wait.stacks[0].of).0;
    assert!(place.starts_with("truth::locks::find_customer"), "it waited at {place}");
}

/// How often the lock is held while others wait for it.
const ROUNDS: usize = 3;

#[inline(never)]
fn compact_while_locked(pages: &parking_lot::Mutex<u64>, round: &AtomicUsize, users: &[i32]) {
    let mut held = pages.lock();
    round.fetch_add(1, Ordering::Relaxed);
    // Until now the threads compute.
    users.iter().for_each(|&user| wait_until_asleep(user));
    *held ^= burn(Duration::from_millis(20));
}

#[test]
fn a_thread_that_held_a_lock_through_all_waits_causes_all() {
    if !in_own_process("locks::a_thread_that_held_a_lock_through_all_waits_causes_all") {
        return;
    }
    let answer = Answer::record(|| {
        let (pages, round) = (parking_lot::Mutex::new(0), AtomicUsize::new(0));
        let (ready, (tell, told)) = (AtomicUsize::new(0), channel());
        let touch = |tell: Sender<i32>| {
            tell.send(os_thread()).expect("somebody listens");
            for at in 0..ROUNDS {
                ready.fetch_add(1, Ordering::Relaxed);
                while round.load(Ordering::Relaxed) == at {
                    std::hint::spin_loop();
                }
                *pages.lock() += 1;
            }
        };
        let (pages, round, ready) = (&pages, &round, &ready);
        let compact = move || {
            let users = [(); 3].map(|()| told.recv().expect("each says so"));
            for at in 1..=ROUNDS {
                // So the threads sleep only for the lock.
                while ready.load(Ordering::Relaxed) < 3 * at {
                    std::hint::spin_loop();
                }
                compact_while_locked(pages, round, &users);
            }
        };
        thread::scope(|scope| {
            let builder = |name: String| thread::Builder::new().name(name);
            for user in 0..3 {
                let (tell, touch) = (tell.clone(), &touch);
                let user = builder(format!("user-{user}"));
                user.spawn_scoped(scope, move || touch(tell)).expect("a thread");
            }
            builder("compactor".to_owned()).spawn_scoped(scope, compact).expect("a thread");
        });
    });
    let wait = wait(&answer);
    assert_eq!(wait.count, 3 * ROUNDS as u64, "{wait:#?}");
    let most = wait.holders.iter().max_by_key(|it| it.caused).expect("it is known who held it");
    assert_eq!(most.thread, answer.thread("compactor"), "{wait:#?}");
    assert!(most.caused.0 * 2 > wait.total.0, "it held it nearly all the time: {wait:#?}");
    assert!(answer.site(most.stack).0.ends_with("compact_while_locked"), "{wait:#?}");
}
