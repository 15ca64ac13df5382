//! Names of code addresses: which functions, in which files and lines, an address of a stack means.
//!
//! Plain data. A trace may bring names along (`Symbol` definitions); else whoever can read the
//! program's files adds them, as the tool's symboliser does. What is not named has its place in a
//! module: `libfoo.so+0x1234`, where the offset is the one that `objdump` and `addr2line` take.
//!
//! One address means several functions if calls were inlined there: innermost first, as in stacks.
//!
//! [`strip_recorder`] leaves out the recorder's own functions, [`strip_start`] what runs before the
//! program's. Elsewhere: what names say about
//! why a thread waited, and where a stack comes from.

use std::borrow::Cow;
use std::collections::BTreeMap;

use trace_format::id::CallId;
pub use trace_format::read::Function;
use trace_format::read::{Module, Tables};

use crate::sources;

/// So many functions of the standard library stand between two of the recorder's at most, as those
/// of thread-local storage do. Further out it is the program that waits in a traced future.
const STD_BETWEEN_MAX: usize = 4;

/// One function of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The address it came from; several frames have the same if calls were inlined.
    pub address: u64,
    /// Its path; `libfoo.so+0x1234` or `0x1234` if it is not known.
    pub name: Cow<'a, str>,
    /// The source file; empty if unknown.
    pub file: &'a str,
    /// From 1; 0 if unknown.
    pub line: u32,
    /// The name of the file it was loaded from; empty if unknown.
    pub module: &'a str,
    /// Whether the compiler put it into the frame after it, its caller.
    pub inlined: bool,
    /// Whether `name` is a function's, not a mere place.
    pub named: bool,
}

/// What addresses mean, as far as that is known.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    functions: BTreeMap<u64, Vec<Function>>,
    /// By their first addresses.
    modules: BTreeMap<u64, Module>,
}

impl Symbols {
    /// What a trace itself says: where its modules are, and names if it was symbolised.
    #[must_use]
    pub fn of_trace(tables: &Tables) -> Self {
        let mut symbols = Self { modules: tables.modules.clone(), ..Self::default() };
        for (&address, functions) in &tables.symbols {
            symbols.add(address, functions.clone());
        }
        symbols
    }

    /// Says what runs at an address, innermost inlined first. What was said of it before stays, as
    /// does a list without functions unsaid. Paths of files are made [`sources::normal`].
    pub fn add(&mut self, address: u64, mut functions: Vec<Function>) {
        for function in &mut functions {
            if let Cow::Owned(file) = sources::normal(&function.file) {
                function.file = file;
            }
        }
        if !functions.is_empty() {
            self.functions.entry(address).or_insert(functions);
        }
    }

    /// Says where code was loaded to.
    pub fn add_module(&mut self, module: Module) {
        self.modules.insert(module.first, module);
    }

    /// The functions at an address, innermost inlined first; none if they are not known.
    #[must_use]
    pub fn functions(&self, address: u64) -> &[Function] {
        self.functions.get(&address).map_or(&[], Vec::as_slice)
    }

    /// Every address that is named, with its functions.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[Function])> {
        self.functions.iter().map(|(address, functions)| (*address, functions.as_slice()))
    }

    /// The executable or library that an address lies in.
    #[must_use]
    pub fn module(&self, address: u64) -> Option<&Module> {
        let (_, module) = self.modules.range(..=address).next_back()?;
        module.contains(address).then_some(module)
    }

    /// A stack as functions, innermost first. Never shorter than `addresses`: what is not known
    /// is a frame with its place.
    #[must_use]
    pub fn frames(&self, addresses: &[u64]) -> Vec<Frame<'_>> {
        let mut frames = Vec::with_capacity(addresses.len() * 2);
        for &address in addresses {
            let functions = self.functions(address);
            let outermost = functions.len().saturating_sub(1);
            let module = self.module(address).map_or("", file_name);
            frames.extend(functions.iter().enumerate().map(|(at, function)| Frame {
                address,
                name: Cow::Borrowed(function.name.as_str()),
                file: &function.file,
                line: function.line,
                module,
                inlined: at < outermost,
                named: true,
            }));
            if functions.is_empty() {
                let name = Cow::Owned(self.unnamed(address));
                let (file, line, inlined, named) = ("", 0, false, false);
                frames.push(Frame { address, name, file, line, module, inlined, named });
            }
        }
        frames
    }

    /// The same without the recorder's own functions and without what starts threads: what a
    /// person wants to see.
    #[must_use]
    pub fn shown(&self, addresses: &[u64]) -> Vec<Frame<'_>> {
        let mut frames = self.frames(self.within_code(addresses));
        strip_recorder(&mut frames);
        strip_start(&mut frames);
        frames
    }

    /// A stack without what is behind its true end: who follows frame pointers through a function
    /// that uses the register for something else ends with words that are no addresses. They
    /// are in no module, and all that stands before the last that is in one is true, or may be.
    fn within_code<'s>(&self, addresses: &'s [u64]) -> &'s [u64] {
        let is_code = |address: &u64| self.module(*address).is_some();
        let last = addresses.iter().rposition(|it| is_code(it) || !self.functions(*it).is_empty());
        last.map_or(addresses, |last| &addresses[..=last])
    }

    fn unnamed(&self, address: u64) -> String {
        match self.module(address) {
            Some(module) => format!("{}+{:#x}", file_name(module), module.in_file(address)),
            None => format!("{address:#x}"),
        }
    }
}

/// A module's file without its folders.
#[must_use]
pub fn file_name(module: &Module) -> &str {
    let name = module.path.rsplit('/').next().unwrap_or_default();
    name.strip_suffix(" (deleted)").unwrap_or(name)
}

/// Takes the recorder's functions out of a stack, innermost first:
///
/// - wherever they stand, those whose name or file says so: the recorder is called in the middle
///   of stacks (futures) and at their outer ends (the first function of a hooked thread);
/// - at the inner end, everything up to the function by which the program entered it: the
///   recorder's, or one with a name of libc's or of an allocator's door, as `read` and
///   `__rust_alloc`. Libc's own `read` stays, and so does an inlined one: a function of the
///   program that was inlined may have no more of a name. The standard library's functions
///   between the recorder's go with them.
///
/// A stack that is nothing but the recorder stays as it is: nothing to see would say less.
pub fn strip_recorder(frames: &mut Vec<Frame<'_>>) {
    let (mut inner, mut gap) = (0, 0);
    for (at, frame) in frames.iter().enumerate() {
        if is_recorder(frame) || is_door(frame) {
            (inner, gap) = (at + 1, 0);
        } else if is_std(&frame.name) && gap < STD_BETWEEN_MAX {
            gap += 1;
        } else {
            break;
        }
    }
    let is_begin = |frame: &Frame<'_>| bare(&frame.name).ends_with("os::threads::begin_thread");
    let first = frames.iter().position(is_recorder);
    if inner == frames.len()
        && let Some(begin) = first.filter(|&at| at > 0 && is_begin(&frames[at]))
    {
        // Of a sample that missed all between the first function of a thread and the last.
        frames.truncate(begin);
        return;
    }
    let outer = frames[inner..].iter();
    if inner == frames.len() || outer.clone().all(is_recorder) {
        return;
    }
    let mut at = 0;
    frames.retain(|frame| {
        at += 1;
        at > inner && !is_recorder(frame)
    });
}

/// Takes out of a stack what the standard library does before it calls `main` or a thread's
/// closure, as its own backtraces do: everything from the function on that it has for a mark.
///
/// A stack that has nothing else stays as it is.
pub fn strip_start(frames: &mut Vec<Frame<'_>>) {
    let is_mark = |frame: &Frame<'_>| frame.name.contains("::__rust_begin_short_backtrace");
    let Some(mut end) = frames.iter().rposition(is_mark) else { return };
    // The closure's own call stands between the mark and the program's function.
    let is_call = |frame: &Frame<'_>| bare(&frame.name).starts_with("core::ops::function::");
    end -= frames[..end].iter().rev().take_while(|frame| is_call(frame)).count();
    if end > 0 {
        frames.truncate(end);
    }
}

/// Whether a function is of the standard library, by its path: `std::`, `core::`, `alloc::`, and
/// what the compiler puts around `main` and allocations.
#[must_use]
pub fn is_std(name: &str) -> bool {
    const STARTS: [&str; 5] = ["std::", "core::", "alloc::", "__rust", "__rustc::"];
    STARTS.iter().any(|start| bare(name).starts_with(start))
}

/// By the function's crate, or by its file: a hook is called as what it stands for.
fn is_recorder(frame: &Frame<'_>) -> bool {
    const CRATES: [&str; 3] = ["trace_runtime::", "trace_bridges::", "exectrace::"];
    let name = bare(&frame.name);
    let dropped = ["core::ptr::drop_in_place<", "core::ptr::drop_glue<"];
    let name = dropped.iter().find_map(|start| name.strip_prefix(start)).unwrap_or(name);
    CRATES.iter().any(|of| name.starts_with(of)) || is_recorders_file(frame.file)
}

/// `.../trace-runtime/src/..` in a checkout, `.../trace-runtime-0.1.0/src/..` out of a registry.
fn is_recorders_file(file: &str) -> bool {
    ["trace-runtime", "trace-bridges"].iter().any(|package| is_of_package(file, package))
}

fn is_of_package(file: &str, package: &str) -> bool {
    let mut rest = file;
    while let Some((_, behind)) = rest.split_once(package) {
        let version =
            behind.trim_start_matches(|c: char| c == '-' || c == '.' || c.is_ascii_digit());
        if version.starts_with("/src/") {
            return true;
        }
        rest = behind;
    }
    false
}

/// A function whose name is libc's or the compiler's, and which is neither in libc nor inlined: an
/// inlined function of the recorder is known by its file.
fn is_door(frame: &Frame<'_>) -> bool {
    const ALLOCATOR: [&str; 5] =
        ["__rust_alloc", "__rust_alloc_zeroed", "__rust_realloc", "__rust_dealloc", "__rg_alloc"];
    let name = frame.name.strip_prefix("__rustc::").unwrap_or(&frame.name);
    let is_libc = frame.module.starts_with("libc.") || frame.module.starts_with("libc-");
    ALLOCATOR.contains(&name) || !is_libc && !frame.inlined && is_hook(name)
}

/// Whether calls of this name are recorded. Of `open` and `open64` the table has one.
fn is_hook(name: &str) -> bool {
    let plain = name.strip_suffix("64").unwrap_or(name);
    CallId::by_name(plain).is_some() || CallId::by_name(&format!("{plain}64")).is_some()
}

/// Without what stands before the path in `<&mut a::B as c::D>::e`.
fn bare(name: &str) -> &str {
    let name = name.trim_start_matches(['<', '&', '*', '(', '[']);
    let name = name.strip_prefix("mut ").or_else(|| name.strip_prefix("const ")).unwrap_or(name);
    name.strip_prefix("dyn ").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Vec<Function> {
        vec![Function { name: name.to_owned(), file: String::new(), line: 0 }]
    }

    /// A page of code.
    fn loaded(first: u64, bias: u64, path: &str) -> Module {
        let (path, build_id) = (path.to_owned(), Vec::new());
        Module { first, last: first + 0x1000, bias, build_id, path }
    }

    /// The stack of these functions, each at an address of its own, after stripping.
    fn left(names: &[&str]) -> Vec<String> {
        let mut symbols = Symbols::default();
        let at = |at: usize| 0x1000 * (at as u64 + 1);
        for (which, name) in names.iter().enumerate() {
            let (module, name) = name.split_once('!').unwrap_or(("app", name));
            symbols.add_module(loaded(at(which), 0, &format!("/lib/{module}")));
            symbols.add(at(which), named(name));
        }
        let addresses: Vec<_> = (0..names.len()).map(at).collect();
        symbols.shown(&addresses).iter().map(|frame| frame.name.to_string()).collect()
    }

    #[test]
    fn the_recorder_is_not_in_the_way() {
        let cases: [(&[&str], &[&str]); 12] = [
            (&["core::a", "trace_runtime::os::threads::begin_thread"], &["core::a"]),
            (
                &["core::a", "trace_runtime::a", "trace_runtime::os::threads::begin_thread"],
                &["core::a", "trace_runtime::a", "trace_runtime::os::threads::begin_thread"],
            ),
            (
                &["trace_runtime::os::wait", "syscall", "std::sys::futex", "app::main"],
                &["std::sys::futex", "app::main"],
            ),
            (&["syscall", "std::sys::futex", "app::main"], &["std::sys::futex", "app::main"]),
            // Functions of the standard library that the recorder itself uses.
            (
                &["core::FnOnce::call_once", "std::local::with", "trace_runtime::os::a", "std::a"],
                &["std::a"],
            ),
            (&["trace_runtime::heap::a", "__rust_alloc", "alloc::a", "b"], &["alloc::a", "b"]),
            (
                &[
                    "trace_runtime::os::a",
                    "std::a",
                    "std::b",
                    "std::c",
                    "std::d",
                    "std::e",
                    "<trace_runtime::F as core::Future>::poll",
                    "b",
                ],
                &["std::a", "std::b", "std::c", "std::d", "std::e", "b"],
            ),
            // What is entered further out is a function of the program.
            (&["app::work", "read", "app::main"], &["app::work", "read", "app::main"]),
            (&["libc.so.6!read", "app::main"], &["read", "app::main"]),
            (
                &["app::poll", "<exectrace::Traced<F> as core::Future>::poll", "app::main"],
                &["app::poll", "app::main"],
            ),
            (&["core::ptr::drop_in_place<trace_runtime::Region>", "app::main"], &["app::main"]),
            (&["trace_runtime::collect::run", "read"], &["trace_runtime::collect::run", "read"]),
        ];
        for (stack, expected) in cases {
            assert_eq!(left(stack), expected, "{stack:?}");
        }
    }

    #[test]
    fn a_stack_begins_with_the_programs_first_function() {
        let cases: [(&[&str], &[&str]); 4] = [
            (
                &[
                    "app::f",
                    "app::main",
                    "core::ops::function::FnOnce::call_once",
                    "std::sys::backtrace::__rust_begin_short_backtrace::<fn(), ()>",
                    "std::rt::lang_start",
                    "main",
                ],
                &["app::f", "app::main"],
            ),
            // What the program calls is not what called it.
            (
                &["core::ops::function::FnOnce::call_once", "app::f"],
                &["core::ops::function::FnOnce::call_once", "app::f"],
            ),
            (
                &["std::sys::backtrace::__rust_begin_short_backtrace"],
                &["std::sys::backtrace::__rust_begin_short_backtrace"],
            ),
            (&["f", "start_thread", "clone3"], &["f", "start_thread", "clone3"]),
        ];
        for (stack, expected) in cases {
            assert_eq!(left(stack), expected, "{stack:?}");
        }
    }

    /// Where a lock is given up, `write` is inlined into its caller, and so is what is called
    /// there: line tables say no paths of inlined functions.
    #[test]
    fn an_inlined_function_of_the_program_is_no_hook_whatever_its_name() {
        let function = |name: &str, file: &str| {
            let (name, file) = (name.to_owned(), file.to_owned());
            Function { name, file, line: 1 }
        };
        let std = "/rustc/1/library/std/src/sync/mutex.rs";
        let mut symbols = Symbols::default();
        symbols.add(0x10, vec![function("syscall", "/x/trace-runtime/src/os/futex.rs")]);
        symbols.add(0x20, vec![function("std::sys::sync::mutex::futex::Mutex::wake", std)]);
        let inlined = [("std::sync::mutex::unlock", std), ("core::ptr::drop_in_place", std)];
        let own = [("write", "src/journal.rs"), ("app::serve", "src/main.rs")];
        let all = inlined.iter().chain(&own).map(|(name, file)| function(name, file));
        symbols.add(0x30, all.collect());
        let frames = symbols.shown(&[0x10, 0x20, 0x30]);
        let names: Vec<_> = frames.iter().map(|frame| &*frame.name).collect();
        let (wake, unlock) = ("std::sys::sync::mutex::futex::Mutex::wake", inlined[0].0);
        assert_eq!(names, [wake, unlock, "core::ptr::drop_in_place", "write", "app::serve"]);
        assert_eq!(crate::reason::place(&frames).map(|it| &*it.name), Some("write"));
    }

    #[test]
    fn a_hook_is_known_by_its_file() {
        for (file, ours) in [
            ("/x/trace-runtime/src/os/io.rs", true),
            ("/r/trace-runtime-0.1.0/src/os/io.rs", true),
            ("/x/my-trace-runtime/trace-runtime/src/a.rs", true),
            ("/x/trace-bridges/src/tokio.rs", true),
            ("/x/trace-runtime-fork/src/os/io.rs", false),
            ("src/trace-runtime.rs", false),
        ] {
            assert_eq!(is_recorders_file(file), ours, "{file}");
        }
    }

    #[test]
    fn inlined_functions_come_innermost_first_and_what_is_unknown_is_a_place() {
        let mut symbols = Symbols::default();
        symbols.add_module(loaded(0x5000, 0x4000, "/lib/libfoo.so (deleted)"));
        symbols.add(0x5010, [named("inner"), named("outer")].concat());
        symbols.add(0x5010, named("said too late"));
        symbols.add(0x5020, Vec::new());
        let shown: Vec<_> = symbols
            .frames(&[0x5010, 0x5020, 0x6000, 0])
            .into_iter()
            .map(|frame| (frame.name.into_owned(), frame.inlined, frame.named))
            .collect();
        let expected = [
            ("inner", true, true),
            ("outer", false, true),
            ("libfoo.so+0x1020", false, false),
            ("0x6000", false, false),
            ("0x0", false, false),
        ];
        assert_eq!(shown, expected.map(|(name, inlined, named)| (name.to_owned(), inlined, named)));
    }

    #[test]
    fn words_behind_the_end_of_a_stack_are_no_functions() {
        let mut symbols = Symbols::default();
        symbols.add_module(loaded(0x5000, 0x4000, "/lib/libfoo.so"));
        let shown = |addresses: &[u64]| {
            let frames = symbols.shown(addresses).into_iter();
            frames.map(|frame| frame.name.into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(shown(&[0x5020, 0x3320_3465, 3, 0]), ["libfoo.so+0x1020"]);
        // Code that is made while the program runs is called by the program's own.
        assert_eq!(shown(&[0x9000, 0x5020, 0]), ["0x9000", "libfoo.so+0x1020"]);
        // Of a trace without modules nothing is known.
        assert_eq!(shown(&[0x9000, 0x9010]), ["0x9000", "0x9010"]);
    }

    #[test]
    fn files_have_one_spelling_whoever_names_them() {
        let function = |file: &str| Function { file: file.to_owned(), ..named("f")[0].clone() };
        let mut tables = Tables::default();
        tables.symbols.insert(0x10, vec![function("examples/service/../service.rs")]);
        let mut symbols = Symbols::of_trace(&tables);
        symbols.add(0x20, vec![function("examples/./service.rs")]);
        let frames = symbols.frames(&[0x10, 0x20]);
        assert!(frames.iter().all(|frame| frame.file == "examples/service.rs"), "{frames:?}");
    }

    #[test]
    fn the_standard_library_is_known_by_its_paths() {
        for name in ["std::thread::park", "<alloc::vec::Vec<T> as core::A>::b", "core::ops::f"] {
            assert!(is_std(name), "{name}");
        }
        for name in ["app::std::f", "<app::A as core::B>::c", "stdx::f", "main"] {
            assert!(!is_std(name), "{name}");
        }
    }
}
