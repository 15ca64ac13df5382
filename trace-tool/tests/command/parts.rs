//! A part of a trace: which threads can be asked for; and what commands say shows more is about the
//! same part.

use crate::common::{Bench, Run, check, command, convoy, json};
use trace_format::batch::Compression;
use trace_format::definition::CallsiteKind;
use trace_format::testgen::TraceBuilder;

fn run(bench: &Bench, words: &[&str]) -> Run {
    let mut command = command();
    Run::new(&command.args(words).arg(bench.path("a.trace")).output().expect("it runs"))
}

#[test]
fn a_thread_that_the_trace_does_not_describe_can_be_asked_for() {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.callsite(1, CallsiteKind::Region, "work");
    trace.thread(1, "main");
    trace.region(1, 1, 1_000, 100);
    trace.region(7, 1, 2_000, 100);
    // Its process was killed before it could describe the other thread.
    let bench = Bench::new(&trace.killed());
    let all = bench.run("threads FILE").out;
    assert!(all.contains("main") && all.contains("thread 7"), "{all}");
    for name in ["thread 7", "#7", "7"] {
        let run = run(&bench, &["threads", "--thread", name]);
        assert!(run.out.contains("thread 7") && !run.out.contains("main"), "{name}: {}", run.out);
        assert_eq!(run.code, Some(1), "{name}: {}", run.err);
    }
    let other = run(&bench, &["threads", "--thread", "thread 8"]);
    let said = "exectrace: no thread `thread 8` in the trace; there are main, thread 7\n";
    assert_eq!((other.code, other.err.as_str()), (Some(2), said));
}

#[test]
fn of_a_trace_without_threads_none_is_named() {
    let bench = Bench::new(&TraceBuilder::started(Compression::None).stop(1_000_000));
    let said = "exectrace: no thread `main` in the trace; there are none\n";
    assert_eq!(bench.run("threads FILE --thread main").err, said);
}

#[test]
fn a_command_that_shows_more_is_about_the_same_part_of_the_trace() {
    let bench = Bench::new(&convoy::convoy());
    let path = bench.path("a.trace").display().to_string();
    for part in ["", " --from 0.05s --to 0.4s", " --to 0.4s --thread slow-poke"] {
        let run = bench.run(&format!("explain FILE --top 0{part}"));
        let lines = run.out.lines().filter_map(|line| line.trim().strip_prefix("more: exectrace "));
        let lines: Vec<_> = lines.collect();
        assert!(!lines.is_empty(), "{part}: {}", run.out);
        for line in &lines {
            // The heap has moments.
            let part = match line.starts_with("heap") {
                true => part.replace("--to", "--at").replace(" --thread slow-poke", ""),
                false => part.to_owned(),
            };
            assert!(line.ends_with(&part), "`{line}` is not about{part}");
            assert_eq!(line.contains("--from"), part.contains("--from"), "{line}");
            let more = bench.run(line);
            assert_eq!(more.code, Some(0), "`{line}`: {}", more.err);
        }
        let answer = json(&bench.run(&format!("explain FILE --json --top 0{part}")));
        let insights = answer["insights"].as_array().expect("a list").iter();
        let functions = std::iter::once(&answer["functions_command"]);
        let commands = insights.map(|it| &it["command"]).chain(functions);
        let commands = commands.map(|it| it.as_str().expect("a text"));
        let commands: Vec<_> = commands.filter(|it| !it.is_empty()).collect();
        let shown: Vec<_> =
            lines.iter().map(|it| it.replacen(&format!(" {path}"), "", 1)).collect();
        assert_eq!(commands, shown, "text and JSON give the same commands");
    }
    let summary = bench.run("summary FILE --from 0.05s");
    for verb in ["more: exectrace blocked", "in words: exectrace explain"] {
        check(&summary, &[&format!("{verb} {path} --from 0.05s\n")]);
    }
}
