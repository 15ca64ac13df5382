//! A process that sleeps, with a flight recorder or a trace to a file.

use crate::{Extent, annotated, row};
use exectrace::{FlightRecorder, Trace, start_file_with, traced};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

#[traced]
#[inline(never)]
fn leaf() {
    std::hint::black_box(());
}

/// Threads that record once, and sleep until they may end.
struct Sleepers {
    over: Arc<(Mutex<bool>, Condvar)>,
    threads: Vec<JoinHandle<()>>,
}

impl Sleepers {
    fn new(count: usize) -> Self {
        let over = Arc::new((Mutex::new(false), Condvar::new()));
        let recorded = Arc::new((Mutex::new(0), Condvar::new()));
        let start = |_| {
            let (over, recorded) = (Arc::clone(&over), Arc::clone(&recorded));
            let sleep = move || {
                leaf();
                *recorded.0.lock().expect("nobody panics") += 1;
                recorded.1.notify_one();
                let mut is_over = over.0.lock().expect("nobody panics");
                while !*is_over {
                    is_over = over.1.wait(is_over).expect("nobody panics");
                }
            };
            // Small stacks, because there are many threads.
            thread::Builder::new().stack_size(32 << 10).spawn(sleep).expect("a thread")
        };
        let threads: Vec<_> = (0..count).map(start).collect();
        let mut so_far = recorded.0.lock().expect("nobody panics");
        while *so_far < count {
            so_far = recorded.1.wait(so_far).expect("nobody panics");
        }
        drop(so_far);
        Self { over, threads }
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        *self.over.0.lock().expect("nobody panics") = true;
        self.over.1.notify_all();
        for thread in self.threads.drain(..) {
            thread.join().expect("it only sleeps");
        }
    }
}

/// The CPU time and wake-ups of the recorder's own threads so far.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    cpu: Duration,
    wakes: u64,
}

impl Used {
    fn now() -> Self {
        let mut used = Self::default();
        for task in fs::read_dir("/proc/self/task").expect("the system has it").flatten() {
            let text = |name| fs::read_to_string(task.path().join(name)).unwrap_or_default();
            if !text("comm").starts_with("exectrace") {
                continue;
            }
            let nanos = text("schedstat").split(' ').next().and_then(|it| it.parse().ok());
            used.cpu += Duration::from_nanos(nanos.unwrap_or_default());
            let status = text("status");
            let wakes = status.lines().find_map(|line| {
                line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse::<u64>().ok()
            });
            used.wakes += wakes.unwrap_or_default();
        }
        used
    }
}

/// What records meanwhile.
enum On {
    Recorder(FlightRecorder),
    Trace(Trace),
}

fn begin(what: &str, dir: &Path) -> On {
    if what == "trace in a file" {
        let path = dir.join("idle.trace");
        return On::Trace(start_file_with(annotated(), path).expect("there is room"));
    }
    let recorder = FlightRecorder::builder().options(annotated()).start();
    let recorder = recorder.expect("none is running");
    if what == "recorder that watches" {
        recorder.on_slow("request", Duration::from_secs(1), dir).expect("a folder");
        recorder.on_panic(dir).expect("a folder");
        recorder.on_signal(dir).expect("a folder");
    }
    On::Recorder(recorder)
}

fn watch(what: &str, threads: usize, extent: Extent) {
    let dir = tempfile::tempdir().expect("a folder");
    let on = begin(what, dir.path());
    let sleepers = Sleepers::new(threads);
    // The first generations end early.
    thread::sleep(extent.idle.min(Duration::from_secs(3)));
    let bytes = || fs::metadata(dir.path().join("idle.trace")).map_or(0, |file| file.len());
    let (before, bytes_before, begin) = (Used::now(), bytes(), Instant::now());
    thread::sleep(extent.idle);
    let (after, bytes_after, took) = (Used::now(), bytes(), begin.elapsed().as_secs_f64());
    let per_second = (bytes_after - bytes_before) as f64 / took;
    let share = (after.cpu - before.cpu).as_secs_f64() / took * 100.0;
    let wakes = (after.wakes - before.wakes) as f64 / took;
    let name = format!("{what}, {threads} threads sleep");
    let goal = if threads >= 1_000 { "<= 1 %" } else { "" };
    let note = format!("of a core; {wakes:.1} wake-ups/s, {per_second:.0} bytes/s");
    row(&name, &format!("{share:.3} %"), goal, &note);
    match on {
        On::Recorder(recorder) => recorder.stop(),
        On::Trace(trace) => _ = trace.stop().expect("the disk takes it"),
    }
    drop(sleepers);
}

pub(crate) fn measure(extent: Extent) {
    for what in ["recorder", "recorder that watches", "trace in a file"] {
        for threads in [0, 1, 100] {
            watch(what, threads, extent);
        }
    }
    for what in ["recorder", "trace in a file"] {
        watch(what, extent.threads, extent);
    }
}
