//! Paths, in messages and in commands that are there to be pasted. A file's name may have been
//! chosen by somebody else, so nothing of it must move the cursor or run in a shell.

use std::path::Path;

use trace_export::label::escape;

/// What stands for standard input instead of a file's name; `./-` is a file that is called so.
pub const STANDARD_INPUT: &str = "-";

/// Maximum number of characters of a path that are shown.
const SHOWN_CHARS_MAX: usize = 400;
/// Maximum number of characters of a path in a command: Linux opens none that is longer.
const PASTED_CHARS_MAX: usize = 4096;

/// Characters beside letters and digits that no shell takes for anything but themselves.
const PLAIN: &str = "_./+@%:,-";

/// A path that is safe to print.
#[must_use]
pub fn path(path: &Path) -> String {
    escape::plain(&path.display().to_string(), SHOWN_CHARS_MAX)
}

/// A path as one word of a command, for a shell like `sh`.
#[must_use]
pub fn pasted(path: &Path) -> String {
    let name = path.display().to_string();
    // A name would be an option, and `-` alone is standard input.
    let is_option = name.starts_with('-') && name != STANDARD_INPUT;
    word(&if is_option { format!("./{name}") } else { name })
}

/// A text as one word of a command, for a shell like `sh`.
#[must_use]
pub fn word(text: &str) -> String {
    let word = escape::plain(text, PASTED_CHARS_MAX);
    let is_plain = |it: char| it.is_alphanumeric() || PLAIN.contains(it);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word;
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_path_is_one_word_and_runs_nothing() {
        for (name, expected) in [
            ("app.trace", "app.trace"),
            ("/tmp/a b/app.trace", "'/tmp/a b/app.trace'"),
            ("$(id).trace", "'$(id).trace'"),
            ("a;id.trace", "'a;id.trace'"),
            ("it's.trace", r"'it'\''s.trace'"),
            ("~.trace", "'~.trace'"),
            ("-o.trace", "./-o.trace"),
            ("-", "-"),
            ("größe.trace", "größe.trace"),
        ] {
            assert_eq!(pasted(Path::new(name)), expected, "{name}");
        }
        let hidden = pasted(Path::new("\u{1b}[2J.trace"));
        assert!(!hidden.contains('\u{1b}') && hidden.starts_with('\''), "{hidden:?}");
    }
}
