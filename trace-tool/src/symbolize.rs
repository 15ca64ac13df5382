//! A trace that brings the names of its stacks along, so that it can be read where the program's
//! files are not.

use std::io::{BufWriter, Write};
use std::path::Path;

use trace_analysis::symbols::Symbols;
use trace_format::batch::Compression;
use trace_format::definition::{Definition, Function};
use trace_format::read::rewrite::rewrite;

use crate::answer::Reading;
use crate::create::{create_beside, is_stdout, print_written};
use crate::error::{Failure, Verdict};
use crate::label::units;
use crate::output::Output;
use crate::symbols::{addresses, binaries, resolve_anew};
use crate::text;

/// Writes the trace `path` anew to `target`, with names; `-` is standard output.
///
/// # Errors
/// If there is no trace, a binary can't be read, or the output can't be written.
pub fn run(
    path: &Path,
    target: &Path,
    naming: &binaries::Options,
    out: &mut Output,
) -> Result<Verdict, Failure> {
    let reading = Reading::whole(path)?;
    let addresses = addresses(reading.file.tables());
    let (symbols, unnamed) = resolve_anew(&reading.file, &addresses, naming)?;
    let to_stdout = is_stdout(target);
    if to_stdout {
        put(&reading, &symbols, out)?;
    } else {
        let created = create_beside(path, target)?;
        put(&reading, &symbols, &mut BufWriter::with_capacity(1 << 18, created))?;
    }
    let verdict = text::warn(&reading.completeness());
    if !to_stdout {
        let is_named = |address: &&u64| !symbols.functions(**address).is_empty();
        let named = units::count(addresses.iter().filter(is_named).count() as u64);
        let all = units::plural(addresses.len() as u64, "address", "addresses");
        print_written(target, &format!("names for {named} of {all}"), out)?;
    }
    let is_named = !unnamed.iter().any(|it| it.why.is_news());
    Ok(if is_named { verdict } else { Verdict::Faulty })
}

/// Writes the trace, and behind it the names that it does not have.
fn put(reading: &Reading, symbols: &Symbols, out: &mut impl Write) -> Result<(), Failure> {
    let known = &reading.file.tables().symbols;
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
    let written = rewrite(&reading.file, definitions, Compression::Lz4, out);
    written.map_err(|error| Failure::of_rewrite(&reading.path, error))?;
    Ok(out.flush()?)
}
