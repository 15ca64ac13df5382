//! Files that commands write by a name from the command line: traces, and what is made of them.
//!
//! They have names, paths and arguments of the program in them, so a new one is its owner's alone
//! (mode 0600); one that is there keeps its mode. A symbolic link is not followed, for somebody
//! else may have planted it, but for the system's own, as `/dev/stdout` (see `is_systems`).

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use crate::error::Failure;
use crate::label::{self, STANDARD_INPUT};
use crate::output::Output;
use crate::source::beside::live_of;
use crate::source::is_same;

/// Whether a name stands for standard output; `./-` is a file that is called so.
#[must_use]
pub fn is_stdout(target: &Path) -> bool {
    target.as_os_str() == "-"
}

/// Says what was written where: the same line of all commands.
///
/// - `what`: how much of what, and maybe what reads it: `2 stacks; open it with a browser`.
///
/// # Errors
/// If that can't be written.
pub fn print_written(target: &Path, what: &str, out: &mut Output) -> Result<(), Failure> {
    Ok(writeln!(out, "wrote {}: {what}", label::path(target))?)
}

/// Makes the file for what a command makes of `trace`.
///
/// # Errors
/// Those of [`create`]; or it is the trace, by whatever name, or what lies beside it in `.live`.
pub fn create_beside(trace: &Path, target: &Path) -> Result<File, Failure> {
    // The shell may have given the file to be read as standard input.
    let is_input = trace == Path::new(STANDARD_INPUT);
    let trace = if is_input { Path::new("/dev/stdin") } else { trace };
    if is_same(trace, target) || is_same(&live_of(trace), target) {
        return Err(Failure::Usage("the output would overwrite the trace".to_owned()));
    }
    create(target)
}

/// Makes a file, or empties the one of this name.
///
/// # Errors
/// The system's; or it is a symbolic link.
pub fn create(path: &Path) -> Result<File, Failure> {
    open(path).map_err(|error| {
        let is_link = fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
        let error = if is_link && !is_systems(path) { linked() } else { error };
        Failure::Open(path.to_owned(), error)
    })
}

/// The system itself refuses a link, so nobody can put one there in between.
#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let follow = if is_systems(path) { 0 } else { libc::O_NOFOLLOW };
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(follow).open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        return Err(linked());
    }
    File::create(path)
}

/// Why a symbolic link is refused.
fn linked() -> io::Error {
    let what = "it is a symbolic link, and those are not followed: give the name of the file";
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// Whether a link of this name is the system's: it is a descriptor in `/proc`, where `cwd` and
/// `root` lead anywhere; or it is in `/dev`, where nobody else may write to any folder on the way,
/// as everybody may to `/dev/shm`. The recorder has the same rule (`trace-runtime/src/auto`), and
/// no crate that both could have it from.
#[cfg(unix)]
fn is_systems(path: &Path) -> bool {
    let parts: Option<Vec<&str>> = path.components().map(|it| it.as_os_str().to_str()).collect();
    match parts.as_deref() {
        Some(parts) if parts.contains(&"..") => false,
        Some(["/", "proc", _, "fd", _] | ["/", "proc", _, "task", _, "fd", _]) => true,
        Some(["/", "dev", ..]) => {
            path.ancestors().skip(1).take_while(|it| it.starts_with("/dev")).all(is_closed)
        }
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_systems(_: &Path) -> bool {
    false
}

/// Whether only root and this user can make anything in a folder.
#[cfg(unix)]
fn is_closed(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    /// Write permission of the group and of others.
    const OTHERS: u32 = 0o022;
    let own = fs::metadata("/proc/self").map_or(0, |own| own.uid());
    fs::metadata(folder).is_ok_and(|it| [0, own].contains(&it.uid()) && it.mode() & OTHERS == 0)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn a_new_file_is_its_owners_alone_and_a_link_is_not_followed() {
        let folder = std::env::temp_dir().join(format!("exectrace-create-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("it can be made");
        let (path, link) = (folder.join("out"), folder.join("link"));
        let file = create(&path).expect("a name is free");
        let mode = file.metadata().expect("it is there").permissions().mode();
        fs::write(&path, "precious").expect("it is ours");
        symlink(&path, &link).expect("a name is free");
        let refused = create(&link);
        let text = fs::read_to_string(&path).expect("it is there");
        let other = create(Path::new("/dev/null"));
        fs::remove_dir_all(&folder).expect("it is ours");
        assert_eq!((mode & 0o777, &*text), (0o600, "precious"));
        assert!(matches!(refused, Err(Failure::Open(ref of, _)) if *of == link), "{refused:?}");
        assert!(other.is_ok(), "a device is what it is");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn links_are_the_systems_where_nobody_else_can_make_one() {
        let is = |path: &str| is_systems(Path::new(path));
        for own in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/proc/7/task/8/fd/1"] {
            assert!(is(own), "{own}");
        }
        let others = [
            "/dev/shm/out",
            "/dev/shm/own/out",
            "/dev/../tmp/out",
            "/proc/self/cwd/out",
            "/proc/self/root/tmp/out",
            "/proc/self/fd/../cwd/out",
            "/proc/self/fd/3/out",
            "/proc/self/task/7/cwd/fd/out",
            "/tmp/out",
            "dev/out",
        ];
        for other in others {
            assert!(!is(other), "{other}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_link_in_shared_memory_is_not_followed() {
        let victim = tempfile::NamedTempFile::new().expect("a file");
        fs::write(victim.path(), "precious").expect("it is ours");
        let shared = tempfile::tempdir_in("/dev/shm").expect("everybody may write there");
        for (at, folder) in ["/dev/shm", "/proc/self/root/dev/shm"].into_iter().enumerate() {
            let name = format!("link{at}");
            symlink(victim.path(), shared.path().join(&name)).expect("a name is free");
            let inner = shared.path().file_name().expect("it has a name");
            let refused = create(&Path::new(folder).join(inner).join(name));
            assert!(refused.is_err(), "by way of {folder}");
        }
        assert_eq!(fs::read_to_string(victim.path()).expect("it is there"), "precious");
    }
}
