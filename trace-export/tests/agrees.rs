//! A picture agrees with the reports about the same trace, whole and damaged: times in every state,
//! calls, wakes, polls, regions.

#[path = "../../trace-analysis/tests/common/machine.rs"]
mod machine;

use std::collections::{BTreeMap, HashMap, HashSet};

use machine::Machine;
use machine::random::Random;
use trace_analysis::async_tasks::AsyncTasks;
use trace_analysis::life::Lives;
use trace_analysis::symbols::Symbols;
use trace_analysis::{Finding, Summary, Trace};
use trace_export::draw::{Totals, draw};
use trace_export::scene::{
    Arrow, Detail, Label, Mark, Number, OsThread, Scene, State, Track, TrackKind,
};
use trace_format::batch::Compression;
use trace_format::definition::CallsiteKind;
use trace_format::event::EventKind;
use trace_format::id::{Open, SiteId, StackId};
use trace_format::read::TraceFile;
use trace_format::testgen::{TraceBuilder, everything, os_id, tight_loops};
use trace_format::time::Ticks;

/// A picture, as sums.
#[derive(Default)]
struct Sums {
    tracks: u64,
    last: HashMap<Track, u64>,
    /// What is open on each track: when it began, and its label.
    open: HashMap<Track, Vec<(u64, String)>>,
    /// For each label the number of slices that ended, and their time; without slices whose end is
    /// lost.
    slices: HashMap<String, (u64, u64)>,
    /// Slices that ended together with the slice around them: label and begin, and their time.
    cut: HashMap<(String, u64), u64>,
    /// For each thread its state, and since when.
    states: HashMap<u64, (State, u64)>,
    /// Time running, ready, asleep.
    spent: [u64; 3],
    /// For each thread's track, and those below it, the system's id.
    threads: HashMap<Track, u64>,
    /// For each call that woke another thread, its thread.
    wakers: HashMap<u64, u64>,
    /// Waits that were ended: the call that ended it, and the thread that waited.
    woken: Vec<(u64, u64)>,
    instants: HashMap<String, u64>,
    samples: u64,
}

/// A label as text, so that a poll, or a state of a task or future, differs from a region of that
/// name.
fn label(mark: &Mark<'_>) -> String {
    let is_of_life = |arrow: &Arrow| matches!(arrow, Arrow::Task(_) | Arrow::Future(_));
    match mark.label {
        Label::Site(site) if mark.arrows.iter().any(is_of_life) => format!("life {}", site.0),
        Label::Site(site) => format!("site {}", site.0),
        Label::Name(name, _) | Label::Text(name, ..) => name.to_owned(),
    }
}

/// The detail that says how a slice ended that did not end in order.
fn ended<'d>(details: &[Detail<'d>]) -> Option<&'d str> {
    details.iter().find_map(|detail| match *detail {
        Detail::Word("ended", how) => Some(how),
        _ => None,
    })
}

fn duration(details: &[Detail<'_>]) -> Option<u64> {
    details.iter().find_map(|detail| match *detail {
        Detail::Number("duration_ns", nanos) => Some(nanos),
        _ => None,
    })
}

impl Sums {
    fn add_slice(&mut self, label: String, nanos: u64) {
        let slices = self.slices.entry(label).or_default();
        *slices = (slices.0 + 1, slices.1 + nanos);
    }

    /// S2: on a track time does not run back.
    fn at(&mut self, track: Track, at: u64) {
        let last = self.last.insert(track, at).unwrap_or(0);
        assert!(last <= at, "S2: {last} and then {at} on {track:?}");
        assert!(track.0 < self.tracks, "S3: {track:?} was made");
    }

    /// Number of arrows of wakes, by the threads from and to which they lead.
    fn wakes(&self) -> BTreeMap<(u64, u64), u64> {
        let mut wakes = BTreeMap::new();
        for (call, waiter) in &self.woken {
            let waker = self.wakers.get(call).expect("an arrow begins at a call");
            *wakes.entry((*waker, *waiter)).or_default() += 1;
        }
        wakes
    }

    fn spend(&mut self, state: State, nanos: u64) {
        match state {
            State::Running(_) => self.spent[0] += nanos,
            State::Ready => self.spent[1] += nanos,
            State::Asleep => self.spent[2] += nanos,
            State::Unknown => {}
        }
    }

    fn finish(&mut self, end: u64) {
        // A slice without an end of its own ended with the slice around it.
        for ((label, _), nanos) in std::mem::take(&mut self.cut) {
            self.add_slice(label, nanos);
        }
        for (state, since) in std::mem::take(&mut self.states).into_values() {
            self.spend(state, end - since);
        }
    }
}

impl Scene for Sums {
    const DEPTH_MAX: usize = 64;

    fn has_failed(&self) -> bool {
        false
    }

    fn track(&mut self, above: Option<Track>, _: &str, kind: TrackKind<'_>) -> Track {
        let track = Track(self.tracks);
        self.tracks += 1;
        let thread = match kind {
            TrackKind::Thread(id) => Some(id),
            _ => above.and_then(|above| self.threads.get(&above).copied()),
        };
        self.threads.extend(thread.map(|thread| (track, thread)));
        track
    }

    fn begin(&mut self, track: Track, at: u64, mark: &Mark<'_>) {
        self.at(track, at);
        for arrow in mark.arrows {
            let Arrow::Wake(call) = arrow else { continue };
            let before = self.wakers.insert(*call, self.threads[&track]);
            assert_eq!(before, None, "an arrow begins at one call");
        }
        let open = self.open.entry(track).or_default();
        open.push((at, label(mark)));
        assert!(open.len() <= Self::DEPTH_MAX, "S1");
    }

    fn end(&mut self, track: Track, at: u64, details: &[Detail<'_>]) {
        self.at(track, at);
        let open = self.open.entry(track).or_default();
        let (begin, label) = open.pop().expect("S1: something is open");
        match ended(details) {
            Some("earlier: its end is not in the trace") => {}
            Some("with the one around it: mis-nested") => {
                self.cut.insert((label, begin), at - begin);
            }
            _ => self.add_slice(label, at - begin),
        }
    }

    fn instant(&mut self, track: Track, at: u64, mark: &Mark<'_>) {
        self.at(track, at);
        for arrow in mark.arrows {
            let Arrow::Wake(call) = arrow else { continue };
            self.woken.push((*call, self.threads[&track]));
        }
        if ended(mark.details) == Some("here: what was around it had ended first") {
            let nanos = duration(mark.details).expect("it is told with the end");
            let before = self.cut.remove(&(label(mark), at - nanos));
            assert!(before.is_some_and(|shown| shown <= nanos), "it was cut at most that long");
            return self.add_slice(label(mark), nanos);
        }
        *self.instants.entry(label(mark)).or_default() += 1;
    }

    fn counter(&mut self, track: Track, at: u64, _: Number) {
        self.at(track, at);
    }

    fn state(&mut self, thread: OsThread<'_>, at: u64, state: State) {
        if let Some((before, since)) = self.states.insert(thread.id, (state, at)) {
            self.spend(before, at - since);
        }
    }

    fn sample(&mut self, _: OsThread<'_>, _: u32, _: u64, _: StackId) -> bool {
        self.samples += 1;
        true
    }
}

/// The picture, and what the reports say.
fn drawn(bytes: &[u8]) -> (Sums, Totals, Lives, AsyncTasks, Summary) {
    let file = TraceFile::open(bytes).expect("a trace");
    let symbols = Symbols::of_trace(file.tables());
    let mut sums = Sums::default();
    let totals = draw(&file, &symbols, &mut sums, |_| {});
    let trace = Trace::new(&file).named(&symbols);
    let lives = Lives::read(&trace, |_| {});
    let tasks = AsyncTasks::read(&trace, |_| {});
    let summary = Summary::read(&trace, |_| {});
    sums.finish(file.tables().clock.origin().monotonic.0 + lives.to.0);
    let open: usize = sums.open.values().map(Vec::len).sum();
    assert_eq!(totals.unfinished, open as u64);
    assert_eq!((totals.unreadable, totals.lost_records), (lives.unreadable, lives.lost_records));
    (sums, totals, lives, tasks, summary)
}

#[test]
fn states_calls_and_wakes_are_those_of_the_report() {
    for seed in 1..20 {
        let mut machine = Machine::new(0x2545_f491_4f6c_dd1d ^ seed << 32);
        (0..3_000).for_each(|_| machine.step());
        let (bytes, threads, _, wakes) = machine.finish();
        let (sums, _, lives, ..) = drawn(&bytes);
        let spent: Vec<u64> =
            (0..4).map(|at| threads.iter().map(|it| it.spent[at]).sum()).collect();
        assert_eq!(sums.spent, [spent[0] + spent[1], spent[2], spent[3]], "seed {seed}");
        let ready: u64 = lives.threads.iter().map(|life| life.times.ready.0).sum();
        assert_eq!(sums.spent[1], ready);
        assert_eq!(sums.instants["woken"], wakes, "seed {seed}");
        for group in &lives.calls.by_call {
            let name = group.call.info().expect("a known call").name;
            assert_eq!(sums.slices[name], (group.count, group.total.0), "seed {seed}: {name}");
        }
        assert_eq!(sums.wakes(), wakers(&lives), "seed {seed}: from whom to whom");
        assert_eq!(sums.wakes().values().sum::<u64>(), wakes, "seed {seed}");
        let leads: HashSet<_> = sums.woken.iter().map(|(call, _)| call).collect();
        assert_eq!(leads.len(), sums.wakers.len(), "seed {seed}: each leads somewhere");
        let [region] = lives.regions.as_slice() else { panic!("seed {seed}: one call site") };
        let inside: u64 = threads.iter().flat_map(|thread| thread.regions).sum();
        assert_eq!(sums.slices["site 1"], (region.count, inside), "seed {seed}");
    }
}

#[test]
fn of_a_damaged_machine_the_picture_shows_what_the_report_counts() {
    for seed in 1..40 {
        let mut machine = Machine::new(0x2545_f491_4f6c_dd1d ^ seed << 32);
        (0..3_000).for_each(|_| machine.step());
        let mut bytes = machine.finish().0;
        let at = bytes.len() * seed as usize / 41;
        bytes[at] ^= 0xff;
        let (sums, _, lives, _, summary) = drawn(&bytes);
        assert!(summary.findings.iter().any(|it| it.kind.is_loss()), "seed {seed}: it is damaged");
        let mut times = [0; 3];
        for life in &lives.threads {
            let of = &life.times;
            let of = [of.running.0 + of.in_calls.0, of.ready.0, of.blocked().0];
            times.iter_mut().zip(of).for_each(|(sum, of)| *sum += of);
        }
        // After a lost batch of a CPU, only the next switch says what happened, too late to draw.
        let is_cpu = |it: &Finding| it.thread.is_some_and(|thread| thread.as_cpu().is_some());
        if summary.findings.iter().any(is_cpu) {
            let unknown: u64 = lives.threads.iter().map(|life| life.times.unknown.0).sum();
            for (shown, told) in sums.spent.iter().zip(times) {
                assert!(shown.abs_diff(told) <= unknown, "seed {seed}: {shown} for {told}");
            }
        } else {
            assert_eq!(sums.spent, times, "seed {seed}");
        }
        for group in &lives.calls.by_call {
            let name = group.call.info().expect("a known call").name;
            let (count, total) = sums.slices.get(name).copied().unwrap_or_default();
            assert_eq!(count, group.count, "seed {seed}: {name}");
            // Of what has not ended the report counts the part so far.
            let is_same = total == group.total.0 || group.open > 0 && total < group.total.0;
            assert!(is_same, "seed {seed}: {name}: {total} for {:?}", group.total);
        }
        // If only the end of a wait is known, only the picture has its wake.
        let shown = sums.wakes();
        for (of, count) in wakers(&lives) {
            assert!(shown.get(&of).is_some_and(|it| *it >= count), "seed {seed}: {of:?}");
        }
        for region in summary.regions.iter().filter(|region| region.count > 0) {
            let slices = sums.slices.get(&format!("site {}", region.site.0));
            assert_eq!(slices, Some(&(region.count, region.total.0)), "seed {seed}");
        }
    }
}

/// Two threads whose regions end in another order than they began; all end.
fn interleaved(seed: u64) -> Vec<u8> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ seed << 32);
    let mut trace = TraceBuilder::started(Compression::None);
    (1..=12).for_each(|site| trace.callsite(site, CallsiteKind::Region, &format!("site{site}")));
    (1..=2).for_each(|thread| trace.thread(thread, "t"));
    let (mut open, mut now) = ([Vec::new(), Vec::new()], 1_000);
    for step in 0..400 {
        let thread = random.below(2) as usize;
        now += 1 + random.below(20);
        let (id, open) = (thread as u32 + 1, &mut open[thread]);
        // No region is open twice, so that its time counts once.
        let site = 1 + random.below(12) as u32;
        if step < 350 && random.below(2) == 0 && open.iter().all(|(it, _)| *it != site) {
            trace.begin(id, site, now);
            open.push((site, now));
        } else if !open.is_empty() {
            let (site, begin) = open.remove(random.below(open.len() as u64) as usize);
            let (open, since) = (Open::Region(SiteId(site)), Ticks(now - begin));
            trace.event(id, now, EventKind::EndDetached { open, since });
        }
    }
    assert!(open.iter().all(Vec::is_empty), "there are enough steps to end them");
    trace.stop(now + 1_000)
}

#[test]
fn regions_that_end_in_another_order_have_their_own_times_in_the_picture() {
    for seed in 1..40 {
        let (sums, totals, _, _, summary) = drawn(&interleaved(seed));
        assert_eq!(totals.unfinished, 0, "seed {seed}");
        assert_eq!(summary.regions.len(), 12, "seed {seed}");
        assert!(summary.regions.iter().any(|region| region.misnested > 0), "seed {seed}");
        for region in &summary.regions {
            let slices = sums.slices.get(&format!("site {}", region.site.0));
            assert_eq!(slices, Some(&(region.count, region.total.0)), "seed {seed}: {region:?}");
        }
    }
}

/// Which thread woke which, and how often, according to the report.
fn wakers(lives: &Lives) -> BTreeMap<(u64, u64), u64> {
    let mut wakers = BTreeMap::new();
    for group in &lives.waits.by_thread {
        for share in &group.wakers {
            let of = (os_id(share.of.0.0), os_id(group.thread.0));
            *wakers.entry(of).or_default() += share.count;
        }
    }
    wakers
}

#[test]
fn regions_polls_and_counts_are_those_of_the_report() {
    let mut machine = Machine::new(7);
    (0..3_000).for_each(|_| machine.step());
    let machine = machine.finish().0;
    for bytes in [everything(Compression::Lz4), tight_loops(3, 2_000, Compression::None), machine] {
        let (sums, totals, lives, tasks, summary) = drawn(&bytes);
        for region in summary.regions.iter().filter(|region| region.count > 0) {
            let slices = sums.slices.get(&format!("site {}", region.site.0));
            assert_eq!(slices, Some(&(region.count, region.total.0)), "{region:?}");
        }
        assert_eq!(totals.samples, lives.cpus.iter().map(|cpu| cpu.samples).sum::<u64>());
        assert_eq!(totals.samples, sums.samples);
        let polls: u64 = tasks.sites.iter().map(|site| site.polls).sum();
        let polled = sums.slices.get("polled").map_or(0, |(count, _)| *count);
        assert_eq!(polled, polls, "each took some time: one of none has no slice");
        let dropped: u64 = summary.threads.iter().map(|thread| thread.dropped_events).sum();
        assert_eq!(totals.dropped_events, dropped);
    }
}
