//! Where a command's words go: the answer to standard output, all else to standard error.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use trace_analysis::Progress;

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
