//! `exectrace export --format perfetto`, from the outside: files, pipes, exit codes. What is in an
//! export is compared packet by packet beside the exporter.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use prost::Message;
use tempfile::TempDir;
use trace_export::perfetto::message::Trace;
use trace_format::batch::Compression;
use trace_format::testgen::{everything, tight_loops};

fn export(trace: &Path, out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_exectrace"));
    command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command.args(["export", "--format", "perfetto"]).arg(trace).arg("-o").arg(out);
    command
}

fn run(trace: &Path, out: &Path) -> Output {
    export(trace, out).output().expect("the command runs")
}

fn folder_with(trace: &[u8]) -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.trace");
    fs::write(&path, trace).expect("room");
    (folder, path)
}

#[test]
fn a_file_and_standard_output_get_the_same_bytes() {
    let (folder, trace) = folder_with(&tight_loops(3, 1000, Compression::Lz4));
    let target = folder.path().join("a.pftrace");
    let to_file = run(&trace, &target);
    assert_eq!((to_file.status.code(), to_file.stderr.as_slice()), (Some(0), &b""[..]));
    let written = fs::read(&target).expect("the export");
    let to_stdout = run(&trace, Path::new("-"));
    assert_eq!(to_stdout.status.code(), Some(0));
    assert!(to_stdout.stdout == written, "two exports of one trace differ");
    let decoded = Trace::decode(written.as_slice()).expect("protobuf");
    let events = decoded.packet.iter().filter(|packet| packet.track_event.is_some());
    assert_eq!(events.count(), 6000, "a begin and an end for each region");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let (_folder, trace) = folder_with(&tight_loops(1, 100_000, Compression::None));
    let mut command = export(&trace, Path::new("-"));
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command runs");
    let mut first = [0];
    child.stdout.take().expect("a pipe").read_exact(&mut first).expect("a byte");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn a_damaged_trace_is_exported_as_far_as_it_goes_and_loudly() {
    let mut bytes = everything(Compression::None);
    bytes.truncate(bytes.len() * 3 / 4);
    let (folder, trace) = folder_with(&bytes);
    let target = folder.path().join("a.pftrace");
    let output = run(&trace, &target);
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stderr.is_empty());
    let written = fs::read(&target).expect("the export");
    let decoded = Trace::decode(written.as_slice()).expect("protobuf");
    assert!(decoded.packet.iter().any(|packet| packet.track_event.is_some()));
}

#[test]
fn wrong_use_is_one_clear_line() {
    let (folder, trace) = folder_with(b"no trace at all, but long enough to be one");
    let target = folder.path().join("a.pftrace");
    let good = folder_with(&everything(Compression::None));
    for (trace, out) in [
        (trace.as_path(), target.as_path()),
        (Path::new("/nowhere/a.trace"), target.as_path()),
        (good.1.as_path(), Path::new("/nowhere/a.pftrace")),
    ] {
        let output = run(trace, out);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        // Names are looked for before an older export is emptied; the fault comes last.
        let faults = stderr.lines().filter(|line| !line.contains("no names for"));
        assert_eq!(faults.count(), 1, "{stderr}");
        assert!(output.stdout.is_empty());
    }
    assert!(!target.exists(), "nothing is created for a trace that can't be read");
}
