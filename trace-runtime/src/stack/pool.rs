//! Things that one thread at a time may have, taken and given back without waiting.
//!
//! - **W1** A place holds the only pointer to its thing; who exchanges it out owns it.
//!
//! May contain `unsafe`: what is taken is owned through a raw pointer.

use crate::base::primitive::{AtomicPtr, Ordering};
use std::ops::{Deref, DerefMut};
use std::ptr;

/// Up to `N` things.
#[derive(Debug)]
pub(crate) struct Pool<T, const N: usize> {
    places: [AtomicPtr<T>; N],
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Taken<'a, T> {
    place: &'a AtomicPtr<T>,
    thing: ptr::NonNull<T>,
    /// Where it was taken: the best place to look next time.
    pub(crate) at: usize,
}

impl<T, const N: usize> Pool<T, N> {
    /// A pool without anything in it.
    #[cfg(not(exectrace_loom))]
    pub(crate) const fn new() -> Self {
        Self { places: [const { AtomicPtr::new(ptr::null_mut()) }; N] }
    }

    /// As it is in a model.
    #[cfg(exectrace_loom)]
    pub(crate) fn new() -> Self {
        Self { places: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())) }
    }

    /// Puts a new thing at a place that never had one; for good.
    pub(crate) fn put(&self, at: usize, thing: Box<T>) {
        self.places[at].store(Box::into_raw(thing), Ordering::Release);
    }

    /// The thing of this place, if it is there.
    pub(crate) fn take_at(&self, at: usize) -> Option<Taken<'_, T>> {
        let place = self.places.get(at)?;
        // A plain load first: an empty place's cache line is left alone.
        let thing = ptr::NonNull::new(place.load(Ordering::Relaxed))?;
        // `Acquire` pairs with the `Release` in `drop`: what the last owner did comes before (W1).
        let order = (Ordering::Acquire, Ordering::Relaxed);
        let none = ptr::null_mut();
        place.compare_exchange(thing.as_ptr(), none, order.0, order.1).ok()?;
        Some(Taken { place, thing, at })
    }

    /// Any thing that is there, beginning at this place.
    pub(crate) fn take(&self, from: usize) -> Option<Taken<'_, T>> {
        (0..N).find_map(|step| self.take_at((from + step) % N))
    }
}

impl<T> Deref for Taken<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: a shared reference wants a live thing nobody changes: W1, and it is never freed.
        unsafe { self.thing.as_ref() }
    }
}

impl<T> DerefMut for Taken<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: a unique reference wants a live thing nobody else has: W1.
        unsafe { self.thing.as_mut() }
    }
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        // `Release` pairs with the `Acquire` in `take_at`.
        self.place.store(self.thing.as_ptr(), Ordering::Release);
    }
}
