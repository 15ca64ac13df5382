//! Where a command's words go: the answer to standard output, all else to standard error.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;
use trace_analysis::Progress;
use trace_format::value::is_shown;
use unicode_width::UnicodeWidthStr;

/// Shorter files are read before a bar could be looked at.
const PROGRESS_BYTES_MIN: u64 = 64 << 20;

/// Standard output, buffered.
#[derive(Debug)]
pub struct Output {
    out: BufWriter<StdoutLock<'static>>,
    /// The terminal's width, or the one that `COLUMNS` says; none if the output is no terminal, and
    /// then nothing is shortened.
    pub width: Option<usize>,
    colours: bool,
}

impl Output {
    /// Standard output, locked.
    #[must_use]
    pub fn stdout() -> Self {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        let terminal = terminal_size::terminal_size_of(&stdout).map(|(width, _)| width.0.into());
        let columns = std::env::var("COLUMNS").ok();
        let width = width(is_terminal, columns.as_deref(), terminal);
        let colours = is_terminal && std::env::var_os("NO_COLOR").is_none();
        Self { out: BufWriter::with_capacity(1 << 16, stdout.lock()), width, colours }
    }

    /// A text that must not be overlooked.
    #[must_use]
    pub fn loud(&self, text: &str) -> String {
        self.styled(text, Style::new().bold().fg_color(Some(AnsiColor::Red.into())))
    }

    /// A heading.
    #[must_use]
    pub fn bold(&self, text: &str) -> String {
        self.styled(text, Style::new().bold())
    }

    fn styled(&self, text: &str, style: Style) -> String {
        if self.colours { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    /// A line, broken between words if the terminal is narrower; what follows is indented by
    /// `indent`.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn wrapped(&mut self, line: &str, indent: usize) -> io::Result<()> {
        self.wrapped_as(line, indent, |_, line| line.to_owned())
    }

    /// The same of a line that must not be overlooked.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn wrapped_loud(&mut self, line: &str, indent: usize) -> io::Result<()> {
        self.wrapped_as(line, indent, Self::loud)
    }

    /// The same of a heading.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn wrapped_bold(&mut self, line: &str, indent: usize) -> io::Result<()> {
        self.wrapped_as(line, indent, Self::bold)
    }

    fn wrapped_as(
        &mut self,
        line: &str,
        indent: usize,
        style: impl Fn(&Self, &str) -> String,
    ) -> io::Result<()> {
        for line in wrap(line, self.width, indent) {
            let line = style(self, &line);
            writeln!(self.out, "{line}")?;
        }
        Ok(())
    }

    /// One value as JSON, on a line or lines of its own.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        let pretty = serde_json::ser::PrettyFormatter::new();
        value.serialize(&mut Serializer::with_formatter(&mut self.out, Shown(pretty)))?;
        self.out.write_all(b"\n")
    }

    /// One value as JSON, on one line.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn json_line(&mut self, value: &impl Serialize) -> io::Result<()> {
        let compact = serde_json::ser::CompactFormatter;
        value.serialize(&mut Serializer::with_formatter(&mut self.out, Shown(compact)))?;
        self.out.write_all(b"\n")
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// JSON in which a terminal sees the characters that are there: what [`is_shown`] does not let
/// through stands as `\uXXXX`, which JSON readers take for the same character.
struct Shown<F>(F);

impl<F: Formatter> Formatter for Shown<F> {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        mut fragment: &str,
    ) -> io::Result<()> {
        // Nearly all text is so.
        if fragment.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return writer.write_all(fragment.as_bytes());
        }
        while let Some(at) = fragment.find(|character| !is_shown(character)) {
            let (shown, rest) = fragment.split_at(at);
            writer.write_all(shown.as_bytes())?;
            let mut rest = rest.chars();
            for unit in rest.next().unwrap_or_default().encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            fragment = rest.as_str();
        }
        writer.write_all(fragment.as_bytes())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

/// How wide the output may be. Who exports `COLUMNS` means it, so it comes before what the terminal
/// says; without a terminal neither counts.
fn width(is_terminal: bool, columns: Option<&str>, terminal: Option<usize>) -> Option<usize> {
    let columns = columns.and_then(|columns| columns.trim().parse().ok()).filter(|it| *it > 0);
    columns.or(terminal).filter(|_| is_terminal)
}

/// A line in pieces of at most `width`, as far as its words are short enough.
fn wrap(line: &str, width: Option<usize>, indent: usize) -> Vec<String> {
    let Some(width) = width.filter(|width| *width > indent) else { return vec![line.to_owned()] };
    let mut lines = Vec::new();
    let mut current = String::new();
    let mut is_begun = false;
    for word in line.split(' ') {
        let is_over = current.width() + 1 + word.width() > width;
        if is_begun && is_over && !word.is_empty() && !current.trim().is_empty() {
            lines.push(current.trim_end().to_owned());
            current = " ".repeat(indent);
            current.push_str(word);
            continue;
        }
        if is_begun {
            current.push(' ');
        }
        is_begun = true;
        current.push_str(word);
    }
    lines.push(current);
    lines
}

/// Says one line on standard error. If nobody listens there, nothing is lost.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr(), "exectrace: {text}");
}

/// A bar on standard error while a long file is read; nothing if that is no terminal. It may go by
/// bytes or by events, so it shows neither.
#[must_use]
pub fn progress(bytes: u64) -> ProgressBar {
    if bytes < PROGRESS_BYTES_MIN || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {percent:>3}%");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes).with_style(style)
}

/// Moves a bar on.
pub fn advance(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.bytes_total);
    bar.set_position(progress.bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_shows_no_character_that_moves_or_turns_text_and_says_the_same() {
        let text = "a\u{1b}[31m\u{9b}\u{202e}\u{2066}\u{feff}\"\\ é \u{1f600}";
        let mut out = Vec::new();
        let compact = serde_json::ser::CompactFormatter;
        let done = [text].serialize(&mut Serializer::with_formatter(&mut out, Shown(compact)));
        done.expect("memory takes it");
        let out = String::from_utf8(out).expect("it is text");
        assert!(out.chars().all(is_shown), "{out:?}");
        assert!(out.contains("\\u009b\\u202e\\u2066\\ufeff") && out.contains("é \u{1f600}"));
        let again: [String; 1] = serde_json::from_str(&out).expect("it is JSON");
        assert_eq!(again, [text]);
    }

    #[test]
    fn columns_are_as_many_as_they_are_said_to_be_and_nothing_is_cut_in_a_pipe() {
        for (is_terminal, columns, terminal, expected) in [
            (true, None, Some(132), Some(132)),
            (true, Some("60"), Some(132), Some(60)),
            (true, Some("60"), None, Some(60)),
            (true, Some("0"), Some(132), Some(132)),
            (true, Some("many"), Some(132), Some(132)),
            (true, None, None, None),
            (false, Some("60"), None, None),
        ] {
            assert_eq!(width(is_terminal, columns, terminal), expected, "{columns:?}");
        }
    }

    #[test]
    fn long_lines_break_between_words_and_lose_none() {
        let line = "    held by worker-1: 93% of it, released at app::flush (src/main.rs:60)";
        for width in 20..90 {
            let lines = wrap(line, Some(width), 6);
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(words(&lines.join(" ")), words(line));
            let fits = |line: &String| line.width() <= width.max(6 + "(src/main.rs:60)".len());
            assert!(lines.iter().all(fits), "{width}: {lines:?}");
            assert!(
                lines[0].starts_with("    held")
                    && lines[1..].iter().all(|l| l.starts_with("      "))
            );
        }
        assert_eq!(wrap(line, None, 6), [line]);
        assert_eq!(wrap(line, Some(90), 6), [line]);
    }
}
