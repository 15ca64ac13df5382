//! A wall clock that is set while a trace runs: no event's time is of it, and what it said is told.

use std::ops::ControlFlow;
use trace_format::read::{TraceFile, Window};
use trace_format::text::from_text;
use trace_format::time::{Nanos, Ticks};

const STEPPED: &str = include_str!("../../testdata/golden/clock-steps.txt");

/// The same as if nobody had set it.
fn steady() -> String {
    let lines = STEPPED.lines().map(|line| {
        match line.split_once(" wall 1").or_else(|| line.split_once(" wall 0")) {
            Some((clock, _)) => {
                let nanos = clock.rsplit(' ').next().and_then(|it| it.parse().ok());
                let nanos: u64 = nanos.expect("monotonic time stands before");
                format!("{clock} wall {}", 1_700_000_000_000_000_000 + nanos - 500)
            }
            None => line.to_owned(),
        }
    });
    lines.map(|line| line + "\n").collect()
}

/// When each event was, by the monotonic clock and by the wall clock.
fn times(text: &str) -> Vec<(Nanos, Nanos)> {
    let bytes = from_text(text).expect("a trace as text");
    let file = TraceFile::open(&bytes[..]).expect("a trace");
    assert!(file.is_complete() && file.faults().is_empty());
    let clock = file.tables().clock.clone();
    assert_eq!((clock.is_known(), clock.rejected()), (true, 0), "it contradicts nothing");
    let mut times = Vec::new();
    let walked = file.in_order(Window::default()).for_each(|timed| {
        let ticks = timed.event.ticks;
        times.push((clock.nanos(ticks), clock.wall(ticks)));
        assert_eq!(clock.duration(ticks, Ticks(10)), Nanos(5));
        ControlFlow::Continue(())
    });
    assert!(matches!(walked, Ok(ControlFlow::Continue(()))), "{walked:?}");
    times
}

#[test]
fn a_wall_clock_that_is_set_moves_no_event() {
    let (stepped, steady) = (times(STEPPED), times(&steady()));
    let monotonic = |times: &[(Nanos, Nanos)]| times.iter().map(|it| it.0.0).collect::<Vec<_>>();
    assert_eq!(monotonic(&stepped), monotonic(&steady));
    assert_eq!(monotonic(&stepped), [50, 550, 1050, 1550]);
}

#[test]
fn what_the_wall_clock_said_is_told() {
    let wall: Vec<_> = times(STEPPED).iter().map(|it| it.1.0).collect();
    let start = 1_700_000_000_000_000_000;
    let (hour, day) = (3_600_000_000_000, 86_400_000_000_000);
    assert_eq!(wall, [start + 50, start - hour + 550, start - hour + day + 1050, 50]);
}
