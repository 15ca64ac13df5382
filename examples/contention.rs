//! A shop that is slow, without one annotation: `contention [--out FILE]`, built with
//! `-p examples --features exectrace/full`.
//!
//! Four clerks book orders in a ledger behind a mutex. An auditor copies the ledger to disk, line
//! by line, and holds the mutex until the disk has it. A courier looks every millisecond whether
//! there is something to deliver, and a packer waits for parcels. Which of them makes the orders
//! slow? The trace shows it: the features `os`, `sched` and `heap` record threads, waits, system
//! calls and stacks.

use exectrace::Options;
use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: exectrace::Heap = exectrace::Heap::system();

/// Orders each clerk books.
const ORDERS: usize = 500;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("contention: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let out = out()?;
    // The trace has the names of functions, so it can still be read after a rebuild.
    let trace = exectrace::start_with(Options::new().names(true), File::create(&out)?)?;
    let begin = Instant::now();
    let slowest = Shop::default().open()?;
    let took = begin.elapsed();
    let report = trace.stop()?;

    println!("{} orders in {took:.0?}, the slowest took {slowest:.1?}", 4 * ORDERS);
    println!(
        "{}: {} events in {} bytes, {} dropped\n",
        out.display(),
        report.events,
        report.bytes,
        report.dropped_events
    );
    if report.threads == 0 {
        return Err("nothing was recorded: build it with `--features exectrace/full`".into());
    }
    println!("Why was it slow?   cargo run --release --bin exectrace -- explain {}", out.display());
    println!(
        "What was waited for?   cargo run --release --bin exectrace -- blocked {}",
        out.display()
    );
    println!(
        "What did each thread do?   cargo run --release --bin exectrace -- threads {}",
        out.display()
    );
    Ok(())
}

fn out() -> Result<PathBuf, String> {
    let mut words = std::env::args().skip(1);
    match (words.next().as_deref(), words.next()) {
        (None, _) => Ok(PathBuf::from("contention.trace")),
        (Some("--out"), Some(path)) => Ok(PathBuf::from(path)),
        _ => Err("usage: contention [--out FILE]".to_owned()),
    }
}

#[derive(Default)]
struct Shop {
    ledger: Mutex<Vec<String>>,
    parcels: AtomicUsize,
    closed: AtomicBool,
}

impl Shop {
    /// The slowest order.
    fn open(&self) -> Result<Duration, Box<dyn Error>> {
        let (sender, receiver) = channel();
        thread::scope(|scope| {
            let named = |name: &str| thread::Builder::new().name(name.to_owned());
            named("auditor").spawn_scoped(scope, || self.audit())?;
            named("courier").spawn_scoped(scope, || self.deliver())?;
            named("packer").spawn_scoped(scope, move || self.pack(&receiver))?;
            let mut clerks = Vec::new();
            for number in 1..=4 {
                let sender = sender.clone();
                let clerk = named(&format!("clerk-{number}"));
                clerks.push(clerk.spawn_scoped(scope, move || self.book_all(number, &sender))?);
            }
            drop(sender);
            let slowest = clerks.into_iter().map(|clerk| clerk.join().expect("no clerk panics"));
            let slowest = slowest.max().unwrap_or_default();
            self.closed.store(true, Ordering::Relaxed);
            Ok(slowest)
        })
    }

    fn book_all(&self, clerk: usize, parcels: &Sender<usize>) -> Duration {
        let mut slowest = Duration::ZERO;
        for order in 0..ORDERS {
            let begin = Instant::now();
            self.book(clerk, order);
            slowest = slowest.max(begin.elapsed());
            // The packer ends when the last sender is gone.
            let _ = parcels.send(order);
            prepare(order);
        }
        slowest
    }

    fn book(&self, clerk: usize, order: usize) {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.push(format!("clerk {clerk}: order {order}"));
    }

    /// The culprit: it writes to the disk while all others wait for the ledger.
    fn audit(&self) {
        while !self.closed.load(Ordering::Relaxed) {
            {
                let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
                save(&ledger).expect("the folder for temporary files takes the ledger");
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn pack(&self, orders: &Receiver<usize>) {
        while orders.recv().is_ok() {
            self.parcels.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn deliver(&self) {
        while !self.closed.load(Ordering::Relaxed) {
            self.parcels.swap(0, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The work of a clerk that does not need the ledger.
fn prepare(order: usize) -> u64 {
    let steps = 200_000 + order as u64;
    std::hint::black_box((0..steps).fold(0, |sum, step| sum ^ std::hint::black_box(step)))
}

fn save(ledger: &[String]) -> std::io::Result<()> {
    let path = std::env::temp_dir().join(format!("exectrace-ledger-{}", std::process::id()));
    let mut file = File::create(&path)?;
    for line in ledger {
        writeln!(file, "{line}")?;
    }
    file.sync_all()?;
    std::fs::remove_file(path)
}
