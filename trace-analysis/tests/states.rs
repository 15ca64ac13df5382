//! States of threads against a machine in small: threads on two CPUs that run, call, wait, wake and
//! are put off, at random, with what each did at every moment written down. The walk over the
//! events must find exactly that.

use trace_analysis::Options;
use trace_analysis::life::{Lives, Times};
use trace_analysis::reason::Reason;
use trace_analysis::symbols::Symbols;
use trace_format::batch::Compression;
use trace_format::definition::{CallsiteKind, ResourceKind};
use trace_format::id::{CallId, OpenCall, ThreadId};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, open_call, os_id};
use trace_format::time::{Nanos, Ticks};

const THREADS: u32 = 4;
const CPUS: usize = 2;

/// A small generator: the same runs on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % limit
    }
}

/// What a thread is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Nothing,
    /// Of a file; since when.
    Reading(u64),
    /// For being woken; since when, and whether it has been.
    Waiting(u64, bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Cpu(usize),
    Ready,
    Blocked,
}

struct Thread {
    doing: Doing,
    place: Place,
    /// Nanoseconds running, in calls, ready, blocked.
    spent: [u64; 4],
    /// The same inside regions, calls among the running.
    regions: [u64; 3],
    in_region: bool,
}

struct Machine {
    trace: TraceBuilder,
    random: Random,
    now: u64,
    threads: Vec<Thread>,
    cpus: [Option<usize>; CPUS],
    wakes: u64,
    is_ending: bool,
}

fn wait(thread: usize) -> OpenCall {
    open_call(CallId::FUTEX_WAIT, thread as u32 + 1, 0)
}

impl Machine {
    fn new(seed: u64) -> Self {
        let mut trace = TraceBuilder::started(Compression::None);
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
        Self { trace, random, now: 0, threads, cpus, wakes: 0, is_ending: false }
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

    fn step(&mut self) {
        let nanos = 1 + self.random.below(1_000);
        self.pass(nanos);
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
    fn finish(mut self) -> (Vec<u8>, Vec<Thread>, u64, u64) {
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

fn lives(bytes: &[u8], options: &Options) -> Lives {
    let file = TraceFile::open(bytes).expect("a trace");
    assert!(file.faults().is_empty(), "{:?}", file.faults());
    Lives::read(&file, options, &Symbols::of_trace(file.tables()), |_| {})
}

fn states(times: &Times) -> [u64; 4] {
    [times.running.0, times.in_calls.0, times.ready.0, times.blocked().0]
}

#[test]
fn every_moment_of_every_thread_is_found_as_it_was() {
    for seed in 1..40 {
        let mut machine = Machine::new(0x9e37_79b9_7f4a_7c15 ^ seed << 32);
        (0..5_000).for_each(|_| machine.step());
        let (bytes, threads, end, wakes) = machine.finish();
        let lives = lives(&bytes, &Options::default());
        for (number, thread) in (1..).zip(&threads) {
            let life = lives.threads.iter().find(|life| life.thread == ThreadId(number));
            let life = life.expect("it is there");
            assert_eq!(states(&life.times), thread.spent, "seed {seed}, thread {number}");
            assert_eq!(life.times.blocked_by(Reason::Futex), life.times.blocked());
            assert_eq!((life.begin, life.end), (Nanos(0), Nanos(end)));
        }
        let blocked: u64 = lives.threads.iter().map(|life| life.times.blocked().0).sum();
        assert_eq!(lives.waits.total, Nanos(blocked), "groups and states agree");
        let woken: u64 = lives.waits.by_reason[0].wakers.iter().map(|share| share.count).sum();
        assert_eq!(woken, wakes);
        assert!(wakes > 100, "{wakes}");
        let regions: [u64; 3] =
            std::array::from_fn(|at| threads.iter().map(|it| it.regions[at]).sum());
        let found = lives.regions[0];
        assert_eq!([found.cpu.0, found.ready.0, found.blocked.0], regions, "seed {seed}");
        assert_eq!(found.unknown, Nanos(0));
        let busy: u64 = lives.cpus.iter().map(|cpu| cpu.busy.0).sum();
        let ran: u64 = threads.iter().map(|it| it.spent[0] + it.spent[1]).sum();
        assert_eq!(busy, ran, "CPUs and threads agree");
    }
}

#[test]
fn windows_add_up_to_the_whole() {
    let mut machine = Machine::new(77);
    (0..5_000).for_each(|_| machine.step());
    let (bytes, _, end, _) = machine.finish();
    let whole = lives(&bytes, &Options::default());
    for cut in [end / 3, end / 2, end - 1] {
        let first = Options { to: Some(Ticks(cut)), ..Options::default() };
        let second = Options { from: Some(Ticks(cut)), ..Options::default() };
        let (first, second) = (lives(&bytes, &first), lives(&bytes, &second));
        for life in &whole.threads {
            let of = |lives: &Lives| {
                let found = lives.threads.iter().find(|it| it.thread == life.thread);
                found.map_or(0, |life| life.times.total().0)
            };
            assert_eq!(of(&first) + of(&second), life.times.total().0);
        }
    }
}
