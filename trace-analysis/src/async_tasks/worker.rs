//! One thread: what is open on it, and the polls it did last.

use std::collections::VecDeque;

use trace_format::id::{FutureId, Open, ThreadId};
use trace_format::time::Nanos;

use super::{Link, Worker};

/// Deeper nesting is counted, not kept: a writer of such a trace is not ours.
const FRAMES_MAX: usize = 4096;

/// So many of a thread's last polls are remembered, to say what others waited for.
const RECENT_MAX: usize = 64;

/// Faster things are not worth a place in a chain, faster polls not one in a thread's memory.
pub(super) const LINK_NANOS_MIN: u64 = 50_000;

/// A chain is cut behind so many.
const CHAIN_MAX: usize = 8;

/// Something open on a thread.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) open: Open,
    pub(super) begin: u64,
    /// How long it had been open before what is read: `begin` is its first moment then.
    pub(super) older: u64,
    /// Something was recorded inside.
    pub(super) is_full: bool,
    /// What took longest inside, and in that, and so on.
    pub(super) chain: Vec<Link>,
}

/// A poll of a task that is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recent {
    pub(super) serial: u64,
    pub(super) task: FutureId,
    pub(super) sums: usize,
    pub(super) begin: u64,
    pub(super) end: u64,
    /// How long it had gone on before what is read.
    pub(super) older: u64,
    /// From when on another task was ready that ran here later; its end if none was.
    pub(super) starved_from: u64,
}

/// One thread.
#[derive(Debug)]
pub(super) struct Thread {
    pub(super) frames: Vec<Frame>,
    /// Frames beyond the limit.
    too_deep: u64,
    pub(super) recent: VecDeque<Recent>,
    pub(super) sums: Worker,
}

impl Thread {
    pub(super) fn new(thread: ThreadId) -> Self {
        Self {
            frames: Vec::new(),
            too_deep: 0,
            recent: VecDeque::new(),
            sums: Worker { thread, ..Worker::default() },
        }
    }

    /// The future that is polled innermost.
    pub(super) fn innermost_poll(&self) -> Option<FutureId> {
        self.frames.iter().rev().find_map(|frame| match frame.open {
            Open::Poll(future) => Some(future),
            _ => None,
        })
    }

    pub(super) fn is_polling(&self, future: FutureId) -> bool {
        self.frames.iter().any(|frame| frame.open == Open::Poll(future))
    }

    /// Something happens inside the innermost.
    #[inline]
    pub(super) fn touch(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.is_full = true;
        }
    }

    pub(super) fn push(&mut self, open: Open, begin: u64) {
        if self.frames.len() >= FRAMES_MAX {
            self.too_deep += 1;
            return;
        }
        self.frames.push(Frame { open, begin, older: 0, is_full: false, chain: Vec::new() });
    }

    /// Closes what was opened last; nothing if that is not kept, or nothing is open.
    pub(super) fn pop(&mut self) -> Option<Frame> {
        if self.too_deep > 0 {
            self.too_deep -= 1;
            return None;
        }
        self.frames.pop()
    }

    /// Forgets what is open: events are missing.
    pub(super) fn lose(&mut self) -> Vec<Frame> {
        self.too_deep = 0;
        std::mem::take(&mut self.frames)
    }

    /// Something is over that was in what is innermost now. `link`: what to call it; what has no
    /// name only passes on what was in it.
    pub(super) fn add_link(&mut self, link: Option<Link>, inner: Vec<Link>) {
        let Some(frame) = self.frames.last_mut() else { return };
        let own =
            link.map_or_else(|| inner.first().map_or(0, |it| it.duration.0), |it| it.duration.0);
        let most = frame.chain.first().map_or(0, |it| it.duration.0);
        if own < LINK_NANOS_MIN || own <= most {
            return;
        }
        frame.chain = link.into_iter().chain(inner).take(CHAIN_MAX).collect();
    }

    /// A task's poll is over.
    pub(super) fn remember(&mut self, recent: Recent) {
        if self.recent.len() >= RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(recent);
    }

    /// Counts a poll that no other is around.
    pub(super) fn add_poll(&mut self, nanos: u64, older: u64, long: u64) {
        let whole = nanos.saturating_add(older);
        let sums = &mut self.sums;
        sums.polls += 1;
        sums.busy.0 = sums.busy.0.saturating_add(nanos);
        sums.longest = sums.longest.max(Nanos(whole));
        sums.long_polls += u64::from(whole >= long);
    }
}
