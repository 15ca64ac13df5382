//! The name of a task that was given none: its future's type, or its place in the source.

use std::cell::Cell;
use std::panic::Location;
use std::path::Path;

const CLOSURE: &str = "::{{closure}}";

/// Number of places whose names a thread remembers.
const PLACES: usize = 64;

/// A place: the address of its file, line, and column.
type Key = (usize, u32, u32);

thread_local! {
    static NAMES: [Cell<Option<(Key, &'static str)>>; PLACES] =
        const { [const { Cell::new(None) }; PLACES] };
}

/// Types around a future that say nothing about it: their names and crates.
const WRAPPERS: [(&str, &str); 6] = [
    ("trace_runtime::", "Traced"),
    ("trace_runtime::", "InTask"),
    ("tracing::", "Instrumented"),
    ("tracing::", "WithDispatch"),
    ("core::pin::", "Pin"),
    ("alloc::boxed::", "Box"),
];

/// The name of a future of this type, or of the one that it wraps.
pub(super) fn of_future<F>(caller: &'static Location<'static>) -> &'static str {
    let full = unwrapped(std::any::type_name::<F>());
    // The type of an async function's future is a closure in that function. So is an `async` block
    // in a plain function. A block in an async function is a closure in a closure, and has no name.
    shortened(full.strip_suffix(CLOSURE).unwrap_or(full)).unwrap_or_else(|| of_place(caller))
}

/// The innermost future's type: `app::task::{{closure}}` of
/// `trace_runtime::annotate::future::traced::Traced<app::task::{{closure}}>`.
fn unwrapped(path: &'static str) -> &'static str {
    let mut path = path;
    loop {
        let outer = without_arguments(path);
        let last = outer.rsplit("::").next().unwrap_or(outer);
        let is_wrapper = WRAPPERS.iter().any(|(of, name)| outer.starts_with(of) && last == *name);
        if outer.len() == path.len() || !is_wrapper {
            return path;
        }
        path = first_argument(&path[outer.len() + 1..path.len() - 1]);
    }
}

/// The text before the first comma that is not inside brackets.
fn first_argument(arguments: &'static str) -> &'static str {
    let mut open = 0_usize;
    for (at, byte) in arguments.bytes().enumerate() {
        match byte {
            b'<' | b'(' | b'[' => open += 1,
            // Not that of an arrow.
            b'>' if at > 0 && arguments.as_bytes()[at - 1] == b'-' => {}
            b'>' | b')' | b']' => open = open.saturating_sub(1),
            b',' if open == 0 => return &arguments[..at],
            _ => {}
        }
    }
    arguments
}

/// The name of a function of this type.
pub(super) fn of_function<F>(caller: &'static Location<'static>) -> &'static str {
    shortened(std::any::type_name::<F>()).unwrap_or_else(|| of_place(caller))
}

/// The last name of a path, with the name before it if that is a type. `None` if neither says
/// anything.
fn shortened(path: &'static str) -> Option<&'static str> {
    if path.starts_with("dyn ") {
        return None;
    }
    let path = without_arguments(path);
    let (front, last) = path.rsplit_once("::").unwrap_or(("", path));
    let is_name = |word: &str| word.chars().all(|c| c.is_alphanumeric() || c == '_');
    if last.is_empty() || !is_name(last) || matches!(last, "Pin" | "Box") {
        return None;
    }
    let outer = front.rsplit_once("::").map_or(front, |(_, outer)| outer);
    let is_type = is_name(outer) && outer.starts_with(char::is_uppercase);
    Some(if is_type { &path[path.len() - outer.len() - 2 - last.len()..] } else { last })
}

/// A path without the generic arguments at its end.
fn without_arguments(path: &'static str) -> &'static str {
    if !path.ends_with('>') {
        return path;
    }
    let mut open = 0_usize;
    for (at, byte) in path.bytes().enumerate().rev() {
        match byte {
            // Not that of an arrow.
            b'>' if at > 0 && path.as_bytes()[at - 1] != b'-' => open += 1,
            b'<' => open = open.saturating_sub(1),
            _ => {}
        }
        if byte == b'<' && open == 0 {
            return &path[..at];
        }
    }
    path
}

/// `file.rs:12`.
pub(super) fn of_place(place: &'static Location<'static>) -> &'static str {
    let key = (place.file().as_ptr() as usize, place.line(), place.column());
    let at = (place.line() as usize ^ (key.0 >> 4)) % PLACES;
    if let Some((_, name)) = NAMES.with(|names| names[at].get()).filter(|it| it.0 == key) {
        return name;
    }
    let file = Path::new(place.file()).file_name().unwrap_or_default();
    let name = crate::names::kept(&format!("{}:{}", file.display(), place.line()));
    NAMES.with(|names| names[at].set(Some((key, name))));
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use trace_runtime::{Task, TracedExt};

    #[test]
    fn a_path_is_shortened_to_what_people_call_it() {
        let cases = [
            ("app::handler", Some("handler")),
            ("app::Server::run", Some("Server::run")),
            ("app::Server<T>::run", Some("run")),
            ("<app::Server as app::Run>::run", Some("run")),
            ("app::run<alloc::vec::Vec<fn() -> u8>>", Some("run")),
            ("tokio::time::sleep::Sleep", Some("Sleep")),
            ("core::pin::Pin<alloc::boxed::Box<dyn core::future::Future>>", None),
            ("app::main::{{closure}}", None),
            ("()", None),
            ("", None),
        ];
        for (path, expected) in cases {
            assert_eq!(shortened(path), expected, "{path}");
        }
    }

    #[test]
    fn a_future_in_wrappers_has_its_own_name() {
        let cases = [
            (
                "trace_runtime::annotate::future::traced::Traced<app::task::{{closure}}, \
                 trace_runtime::annotate::future::wrapper::Ignore<()>>",
                "app::task::{{closure}}",
            ),
            (
                "core::pin::Pin<alloc::boxed::Box<app::f<(u8, fn() -> A<B>)>>>",
                "app::f<(u8, fn() -> A<B>)>",
            ),
            (
                "core::pin::Pin<&mut tracing::instrument::Instrumented<app::f>>",
                "&mut tracing::instrument::Instrumented<app::f>",
            ),
            ("tracing::instrument::Instrumented<app::A<u8, B>>", "app::A<u8, B>"),
            ("app::Traced<app::f>", "app::Traced<app::f>"),
            (
                "trace_runtime::annotate::future::traced::Traced",
                "trace_runtime::annotate::future::traced::Traced",
            ),
            ("tokio::time::timeout::Timeout<app::f>", "tokio::time::timeout::Timeout<app::f>"),
        ];
        for (path, expected) in cases {
            assert_eq!(unwrapped(path), expected, "{path}");
        }
    }

    async fn load() {}

    fn name<F: Future>(_: F) -> &'static str {
        of_future::<F>(Location::caller())
    }

    #[test]
    fn a_traced_future_is_called_as_what_is_traced() {
        assert_eq!(name(load()), "load");
        assert_eq!(name(load().traced("request")), "load");
        assert_eq!(name(Box::pin(Task::current().wrap(load().traced("request")))), "load");
    }

    #[test]
    fn a_boxed_future_of_any_kind_is_called_by_its_place() {
        let place = Location::caller();
        type Boxed = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;
        assert_eq!(of_future::<Boxed>(place), format!("name.rs:{}", place.line()));
    }

    #[test]
    fn blocks_are_called_by_their_place() {
        let place = Location::caller();
        let expected = format!("name.rs:{}", place.line());
        assert_eq!(of_place(place), expected);
        assert_eq!(of_place(place), expected, "also when it is remembered");
        assert_eq!(of_function::<fn()>(place), expected);
    }
}
