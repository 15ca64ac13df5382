//! Paths of source files, each spelled in one way.
//!
//! A compiler is given what a manifest says, `examples/service/../service.rs`, and passes it on: to
//! call sites by `file!()`, to functions by debug information. Whoever shows or compares a path
//! asks here first. That `a/b/../c` is `a/c` is not so if `b` is a link; who made the link knows.

use std::borrow::Cow;

/// The path without `.` and without the folders that `..` leaves again.
///
/// What leads out of the path's own begin stays: `../app/main.rs`. Both kinds of slashes part
/// folders, as on Windows, and the path keeps those it has.
///
/// ```
/// use trace_analysis::sources::normal;
///
/// assert_eq!(normal("examples/service/../service.rs"), "examples/service.rs");
/// ```
#[must_use]
pub fn normal(path: &str) -> Cow<'_, str> {
    let is_slash = |letter| letter == '/' || letter == '\\';
    if !path.split(is_slash).any(|part| part == ".." || part == ".") {
        return path.into();
    }
    let is_absolute = path.starts_with(is_slash);
    // With their slashes behind them; the first of an absolute path is a slash alone.
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split_inclusive(is_slash) {
        let last = parts.last().map(|last| last.trim_end_matches(is_slash));
        match (part.trim_end_matches(is_slash), last) {
            (".", _) => {}
            // Above the root there is the root.
            ("..", Some("")) if is_absolute && parts.len() == 1 => {}
            ("..", Some(last)) if last != ".." && !last.is_empty() => _ = parts.pop(),
            _ => parts.push(part),
        }
    }
    parts.concat().into()
}

/// Whether a name is no more than the end of a place, as `main.rs:62` is of line 62 of
/// `src/main.rs`: so a task is called that has no name of its own.
#[must_use]
pub fn is_place(name: &str, file: &str, line: u32) -> bool {
    let file = file.rsplit(['/', '\\']).next().unwrap_or_default();
    let number = name.strip_prefix(file).and_then(|rest| rest.strip_prefix(':'));
    !file.is_empty() && number.is_some_and(|number| number.parse() == Ok(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_left_again_is_not_in_a_path() {
        for (path, expected) in [
            ("examples/service/../service.rs", "examples/service.rs"),
            ("a/b/c/../../d.rs", "a/d.rs"),
            ("a/../b/../c.rs", "c.rs"),
            ("/x/y/../z/main.rs", "/x/z/main.rs"),
            ("./src/./main.rs", "src/main.rs"),
            ("a/./../b.rs", "b.rs"),
            (r"C:\app\src\..\build.rs", r"C:\app\build.rs"),
        ] {
            assert_eq!(normal(path), expected, "{path}");
        }
    }

    #[test]
    fn a_name_that_is_a_place_is_known() {
        for name in ["main.rs:62", "main.rs:6", "other.rs:62", "main", "main.rs:", ":62", ""] {
            assert_eq!(is_place(name, "src/main.rs", 62), name == "main.rs:62", "{name}");
        }
        assert!(is_place("main.rs:62", r"src\main.rs", 62) && is_place("a.rs:1", "a.rs", 1));
        assert!(!is_place(":1", "", 1), "of no file");
    }

    #[test]
    fn what_leads_out_of_a_path_stays() {
        for (path, expected) in [
            ("../service.rs", "../service.rs"),
            ("../../a/b.rs", "../../a/b.rs"),
            ("a/../../b.rs", "../b.rs"),
            ("/../a.rs", "/a.rs"),
            ("/a/../../../b.rs", "/b.rs"),
        ] {
            assert_eq!(normal(path), expected, "{path}");
        }
    }

    #[test]
    fn other_paths_are_as_they_were() {
        for path in ["", "src/main.rs", "/a..b/...rs", "/rustc/1/library/core/src/a.rs", "<anon>"] {
            assert!(matches!(normal(path), Cow::Borrowed(same) if same == path), "{path}");
        }
    }
}
