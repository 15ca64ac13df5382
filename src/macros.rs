//! The macros that are not attributes: `trace_region!`, `instant!`, `log!`, `counter!`.
//!
//! Arguments are `k = value`, `k = ?debug`, `k = %display`, and `k`, `?k`, `%k` for variables of
//! that name. `__arguments!` parses them one by one and passes the list to `__annotate!`, which
//! exists twice: one records; the other, for `enabled` off, mentions the values where they are
//! never evaluated, so that switching off raises no warning about unused variables.
//!
//! Always true: every path begins with `$crate`, even paths to `core`, because users have crates,
//! modules, types and macros of any name. No user code is evaluated where it could see an item of
//! ours, because items have no hygiene.

/// Traces a region: until the end of the enclosing scope, or around an expression; then the macro
/// has the expression's value.
///
/// ```
/// # use exectrace::trace_region;
/// # fn build(rows: &[u8]) -> Result<usize, String> { Ok(rows.len()) }
/// # fn f(id: u64, rows: &[u8]) -> Result<usize, String> {
/// trace_region!("parse");                                  // until the end of this scope
/// trace_region!("load", shard = id, first = ?rows.first()); // with arguments
/// let n = trace_region!("index" => build(rows)?);          // around an expression
/// let m = trace_region!("again", rows.len = rows.len() => build(rows)?);
/// # Ok(n + m) }
/// # assert_eq!(f(1, b"ab"), Ok(4));
/// ```
///
/// Values keep their types: integers, floats, `bool`, `char`, text, bytes. `?` records what `Debug`
/// prints, `%` what `Display` prints. Do not hold a region across an `.await`; put
/// [`macro@crate::traced`] on the `async fn` instead.
///
/// Without `=>` it is a statement, because the region ends with the block that contains it. In a
/// place for an expression there is no such block:
///
/// ```compile_fail
/// let f = || exectrace::trace_region!("work");
/// ```
/// ```
/// # fn work() {}
/// let f = || exectrace::trace_region!("work" => work());
/// # f();
/// ```
#[macro_export]
macro_rules! trace_region {
    ($name:literal $(,)?) => {
        $crate::__annotate! { region $name [] }
    };
    ($name:literal => $value:expr) => {
        $crate::__annotate! { region $name [] => $value }
    };
    ($name:literal, $($arguments:tt)+) => {
        $crate::__arguments! { region $name [] $($arguments)+ }
    };
}

/// Records an instant, with arguments as in [`trace_region!`].
///
/// ```
/// exectrace::instant!("cache miss", key = "k", size = 3);
/// ```
#[macro_export]
macro_rules! instant {
    ($name:literal $(,)?) => {
        $crate::__annotate! { instant $name [] }
    };
    ($name:literal, $($arguments:tt)+) => {
        $crate::__arguments! { instant $name [] $($arguments)+ }
    };
}

/// Records a message under a category, which is a constant text. The message is formatted only
/// while a trace runs.
///
/// ```
/// let n = 3;
/// exectrace::log!("net", "{n} retries left");
/// ```
#[macro_export]
macro_rules! log {
    ($category:expr, $($message:tt)+) => {
        $crate::__annotate! { log $category, $($message)+ }
    };
}

/// Records a counter's present value: an integer or a float.
///
/// ```
/// # let queue = [1, 2];
/// exectrace::counter!("queue", queue.len());
/// ```
#[macro_export]
macro_rules! counter {
    ($name:expr, $value:expr $(,)?) => {
        $crate::__annotate! { counter $name, $value }
    };
}

/// Parses arguments one by one: `kind name [(argument kind value)*] rest`.
#[doc(hidden)]
#[macro_export]
macro_rules! __arguments {
    // The end, with and without an expression to trace.
    ($kind:ident $name:literal [$($done:tt)*]) => {
        $crate::__annotate! { $kind $name [$($done)*] }
    };
    ($kind:ident $name:literal [$($done:tt)*] => $traced:expr) => {
        $crate::__annotate! { $kind $name [$($done)*] => $traced }
    };
    // `k = value`, of three kinds.
    ($kind:ident $name:literal [$($done:tt)*] $($k:ident).+ = ? $v:expr, $($rest:tt)*) => {
        $crate::__arguments! { $kind $name [$($done)* ([$($k).+] Debug $v)] $($rest)* }
    };
    ($kind:ident $name:literal [$($done:tt)*] $($k:ident).+ = ? $v:expr $(=> $traced:expr)?) => {
        $crate::__arguments! { $kind $name [$($done)* ([$($k).+] Debug $v)] $(=> $traced)? }
    };
    ($kind:ident $name:literal [$($done:tt)*] $($k:ident).+ = % $v:expr, $($rest:tt)*) => {
        $crate::__arguments! { $kind $name [$($done)* ([$($k).+] Display $v)] $($rest)* }
    };
    ($kind:ident $name:literal [$($done:tt)*] $($k:ident).+ = % $v:expr $(=> $traced:expr)?) => {
        $crate::__arguments! { $kind $name [$($done)* ([$($k).+] Display $v)] $(=> $traced)? }
    };
    ($kind:ident $name:literal [$($done:tt)*] $($k:ident).+ = $v:expr, $($rest:tt)*) => {
        $crate::__arguments! { $kind $name [$($done)* ([$($k).+] Typed $v)] $($rest)* }
    };
    ($kind:ident $name:literal [$($done:tt)*] $($k:ident).+ = $v:expr $(=> $traced:expr)?) => {
        $crate::__arguments! { $kind $name [$($done)* ([$($k).+] Typed $v)] $(=> $traced)? }
    };
    // `k`: the variable of that name.
    ($kind:ident $name:literal [$($done:tt)*] ? $k:ident $(, $($rest:tt)*)?) => {
        $crate::__arguments! { $kind $name [$($done)* ([$k] Debug $k)] $($($rest)*)? }
    };
    ($kind:ident $name:literal [$($done:tt)*] ? $k:ident => $traced:expr) => {
        $crate::__arguments! { $kind $name [$($done)* ([$k] Debug $k)] => $traced }
    };
    ($kind:ident $name:literal [$($done:tt)*] % $k:ident $(, $($rest:tt)*)?) => {
        $crate::__arguments! { $kind $name [$($done)* ([$k] Display $k)] $($($rest)*)? }
    };
    ($kind:ident $name:literal [$($done:tt)*] % $k:ident => $traced:expr) => {
        $crate::__arguments! { $kind $name [$($done)* ([$k] Display $k)] => $traced }
    };
    ($kind:ident $name:literal [$($done:tt)*] $k:ident $(, $($rest:tt)*)?) => {
        $crate::__arguments! { $kind $name [$($done)* ([$k] Typed $k)] $($($rest)*)? }
    };
    ($kind:ident $name:literal [$($done:tt)*] $k:ident => $traced:expr) => {
        $crate::__arguments! { $kind $name [$($done)* ([$k] Typed $k)] => $traced }
    };
}

/// Stands before a region without an expression. In a block it expands to nothing. In a place for
/// an expression the compiler reports its message.
#[doc(hidden)]
#[macro_export]
macro_rules! __statement {
    () => {
        #[cfg(any())]
        $crate::__private::core::compile_error!(
            "this region ends with the block it stands in, so it is a statement: write \
             `trace_region!(\"name\");` in a block, or `trace_region!(\"name\" => expression)` to \
             trace an expression"
        );
    };
}

/// Records the event.
#[cfg(feature = "enabled")]
#[doc(hidden)]
#[macro_export]
macro_rules! __annotate {
    (region $name:literal []) => {
        $crate::__statement! {}
        let _region = {
            $crate::__site! { Region $name, [] }
            $crate::__private::enter(&SITE)
        };
    };
    (region $name:literal [$(([$($k:tt)+] $how:ident $v:expr))+]) => {
        $crate::__statement! {}
        let _region = {
            let site: &$crate::__private::Callsite = {
                $crate::__site! { Region $name, [$(($($k)+) $how)+] }
                &SITE
            };
            if site.is_live() {
                $crate::__private::enter_args(site, &[$($crate::__value!($how $v)),+])
            } else {
                $crate::__private::Region::none()
            }
        };
    };
    (region $name:literal [$($arguments:tt)*] => $value:expr) => {{
        $crate::__annotate! { region $name [$($arguments)*] }
        $value
    }};
    (instant $name:literal [$(([$($k:tt)+] $how:ident $v:expr))*]) => {{
        let site: &$crate::__private::Callsite = {
            $crate::__site! { Instant $name, [$(($($k)+) $how)*] }
            &SITE
        };
        if site.is_live() {
            $crate::__private::instant(site, &[$($crate::__value!($how $v)),*]);
        }
    }};
    (log $category:expr, $($message:tt)+) => {{
        let site: &$crate::__private::Callsite = {
            $crate::__site! { Log $category, [] }
            &SITE
        };
        if site.is_live() {
            $crate::__private::log(site, $crate::__private::core::format_args!($($message)+));
        }
    }};
    (counter $name:expr, $value:expr) => {{
        let site: &$crate::__private::Callsite = {
            $crate::__site! { Counter $name, [] }
            &SITE
        };
        if site.is_live() {
            $crate::__private::counter(site, $crate::__value!(Typed $value));
        }
    }};
}

/// The static of a call site, registered.
#[cfg(feature = "enabled")]
#[doc(hidden)]
#[macro_export]
macro_rules! __site {
    ($kind:ident $name:expr, [$(($($k:tt)+) $how:ident)*]) => {
        static SITE: $crate::__private::Callsite = $crate::__private::Callsite::new(
            $crate::__private::CallsiteKind::$kind,
            $name,
            $crate::__private::core::module_path!(),
            $crate::__private::core::file!(),
            $crate::__private::core::line!(),
            $crate::__private::core::column!(),
            0,
            &[$($crate::__private::ArgumentName::new(
                $crate::__private::core::stringify!($($k)+),
                $crate::__private::ArgumentKind::$how,
            )),*],
        );
        $crate::__private::register!(SITE);
    };
}

/// One argument's value.
#[cfg(feature = "enabled")]
#[doc(hidden)]
#[macro_export]
macro_rules! __value {
    (Typed $value:expr) => {
        $crate::__private::Argument::value(&$value)
    };
    ($how:ident $value:expr) => {
        $crate::__private::Value::$how(&$value)
    };
}

/// Mentions the values without evaluating them.
#[cfg(not(feature = "enabled"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __annotate {
    (log $category:expr, $($message:tt)+) => {{
        const _: &$crate::__private::core::primitive::str = $category;
        if false {
            let _ = $crate::__private::core::format_args!($($message)+);
        }
    }};
    (counter $name:expr, $value:expr) => {{
        const _: &$crate::__private::core::primitive::str = $name;
        if false {
            let _ = &$value;
        }
    }};
    (region $name:literal []) => {
        $crate::__statement! {}
    };
    (region $name:literal [$(([$($k:tt)+] $how:ident $v:expr))+]) => {
        $crate::__statement! {}
        if false {
            $(let _ = &$v;)+
        }
    };
    (instant $name:literal [$(([$($k:tt)+] $how:ident $v:expr))*]) => {{
        $(if false {
            let _ = &$v;
        })*
    }};
    (region $name:literal [$($arguments:tt)*] => $value:expr) => {{
        $crate::__annotate! { region $name [$($arguments)*] }
        $value
    }};
}
