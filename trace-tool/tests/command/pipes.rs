//! A trace through a pipe, or from standard input, is read like a file.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use crate::common::{Bench, Run, command, convoy, request, suite};

/// Runs a command in the folder of `bench`, with these bytes in a pipe to its standard input.
fn piped(bench: &Bench, line: &str, bytes: &[u8]) -> Run {
    let mut command = command();
    command.args(line.split(' ')).current_dir(bench.path(""));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    let mut input = child.stdin.take().expect("a pipe");
    let output = std::thread::scope(|scope| {
        // Who sees that it is no trace does not read on.
        scope.spawn(move || drop(input.write_all(bytes)));
        child.wait_with_output().expect("it ends")
    });
    Run::new(&output)
}

#[test]
fn a_trace_through_a_pipe_is_read_like_a_file() {
    for trace in [request(), convoy::convoy(), suite::suite()] {
        let bench = Bench::new(&trace);
        let path = bench.path("a.trace").display().to_string();
        for verb in [
            "summary",
            "explain",
            "events",
            "check",
            "regions",
            "tasks",
            "threads",
            "blocked",
            "async",
            "syscalls",
            "heap",
            "tests",
            "events --raw",
        ] {
            let file = bench.run(&format!("{verb} FILE"));
            for name in ["-", "/dev/stdin"] {
                let pipe = piped(&bench, &format!("{verb} {name}"), &trace);
                // A command to be pasted does not find the trace in the pipe again.
                let expected = file.out.lines().map(|line| {
                    let is_command = line.contains("exectrace ");
                    line.replace(&path, if is_command { "FILE" } else { name }) + "\n"
                });
                let expected = expected.collect::<String>();
                assert_eq!((pipe.out, pipe.err), (expected, file.err.clone()), "{verb} {name}");
                assert_eq!(pipe.code, file.code, "{verb} {name}");
            }
        }
    }
}

#[test]
fn what_is_made_of_standard_input_has_a_name_that_says_so() {
    let bench = Bench::new(&request());
    let run = piped(&bench, "recover -", &request());
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{}", run.out);
    assert!(bench.path("stdin.recovered.trace").exists(), "{}", run.out);
}

#[test]
fn what_comes_and_is_no_trace_is_refused() {
    let bench = Bench::new(&request());
    for (bytes, why) in [
        (&b""[..], "-: nothing came: what was to write the trace has failed"),
        (&[b'x'; 1 << 20], "-: at byte 0: not an exectrace trace"),
        (&[b'x'; 3], "-: at byte "),
    ] {
        let run = piped(&bench, "summary -", bytes);
        assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "{why}");
        assert!(run.err.starts_with(&format!("exectrace: {why}")), "{why}: {}", run.err);
        assert_eq!(run.err.lines().count(), 1, "{}", run.err);
    }
}

#[test]
fn a_file_given_as_standard_input_is_not_overwritten() {
    let trace = request();
    let bench = Bench::new(&trace);
    let path = bench.path("a.trace");
    let read = |target: &Path| {
        let mut command = command();
        command.args(["recover", "-", "-o"]).arg(target);
        command.stdin(Stdio::from(File::open(&path).expect("it is there")));
        Run::new(&command.output().expect("it runs"))
    };
    let run = read(&bench.path("other.trace"));
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    let run = read(&path);
    assert_eq!(run.code, Some(2), "{}", run.out);
    assert!(run.err.contains("would overwrite the trace"), "{}", run.err);
    assert!(std::fs::read(&path).expect("it is there") == trace, "it is as it was");
}
