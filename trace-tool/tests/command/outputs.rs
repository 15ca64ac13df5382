//! What commands write by a name from the command line costs nothing that was there before: not the
//! trace, by whatever name, and no older output if there will be no new one. And how much of a
//! recorder's own file is read.

use std::fs::{self, File};

use crate::common::{Bench, request, request_builder};
use trace_format::id::CallId;
use trace_format::survive::ring;
use trace_format::testgen::open_call;

/// A trace of which every file can be made: a thread sleeps in it.
fn with_a_wait() -> Vec<u8> {
    let mut trace = request_builder();
    trace.call(1, open_call(CallId::NANOSLEEP, 0, 0), 600_000, 100_000, 0);
    trace.stop(1_000_000)
}

#[test]
fn another_name_of_the_trace_or_of_its_memory_is_no_output() {
    let trace = with_a_wait();
    let bench = Bench::new(&trace);
    fs::hard_link(bench.path("a.trace"), bench.path("b.trace")).expect("a link");
    fs::write(bench.path("a.trace.live"), "memory").expect("it can be written");
    fs::hard_link(bench.path("a.trace.live"), bench.path("b.live")).expect("a link");
    for verb in ["recover", "symbolize", "export --format perfetto", "profile --kind block"] {
        for output in ["a.trace", "b.trace", "a.trace.live", "b.live"] {
            let run = bench.run(&format!("{verb} FILE -o {output}"));
            assert_eq!(run.code, Some(2), "{verb} {output}: {}{}", run.out, run.err);
            let said = run.err.contains("the output would overwrite the trace");
            assert!(said, "{verb} {output}: {}", run.err);
            let (kept, memory) = (fs::read(bench.path("b.trace")), fs::read(bench.path("b.live")));
            assert!(kept.is_ok_and(|kept| kept == trace), "{verb} {output}");
            assert!(memory.is_ok_and(|memory| memory == b"memory"), "{verb} {output}");
        }
        let run = bench.run(&format!("{verb} FILE -o elsewhere"));
        assert_eq!(run.code, Some(0), "{verb}: {}{}", run.out, run.err);
    }
}

#[test]
fn a_file_without_a_name_is_named_by_the_trace_and_the_command_says_where_it_is() {
    let bench = Bench::new(&with_a_wait());
    for (line, name) in [
        ("recover FILE", "a.recovered.trace"),
        ("symbolize FILE", "a.symbols.trace"),
        ("export FILE --format perfetto", "a.pftrace"),
        ("profile FILE --kind block", "a.block.pb.gz"),
        ("profile FILE --kind block --format folded", "a.block.folded"),
        ("profile FILE --kind block --format svg", "a.block.svg"),
        ("man", "man/man1"),
    ] {
        let run = bench.run(line);
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{line}");
        assert!(run.out.starts_with(&format!("wrote {name}: ")), "{line}: {}", run.out);
        assert!(bench.path(name).exists(), "{line}");
    }
    let run = bench.run("man -o -");
    assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "{}", run.err);
    assert!(run.err.contains("pages go to a folder"), "{}", run.err);
}

#[test]
fn an_older_output_stays_if_a_file_with_names_is_missing() {
    let bench = Bench::new(&request());
    for verb in ["symbolize", "export --format perfetto", "profile --kind block"] {
        fs::write(bench.path("older"), "good").expect("it can be written");
        let run = bench.run(&format!("{verb} FILE -o older --binary nowhere"));
        assert_eq!(run.code, Some(2), "{verb}: {}{}", run.out, run.err);
        let kept = fs::read_to_string(bench.path("older")).expect("it is there");
        assert_eq!(kept, "good", "{verb}");
    }
}

#[test]
fn a_recorders_file_that_is_too_large_is_refused_with_its_size_and_not_read() {
    let (bench, too_large) = (Bench::new(&ring::MAGIC), 5 << 30);
    // It has holes: no room is taken.
    let extend = |name: &str| {
        let file = File::options().write(true).create(true).truncate(false).open(bench.path(name));
        file.expect("it can be made").set_len(too_large).expect("it is sparse");
    };
    extend("a.trace");
    for verb in ["check", "recover", "events --raw"] {
        let run = bench.run(&format!("{verb} FILE"));
        assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "{verb}: {}", run.err);
        assert!(run.err.contains("it is larger than 4.29 GB"), "{verb}: {}", run.err);
    }
    fs::write(bench.path("a.trace"), request_builder().killed()).expect("it can be written");
    extend("a.trace.live");
    let run = bench.run("check FILE");
    assert_eq!(run.code, Some(1), "it has no end: {}", run.err);
    assert!(run.err.contains("not used: it is larger than 4.29 GB"), "{}", run.err);
}

#[test]
fn a_flight_recorders_file_with_a_damaged_header_is_told_from_other_files() {
    let mut bytes = ring::RingHeader::divide(1 << 20, 1).encode().to_vec();
    bytes[20] ^= 1;
    let run = Bench::new(&bytes).run("check FILE");
    assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "{}", run.err);
    assert!(run.err.contains("the file header is damaged"), "{}", run.err);
}
