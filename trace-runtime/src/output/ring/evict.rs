//! What a ring drops when its bytes exceed the bound, or when the system has no memory for it.

use super::generation::RingPiece;
use super::{Ring, STATE_BYTES};
use crate::sys::headroom;
use trace_format::id::ThreadId;

/// Memory that must be left for small allocations, whose failure ends the program.
const SMALL_BYTES: usize = 64 << 10;

/// Minimum memory for a snapshot until it is written.
const SNAPSHOT_BYTES: usize = 256 << 10;

impl Ring {
    /// Copies these bytes. If the system gives no memory, the oldest pieces are dropped to make
    /// room: the program must not end because of the recorder's memory. `None` if that was not
    /// enough.
    pub(super) fn copy(&mut self, payload: &[u8]) -> Option<Box<[u8]>> {
        let mut copy = Vec::new();
        while copy.try_reserve_exact(payload.len()).is_err() || !headroom::has(SMALL_BYTES) {
            // One for these bytes, and one for the small allocations that come with them.
            let is_gone = [self.drop_oldest(), self.drop_oldest()];
            if !is_gone[0] {
                return None;
            }
        }
        copy.extend_from_slice(payload);
        Some(copy.into())
    }

    /// Drops the oldest pieces until the rest fits.
    pub(super) fn evict(&mut self) {
        while self.bytes > self.bytes_max && self.drop_oldest() {}
    }

    /// Drops the oldest piece, or the oldest generation if it has no piece. False if there is
    /// nothing to drop.
    fn drop_oldest(&mut self) -> bool {
        let is_last = self.generations.len() == 1;
        let Some(oldest) = self.generations.front_mut() else { return false };
        match oldest.pieces.pop_front() {
            Some(piece) => {
                let bytes = piece.bytes();
                oldest.bytes -= bytes;
                self.bytes -= bytes;
                self.drop_piece(&piece);
            }
            None if is_last => return false,
            None => self.pop_generation(),
        }
        true
    }

    pub(super) fn pop_generation(&mut self) {
        let Some(oldest) = self.generations.pop_front() else { return };
        self.bytes -= oldest.bytes;
        self.dropped += 1;
        for piece in oldest.pieces {
            self.drop_piece(&piece);
        }
        oldest.ended.into_iter().for_each(|thread| self.forget_if_over(thread));
    }

    fn drop_piece(&mut self, piece: &RingPiece) {
        let thread = piece.info.thread;
        if let Some(known) = self.threads.get_mut(&thread) {
            known.pieces -= 1;
            known.reported = piece.reported.now;
            self.forget_if_over(thread);
        }
    }

    /// Forgets a thread that has ended if it has left nothing here: no event, and no loss in a
    /// generation that is here.
    pub(super) fn forget_if_over(&mut self, id: ThreadId) {
        let Some(known) = self.threads.get(&id) else { return };
        let is_over = match known.end {
            Some((_, lost, generation)) => lost == known.reported || generation <= self.dropped,
            None => id.as_cpu().is_some(),
        };
        if known.pieces == 0 && is_over {
            self.bytes -= known.bytes.len();
            self.threads.remove(&id);
        }
    }

    /// Drops the oldest pieces if the system has no memory for what a snapshot takes besides the
    /// pieces.
    pub(crate) fn make_room_for_snapshot(&mut self) {
        loop {
            let pieces: usize = self.generations.iter().map(|it| it.pieces.len()).sum();
            let states: usize = self.generations.iter().map(|it| it.states.len()).sum();
            let bytes = SNAPSHOT_BYTES + pieces * 16 + states * STATE_BYTES * 2;
            if headroom::has(bytes) || !self.drop_oldest() {
                return;
            }
        }
    }
}
