//! A trace in a file that survives the process: whatever ends it, all that was committed is there.
//!
//! Beside the trace lies another file, of the same name and `.live` behind it, for as long as the
//! trace runs. Threads write into it by way of memory; what the collector has brought into the
//! trace is in both. A trace that is stopped has no such file. One that is killed has, and readers
//! take what is only there.
//!
//! Elsewhere: that file (`kept`); a trace that goes on in another (`rotation`); which process a
//! file belongs to (`claimed`); what may be written to (`destination`).

use crate::base::error::StartError;
use crate::base::options::Options;
use crate::files::claimed::Claimed;
use crate::files::destination::{self, Access, with_ending};
use crate::output::outlet::{File as FileOutlet, Outlet};
use crate::output::rotation::{Rotation, Series};
use crate::output::sink::Sink;
use crate::start::kept::Kept;
use crate::start::recorder::{self, Occupied, Party, Trace};
use crate::sys;
use crate::thread::local;
use std::fs;
use std::path::{self, Path, PathBuf};

/// Starts a trace that is written to the file `path`, with the default [`Options`], and that
/// survives whatever ends the process.
///
/// While it runs, there is a second file `PATH.live`, as large as [`Options::memory_max`] says; the
/// tool reads both. If there is one already, of a process that was killed, both are kept, as
/// `PATH.old` and `PATH.old.live`; else a file of this name is replaced. It is not compressed.
///
/// Files have mode 0600. A symbolic link is not followed, and what is no regular file is refused.
/// The program may go to another folder meanwhile. If somebody else shortens or removes the file,
/// it is begun anew, and [`Trace::stop`] says so; if somebody shortens the second one, the program
/// goes on, for which there is a handler of SIGBUS while it runs. After a fork the child may start
/// a trace of its own.
///
/// If a flight recorder with a file runs already, and that is on another file system, there is no
/// second file, and a crash loses the last second.
///
/// # Errors
/// [`StartError::AlreadyRunning`] if there is a trace in this process; [`StartError::InUse`] if
/// another process writes to this file; [`StartError::File`] if a file can't be made, or there is
/// no room for it.
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

/// As [`start_file_with`], for a trace that runs for as long as it likes: when it is long, it goes
/// on in another file, and the oldest are removed.
///
/// `path` is the one that is being written. One that has ended gets a number in its name,
/// `app.000007.trace` for `app.trace`, and is a whole trace: what was open when it began is in it
/// with its true begin. What an earlier process has left at `path` becomes such a part, too.
///
/// Memory has a quarter of what all parts may take at most. If the disk is full, events are counted
/// in [`Report::unwritten_events`](crate::Report::unwritten_events), and the next part is tried
/// each second.
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

/// What is to be there of a trace in a file, should the process be killed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Survival {
    /// What the collector has written.
    #[cfg_attr(
        not(all(feature = "auto", target_os = "linux")),
        expect(dead_code, reason = "only `auto` asks for it")
    )]
    Written,
    /// All.
    All,
    /// All, in parts.
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
    let trace = start_quietly(options, survival, &resolve(path)?)?;
    #[cfg(os_hooks)]
    if options.os {
        // What this thread waits for is seen from now on.
        local::arrive(local::Arrival::default());
    }
    Ok(trace)
}

fn start_quietly(options: &Options, survival: Survival, path: &Path) -> Result<Trace, StartError> {
    // Files are the recorder's, not the program's.
    let _quiet = local::quiet();
    // Whoever may not start leaves all files as they are.
    let place = Occupied::new(Party::Trace)?;
    let mut kept = None;
    let session = recorder::join(place, options, || {
        let renew = |claimed: Claimed| {
            claimed.renew().map_err(|error| StartError::File(path.to_owned(), error))
        };
        let outlet = match survival {
            Survival::Written => {
                FileOutlet::in_file(renew(take(path, Access::Append)?)?, options.compression)
            }
            Survival::All => {
                let claimed = take(path, Access::Append)?;
                // Before an older trace goes.
                kept = Some(keep(path, options)?);
                FileOutlet::kept_in_file(renew(claimed)?)
            }
            Survival::Parts(rotation) => {
                let (series, part) = Series::begin(path, rotation)?;
                kept = Some(keep(path, options)?);
                FileOutlet::first_of(series, Sink::unbuffered(Box::new(part)))
            }
        };
        Ok(Outlet::File(Box::new(outlet.named(options.names))))
    })?;
    Ok(Trace::new(session, kept))
}

/// The file beside a trace.
pub(crate) fn keep(path: &Path, options: &Options) -> Result<Kept, StartError> {
    let live = with_ending(path, ".live");
    Kept::new(&live, options).map_err(|error| StartError::File(live, error))
}

/// The name as it is now: the program may go to another folder, and means the same file.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, StartError> {
    if !sys::IS_SUPPORTED {
        return Err(StartError::Unsupported);
    }
    path::absolute(path).map_err(|error| StartError::File(path.to_owned(), error))
}

/// The file of this name, for this process alone. One that a killed process has left goes out of
/// the way; what else is in it is left to the caller.
pub(crate) fn take(path: &Path, access: Access) -> Result<Claimed, StartError> {
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
