//! What a ring has of one generation.

use crate::buffer::losses::Reported;
use crate::session::process;
use std::collections::VecDeque;
use std::sync::Arc;
use trace_format::batch::BatchInfo;
use trace_format::definition::Definition;
use trace_format::id::ThreadId;
use trace_format::time::{ClockSnapshot, Ticks};

/// What a piece takes besides its payload: in memory, and (less) in a file with its entry in the
/// index.
const PIECE_OVERHEAD: usize = 144;

/// Some bytes of one thread's events.
#[derive(Debug)]
pub(in crate::output) struct RingPiece {
    pub(in crate::output) info: BatchInfo,
    pub(in crate::output) payload: Box<[u8]>,
    /// What its thread has lost, as the events up to it report.
    pub(in crate::output) reported: Reported,
}

/// What a generation began with, and its pieces.
#[derive(Clone, Debug)]
pub(in crate::output) struct RingGeneration {
    pub(in crate::output) begin: Ticks,
    pub(in crate::output) clock: Option<ClockSnapshot>,
    /// States of threads: what was open.
    pub(in crate::output) states: Vec<Definition<'static>>,
    /// What had been lost by then that no event reports: by signal handlers of each thread, if any,
    /// and by threads that could not be attached.
    pub(in crate::output) interrupted: Vec<(ThreadId, u64)>,
    pub(in crate::output) unattached: u64,
    /// Threads that ended in it.
    pub(super) ended: Vec<ThreadId>,
    /// Definitions of resources whose names were given up in it: its events may use them.
    pub(super) names: Vec<u8>,
    /// Other definitions of its beginning, and their number.
    pub(in crate::output) rest: Vec<u8>,
    pub(in crate::output) rest_count: u32,
    pub(in crate::output) pieces: VecDeque<Arc<RingPiece>>,
    pub(super) bytes: usize,
}

impl RingPiece {
    /// Bytes that it takes, in memory and at most in a file.
    pub(super) fn bytes(&self) -> usize {
        self.payload.len() + PIECE_OVERHEAD
    }
}

impl RingGeneration {
    pub(super) fn new(begin: Ticks) -> Self {
        Self {
            begin,
            clock: None,
            states: Vec::new(),
            interrupted: Vec::new(),
            unattached: process::unattached(),
            ended: Vec::new(),
            names: Vec::new(),
            rest: Vec::new(),
            rest_count: 0,
            pieces: VecDeque::new(),
            bytes: 0,
        }
    }
}
