//! Stacks as callstacks that are written once and then referred to by number.
//!
//! A callstack is a list of frames; a frame is a function in a module. Inlined functions are frames
//! of their own. The trace's own stacks limit every table. A stack that the trace does not define
//! gives no callstack.
//!
//! Elsewhere: names of addresses (`trace_analysis::symbols`), other names by number (`intern`).

use trace_analysis::symbols::{self, Symbols};
use trace_format::id::StackId;
use trace_format::read::Tables;

use super::intern::Numbered;
use super::message::{Callstack, Frame, InternedData, Mapping};
use crate::hash::FastMap;

/// What identifies a frame: its address, the number of its function, and its line.
type FrameKey = (u64, u64, u32);

/// All tables of callstacks.
#[derive(Debug)]
pub(super) struct Stacks<'t> {
    tables: &'t Tables,
    symbols: &'t Symbols,
    callstacks: FastMap<StackId, u64>,
    frames: FastMap<FrameKey, u64>,
    mappings: FastMap<u64, u64>,
    functions: Numbered,
    sources: Numbered,
    paths: Numbered,
    build_ids: Numbered,
}

impl<'t> Stacks<'t> {
    pub(super) fn new(tables: &'t Tables, symbols: &'t Symbols) -> Self {
        let unbounded = || Numbered::new(usize::MAX);
        Self {
            tables,
            symbols,
            callstacks: FastMap::default(),
            frames: FastMap::default(),
            mappings: FastMap::default(),
            functions: unbounded(),
            sources: unbounded(),
            paths: unbounded(),
            build_ids: unbounded(),
        }
    }

    /// The number of a stack's callstack; new entries go to `fresh`.
    pub(super) fn number(&mut self, id: StackId, fresh: &mut InternedData) -> Option<u64> {
        if let Some(&number) = self.callstacks.get(&id) {
            return Some(number);
        }
        let stack = self.tables.stacks.get(&id).filter(|stack| !stack.addresses.is_empty())?;
        let shown = self.symbols.shown(&stack.addresses);
        let frames = shown.iter().rev().map(|frame| self.frame(frame, fresh)).collect();
        let number = self.callstacks.len() as u64 + 1;
        self.callstacks.insert(id, number);
        fresh.callstacks.push(Callstack { iid: Some(number), frame_ids: frames });
        Some(number)
    }

    fn frame(&mut self, frame: &symbols::Frame<'_>, fresh: &mut InternedData) -> u64 {
        let function = numbered(&mut self.functions, &frame.name, &mut fresh.function_names);
        let key = (frame.address, function, frame.line);
        if let Some(&number) = self.frames.get(&key) {
            return number;
        }
        let number = self.frames.len() as u64 + 1;
        self.frames.insert(key, number);
        let (mapping, bias) = self.mapping(frame.address, fresh);
        let has_place = !frame.file.is_empty();
        let path = |sources, fresh| numbered(sources, frame.file, fresh);
        let source = has_place.then(|| path(&mut self.sources, &mut fresh.source_paths));
        fresh.frames.push(Frame {
            iid: Some(number),
            function_name_id: Some(function),
            mapping_id: Some(mapping),
            rel_pc: Some(frame.address.wrapping_sub(bias)),
            source_path_iid: source,
            line_number: (frame.line > 0).then_some(frame.line),
        });
        number
    }

    /// The number of the module of an address, and its bias. Importers want a module for every
    /// frame, so an address outside all modules gets one without a path.
    fn mapping(&mut self, address: u64, fresh: &mut InternedData) -> (u64, u64) {
        let module = self.tables.module_at(address);
        let (first, last, bias) =
            module.map_or((0, 0, 0), |module| (module.first, module.last, module.bias));
        if let Some(&number) = self.mappings.get(&first) {
            return (number, bias);
        }
        let number = self.mappings.len() as u64 + 1;
        self.mappings.insert(first, number);
        let path = module.map_or("[unknown]", |module| module.path.as_str());
        let path = numbered(&mut self.paths, path, &mut fresh.mapping_paths);
        let id = module.map_or(&[][..], |module| &module.build_id);
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        fresh.mappings.push(Mapping {
            iid: Some(number),
            build_id: Some(numbered(&mut self.build_ids, &id, &mut fresh.build_ids)),
            start: Some(first),
            end: Some(last),
            load_bias: Some(0),
            path_string_ids: vec![path],
        });
        (number, bias)
    }
}

fn numbered(table: &mut Numbered, text: &str, fresh: &mut Vec<super::message::Interned>) -> u64 {
    table.number(text, fresh).expect("this table has no limit")
}
