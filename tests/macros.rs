//! The expansions of macros compile in every edition, with any names that a program may define,
//! with and without `enabled`; and a method's name begins with its type.
//!
//! Elsewhere: the expansions (`trace-macros/src/snapshot`), what is refused (`ui`).

mod common;
#[path = "common/workspace.rs"]
mod workspace;

use common::decoded::Decoded;
use common::{checks, lines, record};
use exectrace::traced;
use std::fs;
use std::pin::pin;
use std::task::{Context, Waker};
use workspace::{EDITIONS, Fixture};

/// Runs a package of the fixtures with the recorder compiled out, and with it.
fn check(package: &str, wanted: &[&str]) {
    let off = Fixture::new("off-program");
    let out = off.trace().with_extension(package);
    let path = out.to_str().expect("a plain path");
    off.cargo_prints(&["run", "-p", package, "--", path]);
    assert!(fs::read(&out).expect("it was made").is_empty(), "{package} records nothing");
    let on = Fixture::new("off-enabled");
    on.cargo_prints(&["run", "-p", package, "--features", "trace", "--", path]);
    let trace = Decoded::new(&fs::read(&out).expect("it was written"));
    fs::remove_file(&out).expect("it is there");
    checks::check(&trace);
    let threads = lines::of_threads(&trace);
    assert_eq!(threads.len(), 1, "{package} has one thread: {threads:#?}");
    assert_eq!(threads[0].1, wanted, "{package}");
}

#[test]
fn every_option_is_there_in_every_edition() {
    for edition in EDITIONS {
        let wanted = [
            "+ value(id=1u, text=\"a\", n=2u, list=`[2, 3]`, shown=`a`)",
            "+ until the end(id=1u, list=`[2, 3]`, text=`a`, sum=2u)",
            "! moment(id=1u)",
            "log category: 1 and a",
            "counter counter = 1u",
            "+ around(id=1u)",
            "-",
            "-",
            "- returned 3u",
            "+ borrowed",
            "- returned 1u",
            "+ fails",
            "- failed `invalid digit found in string`",
            "task both",
            "+ run both",
            "- returned 5u",
            "task both ends",
            "+ opaque",
            "- returned `0..3`",
            "future made",
            "poll made",
            "future made returned 7u",
            "+ Shape::sides",
            "- returned 4u",
            "+ Square::area",
            "- returned 9u",
        ];
        check(&format!("macros-{edition}"), &wanted);
    }
}

#[test]
fn what_only_old_editions_have_is_left_as_it_is() {
    let wanted = [
        "+ keyword(async=1u)",
        "- returned `[2]`",
        "bare",
        "Shape::nameless",
        "+ dyn",
        "- failed `invalid digit found in string`",
    ];
    check("macros-old", &wanted);
}

#[test]
fn whatever_a_macro_mentions_may_be_something_else() {
    let wanted = [
        "+ value(id=2u, shown=`2`, debug=`2`, own=40u)",
        "+ until the end(id=2u, shown=`2`, debug=`2`, own=40u)",
        "! moment(id=2u)",
        "log category: 2 and 40",
        "counter counter = 40u",
        "+ around(id=2u)",
        "-",
        "-",
        "- returned 42u",
        "task both",
        "+ run both",
        "- returned 5u",
        "task both ends",
        "future future(id=9u)",
        "poll future",
        "future future returned 9u",
        "future made",
        "poll made",
        "future made returned",
        "str::len",
        "String::len",
    ];
    check("macros-shadows", &wanted);
}

#[test]
fn a_region_where_an_expression_is_wanted_says_what_to_do() {
    for (name, features) in [("off-program", ""), ("off-enabled", "trace")] {
        let words = ["build", "-p", "macros-statement", "--features", features];
        let output = Fixture::new(name).cargo(&words);
        let said = String::from_utf8_lossy(&output.stderr);
        let advice = "write `trace_region!(\"name\");` in a block, or \
                      `trace_region!(\"name\" => expression)`";
        assert!(!output.status.success() && said.contains(advice), "{name}: {said}");
    }
}

/// Methods of every kind, each with an attribute of its own.
mod methods {
    use exectrace::traced;

    pub(super) struct Handler;

    pub(super) struct Grid<T, const N: usize>(pub(super) [T; N]);

    pub(super) trait Service<T> {
        #[traced]
        fn provided(&self, _: T) {}
        fn required(&self, _: T);
    }

    impl Handler {
        #[traced]
        pub(super) fn run(&self) {
            #[traced]
            fn inner() {}
            inner();
        }

        #[traced]
        pub(super) fn without_self(n: u8) -> u8 {
            n
        }

        #[traced(args(n), ret)]
        pub(super) async fn waits(&self, n: u8) -> u8 {
            n
        }

        #[traced(name = "own name")]
        pub(super) fn named(&self) {}
    }

    impl<T, const N: usize> Grid<T, N> {
        #[traced(args(n = N))]
        pub(super) fn width(&self) {
            _ = &self.0;
        }
    }

    impl<T> Service<T> for Handler {
        #[traced]
        fn required(&self, _: T) {}
    }

    pub(super) mod elsewhere {
        impl super::Handler {
            #[exectrace::traced]
            pub(in super::super) fn r#match(self) {}
        }
    }
}

#[traced]
fn function() {}

#[test]
fn a_method_has_the_name_of_its_type_before_its_own() {
    use methods::{Grid, Handler, Service};
    let recorded = record(|| {
        function();
        Handler.run();
        Handler::without_self(1);
        let waits = pin!(Handler.waits(2));
        assert!(waits.poll(&mut Context::from_waker(Waker::noop())).is_ready());
        Handler.named();
        Grid([1, 2]).width();
        Grid(["a"]).width();
        Handler.provided(1);
        Handler.required("a");
        Handler.r#match();
    });
    let wanted = [
        "function",
        "+ Handler::run",
        "inner",
        "-",
        "Handler::without_self",
        "future Handler::waits(n=2u)",
        "poll Handler::waits",
        "future Handler::waits returned 2u",
        "own name",
        "+ Grid::width(n=2u)",
        "-",
        "+ Grid::width(n=1u)",
        "-",
        "Service::provided",
        "<Handler as Service>::required",
        "Handler::match",
    ];
    assert_eq!(recorded.lines(), wanted);
    let names: Vec<_> = exectrace::callsites().map(exectrace::Callsite::name).collect();
    assert!(names.contains(&"Handler::run") && !names.contains(&"run"), "{names:?}");
}
