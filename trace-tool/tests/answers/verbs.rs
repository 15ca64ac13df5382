//! What each command says of a trace whose contents are known.

use std::collections::BTreeSet;

use crate::common::{Bench, long, request};
use serde_json::Value;
use trace_format::batch::Compression;

#[track_caller]
fn check(bench: &Bench, line: &str, expected: &str) {
    let run = bench.run(line);
    assert_eq!(run.err, "", "{line}");
    assert_eq!(run.code, Some(0), "{line}");
    let found: Vec<_> = run.out.lines().map(str::trim_end).collect();
    let expected: Vec<_> = expected.trim_matches('\n').lines().map(str::trim_end).collect();
    assert_eq!(found.join("\n"), expected.join("\n"), "{line}");
}

fn json(bench: &Bench, line: &str) -> Value {
    let run = bench.run(line);
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{line}");
    serde_json::from_str(&run.out).expect("it is JSON")
}

#[test]
fn summary_is_one_screen() {
    let run = Bench::new(&request()).run("summary FILE");
    let (head, rest) = run.out.split_once("\n\n").expect("a head and the tables");
    assert!(head.starts_with("testgen (pid 1), linux x86_64, 2023-11-14 22:13:20 UTC\n1.00 ms, "));
    assert!(head.contains("2 threads, 21 events in ") && head.contains(" bytes each)"), "{head}");
    let found: Vec<_> = rest.lines().map(str::trim_end).collect();
    assert_eq!(found.join("\n"), include_str!("../expected/summary.txt").trim_end(), "{}", run.out);
}

#[test]
fn explain_of_annotations_alone_names_the_feature_that_has_more() {
    let run = Bench::new(&request()).run("explain FILE");
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    let words = run.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.starts_with("nothing stands out that regions alone can show"), "{words}");
    for part in ["the feature `full`", "what threads waited for", "--record full"] {
        assert!(words.contains(part), "{part}: {words}");
    }
}

#[test]
fn events_are_in_the_order_of_time_and_indented() {
    check(
        &Bench::new(&request()),
        "events FILE --to 45us",
        r#"
  0.000001000  main    main {
  0.000002000  main      task request #1 begins
  0.000003000  main      queue = 3
  0.000010000  worker  task request #1 {
  0.000020000  worker    work::load(id=7, path="/tmp/a b") {
  0.000030000  worker      work::parse(n=0)  1.00 µs
  0.000040000  worker      work::parse(n=1)  1.10 µs
"#,
    );
    check(
        &Bench::new(&request()),
        "events FILE --from 130us",
        r#"
  0.000130000  main    main {  open since 0.000001000 s
  0.000130000  worker  task #1 {  open since 0.000010000 s
  0.000130000  worker    work::load {  open since 0.000020000 s
  0.000200000  worker      note: halfway
  0.000300000  worker    } work::load  280 µs  failed: "no such file"
  0.000310000  worker  } task #1  300 µs
  0.000320000  worker  * tick(n=1)
  0.000400000  main      task #1 ends
  0.000501000  main    } main  500 µs
"#,
    );
    check(
        &Bench::new(&request()),
        "events FILE --grep parse --top 2 --thread worker",
        "
  0.000030000  worker      work::parse(n=0)  1.00 µs
  0.000040000  worker      work::parse(n=1)  1.10 µs
",
    );
}

#[test]
fn tasks_are_drawn_as_trees() {
    check(
        &Bench::new(&request()),
        "tasks FILE",
        "
task     count    mean     p50     p90     p99     max  worked  hops
request      1  398 µs  398 µs  398 µs  398 µs  398 µs  300 µs     0

The slowest
request #1  398 µs, worked 300 µs in 1 run, at 0.000002000 s
",
    );
}

#[test]
fn regions_show_the_longest_with_arguments_and_results() {
    let run = Bench::new(&request()).run("regions FILE --longest 1");
    let load =
        r#"    280 µs at 0.000020000 s on worker  (id=7, path="/tmp/a b") failed: "no such file""#;
    assert!(run.out.contains(load), "{}", run.out);
    assert!(run.out.contains("   1.90 µs at 0.000120000 s on worker  (n=9)"), "{}", run.out);
}

#[test]
fn check_says_fine() {
    let run = Bench::new(&request()).run("check FILE");
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    assert!(run.out.contains("a.trace: fine\n21 events in 2 batches of 2 threads"), "{}", run.out);
}

#[test]
fn a_limit_is_kept_and_said() {
    let run = Bench::new(&long()).run("summary FILE --top 3");
    assert!(run.out.contains("… and 7 call sites: --top 0"), "{}", run.out);
    assert_eq!(run.out.matches("function_number").count(), 3);
    let run = Bench::new(&long()).run("regions FILE --longest 0 --sort name");
    let names: Vec<_> = run.out.lines().skip(1).map(|line| line.split(' ').next()).collect();
    assert!(names.is_sorted() && names.len() == 10, "{names:?}");
}

#[test]
fn json_has_the_same_numbers_and_the_documented_fields() {
    let bench = Bench::new(&request());
    let all = json(&bench, "summary FILE --json");
    let main = &all["regions"][0];
    assert_eq!((&main["name"], &main["module"]), (&Value::from("main"), &Value::from("app")));
    assert_eq!((&main["self_ns"], &main["max_ns"]), (&Value::from(500_000), &Value::from(500_000)));
    let load = &all["regions"][1]["outliers"][0];
    assert_eq!(load["arguments"], serde_json::json!({"id": 7, "path": "/tmp/a b"}));
    assert_eq!(load["outcome"], "failed");
    assert_eq!(load["result"], serde_json::json!(["no such file"]));
    assert_eq!(all["tasks"]["slowest"][0]["latency_ns"], 398_000);
    assert_eq!(all["counters"][0]["last"], 3);
    assert_eq!((&all["has_loss"], &all["trace"]["stopped"]), (&false.into(), &true.into()));
    // Every field that is printed is documented.
    let documented = include_str!("../../JSON.md");
    check_documented(&all, documented);
    for line in bench.run("events FILE --json").out.lines() {
        let event: Value = serde_json::from_str(line).expect("each line is JSON");
        assert!(documented.contains(&format!("`{}`", event["kind"].as_str().unwrap_or("?"))));
        check_documented(&event, documented);
    }
    for verb in ["regions", "tasks", "threads", "check"] {
        let part = json(&bench, &format!("{verb} FILE --json"));
        for (name, value) in part.as_object().expect("an object") {
            if let Some(of_all) = all.get(name).filter(|_| name != "tasks" && name != "regions") {
                assert_eq!(value, of_all, "{verb} {name}");
            }
        }
    }
}

fn check_documented(value: &Value, documented: &str) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                assert!(documented.contains(&format!("`{name}`")), "{name} is not in JSON.md");
                if name != "arguments" {
                    check_documented(value, documented);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| check_documented(item, documented)),
        _ => {}
    }
}

#[test]
fn windows_and_threads_narrow_every_command() {
    let bench = Bench::new(&long());
    let whole = json(&bench, "summary FILE --json");
    let part = json(&bench, "summary FILE --json --from 5ms --to 10ms --thread worker-2");
    assert_eq!((&part["from_ns"], &part["to_ns"]), (&5_000_000.into(), &10_000_000.into()));
    assert_eq!(part["threads"].as_array().map(Vec::len), Some(1));
    let counts = |of: &Value| -> u64 {
        let regions = of["regions"].as_array().expect("a list");
        regions.iter().filter_map(|region| region["count"].as_u64()).sum()
    };
    assert_eq!((counts(&whole), counts(&part)), (22_000, 1375));
    let by_id = json(&bench, "threads FILE --json --thread 2");
    assert_eq!(by_id["threads"][0]["name"], "worker-2");
    let events = bench.run("events FILE --from 5ms --to 10ms --thread worker-2");
    assert!(events.out.lines().all(|line| line.contains("worker-2")));
    let beyond = bench.run("summary FILE --from 10s");
    assert_eq!(beyond.code, Some(0));
    assert!(beyond.err.contains("the trace is 20.0 ms long"), "{}", beyond.err);
}

#[test]
fn every_kind_of_event_has_a_line_and_a_documented_kind() {
    let bench = Bench::new(&trace_format::testgen::everything(Compression::None));
    let people = bench.run("events FILE");
    let programs = bench.run("events FILE --json");
    assert_eq!(people.out.lines().count(), programs.out.lines().count());
    let kinds: BTreeSet<_> = programs
        .out
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).expect("each line is JSON");
            check_documented(&line, include_str!("../../JSON.md"));
            line["kind"].as_str().expect("it has a kind").to_owned()
        })
        .collect();
    for kind in ["region", "region_begin", "region_end", "poll", "task_run", "log", "counter"] {
        assert!(kinds.contains(kind), "{kind} is not among {kinds:?}");
    }
    for kind in ["instant", "task_begin", "task_end", "future_begin", "future_end", "dropped"] {
        assert!(kinds.contains(kind), "{kind} is not among {kinds:?}");
    }
    for kind in ["task_link", "future_spawn", "wake", "ready", "unwakeable"] {
        assert!(kinds.contains(kind), "{kind} is not among {kinds:?}");
    }
}
