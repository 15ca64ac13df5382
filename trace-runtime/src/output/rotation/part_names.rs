//! Names of the parts of a trace, and the files that have such names.

use crate::files::destination::with_ending;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Minimum number of digits of a part's number in its name.
const DIGITS: usize = 6;

/// The largest number of a part. Larger numbers in names are ignored: with a part per millisecond
/// it would take thirty years to come so far.
const NUMBER_MAX: u64 = 999_999_999_999;

/// Whether two paths lead to the same file.
#[cfg(unix)]
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let of = |path: &Path| fs::symlink_metadata(path).map(|kind| (kind.dev(), kind.ino()));
    matches!((of(one), of(other)), (Ok(one), Ok(other)) if one == other)
}

/// Systems on which files can't be compared have no such links either.
#[cfg(not(unix))]
pub(super) fn is_same(_: &Path, _: &Path) -> bool {
    false
}

/// Bytes of a part, with the file that a killed process has left beside it.
pub(super) fn bytes_of(path: &Path) -> u64 {
    let bytes = |path: &Path| fs::symlink_metadata(path).map_or(0, |it| it.len());
    bytes(path).saturating_add(bytes(&with_ending(path, ".live")))
}

/// `folder/app.trace` as part 7: `folder/app.000007.trace`.
///
/// # Errors
/// There are no more numbers.
pub(super) fn numbered(path: &Path, number: u64) -> io::Result<PathBuf> {
    if number > NUMBER_MAX {
        let what = format!("there is a part {NUMBER_MAX} already: remove it to go on");
        return Err(io::Error::other(what));
    }
    let mut name = path.file_stem().map(OsString::from).unwrap_or_default();
    name.push(format!(".{number:0DIGITS$}"));
    if let Some(ending) = path.extension() {
        name.push(".");
        name.push(ending);
    }
    Ok(path.with_file_name(name))
}

/// The existing parts of this name, by number.
pub(super) fn parts(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut parts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if let Some(number) = number_of(path, Path::new(&name)) {
            parts.push((number, path.with_file_name(name)));
        }
    }
    parts.sort();
    Ok(parts)
}

/// The number in a part's name, if it is one.
fn number_of(path: &Path, name: &Path) -> Option<u64> {
    let stem = name.file_stem()?.to_str()?;
    // If the path has no extension, the number stands in its place.
    let (ending, stem) = match path.extension() {
        Some(_) => (name.extension(), stem),
        None => (None, name.to_str()?),
    };
    let (before, digits) = stem.rsplit_once('.')?;
    let is_number = digits.len() >= DIGITS && digits.bytes().all(|it| it.is_ascii_digit());
    let is_ours = Some(before) == path.file_stem()?.to_str() && ending == path.extension();
    let number = (is_number && is_ours).then(|| digits.parse().ok())?;
    number.filter(|number| *number <= NUMBER_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_parts_end_and_do_not_begin_anew() {
        let path = Path::new("app.trace");
        let last = numbered(path, NUMBER_MAX).expect("it is one");
        assert_eq!(number_of(path, &last), Some(NUMBER_MAX));
        let fault = numbered(path, NUMBER_MAX + 1).expect_err("it would not be found again");
        assert!(fault.to_string().contains("part 999999999999 already"), "{fault}");
    }

    #[test]
    fn a_parts_name_says_its_number() {
        for path in ["traces/app.trace", "app", "a.b.trace"].map(Path::new) {
            for number in [1, 999_999, 1_234_567] {
                let name = numbered(path, number).expect("it is small enough");
                let name = Path::new(name.file_name().expect("it has one"));
                assert_eq!(number_of(path, name), Some(number), "{name:?}");
            }
        }
        let others = [
            "app.trace",
            "app.7.trace",
            "bpp.000001.trace",
            "app.000001.trace.live",
            "app.1000000000000.trace",
            "app.18446744073709551615.trace",
        ];
        for other in others {
            assert_eq!(number_of(Path::new("app.trace"), Path::new(other)), None, "{other}");
        }
    }
}
