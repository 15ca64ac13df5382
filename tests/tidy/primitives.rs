//! In the recorder, only `primitive.rs` names atomics, cells and thread locals, so that loom can
//! replace them in every protocol. The recorder waits by its own clock, because a library may fake
//! the program's.
//!
//! This is no clippy lint, because clippy's bans see through re-exports, and also fire on uses of
//! those.

use crate::tokens::Tokens;
use crate::tree::{Exception, Fault, Tree, excuse};

const SOURCES: &str = "trace-runtime/src/";

/// What is banned, and what to use instead.
const BANNED: [(&[&str], &str); 5] = [
    (&["std", ":", ":", "sync", ":", ":", "atomic"], "take it from `primitive`"),
    (&["core", ":", ":", "sync", ":", ":", "atomic"], "take it from `primitive`"),
    (&["UnsafeCell"], "keep shared state in atomics of `primitive`"),
    (&["thread_local"], "put it into the thread's state"),
    (&["loom", ":", ":"], "have `primitive` choose between loom and std"),
];

const EXCEPTIONS: [Exception; 15] = [
    Exception { path: "trace-runtime/src/base/primitive.rs", reason: "the one place" },
    Exception { path: "trace-runtime/src/tests/", reason: "models say loom, and statics" },
    Exception { path: "trace-runtime/src/thread/state.rs", reason: "what only its owner touches" },
    Exception {
        path: "trace-runtime/src/thread/local.rs",
        reason: "the way to the thread's state",
    },
    Exception {
        path: "trace-runtime/src/thread/exit.rs",
        reason: "a destructor that notices a thread's end",
    },
    Exception { path: "trace-runtime/src/heap/own.rs", reason: "the way to the thread's counts" },
    Exception { path: "trace-runtime/src/stack/", reason: "what walks know of their thread" },
    Exception {
        path: "trace-runtime/src/annotate/future/current.rs",
        reason: "what a thread polls, likewise",
    },
    Exception {
        path: "trace-runtime/src/annotate/future/registry.rs",
        reason: "where a thread looks first",
    },
    Exception {
        path: "trace-runtime/src/thread/naming.rs",
        reason: "a thread's name, of no protocol",
    },
    Exception {
        path: "trace-runtime/src/thread/working.rs",
        reason: "a thread's tasks, of no protocol",
    },
    Exception {
        path: "trace-runtime/src/annotate/open_tasks.rs",
        reason: "where a thread looks first",
    },
    Exception { path: "trace-runtime/src/thread/body.rs", reason: "memory that a thread keeps" },
    Exception { path: "trace-runtime/src/sys/clock.rs", reason: "the models' clock" },
    Exception { path: "trace-runtime/src/sys/portable.rs", reason: "the one clock there is" },
];

pub(crate) fn faults(tree: &Tree) -> Vec<Fault> {
    excuse(used(tree), &EXCEPTIONS)
}

fn used(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (file, tokens) in tree.sources().filter(|(file, _)| file.path.starts_with(SOURCES)) {
        for (words, instead) in BANNED {
            for (_, token) in tokens.find(words) {
                let what = format!("`{}` outside `primitive.rs`, {instead}", words.concat());
                faults.push(Fault::new(&file.path, token.line, what));
            }
        }
        for line in instants(tokens) {
            let what = "`std::time::Instant` in the recorder, take `clock::Instant`".to_owned();
            faults.push(Fault::new(&file.path, line, what));
        }
    }
    faults
}

/// The lines that name the standard library's `Instant`, alone or in a list.
fn instants(tokens: &Tokens) -> impl Iterator<Item = usize> {
    const MODULE: [&str; 6] = ["std", ":", ":", "time", ":", ":"];
    let of = |(at, _): (usize, &_)| {
        let first = at + MODULE.len();
        let end = tokens.0[first].mate.unwrap_or(first);
        tokens.0[first..=end].iter().filter(|token| token.text == "Instant" && !token.in_test)
    };
    tokens.find(&MODULE).flat_map(of).map(|token| token.line)
}

mod tests {
    use super::*;

    #[test]
    fn each_banned_word_is_a_fault_in_the_recorder() {
        for text in [
            "use std::sync::atomic::AtomicBool;",
            "fn f() { core::sync::atomic::fence(O); }",
            "struct A(std::cell::UnsafeCell<u8>);",
            "thread_local! { static A: u8 = 1; }",
            "use loom::thread;",
            "use std::time::Instant;",
            "use std::time::{Duration, Instant};",
            "fn f() { std::time::Instant::now(); }",
        ] {
            let tree = Tree::sample(&[("trace-runtime/src/a.rs", text), ("src/lib.rs", text)]);
            assert_eq!(used(&tree).len(), 1, "{text}");
        }
    }

    #[test]
    fn comments_may_speak_of_them() {
        let text = "//! No `UnsafeCell` here.\nuse crate::primitive::AtomicBool;\n\
                    use crate::clock::Instant;\nuse std::time::Duration;";
        assert_eq!(used(&Tree::sample(&[("trace-runtime/src/a.rs", text)])), []);
    }
}
