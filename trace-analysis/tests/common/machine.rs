//! A machine in small: threads on two CPUs that run, call, wait, wake and are put off, at random,
//! with what each did at every moment written down.

use trace_format::batch::Compression;
use trace_format::definition::{CallsiteKind, ResourceKind};
use trace_format::id::{CallId, OpenCall};
use trace_format::testgen::{TraceBuilder, open_call, os_id};

use random::Random;

#[path = "random.rs"]
#[allow(clippy::duplicate_mod, reason = "some tests that have a machine use it as well")]
pub(crate) mod random;

pub(crate) const THREADS: u32 = 4;
const CPUS: usize = 2;

/// What a thread is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    Nothing,
    /// Of a file; since when.
    Reading(u64),
    /// For being woken; since when, and whether it has been.
    Waiting(u64, bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Cpu(usize),
    Ready,
    Blocked,
}

pub(crate) struct Thread {
    pub(crate) doing: Doing,
    place: Place,
    /// Nanoseconds running, in calls, ready, blocked.
    pub(crate) spent: [u64; 4],
    /// The same inside regions, calls among the running.
    pub(crate) regions: [u64; 3],
    in_region: bool,
}

pub(crate) struct Machine {
    trace: TraceBuilder,
    random: Random,
    now: u64,
    threads: Vec<Thread>,
    cpus: [Option<usize>; CPUS],
    wakes: u64,
    is_ending: bool,
    /// How much longer everything takes.
    pub(crate) slowness: u64,
}

fn wait(thread: usize) -> OpenCall {
    open_call(CallId::FUTEX_WAIT, thread as u32 + 1, 0)
}

impl Machine {
    pub(crate) fn new(seed: u64) -> Self {
        let mut trace = TraceBuilder::started(Compression::None);
        trace.batch_bytes_max(500);
        trace.callsite(1, CallsiteKind::Region, "work");
        for thread in 1..=THREADS {
            trace.thread(thread, "t");
            trace.resource(thread, ResourceKind::Address, u64::from(thread), "");
            trace.switch_in(0, 0, os_id(thread));
            trace.switch_out(0, 0, os_id(thread), true);
        }
        trace.resource(9, ResourceKind::File, 3, "f");
        let threads = (0..THREADS).map(|_| Thread {
            doing: Doing::Nothing,
            place: Place::Ready,
            spent: [0; 4],
            regions: [0; 3],
            in_region: false,
        });
        let threads = threads.collect();
        let (random, cpus) = (Random(seed), [None; CPUS]);
        Self { trace, random, now: 0, threads, cpus, wakes: 0, is_ending: false, slowness: 1 }
    }

    fn pass(&mut self, nanos: u64) {
        self.now += nanos;
        for thread in &mut self.threads {
            let state = match (thread.place, thread.doing) {
                (Place::Cpu(_), Doing::Nothing) => 0,
                (Place::Cpu(_), _) => 1,
                (Place::Ready, _) => 2,
                (Place::Blocked, _) => 3,
            };
            thread.spent[state] += nanos;
            if thread.in_region {
                thread.regions[state.max(1) - 1] += nanos;
            }
        }
    }

    pub(crate) fn step(&mut self) {
        let nanos = 1 + self.random.below(1_000);
        self.pass(nanos * self.slowness);
        if self.random.below(1_000) == 0 {
            self.trace.generation(self.now);
        }
        let who = self.random.below(u64::from(THREADS)) as usize;
        let (id, number) = (os_id(who as u32 + 1), who as u32 + 1);
        let chance = self.random.below(10);
        match (self.threads[who].place, self.threads[who].doing) {
            (Place::Ready, _) => {
                let Some(cpu) = self.cpus.iter().position(Option::is_none) else { return };
                self.trace.switch_in(cpu as u32, self.now, id);
                self.cpus[cpu] = Some(who);
                self.threads[who].place = Place::Cpu(cpu);
            }
            (Place::Blocked, _) => {}
            (Place::Cpu(cpu), _) if chance == 0 => self.leave(who, cpu, true),
            (Place::Cpu(cpu), Doing::Waiting(_, false)) => self.leave(who, cpu, false),
            (Place::Cpu(_), Doing::Waiting(begin, true)) => {
                self.trace.call(number, wait(who), begin, self.now - begin, 0);
                self.threads[who].doing = Doing::Nothing;
            }
            (Place::Cpu(_), Doing::Reading(begin)) => {
                let read = open_call(CallId::READ, 9, 0);
                self.trace.call(number, read, begin, self.now - begin, 1);
                self.threads[who].doing = Doing::Nothing;
            }
            (Place::Cpu(_), Doing::Nothing) => match chance {
                1..=2 if !self.is_ending => self.threads[who].doing = Doing::Reading(self.now),
                3..=4 if !self.is_ending && self.is_another_awake(who) => {
                    self.threads[who].doing = Doing::Waiting(self.now, false);
                }
                5..=7 => self.wake(number),
                8 if !self.threads[who].in_region && !self.is_ending => {
                    self.trace.begin(number, 1, self.now);
                    self.threads[who].in_region = true;
                }
                8 if self.threads[who].in_region => {
                    self.trace.end(number, self.now);
                    self.threads[who].in_region = false;
                }
                _ => {}
            },
        }
    }

    /// Not all may wait: nobody would wake them.
    fn is_another_awake(&self, who: usize) -> bool {
        let waits = |thread: &Thread| matches!(thread.doing, Doing::Waiting(_, false));
        self.threads.iter().enumerate().any(|(at, thread)| at != who && !waits(thread))
    }

    fn leave(&mut self, who: usize, cpu: usize, preempted: bool) {
        self.trace.switch_out(cpu as u32, self.now, os_id(who as u32 + 1), preempted);
        self.cpus[cpu] = None;
        self.threads[who].place = if preempted { Place::Ready } else { Place::Blocked };
    }

    /// One that waits is woken, by a call that is written whole or as begin and end.
    fn wake(&mut self, waker: u32) {
        let blocked = self.threads.iter().position(|thread| thread.place == Place::Blocked);
        let Some(woken) = blocked else { return };
        let call = open_call(CallId::FUTEX_WAKE, woken as u32 + 1, 0);
        let begin = self.now;
        self.threads[woken].place = Place::Ready;
        let Doing::Waiting(since, _) = self.threads[woken].doing else { panic!("it waits") };
        self.threads[woken].doing = Doing::Waiting(since, true);
        let waker_doing = &mut self.threads[waker as usize - 1].doing;
        *waker_doing = Doing::Reading(begin);
        let nanos = 1 + self.random.below(50);
        self.pass(nanos);
        self.threads[waker as usize - 1].doing = Doing::Nothing;
        if self.random.below(2) == 0 {
            self.trace.call(waker, call, begin, nanos, 1);
        } else {
            self.trace.begin_call(waker, call, begin);
            self.trace.end_call(waker, self.now, 1);
        }
        self.wakes += 1;
    }

    /// Ends all calls and regions, so that every wait is over.
    pub(crate) fn finish(mut self) -> (Vec<u8>, Vec<Thread>, u64, u64) {
        self.is_ending = true;
        loop {
            let is_done = |it: &Thread| it.doing == Doing::Nothing && !it.in_region;
            if self.threads.iter().all(is_done) {
                break;
            }
            self.step();
        }
        (self.trace.stop(self.now), self.threads, self.now, self.wakes)
    }
}
