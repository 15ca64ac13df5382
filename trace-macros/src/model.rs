//! What expansion needs to know about one function, and nothing else.
//!
//! A model exists only for a function that passed every rule: `expand` and `future` cannot fail.
//!
//! Elsewhere: how one is made (`check`).

use proc_macro2::{Span, TokenStream};
use syn::{Stmt, Type};

use crate::args::Argument;
use crate::func::{Body, Function};

/// A function to be recorded.
pub(crate) struct Traced<'a> {
    /// The function.
    pub(crate) function: &'a Function,
    /// Its body.
    pub(crate) body: &'a Body,
    /// Its name in the trace: a constant text.
    pub(crate) name: TokenStream,
    /// True if the name may lack a type: the attribute stands on the function itself, so the macro
    /// does not see the container.
    pub(crate) is_alone: bool,
    /// The position of its name in the source.
    pub(crate) place: Place,
    /// The path of `exectrace::__private`.
    pub(crate) private: TokenStream,
    /// Calls shorter than this many nanoseconds are not recorded.
    pub(crate) min_ns: u64,
    /// What is recorded with the begin.
    pub(crate) arguments: Vec<Argument>,
    /// True if each call is a task.
    pub(crate) task: bool,
    /// What is recorded with the end.
    pub(crate) ending: Ending,
    /// True for a test: if it fails, the last seconds may be kept.
    pub(crate) keeps: bool,
    /// How the function runs.
    pub(crate) shape: Shape,
}

/// What is recorded with the end of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing but the time.
    Plain,
    /// `ret`: the value.
    Returned,
    /// `err`: the error, if it is one.
    Failed,
    /// `ret, err`: the value in an `Ok`, or the error.
    Both,
    /// For a test: nothing, but an `Err` counts as a failure.
    Judged,
}

/// How a function runs.
pub(crate) enum Shape {
    /// From call to return on one thread. The type is `None` without a `->`.
    Call(Option<Box<Type>>),
    /// `async fn`
    Async(Output),
    /// A plain function whose value is an `async` block.
    Block {
        /// Its statements; `tail::block` finds the block in the last one.
        stmts: Vec<Stmt>,
        /// The output of the future.
        output: Output,
    },
    /// A plain function that makes a future in some way that the macro cannot see.
    Made {
        /// The return type as written.
        returns: Box<Type>,
        /// The output of the future.
        output: Output,
        /// True if the future is in a pinned box.
        boxed: bool,
    },
}

/// The output of a future.
pub(crate) enum Output {
    /// `!`
    Never,
    /// A value of this type, `impl Trait` erased.
    Value(Box<Type>),
    /// The signature does not name the type.
    Unknown,
}

/// The position of a function's name. All three fields come from one span, so that they belong
/// together even if another macro wrote the function.
#[derive(Clone)]
pub(crate) struct Place {
    /// As `file!()` says it.
    pub(crate) file: String,
    /// From 1.
    pub(crate) line: u32,
    /// From 1, as `column!()` says it.
    pub(crate) column: u32,
}

impl Place {
    /// The place of a token.
    pub(crate) fn of(span: Span) -> Self {
        if !proc_macro::is_available() {
            // Unit tests take a fixed position, because a real one changes with every edit of the
            // test.
            return Self { file: "src/lib.rs".to_owned(), line: 1, column: 1 };
        }
        let span = span.unwrap();
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { file: span.file(), line: number(span.line()), column: number(span.column()) }
    }
}
