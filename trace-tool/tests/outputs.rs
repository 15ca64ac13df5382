//! What commands write by a name from the command line costs nothing that was there before: not the
//! trace, by whatever name, and no older output if there will be no new one.
#![cfg(unix)]

mod common;

use std::fs;

use common::{Bench, request};

#[test]
fn another_name_of_the_trace_or_of_its_memory_is_no_output() {
    let trace = request();
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
