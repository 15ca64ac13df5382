//! Profiles over real sockets, as pprof reads them.

mod common;

use std::io::Read;
use std::sync::Arc;

use common::{Answer, Program, alone, get, until};
use exectrace::{FlightRecorder, Options};
use flate2::read::GzDecoder;
use prost::Message;
use trace_export::profile::message;
use trace_http::{Config, Listener, serve};

#[global_allocator]
static HEAP: exectrace::Heap = exectrace::Heap::system();

fn listen(config: Config) -> Listener {
    serve("127.0.0.1:0", config).expect("a port is free")
}

fn decode(answer: &Answer) -> message::Profile {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.whole);
    let mut bytes = Vec::new();
    GzDecoder::new(answer.body.as_slice()).read_to_end(&mut bytes).expect("gzip");
    message::Profile::decode(bytes.as_slice()).expect("protobuf")
}

fn kinds(profile: &message::Profile) -> Vec<&str> {
    let text = |at: i64| profile.string_table[usize::try_from(at).expect("a place")].as_str();
    profile.sample_type.iter().map(|kind| text(kind.r#type)).collect()
}

fn names_function(profile: &message::Profile, part: &str) -> bool {
    profile.string_table.iter().any(|text| text.contains(part))
}

#[test]
fn waits_and_waits_for_locks_have_their_functions() {
    let _alone = alone();
    let (listener, _program) = (listen(Config::new()), Program::start());
    let block = get(listener.address(), "/debug/pprof/block?seconds=0.5");
    assert!(block.header("content-disposition").expect("a name").contains(".block.pb.gz"));
    let block = decode(&block);
    assert_eq!(kinds(&block), ["contentions", "delay"]);
    assert!(names_function(&block, "common::hold"), "{:?}", block.string_table);
    assert!(names_function(&block, "::sleep"), "sleeping is waiting");
    let mutex = decode(&get(listener.address(), "/debug/pprof/mutex?seconds=0.5"));
    assert!(names_function(&mutex, "common::hold"), "{:?}", mutex.string_table);
    assert!(!names_function(&mutex, "::sleep"), "but not waiting for a lock");
    // The recording's own thread waits for the end of the recording.
    let of_condvar = "Condvar";
    assert!(names_function(&block, of_condvar) && !names_function(&mutex, of_condvar));
    assert!(mutex.duration_nanos > 400_000_000, "{}", mutex.duration_nanos);
}

#[test]
fn the_heap_has_live_and_allocated_memory() {
    let _alone = alone();
    let config = Config::new().options(Options::new().heap_sample_bytes(1));
    let (listener, _program) = (listen(config), Program::start());
    let heap = decode(&get(listener.address(), "/debug/pprof/heap?seconds=0.2"));
    assert_eq!(kinds(&heap), ["alloc_objects", "alloc_space", "inuse_objects", "inuse_space"]);
    assert!(!heap.sample.is_empty());
}

#[test]
fn the_cpu_is_sampled_where_the_kernel_allows_it() {
    let _alone = alone();
    let (listener, _program) = (listen(Config::new()), Program::start());
    let answer = get(listener.address(), "/debug/pprof/profile?seconds=0.5");
    if answer.status == 404 {
        assert!(answer.text().contains("`samples` was off"), "{}", answer.text());
        return;
    }
    let cpu = decode(&answer);
    assert_eq!(kinds(&cpu), ["samples", "cpu"]);
    assert!(!cpu.sample.is_empty());
}

#[test]
fn a_flight_recorder_has_profiles_of_what_it_was_told_to_record() {
    let _alone = alone();
    let bare = listen(Config::new());
    assert_eq!(get(bare.address(), "/debug/pprof/block?from=snapshot").status, 404);
    let recorder = Arc::new(FlightRecorder::start().expect("none is running"));
    let (listener, program) = (listen(Config::new().recorder(recorder)), Program::start());
    until("it is in a profile", || {
        let block = decode(&get(listener.address(), "/debug/pprof/block?from=snapshot"));
        names_function(&block, "common::hold")
    });
    let cpu = get(listener.address(), "/debug/pprof/profile?from=snapshot");
    assert_eq!(cpu.status, 404, "it was told nothing of samples");
    assert!(cpu.text().contains("Options::cpu_samples"), "{}", cpu.text());
    let both = get(listener.address(), "/debug/pprof/block?from=snapshot&seconds=1");
    assert_eq!(both.status, 400);
    drop(program);
}

/// Profiles are made one at a time, so that many requests use one core and the memory of one.
#[test]
fn many_profiles_of_a_flight_recorder_at_once_are_all_made() {
    let _alone = alone();
    let recorder = Arc::new(FlightRecorder::start().expect("none is running"));
    let config = Config::new().recorder(recorder);
    let (listener, _program) = (listen(config), Program::start());
    let address = listener.address();
    let ask = move || get(address, "/debug/pprof/block?from=snapshot");
    let clients: Vec<_> = (0..4).map(|_| std::thread::spawn(ask)).collect();
    for client in clients {
        decode(&client.join().expect("no panic"));
    }
}
