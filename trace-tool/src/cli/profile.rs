//! `exectrace profile`: stacks and what they cost, for `pprof`, as lines, or as a flame graph.

use std::io::BufWriter;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use trace_analysis::profile::ProfileKind;
use trace_export::profile::Code;
use trace_export::profile::contents::profile;
use trace_format::time::Nanos;

use super::{named_by, parse_time};
use crate::answer::profile::{ProfileAnswer, ProfileAsk};
use crate::answer::{Question, Selection};
use crate::create::{create_beside, is_stdout};
use crate::error::{Failure, Verdict};
use crate::output::Output;
use crate::profile::{Format, write};
use crate::symbols::binaries;
use crate::text;

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The trace; - is standard input.
    file: PathBuf,
    /// What stacks are weighted by.
    #[arg(long, value_parser = kinds())]
    kind: ProfileKind,
    /// The format of the profile.
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

/// Takes a kind by its name; help says what each is.
fn kinds() -> impl TypedValueParser<Value = ProfileKind> {
    let value = |kind: ProfileKind| PossibleValue::new(kind.name()).help(kind.what());
    PossibleValuesParser::new(ProfileKind::ALL.map(value))
        .map(|name| ProfileKind::by_name(&name).expect("only names of kinds are let through"))
}

/// Writes the profile.
///
/// # Errors
/// If there is no trace, nothing of the kind in it, or the output can't be written.
pub fn run(arguments: Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let target = arguments.target();
    let Arguments { file, kind, format, from, to, at, thread, no_std, binaries, .. } = arguments;
    let question = Question { file, part: Selection { from, to, thread }, naming: binaries };
    let answer = ProfileAnswer::read(&question, ProfileAsk { kind, at })?;
    let subject = &answer.subject;
    let verdict = text::warn(&subject.missing);
    if answer.samples.is_empty() {
        text::say_if_empty(subject);
        return Err(Failure::Usage(text::profile::why_empty(&answer, kind)));
    }
    text::profile::say_doubts(&answer);
    let tables = subject.reading.file.tables();
    let window = subject.from..subject.to;
    let profile = profile(tables, kind, &answer.samples, answer.sample_bytes, window);
    let modules = &tables.modules;
    let code = Code { symbols: &subject.symbols, modules, without_std: no_std };
    if is_stdout(&target) {
        write(&profile, code, format, out)?;
        return Ok(verdict);
    }
    let created = create_beside(&question.file, &target)?;
    write(&profile, code, format, &mut BufWriter::new(created))?;
    text::profile::print_written(profile.rows.len(), &target, format, out)?;
    Ok(verdict)
}

impl Arguments {
    /// In the current folder if nothing is said: `app.trace` and `--kind block` give
    /// `app.block.pb.gz`.
    fn target(&self) -> PathBuf {
        let ending = match self.format {
            Format::Pprof => "pb.gz",
            Format::Folded => "folded",
            Format::Svg => "svg",
        };
        let ending = format!("{}.{ending}", self.kind.name());
        self.output.clone().unwrap_or_else(|| named_by(&self.file, &ending))
    }
}
