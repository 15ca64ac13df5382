//! Where a command's words go: the answer to standard output, all else to standard error.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use trace_analysis::Progress;
use unicode_width::UnicodeWidthStr;

/// Shorter files are read before a bar could be looked at.
const PROGRESS_BYTES_MIN: u64 = 64 << 20;

/// Standard output, buffered.
#[derive(Debug)]
pub struct Output {
    out: BufWriter<StdoutLock<'static>>,
    /// The terminal's width; none if the output is no terminal, and then nothing is shortened.
    pub width: Option<usize>,
    colours: bool,
}

impl Output {
    /// Standard output, locked.
    #[must_use]
    pub fn stdout() -> Self {
        let stdout = io::stdout();
        let width = terminal_size::terminal_size_of(&stdout).map(|(width, _)| width.0.into());
        let colours = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none();
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
    pub fn json(&mut self, value: &impl serde::Serialize) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut self.out, value)?;
        self.out.write_all(b"\n")
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
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

/// A bar on standard error while a long file is read; nothing if that is no terminal.
#[must_use]
pub fn progress(bytes: u64) -> ProgressBar {
    if bytes < PROGRESS_BYTES_MIN || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec}");
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
