//! Feature `auto`: a trace of the whole program, which the environment variable `EXECTRACE` asks
//! for, without code.
//!
//! It starts before `main` and stops when the process exits, by return from `main` or by
//! `process::exit`. A trace in a file survives an abort or a kill (`start/file`), unless it
//! is compressed.
//!
//! Before `main`, Linux has the environment, threads, allocation, files and thread-locals: glibc
//! sets them up before it calls constructors, and std needs nothing more for them. Three things are
//! missing. The descriptors 0 to 2 may be closed: std opens them when `main` begins, so this module
//! does it earlier. Std does not know which thread is the main one, so this module gives it its
//! name. And `SIGPIPE` still ends the process, so writes here are shielded.
//!
//! In a library the same happens when it is loaded, while the loader's lock is held: so nothing
//! here waits for another thread (`recorder_thread`). The library is traced until the process
//! exits, and is never unloaded.
//!
//! The program always runs on, whatever the variable says; a fault in its value gives one line on
//! standard error, and no trace. In a setuid program the variable is ignored (`environment`). On
//! other systems the feature exists and does nothing.
//!
//! - `constructor`: code before `main` and at the exit. `forked`: code in a forked child.
//! - `setting`: what the variable says. `trace_path`: which file that is. `stream`: pipes and
//!   devices.

mod constructor;
pub(crate) mod forked;
mod setting;
mod stream;
mod trace_path;

use crate::base::environment;
use crate::base::error::StartError;
use crate::callsite::linked;
use crate::start::file::{self, Survival};
use crate::start::trace::{self, Trace};
use crate::sys::signals::Shield;
use crate::thread::local;
use crate::thread::naming;
use setting::Setting;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, TryLockError};
use trace_path::TracePath;

/// The variable that says where the trace goes, and how it is recorded.
const VARIABLE: &str = "EXECTRACE";

/// The trace, from the start to the exit.
static RUNNING: Mutex<Option<Trace>> = Mutex::new(None);

/// What the variable said before `main`, and the folder that its name is relative to: a child may
/// have changed both.
static ASKED: OnceLock<(OsString, PathBuf)> = OnceLock::new();

/// Called before `main`. Returns whether there is a trace to stop at the exit.
fn start() -> bool {
    let text = environment::variable(VARIABLE).unwrap_or_default();
    let folder = std::env::current_dir().unwrap_or_default();
    let (text, folder) = ASKED.get_or_init(|| (text, folder));
    start_as(text, folder)
}

/// Called in a forked child that goes on.
fn start_in_child() {
    // The parent's trace is not dropped.
    if let Ok(mut running) = RUNNING.try_lock() {
        std::mem::forget(running.take());
    }
    if let Some((text, folder)) = ASKED.get() {
        start_as(text, folder);
    }
}

fn start_as(text: &OsStr, folder: &Path) -> bool {
    // So that the program runs even if there is a bug here.
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
    let path = TracePath::of_this_process(setting.name, folder)?;
    let trace = start_at(&path, setting)?;
    forked::prepare(path.is_own());
    Ok(trace)
}

fn start_at(path: &TracePath, setting: Setting<'_>) -> Result<Trace, String> {
    open_standard_descriptors();
    if local::system_id() == u64::from(std::process::id()) {
        // Std knows only when `main` begins which thread is the main one.
        naming::name_thread("main");
    }
    let Setting { options, rotation, survives, .. } = setting;
    if !path.is_file() && survives != Some(true) && rotation.is_none() {
        let stream = path.open_stream()?;
        return trace::start_with(options, stream).map_err(|error| path.fault(&error));
    }
    let survival = match rotation {
        Some(rotation) => Survival::Parts(rotation),
        None if survives.unwrap_or(options.is_uncompressed()) => Survival::All,
        None => Survival::Written,
    };
    let error = match file::start_in(&options, survival, path.as_path()) {
        Ok(trace) => return Ok(trace),
        Err(error) => error,
    };
    let fault = path.fault(&error);
    // The disk may have room for the trace, but not for the second file, which was not asked for.
    let may_do_without = survives.is_none() && matches!(survival, Survival::All);
    if !may_do_without || !matches!(error, StartError::File(..)) {
        return Err(fault);
    }
    let trace = file::start_in(&options, Survival::Written, path.as_path());
    let trace = trace.map_err(|error| path.fault(&error))?;
    say(&format!("{fault}; a crash loses the last second"));
    Ok(trace)
}

/// Called at the exit.
fn stop() {
    let trace = match RUNNING.try_lock() {
        Ok(mut running) => running.take(),
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().take(),
        // Another thread exits at the same time, or did when this process was forked.
        Err(TryLockError::WouldBlock) => None,
    };
    let Some(trace) = trace else { return };
    forked::forget();
    // The docs of the constructor say why there should be none.
    let late = linked().filter(|site| site.id() == 0).count();
    if late > 0 {
        say(&format!(
            "{late} call sites were registered after the start, and are not in the trace"
        ));
    }
    let stopped = panic::catch_unwind(|| trace.stop());
    match stopped {
        // A forked child exits: the trace is its parent's.
        Ok(Ok(_) | Err(crate::base::error::StopError::Forked)) => {}
        Ok(Err(error)) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            say(&format!("{error}{}", cause.unwrap_or_default()));
        }
        Err(_) => say("the trace was not stopped, and may be cut"),
    }
}

/// Opens standard input, output and error if they are closed, as std does when `main` begins.
/// Otherwise the trace's file could become one of them, and the program would print into it.
fn open_standard_descriptors() {
    while let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") {
        if null.as_raw_fd() > 2 {
            break;
        }
        let _: i32 = File::into_raw_fd(null);
    }
}

/// Prints one line about the variable.
fn say(fault: &str) {
    // Shielded, as before `main` a write to a closed pipe ends the process by a signal.
    let _shield = Shield::new();
    let _ = writeln!(io::stderr(), "exectrace: {VARIABLE}: {fault}");
}
