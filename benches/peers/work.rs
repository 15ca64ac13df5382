//! The program that is measured: tasks that yield, and tasks that wake each other.

use crate::subject::Spawn;
use std::future::poll_fn;
use std::pin::pin;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;
use tokio::task::yield_now;

/// Number of tasks that live at once.
const TASKS: usize = 200;

/// How often each task yields, or answers.
const TURNS: usize = 50;

/// Number of polls of tasks that have ended. tokio's own count leaves out those of its LIFO slot.
static POLLS: AtomicU64 = AtomicU64::new(0);

/// What tasks do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Each task yields.
    Yield,
    /// The two tasks of a pair wake each other in turn, through channels.
    Wake,
}

impl Work {
    pub(crate) const ALL: [Self; 2] = [Self::Yield, Self::Wake];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Yield => "yield",
            Self::Wake => "wake",
        }
    }

    /// Runs one round: a task spawns all others, and joins them.
    pub(crate) async fn round<S: Spawn>(self) {
        S::spawn(counted(self.all::<S>())).await.expect("no task panics");
    }

    async fn all<S: Spawn>(self) {
        let tasks: Vec<_> = match self {
            Self::Yield => (0..TASKS).map(|_| S::spawn(counted(yields()))).collect(),
            Self::Wake => (0..TASKS / 2).flat_map(|_| pair::<S>()).collect(),
        };
        for task in tasks {
            task.await.expect("no task panics");
        }
    }
}

impl FromStr for Work {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|work| work.name() == name).ok_or(())
    }
}

/// Number of polls of tasks.
pub(crate) fn polls() -> u64 {
    POLLS.load(Ordering::Relaxed)
}

/// Counts the polls of `future` in a local word, and adds them up when it ends.
async fn counted(future: impl Future<Output = ()>) {
    let mut future = pin!(future);
    let mut polls = 0;
    poll_fn(|context| {
        polls += 1;
        future.as_mut().poll(context)
    })
    .await;
    POLLS.fetch_add(polls, Ordering::Relaxed);
}

async fn yields() {
    for _ in 0..TURNS {
        yield_now().await;
    }
}

fn pair<S: Spawn>() -> [tokio::task::JoinHandle<()>; 2] {
    let (ask, asked) = mpsc::channel(1);
    let (answer, answered) = mpsc::channel(1);
    [S::spawn(counted(asks(ask, answered))), S::spawn(counted(answers(asked, answer)))]
}

async fn asks(ask: mpsc::Sender<usize>, mut answered: mpsc::Receiver<usize>) {
    for turn in 0..TURNS {
        ask.send(turn).await.expect("it is there until this ends");
        assert_eq!(answered.recv().await, Some(turn));
    }
}

async fn answers(mut asked: mpsc::Receiver<usize>, answer: mpsc::Sender<usize>) {
    while let Some(turn) = asked.recv().await {
        answer.send(turn).await.expect("it waits for the answer");
    }
}
