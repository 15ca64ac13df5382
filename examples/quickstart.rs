//! A parallel code search that traces itself: `quickstart [--out FILE] [DIR] [PATTERN]`.
//!
//! One thread walks the folder as `.gitignore` allows and sends paths through a channel; workers
//! read the files and match them line by line. It is annotated as any program would be; at the end
//! it prints a summary of its own trace.

use exectrace::{Task, counter, instant, log, trace_region, traced};
use regex::bytes::Regex;
use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use trace_analysis::{Summary, Trace};
use trace_format::read::TraceFile;

/// Files larger than this are taken for data.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Maximum number of matching lines that are printed.
const SHOWN_MAX: usize = 5;

fn main() -> ExitCode {
    match Arguments::parse().and_then(|arguments| run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let search = Search::new(&arguments.dir, &arguments.pattern)?;
    println!("searching code for \"{}\", and tracing that:\n", arguments.pattern);
    // With the feature `full` the trace has stacks with the names of functions, so it can still be
    // read after a rebuild.
    let options = exectrace::Options::new().names(true);
    let trace = exectrace::start_with(options, File::create(&arguments.out)?)?;
    search.run()?;
    let report = trace.stop()?;

    search.print(arguments);
    println!(
        "\n{}: {} events in {} bytes, {} dropped, {:.1} ms of the tracer's own CPU time\n",
        arguments.out.display(),
        report.events,
        report.bytes,
        report.dropped_events,
        report.tracer_cpu.as_secs_f64() * 1e3,
    );
    print_summary(&arguments.out)?;
    let out = arguments.out.display();
    println!("\nWhy it took so long: exectrace explain {out}");
    println!("More of it:          exectrace summary {out}");
    println!("A picture:           exectrace export --format perfetto {out} -o quickstart.pftrace");
    println!("                     and open quickstart.pftrace at https://ui.perfetto.dev");
    println!("`exectrace` is installed by: cargo install --path trace-tool");
    Ok(())
}

/// A pattern, and the matches found so far.
struct Search {
    dir: PathBuf,
    pattern: Regex,
    /// Number of paths waiting in the channel.
    queued: AtomicUsize,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    files: usize,
    lines: usize,
    bytes: u64,
    matches: usize,
    shown: Vec<String>,
}

#[traced]
impl Search {
    fn new(dir: &Path, pattern: &str) -> Result<Self, regex::Error> {
        Ok(Self {
            dir: dir.to_owned(),
            pattern: Regex::new(pattern)?,
            queued: AtomicUsize::new(0),
            found: Mutex::default(),
        })
    }

    #[traced(err)]
    fn run(&self) -> Result<(), Box<dyn Error>> {
        let workers = thread::available_parallelism()?.get();
        let task = Task::new("search");
        let (sender, receiver) = mpsc::channel();
        let receiver = Mutex::new(receiver);
        thread::scope(|scope| {
            let _working = task.enter();
            let mut threads = Vec::new();
            for number in 1..=workers {
                let (task, receiver) = (task.clone(), &receiver);
                let builder = thread::Builder::new().name(format!("worker-{number}"));
                let work = move || {
                    let _working = task.enter();
                    self.work(receiver);
                };
                threads.push(builder.spawn_scoped(scope, work)?);
            }
            let walked = self.walk(&sender);
            drop(sender);
            for thread in threads {
                trace_region!("wait for a worker" => thread.join()).expect("no worker panics");
            }
            walked
        })
    }

    /// Sends every file below the folder that is not ignored.
    fn walk(&self, sender: &Sender<PathBuf>) -> Result<(), Box<dyn Error>> {
        let mut entries = ignore::Walk::new(&self.dir);
        while let Some(entry) = trace_region!("next entry" => entries.next()) {
            let entry = entry?;
            if entry.file_type().is_some_and(|kind| kind.is_file()) {
                self.note_queue(self.queued.fetch_add(1, Ordering::Relaxed) + 1);
                sender.send(entry.into_path())?;
            }
        }
        Ok(())
    }

    #[traced(skip)]
    fn note_queue(&self, paths: usize) {
        counter!("queue", paths);
    }

    fn work(&self, receiver: &Mutex<Receiver<PathBuf>>) {
        while let Ok(path) = trace_region!("wait for a path" => next(receiver)) {
            self.note_queue(self.queued.fetch_sub(1, Ordering::Relaxed) - 1);
            match self.search_file(&path) {
                Ok(found) => self.found.lock().expect("no worker panics").add(found),
                Err(error) => log!("io", "{}: {error}", self.short(&path).display()),
            }
        }
    }

    #[traced(args(path = %self.short(path).display()), err)]
    fn search_file(&self, path: &Path) -> Result<Found, std::io::Error> {
        let text = read(path)?;
        let mut found = Found { files: 1, bytes: text.len() as u64, ..Found::default() };
        for line in text.split(|&byte| byte == b'\n') {
            found.lines += 1;
            if self.is_match(line) {
                found.matches += 1;
                instant!("match", line = found.lines);
                let shown = String::from_utf8_lossy(line);
                let path = self.short(path).display();
                found.shown.push(format!("{path}:{}: {}", found.lines, shown.trim()));
            }
        }
        Ok(found)
    }

    /// A path relative to the folder that is searched.
    #[traced(skip)]
    fn short<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.dir).unwrap_or(path)
    }

    fn is_match(&self, line: &[u8]) -> bool {
        self.pattern.is_match(line)
    }

    #[traced(skip)]
    fn print(&self, arguments: &Arguments) {
        let found = self.found.lock().expect("no worker panics");
        for shown in found.shown.iter().take(SHOWN_MAX) {
            println!("{shown:.100}");
        }
        println!(
            "\"{}\" is in {} of {} lines, {} files, {} bytes",
            arguments.pattern, found.matches, found.lines, found.files, found.bytes,
        );
    }
}

impl Found {
    fn add(&mut self, other: Self) {
        self.files += other.files;
        self.lines += other.lines;
        self.bytes += other.bytes;
        self.matches += other.matches;
        let room = SHOWN_MAX.saturating_sub(self.shown.len());
        self.shown.extend(other.shown.into_iter().take(room));
    }
}

fn next(receiver: &Mutex<Receiver<PathBuf>>) -> Result<PathBuf, mpsc::RecvError> {
    receiver.lock().expect("no worker panics").recv()
}

/// The whole file; empty if it is too large for code.
#[traced]
fn read(path: &Path) -> Result<Vec<u8>, std::io::Error> {
    if fs::metadata(path)?.len() > FILE_BYTES_MAX { Ok(Vec::new()) } else { fs::read(path) }
}

/// Where the time went, from the trace that was just written.
fn print_summary(path: &Path) -> Result<(), Box<dyn Error>> {
    let file = TraceFile::open(File::open(path)?)?;
    let summary = Summary::read(&Trace::new(&file), |_| ());
    let ms = |nanos: u64| nanos as f64 / 1e6;
    println!(
        "{:<20} {:>9} {:>11} {:>11} {:>9}",
        "region", "count", "total ms", "self ms", "p99 us"
    );
    for region in &summary.regions {
        let name = file.tables().callsite(region.site).map_or("?", |site| site.name.as_str());
        let (total, own) = (ms(region.total.0), ms(region.self_time.0));
        let p99 = region.quantiles.p99.0 as f64 / 1e3;
        println!("{name:<20} {:>9} {total:>11.3} {own:>11.3} {p99:>9.1}", region.count);
    }
    Ok(())
}

struct Arguments {
    out: PathBuf,
    dir: PathBuf,
    pattern: String,
}

impl Arguments {
    fn parse() -> Result<Self, Box<dyn Error>> {
        let mut out = PathBuf::from("quickstart.trace");
        let mut places = Vec::new();
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            if word == "--out" {
                out = words.next().ok_or("--out wants a file")?.into();
            } else if word.starts_with('-') {
                return Err("usage: quickstart [--out FILE] [DIR] [PATTERN]".into());
            } else {
                places.push(word);
            }
        }
        let mut places = places.into_iter();
        let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let dir = places.next().unwrap_or_else(|| repository.to_owned());
        let pattern = places.next().unwrap_or_else(|| r"^\s+unsafe \{".to_owned());
        if places.next().is_some() {
            return Err("usage: quickstart [--out FILE] [DIR] [PATTERN]".into());
        }
        Ok(Self { out, dir: dir.into(), pattern })
    }
}
