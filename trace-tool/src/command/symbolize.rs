//! `exectrace symbolize`: a trace that brings the names of its stacks along, so that it can be read
//! where the program's files are not.

use std::collections::BTreeSet;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::Args;
use trace_analysis::symbols::Symbols;
use trace_format::batch::Compression;
use trace_format::definition::{Definition, Function};
use trace_format::read::rewrite::{RewriteError, rewrite};
use trace_format::read::{ReadError, ReadErrorKind, Tables, TraceFile};
use trace_profile::escape::plain;

use super::export::is_same;
use super::reading::{Reading, open};
use super::{Failure, Verdict};
use crate::create::create;
use crate::output::Output;
use crate::symbols::{binaries, resolve_anew};
use crate::units;

/// What can be asked.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The trace.
    file: PathBuf,
    /// The trace to write; - is standard output [default: app.trace gives app.symbols.trace here].
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    #[command(flatten)]
    binaries: binaries::Options,
}

/// Writes the trace anew, with names.
///
/// # Errors
/// If there is no trace, a binary can't be read, or the output can't be written.
pub fn run(arguments: &Arguments, out: &mut Output) -> Result<Verdict, Failure> {
    let target = arguments.output.clone().unwrap_or_else(|| name_by(arguments));
    if is_same(&arguments.file, &target) {
        return Err(Failure::Usage("the output would overwrite the trace".to_owned()));
    }
    let reading = Reading::whole(open(&arguments.file)?);
    let file = &reading.file;
    let tables = file.tables();
    let addresses = addresses(tables);
    let (symbols, unnamed) = resolve_anew(file, &addresses, &arguments.binaries)?;
    let to_stdout = target.as_os_str() == "-";
    if to_stdout {
        put(arguments, file, &symbols, out)?;
    } else {
        let created = create(&target)?;
        put(arguments, file, &symbols, &mut BufWriter::with_capacity(1 << 18, created))?;
    }
    let verdict = reading.completeness().warn();
    if !to_stdout {
        let is_named = |address: &&u64| !symbols.functions(**address).is_empty();
        let named = addresses.iter().filter(is_named).count() as u64;
        let (named, all) = (units::count(named), addresses.len() as u64);
        let path = plain(&target.display().to_string(), 400);
        writeln!(out, "{named} of {} named in {path}", units::plural(all, "address", "addresses"))?;
    }
    let is_named = !unnamed.iter().any(|it| it.why.is_news());
    Ok(if is_named { verdict } else { Verdict::Faulty })
}

/// All addresses of a trace that can have names: of its stacks, and where its threads began.
fn addresses(tables: &Tables) -> BTreeSet<u64> {
    let stacks = tables.stacks.values().flat_map(|stack| stack.addresses.iter().copied());
    let entries = tables.threads.values().map(|thread| thread.entry);
    stacks.chain(entries.filter(|entry| *entry != 0)).collect()
}

/// Writes the trace, and behind it the names that it does not have.
fn put(
    arguments: &Arguments,
    file: &TraceFile<super::reading::Bytes>,
    symbols: &Symbols,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let known = &file.tables().symbols;
    let is_known =
        |address, functions| known.get(&address).is_some_and(|known| known.as_slice() == functions);
    let new = symbols.iter().filter(|&(address, functions)| !is_known(address, functions));
    let definitions = new.map(|(address, functions)| {
        let functions = functions.iter().map(|function| Function {
            name: function.name.as_bytes(),
            file: function.file.as_bytes(),
            line: function.line,
        });
        Definition::Symbol { address, functions: functions.collect() }
    });
    rewrite(file, definitions, Compression::Lz4, out).map_err(|error| match error {
        RewriteError::Write(error) => Failure::Output(error),
        RewriteError::Read { offset, source } => {
            let error = ReadError::new(offset, ReadErrorKind::Io(source));
            Failure::Trace(arguments.file.clone(), error)
        }
        other => Failure::Usage(other.to_string()),
    })?;
    Ok(out.flush()?)
}

fn name_by(arguments: &Arguments) -> PathBuf {
    let stem = arguments.file.file_stem().unwrap_or_default().to_string_lossy();
    PathBuf::from(format!("{stem}.symbols.trace"))
}
