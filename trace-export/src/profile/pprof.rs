//! Profiles for `pprof`: gzipped `profile.proto`, with inlined functions, lines, build ids, and the
//! thread as a label of every sample.
//!
//! Types and units have the names of Go's profiles, so that habits and scripts carry over. A
//! function without a name is shown as `libfoo.so+0x1234`. Equal profiles give equal bytes.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::io::{self, Write};

use flate2::{Compression, GzBuilder};
use prost::Message;
use trace_analysis::symbols::Frame;

use super::message::{self, Function, Label, Line, Location, Mapping, Sample, ValueType};
use super::{Code, KERNEL, Kind, NO_STACK, Profile};

/// Writes a profile, gzipped.
///
/// # Errors
/// If it can't be written.
pub fn write(profile: &Profile<'_>, code: Code<'_>, out: &mut dyn Write) -> io::Result<()> {
    let bytes = encode(profile, code).encode_to_vec();
    // The gzip header has no time, so that equal profiles give equal files.
    let mut gzip = GzBuilder::new().write(out, Compression::default());
    gzip.write_all(&bytes)?;
    gzip.finish()?.flush()
}

/// A profile as pprof's message.
#[must_use]
pub fn encode(profile: &Profile<'_>, code: Code<'_>) -> message::Profile {
    let mut tables = Tables::new(code);
    let mut samples = BTreeMap::<(Vec<u64>, &str), [u64; 4]>::new();
    for row in &profile.rows {
        let mut locations = tables.locations(row.addresses);
        if row.is_kernel {
            let line = Line { function_id: tables.function(KERNEL, ""), line: 0 };
            locations.insert(0, tables.location_of(0, 0, vec![line]));
        }
        let sum = samples.entry((locations, &row.thread)).or_default();
        for (sum, value) in sum.iter_mut().zip(row.values) {
            *sum = sum.saturating_add(value);
        }
    }
    let key = tables.text("thread");
    let mut out = message::Profile::default();
    for ((location_id, thread), values) in samples {
        let value = values[..profile.kinds.len()].iter().map(|value| signed(*value)).collect();
        let label = Label { key, str: tables.text(thread) };
        let label = if thread.is_empty() { Vec::new() } else { vec![label] };
        out.sample.push(Sample { location_id, value, label });
    }
    out.sample_type = profile.kinds.iter().map(|kind| tables.kind(*kind)).collect();
    out.default_sample_type = tables.text(profile.kinds[profile.shown].name);
    out.period_type = Some(tables.kind(profile.period.0));
    out.period = signed(profile.period.1);
    out.time_nanos = signed(profile.wall.0);
    out.duration_nanos = signed(profile.length.0);
    out.comment = vec![tables.text(&profile.title)];
    out.mapping = tables.mappings;
    out.location = tables.locations;
    out.function = tables.functions;
    out.string_table = tables.texts;
    out
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The tables whose entries samples refer to by number.
struct Tables<'a> {
    code: Code<'a>,
    /// One for each module, in the same order; the id is the index plus one.
    mappings: Vec<Mapping>,
    mappings_by: HashMap<u64, usize>,
    locations: Vec<Location>,
    locations_by: HashMap<(u64, Vec<Line>), u64>,
    functions: Vec<Function>,
    functions_by: HashMap<(i64, i64), u64>,
    texts: Vec<String>,
    texts_by: HashMap<String, i64>,
}

impl<'a> Tables<'a> {
    fn new(code: Code<'a>) -> Self {
        let mut tables = Self {
            code,
            mappings: Vec::new(),
            mappings_by: HashMap::new(),
            locations: Vec::new(),
            locations_by: HashMap::new(),
            functions: Vec::new(),
            functions_by: HashMap::new(),
            texts: Vec::new(),
            texts_by: HashMap::new(),
        };
        // The first text must be the empty one.
        tables.text("");
        for (at, module) in code.modules.values().enumerate() {
            tables.mappings_by.insert(module.first, at);
            let filename = tables.text(&module.path);
            let build_id = tables.text(&hex(&module.build_id));
            tables.mappings.push(Mapping {
                id: at as u64 + 1,
                memory_start: module.first,
                memory_limit: module.last,
                // Chosen so that `address - memory_start + file_offset` is the address in the file.
                file_offset: module.first.wrapping_sub(module.bias),
                filename,
                build_id,
                ..Mapping::default()
            });
        }
        tables
    }

    /// The locations of a stack, innermost first: one for each address, with a line for each
    /// function shown for it.
    fn locations(&mut self, addresses: &[u64]) -> Vec<u64> {
        let frames = self.code.frames(addresses);
        let mut locations = Vec::with_capacity(addresses.len());
        // Frames of one address are neighbours. The last of them is the one that is not inlined,
        // unless that one is left out.
        let of_one = |one: &Frame<'_>, next: &Frame<'_>| one.inlined && one.address == next.address;
        for frames in frames.chunk_by(of_one) {
            locations.push(self.location(frames));
        }
        if locations.is_empty() {
            // `pprof` does not count samples without a location.
            let line = Line { function_id: self.function(NO_STACK, ""), line: 0 };
            locations.push(self.location_of(0, 0, vec![line]));
        }
        locations
    }

    fn location(&mut self, frames: &[Frame<'_>]) -> u64 {
        let address = frames[0].address;
        let module = self.code.symbols.module(address);
        let mapping = module.and_then(|module| self.mappings_by.get(&module.first)).copied();
        let line = |frame: &Frame<'_>| Line {
            function_id: self.function(&frame.name, frame.file),
            line: frame.line.into(),
        };
        let lines: Vec<_> = frames.iter().map(line).collect();
        if let Some(mapping) = mapping {
            let mapping = &mut self.mappings[mapping];
            mapping.has_functions |= frames.iter().any(|frame| frame.named);
            mapping.has_filenames |= frames.iter().any(|frame| !frame.file.is_empty());
            mapping.has_line_numbers |= frames.iter().any(|frame| frame.line > 0);
            mapping.has_inline_frames |= frames.iter().any(|frame| frame.inlined);
        }
        self.location_of(address, mapping.map_or(0, |at| at as u64 + 1), lines)
    }

    fn location_of(&mut self, address: u64, mapping_id: u64, lines: Vec<Line>) -> u64 {
        let id = self.locations.len() as u64 + 1;
        *self.locations_by.entry((address, lines)).or_insert_with_key(|(address, lines)| {
            let (address, line) = (*address, lines.clone());
            self.locations.push(Location { id, mapping_id, address, line });
            id
        })
    }

    fn function(&mut self, name: &str, file: &str) -> u64 {
        let (name, filename) = (self.text(name), self.text(file));
        let id = self.functions.len() as u64 + 1;
        *self.functions_by.entry((name, filename)).or_insert_with(|| {
            // No system name is set: otherwise `pprof` removes type arguments from `name`, and of
            // `<A as B>::call_once` only `::call_once` is left.
            self.functions.push(Function { id, name, system_name: 0, filename });
            id
        })
    }

    fn kind(&mut self, kind: Kind) -> ValueType {
        ValueType { r#type: self.text(kind.name), unit: self.text(kind.unit) }
    }

    fn text(&mut self, text: &str) -> i64 {
        if let Some(at) = self.texts_by.get(text) {
            return *at;
        }
        let at = self.texts.len() as i64;
        self.texts.push(text.to_owned());
        self.texts_by.insert(text.to_owned(), at);
        at
    }
}

/// A build id as pprof has it.
fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
