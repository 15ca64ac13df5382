//! Feature `auto`: a trace of the whole program, asked for by the environment variable `EXECTRACE`
//! and without code.
//!
//! It starts before `main` and stops when the process exits, by return from `main` or by
//! `process::exit`. A trace in a file survives an abort or a kill (`start/file`), unless it
//! is compressed.
//!
//! What is there before `main`, on Linux: the environment, threads, allocation, files and
//! thread-locals; glibc has all of these up before it calls constructors, and std needs nothing of
//! its own set up for them. What is not: the descriptors 0 to 2 may be closed, which std opens when
//! `main` begins, so that is done here already; std does not know which thread is the main one, so
//! it is given its name; and `SIGPIPE` still kills, so what is written here is shielded.
//!
//! In a library the same happens when it is loaded, while the loader's lock is held: nothing here
//! waits for another thread (`worker`). It is traced until the process exits: from then on it is
//! not unloaded.
//!
//! Always true: the program runs on, whatever the variable says; a fault in it is one line on
//! standard error, and then there is no trace. In a setuid program the variable says nothing
//! (`environment`). On other systems the feature is there and does nothing.
//!
//! - `constructor`: the moments before and after the program's. `forked`: those of a child.
//! - `setting`: what the variable says. `place`: which file that is. `stream`: if it is none.

mod constructor;
pub(crate) mod forked;
mod place;
mod setting;
mod stream;

use crate::base::environment;
use crate::base::error::StartError;
use crate::callsite::linked;
use crate::start::file::{self, Survival};
use crate::start::recorder::{self, Trace};
use crate::sys::signals::Shield;
use crate::thread::local;
use crate::thread::naming;
use place::Place;
use setting::Setting;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, TryLockError};

/// Says where the trace goes, and how it is recorded.
const VARIABLE: &str = "EXECTRACE";

/// From the start to the exit.
static RUNNING: Mutex<Option<Trace>> = Mutex::new(None);

/// What the variable said before `main`, and the folder that its name is in: a child may have
/// changed both.
static ASKED: OnceLock<(OsString, PathBuf)> = OnceLock::new();

/// Before `main`. Whether there is something to stop at the exit.
fn start() -> bool {
    let text = environment::variable(VARIABLE).unwrap_or_default();
    let folder = std::env::current_dir().unwrap_or_default();
    let (text, folder) = ASKED.get_or_init(|| (text, folder));
    start_as(text, folder)
}

/// In a forked child that goes on.
fn start_in_child() {
    // What it has of its parent's trace is left alone.
    if let Ok(mut running) = RUNNING.try_lock() {
        std::mem::forget(running.take());
    }
    if let Some((text, folder)) = ASKED.get() {
        start_as(text, folder);
    }
}

fn start_as(text: &OsStr, folder: &Path) -> bool {
    // A bug here is no reason for the program not to run.
    let started = panic::catch_unwind(|| match text {
        text if !text.is_empty() => match try_start(text, folder) {
            Ok(trace) => Some(trace),
            Err(fault) => {
                say(&format!("{fault}; nothing is traced"));
                None
            }
        },
        _ => None,
    });
    let Some(trace) = started.ok().flatten() else { return false };
    match RUNNING.try_lock() {
        Ok(mut running) => running.replace(trace).is_none(),
        Err(_) => false,
    }
}

fn try_start(text: &OsStr, folder: &Path) -> Result<Trace, String> {
    let text = text.to_str().ok_or_else(|| "the value is not UTF-8".to_owned())?;
    let setting = Setting::parse(text)?;
    let place = Place::of_this_process(setting.name, folder)?;
    let trace = start_at(&place, setting)?;
    forked::prepare(place.is_own());
    Ok(trace)
}

fn start_at(place: &Place, setting: Setting<'_>) -> Result<Trace, String> {
    open_standard_descriptors();
    if local::system_id() == u64::from(std::process::id()) {
        // Std finds out which thread is the main one when `main` begins.
        naming::name_thread("main");
    }
    let Setting { options, rotation, survives, .. } = setting;
    if !place.is_file() && survives != Some(true) && rotation.is_none() {
        let stream = place.open_stream()?;
        return recorder::start_with(options, stream).map_err(|error| place.fault(&error));
    }
    let survival = match rotation {
        Some(rotation) => Survival::Parts(rotation),
        None if survives.unwrap_or(options.is_uncompressed()) => Survival::All,
        None => Survival::Written,
    };
    let error = match file::start_in(&options, survival, place.path()) {
        Ok(trace) => return Ok(trace),
        Err(error) => error,
    };
    let fault = place.fault(&error);
    // There may be room for a trace, if not for that. Nobody has asked for more.
    let may_do_without = survives.is_none() && matches!(survival, Survival::All);
    if !may_do_without || !matches!(error, StartError::File(..)) {
        return Err(fault);
    }
    let trace = file::start_in(&options, Survival::Written, place.path());
    let trace = trace.map_err(|error| place.fault(&error))?;
    say(&format!("{fault}; a crash loses the last second"));
    Ok(trace)
}

/// At the exit.
fn stop() {
    let trace = match RUNNING.try_lock() {
        Ok(mut running) => running.take(),
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().take(),
        // Another thread exits at the same time, or did when this process was forked.
        Err(TryLockError::WouldBlock) => None,
    };
    let Some(trace) = trace else { return };
    forked::forget();
    // The constructor says why there should be none.
    let late = linked().filter(|site| site.id() == 0).count();
    if late > 0 {
        say(&format!(
            "{late} call sites were registered after the start, and are not in the trace"
        ));
    }
    let stopped = panic::catch_unwind(|| trace.stop());
    match stopped {
        // A forked child exits: the trace is its parent's, which has an end of its own.
        Ok(Ok(_) | Err(crate::base::error::StopError::Forked)) => {}
        Ok(Err(error)) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            say(&format!("{error}{}", cause.unwrap_or_default()));
        }
        Err(_) => say("the trace was not stopped, and may be cut"),
    }
}

/// Opens what is closed of standard input, output and error, as std does when `main` begins. Were
/// the trace's own file one of them, the program would print into it.
fn open_standard_descriptors() {
    while let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") {
        if null.as_raw_fd() > 2 {
            break;
        }
        let _: i32 = File::into_raw_fd(null);
    }
}

/// One line, of the variable.
fn say(fault: &str) {
    // If nobody listens there, nothing is lost: before `main` that is a signal, which kills.
    let _shield = Shield::new();
    let _ = writeln!(io::stderr(), "exectrace: {VARIABLE}: {fault}");
}
