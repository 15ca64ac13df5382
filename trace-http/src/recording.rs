//! One trace from its start to its end, on a thread of its own.
//!
//! Starting may take milliseconds, and stopping waits for the collector; neither may hold up the
//! server's threads. The thread stops the trace when its time is over or the client is gone.

use std::time::Duration;

use axum::http::StatusCode;
use exectrace::{Options, StartError, StopError};
use tokio::sync::oneshot;

use crate::pipe::{Limits, Reader, pipe};
use crate::refusal::Refusal;

/// Starts a recording, and returns the body that delivers its bytes until it ends.
pub(crate) async fn record(
    options: Options,
    length: Duration,
    limits: Limits,
) -> Result<Reader, Refusal> {
    let (writer, control, reader) = pipe(limits);
    let (tell, told) = oneshot::channel();
    let run = move || match exectrace::start_with(options, writer) {
        Err(error) => {
            let _ = tell.send(Err(error));
        }
        Ok(trace) => {
            // If the client is gone by now, `wait_for` returns at once.
            let _ = tell.send(Ok(()));
            control.wait_for(length);
            control.finish(trace.stop().map(drop).map_err(|error| why(&error)));
        }
    };
    // The thread blocks all signals: the program's signals are for its own threads.
    let thread = exectrace::__private::without_signals(|| {
        std::thread::Builder::new().name("exectrace-http".to_owned()).spawn(run)
    });
    thread.map_err(|error| unavailable(&format!("no thread can be started: {error}")))?;
    match told.await {
        Ok(Ok(())) => Ok(reader),
        Ok(Err(StartError::AlreadyRunning)) => Err(Refusal::new(
            StatusCode::CONFLICT,
            "a trace is running already in this process: ask again when it has ended",
        )),
        Ok(Err(error)) => Err(unavailable(&error.to_string())),
        Err(_) => Err(unavailable("the recording has failed")),
    }
}

fn unavailable(text: &str) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text)
}

fn why(error: &StopError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
