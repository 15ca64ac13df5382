//! What a task is called that was given no name: as its future's type is, or by its place.

use std::cell::Cell;
use std::panic::Location;
use std::path::Path;

const CLOSURE: &str = "::{{closure}}";

/// Places that a thread remembers the names of.
const PLACES: usize = 64;

/// A place: the address of its file, line, and column.
type Key = (usize, u32, u32);

thread_local! {
    static NAMES: [Cell<Option<(Key, &'static str)>>; PLACES] =
        const { [const { Cell::new(None) }; PLACES] };
}

/// The name of a future of this type.
pub(super) fn of_future<F>(caller: &'static Location<'static>) -> &'static str {
    let full = std::any::type_name::<F>();
    // An async function's future is a closure in it. So is a block in a function that is not
    // async; a block in one that is, is a closure in a closure, and has no name.
    shortened(full.strip_suffix(CLOSURE).unwrap_or(full)).unwrap_or_else(|| of_place(caller))
}

/// The name of a function of this type.
pub(super) fn of_function<F>(caller: &'static Location<'static>) -> &'static str {
    shortened(std::any::type_name::<F>()).unwrap_or_else(|| of_place(caller))
}

/// The last name of a path, with the type before it, if that is one. `None` if it tells nothing.
fn shortened(path: &'static str) -> Option<&'static str> {
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
    fn blocks_are_called_by_their_place() {
        let place = Location::caller();
        let expected = format!("name.rs:{}", place.line());
        assert_eq!(of_place(place), expected);
        assert_eq!(of_place(place), expected, "also when it is remembered");
        assert_eq!(of_function::<fn()>(place), expected);
    }
}
