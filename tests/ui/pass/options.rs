//! Every option works on every function that it is for.

#![deny(warnings, clippy::pedantic, clippy::nursery)]
#![deny(missing_docs, unused_qualifications, unused_lifetimes, unreachable_code)]

use std::fmt;
use std::io;

use exectrace::traced;

use exectrace as renamed;

#[derive(Debug)]
struct Row(u8);

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {}", self.0)
    }
}

#[traced(name = "the \"load\" \\ of ünïcode", min = "1.5us")]
fn named() -> u8 {
    1
}

#[traced(args(
    a, ?b, %c, sum = a + 1, text = c.trim(), ?row, shown = %row, r#type = 3_u64, yes = a == 1,
))]
fn with_arguments(a: u8, b: Option<&str>, c: &str, row: &Row) -> usize {
    c.len() + usize::from(a) + usize::from(row.0) + b.map_or(0, str::len)
}

#[traced(args(n, ?x))]
fn generic_argument<T: fmt::Debug>(n: u8, x: T) -> T {
    let _ = n;
    x
}

#[traced(ret)]
fn ret() -> Row {
    Row(2)
}

#[traced(ret)]
fn ret_of_nothing(list: &mut Vec<u8>) {
    if list.is_empty() {
        return;
    }
    list.clear();
}

#[traced(err)]
fn err(text: &str) -> io::Result<u8> {
    let n = text.parse().map_err(io::Error::other)?;
    Ok(n)
}

#[renamed::traced(ret, err, args(text), min = "1ms", crate = renamed)]
fn both(text: &str) -> Result<&str, Row> {
    if text.is_empty() {
        return Err(Row(0));
    }
    Ok(text)
}

#[traced(ret)]
fn borrowed(list: &mut Vec<u8>) -> &mut u8 {
    list.push(1);
    &mut list[0]
}

#[allow(clippy::mut_mut)]
#[traced(ret)]
fn reborrowed<'a, 'b: 'a>(list: &'a mut &'b mut [u8], text: &'b str) -> (&'a mut [u8], &'b str) {
    (&mut **list, text)
}

#[traced(err)]
fn coerced(fails: bool) -> Result<Box<dyn fmt::Display>, Box<dyn std::error::Error>> {
    if fails {
        return Err(Box::from("fails"));
    }
    Ok(Box::new(Row(1)))
}

#[traced(ret)]
fn opaque(n: u8) -> impl fmt::Debug + Clone {
    vec![n]
}

#[traced(err)]
fn partly_opaque(n: u8) -> Result<impl Iterator<Item = u8>, Row> {
    if n == 0 { Err(Row(n)) } else { Ok(0..n) }
}

#[traced(ret)]
fn consumes(mut row: Row, (a, _): (u8, u8)) -> u8 {
    row.0 += a;
    let moved = row;
    moved.0
}

#[traced(ret)]
unsafe extern "C" fn foreign(x: *const u8) -> u8 {
    // SAFETY: the caller says so.
    unsafe { *x }
}

#[traced(task)]
fn task() -> u8 {
    1
}

#[traced(task, ret, err, args(n))]
fn task_with_all(n: u8) -> Result<u8, fmt::Error> {
    if n == 0 { Err(fmt::Error) } else { Ok(n) }
}

#[traced(task)]
fn task_forever() -> ! {
    std::panic::panic_any(())
}

#[traced(skip)]
const fn skipped() -> u8 {
    1
}

struct Owner(Vec<u8>);

impl Owner {
    #[traced(ret, args(list = ?self.0, n = self.0.len()))]
    fn last(&mut self) -> Option<&mut u8> {
        self.0.last_mut()
    }
}

#[test]
fn options_change_nothing_but_the_trace() {
    assert_eq!(named(), 1);
    assert_eq!(with_arguments(1, Some("b"), "c", &Row(2)), 5);
    assert_eq!(generic_argument(1, "x"), "x");
    assert_eq!(ret().0, 2);
    let mut list = vec![];
    ret_of_nothing(&mut list);
    *borrowed(&mut list) += 1;
    assert_eq!(list, [2]);
    let mut slice = &mut *list;
    reborrowed(&mut slice, "").0[0] += 1;
    assert_eq!(list, [3]);
    assert_eq!(err("3").ok(), Some(3));
    assert!(err("x").is_err());
    assert_eq!(both("x").ok(), Some("x"));
    assert_eq!(both("").err().map(|row| row.0), Some(0));
    assert_eq!(coerced(false).map(|x| x.to_string()).ok().as_deref(), Some("row 1"));
    assert!(coerced(true).is_err());
    assert_eq!(format!("{:?}", opaque(3)), "[3]");
    assert_eq!(partly_opaque(3).map(Iterator::count).ok(), Some(3));
    assert_eq!(consumes(Row(1), (2, 3)), 3);
    // SAFETY: a reference is good for reading.
    assert_eq!(unsafe { foreign(&raw const list[0]) }, 3);
    assert_eq!(task(), 1);
    assert_eq!(task_with_all(2), Ok(2));
    assert_eq!(task_with_all(0), Err(fmt::Error));
    assert!(std::panic::catch_unwind(|| task_forever()).is_err());
    assert_eq!(skipped(), 1);
    assert_eq!(Owner(vec![1]).last(), Some(&mut 1));
}
