//! Paths in messages, and in commands that users paste into a shell. Anybody may have chosen a
//! file's name, so nothing in it may move the cursor or run as a command.

use std::path::Path;

use trace_export::label::escape;

/// The word for standard input in place of a file's name; a file with that name is `./-`.
pub const STANDARD_INPUT: &str = "-";

/// Maximum number of characters of a path that are shown.
const SHOWN_CHARS_MAX: usize = 400;
/// Maximum number of characters of a path in a command: Linux opens no longer path.
const PASTED_CHARS_MAX: usize = 4096;

/// Characters, besides letters and digits, that have no meaning in any shell.
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
    // The command would take such a name for an option; `-` alone is standard input.
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
