//! Exported packets as lines of text, one for each event, with all numbers resolved.
//!
//! A line: nanoseconds since the trace's begin, track, `(` begin, `)` end, `!` instant or `=`
//! counter, and what the event says, `name [category] key=value @file:line ~flow`.

use std::collections::HashMap;
use std::fmt::Write;

use prost::Message;

use super::super::message::{
    CLOCK_MONOTONIC, DebugAnnotation, EventType, Interned, InternedData, Trace, TrackEvent,
};

/// Decodes `bytes` and draws their events. Tracks are called by their names; a child of a thread by
/// `thread/child`.
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
        if let Some(event) = &packet.track_event {
            let time = packet.timestamp.expect("a time");
            let mark =
                if packet.timestamp_clock_id == Some(CLOCK_MONOTONIC) { "late " } else { "" };
            clock = if mark.is_empty() { clock + time } else { clock };
            let time = if mark.is_empty() { clock } else { time };
            let track = &tracks[&event.track_uuid.or(default_track).expect("a track")];
            let since = time - origin;
            lines.push(format!("{mark}{since} {track} {}", names.event(event)));
        }
    }
    lines
}

#[derive(Default)]
struct Names {
    categories: HashMap<u64, String>,
    names: HashMap<u64, String>,
    arguments: HashMap<u64, String>,
    texts: HashMap<u64, String>,
    locations: HashMap<u64, String>,
}

impl Names {
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
