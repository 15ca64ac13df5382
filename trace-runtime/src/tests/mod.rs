//! Loom models of the hand-over between recording threads and the collector: every interleaving of
//! small programs, on the very code that records. `RUSTFLAGS="--cfg exectrace_loom" cargo test -p
//! trace-runtime --lib --release`.
//!
//! Each invariant has a model: `batch` B1 to B5, `thread` T1 to T5, `drain` D1 and D2, `memory` M1
//! and M2, `session` the retiring of threads and L1, `intern` N1 to N5, `resources` E1 to E4,
//! `heap` H1 to H6, `pool` W1, `liveness` R1 and R2, `registry` F1 and F2, `arena` A1, `inbox` Q1
//! and Q2, `running` S1 and S2, `thread_ref` P1, `open_tasks` K1 and K2. Bytes are raw memory,
//! which loom does not see; `Touches` tells it.

mod arena;
mod batch;
mod drain;
mod heap;
mod inbox;
mod intern;
mod liveness;
mod memory;
mod open_tasks;
mod pool;
mod registry;
mod resources;
mod running;
mod session;
mod thread;
mod thread_ref;

use crate::base::options::Options;
use crate::buffer::batch::Batch;
use crate::buffer::memory::{BATCH_BYTES_MIN, allocate};
use crate::collect::drain::Drain;
use crate::session::Session;
use crate::sys::clock;
use crate::thread::encoded::EventHead;
use crate::thread::refill::Patience;
use crate::thread::thread_ref::{StateRoom, ThreadRef};
use crate::thread::{RecordingThread, ThreadIdentity};
use std::sync::Arc;
use trace_format::event::{Event, Events};
use trace_format::id::ThreadId;

/// Explores `model` under every interleaving with at most three preemptions, which is where the
/// published bugs of such protocols are.
fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        clock::fake::set(1);
        model();
    });
}

/// A thread in a session of its own, with a first batch.
fn thread() -> ThreadRef {
    let session = Arc::new(Session::new(&Options::default()));
    let batch = allocate(BATCH_BYTES_MIN).expect("there is no bound here");
    let room = StateRoom::new().expect("there is memory");
    room.fill(RecordingThread::new(
        session,
        ThreadId(1),
        batch,
        clock::ticks(),
        ThreadIdentity::default(),
    ))
}

/// Begins a region of call site 1, without a threshold.
fn begin(thread: &RecordingThread) -> u64 {
    // SAFETY: every model records on one loom thread only.
    unsafe { thread.begin(EventHead::region(1), 1 << 2, 0, Patience::Waits) }
}

fn end(thread: &RecordingThread, begin: u64) {
    // SAFETY: as above.
    unsafe { thread.end(begin, 1 << 2, Patience::Waits) };
}

/// One piece, as the sink gets it.
#[derive(Debug)]
struct Piece {
    sequence: u32,
    offset: u32,
    base: u64,
    events: u32,
    bytes: Vec<u8>,
}

impl Piece {
    /// Its events, all of them whole.
    fn decode(&self) -> Vec<Event<'_>> {
        let base = trace_format::time::Ticks(self.base);
        let events = Events::new(ThreadId(1), base, &self.bytes);
        events.map(|event| event.expect("a piece is whole events")).collect()
    }
}

/// What a walk hands out now.
fn drain(drain: &mut Drain, pieces: &mut Vec<Piece>) {
    drain.drain(1, &mut |info, bytes, _| {
        pieces.push(Piece {
            sequence: info.sequence,
            offset: info.offset,
            base: info.base_ticks.0,
            events: info.events,
            bytes: bytes.to_vec(),
        });
    });
}

/// A batch that a test owns for a while.
fn batch() -> Box<Batch> {
    Batch::new(16).expect("there is memory")
}
