//! `exectrace profile`: stacks and what they cost, for `pprof`, as lines, or as a flame graph.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use trace_analysis::heap::{Heap, HeapOptions};
use trace_analysis::life::Lives;
use trace_analysis::profile::{ProfileKind, ProfileSample};
use trace_analysis::symbols::Symbols;
use trace_format::read::Tables;
use trace_format::time::Nanos;
use trace_profile::contents::{profile, why_empty};
use trace_profile::escape::plain;
use trace_profile::{Code, Profile};

use super::export::is_same;
use super::reading::{Reading, Source, parse_time, say_if_empty, symbols};
use super::{Failure, Verdict};
use crate::completeness::Completeness;
use crate::create::create;
use crate::output::{Output, advance, progress, say};
use crate::profile::{Format, write};
use crate::symbols::binaries;
use crate::units;

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The trace.
    file: PathBuf,
    /// What stacks are weighted by.
    #[arg(long, value_enum)]
    kind: Wanted,
    /// For whom.
    #[arg(long, value_enum, default_value_t = Format::Pprof)]
    format: Format,
    /// The file to write; - is standard output [default: named by the trace and the kind].
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// From this time on, since the trace's begin: 1.5s, 200ms, 30us.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<Nanos>,
    /// Until this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to: Option<Nanos>,
    /// Of the heap: what lives at this time [default: at the end].
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "to")]
    at: Option<Nanos>,
    /// Only the threads with this name, or the one with this id.
    #[arg(long, value_name = "NAME|ID")]
    thread: Option<String>,
    /// Leave out the functions of the standard library.
    #[arg(long)]
    no_std: bool,
    #[command(flatten)]
    binaries: binaries::Options,
}

/// What stacks are weighted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Wanted {
    /// All waiting.
    Block,
    /// Waiting for other threads: locks, conditions, channels, parking, joins.
    Sync,
    /// Waiting for locks.
    Lock,
    /// Waiting for sockets and pollers.
    Net,
    /// Waiting for files and pipes.
    Io,
    /// The time of all calls into the system.
    Syscall,
    /// Being able to run and having no CPU.
    Sched,
    /// Running, by samples.
    Cpu,
    /// Memory: live, and allocated.
    Heap,
}

impl Wanted {
    fn kind(self) -> ProfileKind {
        match self {
            Self::Block => ProfileKind::Block,
            Self::Sync => ProfileKind::Sync,
            Self::Lock => ProfileKind::Lock,
            Self::Net => ProfileKind::Net,
            Self::Io => ProfileKind::Io,
            Self::Syscall => ProfileKind::Syscall,
            Self::Sched => ProfileKind::Sched,
            Self::Cpu => ProfileKind::Cpu,
            Self::Heap => ProfileKind::Heap,
        }
    }
}

/// Writes the profile.
///
/// # Errors
/// If there is no trace, or the output can't be written.
pub fn run(arguments: &Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let reading = open(arguments)?;
    let tables = reading.file.tables();
    let symbols = symbols(&reading.file, &arguments.binaries)?;
    let summary = reading.summary(0, 0);
    say_if_empty(&reading, &summary);
    let kind = arguments.kind.kind();
    let (samples, sample_bytes, lives) = samples(&reading, arguments, &symbols);
    let verdict = Completeness::new(&reading.file, &summary, lives.as_ref()).warn();
    if samples.is_empty() {
        say(&why_empty(tables, kind));
    } else if kind == ProfileKind::Cpu && !has_frame_pointers(tables) {
        say("samples follow frame pointers, which this program was built without: callers are \
             missing or wrong; build it with RUSTFLAGS=\"-C force-frame-pointers=yes\"");
    }
    let profile = profile(tables, kind, &samples, sample_bytes, summary.from..summary.to);
    let modules = &tables.modules;
    let code = Code { symbols: &symbols, modules, without_std: arguments.no_std };
    if arguments.format == Format::Svg && samples.is_empty() {
        return Err(Failure::Usage("there is nothing to draw".to_owned()));
    }
    deliver(arguments, &profile, code, out)?;
    Ok(verdict)
}

fn open(arguments: &Arguments) -> Result<Reading, Failure> {
    if arguments.at.is_some() && arguments.kind != Wanted::Heap {
        return Err(Failure::Usage("--at is for --kind heap".to_owned()));
    }
    if arguments.thread.is_some() && arguments.kind == Wanted::Heap {
        // Memory is allocated by one thread and freed by another.
        return Err(Failure::Usage("--thread is not for --kind heap".to_owned()));
    }
    let (file, thread) = (arguments.file.clone(), arguments.thread.clone());
    let (from, to) = (arguments.from, arguments.at.or(arguments.to));
    Source { file, from, to, thread, json: false }.open()
}

/// The stacks with their weights, of a heap the bytes between samples, and the lives that were read
/// for it.
fn samples(
    reading: &Reading,
    arguments: &Arguments,
    symbols: &Symbols,
) -> (Vec<ProfileSample>, u64, Option<Lives>) {
    if arguments.kind == Wanted::Heap {
        // With a moment alone the window is the whole trace.
        let to = if arguments.at.is_some() { None } else { reading.to };
        let options = HeapOptions { from: reading.from, at: reading.to, to };
        let bar = progress(reading.file.bytes());
        let heap = Heap::read(&reading.file, &options, |progress| advance(&bar, progress));
        bar.finish_and_clear();
        return (heap.profile().samples, heap.sample_bytes, None);
    }
    let lives = reading.lives(symbols);
    let mut samples = lives.profile(arguments.kind.kind()).samples;
    let wants = |thread| reading.threads.is_empty() || reading.threads.contains(&thread);
    samples.retain(|sample| wants(sample.thread));
    (samples, 0, Some(lives))
}

/// Whether the recorder's own stacks followed them, which it prefers.
fn has_frame_pointers(tables: &Tables) -> bool {
    let stacks = tables.facilities.get("stacks");
    stacks.is_none_or(|stacks| stacks.note.starts_with("frame pointers"))
}

fn deliver(
    arguments: &Arguments,
    profile: &Profile<'_>,
    code: Code<'_>,
    out: &mut Output,
) -> Result<(), Failure> {
    let target = arguments.output.clone().unwrap_or_else(|| name_by(arguments));
    if target.as_os_str() == "-" {
        return Ok(write(profile, code, arguments.format, out)?);
    }
    if is_same(&arguments.file, &target) {
        return Err(Failure::Usage("the output would overwrite the trace".to_owned()));
    }
    let created = create(&target)?;
    write(profile, code, arguments.format, &mut BufWriter::new(created))?;
    let stacks = units::plural(profile.rows.len() as u64, "stack", "stacks");
    let open_with = match arguments.format {
        Format::Pprof => ": open it with go tool pprof",
        Format::Folded => "",
        Format::Svg => ": open it with a browser",
    };
    writeln!(out, "{stacks} in {}{open_with}", plain(&target.display().to_string(), 400))?;
    Ok(())
}

/// In the current folder: `app.trace` and `--kind block` give `app.block.pb.gz`.
fn name_by(arguments: &Arguments) -> PathBuf {
    let stem = arguments.file.file_stem().unwrap_or_default().to_string_lossy();
    let ending = match arguments.format {
        Format::Pprof => "pb.gz",
        Format::Folded => "folded",
        Format::Svg => "svg",
    };
    PathBuf::from(format!("{stem}.{}.{ending}", arguments.kind.kind().name()))
}
