//! Profiles as pprof reads them.
//!
//! Elsewhere: the real `pprof`, and other formats (`trace-tool/tests/command/profile.rs`).

mod common;

use std::collections::BTreeSet;

use common::sample::{decode, modules, profile, symbols, text};
use trace_export::profile::message::{self, Location};
use trace_export::profile::{Code, pprof};

fn written() -> Vec<u8> {
    let (symbols, modules) = (symbols(), modules());
    let code = Code { symbols: &symbols, modules: &modules, without_std: false };
    let mut out = Vec::new();
    pprof::write(&profile(), code, &mut out).expect("memory");
    out
}

fn decoded() -> message::Profile {
    decode(&written())
}

/// A location's functions, as `name:line`, innermost first.
fn functions(profile: &message::Profile, location: &Location) -> Vec<String> {
    let name = |id: u64| {
        let function = profile.function.iter().find(|function| function.id == id);
        text(profile, function.expect("a line's function is there").name)
    };
    location.line.iter().map(|line| format!("{}:{}", name(line.function_id), line.line)).collect()
}

#[test]
fn pprof_gets_stacks_innermost_first_with_threads_and_both_weights() {
    let profile = decoded();
    let sample = |sample: &message::Sample| {
        let locations = sample.location_id.iter();
        let of = |id: &u64| profile.location.iter().find(|it| it.id == *id).expect("it is there");
        let stack: Vec<_> = locations.flat_map(|id| functions(&profile, of(id))).collect();
        let label = &sample.label[0];
        assert_eq!(text(&profile, label.key), "thread");
        (text(&profile, label.str).to_owned(), stack, sample.value.clone())
    };
    let samples: BTreeSet<_> = profile.sample.iter().map(sample).collect();
    let locked =
        ["std::sync::Mutex<T>::lock:3", "app::lock:4", "app::work<[u8; 4]>:5", "app::main:6"];
    // The word after the end of the stack is no function.
    let unknown = ["libapp.so+0x50:0"];
    let expected = [
        // Without the recorder's functions, both stacks of the worker are equal.
        ("worker", locked.as_slice(), [4, 4_000_000]),
        ("main", locked.as_slice(), [2, 2_000_000]),
        ("main", unknown.as_slice(), [1, 500_000]),
        ("main", ["[no stack]:0"].as_slice(), [1, 7]),
    ];
    let expected = expected.map(|(thread, stack, values)| {
        let stack = stack.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        (thread.to_owned(), stack, values.to_vec())
    });
    assert_eq!(samples, BTreeSet::from(expected));
}

#[test]
fn pprof_is_told_what_it_needs_by_the_names_that_go_uses() {
    let profile = decoded();
    let kinds: Vec<_> =
        profile.sample_type.iter().map(|kind| text(&profile, kind.r#type)).collect();
    assert_eq!(kinds, ["contentions", "delay"]);
    let units: Vec<_> = profile.sample_type.iter().map(|kind| text(&profile, kind.unit)).collect();
    assert_eq!(units, ["count", "nanoseconds"]);
    assert_eq!(text(&profile, profile.default_sample_type), "delay");
    assert_eq!(profile.string_table[0], "");
    assert_eq!(
        (profile.time_nanos, profile.duration_nanos),
        (1_700_000_000_000_000_000, 5_000_000_000)
    );
    let distinct: BTreeSet<_> = profile.string_table.iter().collect();
    assert_eq!(distinct.len(), profile.string_table.len(), "each text stands there once");
}

#[test]
fn locations_lie_in_their_mappings_and_all_numbers_lead_somewhere() {
    let profile = decoded();
    let ids = |ids: Vec<u64>| assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>());
    ids(profile.location.iter().map(|location| location.id).collect());
    ids(profile.function.iter().map(|function| function.id).collect());
    ids(profile.mapping.iter().map(|mapping| mapping.id).collect());
    let app = &profile.mapping[0];
    assert_eq!(
        (text(&profile, app.filename), text(&profile, app.build_id)),
        ("/usr/bin/app", "ab00")
    );
    assert!(app.has_functions && app.has_filenames && app.has_line_numbers);
    assert!(app.has_inline_frames && !profile.mapping[1].has_inline_frames);
    for location in &profile.location {
        match location.mapping_id {
            0 => assert!([0, 0x9000].contains(&location.address)),
            id => {
                let mapping = &profile.mapping[id as usize - 1];
                let memory = mapping.memory_start..mapping.memory_limit;
                assert!(memory.contains(&location.address), "{location:?}");
            }
        }
        functions(&profile, location);
    }
}

#[test]
fn equal_profiles_are_equal_files() {
    assert!(written() == written());
}

#[test]
fn the_kernel_stands_inside_the_function_that_called_it() {
    let mut kernel = profile();
    kernel.rows.truncate(1);
    kernel.rows[0].is_kernel = true;
    let (symbols, modules) = (symbols(), modules());
    let code = Code { symbols: &symbols, modules: &modules, without_std: false };
    let mut out = Vec::new();
    pprof::write(&kernel, code, &mut out).expect("memory");
    let decoded = decode(&out);
    let [sample] = decoded.sample.as_slice() else { panic!("one sample") };
    let innermost = sample.location_id.iter().take(2).flat_map(|id| {
        let location = decoded.location.iter().find(|it| it.id == *id).expect("it is there");
        functions(&decoded, location)
    });
    let innermost: Vec<_> = innermost.take(2).collect();
    assert_eq!(innermost, ["[kernel]:0", "std::sync::Mutex<T>::lock:3"]);
}
