//! Records of `log` in a trace, through the logger. A program has one logger, so one test installs
//! it and checks everything.

mod common;

use common::{alone, annotated, in_own_process, record, record_here};
use exectrace::{CallsiteKind, InstallError, Logger, callsites};
use log::{Level, LevelFilter, Log, Metadata, Record, debug, error, info, warn};
use std::cell::Cell;
use std::fmt;
use std::sync::{Arc, Mutex};

/// Keeps the records that are passed on to it, from level warning on.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<String>>>);

impl Log for Kept {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = format!("{} {} {}", record.level(), record.target(), record.args());
            self.0.lock().expect("no panic").push(line);
        }
    }

    fn flush(&self) {
        self.0.lock().expect("no panic").push("flushed".to_owned());
    }
}

/// Counts how often it is printed.
#[derive(Default)]
struct Printed(Cell<u32>);

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.set(self.0.get() + 1);
        f.write_str("printed")
    }
}

#[test]
fn records_are_messages_and_are_passed_on() {
    if !in_own_process("records_are_messages_and_are_passed_on") {
        return;
    }
    let kept = Kept::default();
    assert_eq!(Logger::over(Box::new(kept.clone())).set(LevelFilter::Info), Ok(()));
    let printed = Printed::default();
    let line = line!() + 2;
    let work = || {
        error!("first {printed}");
        info!(target: "net", "second {}", 2);
        warn!(target: &String::from("made"), "third");
        debug!("beyond the level {printed}");
    };
    let passed_on = ["ERROR bridges_log first printed", "WARN made third"];
    let take = || std::mem::take(&mut *kept.0.lock().expect("no panic"));
    let recorded = record(work);
    let expected =
        ["log bridges_log: ERROR first printed", "log net: INFO second 2", "log made: WARN third"];
    assert_eq!(recorded.lines(), expected);
    assert_eq!(take(), passed_on);
    assert_eq!(printed.0.get(), 2, "for the trace, and for the other logger");
    work();
    assert_eq!(take(), passed_on);
    assert_eq!(printed.0.get(), 3, "without a trace only the other logger prints");
    let is_info_wanted = || log::log_enabled!(Level::Info);
    assert!(!is_info_wanted(), "nobody wants it");
    record(|| assert!(is_info_wanted()));
    log::logger().flush();
    assert_eq!(take(), ["flushed"]);
    let sites: Vec<_> = callsites().filter(|site| site.name() == "bridges_log").collect();
    let [site] = sites[..] else { panic!("one site, not {sites:?}") };
    assert_eq!((site.kind(), site.module_path()), (CallsiteKind::Log, "bridges_log"));
    assert_eq!((site.file(), site.line()), (file!(), line));
    site.set_on(false);
    assert_eq!(record(work).report.events, 2);
    assert_eq!(Logger::install(LevelFilter::Trace).map_err(|it| it.to_string()), Err(refused()));
    assert_eq!(log::max_level(), LevelFilter::Info, "who fails changes nothing");
}

fn refused() -> String {
    fn is_error(_: &impl std::error::Error) {}
    let kept = Logger::over(Box::new(Kept::default()));
    let error: InstallError = kept.set(LevelFilter::Off).expect_err("there is one already");
    is_error(&error);
    error.to_string()
}

#[test]
fn a_logger_by_itself_only_records() {
    if !in_own_process("a_logger_by_itself_only_records") {
        return;
    }
    Logger::install(LevelFilter::Debug).expect("the first one");
    let _alone = alone();
    let printed = Printed::default();
    let work = || debug!("{printed}");
    work();
    assert_eq!(printed.0.get(), 0);
    assert_eq!(record_here(annotated(), work).lines(), ["log bridges_log: DEBUG printed"]);
    assert_eq!(printed.0.get(), 1);
}

#[test]
fn targets_without_end_take_a_bounded_number_of_call_sites() {
    let logger = Logger::default();
    let names = 2000;
    let recorded = record(|| {
        for at in 0..names {
            let target = format!("target {at}");
            let file = format!("file {at}.rs");
            let mut record = Record::builder();
            record.target(&target).file(Some(&file)).line(Some(at));
            logger.log(&record.args(format_args!("text")).build());
        }
    });
    let lines = recorded.lines();
    assert_eq!(lines.len(), names as usize);
    assert_eq!(lines[0], "log target 0: INFO text");
    assert!(lines.contains(&"log (other): INFO text".to_owned()));
    assert!(callsites().filter(|site| site.name().starts_with("target ")).count() <= 512);
}
