//! A trace of a running program, fetched from the pages of `trace-http`.
//!
//! The file is written as the trace arrives, so what was fetched before a fault can be read.

use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use ureq::Body;
use ureq::http::{StatusCode, Uri};

use trace_export::label::escape::plain;

use crate::answer::Reading;
use crate::create::{create, is_stdout, print_written};
use crate::error::{Failure, Verdict};
use crate::label::{pasted, units};
use crate::output::{Output, say};
use crate::text;

/// For a connection, and for the first word of an answer.
const ANSWER: Duration = Duration::from_secs(10);

/// For the first word if the program names functions first.
const ANSWER_WITH_NAMES: Duration = Duration::from_secs(30);

/// For what a trace still takes to arrive once its time is over.
const ARRIVAL: Duration = Duration::from_secs(300);

/// More of a refusal's text is not read.
const TEXT_BYTES_MAX: u64 = 2_000;

/// Where a token may be as well, so that it is in no list of processes.
const TOKEN: &str = "EXECTRACE_TOKEN";

/// What is to be recorded.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Where the program serves.
    pub url: String,
    /// For how many seconds.
    pub seconds: f64,
    /// The file to write; `-` is standard output.
    pub output: PathBuf,
    /// The token that the program wants; if there is none, that of the environment.
    pub token: Option<String>,
    /// Whether the last seconds are wanted, as the program's flight recorder has them.
    pub snapshot: bool,
    /// Whether the program is to name the functions in stacks.
    pub names: bool,
}

/// A file's name for a trace for which none was given: in the current folder, by the program's
/// address and the time. No file is called so yet, for a trace can't be recorded again.
#[must_use]
pub fn free_name(url: &str) -> PathBuf {
    let (_, address) = url.split_once("://").unwrap_or(("", url));
    let host = address.split(['/', '?']).next().unwrap_or_default();
    // No character that a shell or a file system takes for something else.
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "._-".contains(it);
    let plain: String = host.chars().map(|it| if is_plain(it) { it } else { '-' }).collect();
    let time = Timestamp::now().strftime("%Y%m%d-%H%M%S");
    let stem = format!("{}.{time}", plain.trim_matches(['-', '.']));
    let name = |count: u32| match count {
        1 => format!("{stem}.trace"),
        _ => format!("{stem}.{count}.trace"),
    };
    let is_free = |name: &PathBuf| name.symlink_metadata().is_err();
    (1..).map(|count| name(count).into()).find(is_free).expect("there is no end of numbers")
}

/// Fetches a trace, and prints what is in it.
///
/// # Errors
/// If the program gives none, or the file can't be written.
pub fn run(arguments: &Recording, out: &mut Output) -> Result<Verdict, Failure> {
    let url = address(&arguments.url, arguments)?;
    let mut body = ask(&url, arguments)?;
    let target = &arguments.output;
    if is_stdout(target) {
        let whole = receive(&mut body, out, arguments, &url)?;
        out.flush()?;
        return Ok(if whole { Verdict::Fine } else { Verdict::Faulty });
    }
    let whole = receive(&mut body, &mut create(target)?, arguments, &url)?;
    let reading = Reading::whole(target)?;
    let file = &reading.file;
    let events = file.index().iter().map(|entry| u64::from(entry.events)).sum();
    let (events, bytes) = (units::plural(events, "event", "events"), units::bytes(file.bytes()));
    let what = format!("{events}, {bytes}; read it by exectrace summary {}", pasted(target));
    print_written(target, &what, out)?;
    let verdict = text::warn(&reading.completeness());
    Ok(if whole { verdict } else { Verdict::Faulty })
}

fn ask(url: &str, arguments: &Recording) -> Result<Body, Failure> {
    let length = Duration::from_secs_f64(if arguments.snapshot { 0.0 } else { arguments.seconds });
    let answer = if arguments.names { ANSWER_WITH_NAMES } else { ANSWER };
    let mut request = ureq::get(url)
        .config()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_connect(Some(ANSWER))
        .timeout_recv_response(Some(answer))
        .timeout_recv_body(Some(length + ARRIVAL))
        .build();
    let token = arguments.token.clone().or_else(|| std::env::var(TOKEN).ok());
    if let Some(token) = &token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let answer = request.call().map_err(|error| unreached(url, &error))?;
    let (head, body) = answer.into_parts();
    if head.status == StatusCode::OK {
        let kind = head.headers.get("content-type").and_then(|kind| kind.to_str().ok());
        if kind == Some("application/octet-stream") {
            return Ok(body);
        }
        let what = format!("{url}: the answer is no trace: is this the right address?");
        return Err(Failure::Usage(what));
    }
    Err(refused(url, head.status, body, token.is_some()))
}

/// Where the pages are, from what was typed.
fn address(typed: &str, arguments: &Recording) -> Result<String, Failure> {
    let wrong = |why: &str| Failure::Usage(format!("{}: {why}", plain(typed, 200)));
    let full = if typed.contains("://") { typed.to_owned() } else { format!("http://{typed}") };
    if full.starts_with("https://") {
        return Err(wrong("https is not spoken here: go through a tunnel, as ssh -L makes it"));
    }
    let uri: Uri = full.parse().map_err(|_| wrong("no address; one is host:port"))?;
    if uri.scheme_str() != Some("http") || uri.host().is_none_or(str::is_empty) {
        return Err(wrong("no address; one is host:port"));
    }
    if uri.query().is_some() {
        return Err(wrong("say --seconds instead of a query"));
    }
    let host = uri.authority().map_or("", |authority| authority.as_str());
    if host.contains('@') {
        return Err(wrong("say --token instead of a name before the @"));
    }
    let path = uri.path().trim_end_matches('/');
    let path = path.strip_suffix("/snapshot").unwrap_or(path);
    let prefix = path.strip_suffix("/debug/trace").unwrap_or(path);
    let page = match (arguments.snapshot, arguments.names) {
        (true, false) => "/debug/trace/snapshot".to_owned(),
        (true, true) => "/debug/trace/snapshot?names=1".to_owned(),
        (false, false) => format!("/debug/trace?seconds={}", arguments.seconds),
        (false, true) => format!("/debug/trace?seconds={}&names=1", arguments.seconds),
    };
    Ok(format!("http://{host}{prefix}{page}"))
}

fn unreached(url: &str, error: &ureq::Error) -> Failure {
    let why = match error {
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            "nobody listens there".to_owned()
        }
        ureq::Error::HostNotFound => "there is no such host".to_owned(),
        ureq::Error::Timeout(_) => "no answer".to_owned(),
        error => error.to_string(),
    };
    Failure::Usage(format!("{url}: {why}"))
}

/// What the program says, after what it means.
fn refused(url: &str, status: StatusCode, body: Body, has_token: bool) -> Failure {
    let mut text = Vec::new();
    // A text that is cut says enough.
    let _ = body.into_reader().take(TEXT_BYTES_MAX).read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    let said = plain(text.lines().next().unwrap_or_default().trim(), 400);
    let means = match status.as_u16() {
        400 => "not understood",
        401 if has_token => "this is not the token",
        401 => "it wants a token: --token, or the variable EXECTRACE_TOKEN",
        403 => "not allowed",
        404 if said.is_empty() => "no such page: does the program serve trace-http's?",
        404 => "not there",
        409 => "busy",
        429 => "too busy",
        501 => "not possible",
        _ => "refused",
    };
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    Failure::Usage(format!("{url}: {} {means}{said}", status.as_u16()))
}

/// Writes what arrives; whether that was all.
fn receive(
    body: &mut Body,
    target: &mut impl Write,
    arguments: &Recording,
    url: &str,
) -> Result<bool, Failure> {
    let bar = progress(arguments);
    let (mut reader, mut buffer) = (body.as_reader(), vec![0; 1 << 16]);
    let (mut bytes, begin) = (0_u64, Instant::now());
    let whole = loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => break true,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if bytes == 0 => {
                return Err(Failure::Usage(format!("{url}: nothing has arrived: {error}")));
            }
            Err(error) => {
                say(&format!("CUT: the trace ends before its time: {error}"));
                break false;
            }
        };
        target.write_all(&buffer[..read]).map_err(|error| {
            let path = &arguments.output;
            if is_stdout(path) { error.into() } else { Failure::Open(path.clone(), error) }
        })?;
        bytes += read as u64;
        bar.set_message(units::bytes(bytes));
        bar.set_position(begin.elapsed().as_millis() as u64);
    };
    bar.finish_and_clear();
    Ok(whole)
}

/// A bar over the seconds, if somebody looks; else one line.
fn progress(arguments: &Recording) -> ProgressBar {
    let what = if arguments.snapshot {
        "taking the last seconds".to_owned()
    } else {
        format!("recording for {} s", arguments.seconds)
    };
    if !io::stderr().is_terminal() {
        say(&what);
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{prefix} {bar:30} {msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let length = if arguments.snapshot { 1 } else { (arguments.seconds * 1_000.0) as u64 };
    let bar = ProgressBar::new(length.max(1)).with_style(style).with_prefix(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(typed: &str, snapshot: bool) -> Result<String, String> {
        let arguments = Recording {
            url: typed.to_owned(),
            seconds: 2.5,
            output: PathBuf::new(),
            token: None,
            snapshot,
            names: false,
        };
        address(typed, &arguments).map_err(|failure| failure.to_string())
    }

    #[test]
    fn addresses_are_completed() {
        let page = "/debug/trace?seconds=2.5";
        for (typed, expected) in [
            ("localhost:6060", format!("http://localhost:6060{page}")),
            ("[::1]:6060", format!("http://[::1]:6060{page}")),
            ("http://a.test", format!("http://a.test{page}")),
            ("http://a.test/", format!("http://a.test{page}")),
            ("a.test:80/admin/", format!("http://a.test:80/admin{page}")),
            ("http://a.test/admin/debug/trace", format!("http://a.test/admin{page}")),
            ("http://a.test/debug/trace/", format!("http://a.test{page}")),
        ] {
            assert_eq!(asked(typed, false), Ok(expected), "{typed}");
        }
        let snapshot = "http://a.test/x/debug/trace/snapshot";
        assert_eq!(asked("a.test/x", true).as_deref(), Ok(snapshot));
        assert_eq!(asked(snapshot, true).as_deref(), Ok(snapshot));
    }

    #[test]
    fn a_name_that_nobody_gave_says_where_the_trace_is_from() {
        for (url, begin) in [
            ("localhost:6060", "localhost-6060."),
            ("http://a.test/admin/debug/trace?seconds=1", "a.test."),
            ("[::1]:6060", "1--6060."),
            ("../$(id)", "."),
        ] {
            let name = free_name(url);
            assert_eq!(name.file_name(), Some(name.as_os_str()), "{url}: a name, no path");
            let name = name.to_str().expect("it is text");
            assert!(name.starts_with(begin) && name.ends_with(".trace"), "{url}: {name}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let all = ["", "https://a.test", "ftp://a", "a b", "http://", "u:p@a.test", "a:80?x=1"];
        for typed in all {
            assert!(asked(typed, false).is_err(), "{typed}");
        }
    }
}
