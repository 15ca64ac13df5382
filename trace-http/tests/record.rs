//! The command `record` against the pages, and against servers that are not exectrace's.
//!
//! The command is this test program, run once more, so that the test sees its exit code and output.

mod common;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use common::{Program, alone, leaf, regions};
use exectrace::FlightRecorder;
use tempfile::TempDir;
use trace_format::read::TraceFile;
use trace_http::{Config, serve};

/// The command's arguments, one per line.
const WORDS: &str = "EXECTRACE_TEST_WORDS";

/// The result of a run.
struct Run {
    out: String,
    err: String,
    code: Option<i32>,
}

/// Not a test: runs the command itself if [`WORDS`] is set.
#[test]
fn as_the_command() {
    let Ok(words) = std::env::var(WORDS) else { return };
    let words = ["exectrace"].into_iter().chain(words.lines()).map(OsString::from);
    let code = trace_tool::run(words);
    let codes = [0_u8, 1, 2].into_iter();
    let mut codes = codes.filter(|it| std::process::ExitCode::from(*it) == code);
    std::process::exit(codes.next().map_or(99, i32::from));
}

fn record(folder: &Path, words: &[&str], token: Option<&str>) -> Run {
    let own = std::env::current_exe().expect("this program is a file");
    let mut command = Command::new(own);
    command.args(["--exact", "as_the_command", "--nocapture"]).current_dir(folder);
    let words: Vec<_> = ["record"].iter().chain(words).copied().collect();
    command.env(WORDS, words.join("\n")).env_remove("EXECTRACE_TOKEN");
    command.envs(token.map(|token| ("EXECTRACE_TOKEN", token)));
    let output = command.output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Run { out: text(&output.stdout), err: text(&output.stderr), code: output.status.code() }
}

fn folder() -> TempDir {
    TempDir::new().expect("a temporary folder")
}

fn open(folder: &Path) -> TraceFile<Vec<u8>> {
    let bytes = std::fs::read(folder.join("a.trace")).expect("it is written");
    TraceFile::open(bytes).expect("a trace")
}

#[test]
fn a_trace_is_fetched_and_said_to_be_there() {
    let (_alone, folder) = (alone(), folder());
    let listener = serve("127.0.0.1:0", Config::new()).expect("a port is free");
    let _program = Program::start();
    let address = listener.address().to_string();
    let run = record(folder.path(), &[&address, "--seconds", "0.4", "-o", "a.trace"], None);
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(run.out.contains("wrote a.trace: "), "{}", run.out);
    assert!(run.out.contains("read it by exectrace summary a.trace"), "{}", run.out);
    assert!(run.err.contains("recording for 0.4 s"), "{}", run.err);
    let trace = open(folder.path());
    assert!(trace.is_complete());
    assert!(regions(&trace, "hold") > 10);
}

#[test]
fn a_trace_without_a_name_gets_a_free_one_and_one_for_a_pipe_gets_none() {
    let (_alone, folder) = (alone(), folder());
    let recorder = Arc::new(FlightRecorder::start().expect("none is running"));
    let listener = serve("127.0.0.1:0", Config::new().recorder(recorder));
    let listener = listener.expect("a port is free");
    let address = listener.address().to_string();
    let names = || {
        let entries = std::fs::read_dir(folder.path()).expect("it is there");
        let names = entries.map(|entry| entry.expect("it can be read").file_name());
        names.map(|name| name.into_string().expect("text")).collect::<Vec<_>>()
    };
    let run = record(folder.path(), &[&address, "--snapshot", "-o", "-"], None);
    assert_eq!((run.code, names()), (Some(0), Vec::new()), "{}", run.err);
    assert!(run.out.contains("XTRINDEX"), "a trace ends so: {}", run.out);
    for count in 1..=2 {
        let run = record(folder.path(), &[&address, "--snapshot"], None);
        assert_eq!(run.code, Some(0), "{}", run.err);
        let names = names();
        assert_eq!(names.len(), count, "no trace takes another's name: {names:?}");
        let begin = address.replace(':', "-");
        for name in names {
            assert!(name.starts_with(&begin) && name.ends_with(".trace"), "{name}");
        }
    }
}

#[test]
fn names_are_fetched_if_they_are_asked_for() {
    let (_alone, folder) = (alone(), folder());
    let listener = serve("127.0.0.1:0", Config::new()).expect("a port is free");
    let _program = Program::start();
    let address = listener.address().to_string();
    let words = [&address, "--names", "--seconds", "0.3", "-o", "a.trace"];
    let run = record(folder.path(), &words, None);
    assert_eq!(run.code, Some(0), "{}", run.err);
    let trace = open(folder.path());
    let mut functions = trace.tables().symbols.values().flatten();
    assert!(functions.any(|it| it.name == "record::common::hold"), "{:?}", trace.tables().symbols);
}

#[test]
fn a_snapshot_is_fetched() {
    let (_alone, folder) = (alone(), folder());
    let recorder = Arc::new(FlightRecorder::start().expect("none is running"));
    let listener = serve("127.0.0.1:0", Config::new().recorder(recorder));
    let listener = listener.expect("a port is free");
    (0..5).for_each(|_| leaf());
    let address = listener.address().to_string();
    let run = record(folder.path(), &[&address, "--snapshot", "-o", "a.trace"], None);
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert_eq!(regions(&open(folder.path()), "leaf"), 5);
}

#[test]
fn a_token_is_sent_and_refusals_are_explained() {
    let (_alone, folder) = (alone(), folder());
    let listener = serve("127.0.0.1:0", Config::new().token("secret"));
    let listener = listener.expect("a port is free");
    let address = listener.address().to_string();
    let check = |words: &[&str], token: Option<&str>, code, part: &str| {
        let mut all = vec![address.as_str(), "-o", "a.trace"];
        all.extend(words);
        let run = record(folder.path(), &all, token);
        assert_eq!(run.code, Some(code), "{words:?}: {}", run.err);
        assert!(run.err.contains(part), "{words:?}: {}", run.err);
        folder.path().join("a.trace").exists()
    };
    assert!(!check(&[], None, 2, "401 it wants a token: --token"));
    assert!(!check(&["--token", "wrong"], None, 2, "401 this is not the token"));
    assert!(!check(&["--token", "secret", "--seconds", "61"], None, 2, "up to 60"));
    assert!(!check(&["--token", "secret", "--snapshot"], None, 2, "404 not there: this program"));
    assert!(!check(&["--seconds", "0"], None, 2, "above 0"));
    assert!(check(&["--seconds", "0.05"], Some("secret"), 0, "recording for 0.05 s"));
    assert!(check(&["--seconds", "0.05", "--token", "secret"], Some("wrong"), 0, "recording"));
    let own = exectrace::start(std::io::sink()).expect("none is running");
    check(&["--token", "secret"], None, 2, "409 busy: a trace is running already");
    own.stop().expect("a sink takes all");
    drop(listener);
    let run = record(folder.path(), &[&address, "-o", "b.trace"], None);
    assert_eq!((run.code, run.err.contains("nobody listens there")), (Some(2), true));
    assert!(!folder.path().join("b.trace").exists());
}

/// Listens, answers one connection with these bytes, and closes it.
fn once(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has one").to_string();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody comes");
        let mut head = [0; 1_000];
        let _ = stream.read(&mut head);
        let _ = stream.write_all(&answer);
    });
    address
}

#[test]
fn what_is_cut_is_kept_and_told() {
    let folder = folder();
    let mut trace = trace_of_its_own();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
        trace.len()
    );
    let half = trace.len() * 3 / 4;
    trace.truncate(half);
    let address = once([head.into_bytes(), trace].concat());
    let run = record(folder.path(), &[&address, "-o", "a.trace"], None);
    assert_eq!(run.code, Some(1), "{}", run.err);
    assert!(run.err.contains("CUT: "), "{}", run.err);
    assert_eq!(open(folder.path()).bytes(), half as u64);
}

fn trace_of_its_own() -> Vec<u8> {
    let _alone = alone();
    let folder = folder();
    let path = folder.path().join("own.trace");
    let file = std::fs::File::create(&path).expect("it can be written");
    let trace = exectrace::start(file).expect("none is running");
    (0..1_000).for_each(|_| leaf());
    trace.stop().expect("the disk takes it");
    std::fs::read(path).expect("it is there")
}

#[test]
fn what_is_no_trace_is_no_trace() {
    let folder = folder();
    let kinds = ["text/html", "application/octet-stream"];
    for (kind, part) in kinds.into_iter().zip(["the answer is no trace", "not an exectrace trace"])
    {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: 5\r\n\r\n");
        let address = once([head.as_bytes(), b"hello"].concat());
        let run = record(folder.path(), &[&address, "-o", "a.trace"], None);
        assert_eq!(run.code, Some(2), "{kind}: {}", run.err);
        assert!(run.err.contains(part), "{kind}: {}", run.err);
    }
    for (status, part) in [("302 Found\r\nLocation: http://127.0.0.1:1/", "302"), ("500 A", "500")]
    {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        let run = record(folder.path(), &[&once(answer.into_bytes()), "-o", "b.trace"], None);
        assert_eq!((run.code, run.err.contains(part)), (Some(2), true), "{}", run.err);
    }
    let answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 7\r\n\r\nnot you";
    let run = record(folder.path(), &[&once(answer.to_vec()), "-o", "b.trace"], None);
    assert_eq!(run.code, Some(2), "{}", run.err);
    assert!(run.err.contains("403 not allowed: not you"), "{}", run.err);
    let run = record(folder.path(), &[&once(b"SSH-2.0-a\r\n".to_vec()), "-o", "b.trace"], None);
    assert_eq!(run.code, Some(2), "{}", run.err);
    assert!(!folder.path().join("b.trace").exists());
}
