//! From macro to runtime to file to reader: the event you wrote is the event you read.
//!
//! Here: regions and their nesting, thresholds, outcomes, panics, names, switching call sites, and
//! the events that are not regions. Elsewhere: values (`arguments`), tasks (`tasks`), futures
//! (`futures`).
//!
//! Long, because its tests share helpers, and each file here is linked as a program of its own.

mod common;

use common::{on_thread, record};
use exectrace::{CallsiteKind, callsites, counter, instant, log, trace_region, traced};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

#[traced]
fn leaf() {}

#[traced]
fn twice() {
    leaf();
    leaf();
}

#[traced]
fn deep(depth: u32) {
    if depth > 1 {
        deep(depth - 1);
    }
}

#[test]
fn a_region_with_nothing_inside_is_one_event() {
    let recorded = record(|| {
        leaf();
        leaf();
    });
    assert_eq!(recorded.lines(), ["leaf", "leaf"]);
    assert_eq!(recorded.report.events, 2);
}

#[test]
fn regions_nest_as_the_code_does() {
    let recorded = record(|| {
        twice();
        {
            trace_region!("outer");
            trace_region!("inner");
            leaf();
        }
        let sum = trace_region!("sum" => {
            twice();
            1 + 2
        });
        assert_eq!(sum, 3);
    });
    let expected = "+ twice|leaf|leaf|-|+ outer|+ inner|leaf|-|-|+ sum|+ twice|leaf|leaf|-|-";
    assert_eq!(recorded.lines().join("|"), expected);
}

#[test]
fn a_trace_without_events_is_whole() {
    let recorded = record(|| ());
    assert_eq!(recorded.report.events, 0);
    assert_eq!(recorded.report.threads, 0);
    assert!(recorded.trace.tables.callsites.len() > 5, "the sites are there all the same");
}

#[test]
fn recursion_of_any_depth_is_recorded() {
    for depth in [2, 31, 32, 33, 34, 65, 250, 1500] {
        let recorded = record(|| deep(depth));
        let lines = recorded.lines();
        // Regions nested deeper than the slots are written at once, so the innermost one has an end
        // of its own.
        let begins = lines.iter().filter(|line| *line == "+ deep").count();
        let ends = lines.iter().filter(|line| *line == "-").count();
        let complete = lines.iter().filter(|line| *line == "deep").count();
        assert_eq!(begins, ends);
        assert_eq!(begins + complete, depth as usize);
        assert_eq!(complete, usize::from(depth <= 32), "{depth} deep");
        let events = recorded.trace.events(recorded.trace.pieces().next().unwrap().header.thread);
        let times: Vec<_> = events.map(|event| event.ticks).collect();
        assert!(times.is_sorted());
    }
}

#[traced(min = "1000s")]
fn fast(act: impl FnOnce()) {
    act();
}

#[traced(min = "1us")]
fn slow(act: impl FnOnce()) {
    std::thread::sleep(Duration::from_millis(1));
    act();
}

#[test]
fn a_fast_region_leaves_nothing_behind() {
    let recorded = record(|| {
        leaf();
        fast(|| ());
        fast(|| fast(|| fast(|| ())));
        twice();
    });
    assert_eq!(recorded.lines(), ["leaf", "+ twice", "leaf", "leaf", "-"]);
}

#[test]
fn a_region_is_a_leaf_when_all_in_it_is_forgotten() {
    #[traced]
    fn around() {
        fast(|| fast(|| ()));
        fast(|| ());
    }
    assert_eq!(record(around).lines(), ["around"]);
}

#[test]
fn a_region_over_its_threshold_is_recorded() {
    assert_eq!(record(|| slow(|| ())).lines(), ["slow"]);
    assert_eq!(record(|| slow(|| fast(|| ()))).lines(), ["slow"]);
}

#[test]
fn a_fast_region_with_an_event_inside_is_recorded() {
    let recorded = record(|| fast(|| fast(|| instant!("inside"))));
    assert_eq!(recorded.lines(), ["+ fast", "+ fast", "! inside", "-", "-"]);
    assert_eq!(record(|| fast(leaf)).lines(), ["+ fast", "leaf", "-"]);
    assert_eq!(record(|| fast(|| slow(|| ()))).lines(), ["+ fast", "slow", "-"]);
}

#[traced(args(text), min = "1000s")]
fn fast_with_text(text: &str, depth: u32) {
    if depth > 1 {
        fast_with_text(text, depth - 1);
    }
}

#[test]
fn fast_regions_with_long_arguments_are_forgotten_or_whole() {
    let text = "x".repeat(1000);
    assert!(record(|| fast_with_text(&text, 3)).report.events == 0);
    // A begin with more arguments than can be held back is written in any case.
    for depth in [20, 32, 40, 200] {
        let recorded = record(|| fast_with_text(&text, depth));
        let lines = if recorded.report.events > 0 { recorded.lines() } else { Vec::new() };
        assert!(depth < 33 || lines.len() == 2 * depth as usize, "{} of {depth}", lines.len());
        for line in lines {
            assert!(line == "-" || line.starts_with("+ fast_with_text(text=\"xxx"), "{line}");
        }
    }
}

#[traced(ret)]
fn gives(n: u32) -> u32 {
    if n > 9 {
        leaf();
    }
    n
}

#[traced(ret, err)]
fn parses(text: &str) -> Result<i64, std::num::ParseIntError> {
    let number: i64 = text.parse()?;
    Ok(number)
}

#[traced(err)]
fn only_errors(fail: bool) -> Result<u8, String> {
    if fail { Err("no".to_owned()) } else { Ok(1) }
}

#[traced(ret)]
fn gives_deep(depth: u32) -> u32 {
    if depth > 1 { gives_deep(depth - 1) } else { depth }
}

#[traced(ret, min = "1000s")]
fn gives_fast(n: u32) -> u32 {
    n
}

#[test]
fn outcomes_come_with_the_end() {
    let recorded = record(|| {
        gives(5);
        gives(10);
        let _ = parses("-7");
        let _ = parses("x");
        let _ = only_errors(false);
        let _ = only_errors(true);
        gives_fast(1);
    });
    let expected = [
        "+ gives",
        "- returned 5u",
        "+ gives",
        "leaf",
        "- returned 10u",
        "+ parses",
        "- returned -7i",
        "+ parses",
        "- failed `invalid digit found in string`",
        "only_errors",
        "+ only_errors",
        "- failed `no`",
    ];
    assert_eq!(recorded.lines(), expected);
}

#[test]
fn outcomes_are_kept_at_any_depth() {
    let lines = record(|| assert_eq!(gives_deep(100), 1)).lines();
    assert_eq!(lines.iter().filter(|line| *line == "+ gives_deep").count(), 100);
    assert_eq!(lines.iter().filter(|line| *line == "- returned 1u").count(), 100);
}

#[test]
fn events_that_are_no_regions_are_recorded() {
    let queue = [1_u8, 2, 3];
    let recorded = record(|| {
        instant!("start");
        instant!("hit", key = "k", size = queue.len());
        log!("net", "{} of {queue:?}", queue.len());
        log!("net", "a constant");
        counter!("queue", queue.len());
        counter!("load", 0.5_f32);
        counter!("balance", -3);
    });
    let expected = [
        "! start",
        "! hit(key=\"k\", size=3u)",
        "log net: 3 of [1, 2, 3]",
        "log net: a constant",
        "counter queue = 3u",
        "counter load = 0.5f",
        "counter balance = -3i",
    ];
    assert_eq!(recorded.lines(), expected);
}

#[traced]
fn panics() {
    trace_region!("doomed");
    leaf();
    panic!("on purpose");
}

#[test]
fn a_panic_closes_regions() {
    let recorded = record(|| {
        trace_region!("catches");
        let panic = catch_unwind(AssertUnwindSafe(panics));
        assert!(panic.is_err());
        leaf();
    });
    let expected = "+ catches|+ panics|+ doomed|leaf|-|-|leaf|-";
    assert_eq!(recorded.lines().join("|"), expected);
}

trait Shape {
    fn area(&self) -> f64;
    #[traced]
    fn describe(&self) -> String {
        format!("{}", self.area())
    }
}

struct Square<T>(T);

#[traced]
impl<T: Copy + Into<f64>> Square<T> {
    fn new(side: T) -> Self {
        Self(side)
    }
    #[traced(name = "the side")]
    fn side(&self) -> f64 {
        self.0.into()
    }
    #[traced(skip)]
    fn left_out(&self) {}
}

#[traced]
impl<T: Copy + Into<f64>> Shape for Square<T> {
    fn area(&self) -> f64 {
        self.side() * self.side()
    }
}

#[traced]
mod container {
    pub(crate) fn inside() {}
    pub(crate) mod deeper {
        pub(crate) fn further() {}
    }
}

#[test]
fn functions_of_all_sorts_are_named() {
    #[traced]
    fn generic<T, const N: usize>(items: [T; N]) -> usize {
        items.len()
    }
    let recorded = record(|| {
        let square = Square::new(2_u8);
        square.left_out();
        square.describe();
        generic(["a", "b"]);
        generic([1; 3]);
        container::inside();
        container::deeper::further();
    });
    let expected = [
        "Square::new",
        "+ Shape::describe",
        "+ <Square as Shape>::area",
        "the side",
        "the side",
        "-",
        "-",
        "generic",
        "generic",
        "inside",
        "further",
    ];
    assert_eq!(recorded.lines(), expected);
    let modules = |name: &str| {
        let mut sites = recorded.trace.tables.callsites.iter();
        sites
            .find(|site| site.name == name && site.kind == CallsiteKind::Function)
            .map(|site| site.module.clone())
    };
    assert_eq!(modules("inside").as_deref(), Some("end_to_end::container"));
    assert_eq!(modules("further").as_deref(), Some("end_to_end::container::deeper"));
}

#[test]
fn threads_are_told_apart() {
    let recorded = record(|| {
        on_thread("one", twice);
        on_thread("two", leaf);
        on_thread("ünï\u{202e}\n", || log!("net", "named oddly"));
    });
    assert_eq!(recorded.lines_of("one"), ["+ twice", "leaf", "leaf", "-"]);
    assert_eq!(recorded.lines_of("two"), ["leaf"]);
    assert_eq!(recorded.lines_of("ünï\u{202e}\n"), ["log net: named oddly"]);
    let ids = recorded.trace.tables.threads.values().map(|thread| thread.os_id);
    assert_eq!(ids.collect::<std::collections::BTreeSet<_>>().len(), 3);
}

#[test]
fn a_thread_name_of_any_length_is_cut() {
    let name = "n".repeat(1 << 20);
    let recorded = record(|| on_thread(&name, leaf));
    assert_eq!(recorded.lines(), ["leaf"]);
    let thread = recorded.trace.tables.threads.values().next().unwrap();
    assert!(thread.name.len() >= 64 && name.starts_with(&thread.name), "{}", thread.name.len());
}

#[test]
fn call_sites_are_listed() {
    #[traced(name = "listed", args(a, ?b, c = %b), min = "1.5ms")]
    fn listed(a: u8, b: &str) {
        let _ = (a, b);
    }
    let line = line!() - 4;
    let _alone = common::alone();
    listed(1, "b");
    let site = callsites().find(|site| site.name() == "listed").expect("it is listed");
    assert_eq!(site.kind(), CallsiteKind::Function);
    assert_eq!(site.module_path(), "end_to_end");
    assert_eq!(site.file(), file!());
    assert_eq!((site.line(), site.column()), (line + 1, 8));
    assert_eq!(site.min_nanos(), 1_500_000);
    assert!(site.is_on() && !site.is_live());
    let names: Vec<_> = site.arguments().iter().map(|argument| argument.name()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let kinds: Vec<_> = site.arguments().iter().map(|a| format!("{:?}", a.kind())).collect();
    assert_eq!(kinds, ["Typed", "Debug", "Display"]);
    for kind in [CallsiteKind::Region, CallsiteKind::Log, CallsiteKind::Counter] {
        assert!(callsites().any(|site| site.kind() == kind), "{kind:?}");
    }
}

#[test]
fn a_trace_defines_the_sites_that_are_listed() {
    let recorded = record(leaf);
    let defined = recorded.trace.tables.callsites.iter();
    let mut defined: Vec<_> = defined
        .map(|site| (site.name.clone(), site.module.clone(), site.line, site.column))
        .collect();
    let mut listed: Vec<_> = callsites()
        .map(|site| {
            (site.name().to_owned(), site.module_path().to_owned(), site.line(), site.column())
        })
        .collect();
    defined.sort();
    listed.sort();
    assert_eq!(defined, listed);
}
