//! The text of an event: its level, its message, then the other fields as `key=value`, as
//! `tracing_subscriber` prints them.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use tracing_core::Event;
use tracing_core::field::{Field, Visit};

/// The field that is the message.
const MESSAGE: &str = "message";

/// Prints an event.
pub(super) struct Message<'a>(pub(super) &'a Event<'a>);

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.metadata().level().as_str())?;
        let fields = self.0.metadata().fields();
        let result = Cell::new(Ok(()));
        let has_message = fields.field(MESSAGE).is_some();
        if !has_message || fields.iter().next().is_some_and(|first| first.name() == MESSAGE) {
            // The macros put the message first; then one pass over the fields prints everything in
            // order.
            self.0.record(&mut Print { f, result: &result, part: Part::All });
        } else {
            self.0.record(&mut Print { f, result: &result, part: Part::Message });
            self.0.record(&mut Print { f, result: &result, part: Part::Others });
        }
        result.get()
    }
}

/// Which fields are printed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    Message,
    Others,
}

/// Prints fields.
struct Print<'a, 'f> {
    f: &'a mut fmt::Formatter<'f>,
    result: &'a Cell<fmt::Result>,
    part: Part,
}

impl Print<'_, '_> {
    fn print(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let name = field.name();
        let not_this = if name == MESSAGE { Part::Others } else { Part::Message };
        if self.part == not_this || self.result.get().is_err() {
            return;
        }
        self.result.set(match name {
            MESSAGE => self.f.write_str(" ").and_then(|()| self.f.write_fmt(value)),
            // Fields by which the crate `tracing-log` says where a record comes from.
            _ if name.starts_with("log.") => Ok(()),
            _ => {
                let name = name.strip_prefix("r#").unwrap_or(name);
                self.f.write_fmt(format_args!(" {name}={value}"))
            }
        });
    }
}

impl Visit for Print<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE {
            self.print(field, format_args!("{value}"));
        } else {
            self.print(field, format_args!("{value:?}"));
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.print(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.print(field, format_args!("{value:?}"));
    }
}
