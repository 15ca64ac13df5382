//! Values that one thread at a time may use, taken and given back without waiting.
//!
//! - **W1** A place holds the only pointer to its value; the thread that exchanges the pointer out
//!   owns the value.
//!
//! May contain `unsafe`: what is taken is owned through a raw pointer.

use crate::base::primitive::{AtomicPtr, Ordering};
use std::ops::{Deref, DerefMut};
use std::ptr;

/// Up to `N` values.
#[derive(Debug)]
pub(crate) struct Pool<T, const N: usize> {
    places: [AtomicPtr<T>; N],
}

/// A value that was taken; dropping this gives it back.
#[derive(Debug)]
pub(crate) struct PoolGuard<'a, T> {
    place: &'a AtomicPtr<T>,
    value: ptr::NonNull<T>,
    /// The number of its place: the best one to try next time.
    pub(crate) at: usize,
}

impl<T, const N: usize> Pool<T, N> {
    /// An empty pool.
    #[cfg(not(exectrace_loom))]
    pub(crate) const fn new() -> Self {
        Self { places: [const { AtomicPtr::new(ptr::null_mut()) }; N] }
    }

    /// As it is in a model.
    #[cfg(exectrace_loom)]
    pub(crate) fn new() -> Self {
        Self { places: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())) }
    }

    /// Puts a new value at a place that never had one, for good.
    pub(crate) fn put(&self, at: usize, value: Box<T>) {
        self.places[at].store(Box::into_raw(value), Ordering::Release);
    }

    /// Takes the value of this place, if it is there.
    pub(crate) fn take_at(&self, at: usize) -> Option<PoolGuard<'_, T>> {
        let place = self.places.get(at)?;
        // A load first: it does not take an empty place's cache line from other threads.
        let value = ptr::NonNull::new(place.load(Ordering::Relaxed))?;
        // `Acquire` pairs with the `Release` in `drop`: what the last owner did comes before (W1).
        let order = (Ordering::Acquire, Ordering::Relaxed);
        let none = ptr::null_mut();
        place.compare_exchange(value.as_ptr(), none, order.0, order.1).ok()?;
        Some(PoolGuard { place, value, at })
    }

    /// Takes any value that is there, trying this place first.
    pub(crate) fn take(&self, from: usize) -> Option<PoolGuard<'_, T>> {
        (0..N).find_map(|step| self.take_at((from + step) % N))
    }
}

impl<T> Deref for PoolGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: a shared reference wants a live value that no other code changes: W1, and it is
        // never freed.
        unsafe { self.value.as_ref() }
    }
}

impl<T> DerefMut for PoolGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: a unique reference wants a live value that no other code has: W1.
        unsafe { self.value.as_mut() }
    }
}

impl<T> Drop for PoolGuard<'_, T> {
    fn drop(&mut self) {
        // `Release` pairs with the `Acquire` in `take_at`.
        self.place.store(self.value.as_ptr(), Ordering::Release);
    }
}
