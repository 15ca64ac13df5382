//! The attributes `#[traced]` and `#[test]`: tokens in, tokens out.
//!
//! This file has the entry points and their documentation. With the feature `enabled` off, only
//! this file and `harness` are compiled, no dependency is built, and the attributes return their
//! item unchanged (`#[test]` still makes it a test). With it on, an item goes through these stages:
//!
//! 1. `args` reads the options, `threshold` the duration in `min`.
//! 2. `walk` finds the functions in the item; `func` reads one, its body kept as tokens,
//!    `signature` what stands before it; `owner` names the type or trait around it.
//! 3. `returns` understands the return type, `tail` finds the `async` block a function
//!    returns, `check` holds the rules and makes a `model`.
//! 4. `expand` turns a model into tokens, `future` does the asynchronous shapes, `paths`
//!    knows where the recorder is.
//! 5. `testing` makes a task of a test; `harness` finds what makes it a test.
//! 6. `fallback` takes over if there was any fault: it emits the item unchanged, and every fault at
//!    its token.
//!
//! Always true: a user's statement is spliced, never re-nested; a local of ours has
//! `mixed_site` hygiene; every path is absolute; one fault in the user's code is one error.
//!
//! Elsewhere: what the emitted paths do (`exectrace::__private`), and `trace_region!`, `log!`,
//! `counter!`, `instant!`, which need no parser and are `macro_rules!` of the root package.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

use proc_macro::TokenStream;

#[cfg(feature = "enabled")]
mod args;
#[cfg(feature = "enabled")]
mod check;
#[cfg(feature = "enabled")]
mod expand;
#[cfg(feature = "enabled")]
mod fallback;
#[cfg(feature = "enabled")]
mod func;
#[cfg(feature = "enabled")]
mod future;
mod harness;
#[cfg(feature = "enabled")]
mod model;
#[cfg(feature = "enabled")]
mod owner;
#[cfg(feature = "enabled")]
mod paths;
#[cfg(feature = "enabled")]
mod returns;
#[cfg(feature = "enabled")]
mod signature;
#[cfg(all(test, feature = "enabled"))]
mod snapshot;
#[cfg(feature = "enabled")]
mod tail;
#[cfg(feature = "enabled")]
mod testing;
#[cfg(feature = "enabled")]
mod threshold;
#[cfg(feature = "enabled")]
mod walk;

/// Records every call of a function as a region: when it began, when it ended, on which thread.
///
/// ```text
/// Input     #[traced(args(id))] fn load(id: u64) -> Table { body }
/// Output    fn load(id: u64) -> Table {
///               let _region = { static SITE: Callsite = ..; enter_args(&SITE, &[id]) };
///               body
///           }
/// ```
///
/// # Where it goes
///
/// - On a function with a body: free, method, trait method; generic, `unsafe`, `extern "C"`,
///   returning `impl Trait` or `!`.
/// - On an `async fn`, or a function that returns `impl Future` or a boxed future (so also under
///   `#[async_trait]`): one slice for each poll, one bar over the future's life.
/// - On an `impl` block, a `trait` block or an inline `mod`: every function in it that has a body,
///   at any depth, except `const fn`s and the `clone` and `partial_cmp` that only forward to `Copy`
///   and `Ord`. `#[traced(skip)]` inside leaves one item out; any other `#[traced(..)]` inside
///   replaces the outer one's options (all but `crate`) for its item. The inner attribute must be
///   spelled `traced`, with any path before it: the outer one sees neither a renamed import nor an
///   attribute in a `cfg_attr`.
///
/// On anything else, and directly on a `const fn`, it is an error.
///
/// # Options
///
/// - `name = "..."`: the name in the trace. The default is `function`; for a method it is
///   `Type::function` or `<Type as Trait>::function`, whether the attribute stands on the method or
///   on its `impl` block.
/// - `args(a, b = expr, ?debug, %display, c = ?expr)`: values recorded with the begin: a
///   parameter by its name, or any expression under a name. Plain ones keep their type (integers,
///   floats, `bool`, `char`, strings, bytes), `?` and `%` record the text of `Debug` and
///   `Display`. They are evaluated before the body, and only while the call is being recorded.
/// - `min = "10us"` (`ns`, `us`, `ms`, `s`; decimals allowed): a shorter call is not recorded. Not
///   for futures and tasks.
/// - `ret`: records the returned value. `err`: records the error of a returned `Result`. With
///   both, the value of an `Ok` and the error of an `Err`.
/// - `task`: each call is a user task of its own.
/// - `skip`: inside a traced item: do not record this one.
/// - `crate = path`: where `exectrace` is, if not at `::exectrace`.
///
/// On a container `min`, `ret`, `err` and `crate` apply to every function in it for which they make
/// sense; `name`, `args` and `task` are errors there.
///
/// With the feature `enabled` off, the item is returned unchanged.
#[proc_macro_attribute]
pub fn traced(options: TokenStream, item: TokenStream) -> TokenStream {
    #[cfg(feature = "enabled")]
    return walk::traced(options.into(), item.into()).into();
    #[cfg(not(feature = "enabled"))]
    {
        drop(options);
        item
    }
}

/// A test that is a user task of its own, called by its module's path and its name, so that
/// `exectrace tasks` and `cargo exectrace test` rank tests by time.
///
/// ```text
/// Input     #[exectrace::test] fn adds() { body }
/// Output    #[test] fn adds() { let _task = { static SITE: ..; enter_task(&SITE) }; body }
/// ```
///
/// Put it above all other attributes. If an attribute below it makes the function a test already
/// (`#[tokio::test]`, `#[test_log::test]`, `#[rstest]`, any that is called `test`), nothing is
/// added. Otherwise the function becomes a `#[test]`, with the usual rules for `#[should_panic]`,
/// `#[ignore]` and the returned value.
///
/// ```text
/// #[exectrace::test]
/// #[tokio::test]
/// async fn answers() { .. }
/// ```
///
/// If the environment variable `EXECTRACE_KEEP` names a folder, a test that fails writes a trace of
/// its last seconds there, in a file that has the test's name.
///
/// Options: `name = "..."` and `crate = path`, as `#[traced]` has them. With the feature `enabled`
/// off it is `#[test]`, and nothing else.
#[proc_macro_attribute]
pub fn test(options: TokenStream, item: TokenStream) -> TokenStream {
    let harness = harness::missing(&item);
    #[cfg(feature = "enabled")]
    return testing::test(options.into(), harness.into(), item.into()).into();
    #[cfg(not(feature = "enabled"))]
    {
        drop(options);
        harness.into_iter().chain(item).collect()
    }
}
