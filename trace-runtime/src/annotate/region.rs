//! Regions and the other annotations of code, as the macros' expansions call them.
//!
//! The test whether a site is live is inlined into the user's code. Everything else is out of line,
//! so that a traced function which is off costs a load and a branch, and no saved registers.

use crate::callsite::{Callsite, STACK};
use crate::thread::encoded::{EventHead, NUMBERS_MAX, ValueList};
use crate::thread::record;
use crate::thread::refill::Patience;
use crate::thread::value::{
    EventBody, Value, put_message, put_number, put_value, put_values, put_values_on,
};
use std::fmt;
use std::marker::PhantomData;
use trace_format::event::{Outcome, opcode};
use trace_format::id::{Open, SiteId};

/// Something open on this thread. It ends when it is dropped, also by a panic.
///
/// It can't be sent to another thread: a region that is held across an `.await` would end
/// elsewhere. Trace the future instead.
#[derive(Debug)]
#[must_use = "a region ends when it is dropped"]
pub struct Region {
    /// Ticks of its begin; 0 for a region that is not recorded.
    begin: u64,
    what: u64,
    not_send: PhantomData<*const ()>,
}

impl Region {
    /// A region that is not recorded.
    #[inline(always)]
    pub const fn none() -> Self {
        Self { begin: 0, what: 0, not_send: PhantomData }
    }

    pub(crate) const fn new((begin, what): (u64, u64)) -> Self {
        Self { begin, what, not_send: PhantomData }
    }

    /// Ends it with the value it returns.
    pub fn returned(&mut self, value: Value<'_>) {
        self.end_with(Outcome::Returned, value);
    }

    /// Ends it with the error it returns.
    pub fn failed(&mut self, error: Value<'_>) {
        self.end_with(Outcome::Failed, error);
    }

    fn end_with(&mut self, outcome: Outcome, value: Value<'_>) {
        let begin = std::mem::take(&mut self.begin);
        if begin == 0 {
            return;
        }
        let mut body = EventBody::new();
        put_outcome(&mut body, outcome, &[value]);
        record::end_value(begin, self.what, &body);
    }
}

impl Region {
    /// Ends a region that the user did not write: it never waits for memory.
    pub(crate) fn end_by_itself(&mut self) {
        let begin = std::mem::take(&mut self.begin);
        if begin != 0 {
            record::end_by_itself(begin, self.what);
        }
    }
}

impl Drop for Region {
    #[inline(always)]
    fn drop(&mut self) {
        if self.begin != 0 {
            record::end(self.begin, self.what);
        }
    }
}

/// Appends an outcome, and the values that came out.
pub(crate) fn put_outcome(body: &mut EventBody, outcome: Outcome, values: &[Value<'_>]) {
    put_number(body, u64::from(outcome.to_byte()));
    put_values(body, values);
}

/// Begins a region without arguments.
#[inline(always)]
pub fn enter(site: &'static Callsite) -> Region {
    if site.is_live() { Region::new(begin_region(site)) } else { Region::none() }
}

#[inline(never)]
fn begin_region(site: &'static Callsite) -> (u64, u64) {
    let id = site.live_word();
    // One comparison for both cases: not live any more, or perhaps with a stack.
    if id.wrapping_sub(1) >= STACK - 1 {
        return begin_with_stack(site, &[]);
    }
    let what = Open::Region(SiteId(id)).to_word();
    let (head, min) = (EventHead::region(id), site.min_ticks());
    (record::begin(head, what, min, Patience::Waits), what)
}

/// Begins a region that may have a stack, or whose site may not be live.
#[cold]
#[inline(never)]
fn begin_with_stack(site: &'static Callsite, values: &[Value<'_>]) -> (u64, u64) {
    let (id, stack) = (site.live(), site.stack());
    if id == 0 {
        return (0, 0);
    }
    let what = Open::Region(SiteId(id)).to_word();
    match (stack, values) {
        (0, []) => {
            let (head, min) = (EventHead::region(id), site.min_ticks());
            return (record::begin(head, what, min, Patience::Waits), what);
        }
        (stack, []) => return begin_args(site, id, ValueList::Stack(stack)),
        _ => {}
    }
    let mut body = EventBody::new();
    put_values_on(&mut body, stack, values);
    begin_args(site, id, ValueList::BytesOn(stack, &body))
}

/// Begins a region with arguments. To be called if the site is live: that test decides whether the
/// arguments are evaluated.
#[inline(never)]
pub fn enter_args(site: &'static Callsite, values: &[Value<'_>]) -> Region {
    let id = site.live_word();
    if id.wrapping_sub(1) >= STACK - 1 {
        return Region::new(begin_with_stack(site, values));
    }
    if values.len() <= NUMBERS_MAX && values.iter().all(Value::is_number) {
        return Region::new(begin_args(site, id, ValueList::Numbers(values)));
    }
    let mut body = EventBody::new();
    put_values(&mut body, values);
    Region::new(begin_args(site, id, ValueList::Bytes(&body)))
}

#[inline(always)]
fn begin_args(site: &'static Callsite, id: u32, values: ValueList<'_>) -> (u64, u64) {
    let what = Open::Region(SiteId(id)).to_word();
    (record::begin_values(EventHead::region_args(id), what, site.min_ticks(), values), what)
}

/// Records a log message; the category is the site's name.
#[inline(never)]
pub fn log(site: &'static Callsite, message: fmt::Arguments<'_>) {
    emit(site, opcode::LOG, |body| put_message(body, message));
}

/// Records a counter's new value; the counter is the site's name.
#[inline(never)]
pub fn counter(site: &'static Callsite, value: Value<'_>) {
    emit(site, opcode::COUNTER, |body| put_value(body, &value));
}

/// Records an instant.
#[inline(never)]
pub fn instant(site: &'static Callsite, values: &[Value<'_>]) {
    let stack = site.stack();
    emit_on(stack, site, opcode::INSTANT, |body| put_values_on(body, stack, values));
}

fn emit(site: &'static Callsite, code: u8, fill: impl FnOnce(&mut EventBody)) {
    emit_on(0, site, code, fill);
}

/// As [`emit`], for an event with this stack; 0 for none.
fn emit_on(stack: u32, site: &'static Callsite, code: u8, fill: impl FnOnce(&mut EventBody)) {
    let id = site.live();
    if id == 0 {
        return;
    }
    let mut body = EventBody::new();
    put_number(&mut body, u64::from(id));
    fill(&mut body);
    record::append_with_stack(code, &body, stack);
}
