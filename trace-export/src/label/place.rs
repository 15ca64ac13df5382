//! Stacks as text: the place where something was done, and its callers.
//!
//! A place is the innermost function that is the program's own, with its file and line. Paths of
//! files are shown without the folder of the registry, the toolchain or the checkout.

use std::borrow::Cow;

use crate::label::escape;
use trace_analysis::reason;
use trace_analysis::symbols::{Frame, Symbols};
use trace_format::id::StackId;
use trace_format::read::Tables;

/// Maximum number of characters of a function's name that are shown.
const NAME_CHARS_MAX: usize = 120;
/// Maximum number of parts of a path that are shown, counted from its end.
const PATH_PARTS_MAX: usize = 3;

/// The stacks of one trace.
#[derive(Clone, Copy, Debug)]
pub struct Places<'t> {
    tables: &'t Tables,
    symbols: &'t Symbols,
}

/// A function, and a line in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Its path, or an offset in a module; not yet safe to print.
    pub function: String,
    /// The source file, as it was given to the compiler; empty if unknown.
    pub file: String,
    /// From 1; 0 if unknown.
    pub line: u32,
}

impl<'t> Places<'t> {
    /// The stacks in these tables, with these names.
    #[must_use]
    pub fn new(tables: &'t Tables, symbols: &'t Symbols) -> Self {
        Self { tables, symbols }
    }

    /// The functions of a stack, innermost first, without the recorder's; empty if the stack is not
    /// in the trace.
    #[must_use]
    pub fn frames(&self, stack: StackId) -> Vec<Frame<'t>> {
        match self.tables.stacks.get(&stack) {
            Some(stack) => self.symbols.shown(&stack.addresses),
            None => Vec::new(),
        }
    }

    /// Whether the outermost frames of the stack were cut off.
    #[must_use]
    pub fn is_cut(&self, stack: StackId) -> bool {
        self.tables.stacks.get(&stack).is_some_and(|stack| stack.flags.cut)
    }

    /// The place of a stack: the innermost function of the program's own code; if there is none, of
    /// a library; else the innermost function.
    #[must_use]
    pub fn place(&self, stack: StackId) -> Option<Place> {
        let frames = self.frames(stack);
        reason::place(&frames).map(Place::new)
    }

    /// The place of a stack in the program's own code, not in a package, if there is any: many
    /// functions of packages may lie between an await and what it awaits.
    #[must_use]
    pub fn own(&self, stack: StackId) -> Option<Place> {
        let frames = self.frames(stack);
        let mut place = reason::await_place(&frames).map(Place::new)?;
        place.function = reason::without_closures(&place.function).to_owned();
        Some(place)
    }

    /// The place, for people: `app::work (src/main.rs:12)`.
    #[must_use]
    pub fn shown(&self, stack: StackId) -> Option<String> {
        self.place(stack).map(|place| place.shown())
    }

    /// Whether a stack is inside tokio's `block_in_place`.
    #[must_use]
    pub fn blocks_in_place(&self, stack: StackId) -> bool {
        reason::blocks_in_place(&self.frames(stack))
    }

    /// The whole stack, a line for each function, innermost first.
    #[must_use]
    pub fn lines(&self, stack: StackId) -> Vec<String> {
        let frames = self.frames(stack);
        let mut lines: Vec<_> = frames.iter().map(|frame| Place::new(frame).shown()).collect();
        if self.is_cut(stack) {
            lines.push("… (cut at the depth limit)".to_owned());
        }
        lines
    }

    /// The function at an address, such as the first function of a thread.
    #[must_use]
    pub fn function_at(&self, address: u64) -> Option<String> {
        let frames = self.symbols.frames(&[address]);
        let frame = frames.first().filter(|frame| frame.named && address > 0)?;
        Some(escape::plain(&frame.name, NAME_CHARS_MAX))
    }
}

impl Place {
    /// The function and line of a frame.
    #[must_use]
    pub fn new(frame: &Frame<'_>) -> Self {
        let (function, file) = (frame.name.clone().into_owned(), frame.file.to_owned());
        Self { function, file, line: frame.line }
    }

    /// As text for people.
    #[must_use]
    pub fn shown(&self) -> String {
        let function = escape::plain(&self.function, NAME_CHARS_MAX);
        match self.source() {
            Some(source) => format!("{function} ({source})"),
            None => function,
        }
    }

    /// The function alone, as text for people.
    #[must_use]
    pub fn shown_function(&self) -> String {
        escape::plain(&self.function, NAME_CHARS_MAX)
    }

    /// `main.rs:12`: for tables without room for the folders. `None` if it is not known.
    #[must_use]
    pub fn shown_line(&self) -> String {
        let source = self.source().unwrap_or_default();
        source.rsplit('/').next().unwrap_or_default().to_owned()
    }

    /// `src/main.rs:12`, if it is known.
    #[must_use]
    pub fn source(&self) -> Option<String> {
        if self.file.is_empty() {
            return None;
        }
        let file = escape::plain(&short_file(&self.file), NAME_CHARS_MAX);
        Some(if self.line > 0 { format!("{file}:{}", self.line) } else { file })
    }
}

/// A source file's path in short: from the crate's folder on for a dependency and the standard
/// library; the end of any other absolute path.
#[must_use]
pub fn short_file(file: &str) -> Cow<'_, str> {
    if let Some(at) = file.find("/registry/src/") {
        return file[at..].splitn(5, '/').last().unwrap_or(file).into();
    }
    if let Some(at) = file.find("/library/").filter(|_| file.starts_with("/rustc/")) {
        return file[at + "/library/".len()..].into();
    }
    let parts = file.matches('/').count();
    if !file.starts_with('/') || parts <= PATH_PARTS_MAX {
        return file.into();
    }
    let mut starts = file.match_indices('/').map(|(at, _)| at);
    let start = starts.nth(parts - PATH_PARTS_MAX).unwrap_or(0);
    format!("…{}", &file[start..]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_keep_what_says_something() {
        let cases = [
            ("src/main.rs", "src/main.rs"),
            ("/x/registry/src/index-1/tokio-1.0/src/a.rs", "tokio-1.0/src/a.rs"),
            ("/rustc/abc/library/std/src/thread/mod.rs", "std/src/thread/mod.rs"),
            ("/x/y/crates/app/src/main.rs", "…/app/src/main.rs"),
            ("/a/b.rs", "/a/b.rs"),
        ];
        for (file, expected) in cases {
            assert_eq!(short_file(file), expected);
        }
    }
}
