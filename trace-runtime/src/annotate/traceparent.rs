//! Which distributed trace a task belongs to: reading and writing the header `traceparent` of W3C
//! Trace Context, so that a request can be followed from process to process.
//!
//! A task that was made from a header belongs to that header's trace, and so do its subtasks; any
//! other task gets a trace of its own when the program asks for one. The trace file gets the link
//! once.

use crate::annotate::task::Task;
use crate::session::process;
use crate::thread::record;
use crate::thread::value::{EventBody, put_number};
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use trace_format::event::opcode;

/// A span of a distributed trace: what a `traceparent` header says.
///
/// Printed, it is the header's value: `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Traceparent {
    trace: u128,
    span: u64,
    flags: u8,
}

/// A task's span in a distributed trace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TraceLink {
    pub(crate) own: Traceparent,
    /// The span it is part of; 0 for none.
    pub(crate) parent: u64,
}

/// Number of words of a [`TraceLink`].
pub(crate) const LINK_WORDS: usize = 5;

/// The flag of W3C Trace Context for a span that is recorded.
const SAMPLED: u8 = 1;

impl Traceparent {
    /// Parses a header's value. `None` if it is not valid: then the request begins a trace of its
    /// own, as the W3C recommendation says.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let mut part = |digits| {
            let part = parts.next()?;
            let is_hex = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            if part.len() == digits && is_hex { u128::from_str_radix(part, 16).ok() } else { None }
        };
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        // A later version may have more parts, which are ignored; version 0 has no more.
        let is_known = version != 0xff && (version > 0 || parts.next().is_none());
        let is_valid = is_known && trace != 0 && span != 0;
        is_valid.then_some(Self { trace, span: span as u64, flags: flags as u8 })
    }

    /// The trace, the same in all processes.
    #[must_use]
    pub fn trace_id(&self) -> u128 {
        self.trace
    }

    /// The span.
    #[must_use]
    pub fn span_id(&self) -> u64 {
        self.span
    }

    /// A new, random span of this trace; of a new, random trace if that is 0.
    fn fresh(trace: u128) -> Self {
        let trace =
            if trace == 0 { u128::from(random()) << 64 | u128::from(random()) } else { trace };
        Self { trace, span: random(), flags: SAMPLED }
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

impl TraceLink {
    pub(crate) fn to_words(self) -> [u64; LINK_WORDS] {
        let Traceparent { trace, span, flags } = self.own;
        [(trace >> 64) as u64, trace as u64, span, flags.into(), self.parent]
    }

    pub(crate) fn from_words(words: [u64; LINK_WORDS]) -> Self {
        let [high, low, span, flags, parent] = words;
        let trace = u128::from(high) << 64 | u128::from(low);
        Self { own: Traceparent { trace, span, flags: flags as u8 }, parent }
    }

    /// The link of a task that is part of this span.
    pub(crate) fn below(parent: Traceparent) -> Self {
        let own = Traceparent { flags: parent.flags, ..Traceparent::fresh(parent.trace) };
        Self { own, parent: parent.span }
    }

    /// The link of a task that is part of no other span.
    pub(crate) fn new() -> Self {
        Self { own: Traceparent::fresh(0), parent: 0 }
    }

    /// Records it.
    pub(crate) fn record(&self, task: u64) {
        if !process::is_enabled() {
            return;
        }
        let mut body = EventBody::new();
        put_number(&mut body, task);
        body.extend_from_slice(&self.own.trace.to_be_bytes());
        body.extend_from_slice(&self.own.span.to_be_bytes());
        body.extend_from_slice(&self.parent.to_be_bytes());
        record::append(opcode::TASK_LINK, &body);
    }
}

impl Task {
    /// Begins a task that continues a distributed trace of another process.
    ///
    /// - `traceparent`: the value of the header of that name, as it came with the request. If it is
    ///   not valid, the task begins a trace of its own.
    #[must_use = "a task ends when its last handle is dropped"]
    pub fn from_traceparent(name: &str, traceparent: &str) -> Self {
        let task = Self::new(name);
        match Traceparent::parse(traceparent) {
            Some(parent) => task.link_to(TraceLink::below(parent)),
            None => task.link_to(TraceLink::new()),
        }
        task
    }

    /// The value of the header `traceparent` for requests to other processes, so that they continue
    /// this task. `None` for a task that does nothing: then pass the incoming header on unchanged.
    #[must_use]
    pub fn traceparent(&self) -> Option<Traceparent> {
        self.link().map(|link| link.own)
    }
}

/// A random number, never 0. It is not secret. It is made of a hash map's keys, which come from the
/// system's random numbers, and change with each process and each call.
fn random() -> u64 {
    RandomState::new().hash_one(0) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_header_comes_back_as_it_came() {
        let parsed = Traceparent::parse(HEADER).expect("the recommendation's example");
        assert_eq!(parsed.to_string(), HEADER);
        assert_eq!(parsed.trace_id(), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(parsed.span_id(), 0x00f0_67aa_0ba9_02b7);
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let zeros = "00000000000000000000000000000000";
        let longer = format!("{HEADER}-what");
        for header in [
            "",
            "00",
            &HEADER[1..],
            &HEADER.replace("00-", "ff-"),
            &HEADER.to_uppercase(),
            &HEADER.replace("4bf92f3577b34da6a3ce929d0e0e4736", zeros),
            &HEADER.replace("00f067aa0ba902b7", &zeros[..16]),
            &HEADER.replace("0ba902b7", "0ba902b"),
            &HEADER.replace("0ba902b7", "+ba902b7"),
            &longer,
        ] {
            assert_eq!(Traceparent::parse(header), None, "{header}");
        }
        let later = longer.replacen("00-", "01-", 1);
        assert!(Traceparent::parse(&later).is_some(), "a later version may say more");
    }

    #[test]
    fn new_spans_are_new() {
        let spans: std::collections::HashSet<_> = (0..100).map(|_| TraceLink::new().own).collect();
        assert_eq!(spans.len(), 100);
        let parent = Traceparent::parse(HEADER).expect("a header");
        let below = TraceLink::below(parent);
        assert_eq!((below.own.trace, below.parent), (parent.trace, parent.span));
        assert_ne!(below.own.span, parent.span);
    }
}
