//! What `async` and others say of async tasks, on a trace whose every time is known.

use crate::common::{Bench, Words as _, check, convoy, json, server};
use trace_format::batch::Compression;
use trace_format::definition::CallsiteKind;
use trace_format::event::EventKind;
use trace_format::id::{FutureId, SiteId, StackId, TaskId};
use trace_format::testgen::TraceBuilder;
use trace_format::time::Ticks;

fn bench() -> Bench {
    Bench::new(&server::server())
}

#[test]
fn the_first_screen_says_who_blocks_who_waits_for_whom_and_who_is_stuck() {
    let run = bench().run("async FILE");
    check(
        &run,
        &[
            "112 async tasks, 2 alive at the end, 212 polls, busy 176 ms",
            "Blocked workers: 5 polls of 10.0 ms or more",
            "30.3 ms  report (src/main.rs:30) kept worker-0 from 0.015020000 s on, and so did 4",
            "sleep 99.0%: in clock_nanosleep at app::render (src/app.rs:31)",
            "inside: render 30.2 ms",
            "5 times a ready task waited behind them: handler for 30.2 ms",
            "629 ms  handler waited for tokio mutex at app::handler (src/app.rs:88), 75 times",
            "held by writer (src/main.rs:20) up to 8.05 ms (task 11), released at app::writer",
            "held across an await: for 98.8% of 201 ms in all it waited for tokio timer at \
             app::writer (src/app.rs:66)",
            "541 ms  orphan (task 1) waits for tokio oneshot at app::orphan (src/app.rs:12): lost",
            "worker-1    202      4.4%   32.3%       0%        200 µs",
        ],
    );
    let lines = run.out.lines().count();
    assert!((24..=40).contains(&lines), "{lines} lines are no screen:\n{}", run.out);
    let at = |text| run.out.find(text).unwrap_or(usize::MAX);
    let order = ["Blocked workers", "What tasks waited for", "by spawn site", "Unfinished"].map(at);
    assert!(order.is_sorted() && order[3] < usize::MAX, "{order:?}");
    assert!(at("for tokio mutex") < at("for tokio socket"), "a lock is worth more than a rest");
}

#[test]
fn summary_names_what_tasks_waited_for_where_that_holds_the_program_up_the_most() {
    let bench = bench();
    let run = bench.run("summary FILE");
    let path = bench.path("a.trace").display().to_string();
    check(
        &run,
        &[
            "Top wait: 629 ms in 75 waits, tokio mutex at app::handler (src/app.rs:88), of async \
             tasks handler",
            &format!("  more: exectrace async {path}\n"),
        ],
    );
    let answer = json(&bench.run("summary FILE --json"));
    let top = &answer["top_async_wait"];
    assert_eq!((&top["count"], &top["awaited"]), (&75.into(), &"mutex".into()), "{top:#}");
}

/// A task that is spawned on a worker, beside a thread that is none.
fn waiter() -> (TraceBuilder, FutureId) {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.site(1, CallsiteKind::Future, "app::waiter", &[]);
    trace.thread(1, "worker");
    trace.thread(2, "main");
    let (future, site, stack) = (FutureId(1), SiteId(1), StackId(0));
    let (parent, task) = (FutureId(0), TaskId(0));
    trace.event(1, 0, EventKind::FutureSpawn { future, parent, task, site, stack });
    (trace, future)
}

#[test]
fn a_wake_by_no_task_and_times_of_nothing_are_said_in_words() {
    let (mut trace, future) = waiter();
    let (waits_at, duration) = (StackId(0), Ticks(100));
    trace.event(1, 1_000, EventKind::Poll { future, waits_at, duration });
    trace.event(2, 5_000, EventKind::Wake { future, stack: StackId(0) });
    trace.event(1, 6_000, EventKind::Poll { future, waits_at, duration });
    let bench = Bench::new(&trace.stop(10_000));
    let run = bench.run("async FILE");
    check(&run, &["woken by a thread outside of any task: 50.0% of it", "life p50"]);
    assert!(!run.out.contains(" 0 ns"), "no task has ended: {}", run.out);
    let run = bench.run("summary FILE");
    let row = run.out.lines().find(|line| line.contains("waiter")).expect("a row");
    assert!(!row.contains(" 0 ns") && row.contains(" - "), "no future has ended: {}", run.out);
}

#[test]
fn what_is_asked_for_is_shown_and_no_more() {
    let bench = bench();
    let run = bench.run("async FILE --site writer");
    check(&run, &["25 async tasks", "no worker was blocked: no poll took 10.0 ms"]);
    check(&run, &["no unfinished task has waited for 100 ms", "writer waited for tokio timer"]);
    assert!(!run.out.contains("orphan"), "{}", run.out);
    check(&bench.run("async FILE --idle 600ms"), &["no unfinished task has waited for 600 ms"]);
    let top = bench.run("async FILE --top 1");
    check(&top, &["… and 3 more: --top 0", "… and 1 more: --top 0"]);
    let all = bench.run("async FILE --top 0");
    check(&all, &["248 ms  writer waited for tokio timer"]);
    assert!(!all.out.contains("--top 0"), "{}", all.out);
    let window = bench.run("async FILE --from 100ms --to 115ms");
    check(&window, &["no worker was blocked", "held across an await"]);
    let wrong = bench.run("async FILE --idle 5");
    assert_eq!((wrong.code, wrong.out.as_str()), (Some(2), ""), "{}", wrong.err);
}

#[test]
fn polls_of_a_thread_are_counted_apart_and_tasks_are_of_all_threads() {
    let bench = bench();
    let [one, other] = ["worker-0", "worker-1"].map(|thread| {
        let run = bench.run(&format!("async FILE --thread {thread}"));
        check(&run, &["112 async tasks of all threads, 2 alive at the end", "on 1 thread"]);
        (run.out, json(&bench.run(&format!("async FILE --thread {thread} --json"))))
    });
    // 5 reports and the 5 handlers behind them; all else is on the other.
    for (answer, polls, long, longest) in [(&one, 10, 5, 30_280_000), (&other, 202, 0, 200_000)] {
        let (text, answer) = answer;
        assert!(text.contains(&format!("; {polls} polls, busy ")), "{text}");
        assert_eq!(answer["totals"]["polls"], polls);
        assert_eq!(answer["workers"].as_array().map(Vec::len), Some(1));
        assert_eq!(answer["workers"][0]["polls"], polls);
        assert_eq!(answer["long_polls_count"], long);
        assert_eq!(answer["longest_poll_ns"], longest);
    }
    assert!(one.0.contains("Blocked workers: 5 polls of 10.0 ms or more"), "{}", one.0);
    assert!(other.0.contains("no worker was blocked: no poll took 10.0 ms"), "{}", other.0);
    assert!(!other.0.contains("worker-0"), "{}", other.0);
    assert_eq!(other.1["long_polls"].as_array().map(Vec::len), Some(0));
    assert_eq!(one.1["long_polls"][0]["count"], 5);
}

/// Eight tasks block `worker-0` eight times for a second each, which is as many as are kept; a
/// ninth one blocks `worker-1` for half a second.
fn nine() -> Vec<u8> {
    let mut trace = TraceBuilder::started(Compression::None);
    trace.thread(1, "worker-0");
    trace.thread(2, "worker-1");
    for id in 1..=9 {
        let name = if id == 9 { "app::ninth".to_owned() } else { format!("app::other_{id}") };
        trace.site(id, CallsiteKind::Future, &name, &[]);
        let (future, site) = (FutureId(id.into()), SiteId(id));
        let (parent, task, stack) = (FutureId(0), TaskId(0), StackId(0));
        let spawn = EventKind::FutureSpawn { future, parent, task, site, stack };
        trace.event(2, u64::from(id), spawn);
    }
    let mut poll = |thread, at: u64, future, duration| {
        let (waits_at, duration) = (StackId(0), Ticks(duration));
        trace.event(thread, at, EventKind::Poll { future: FutureId(future), waits_at, duration });
    };
    for (at, task) in (0..8).flat_map(|round| (1..=8).map(move |task| (round * 8 + task, task))) {
        poll(1, at * 1_100_000_000, task, 1_000_000_000);
    }
    poll(2, 1_000_000_000, 9, 500_000_000);
    trace.stop(80_000_000_000)
}

#[test]
fn a_blocked_worker_is_not_denied_because_others_were_blocked_for_longer() {
    let bench = Bench::new(&nine());
    let thread = bench.run("async FILE --thread worker-1");
    check(&thread, &["Blocked workers: 1 poll of 10.0 ms or more", "500 ms  ninth"]);
    let site = bench.run("async FILE --site ninth");
    check(&site, &["Blocked workers: 1 poll of 10.0 ms or more", "(none of them is among"]);
    for (asked, shown) in [("--thread worker-1", 1), ("--site ninth", 0)] {
        let answer = json(&bench.run(&format!("async FILE {asked} --json")));
        assert_eq!(answer["long_polls_count"], 1, "{asked}");
        assert_eq!(answer["longest_poll_ns"], 500_000_000, "{asked}");
        assert_eq!(answer["long_polls"].as_array().map(Vec::len), Some(shown), "{asked}");
    }
}

#[test]
fn where_there_are_no_tasks_it_says_why() {
    let run = Bench::new(&convoy::convoy()).run("async FILE");
    assert_eq!((run.code, run.out.as_str()), (Some(0), ""));
    assert!(run.err.contains("no async tasks"), "{}", run.err);
    let run = bench().run("async FILE --site nobody");
    assert!(run.err.contains("no spawn site is called `nobody`"), "{}", run.err);
}

#[test]
fn programs_get_all_of_it() {
    let answer = json(&bench().run("async FILE --json --top 0"));
    let sites = answer["sites"].as_array().expect("sites");
    let handler = sites.iter().find(|site| site["name"] == "handler").expect("handlers");
    assert_eq!((&handler["count"], &handler["polls"]), (&80.into(), &155.into()));
    assert_eq!((&handler["spawned"], &handler["returned"]), (&true.into(), &80.into()));
    assert_eq!(answer["children"][0]["name"], "render");
    let poll = &answer["polls"][0];
    assert_eq!(
        (&poll["task"]["name"], &poll["thread_name"]),
        (&"report".into(), &"worker-0".into())
    );
    assert_eq!(poll["duration_ns"], 30_280_000);
    assert_eq!(poll["doing"]["times"]["blocked"]["sleep"], 29_980_000);
    assert_eq!(poll["culprit"]["frames"][1]["line"], 31);
    assert_eq!(poll["delayed_most"]["ready_ns"], 30_250_000);
    let delay = &answer["delays"][0];
    assert_eq!(
        (&delay["task"]["name"], &delay["duration_ns"]),
        (&"handler".into(), &30_450_000.into())
    );
    assert_eq!(delay["behind"]["task"]["name"], "report");
    let waits = answer["waits"].as_array().expect("waits");
    let lock = waits.iter().find(|wait| wait["awaited"] == "mutex").expect("a mutex");
    assert_eq!((&lock["library"], &lock["count"]), (&"tokio".into(), &75.into()));
    assert_eq!(
        (&lock["place"]["function"], &lock["place"]["line"]),
        (&"app::handler".into(), &88.into())
    );
    let holder = &lock["holders"][0];
    assert_eq!((&holder["name"], &holder["count"]), (&"writer".into(), &25.into()));
    assert_eq!(
        (&holder["held_ns"], &holder["idle_ns"]),
        (&201_250_000.into(), &198_750_000.into())
    );
    assert_eq!(holder["idle"]["awaited"], "timer");
    let orphan = &answer["unfinished"][0];
    assert_eq!((&orphan["task"]["name"], &orphan["unwakeable"]), (&"orphan".into(), &true.into()));
    assert_eq!((&orphan["phase"], &orphan["since_ns"]), (&"idle".into(), &250_000.into()));
    assert_eq!(answer["workers"][0]["starved_ns"], 5 * 30_250_000);
}

#[test]
fn all_who_woke_tasks_are_counted_and_the_first_are_listed() {
    let (mut trace, future) = waiter();
    let (waits_at, duration) = (StackId(0), Ticks(100));
    for round in 1..=12 {
        let (place, at) = (StackId(round), u64::from(round) * 10_000);
        trace.stack(round, &[u64::from(round) * 0x100]);
        trace.symbol(u64::from(round) * 0x100, &[(&format!("app::f{round}"), "src/app.rs", round)]);
        trace.event(1, at, EventKind::Poll { future, waits_at, duration });
        trace.event(2, at + 5_000, EventKind::Wake { future, stack: place });
    }
    let answer = json(&Bench::new(&trace.stop(200_000)).run("async FILE --json"));
    let group = &answer["waits"][0];
    assert_eq!(group["wakers"].as_array().expect("a list").len(), 8, "{group}");
    assert_eq!(group["wakers_count"], 12);
}

#[test]
fn explain_and_summary_know_of_it() {
    let bench = bench();
    check(
        &bench.run("explain FILE"),
        &[
            "a poll of report (src/main.rs:30) kept worker-0 for 30.3 ms: sleep for 99% of it",
            "while writer (src/main.rs:20) held it across an await: for tokio timer at app::writer",
            "1 async task (orphan (src/main.rs:40)) can't go on",
            "more: exectrace async",
        ],
    );
    let insights = json(&bench.run("explain FILE --json"));
    let kinds = insights["insights"].as_array().expect("insights").iter();
    let kinds: Vec<_> = kinds.filter_map(|it| it["kind"].as_str()).collect();
    assert_eq!(kinds, ["leaked_tasks", "lock_across_await", "blocked_worker"]);
    let more = format!("of report\n  more: exectrace async {}\n", bench.path("a.trace").display());
    check(&bench.run("summary FILE"), &["Longest poll: 30.3 ms, ", &more]);
}
