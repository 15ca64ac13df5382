//! Files that commands write by a name from the command line: traces, and what is made of them.
//!
//! They have names, paths and arguments of the program in them, so a new one is its owner's alone
//! (mode 0600); one that is there keeps its mode. A symbolic link is not followed, for somebody
//! else may have planted it, but for those in `/dev` and `/proc`, as `/dev/stdout`.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Component, Path};

use crate::error::Failure;
use crate::label::STANDARD_INPUT;
use crate::source::beside::live_of;
use crate::source::is_same;

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
    let is_link = fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    if is_link && !is_systems(path) {
        let what = "it is a symbolic link, and those are not followed: give the name of the file";
        let error = io::Error::new(io::ErrorKind::InvalidInput, what);
        return Err(Failure::Open(path.to_owned(), error));
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| Failure::Open(path.to_owned(), error))
}

/// Whether only the system makes links there.
fn is_systems(path: &Path) -> bool {
    let goes_up = path.components().any(|part| part == Component::ParentDir);
    !goes_up && ["/dev", "/proc"].iter().any(|folder| path.starts_with(folder))
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
}
