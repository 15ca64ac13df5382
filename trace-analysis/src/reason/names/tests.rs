//! The table against stacks of real waits, in `stacks.txt`: a program that waits in every way that
//! libraries offer, built with this toolchain with and without optimisation, printed its own. Each
//! has a line in front: the call, the reason, whose the futex is, and the line in `src/main.rs`
//! where the program's own code waits (0 if none of it is in the stack).

use std::borrow::Cow;

use trace_format::definition::ResourceKind;
use trace_format::id::CallId;

use super::*;
use crate::reason::{Why, why};

fn frame(line: &'static str) -> Frame<'static> {
    let (name, place) = line.rsplit_once(" @ ").expect("a place");
    let (file, number) = place.rsplit_once(':').expect("a line");
    Frame {
        address: 1,
        name: Cow::Borrowed(name),
        file,
        line: number.parse().expect("a number"),
        module: "",
        inlined: false,
        named: true,
    }
}

#[test]
fn every_way_to_wait_is_told_by_its_stack() {
    let text = include_str!("stacks.txt");
    let mut count = 0;
    for case in text.split("# ").filter(|case| !case.is_empty()) {
        let (head, stack) = case.split_once('\n').expect("lines");
        let (title, expected) = head.split_once(": ").expect("what is expected");
        let (call, rest) = expected.split_once(' ').expect("a call");
        let (rest, line) = rest.rsplit_once(' ').expect("a line");
        let (reason, whose) = rest.rsplit_once(' ').expect("whose");
        let frames: Vec<_> = stack.lines().map(frame).collect();
        let call = CallId::by_name(call).expect("a call of the table");
        let kind = match call {
            CallId::PTHREAD_JOIN => ResourceKind::Thread,
            CallId::EPOLL_WAIT => ResourceKind::PollSet,
            _ => ResourceKind::Address,
        };
        let kind = (call != CallId::CLOCK_NANOSLEEP).then_some(kind);
        let Why { reason: found, named, waits } = why(call, kind, &frames);
        assert_eq!((found.name(), waits), (reason, true), "{title}");
        if call == CallId::FUTEX_WAIT {
            assert_eq!(named, whose == "named", "{title}");
        }
        let site = site(&frames).map_or(0, |frame| frame.line);
        assert_eq!(site, line.parse::<u32>().expect("a number"), "{title}");
        count += 1;
    }
    assert!(count > 75, "{count} stacks");
}

#[test]
fn names_are_split_into_path_and_own_name() {
    for (name, path, own) in [
        ("a::b", "a::b", "b"),
        ("<a::B<u8>>::recv", "a::B", "recv"),
        ("recv<u8, a::b::C>", "recv", "recv"),
        ("<&mut a::B as c::D>::e::{{closure}}", "a::B", "e"),
        ("a::send::{closure#0}", "a::send::{closure#0}", "send"),
        ("{closure#0}<a::b>", "{closure#0}", ""),
        ("f<fn(u8) -> a::B>", "f", "f"),
        ("", "", ""),
        ("<<<", "", ""),
        ("a::<b>::", "a::", "a"),
        (">>>::x", "", "x"),
    ] {
        assert_eq!(split(name), (path, own), "{name}");
    }
}

#[test]
fn a_function_with_a_librarys_name_in_its_type_is_not_the_librarys() {
    let frame = frame("app::handle<tokio::sync::Mutex<u8>> @ src/parking-lot/tokio-like.rs:3");
    assert!(!is_plumbing(&frame));
}
