//! Every kind of plain function takes `#[traced]` and does what it did.

#![deny(warnings, clippy::pedantic, clippy::nursery)]
#![deny(missing_docs, unused_qualifications, unused_lifetimes, unreachable_code)]

use std::fmt::{self, Display};
use std::panic;

use exectrace::traced;

#[traced]
fn empty() {}

#[traced]
fn one_expression(x: u8) -> u8 {
    x + 1
}

/// Attributes of all sorts stay where they are.
#[traced]
#[inline]
#[must_use]
#[cfg(not(any()))]
fn attributed(x: u8) -> u8 {
    #![allow(clippy::let_and_return)]
    let y = x;
    y
}

/// Items at the begin of a body stay there.
#[traced]
fn begins_with_items(x: u8) -> u8 {
    use std::cmp::max;
    const A: [u8; 2] = [1, 2];
    struct Unit {
        x: u8,
    }
    impl Unit {
        const fn get(&self) -> u8 {
            self.x
        }
    }
    macro_rules! twice {
        ($e:expr) => {
            $e * 2
        };
    }
    max(A[1], twice!(Unit { x }.get()))
}

macro_rules! debug {
    ($($token:tt)*) => {};
}

/// The body has no item before its statements.
#[traced]
fn begins_with_a_macro(x: u8) -> String {
    debug!("x is {x}");
    use std::fmt::Write as _;
    let mut text = String::new();
    let _ = write!(text, "{x}");
    text
}

#[traced]
fn ends_in_a_statement(list: &mut Vec<u8>) {
    list.push(1);
}

#[traced]
fn returns_early(x: Option<u8>) -> Option<u8> {
    if x == Some(3) {
        return None;
    }
    let y = x?;
    Some(y * 2)
}

#[traced]
fn generic<T, const N: usize>(items: &[T; N]) -> String
where
    T: Display,
{
    items.iter().map(ToString::to_string).collect()
}

#[traced]
fn borrows<'a>(list: &'a mut [u8], _other: &str) -> &'a mut u8 {
    &mut list[0]
}

#[traced]
fn opaque(n: u8) -> impl Iterator<Item = u8> {
    (0..n).map(|x| x * x)
}

#[traced]
fn boxed(n: u8) -> Box<dyn Display> {
    if n == 0 {
        return Box::new("none");
    }
    Box::new(n)
}

#[traced]
fn never(why: &str) -> ! {
    panic!("{why}")
}

#[traced]
unsafe fn reads(x: *const u8) -> u8 {
    // SAFETY: the caller says so.
    unsafe { x.read() }
}

#[traced]
extern "C" fn foreign(x: i32) -> i32 {
    x - 1
}

#[traced]
fn patterns((a, b): (u8, u8), _: u8, mut c: u8, [d, ..]: [u8; 2]) -> u8 {
    c += a + b + d;
    c
}

#[traced]
fn takes_impl(it: impl Iterator<Item = u8>, f: &dyn Fn(u8) -> u8) -> u8 {
    it.map(f).sum()
}

/// The body cannot see the expansion's names, nor hide them.
#[traced(args(_region = 1_u8, __site = 2_u8))]
fn hygiene(_value: u8) -> u8 {
    const SITE: u8 = 3;
    let region = SITE;
    let rt = region + 1;
    rt + value_of()
}

const fn value_of() -> u8 {
    1
}

#[traced]
fn recursive(n: u32) -> u32 {
    if n < 2 { n } else { recursive(n - 1) + recursive(n - 2) }
}

macro_rules! define {
    ($vis:vis fn $name:ident() -> $ty:ty $body:block) => {
        #[traced]
        $vis fn $name() -> $ty $body
    };
}

define!(
    fn by_macro() -> u8 {
        7
    }
);

struct Text(u8);

impl Display for Text {
    #[traced]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.0)
    }
}

#[test]
fn traced_functions_give_what_they_gave() {
    empty();
    assert_eq!(one_expression(1), 2);
    assert_eq!(attributed(4), 4);
    assert_eq!(begins_with_items(4), 8);
    assert_eq!(begins_with_a_macro(4), "4");
    let mut list = Vec::new();
    ends_in_a_statement(&mut list);
    assert_eq!(list, [1]);
    assert_eq!(returns_early(Some(4)), Some(8));
    assert_eq!(returns_early(Some(3)), None);
    assert_eq!(generic(&[1, 2, 3]), "123");
    *borrows(&mut list, "") += 4;
    assert_eq!(list, [5]);
    assert_eq!(opaque(3).sum::<u8>(), 5);
    assert_eq!(boxed(0).to_string() + &boxed(2).to_string(), "none2");
    // SAFETY: a reference is good for reading.
    assert_eq!(unsafe { reads(&raw const list[0]) }, 5);
    assert_eq!(foreign(3), 2);
    assert_eq!(patterns((1, 2), 3, 4, [5, 6]), 12);
    assert_eq!(takes_impl(0..3, &|x| x + 1), 6);
    assert_eq!(hygiene(1), 5);
    assert_eq!(recursive(10), 55);
    assert_eq!(by_macro(), 7);
    assert_eq!(Text(1).to_string(), "<1>");
}

#[test]
fn a_panic_goes_through_a_traced_function() {
    let payload = panic::catch_unwind(|| never("on purpose")).err();
    let text = payload.and_then(|payload| payload.downcast::<String>().ok());
    assert_eq!(text.as_deref().map(String::as_str), Some("on purpose"));
}
