//! Commands that show more. They ask about the same part of the same trace, so they show the
//! numbers that led to them.

use trace_format::time::Nanos;

use super::{Reading, Selection};
use crate::label::{pasted, units, word};

impl Selection {
    /// A verb with its options, and with those that ask it about this part. Options that it has
    /// already stay as they are.
    #[must_use]
    pub fn command(&self, command: &str) -> String {
        let mut line = command.to_owned();
        let mut add = |name: &str, value: Option<String>| {
            let is_said = command.split(' ').any(|word| word == name);
            if let Some(value) = value.filter(|_| !is_said) {
                line.push_str(&format!(" {name}{value}"));
            }
        };
        let time = |at: Option<Nanos>| at.map(|at| format!(" {}", seconds(at)));
        add("--from", time(self.from));
        match command.split(' ').next() {
            // `heap` takes a moment, not an end, and is about all threads.
            Some("heap") => add("--at", time(self.to)),
            _ => {
                add("--to", time(self.to));
                add("--thread", self.thread.as_deref().map(value));
            }
        }
        line
    }
}

impl Reading {
    /// A command for users to paste into a shell: `exectrace blocked app.trace --by lock`. A trace
    /// that came through a pipe is `FILE` in it.
    ///
    /// - `command`: the verb with its options.
    #[must_use]
    pub fn pasted(&self, command: &str) -> String {
        let (verb, options) = command.split_at(command.find(' ').unwrap_or(command.len()));
        let file = if self.is_named { pasted(&self.path) } else { "FILE".to_owned() };
        format!("exectrace {verb} {file}{options}")
    }

    /// The same with the options that ask about the part that is wanted.
    #[must_use]
    pub fn more(&self, command: &str) -> String {
        self.pasted(&self.part.command(command))
    }
}

/// A moment as options have it, to the nanosecond: `0.3s`.
fn seconds(at: Nanos) -> String {
    let exact = units::moment(at);
    format!("{}s", exact.trim_end_matches('0').trim_end_matches('.'))
}

/// The value of an option, so that it is not taken for another option.
fn value(text: &str) -> String {
    format!("{}{}", if text.starts_with('-') { '=' } else { ' ' }, word(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_asks_about_the_same_part() {
        let all = Selection {
            from: Some(Nanos(300_000_000)),
            to: Some(Nanos(12_000_000_001)),
            thread: Some("it's #2".to_owned()),
        };
        let thread = r"--thread 'it'\''s #2'";
        for (command, expected) in [
            ("threads", format!("threads --from 0.3s --to 12.000000001s {thread}")),
            (
                "blocked --by lock",
                format!("blocked --by lock --from 0.3s --to 12.000000001s {thread}"),
            ),
            ("heap", "heap --from 0.3s --at 12.000000001s".to_owned()),
            ("events --from 1s --to 2s", format!("events --from 1s --to 2s {thread}")),
        ] {
            assert_eq!(all.command(command), expected);
        }
        let one =
            |thread: &str| Selection { thread: Some(thread.to_owned()), ..Selection::default() };
        assert_eq!(one("-x").command("check"), "check --thread=-x");
        assert_eq!(Selection::default().command("check"), "check");
        let whole =
            Selection { from: Some(Nanos(0)), to: Some(Nanos(20_000_000_000)), thread: None };
        assert_eq!(whole.command("check"), "check --from 0s --to 20s");
    }
}
