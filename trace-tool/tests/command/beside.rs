//! What lies beside a trace under the name of its process's memory is used only if it is that.

use std::os::unix::fs::symlink;
use std::process::Command;

use crate::common::{Bench, Run, check, request, request_builder};
use trace_format::batch::Compression;
use trace_format::definition::ResourceKind;
use trace_format::id::CallId;
use trace_format::survive::PAGE_BYTES;
use trace_format::survive::live::LiveHeader;
use trace_format::testgen::{TraceBuilder, open_call};
use trace_tool::source::beside::part_before;

/// A trace whose process was killed; the process's number is 1.
fn killed() -> Bench {
    Bench::new(&request_builder().killed())
}

/// A file without batches, of this process.
fn live(process: u64) -> Vec<u8> {
    let mut bytes = LiveHeader { process }.encode().to_vec();
    bytes.resize(2 * PAGE_BYTES, 0);
    bytes
}

/// Fails unless the trace was read without what lies beside it, and that was said.
#[track_caller]
fn check_refused(run: &Run, why: &str) {
    assert_eq!(run.code, Some(1), "it has no end: {}", run.err);
    assert!(run.out.contains("NOT ENDED"), "{}", run.out);
    assert!(run.err.contains("a.trace.live: not used: "), "{}", run.err);
    assert!(run.err.contains(why) && !run.err.contains("recovered"), "{}", run.err);
}

#[test]
fn the_process_s_own_file_is_used_without_a_word_against_it() {
    let bench = killed();
    std::fs::write(bench.path("a.trace.live"), live(1)).expect("it can be written");
    let run = bench.run("check FILE");
    assert!(run.err.contains("recovered: 0 events"), "{}", run.err);
    assert!(!run.err.contains("not used"), "{}", run.err);
}

#[test]
fn another_process_s_file_is_refused() {
    let bench = killed();
    std::fs::write(bench.path("a.trace.live"), live(2)).expect("it can be written");
    check_refused(&bench.run("check FILE"), "process 2 wrote it, and process 1 the trace");
}

#[test]
fn what_is_no_plain_file_is_refused_and_not_waited_for() {
    let bench = killed();
    let path = bench.path("a.trace.live");
    let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo runs");
    assert!(made.success());
    // Nobody writes into the pipe: to open it would take forever.
    check_refused(&bench.run("check FILE"), "it is not a plain file");
    std::fs::remove_file(&path).expect("it is there");
    std::fs::write(bench.path("elsewhere"), live(1)).expect("it can be written");
    symlink(bench.path("elsewhere"), &path).expect("a link");
    check_refused(&bench.run("check FILE"), "it is not a plain file");
    std::fs::remove_file(&path).expect("it is there");
    std::fs::create_dir(&path).expect("a folder");
    check_refused(&bench.run("check FILE"), "it is not a plain file");
}

#[test]
fn other_bytes_are_refused() {
    let bench = killed();
    std::fs::write(bench.path("a.trace.live"), "mine").expect("it can be written");
    check_refused(&bench.run("check FILE"), "it is no file of a recorder");
}

#[test]
fn a_part_under_two_names_is_read_once_and_that_is_said() {
    let bench = Bench::new(&request_builder().stop(1_000_000));
    let alone = bench.run("check FILE");
    assert!(!alone.err.contains("one file"), "{}", alone.err);
    // As a process leaves them that is killed between the link and the renaming.
    let numbered = bench.path("a.000001.trace");
    std::fs::hard_link(bench.path("a.trace"), &numbered).expect("a link");
    for command in ["check FILE", "recover FILE"] {
        let run = bench.run(command);
        let said = "a.000001.trace are one file: what is in it counts once";
        assert!(run.err.contains(said), "{command}: {}", run.err);
    }
    assert_eq!(part_before(&bench.path("a.trace")), None, "it is not before itself");
    std::fs::write(bench.path("a.000000.trace"), "").expect("it can be written");
    assert_eq!(part_before(&bench.path("a.trace")), Some(bench.path("a.000000.trace")));
}

/// Process 1 waits for the processes 1235 and 1236, of which it has started the first.
fn parent() -> Vec<u8> {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.facility("os", true, "");
    trace.thread(1, "main");
    trace.resource(1, ResourceKind::Process, 1236, "");
    trace.call(1, open_call(CallId::POSIX_SPAWN, 0, 0), 1_000, 1_000, 1235);
    trace.call(1, open_call(CallId::WAIT4, 0, 0), 10_000, 400_000_000, 1235);
    trace.call(1, open_call(CallId::WAIT4, 1, 0), 500_000_000, 400_000_000, 1236);
    trace.stop(1_000_000_000)
}

#[test]
fn traces_of_child_processes_are_named() {
    let bench = Bench::new(&parent());
    let advice = "with %p in the name, as in EXECTRACE=out.%p.trace, each process that has";
    check(&bench.run("explain FILE"), &["in this trace\n", advice]);
    let own = bench.path("out.1.trace");
    std::fs::copy(bench.path("a.trace"), &own).expect("it can be copied");
    check(&bench.run("explain out.1.trace"), &["no trace of theirs lies beside this one: "]);
    // One of a stranger, one that is no trace, and one that is older.
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(bench.path(name), bytes).expect("it can be written");
    };
    write("out.77.trace", &request());
    write("out.1236.trace", b"mine, and longer than the header of a trace is");
    write("child-1235-old.trace", &request());
    let old = std::fs::File::open(bench.path("child-1235-old.trace")).expect("it is there");
    let before = std::time::UNIX_EPOCH - std::time::Duration::from_secs(1);
    old.set_modified(before).expect("it is ours");
    check(&bench.run("explain out.1.trace"), &["no trace of theirs lies beside this one: "]);
    write("out.1235.trace", &request());
    write("other-1236.trace", &request());
    let named = "their own traces lie beside this one: other-1236.trace, out.1235.trace\n";
    check(&bench.run("explain out.1.trace"), &[named]);
}
