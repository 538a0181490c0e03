//! Bounds how many requests wait for the same thing at a time.

use std::cell::Cell;
use std::rc::Rc;

/// Counts the permits that are taken.
#[derive(Default)]
pub(crate) struct Semaphore(Cell<u32>);

/// A permit, given back when it is dropped.
pub(crate) struct Permit(Rc<Semaphore>);

impl Semaphore {
    /// Takes a permit, however many are taken.
    pub(crate) fn take(self: &Rc<Self>) -> Permit {
        self.0.set(self.0.get().saturating_add(1));
        Permit(self.clone())
    }

    /// Whether fewer than `most` are taken.
    pub(crate) fn are_below(&self, most: u32) -> bool {
        self.0.get() < most
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.0.set(self.0.0.get().saturating_sub(1));
    }
}
