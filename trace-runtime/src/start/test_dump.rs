//! The trace that a failed test leaves: the last seconds of its process, in the folder that
//! `EXECTRACE_KEEP` names. Without that variable nothing is recorded for tests.
//!
//! Elsewhere: the attribute of such tests (`#[exectrace::test]`, in `trace-macros`).

use crate::base::environment;
use crate::base::error::with_cause;
use crate::files::destination::with_ending;
use crate::files::destination::{self, FileAccess};
use crate::start::flight::FlightRecorder;
use crate::sys::signals::Shield;
use crate::thread::local;
use std::fs;
use std::path::{self, Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

/// Names the folder for traces of failed tests.
const VARIABLE: &str = "EXECTRACE_KEEP";

/// How much is kept, and of how long, for all tests of the process together.
const BYTES_MAX: usize = 32 << 20;
const AGE: Duration = Duration::from_secs(60);

/// The folder, and the flight recorder, which runs until the process ends.
fn recorder() -> Option<&'static (PathBuf, FlightRecorder)> {
    static ONE: OnceLock<Option<(PathBuf, FlightRecorder)>> = OnceLock::new();
    let start = || {
        let folder = environment::variable(VARIABLE)?;
        // A test may change the working folder.
        let folder = path::absolute(&folder).unwrap_or_else(|_| folder.into());
        match FlightRecorder::builder().max_bytes(BYTES_MAX).min_age(AGE).start() {
            Ok(recorder) => Some((folder, recorder)),
            Err(error) => {
                let why = with_cause(&error);
                say(&format!("{VARIABLE}: {why}; nothing is kept of tests that fail"));
                None
            }
        }
    };
    ONE.get_or_init(start).as_ref()
}

/// Exists while a test runs. If the test panics, what was recorded is kept.
#[derive(Debug)]
#[doc(hidden)]
pub struct KeptIfFailed(&'static str);

impl KeptIfFailed {
    /// For the test of this name. The first one in the process starts the recorder.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        recorder();
        Self(name)
    }
}

impl Drop for KeptIfFailed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            keep(self.0);
        }
    }
}

/// Keeps what was recorded, as the test of this name has failed.
#[doc(hidden)]
#[cold]
pub fn keep(name: &str) {
    let Some((folder, recorder)) = recorder() else { return };
    // As in `on_panic`: the collector, which takes snapshots, would wait for itself.
    if local::is_suppressed() {
        return;
    }
    let path = folder.join(file_name(name));
    match write(recorder, folder, &path) {
        Ok(()) => say(&format!("what led to this: exectrace explain {}", path.display())),
        Err(error) => {
            say(&format!("{}: {}; nothing is kept", path.display(), with_cause(&*error)));
        }
    }
}

/// Adds a line to the output of the test, which is shown if it fails.
fn say(line: &str) {
    // `eprintln` panics if the output is closed, and this thread may panic already.
    let _shield = Shield::new();
    let _ = std::panic::catch_unwind(|| eprintln!("exectrace: {line}"));
}

fn write(
    recorder: &FlightRecorder,
    folder: &Path,
    path: &Path,
) -> Result<(), Box<dyn std::error::Error>> {
    fs::create_dir_all(folder)?;
    // Under another name first, so that the folder only has complete traces.
    let part = with_ending(path, &format!(".{}.part", std::process::id()));
    // An earlier process with this number may have left one.
    let _ = fs::remove_file(&part);
    let written =
        destination::make(&part, FileAccess::Append).map_err(Into::into).and_then(|file| {
            recorder.snapshot(file)?;
            Ok(fs::rename(&part, path)?)
        });
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written
}

/// A name that every file system takes: `parser::tests::adds` becomes `parser.tests.adds.trace`.
fn file_name(test: &str) -> String {
    /// File systems allow 255 bytes, and the temporary name is longer.
    const BYTES_MAX: usize = 200;
    let plain = |letter: char| match letter {
        letter if letter.is_alphanumeric() || "._-".contains(letter) => letter,
        _ => '-',
    };
    let mut name = String::new();
    for letter in test.replace("::", ".").chars().map(plain) {
        if name.len() + letter.len_utf8() > BYTES_MAX {
            break;
        }
        name.push(letter);
    }
    name.push_str(".trace");
    name
}

/// A value that a test has returned.
#[derive(Debug)]
#[doc(hidden)]
pub struct Judged<'a, T: ?Sized>(pub &'a T);

/// The first choice, for results: an error is a failure.
#[doc(hidden)]
pub trait JudgedResult {
    /// Whether the test has failed.
    fn is_failure(&self) -> bool;
}

impl<T, E> JudgedResult for Judged<'_, Result<T, E>> {
    fn is_failure(&self) -> bool {
        self.0.is_err()
    }
}

/// The second choice, for all other types: no failure. The additional reference makes it second.
#[doc(hidden)]
pub trait JudgedOther {
    /// Whether the test has failed.
    fn is_failure(&self) -> bool;
}

impl<T: ?Sized> JudgedOther for &Judged<'_, T> {
    fn is_failure(&self) -> bool {
        false
    }
}

/// Keeps what was recorded, if the value that a test has returned is a failure.
#[doc(hidden)]
#[macro_export]
macro_rules! judge {
    ($name:expr, $value:expr) => {{
        use $crate::__private::{JudgedOther as _, JudgedResult as _};
        if (&$crate::__private::Judged($value)).is_failure() {
            $crate::__private::keep($name);
        }
    }};
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Component;

    #[test]
    fn every_test_has_a_file_that_can_be_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let long = "\u{fc}\u{6f22}\u{10400}".repeat(200);
        let names = ["", ".", "..", "::", "a::b", "/etc/x", "a\0b", "a b\n", "\u{1f600}", &long];
        for name in names {
            let file = file_name(name);
            let parts: Vec<_> = Path::new(&file).components().collect();
            assert!(matches!(parts[..], [Component::Normal(_)]), "{name:?}: {file}");
            let path = folder.path().join(&file);
            let part = with_ending(&path, &format!(".{}.part", u32::MAX));
            fs::write(&part, "").unwrap_or_else(|error| panic!("{name:?}: {error}"));
            fs::rename(part, path).expect("it is a name as any other");
        }
    }
}
