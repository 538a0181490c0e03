//! How many wait for the same thing at a time.

use std::cell::Cell;
use std::rc::Rc;

/// How many places are taken.
#[derive(Default)]
pub(crate) struct Seats(Cell<u32>);

/// A place, given back when it is dropped.
pub(crate) struct Seat(Rc<Seats>);

impl Seats {
    /// Takes a place, however many are taken.
    pub(crate) fn take(self: &Rc<Self>) -> Seat {
        self.0.set(self.0.get().saturating_add(1));
        Seat(self.clone())
    }

    /// Whether fewer than `most` are taken.
    pub(crate) fn are_below(&self, most: u32) -> bool {
        self.0.get() < most
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.0.set(self.0.0.get().saturating_sub(1));
    }
}
