//! Every kind of function that returns a future takes `#[traced]`, and the future stays what it
//! was.

#![deny(warnings, clippy::pedantic, clippy::nursery)]
#![deny(missing_docs, unused_qualifications, unused_lifetimes, unreachable_code)]

use std::fmt::Display;
use std::future::{self, Future};
use std::num::ParseIntError;
use std::pin::Pin;
use std::rc::Rc;

use exectrace::traced;

use super::ready;

type Fault = Box<dyn std::error::Error + Send + Sync>;
type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A future as the `futures` crate calls it.
type BoxFuture<'a, T> = Boxed<'a, T>;

#[traced]
async fn nothing() {
    future::ready(()).await;
}

#[traced]
async fn early(x: u8) {
    if x == 0 {
        return;
    }
    future::ready(()).await;
}

#[traced(args(text), err)]
async fn parsed(text: &str) -> Result<u8, ParseIntError> {
    let value = future::ready(text.parse::<u8>()).await?;
    Ok(value)
}

#[traced(ret, err)]
async fn converted(text: String) -> Result<u8, Fault> {
    if text.is_empty() {
        return Err("empty".into());
    }
    let value = parsed(&text).await?;
    Ok(value)
}

#[traced]
async fn coerced(n: u8) -> Box<dyn Display + Send> {
    if n == 0 {
        return Box::new("none");
    }
    future::ready(()).await;
    Box::new(n)
}

#[traced(ret)]
async fn opaque(n: u8) -> Option<impl Display + std::fmt::Debug> {
    future::ready(Some(n)).await
}

#[traced]
async fn never() -> ! {
    loop {
        future::pending::<()>().await;
    }
}

#[traced(task, args(?list))]
async fn generic<'a, T: Sync, const N: usize>(list: &'a [T; N]) -> &'a T
where
    [T; N]: std::fmt::Debug,
{
    future::ready(&list[N - 1]).await
}

#[traced]
async fn recursive(n: u32) -> u32 {
    if n < 2 {
        return n;
    }
    Box::pin(recursive(n - 1)).await + Box::pin(recursive(n - 2)).await
}

#[traced(args(list = list.len()))]
async fn borrows_mutably(list: &mut Vec<u8>, push: impl Fn() -> u8 + Send) -> &mut u8 {
    use std::mem::take;
    list.push(push());
    let mut old = take(list);
    future::ready(()).await;
    list.append(&mut old);
    &mut list[0]
}

#[traced]
async fn patterns((a, b): (u8, u8), _: u8, mut c: u8) -> u8 {
    c += a + b;
    future::ready(c).await
}

#[allow(clippy::future_not_send)]
#[traced]
async unsafe fn dangerous(x: *const u8) -> u8 {
    // SAFETY: the caller says so.
    unsafe { x.read() }
}

#[traced]
fn in_a_block(x: u8) -> impl Future<Output = u8> + Send {
    let y = x + 1;
    async move { future::ready(y).await }
}

#[traced]
fn made(x: u8) -> impl Future<Output = u8> {
    if x == 0 {
        return future::ready(1);
    }
    future::ready(x)
}

#[traced(task, ret)]
fn made_task(list: &mut Vec<u8>) -> impl Future<Output = &mut u8> {
    list.push(3);
    future::ready(&mut list[0])
}

#[traced(args(text), ret, err)]
fn boxed(text: &str) -> Pin<Box<dyn Future<Output = Result<u8, Fault>> + Send + '_>> {
    let text = text.trim();
    Box::pin(async move {
        if text.is_empty() {
            return Err("empty".into());
        }
        Ok(text.parse()?)
    })
}

#[traced]
fn boxed_elsewhere(n: u8) -> BoxFuture<'static, u8> {
    if n == 0 {
        return Box::pin(future::ready(9));
    }
    Box::pin(future::ready(n))
}

#[traced(err)]
fn boxed_cast(n: u8) -> BoxFuture<'static, Result<u8, Fault>> {
    Box::pin(async move { Ok(n) }) as BoxFuture<'static, _>
}

#[traced]
fn behind_an_alias(n: u8) -> Boxed<'static, u8> {
    Box::pin(async move { n })
}

trait Service {
    async fn call(&mut self, by: u8) -> u8;
    fn name<'a>(&'a self) -> Pin<Box<dyn Future<Output = &'a str> + Send + 'a>>;
}

struct Plain(String, u8);

#[traced]
impl Service for Plain {
    #[traced(args(by, name = ?self.0))]
    async fn call(&mut self, by: u8) -> u8 {
        self.1 += by;
        future::ready(self.1).await
    }

    // As macros for asynchronous traits write it.
    fn name<'a>(&'a self) -> Pin<Box<dyn Future<Output = &'a str> + Send + 'a>> {
        Box::pin(async move {
            let this = self;
            future::ready(&*this.0).await
        })
    }
}

#[allow(clippy::future_not_send)]
#[traced]
async fn local(x: Rc<u8>) -> u8 {
    future::ready(()).await;
    *x
}

const fn is_send<F: Future + Send>(future: F) -> F {
    future
}

#[test]
fn traced_futures_give_what_they_gave() {
    ready(is_send(nothing()));
    ready(is_send(early(0)));
    assert_eq!(ready(is_send(parsed("7"))), Ok(7));
    assert!(ready(parsed("x")).is_err());
    assert_eq!(ready(is_send(converted("8".to_owned()))).ok(), Some(8));
    assert!(ready(converted(String::new())).is_err());
    assert_eq!(ready(is_send(coerced(0))).to_string(), "none");
    assert_eq!(ready(coerced(4)).to_string(), "4");
    assert_eq!(ready(opaque(4)).map(|x| x.to_string()), Some("4".to_owned()));
    drop(is_send(never()));
    assert_eq!(ready(is_send(generic(&[1, 2, 3]))), &3);
    assert_eq!(ready(is_send(recursive(10))), 55);
    *ready(is_send(borrows_mutably(&mut vec![], || 3))) += 1;
    assert_eq!(ready(patterns((1, 2), 3, 4)), 7);
    assert_eq!(ready(is_send(in_a_block(1))), 2);
    assert_eq!(ready(is_send(made(0))) + ready(made(2)), 3);
    let mut list = vec![];
    *ready(is_send(made_task(&mut list))) += 1;
    assert_eq!(list, [4]);
    // SAFETY: a reference is good for reading.
    assert_eq!(ready(unsafe { dangerous(&raw const list[0]) }), 4);
    assert_eq!(ready(is_send(boxed(" 5 "))).ok(), Some(5));
    assert!(ready(boxed("")).is_err());
    assert_eq!(ready(boxed_elsewhere(0)) + ready(boxed_elsewhere(1)), 10);
    assert_eq!(ready(boxed_cast(3)).ok(), Some(3));
    assert_eq!(ready(behind_an_alias(3)), 3);
    let mut plain = Plain("p".to_owned(), 1);
    assert_eq!(ready(plain.call(2)), 3);
    assert_eq!(ready(is_send(plain.name())), "p");
    assert_eq!(ready(local(Rc::new(3))), 3);
}
