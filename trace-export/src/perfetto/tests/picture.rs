//! Exported packets as lines of text, one for each event, with all numbers resolved.
//!
//! A line: nanoseconds since the trace's begin, track, `(` begin, `)` end, `!` instant or `=`
//! counter, and what the event says, `name [category] key=value @file:line ~flow <inner < outer>`.
//! A state of a thread: `thread % running on 0`. A sample: `thread ? <inner < outer> on 0`.

use std::collections::HashMap;
use std::fmt::Write;

use prost::Message;

use super::super::message::{
    CLOCK_MONOTONIC, DebugAnnotation, EventType, Interned, InternedData, Trace, TracePacket,
    TrackEvent,
};

/// Decodes `bytes` and prints their events in the order of time. Each line has the track's name, or
/// `thread/child` for a track below a thread.
pub(super) fn picture(bytes: &[u8]) -> Vec<String> {
    let trace = Trace::decode(bytes).expect("a trace");
    let first = &trace.packet[0];
    let defaults = first.trace_packet_defaults.clone().expect("defaults");
    let default_track = defaults.track_event_defaults.and_then(|event| event.track_uuid);
    let clocks = &first.clock_snapshot.as_ref().expect("clocks").clocks;
    let origin = clocks[0].timestamp();
    let mut clock = clocks[2].timestamp();
    let mut names = Names::default();
    let mut tracks = HashMap::new();
    let mut lines = Vec::new();
    for packet in &trace.packet {
        if let Some(data) = &packet.interned_data {
            names.add(data);
        }
        if let Some(track) = &packet.track_descriptor {
            let thread = track.thread.clone().and_then(|thread| thread.thread_name);
            let process = track.process.clone().and_then(|process| process.process_name);
            let name = track.name.clone().or(thread).or(process).expect("a name");
            let parent = tracks.get(&track.parent_uuid()).cloned().unwrap_or_default();
            // All tracks are below the process's.
            let name = if track.process.is_some() { String::new() } else { name };
            let path = format!("{parent}/{name}").trim_start_matches('/').to_owned();
            assert_eq!(tracks.insert(track.uuid(), path), None, "{track:?}");
        }
        let Some(text) = names.text(packet, &tracks, default_track) else { continue };
        let time = packet.timestamp.expect("a time");
        let is_late = packet.timestamp_clock_id == Some(CLOCK_MONOTONIC);
        clock = if is_late { clock } else { clock + time };
        let time = if is_late { time } else { clock };
        lines.push((time, format!("{} {text}", time - origin)));
    }
    // Resolved as importers do it.
    lines.sort_by_key(|(time, _)| *time);
    lines.into_iter().map(|(_, line)| line).collect()
}

#[derive(Default)]
struct Names {
    categories: HashMap<u64, String>,
    names: HashMap<u64, String>,
    arguments: HashMap<u64, String>,
    texts: HashMap<u64, String>,
    locations: HashMap<u64, String>,
    functions: HashMap<u64, String>,
    sources: HashMap<u64, String>,
    paths: HashMap<u64, String>,
    build_ids: HashMap<u64, String>,
    mappings: HashMap<u64, String>,
    frames: HashMap<u64, String>,
    callstacks: HashMap<u64, String>,
}

impl Names {
    fn text(
        &self,
        packet: &TracePacket,
        tracks: &HashMap<u64, String>,
        default_track: Option<u64>,
    ) -> Option<String> {
        if let Some(event) = &packet.track_event {
            let track = &tracks[&event.track_uuid.or(default_track).expect("a track")];
            return Some(format!("{track} {}", self.event(event)));
        }
        if let Some(state) = &packet.generic_kernel_task_state_event {
            let (name, cpu) = (state.comm(), state.cpu());
            let word = format!("{:?}", state.state()).to_lowercase();
            let on = if word == "running" { format!(" on {cpu}") } else { String::new() };
            return Some(format!("{name} {} % {word}{on}", state.tid()));
        }
        let sample = packet.perf_sample.as_ref()?;
        let stack = &self.callstacks[&sample.callstack_iid()];
        Some(format!("{} of {} ? {stack} on {}", sample.tid(), sample.pid(), sample.cpu()))
    }

    fn add_stacks(&mut self, data: &InternedData) {
        for mapping in &data.mappings {
            let path = &self.paths[&mapping.path_string_ids[0]];
            let text = format!("{path}({})", self.build_ids[&mapping.build_id()]);
            assert_eq!(self.mappings.insert(mapping.iid(), text), None, "{mapping:?}");
        }
        for frame in &data.frames {
            let mut text = self.functions[&frame.function_name_id()].clone();
            if let Some(source) = frame.source_path_iid {
                write!(text, "@{}:{}", self.sources[&source], frame.line_number()).expect("text");
            }
            let module = &self.mappings[&frame.mapping_id()];
            write!(text, " in {module}+{:#x}", frame.rel_pc()).expect("text");
            assert_eq!(self.frames.insert(frame.iid(), text), None, "{frame:?}");
        }
        for stack in &data.callstacks {
            let frames: Vec<_> =
                stack.frame_ids.iter().rev().map(|id| self.frames[id].as_str()).collect();
            let text = format!("<{}>", frames.join(" < "));
            assert_eq!(self.callstacks.insert(stack.iid(), text), None, "{stack:?}");
        }
    }

    fn add(&mut self, data: &InternedData) {
        let add = |table: &mut HashMap<u64, String>, items: &[Interned]| {
            for item in items {
                let old = table.insert(item.iid(), item.text().to_owned());
                assert_eq!(old, None, "{item:?} means two things");
            }
        };
        add(&mut self.categories, &data.event_categories);
        add(&mut self.names, &data.event_names);
        add(&mut self.arguments, &data.debug_annotation_names);
        add(&mut self.texts, &data.debug_annotation_string_values);
        add(&mut self.functions, &data.function_names);
        add(&mut self.sources, &data.source_paths);
        add(&mut self.paths, &data.mapping_paths);
        add(&mut self.build_ids, &data.build_ids);
        self.add_stacks(data);
        for place in &data.source_locations {
            let function = place.function_name.as_ref().map(|name| format!(" in {name}"));
            let text = format!(
                "{}:{}{}",
                place.file_name(),
                place.line_number(),
                function.unwrap_or_default()
            );
            assert_eq!(self.locations.insert(place.iid(), text), None, "{place:?}");
        }
    }

    fn event(&self, event: &TrackEvent) -> String {
        let mut line = String::new();
        line.push(match event.r#type() {
            EventType::SliceBegin => '(',
            EventType::SliceEnd => ')',
            EventType::Instant => '!',
            EventType::Counter => '=',
            EventType::Unspecified => '?',
        });
        let interned = event.name_iid.map(|name| self.names[&name].clone());
        for name in event.name.iter().chain(&interned) {
            write!(line, " {name}").expect("text");
        }
        for category in &event.category_iids {
            write!(line, " [{}]", self.categories[category]).expect("text");
        }
        for annotation in &event.debug_annotations {
            let name = &self.arguments[&annotation.name_iid()];
            write!(line, " {name}={}", self.value(annotation)).expect("text");
        }
        if let Some(place) = event.source_location_iid {
            write!(line, " @{}", self.locations[&place]).expect("text");
        }
        for flow in &event.flow_ids {
            write!(line, " ~{flow}").expect("text");
        }
        if let Some(id) = event.correlation_id {
            write!(line, " #{id}").expect("text");
        }
        if let Some(stack) = event.callstack_iid {
            write!(line, " {}", self.callstacks[&stack]).expect("text");
        }
        let values = [
            event.counter_value.map(|value| value.to_string()),
            event.double_counter_value.map(|value| format!("{value:?}")),
        ];
        for value in values.into_iter().flatten() {
            write!(line, " {value}").expect("text");
        }
        line
    }

    /// A value with its type: `1u`, `-1i`, `0.5`, `true`, `"text"`, `"text"*` if interned.
    fn value(&self, annotation: &DebugAnnotation) -> String {
        let a = annotation;
        let interned = a.string_value_iid.map(|text| format!("{:?}*", self.texts[&text]));
        let values = [
            a.bool_value.map(|value| value.to_string()),
            a.uint_value.map(|value| format!("{value}u")),
            a.int_value.map(|value| format!("{value}i")),
            a.double_value.map(|value| format!("{value:?}")),
            a.string_value.as_ref().map(|value| format!("{value:?}")),
            interned,
        ];
        let values: Vec<_> = values.into_iter().flatten().collect();
        assert_eq!(values.len(), 1, "{annotation:?}");
        values.concat()
    }
}
