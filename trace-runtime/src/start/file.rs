//! A trace in a file that survives the process: however the process ends, all committed events are
//! in the file.
//!
//! While the trace runs, there is another file beside it, with `.live` behind its name. Threads
//! write to that file through mapped memory. Stopping the trace removes the file. If the process is
//! killed, the file stays, and readers take from it what the trace does not have yet.
//!
//! Elsewhere: that file (`backing_file`); a trace in parts (`rotation`); which process a file
//! belongs to (`claimed`); which files may be written to (`destination`).

use crate::base::error::StartError;
use crate::base::options::Options;
use crate::files::claimed::Claimed;
use crate::files::destination::{self, FileAccess, with_ending};
use crate::output::rotation::{Rotation, Series};
use crate::output::sink::Sink;
use crate::output::{FileOutput, Output};
use crate::start::backing_file::BackingFile;
use crate::start::recorder::{self, Occupied, SessionParty};
use crate::start::trace::Trace;
use crate::sys;
use crate::thread::local;
use std::fs;
use std::path::{self, Path, PathBuf};

/// Starts a trace that is written to the file `path`, with the default [`Options`]. The trace
/// survives however the process ends.
///
/// While it runs, there is a second file `PATH.live`, as large as [`Options::memory_max`] says; the
/// tool reads both. If a process that was killed has left such a file, both are kept, as `PATH.old`
/// and `PATH.old.live`; otherwise a file of this name is replaced. The trace is not compressed.
///
/// Files have mode 0600. Symbolic links are not followed, and other files than regular ones are
/// refused. The program may change its working folder meanwhile. If another program shortens or
/// removes the file, the trace begins anew, and [`Trace::stop`] says so. If another program
/// shortens the second file, the program goes on; for this, there is a handler of SIGBUS while the
/// trace runs. After a fork, the child may start its own trace.
///
/// If a flight recorder with a file on another file system runs already, there is no second file,
/// and a crash loses the last second.
///
/// # Errors
/// [`StartError::AlreadyRunning`] if there is a trace in this process; [`StartError::InUse`] if
/// another process writes to this file; [`StartError::File`] if a file can't be made, or the disk
/// is full.
pub fn start_file(path: impl AsRef<Path>) -> Result<Trace, StartError> {
    start_file_with(Options::default(), path)
}

/// As [`start_file`], with options.
///
/// # Errors
/// Those of [`start_file`].
pub fn start_file_with(options: Options, path: impl AsRef<Path>) -> Result<Trace, StartError> {
    start_in(&options, Survival::All, path.as_ref())
}

/// As [`start_file_with`], for a trace that may run for any time: when a file is full, the trace
/// goes on in another one, and the oldest files are removed.
///
/// `path` is the file that is being written. A part that has ended gets a number in its name,
/// `app.000007.trace` for `app.trace`, and is a complete trace: what was open at its beginning has
/// its true begin time. A file that an earlier process has left at `path` becomes such a part, too.
///
/// Threads' batches take at most a quarter of the bytes that all parts may have. If the disk is
/// full, events are counted in [`Report::unwritten_events`](crate::Report::unwritten_events), and
/// the next part is tried each second.
///
/// # Errors
/// Those of [`start_file`].
pub fn start_rotating(
    options: Options,
    rotation: Rotation,
    path: impl AsRef<Path>,
) -> Result<Trace, StartError> {
    start_in(&options, Survival::Parts(rotation), path.as_ref())
}

/// What a trace in a file must still have if the process is killed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Survival {
    /// What the collector has written.
    #[cfg_attr(
        not(all(feature = "auto", target_os = "linux")),
        expect(dead_code, reason = "only `auto` asks for it")
    )]
    Written,
    /// All events.
    All,
    /// All events, in parts.
    Parts(Rotation),
}

/// Starts a trace in a file.
pub(crate) fn start_in(
    options: &Options,
    survival: Survival,
    path: &Path,
) -> Result<Trace, StartError> {
    let memory_max = match survival {
        Survival::Parts(rotation) => rotation.memory_max(),
        _ => usize::MAX,
    };
    let options = &options.clone().memory_max(options.memory_max.min(memory_max));
    let trace = start_suppressed(options, survival, &resolve(path)?)?;
    #[cfg(os_hooks)]
    if options.os {
        // Attached now, so that the trace has this thread's waits from now on.
        crate::thread::attach::arrive(Default::default());
    }
    Ok(trace)
}

fn start_suppressed(
    options: &Options,
    survival: Survival,
    path: &Path,
) -> Result<Trace, StartError> {
    // The program's trace does not show the recorder's own files.
    let _suppressed = local::suppress();
    // Taken first, so that a failed start leaves all files as they are.
    let place = Occupied::new(SessionParty::Trace)?;
    let mut backing_file = None;
    let session = recorder::join(place, options, || {
        let renew = |claimed: Claimed| {
            claimed.renew().map_err(|error| StartError::File(path.to_owned(), error))
        };
        let output = match survival {
            Survival::Written => {
                FileOutput::in_file(renew(take(path, FileAccess::Append)?)?, options.compression)
            }
            Survival::All => {
                let claimed = take(path, FileAccess::Append)?;
                // Made before an older trace is removed.
                backing_file = Some(make_backing_file(path, options)?);
                FileOutput::backed_in_file(renew(claimed)?)
            }
            Survival::Parts(rotation) => {
                let (series, part) = Series::begin(path, rotation)?;
                backing_file = Some(make_backing_file(path, options)?);
                FileOutput::first_of(series, Sink::unbuffered(Box::new(part)))
            }
        };
        Ok(Output::File(Box::new(output.with_names(options.names))))
    })?;
    Ok(Trace::new(session, backing_file))
}

/// The backing file of the trace or flight recorder with this name.
pub(crate) fn make_backing_file(path: &Path, options: &Options) -> Result<BackingFile, StartError> {
    let live = with_ending(path, ".live");
    BackingFile::new(&live, options).map_err(|error| StartError::File(live, error))
}

/// The path as an absolute one, as the program may change its working folder later.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, StartError> {
    if !sys::IS_SUPPORTED {
        return Err(StartError::Unsupported);
    }
    path::absolute(path).map_err(|error| StartError::File(path.to_owned(), error))
}

/// The file of this name, for this process alone. Renames a trace that a killed process has left
/// there. Other content is left to the caller.
pub(crate) fn take(path: &Path, access: FileAccess) -> Result<Claimed, StartError> {
    let fail = |path: &Path| {
        let path = path.to_owned();
        |error| StartError::File(path, error)
    };
    let live = with_ending(path, ".live");
    let mut claimed = Claimed::new(path, access)?;
    if destination::check(&live).map_err(fail(&live))? {
        // Of a process that was killed.
        claimed.note_begun();
        fs::rename(&live, with_ending(path, ".old.live")).map_err(fail(&live))?;
        fs::rename(path, with_ending(path, ".old")).map_err(fail(path))?;
        claimed = Claimed::new(path, access)?;
    }
    Ok(claimed)
}
