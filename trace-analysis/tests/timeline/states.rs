//! States of threads against a machine in small, which knows what each thread did at every moment.
//! The walk over the events must find exactly that.

use crate::machine::Machine;
use crate::machine::random::Random;
use trace_analysis::life::{Lives, Times};
use trace_analysis::profile::ProfileKind;
use trace_analysis::reason::Reason;
use trace_analysis::report::observe;
use trace_analysis::symbols::Symbols;
use trace_analysis::timeline::{Interval, Observer, ThreadState};
use trace_analysis::{Options, Trace};
use trace_format::id::ThreadId;
use trace_format::read::TraceFile;
use trace_format::time::{Nanos, Ticks};

fn lives(bytes: &[u8], options: &Options) -> Lives {
    let file = TraceFile::open(bytes).expect("a trace");
    assert!(file.faults().is_empty(), "{:?}", file.faults());
    Lives::read(
        &Trace::new(&file).named(&Symbols::of_trace(file.tables())).with(options.clone()),
        |_| {},
    )
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

#[derive(Default)]
struct Told(Vec<Interval>);

impl Observer for Told {
    fn interval(&mut self, interval: &Interval) {
        self.0.push(*interval);
    }
}

fn intervals(file: &TraceFile<Vec<u8>>, options: Options) -> Vec<Interval> {
    let mut told = Told::default();
    observe(&Trace::new(file).with(options), &mut told, |_| {});
    told.0
}

/// Whether a window may say this of what the whole trace says that of.
fn agree(window: ThreadState, whole: ThreadState) -> bool {
    let is_unknown = [window, whole].contains(&ThreadState::Unknown);
    is_unknown || window == whole
}

#[test]
fn a_window_finds_each_thread_where_the_whole_trace_does() {
    for seed in 1..30 {
        let mut machine = Machine::new(0x5851_f42d_4c95_7f2d ^ seed << 32);
        (0..4_000).for_each(|_| machine.step());
        let (bytes, _, end, _) = machine.finish();
        let file = TraceFile::open(bytes).expect("a trace");
        let whole = intervals(&file, Options::default());
        let mut random = Random(seed << 20 | 1);
        for _ in 0..8 {
            let from = random.below(end);
            let to = from + 1 + random.below(end - from);
            let (from, to) = (Ticks(from), Ticks(to));
            let options = Options { from: Some(from), to: Some(to), ..Options::default() };
            for it in intervals(&file, options) {
                assert!(it.from.0 >= from.0 && it.to.0 <= to.0, "{it:?}");
                let same = whole.iter().filter(|other| other.who.thread == it.who.thread);
                for other in same.filter(|other| other.from < it.to && it.from < other.to) {
                    assert!(agree(it.state, other.state), "seed {seed}: {it:?}, not {other:?}");
                }
            }
        }
    }
}

/// A thread that was woken and has no CPU is ready in each window, wherever that begins and ends.
#[test]
fn states_in_windows_add_up_to_those_in_the_whole() {
    for seed in 1..20 {
        let mut machine = Machine::new(0x2545_f491_4f6c_dd1d ^ seed << 32);
        // Some seconds: not all of them are read for each window.
        machine.slowness = 4_000;
        (0..4_000).for_each(|_| machine.step());
        let (bytes, threads, end, _) = machine.finish();
        let mut random = Random(seed << 24 | 1);
        let mut cuts: Vec<_> = (0..40).map(|_| 1 + random.below(end - 1)).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let from = std::iter::once(None).chain(cuts.iter().copied().map(Some));
        let to = cuts.iter().copied().map(Some).chain([None]);
        let (mut sums, mut unknown) = (vec![[0; 4]; threads.len()], 0);
        for (from, to) in from.zip(to) {
            let (from, to) = (from.map(Ticks), to.map(Ticks));
            let lives = lives(&bytes, &Options { from, to, ..Options::default() });
            let ready = lives.profile(ProfileKind::Sched).samples;
            let ready: u64 = ready.iter().map(|sample| sample.value).sum();
            let told: u64 = lives.threads.iter().map(|life| life.times.ready.0).sum();
            assert_eq!(ready, told, "seed {seed}, {from:?} to {to:?}: profiles and states agree");
            for life in &lives.threads {
                let sums = &mut sums[life.thread.0 as usize - 1];
                for (sum, nanos) in sums.iter_mut().zip(states(&life.times)) {
                    *sum += nanos;
                }
                unknown += life.times.unknown.0;
            }
        }
        let whole: Vec<_> = threads.iter().map(|thread| thread.spent).collect();
        assert_eq!((sums, unknown), (whole, 0), "seed {seed}, cut at {cuts:?}");
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
