//! Passes a trace's bytes from the collector's thread to a client, which may be slow or disconnect.
//!
//! The bytes in between have a limit. If a client is slower than the program, the collector waits,
//! and the recorder drops events and counts them. Writing fails, and the recording ends, if the
//! client reads nothing for too long, if it is not done long after the recording's time, or if it
//! is gone.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use axum::body::{Bytes, HttpBody};
use http_body::Frame;

/// Maximum number of bytes that wait for the client; one more piece may be added.
const WAITING_BYTES_MAX: usize = 4 << 20;

/// Once a recording's time is over, sending the rest may take this many times the stall timeout.
/// Without this limit a client that reads a little now and then would keep all others from
/// recording.
const REST_STALLS: u32 = 12;

/// Limits that end a recording before its time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) bytes_max: u64,
    pub(crate) stall_timeout: Duration,
}

/// What both ends share.
#[derive(Debug)]
struct Pipe {
    state: Mutex<State>,
    /// Notified when there is room, or a reason to end.
    change: Condvar,
    limits: Limits,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<Bytes>,
    waiting: usize,
    written: u64,
    /// Whether the recording is to end.
    is_over: bool,
    /// When the client must have read everything; set once the recording's time is over.
    rest_until: Option<Instant>,
    is_abandoned: bool,
    /// How the recording ended, once it has.
    end: Option<Result<(), String>>,
    client: Option<Waker>,
}

/// The collector's end.
#[derive(Debug)]
pub(crate) struct Writer(Arc<Pipe>);

/// The end of the thread that starts and stops the recording.
#[derive(Debug)]
pub(crate) struct Control(Arc<Pipe>);

/// The client's end, the body of an answer. Dropping it ends the recording.
#[derive(Debug)]
pub(crate) struct Reader(Arc<Pipe>);

pub(crate) fn pipe(limits: Limits) -> (Writer, Control, Reader) {
    let pipe = Arc::new(Pipe { state: Mutex::default(), change: Condvar::new(), limits });
    (Writer(Arc::clone(&pipe)), Control(Arc::clone(&pipe)), Reader(pipe))
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, at most until `end`.
    fn wait<'a>(&self, state: MutexGuard<'a, State>, end: Instant) -> MutexGuard<'a, State> {
        let left = end.saturating_duration_since(Instant::now());
        let waited = self.change.wait_timeout(state, left);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self(pipe) = self;
        let end = Instant::now() + pipe.limits.stall_timeout;
        // Copied outside the lock, because a thread of the server may wait for the lock.
        let piece = Bytes::copy_from_slice(bytes);
        let mut state = pipe.lock();
        while !state.is_abandoned && state.waiting >= WAITING_BYTES_MAX {
            let end = state.rest_until.map_or(end, |rest| rest.min(end));
            if Instant::now() >= end {
                state.is_over = true;
                pipe.change.notify_all();
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the client is too slow"));
            }
            state = pipe.wait(state, end);
        }
        if state.is_abandoned {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the client is gone"));
        }
        state.pieces.push_back(piece);
        state.waiting += bytes.len();
        state.written = state.written.saturating_add(bytes.len() as u64);
        if state.written >= pipe.limits.bytes_max {
            state.is_over = true;
            pipe.change.notify_all();
        }
        let client = state.client.take();
        drop(state);
        client.into_iter().for_each(Waker::wake);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Control {
    /// Returns once the time or the bytes are used up, or the client is gone.
    pub(crate) fn wait_for(&self, length: Duration) {
        let Self(pipe) = self;
        let end = Instant::now() + length;
        let mut state = pipe.lock();
        while !state.is_over && Instant::now() < end {
            state = pipe.wait(state, end);
        }
        state.rest_until = Some(Instant::now() + pipe.limits.stall_timeout * REST_STALLS);
    }

    /// Ends the body: everything was written, or why not.
    pub(crate) fn finish(self, end: Result<(), String>) {
        let mut state = self.0.lock();
        state.end = Some(end);
        let client = state.client.take();
        drop(state);
        client.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Reached without `finish` after a panic: the client must not wait for ever.
        let mut state = self.0.lock();
        let client = state.client.take();
        state.end.get_or_insert_with(|| Err("the recording has failed".to_owned()));
        drop(state);
        client.into_iter().for_each(Waker::wake);
    }
}

impl Reader {
    fn poll_piece(&self, context: &Context<'_>) -> Poll<Option<Result<Bytes, io::Error>>> {
        let mut state = self.0.lock();
        if let Some(piece) = state.pieces.pop_front() {
            state.waiting -= piece.len();
            self.0.change.notify_all();
            return Poll::Ready(Some(Ok(piece)));
        }
        match &mut state.end {
            Some(Ok(())) => Poll::Ready(None),
            Some(end @ Err(_)) => match std::mem::replace(end, Ok(())) {
                Err(why) => Poll::Ready(Some(Err(io::Error::other(why)))),
                Ok(()) => Poll::Ready(None),
            },
            None => {
                state.client = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// All bytes of the trace.
    #[cfg(feature = "pprof")]
    pub(crate) async fn collect(self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(piece) = std::future::poll_fn(|context| self.poll_piece(context)).await {
            all.extend_from_slice(&piece?);
        }
        Ok(all)
    }
}

impl HttpBody for Reader {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.poll_piece(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        (state.is_over, state.is_abandoned) = (true, true);
        state.pieces.clear();
        self.0.change.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static PIECE: [u8; 1 << 16] = [7; 1 << 16];

    fn limits(bytes_max: u64, stall_millis: u64) -> Limits {
        Limits { bytes_max, stall_timeout: Duration::from_millis(stall_millis) }
    }

    #[test]
    fn a_client_that_takes_nothing_ends_it_within_the_bound() {
        let (mut writer, control, _reader) = pipe(limits(u64::MAX, 20));
        let mut written = 0;
        let error = loop {
            match writer.write(&PIECE) {
                Ok(bytes) => written += bytes,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(written <= WAITING_BYTES_MAX + PIECE.len(), "{written}");
        control.wait_for(Duration::from_secs(3_600));
    }

    #[test]
    fn a_client_that_takes_a_little_now_and_then_ends_it_once_its_time_is_over() {
        let (mut writer, control, reader) = pipe(limits(u64::MAX, 20));
        control.wait_for(Duration::ZERO);
        let writing = std::thread::spawn(move || {
            loop {
                if let Err(error) = writer.write(&PIECE) {
                    break error.kind();
                }
            }
        });
        while !writing.is_finished() {
            let _ = reader.poll_piece(&Context::from_waker(Waker::noop()));
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(writing.join().expect("no panic"), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_client_that_goes_ends_it_even_while_the_collector_waits() {
        let (mut writer, control, reader) = pipe(limits(u64::MAX, 3_600_000));
        let writing = std::thread::spawn(move || {
            loop {
                if let Err(error) = writer.write(&PIECE) {
                    break error.kind();
                }
            }
        });
        while reader.0.lock().waiting < WAITING_BYTES_MAX {
            std::thread::yield_now();
        }
        assert!(!writing.is_finished(), "it waits for room");
        drop(reader);
        assert_eq!(writing.join().expect("no panic"), io::ErrorKind::BrokenPipe);
        control.wait_for(Duration::from_secs(3_600));
    }

    #[test]
    fn the_byte_limit_ends_a_recording_and_all_bytes_arrive() {
        let (mut writer, control, reader) = pipe(limits(PIECE.len() as u64, 10));
        let begin = Instant::now();
        control.wait_for(Duration::from_millis(20));
        assert!(begin.elapsed() >= Duration::from_millis(20), "nothing has ended it yet");
        writer.write_all(&PIECE).expect("there is room");
        control.wait_for(Duration::from_secs(3_600));
        control.finish(Ok(()));
        let context = Context::from_waker(Waker::noop());
        let piece = reader.poll_piece(&context);
        assert!(matches!(piece, Poll::Ready(Some(Ok(bytes))) if bytes == PIECE[..]));
        assert!(matches!(reader.poll_piece(&context), Poll::Ready(None)));
    }

    #[test]
    fn a_recording_that_fails_is_an_error_to_the_client_once() {
        for panics in [false, true] {
            let (_writer, control, reader) = pipe(limits(1, 1));
            if panics {
                drop(control)
            } else {
                control.finish(Err("a reason".to_owned()))
            }
            let context = Context::from_waker(Waker::noop());
            assert!(matches!(reader.poll_piece(&context), Poll::Ready(Some(Err(_)))));
            assert!(matches!(reader.poll_piece(&context), Poll::Ready(None)));
        }
    }
}
