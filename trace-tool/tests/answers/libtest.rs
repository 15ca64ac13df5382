//! `exectrace tests`: tests are told by the threads that libtest makes, and each has its times.

use crate::common::suite::{Naming, suite, suite_with};
use crate::common::{Bench, check, json, request};
use serde_json::Value;

const MS: u64 = 1_000_000;

fn names(answer: &Value) -> Vec<&str> {
    let tests = answer["tests"].as_array().expect("a list").iter();
    tests.map(|test| test["name"].as_str().expect("a name")).collect()
}

#[test]
fn a_test_has_a_row_and_no_other_thread_has() {
    let answer = json(&Bench::new(&suite()).run("tests FILE --json"));
    let by_wall = ["app::tests::waits", "app::tests::hangs", "app::tests::computes"];
    assert_eq!(names(&answer), by_wall, "neither `logger` nor `helper` is a test");
    assert_eq!((&answer["count"], &answer["total_ns"]), (&3.into(), &(63 * MS).into()));
}

#[test]
fn a_test_says_what_it_waited_for_and_what_it_cost() {
    let bench = Bench::new(&suite());
    let tests = json(&bench.run("tests FILE --json"))["tests"].clone();
    let [waits, hangs, computes] = [0, 1, 2].map(|at| &tests[at]);
    let of = |test: &Value, field: &str| test[field].as_u64();
    assert_eq!(of(waits, "wall_ns"), Some(32 * MS));
    assert_eq!(of(waits, "blocked_ns"), Some(30 * MS));
    let wait = &waits["waits"][0];
    assert_eq!((&wait["reason"], &wait["total_ns"]), (&"sleep".into(), &(30 * MS).into()));
    assert_eq!(wait["place"]["function"], "app::tests::naps");
    assert_eq!((&waits["ended"], &hangs["ended"]), (&true.into(), &false.into()));
    assert_eq!(of(hangs, "blocked_ns"), Some(19 * MS), "to the end of the trace");
    assert_eq!(hangs["cpu_ns"], Value::Null, "the kernel was not asked");
    let costs = ["own_cpu_ns", "cpu_ns", "made_threads"].map(|field| of(computes, field));
    assert_eq!(costs, [Some(8 * MS), Some(13 * MS), Some(1)], "with the thread that it made");
    let text = bench.run("tests FILE");
    check(
        &text,
        &[
            "3 tests, 63.0 ms one after the other",
            "app::tests::waits     32.0 ms        -  30.0 ms  sleep 30.0 ms  src/lib.rs:12",
            "app::tests::computes  11.0 ms  13.0 ms        -",
            "--thread tests::waits",
        ],
    );
}

#[test]
fn tests_are_sorted_and_cut_as_asked_and_the_rest_is_counted() {
    let bench = Bench::new(&suite());
    for (sort, first) in [
        ("wall", "app::tests::waits"),
        ("cpu", "app::tests::computes"),
        ("blocked", "app::tests::waits"),
        ("name", "app::tests::computes"),
    ] {
        let answer = json(&bench.run(&format!("tests FILE --sort {sort} --top 1 --json")));
        assert_eq!(names(&answer), [first], "{sort}");
        assert_eq!(answer["tests_omitted"], 2);
    }
    check(&bench.run("tests FILE --top 1"), &["… and 2 more: --top 0"]);
}

#[test]
fn without_names_of_functions_a_thread_is_a_test_if_it_is_called_like_one() {
    let run = Bench::new(&suite_with(Naming::Nameless)).run("tests FILE --json");
    let answer: Value = serde_json::from_str(&run.out).expect("JSON");
    // `logger` could be a test as well: nothing says where it was made.
    let by_wall = ["app::logger", "app::tests::waits", "app::tests::hangs", "app::tests::computes"];
    assert_eq!(names(&answer), by_wall, "{}", run.err);
}

#[test]
fn a_trace_without_tests_says_what_would_have_recorded_them() {
    let run = Bench::new(&request()).run("tests FILE");
    assert_eq!((run.code, run.out.as_str()), (Some(0), ""));
    let why = "the trace has no tests here; it was recorded without `os`";
    assert_eq!(run.err, format!("exectrace: {why}\n"));
}

#[test]
fn the_command_for_more_shows_the_waits_of_that_test_alone() {
    let bench = Bench::new(&suite());
    let run = bench.run("blocked FILE --thread tests::waits");
    check(&run, &["30.0 ms", "app::tests::naps", "lib.rs:12"]);
    assert!(!run.out.contains("19.0 ms"), "{}", run.out);
}
