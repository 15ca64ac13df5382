//! `unsafe` is in named files only, and a comment above every block and every `unsafe impl` says
//! why it is sound.
//!
//! Elsewhere: the invariants those comments cite (`invariants`).

use crate::tokens::Tokens;
use crate::tree::{Exception, Fault, File, Tree, excuse};

/// The files of the recorder with `unsafe`, by their names below `trace-runtime/src`. The only
/// list of them.
const RECORDER: &[&str] = &[
    "annotate/future/waker",
    "annotate/open_tasks",
    "auto/constructor",
    "auto/forked",
    "base/environment",
    "buffer/arena",
    "buffer/batch",
    "buffer/inbox",
    "buffer/memory",
    "collect/drain",
    "files/file_lock",
    "heap/allocator",
    "heap/own",
    "intern/memory",
    "os/fd",
    "os/files",
    "os/folders",
    "os/handle",
    "os/hook",
    "os/io",
    "os/messages",
    "os/mode",
    "os/musl",
    "os/processes",
    "os/real",
    "os/threads",
    "os/wait",
    "os/waiting",
    "sched/perf",
    "sched/ring",
    "session/mod",
    "session/running",
    "stack/mod",
    "stack/modules",
    "stack/own",
    "stack/pool",
    "stack/registers",
    "stack/system",
    "stack/tables",
    "stack/walk_stack",
    "start/flight/bell",
    "start/flight/dump",
    "start/recorder",
    "sys/bus_error",
    "sys/clock",
    "sys/errno",
    "sys/handler",
    "sys/raw",
    "sys/signals",
    "sys/unix",
    "thread/attach",
    "thread/body",
    "thread/call",
    "thread/exit",
    "thread/limbo",
    "thread/local",
    "thread/naming",
    "thread/own",
    "thread/poll",
    "thread/record",
    "thread/recorder_thread",
    "thread/refill",
    "thread/state",
    "thread/thread_ref",
    "thread/working",
];

/// Files with `unsafe` outside the recorder's sources.
const OTHERS: &[Exception] = &[
    Exception { path: "trace-runtime/src/tests/", reason: "models of what is unsafe" },
    Exception { path: "benches/costs/floor.rs", reason: "the bare clock, without the recorder" },
    Exception { path: "benches/always_on/pauses.rs", reason: "pinning threads, likewise" },
    Exception { path: "tests/ui/pass/", reason: "functions that are unsafe can be traced" },
    Exception { path: "tests/allocator.rs", reason: "implementing allocators is unsafe" },
    Exception { path: "src/heap.rs", reason: "an allocator that only passes on" },
    Exception { path: "tests/heap.rs", reason: "implementing and calling allocators is unsafe" },
    Exception { path: "benches/costs/heap.rs", reason: "calling allocators is unsafe" },
    Exception { path: "tests/heap_global.rs", reason: "an allocator, forks, keys of threads" },
    Exception { path: "tests/leaks.rs", reason: "an allocator that counts" },
    Exception { path: "tests/closed_descriptors.rs", reason: "descriptors that others have" },
    Exception { path: "tests/common/child.rs", reason: "fork is unsafe to call" },
    Exception { path: "tests/common/limits.rs", reason: "limits are unsafe to set" },
    Exception { path: "tests/faked_clock.rs", reason: "it takes the place of libc's clock" },
    Exception {
        path: "tests/stopped_threads.rs",
        reason: "signals are unsafe to send and to handle",
    },
    Exception { path: "tests/host.rs", reason: "locked memory, and masks of signals" },
    Exception { path: "tests/options.rs", reason: "signals are unsafe to send" },
    Exception { path: "tests/sched.rs", reason: "pinning threads is unsafe to call" },
    Exception { path: "tests/sched_refused.rs", reason: "filters, likewise" },
    Exception { path: "tests/stopped.rs", reason: "clocks, and signals, are unsafe to ask for" },
    Exception { path: "tests/thread_exit.rs", reason: "a destructor that the system calls" },
    Exception { path: "tests/thread_times.rs", reason: "CPU time is unsafe to ask for" },
    Exception { path: "tests/truth/cpu.rs", reason: "CPU time is unsafe to ask for" },
    Exception { path: "tests/fixtures/auto/", reason: "masks of signals, forks" },
    Exception { path: "tests/fixtures/dlopen/", reason: "loading libraries is unsafe" },
    Exception { path: "tests/live_changed.rs", reason: "mappings, and handlers of signals" },
    Exception { path: "tests/outputs.rs", reason: "signals are unsafe to send" },
    Exception { path: "tests/fixtures/os/", reason: "cancelling a thread is unsafe" },
    Exception { path: "tests/fixtures/wasm/", reason: "exporting a function is unsafe" },
    Exception { path: "tests/os_allocator.rs", reason: "implementing allocators is unsafe" },
    Exception { path: "tests/os_conformance/", reason: "it calls functions by address" },
    Exception { path: "tests/signals.rs", reason: "functions of libc, and signals" },
    Exception { path: "tests/os_faults.rs", reason: "signals, forks and cancelling are" },
    Exception {
        path: "benches/costs/calls.rs",
        reason: "functions of libc, and one by its address",
    },
    Exception { path: "tests/waits/culprits.rs", reason: "CPUs, priorities, caches of files" },
    Exception { path: "tests/stacks.rs", reason: "signals, stacks of its own, bent registers" },
];

pub(crate) fn faults(tree: &Tree) -> Vec<Fault> {
    let mut faults = excuse(strangers(tree), OTHERS);
    faults.extend(unsaid(tree));
    for (file, tokens) in tree.sources() {
        faults.extend(unexplained(file, tokens));
        faults.extend(unforbidden(file, tokens));
    }
    faults
}

fn is_recorder(path: &str) -> bool {
    let name = path.strip_prefix("trace-runtime/src/").and_then(|name| name.strip_suffix(".rs"));
    name.is_some_and(|name| RECORDER.contains(&name))
}

/// The first `unsafe` of each file outside the recorder.
fn strangers(tree: &Tree) -> Vec<Fault> {
    let sources = tree.sources().filter(|(file, _)| !is_recorder(&file.path));
    let first = sources.filter_map(|(file, tokens)| {
        let (_, token) = tokens.find(&["unsafe"]).find(|&(at, _)| !is_word_of_syn(tokens, at))?;
        let what = "`unsafe` outside the named files, use what they offer";
        Some(Fault::new(&file.path, token.line, what))
    });
    first.collect()
}

/// Whether the token is the word in `Token![unsafe]`.
fn is_word_of_syn(tokens: &Tokens, at: usize) -> bool {
    at >= 3 && tokens.matches(at - 3, &["Token", "!", "["])
}

/// The named files of the recorder that have no `unsafe`, or do not say why they have it.
fn unsaid(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (file, tokens) in tree.sources().filter(|(file, _)| is_recorder(&file.path)) {
        if tokens.find(&["unsafe"]).next().is_none() {
            let what = "no `unsafe` any more, take the file off the lists";
            faults.push(Fault::new(&file.path, 0, what));
        }
        if !file.header().contains("`unsafe`") {
            let what = "the header does not say why this file may contain `unsafe`, say it";
            faults.push(Fault::new(&file.path, 1, what));
        }
    }
    faults
}

/// Blocks and impls without `SAFETY:` directly above themselves or their statement.
fn unexplained(file: &File, tokens: &Tokens) -> Vec<Fault> {
    let lines: Vec<_> = file.text.lines().collect();
    let mut faults = Vec::new();
    for (at, token) in tokens.find(&["unsafe"]) {
        let is_block = tokens.text(at + 1) == "{";
        let is_impl = tokens.text(at + 1) == "impl";
        let is_said = has_comment(&lines, token.line)
            || has_comment(&lines, tokens.0[statement(tokens, at)].line);
        if (is_block || is_impl) && !token.in_attribute && !is_said {
            let what = "no `// SAFETY:` directly above, answer what the callee demands";
            faults.push(Fault::new(&file.path, token.line, what));
        }
    }
    faults
}

/// The begin of the statement that contains the token at `at`.
fn statement(tokens: &Tokens, at: usize) -> usize {
    let mut start = at;
    while start > 0 {
        match (tokens.text(start - 1), tokens.0[start - 1].mate) {
            (";" | "{" | "}", _) => break,
            // Go back over a whole group, or out of the group around the token.
            (_, Some(mate)) if mate < start - 1 => start = mate,
            _ => start -= 1,
        }
    }
    start
}

/// Whether the comment above `line` (from 1), attributes between them or not, has `SAFETY:`.
fn has_comment(lines: &[&str], line: usize) -> bool {
    let above = lines[..line - 1].iter().rev().map(|line| line.trim_start());
    let above = above.skip_while(|line| line.starts_with("#["));
    let mut comment = above.take_while(|line| line.starts_with("//"));
    comment.any(|line| line.starts_with("// SAFETY:"))
}

/// Crates without `unsafe` must forbid it to the compiler.
fn unforbidden(file: &File, tokens: &Tokens) -> Option<Fault> {
    let libraries = [
        "trace-analysis",
        "trace-criterion",
        "trace-format",
        "trace-http",
        "trace-macros",
        "trace-symbols",
        "trace-tool",
    ];
    let is_root = libraries.iter().any(|name| file.path == format!("{name}/src/lib.rs"));
    let says = tokens.find(&["forbid", "(", "unsafe_code", ")"]).next().is_some();
    let what = "no `#![forbid(unsafe_code)]`, add it";
    (is_root && !says).then(|| Fault::new(&file.path, 1, what))
}

mod tests {
    use super::*;

    fn explained(text: &str) -> usize {
        let tree = Tree::sample(&[("a.rs", text)]);
        let (file, tokens) = tree.sources().next().expect("a sample has a source");
        unexplained(file, tokens).len()
    }

    #[test]
    fn unsafe_in_any_other_file_is_a_fault() {
        let text = "fn f() { \"unsafe\"; }\nunsafe fn g() {}\nunsafe fn h() {}";
        let found = strangers(&Tree::sample(&[("src/a.rs", text)]));
        let what = "`unsafe` outside the named files, use what they offer";
        assert_eq!(found, [Fault::new("src/a.rs", 2, what)]);
        let free =
            [("trace-runtime/src/buffer/batch.rs", text), ("b.rs", "type T = Token![unsafe];")];
        assert_eq!(strangers(&Tree::sample(&free)), []);
    }

    #[test]
    fn attributes_that_are_unsafe_count() {
        let text = "#[unsafe(no_mangle)]\nfn g() {}";
        assert_eq!(strangers(&Tree::sample(&[("src/a.rs", text)])).len(), 1);
    }

    #[test]
    fn a_block_or_impl_without_safety_is_a_fault() {
        assert_eq!(explained("fn f() {\n    unsafe { g() };\n}"), 1);
        assert_eq!(explained("// SAFETY: fine.\n\nunsafe impl Send for A {}"), 1);
        assert_eq!(explained("// It is safe.\nunsafe impl Send for A {}"), 1);
        assert_eq!(explained("// SAFETY: one.\nunsafe impl A for B {}\nunsafe impl A for C {}"), 1);
        let far = "fn f() {\n    // SAFETY: a.\n    let a = 1;\n    let b = unsafe { g() };\n}";
        assert_eq!(explained(far), 1);
    }

    #[test]
    fn the_comment_may_stand_above_the_statement() {
        assert_eq!(explained("// SAFETY: fine,\n// for so.\n#[a]\nunsafe impl A for B {}"), 0);
        let long = "fn f() {\n    // SAFETY: a.\n    let a =\n        h(g(1), unsafe { g() });\n}";
        assert_eq!(explained(long), 0);
    }

    #[test]
    fn named_files_have_unsafe_and_say_why() {
        let idle = Tree::sample(&[("trace-runtime/src/sys/clock.rs", "//! Time.\n")]);
        assert_eq!(unsaid(&idle).len(), 2);
    }

    #[test]
    fn crates_without_unsafe_forbid_it() {
        let bare = Tree::sample(&[("trace-format/src/lib.rs", "//! The wire.\n")]);
        assert_eq!(faults(&bare).iter().filter(|it| it.to_string().contains("forbid")).count(), 1);
    }
}
