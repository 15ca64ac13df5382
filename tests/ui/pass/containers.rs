//! On a container the attribute reaches every function in it, and nothing else.

#![deny(warnings, clippy::pedantic, clippy::nursery)]
#![deny(missing_docs, unused_qualifications, unused_lifetimes, unused_imports)]

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Add;
use std::panic::Location;
use std::pin::Pin;

use exectrace::traced;

/// A receiver of every kind.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Counter<T, const N: usize> {
    count: usize,
    kind: PhantomData<T>,
}

#[traced(min = "10us", ret)]
impl<T: fmt::Debug + Sync + Unpin, const N: usize> Counter<T, { N }> {
    const STEP: usize = { 1 + N };

    /// Cannot be traced, and is left as it is.
    const fn new() -> Self {
        Self { count: 0, kind: PhantomData }
    }

    #[traced]
    fn bump(&mut self) -> &mut Self {
        self.count += Self::STEP;
        self
    }

    #[traced(skip)]
    const fn count(&self) -> usize {
        self.count
    }

    #[track_caller]
    fn line(&self) -> (usize, u32) {
        (self.count, Location::caller().line())
    }

    fn grown(mut self) -> Self {
        self.count += 1;
        self
    }

    #[allow(clippy::boxed_local)]
    #[traced(args(by, count = self.count), name = "scale")]
    fn scaled(self: Box<Self>, by: usize) -> usize {
        self.count * by
    }

    fn pinned(self: Pin<&mut Self>) -> usize {
        self.get_mut().count
    }

    fn opaque(&self) -> impl Iterator<Item = usize> + use<'_, T, N> {
        std::iter::once(self.count)
    }

    async fn later(&self) -> usize {
        self.count
    }
}

#[traced]
impl<T> Add<usize> for Counter<T, 1> {
    type Output = Self;

    fn add(mut self, by: usize) -> Self {
        self.count += by;
        self
    }
}

#[traced(err)]
trait Shape {
    const SIDES: usize;

    fn area(&self) -> f64;

    fn perimeter(&self) -> Result<f64, fmt::Error> {
        if Self::SIDES == 0 { Err(fmt::Error) } else { Ok(self.area()) }
    }

    async fn drawn(&self) -> Result<usize, fmt::Error> {
        Ok(Self::SIDES)
    }
}

struct Square(f64);

#[traced]
impl Shape for Square {
    const SIDES: usize = 4;

    fn area(&self) -> f64 {
        self.0 * self.0
    }
}

struct Nothing;

impl Shape for Nothing {
    const SIDES: usize = 0;

    fn area(&self) -> f64 {
        0.0
    }
}

#[traced(crate = exectrace)]
mod inline {
    //! With an inner attribute.
    #![allow(clippy::items_after_test_module)]

    use std::fmt;

    use exectrace::traced;

    pub(super) use self::deep::{Deep, at_the_bottom};

    pub(super) struct Plain {
        pub(super) x: u8,
    }

    pub(super) static TABLE: [u8; 2] = {
        const fn square(x: u8) -> u8 {
            x * x
        }
        [square(2), square(3)]
    };

    pub(super) const AS_FN: fn(u8) -> u8 = doubled;

    macro_rules! twice {
        ($e:expr) => {
            $e * 2
        };
    }

    pub(super) fn doubled(x: u8) -> u8 {
        twice!(x)
    }

    pub(super) extern "C" fn foreign(x: u8) -> u8 {
        x
    }

    #[traced(skip)]
    pub(super) mod skipped {
        pub(in super::super) const fn quiet() -> u8 {
            5
        }
    }

    mod deep {
        #[derive(Debug, Default)]
        pub(in super::super) struct Deep {
            pub(in super::super) x: u8,
        }

        impl Deep {
            pub(in super::super) fn bump(&mut self) -> &mut Self {
                self.x += 1;
                self
            }
        }

        pub(in super::super) fn at_the_bottom<F: Fn(u8) -> u8>(f: F) -> u8 {
            f(1)
        }
    }

    impl fmt::Display for Plain {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}", self.x)
        }
    }
}

/// A type whose traits clippy wants to be written in one way only.
#[derive(Copy, PartialEq, Eq, Debug)]
struct Rank(u8);

#[allow(clippy::expl_impl_clone_on_copy)]
#[traced]
impl Clone for Rank {
    fn clone(&self) -> Self {
        *self
    }
}

#[traced]
impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[traced]
impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

#[test]
fn functions_in_containers_give_what_they_gave() {
    let mut counter = Counter::<u8, 1>::new();
    assert_eq!(counter.bump().bump().count(), 4);
    assert_eq!(counter.line(), (4, line!()));
    let counter = counter.grown();
    assert_eq!(Box::new(counter.clone()).scaled(3), 15);
    assert_eq!(Pin::new(&mut counter.clone()).pinned(), 5);
    assert_eq!(counter.opaque().sum::<usize>(), 5);
    assert_eq!(super::ready(counter.later()), 5);
    assert_eq!((counter + 2).count(), 7);
    assert_eq!(Square(2.0).perimeter(), Ok(4.0));
    assert_eq!(Nothing.perimeter(), Err(fmt::Error));
    assert_eq!(super::ready(Square(2.0).drawn()), Ok(4));
    assert!(Rank(1) < Rank(2) && Rank(1).max(Rank(2)) == Rank(2));
    assert_eq!(inline::TABLE, [4, 9]);
    assert_eq!(inline::AS_FN(4), 8);
    assert_eq!(inline::foreign(4), 4);
    assert_eq!(inline::skipped::quiet(), 5);
    assert_eq!(inline::Plain { x: 3 }.to_string(), "3");
    assert_eq!(inline::Deep::default().bump().x, 1);
    assert_eq!(inline::at_the_bottom(|x| x + 1), 2);
}
