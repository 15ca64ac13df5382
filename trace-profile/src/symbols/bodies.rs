//! Closures and async blocks that were inlined get the name of the function they are in.
//!
//! With `debug = "line-tables-only"` debug information calls such a body `{closure#0}` and says
//! neither its path nor where it was declared. Two things still tell the function, and each is
//! believed only if it leaves no doubt:
//!
//! - The caller. A function that is given a closure has the closure's type among its type
//!   arguments, with its whole path: `map<u8, app::find::{closure_env#0}>`.
//! - The source text, if it is there and not younger than the program: the function that the
//!   body's line and column are in.
//!
//! Elsewhere: names in full, as mangled symbols and `debug = 1` have them (`names`).

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::time::SystemTime;

use super::source_text::FnItems;

/// Maximum number of source files whose functions are remembered.
const FILES_MAX: usize = 1 << 12;

/// A closure or async block, as debug information calls it: `{closure#0}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nameless<'n> {
    /// `closure`, `async_fn`, `async_block`, and whatever else a compiler makes.
    kind: &'n str,
    number: &'n str,
}

impl<'n> Nameless<'n> {
    /// What a name without a path says, if it is a body's. Type arguments may follow.
    pub(super) fn of(name: &'n str) -> Option<Self> {
        let (inside, behind) = name.strip_prefix('{')?.split_once('}')?;
        let (kind, number) = inside.split_once('#')?;
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let is_alone = behind.is_empty() || behind.starts_with('<');
        (is_number && is_alone && kind != "impl").then_some(Self { kind, number })
    }

    /// The path of the function it is in, as the caller's type arguments have it; `None` if they
    /// have no such type of this file's crate, or several.
    ///
    /// - `caller`: the name of the function that calls it, with its type arguments.
    /// - `module`: the module that the body's file is, if the file's place tells.
    pub(super) fn by_caller(self, caller: &str, module: Option<&str>) -> Option<String> {
        let of_type = format!("::{{{}_env#{}}}", self.kind, self.number);
        let mut paths = caller.match_indices(&of_type).map(|(at, _)| path_before(&caller[..at]));
        let fits = |path: &&str| match module {
            Some(module) => path.strip_prefix(module).is_some_and(|it| it.starts_with("::")),
            None => !["core::", "alloc::", "std::"].iter().any(|start| path.starts_with(start)),
        };
        let path = paths.by_ref().find(fits)?;
        let is_only = paths.filter(fits).all(|other| other == path);
        let parts = path.split("::").filter(|part| !part.starts_with("{impl#"));
        is_only.then(|| parts.collect::<Vec<_>>().join("::"))
    }

    /// Whether a function can have such a body: what is called an async function's is in one.
    fn may_be_in(self, is_async: bool) -> bool {
        self.kind != "async_fn" || is_async
    }
}

impl std::fmt::Display for Nameless<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{{{}#{}}}", self.kind, self.number)
    }
}

/// The path that a text ends with: `a::{impl#1}::go` of `map<&u8, a::{impl#1}::go`.
fn path_before(text: &str) -> &str {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '{' | '}' | '#');
    let start = text
        .rfind(|c| !is_part(c))
        .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    &text[start..]
}

/// The functions of source files, read once each.
#[derive(Debug)]
pub(super) struct Sources {
    files: RefCell<HashMap<String, Option<FnItems>>>,
    /// When the program was built, at the latest: younger files are not what it was built from.
    built: Option<SystemTime>,
}

impl Sources {
    pub(super) fn new(built: Option<SystemTime>) -> Self {
        Self { files: RefCell::default(), built }
    }

    /// The function that a body at this place of a file is in, by the file's text.
    pub(super) fn function(
        &self,
        body: Nameless<'_>,
        file: &str,
        line: u32,
        column: u32,
    ) -> Option<String> {
        let mut files = self.files.borrow_mut();
        if files.len() >= FILES_MAX && !files.contains_key(file) {
            files.clear();
        }
        let read = || FnItems::read(Path::new(file), self.built?);
        let functions = files.entry(file.to_owned()).or_insert_with(read).as_ref()?;
        let function = functions.around(line, column)?;
        body.may_be_in(function.is_async).then(|| function.name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_known_by_their_names() {
        for name in ["{closure#0}", "{async_fn#12}<u8, app::A>", "{async_block#1}"] {
            let body = Nameless::of(name).expect("a body");
            assert!(name.starts_with(&body.to_string()), "{name}");
        }
        for name in ["", "{", "{closure}", "{closure#}", "{closure#x}", "{impl#0}", "f", "{a#0}::f"]
        {
            assert_eq!(Nameless::of(name), None, "{name}");
        }
    }

    #[test]
    fn the_caller_names_the_function_of_a_closure() {
        let caller = "{closure#0}<&u8, u32, app::chan::{impl#1}::go::{closure_env#0}<u8>, \
                      core::iter::accum::{impl#36}::sum::{closure_env#0}<u8>>";
        let closure = Nameless::of("{closure#0}").expect("a body");
        for (module, path) in [
            (None, Some("app::chan::go")),
            (Some("core::iter::accum"), Some("core::iter::accum::sum")),
            (Some("core::iter::other"), None),
            (Some("app::cha"), None),
        ] {
            assert_eq!(closure.by_caller(caller, module).as_deref(), path, "{module:?}");
        }
        let second = Nameless::of("{closure#1}").expect("a body");
        assert_eq!(second.by_caller(caller, None), None, "there is no such type");
        let block = Nameless::of("{async_block#0}").expect("a body");
        let poll = "poll<exectrace::Traced<app::leaf::{async_block_env#0}>>";
        assert_eq!(block.by_caller(poll, None).as_deref(), Some("app::leaf"));
    }

    #[test]
    fn what_may_be_either_of_two_closures_stays_without_a_function() {
        let closure = Nameless::of("{closure#0}").expect("a body");
        let two = "zip<app::a::{closure_env#0}, app::b::{closure_env#0}>";
        assert_eq!(closure.by_caller(two, None), None);
        let same = "zip<app::a::{closure_env#0}, app::a::{closure_env#0}>";
        assert_eq!(closure.by_caller(same, None).as_deref(), Some("app::a"));
    }
}
