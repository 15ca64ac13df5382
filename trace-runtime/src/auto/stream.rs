//! A trace into a FIFO, a terminal or another device that takes a stream of bytes.
//!
//! Nothing waits forever: opening a FIFO fails if no process reads from it, and after ten seconds
//! in which the reader takes nothing, writing fails, so that the program can end. Until then the
//! collector waits, and threads drop events when memory is full.
//!
//! As for files, symbolic links are not followed, except for the system's own, such as
//! `/dev/stdout`.

use crate::files::destination::{FileAccess, linked, options};
use crate::files::open_file::OpenFile;
use crate::sys::clock::Instant;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::Duration;

/// How long a pipe may be full before writing fails.
const STALL_MAX: Duration =
    if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(10) };

/// Pauses between tries to write to a full pipe: the first one, and the longest.
const PAUSE_MIN: Duration = Duration::from_micros(100);
/// See [`PAUSE_MIN`].
const PAUSE_MAX: Duration = Duration::from_millis(10);

/// A FIFO or a device that takes a stream of bytes.
#[derive(Debug)]
pub(super) struct Stream(OpenFile);

impl Stream {
    /// Opens the FIFO or device.
    ///
    /// # Errors
    /// The system's; if no process reads from a FIFO; if it is anything else.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        let follows = found.is_symlink() && is_systems(path);
        if found.is_symlink() && !follows {
            return Err(linked());
        }
        let kind = if follows { fs::metadata(path)?.file_type() } else { found.file_type() };
        let flags = if follows { 0 } else { libc::O_NOFOLLOW };
        let file = options(FileAccess::Anywhere, flags).open(path).map_err(|error| {
            let nobody = "nobody reads from this FIFO: start its reader first";
            let is_unread = kind.is_fifo() && error.raw_os_error() == Some(libc::ENXIO);
            if is_unread { io::Error::new(error.kind(), nobody) } else { error }
        })?;
        // It may have been replaced in between.
        let kind = file.metadata()?.file_type();
        if !kind.is_fifo() && !kind.is_char_device() {
            let what =
                "it is neither a file, nor a FIFO, nor a device that takes a stream of bytes";
            return Err(io::Error::new(ErrorKind::InvalidInput, what));
        }
        OpenFile::new(file).map(Self)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut pause = PAUSE_MIN;
        let mut since = None;
        loop {
            match self.0.get()?.write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                done => return done,
            }
            if since.get_or_insert_with(Instant::now).elapsed() > STALL_MAX {
                let what = format!("nobody has read from it for {STALL_MAX:?}");
                return Err(io::Error::new(ErrorKind::TimedOut, what));
            }
            std::thread::sleep(pause);
            pause = (2 * pause).min(PAUSE_MAX);
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a link with this path is the system's own. That is a descriptor in `/proc` (but not
/// `cwd` or `root`, which lead anywhere), or a link in `/dev` if no other user may write to any
/// folder on the way, as all may to `/dev/shm`.
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

/// Whether only root and this user can make files in a folder.
fn is_closed(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    /// Write permission of the group and of others.
    const OTHERS: u32 = 0o022;
    let own = fs::metadata("/proc/self").map_or(0, |own| own.uid());
    fs::metadata(folder).is_ok_and(|it| [0, own].contains(&it.uid()) && it.mode() & OTHERS == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read as _;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    fn fifo(folder: &Path) -> std::path::PathBuf {
        let path = folder.join("fifo");
        let made = Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("every system has it").success());
        path
    }

    /// An open end of the FIFO, for reading.
    fn reader(path: &Path) -> File {
        // Opened for both, a FIFO does not wait for its other end.
        File::options().read(true).write(true).open(path).expect("it is there")
    }

    #[test]
    fn a_fifo_that_nobody_reads_from_is_an_error_and_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = Stream::open(&fifo(folder.path())).expect_err("nobody reads");
        assert!(error.to_string().contains("nobody reads from this FIFO"), "{error}");
    }

    #[test]
    fn a_reader_that_takes_nothing_is_given_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = fifo(folder.path());
        let mut reader = reader(&path);
        let mut stream = Stream::open(&path).expect("somebody has it open");
        let error = stream.write_all(&[7; 1 << 20]).expect_err("it does not fit into a pipe");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        // One that takes something gets all of it.
        let mut rest = vec![0; 1 << 16];
        let taken = reader.read(&mut rest).expect("it is full");
        assert!(rest[..taken].iter().all(|byte| *byte == 7));
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| stream.write_all(&[8; 1 << 20]));
            let mut count = 0;
            while count < 1 << 20 {
                let taken = reader.read(&mut rest).expect("somebody writes");
                count += rest[..taken].iter().filter(|byte| **byte == 8).count();
            }
            writing.join().expect("it only writes").expect("all was read");
        });
    }

    #[test]
    fn links_are_followed_where_only_the_system_makes_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = fifo(folder.path());
        let reader = reader(&path);
        let link = folder.path().join("link");
        symlink(&path, &link).expect("a name is free");
        let error = Stream::open(&link).expect_err("anybody could have made it");
        assert!(error.to_string().contains("symbolic link"), "{error}");
        let own = format!("/proc/self/fd/{}", reader.as_raw_fd());
        Stream::open(Path::new(&own)).expect("it is a FIFO");
        let goes_up = format!("/proc/..{}", link.display());
        assert!(Stream::open(Path::new(&goes_up)).is_err());
        let by_root = format!("/proc/self/root{}", link.display());
        assert!(Stream::open(Path::new(&by_root)).is_err(), "a link of the system leads to it");
        let shared = tempfile::tempdir_in("/dev/shm").expect("everybody may write there");
        let link = shared.path().join("link");
        symlink(&path, &link).expect("a name is free");
        assert!(Stream::open(&link).is_err(), "everybody can make links in /dev/shm");
        let file = tempfile::tempfile().expect("a file");
        let own = format!("/proc/self/fd/{}", file.as_raw_fd());
        let error = Stream::open(Path::new(&own)).expect_err("it is a file");
        assert!(error.to_string().contains("neither"), "{error}");
    }
}
