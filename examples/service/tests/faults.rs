//! The tool shows why the service is slow: both faults are on the first screen of `async`, with
//! their lines, and `explain` names both.
//!
//! The service runs as its users run it. Then this program is started again as the tool ([`TOOL`]),
//! because the tool can only print to standard output. So there is no harness.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Set in the process that runs as the tool.
const TOOL: &str = "SERVICE_TEST_IS_THE_TOOL";

/// Lines of a terminal of the default size, and a few more.
const SCREEN_LINES: usize = 30;

const SOURCE: &str = include_str!("../../service.rs");

fn main() -> ExitCode {
    if std::env::var_os(TOOL).is_some() {
        return trace_tool::run(std::env::args_os());
    }
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let trace = folder.path().join("service.trace");
    let mut service = Command::new(env!("CARGO_BIN_EXE_service"));
    said(service.args(["--seconds", "1.2", "--out"]).arg(&trace));
    the_first_screen_of_async_names_both_faults(&trace);
    explain_names_both_faults(&trace);
    a_stall_leaves_a_trace_that_names_it(folder.path());
    println!("all faults are named, by async and by explain");
    ExitCode::SUCCESS
}

fn the_first_screen_of_async_names_both_faults(trace: &Path) {
    let screen = tool("async", trace);
    let screen: Vec<_> = screen.lines().take(SCREEN_LINES).collect();
    let (report, render) = (function("async fn report"), render());
    let (account, lock, mail) = (function("async fn account"), lock(), mail());
    // Times and counts depend on the load of the machine. Of inlined functions only the last part
    // of the name may be known.
    let blocked = [
        &["service::report (", &report, " kept tokio-worker-"][..],
        &["sleep ", "in clock_nanosleep at ", "render (", &render],
    ];
    let held = [
        &["service::account waited for tokio mutex at ", "account (", &lock][..],
        &["held by service::account (", &account],
        &["held across an await: ", "tokio timer at ", "send_mail (", &mail],
    ];
    follow_each_other(&screen, &blocked);
    follow_each_other(&screen, &held);
}

fn explain_names_both_faults(trace: &Path) {
    let text = tool("explain", trace);
    let lines: Vec<_> = text.lines().collect();
    let (lock, mail, render) = (lock(), mail(), render());
    let held = "held it across an await: for tokio timer at ";
    let held = ["account", "for a tokio mutex", &lock, held, "send_mail (", &mail];
    let blocked = ["a poll of report (", " kept ", "in clock_nanosleep at ", "render (", &render];
    follow_each_other(&lines, &[&held]);
    follow_each_other(&lines, &[&blocked]);
}

/// The service writes this trace by itself, because a request took too long.
fn a_stall_leaves_a_trace_that_names_it(folder: &Path) {
    let dumps = folder.join("slow-requests");
    let mut service = Command::new(env!("CARGO_BIN_EXE_service"));
    service.args(["--serve", "127.0.0.1:0", "--dumps"]).arg(&dumps).stdout(Stdio::piped());
    let mut service = Ended(service.spawn().expect("it can be started"));
    let mut said = BufReader::new(service.0.stdout.take().expect("it is a pipe")).lines();
    let page = said.next().expect("it says where it is").expect("standard output is UTF-8");
    let address = page.strip_prefix("http://").and_then(|page| page.split('/').next());
    let mut stream = TcpStream::connect(address.expect("an address")).expect("it listens");
    let request = "GET /stall HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let text = tool("explain", &wait_for_trace(&dumps));
    let stalled = ["a poll of stall (", " kept ", "in clock_nanosleep at "];
    follow_each_other(&text.lines().collect::<Vec<_>>(), &[&stalled]);
    // A killed process leaves the last seconds, too.
    drop(service);
    let mut tool = Command::new(std::env::current_exe().expect("this program has a path"));
    let tool = tool.env(TOOL, "1").arg("explain").arg(dumps.join("last.trace"));
    let output = tool.output().expect("it can be started");
    let text = String::from_utf8(output.stdout).expect("standard output is UTF-8");
    follow_each_other(&text.lines().collect::<Vec<_>>(), &[&stalled]);
}

/// A process that is killed at the end of the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for the first trace of a slow request in a folder.
fn wait_for_trace(folder: &Path) -> PathBuf {
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        let files = std::fs::read_dir(folder).expect("the service has made it");
        let mut paths = files.map(|file| file.expect("it is there").path());
        if let Some(trace) = paths.find(|path| path.display().to_string().ends_with("-slow.trace"))
        {
            return trace;
        }
        assert!(Instant::now() < end, "no trace was left");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The tool's output about a trace.
fn tool(command: &str, trace: &Path) -> String {
    let mut tool = Command::new(std::env::current_exe().expect("this program has a path"));
    said(tool.env(TOOL, "1").arg(command).arg(trace))
}

/// Runs a command, which must succeed, and returns its output.
#[track_caller]
fn said(command: &mut Command) -> String {
    let output = command.output().expect("it can be started");
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).expect("standard output is UTF-8")
}

/// Fails unless neighbouring lines have these words in this order.
#[track_caller]
fn follow_each_other(screen: &[&str], wanted: &[&[&str]]) {
    let has = |line: &str, words: &[&str]| {
        let mut rest = Some(line);
        for word in words {
            rest = rest.and_then(|rest| rest.split_once(word)).map(|(_, rest)| rest);
        }
        rest.is_some()
    };
    let fits = |lines: &[&str]| lines.iter().zip(wanted).all(|(line, words)| has(line, words));
    let is_there = screen.windows(wanted.len()).any(fits);
    assert!(is_there, "no {wanted:#?} in:\n{}", screen.join("\n"));
}

/// The place where `render` sleeps.
fn render() -> String {
    line("fn render", "thread::sleep(")
}

/// The place where `account` waits for the lock.
fn lock() -> String {
    line("async fn account", ".lock().await")
}

/// The place where `send_mail` waits with the lock held.
fn mail() -> String {
    line("async fn send_mail", "sleep(")
}

/// The place of a function: its call site has the line of its name.
fn function(function: &str) -> String {
    line(function, function)
}

/// `examples/service.rs:70)`: the first line with `words` from that with `function` on.
fn line(function: &str, words: &str) -> String {
    let lines = SOURCE.lines().zip(1..).skip_while(|(line, _)| !line.contains(function));
    let mut found = lines.filter(|(line, _)| line.contains(words));
    let (_, number) = found.next().unwrap_or_else(|| panic!("no `{words}` in `{function}`"));
    format!("examples/service.rs:{number})")
}
