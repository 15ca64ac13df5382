//! What lies beside a trace and belongs to it: the memory of the process that writes it, and the
//! part before. Names say where, and a name can be anybody's: what is found is used only if it is a
//! plain file, and of the same process. Traces of other processes are only named.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use trace_format::header::FILE_HEADER_BYTES;
use trace_format::read::TraceFile;
use trace_format::survive::live::{HEADER_BYTES, LiveHeader};

use super::stream::is_trace;
use super::{Bytes, read_whole};
use crate::label;
use crate::output::say;

/// The bytes of the file that lies beside a trace, if they belong to it. If there is a file that
/// does not, a line on standard error says why it is not used.
pub fn read_live(path: &Path, trace: &TraceFile<Bytes>) -> Option<Vec<u8>> {
    let path = live_of(path);
    path.symlink_metadata().ok()?;
    let refuse = |why: &str| {
        say(&format!("{}: not used: {why}", label::path(&path)));
        None
    };
    let bytes = match open_plain(&path).and_then(|file| read_whole(&file)) {
        Ok(bytes) => bytes,
        Err(error) => return refuse(&error.to_string()),
    };
    match bytes.first_chunk::<HEADER_BYTES>().and_then(LiveHeader::decode) {
        Some(header) if header.is_of(trace) => Some(bytes),
        Some(header) => {
            let process = trace.tables().process.as_ref().map_or(0, |process| process.pid);
            let owner = header.process;
            refuse(&format!("process {owner} wrote it, and process {process} the trace"))
        }
        None => refuse("it is no file of a recorder"),
    }
}

/// Opens a file that is neither a link nor a pipe nor a device: to open one of these may take
/// forever, or lead to somebody else's file.
pub fn open_plain(path: &Path) -> io::Result<File> {
    let not_plain = || io::Error::other("it is not a plain file");
    if !path.symlink_metadata()?.is_file() {
        return Err(not_plain());
    }
    let file = File::open(path)?;
    // It may have been replaced meanwhile.
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_plain()) }
}

/// The file that lies beside a trace while its process writes.
#[must_use]
pub fn live_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".live");
    name.into()
}

/// The newest numbered part of a trace that goes on in several files: `app.000007.trace` for
/// `app.trace`. `None` if there is none.
#[must_use]
pub fn part_before(path: &Path) -> Option<PathBuf> {
    let (stem, ending) = (path.file_stem()?, path.extension());
    let number = |entry: &Path| -> Option<u64> {
        let (name, found) = match ending {
            Some(_) => (entry.file_stem()?.to_str()?, entry.extension()),
            None => (entry.file_name()?.to_str()?, None),
        };
        let (before, digits) = name.rsplit_once('.')?;
        let is_number = digits.len() >= 6 && digits.bytes().all(|it| it.is_ascii_digit());
        (is_number && before == stem.to_str()? && found == ending).then(|| digits.parse().ok())?
    };
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let others = entries.filter(|entry| !is_same_file(path, entry));
    others.filter_map(|entry| Some((number(&entry)?, entry))).max().map(|(_, entry)| entry)
}

/// Whether the number of a process is in a trace's name, as `%p` in the name of `EXECTRACE` has it.
#[must_use]
pub fn has_number(path: &Path, process: u64) -> bool {
    path.file_name().is_some_and(|name| numbers(name).any(|it| it == process))
}

/// Traces of other processes in a trace's folder, those that have these numbers in their names, by
/// name. Older files than `since` are of other processes: their numbers come again.
#[must_use]
pub fn traces_of(path: &Path, processes: &[u64], since: SystemTime) -> Vec<PathBuf> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name());
    let named = names.filter(|name| numbers(name).any(|number| processes.contains(&number)));
    let paths = named.map(|name| path.with_file_name(name));
    let mut traces: Vec<_> = paths.filter(|path| is_trace_since(path, since)).collect();
    traces.sort_unstable();
    traces
}

/// Whether there is a trace that was written since then.
fn is_trace_since(path: &Path, since: SystemTime) -> bool {
    let Ok(mut file) = open_plain(path) else { return false };
    let written = file.metadata().and_then(|about| about.modified());
    let mut header = [0; FILE_HEADER_BYTES];
    written.is_ok_and(|at| at >= since)
        && file.read_exact(&mut header).is_ok_and(|()| is_trace(&header))
}

/// The numbers in a file's name.
fn numbers(name: &OsStr) -> impl Iterator<Item = u64> {
    let name = name.to_string_lossy().into_owned();
    let digits = name.split(|letter: char| !letter.is_ascii_digit()).map(str::parse);
    digits.flatten().collect::<Vec<_>>().into_iter()
}

/// Says so if the trace has a second name in its folder. A process that is killed while it gives a
/// part its number leaves the part under both, and who reads both reads everything twice.
pub(super) fn say_other_name(path: &Path) {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !has_other_names(path) {
        return;
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_other =
        |entry: &PathBuf| entry.file_name() != path.file_name() && is_same_file(path, entry);
    if let Some(other) = entries.map(|entry| entry.path()).find(is_other) {
        let [one, other] = [path, &other].map(label::path);
        say(&format!("{one} and {other} are one file: what is in it counts once"));
    }
}

/// Whether a file has more than one name.
#[cfg(unix)]
#[must_use]
pub fn has_other_names(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    path.symlink_metadata().is_ok_and(|kind| kind.is_file() && kind.nlink() > 1)
}

/// Where it can't be told.
#[cfg(not(unix))]
#[must_use]
pub fn has_other_names(_: &Path) -> bool {
    false
}

/// Whether two names are those of one file.
#[cfg(unix)]
#[must_use]
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let of = |path: &Path| path.symlink_metadata().map(|kind| (kind.dev(), kind.ino()));
    matches!((of(one), of(other)), (Ok(one), Ok(other)) if one == other)
}

/// Where it can't be told.
#[cfg(not(unix))]
#[must_use]
pub fn is_same_file(_: &Path, _: &Path) -> bool {
    false
}
