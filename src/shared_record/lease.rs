//! Which worker fetches for the node.

use std::cell::Cell;
use std::rc::Rc;

/// A lease as it stands in a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LeaseState {
    /// When it ends, in milliseconds since the epoch.
    pub until: u64,
    /// Its number, which no earlier lease of the record had.
    pub number: u64,
}

/// The right to fetch for the node, until it ends by itself. One that is dropped is given back at this worker's next look, for a
/// destructor has no store at hand.
pub(crate) struct Lease {
    number: u64,
    /// Where the worker looks for it; empty once the lease is at its end.
    dropped: Option<Dropped>,
}

/// The number of a lease that was dropped. A record has one lease at a time, and so one that can be dropped.
pub(super) type Dropped = Rc<Cell<Option<u64>>>;

impl Lease {
    pub(super) fn new(number: u64, dropped: &Dropped) -> Self {
        Self { number, dropped: Some(dropped.clone()) }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Its number. There is nothing to give back any more.
    pub(super) fn end(mut self) -> u64 {
        self.dropped = None;
        self.number
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(dropped) = &self.dropped {
            dropped.set(Some(self.number));
        }
    }
}
