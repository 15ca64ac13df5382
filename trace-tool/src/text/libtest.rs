//! `exectrace tests`: what each test of a test program did.

use trace_export::label::escape;
use trace_format::facility;
use trace_format::time::Nanos;

use super::table::{Column, Table};
use super::{facilities_off, print_more, print_table, standstills, why_nothing};
use crate::answer::libtest::{Test, TestWait, TestsAnswer};
use crate::error::Failure;
use crate::label::{units, word};
use crate::output::{Output, say};

/// Maximum number of characters of a test's name that are shown.
const NAME_CHARS_MAX: usize = 120;

/// A reason for waiting is shown if it took at least one part in this many of the test's time.
const REASON_PART: u64 = 200;

/// Prints the tests.
///
/// # Errors
/// If they can't be written.
pub fn print(answer: &TestsAnswer, out: &mut Output) -> Result<(), Failure> {
    let TestsAnswer { subject, disturbances, count, total, tests, omitted } = answer;
    for line in standstills(&disturbances.standstills) {
        out.wrapped_loud(&line, 2)?;
    }
    if *count == 0 {
        say(&why_nothing(subject, "no tests here", facility::OS));
        return Ok(());
    }
    let tests_count = units::plural(*count as u64, "test", "tests");
    out.wrapped_bold(&format!("{tests_count}, {} one after the other", units::time(*total)), 2)?;
    print_table(out, table(tests.iter().map(|test| (test, String::new()))))?;
    print_more(out, *omitted, "--top 0")?;
    for line in facilities_off(&subject.reading) {
        out.wrapped(&format!("({line})"), 2)?;
    }
    if let Some(test) = tests.iter().find(|test| !test.waits.is_empty()) {
        let command = subject.reading.more(&format!("blocked --thread {}", thread(test, answer)));
        out.wrapped(&format!("more: {command}"), 2)?;
    }
    Ok(())
}

/// The test's thread as `--thread` takes it. Ids are for names that several threads have.
fn thread(test: &Test, answer: &TestsAnswer) -> String {
    let tables = answer.subject.reading.file.tables();
    let name = tables.thread_name(test.thread);
    let namesakes = tables.threads.values().filter(|thread| thread.name == name).count();
    if namesakes == 1 { word(&name) } else { test.thread.0.to_string() }
}

/// A row for each test, the last cell being where it ran.
pub fn table<'t>(tests: impl Iterator<Item = (&'t Test, String)>) -> Table {
    let mut table = Table::new(&[
        Column::Name("test"),
        Column::Number("wall"),
        Column::Number("on CPU"),
        Column::Number("blocked"),
        Column::Text("mostly for"),
        Column::OptionalText("at", 3),
        Column::Optional("ready", 2),
        Column::Optional("threads", 0),
        Column::Text("ended"),
        Column::OptionalText("in", 1),
    ]);
    for (test, place) in tests {
        let most = test.waits.first().filter(|wait| is_worth(wait, test));
        table.row([
            escape::plain(&test.name, NAME_CHARS_MAX),
            units::time(test.wall()),
            test.cpu.map_or_else(|| "-".to_owned(), units::time),
            time(test.times.blocked()),
            most.map_or_else(String::new, reason),
            most.and_then(|wait| wait.place.as_ref()).map_or_else(String::new, |place| {
                place.source().unwrap_or_else(|| place.shown_function())
            }),
            time(test.times.ready),
            units::count(test.made_threads),
            if test.ended { String::new() } else { "no".to_owned() },
            place,
        ]);
    }
    for column in ["on CPU", "blocked", "ready"] {
        table = table.without_empty(column, "-");
    }
    table
        .without_empty("mostly for", "")
        .without_empty("at", "")
        .without_empty("threads", "0")
        .without_empty("ended", "")
        .without_empty("in", "")
}

fn time(time: Nanos) -> String {
    if time == Nanos(0) { "-".to_owned() } else { units::time(time) }
}

/// What was waited for, and how long: `mutex 12.3 ms`.
fn reason(wait: &TestWait) -> String {
    format!("{} {}", wait.reason.name(), units::time(wait.total))
}

fn is_worth(wait: &TestWait, test: &Test) -> bool {
    wait.total.0.saturating_mul(REASON_PART) >= test.wall().0
}
