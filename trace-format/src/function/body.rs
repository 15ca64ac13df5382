//! Closures and async blocks that were inlined: the caller's type arguments say which function they
//! are in.
//!
//! With `debug = "line-tables-only"` debug information calls such a body `{closure#0}`, and has
//! neither its path nor the place of its declaration. But a function that gets a closure has the
//! closure's type among its type arguments, with the whole path:
//! `map<u8, app::find::{closure_env#0}>`. It is used only if it is unambiguous.

use std::fmt;

/// A closure or async block, as debug information calls it: `{closure#0}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nameless<'n> {
    /// `closure`, `async_fn`, `async_block`, and whatever else a compiler makes.
    kind: &'n str,
    number: &'n str,
}

impl<'n> Nameless<'n> {
    /// The body that a name without a path stands for, if any. Type arguments may follow.
    #[must_use]
    pub fn of(name: &'n str) -> Option<Self> {
        let (inside, behind) = name.strip_prefix('{')?.split_once('}')?;
        let (kind, number) = inside.split_once('#')?;
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let is_alone = behind.is_empty() || behind.starts_with('<');
        (is_number && is_alone && kind != "impl").then_some(Self { kind, number })
    }

    /// The path of the function it is in, from the caller's type arguments; `None` if these have no
    /// such type of this file's crate, or several.
    ///
    /// - `caller`: the name of the function that calls it, with its type arguments.
    /// - `module`: the module that the body's file is, if its path says so.
    #[must_use]
    pub fn by_caller(self, caller: &str, module: Option<&str>) -> Option<String> {
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

    /// Whether such a body can be in a function: an `async_fn` body is only in an async one.
    #[must_use]
    pub fn may_be_in(self, is_async: bool) -> bool {
        self.kind != "async_fn" || is_async
    }
}

impl fmt::Display for Nameless<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
