//! The type or trait of a traced method, read from the name that the compiler gives to a function
//! in it: `#[traced]` on a method cannot see the `impl` around it.
//!
//! Such a name is a path, `demo::server::Handler::run::__SITE::path`, whose form the compiler does
//! not promise. For a path of another form the function keeps its own name, which is always right.
//! The result is like the names that the attribute makes on an `impl`: `Handler::run`, `<Handler as
//! Service>::run`, without paths and generics.
//!
//! Elsewhere: names of functions in a traced `impl` (`owner` of trace-macros).

/// The segments that the expansion's own items add to the path, the last one first.
const OWN: [&str; 2] = ["path", "__SITE"];

/// A function's name with its type or trait before it; `None` if it has none.
///
/// - `name`: the function's own.
/// - `module`: the path of its module.
/// - `path`: the compiler's name of the function that the expansion puts inside of it.
/// - `is_method`: whether it takes `self`. For other functions, upper or lower case distinguishes a
///   type from an enclosing function.
pub(crate) fn qualified(name: &str, module: &str, path: &str, is_method: bool) -> Option<String> {
    let mut segments = split(path, "::");
    for own in OWN {
        segments.pop().filter(|last| *last == own)?;
    }
    // An `async fn` is a function around a closure.
    while *segments.last()? == "{{closure}}" {
        segments.pop();
    }
    segments.pop().filter(|last| last.trim_start_matches("r#") == name)?;
    let owner = segments.pop()?;
    let owner = match owner.strip_prefix('<').and_then(|owner| owner.strip_suffix('>')) {
        Some(implemented) => of_impl(implemented)?,
        // The last segment of the module's own path, or a closure.
        None if segments.len() < split(module, "::").len() || owner.starts_with('{') => {
            return None;
        }
        None => {
            let is_type = is_method || owner.contains('<') || owner.starts_with(char::is_uppercase);
            Some(short(owner)).filter(|_| is_type)?
        }
    };
    Some(format!("{owner}::{name}"))
}

/// The owner named by the text between `<` and `>`: `Type as Trait`, `impl Trait for Type`, `impl
/// Type`, or a type.
fn of_impl(text: &str) -> Option<String> {
    let of_trait = |ty: &str, name: &str| Some(format!("<{} as {}>", short(ty), short(name)));
    let (text, is_far) = match text.strip_prefix("impl ") {
        Some(text) => (text, true),
        None => (text, false),
    };
    match split(text, if is_far { " for " } else { " as " })[..] {
        [ty] => {
            let ty = short(ty);
            let is_path = ty.chars().all(|c| c.is_alphanumeric() || c == '_');
            Some(if is_path { ty } else { format!("<{ty}>") })
        }
        [name, ty] if is_far => of_trait(ty, name),
        [ty, name] => of_trait(ty, name),
        _ => None,
    }
}

/// The parts of `text` between separators that are not in brackets.
fn split<'t>(text: &'t str, separator: &str) -> Vec<&'t str> {
    let (mut parts, mut begin, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, sign) in text.char_indices() {
        match sign {
            '<' | '(' | '[' | '{' => depth += 1,
            '>' if text[..at].ends_with('-') => {}
            '>' | ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ if depth == 0 && at >= begin && text[at..].starts_with(separator) => {
                parts.push(&text[begin..at]);
                begin = at + separator.len();
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

/// `text` with the last word of each path in it, and without generics.
fn short(text: &str) -> String {
    let (mut kept, mut word, mut depth) = (String::new(), 0, 0_usize);
    for (at, sign) in text.char_indices() {
        let before = text[..at].chars().next_back();
        let ends_a_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
        match sign {
            '<' if depth > 0 || ends_a_word => depth += 1,
            '>' if depth > 0 && before != Some('-') => depth -= 1,
            _ if depth > 0 => {}
            ':' => kept.truncate(word),
            sign => {
                kept.push(sign);
                if !(sign.is_alphanumeric() || sign == '_') {
                    word = kept.len();
                }
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(module: &str, name: &str, path: &str) -> [Option<String>; 2] {
        let path = format!("{path}::__SITE::path");
        [false, true].map(|is_method| qualified(name, module, &path, is_method))
    }

    #[test]
    fn owners_are_named_without_paths_and_generics() {
        // As the compiler prints them.
        let cases = [
            ("a::Handler::run", "Handler::run"),
            ("a::Handler::run::{{closure}}", "Handler::run"),
            ("a::Handler::r#run", "Handler::run"),
            ("a::Grid<_, N>::run", "Grid::run"),
            ("a::grid<_>::run", "grid::run"),
            ("a::main::Local::run", "Local::run"),
            ("a::b::<impl a::Handler>::run", "Handler::run"),
            ("a::_::<impl a::Grid<alloc::vec::Vec<u8>, 3>>::run", "Grid::run"),
            ("a::b::<impl a::Service<_> for a::Handler>::run", "<Handler as Service>::run"),
            ("a::Service::run", "Service::run"),
            ("<a::Handler as a::Service<u8>>::run", "<Handler as Service>::run"),
            ("<&mut [_] as a::Service<&_>>::run", "<&mut [_] as Service>::run"),
            ("<[_; 4] as a::Service>::run", "<[_; 4] as Service>::run"),
            ("<(u8, alloc::boxed::Box<dyn a::B>) as a::C>::run", "<(u8, Box) as C>::run"),
            ("<fn(u8) -> a::Handler as a::Service>::run", "<fn(u8) -> Handler as Service>::run"),
            ("<dyn a::Shape + core::marker::Send>::run", "<dyn Shape + Send>::run"),
        ];
        for (path, wanted) in cases {
            let wanted = Some(wanted.to_owned());
            assert_eq!(check("a", "run", path), [wanted.clone(), wanted], "{path}");
        }
    }

    #[test]
    fn functions_have_no_owner() {
        for path in ["a::b::run", "a::b::c::{{closure}}::run", "run", "a::b::Handler::other", ""] {
            assert_eq!(check("a::b", "run", path), [None, None], "{path}");
        }
        assert_eq!(qualified("run", "a", "a::Handler::run", true), None, "nothing of ours");
        // In a lower-case owner, a plain function is taken for one in a function, a method for one
        // of a type.
        let found = check("a", "run", "a::timespec::run");
        assert_eq!(found, [None, Some("timespec::run".to_owned())]);
    }
}
