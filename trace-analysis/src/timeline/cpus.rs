//! The CPUs: what ran on each, and how many threads ran or could have run at once.

use std::collections::BTreeMap;

use trace_format::time::Nanos;

use super::thread::Cpu;

/// More threads at once than this count as this many.
const AT_ONCE_MAX: usize = 1024;

/// Maximum number of CPUs that are kept separately; the largest machines have fewer.
const CPUS_MAX: usize = 1 << 16;

/// One CPU, as far as the program's threads are concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuLife {
    /// The system's number.
    pub cpu: u32,
    /// How long threads of the program ran on it.
    pub busy: Nanos,
    /// How often one came onto it.
    pub switches: u64,
    /// How often one was put off it.
    pub preemptions: u64,
    /// Samples taken on it.
    pub samples: u64,
    /// Records of it that the kernel had no room for.
    pub lost_records: u64,
}

/// How many threads of the program ran at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Concurrency {
    /// `running[n]`: how long exactly `n` threads were on CPUs; the last is "that many or more".
    pub running: Vec<Nanos>,
    /// `able[n]`: how long exactly `n` threads ran or waited, preempted, to go on.
    pub able: Vec<Nanos>,
    /// How long threads that could go on did not, as there were more of them than CPUs: the sum
    /// over them.
    pub shared: Nanos,
    /// The same, as CPUs were taken by other programs, or the system did not give them.
    pub taken: Nanos,
}

/// A thread's change from one state to another, as far as CPUs matter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Switch {
    pub(super) at: u64,
    pub(super) before: Cpu,
    pub(super) after: Cpu,
}

#[derive(Debug, Default)]
struct Lane {
    life: CpuLife,
    /// Who runs on it, and since when.
    current: Option<(usize, u64)>,
    /// Whether anything is known of it yet, or again.
    is_known: bool,
    /// Whether it is among [`Cpus::used`].
    is_used: bool,
}

/// All CPUs.
#[derive(Debug)]
pub(super) struct Cpus {
    lanes: BTreeMap<u32, Lane>,
    /// Those that something has run on since records were lost.
    used: Vec<u32>,
    from: u64,
    on: usize,
    able: usize,
    since: u64,
    /// How many CPUs the program may use, at least.
    watched: usize,
    concurrency: Concurrency,
}

impl Cpus {
    pub(super) fn new(from: u64, watched: usize) -> Self {
        let concurrency = Concurrency::default();
        let (lanes, used) = (BTreeMap::new(), Vec::new());
        Self { lanes, used, from, on: 0, able: 0, since: from, watched, concurrency }
    }

    /// The window begins then: who runs is known, what was counted does not count.
    pub(super) fn restart(&mut self, from: u64) {
        self.from = from;
        self.pass(from);
        self.concurrency = Concurrency::default();
        for lane in self.lanes.values_mut() {
            lane.life = CpuLife { cpu: lane.life.cpu, ..CpuLife::default() };
            if let Some((_, since)) = &mut lane.current {
                *since = self.from.max(*since);
            }
        }
    }

    fn lane(&mut self, cpu: u32) -> Option<&mut Lane> {
        if self.lanes.len() >= CPUS_MAX && !self.lanes.contains_key(&cpu) {
            return None;
        }
        let lane = self.lanes.entry(cpu).or_default();
        lane.life.cpu = cpu;
        Some(lane)
    }

    /// A thread comes onto a CPU. Returns who was on it, and was not seen to go.
    pub(super) fn switch_in(&mut self, cpu: u32, who: usize, at: u64) -> Option<usize> {
        let lane = self.lane(cpu)?;
        lane.is_known = true;
        // Restated: it has been running all the time.
        if lane.current.is_some_and(|(current, _)| current == who) {
            return None;
        }
        lane.life.switches += 1;
        let before = lane.current.replace((who, at)).map(|(before, _)| before);
        if !std::mem::replace(&mut lane.is_used, true) {
            self.used.push(cpu);
        }
        before
    }

    /// A thread goes off a CPU.
    pub(super) fn switch_out(&mut self, cpu: u32, who: usize, at: u64, preempted: bool) {
        let from = self.from;
        let Some(lane) = self.lane(cpu) else { return };
        lane.life.preemptions += u64::from(preempted);
        let since = match lane.current.take() {
            Some((current, since)) if current == who => since,
            None if !lane.is_known => from,
            _ => at,
        };
        lane.is_known = true;
        lane.life.busy.0 = lane.life.busy.0.saturating_add(at.saturating_sub(since));
    }

    pub(super) fn sample(&mut self, cpu: u32) {
        if let Some(lane) = self.lane(cpu) {
            lane.life.samples += 1;
        }
    }

    pub(super) fn lost(&mut self, cpu: u32, records: u64) {
        if let Some(lane) = self.lane(cpu) {
            lane.life.lost_records = lane.life.lost_records.saturating_add(records);
        }
    }

    /// Nothing is known of what runs now.
    pub(super) fn lose(&mut self) {
        for cpu in std::mem::take(&mut self.used) {
            if let Some(lane) = self.lanes.get_mut(&cpu) {
                (lane.current, lane.is_used) = (None, false);
            }
        }
    }

    /// Keeps count of how many threads run.
    pub(super) fn switched(&mut self, switch: Switch) {
        self.pass(switch.at);
        let is_on = |cpu| matches!(cpu, Cpu::On(_));
        let is_able = |cpu| is_on(cpu) || cpu == Cpu::Preempted;
        self.on = self.on + usize::from(is_on(switch.after)) - usize::from(is_on(switch.before));
        let (after, before) = (is_able(switch.after), is_able(switch.before));
        self.able = self.able + usize::from(after) - usize::from(before);
    }

    fn pass(&mut self, at: u64) {
        let nanos = at.saturating_sub(self.since);
        self.since = self.since.max(at);
        let add = |times: &mut Vec<Nanos>, count: usize| {
            let count = count.min(AT_ONCE_MAX);
            if times.len() <= count {
                times.resize(count + 1, Nanos(0));
            }
            times[count].0 += nanos;
        };
        if nanos > 0 {
            add(&mut self.concurrency.running, self.on);
            add(&mut self.concurrency.able, self.able);
            let could = self.able.min(self.watched.max(self.lanes.len())).max(self.on);
            let concurrency = &mut self.concurrency;
            concurrency.shared.0 = saturating(concurrency.shared.0, nanos, self.able - could);
            concurrency.taken.0 = saturating(concurrency.taken.0, nanos, could - self.on);
        }
    }

    /// Everything up to the end.
    pub(super) fn finish(&mut self, to: u64) -> (Vec<CpuLife>, Concurrency) {
        if self.lanes.is_empty() {
            return (Vec::new(), Concurrency::default());
        }
        self.pass(to);
        for lane in self.lanes.values_mut() {
            if let Some((_, since)) = lane.current.take() {
                lane.life.busy.0 = lane.life.busy.0.saturating_add(to.saturating_sub(since));
            }
        }
        let lives = self.lanes.values().map(|lane| lane.life).collect();
        (lives, std::mem::take(&mut self.concurrency))
    }
}

/// A sum plus `nanos` for each of the threads.
fn saturating(sum: u64, nanos: u64, threads: usize) -> u64 {
    sum.saturating_add(nanos.saturating_mul(threads as u64))
}
