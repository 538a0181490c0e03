//! A record that the workers of a node share, and that one of them at a time renews for all.
//!
//! Each worker has a copy and goes by it. A copy is read anew at most once a second, and where shared data fails or forgets, it goes
//! on as it is. Whoever is to fetch takes a lease first, which stands in the record itself:
//!
//! ```text
//! look ──► Recent | Found | Absent | Damaged | Failed
//! lead ──► Taken
//!          Won(lease) | Alone(lease) ──► renew … ──► settle | release | dropped
//! ```
//!
//! What is damaged, or of a format that this version does not read, is no record: the next write replaces it. Two records whose keys
//! have one CRC32 are kept in different [places](place), and do not disturb each other.

mod format;
mod lease;
pub(crate) mod place;

pub(crate) use lease::{Lease, LeaseState};

use crate::host::{SharedData, StoreFailed, UnixMillis, WriteError};
use crate::record::Checksum;
use lease::Dropped;
use place::{Found, Place};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::{Cell, Ref, RefCell};
use std::time::Duration;

/// How long a worker goes by its copy before it looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Attempts to write before other workers are taken to be at it.
const ROUNDS: usize = 4;

/// What a record has to say of itself.
pub(crate) trait Record: Clone + Default + Serialize + DeserializeOwned {
    /// The format that is written; the one before it is read too.
    const FORMAT: u32;

    /// The lease on it.
    fn lease_state(&self) -> LeaseState;

    /// Changes the lease on it.
    fn set_lease_state(&mut self, state: LeaseState);

    /// Notes that whoever had the lease is gone and leaves the work to others.
    fn note_left(&mut self, now: UnixMillis);

    /// Makes a record that was read the worker's copy, in the place of `before`; `None` for one that cannot be used.
    fn adopt(self, before: &Self, now: UnixMillis) -> Option<Self>;
}

/// What looking came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// This worker looked a moment ago.
    Recent,
    /// There is a record, and the copy is the same.
    Found,
    /// There is none: it was evicted, or never there.
    Absent,
    /// There is something that is none.
    Damaged,
    /// Shared data failed.
    Failed,
}

/// Who fetches for the node.
pub(crate) enum Lead {
    /// This worker.
    Won(Lease),
    /// Shared data failed, so that every worker is left to itself.
    Alone(Lease),
    /// Another, or another part of this worker.
    Taken,
}

/// How a change went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Written,
    /// Shared data failed; the copy has changed.
    Alone,
    /// It was not wanted, by what the record says now.
    Declined,
    /// Others wrote first each time.
    Lost,
}

/// A record, and this worker's copy of it.
pub(crate) struct SharedRecord<T> {
    key: String,
    state: RefCell<RecordState<T>>,
    dropped: Dropped,
    /// Whether a lease of this worker's was given back before anything was settled, and not taken up since.
    is_left: Cell<bool>,
    faults: Cell<u64>,
}

#[derive(Default)]
struct RecordState<T> {
    copy: T,
    /// What the copy was read from or written as.
    seen: Option<Checksum>,
    looked: Option<UnixMillis>,
}

impl<T: Record> SharedRecord<T> {
    pub(crate) fn new(key: String) -> Self {
        let (state, dropped, is_left, faults) = Default::default();
        Self { key, state, dropped, is_left, faults }
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// This worker's copy.
    pub(crate) fn copy(&self) -> Ref<'_, T> {
        Ref::map(self.state.borrow(), |state| &state.copy)
    }

    /// Looks, unless this worker did a moment ago.
    pub(crate) fn look(&self, store: &dyn SharedData, now: UnixMillis) -> Look {
        self.give_back_dropped(store, now);
        let looked = self.state.borrow().looked;
        let is_recent = looked.is_some_and(|looked| looked <= now && now.since(looked) < LOOK_AGAIN);
        if is_recent { Look::Recent } else { self.look_now(store, now) }
    }

    /// Looks, whether or not this worker did a moment ago.
    pub(crate) fn look_now(&self, store: &dyn SharedData, now: UnixMillis) -> Look {
        self.give_back_dropped(store, now);
        self.state.borrow_mut().looked = Some(now);
        self.read(store, now).0
    }

    /// Takes the lease for `span`, if nobody has it. `prepare` changes what else the record says by that.
    pub(crate) fn lead(
        &self,
        store: &dyn SharedData,
        now: UnixMillis,
        span: Duration,
        prepare: &mut dyn FnMut(&mut T),
    ) -> Lead {
        self.give_back_dropped(store, now);
        let mut number = 0;
        let change = self.change(store, now, &mut |record| {
            let held = record.lease_state();
            if held.until > now.0 {
                return false;
            }
            number = held.number.wrapping_add(1);
            record.set_lease_state(LeaseState { until: now.after(span).0, number });
            prepare(record);
            true
        });
        let lead = match change {
            Change::Written => Lead::Won,
            Change::Alone => Lead::Alone,
            Change::Declined | Change::Lost => return Lead::Taken,
        };
        self.is_left.set(false);
        lead(Lease::new(number, &self.dropped))
    }

    /// Keeps the lease for another `span`; false where it is another's by now.
    pub(crate) fn renew(&self, store: &dyn SharedData, now: UnixMillis, lease: &Lease, span: Duration) -> bool {
        let number = lease.number();
        let until = now.after(span).0;
        let change = self.change(store, now, &mut |record| {
            let is_ours = record.lease_state().number == number;
            if is_ours {
                record.set_lease_state(LeaseState { until, number });
            }
            is_ours
        });
        matches!(change, Change::Written | Change::Alone)
    }

    /// Gives the lease back before anything is settled, where it is still this worker's. `note` changes what else the record says.
    pub(crate) fn release(&self, store: &dyn SharedData, now: UnixMillis, lease: Lease, note: &mut dyn FnMut(&mut T)) {
        self.give_back(store, now, lease.end(), note);
    }

    /// Gives the lease back because whoever had it is gone.
    pub(crate) fn leave(&self, store: &dyn SharedData, now: UnixMillis, lease: Lease) {
        self.release(store, now, lease, &mut |record| record.note_left(now));
    }

    /// Whether a lease of this worker's was given back before anything was settled, so that somebody should take it up.
    pub(crate) fn is_left(&self) -> bool {
        self.is_left.get() || self.dropped.get().is_some()
    }

    /// Notes what fetching came to, which ends the lease, whoever has it. Whatever shared data makes of it, this worker goes by it.
    pub(crate) fn settle(
        &self,
        store: &dyn SharedData,
        now: UnixMillis,
        lease: Option<Lease>,
        note: &mut dyn FnMut(&mut T),
    ) {
        lease.map(Lease::end);
        let mut settle = |record: &mut T| {
            record.set_lease_state(LeaseState { until: 0, ..record.lease_state() });
            note(record);
            true
        };
        if self.change(store, now, &mut settle) == Change::Lost {
            settle(&mut self.state.borrow_mut().copy);
        }
    }

    /// Counts a fault of shared data.
    pub(crate) fn count_fault(&self) {
        self.faults.set(self.faults.get().saturating_add(1));
    }

    /// Faults of shared data since the last call.
    pub(crate) fn take_faults(&self) -> u64 {
        self.faults.take()
    }

    fn give_back_dropped(&self, store: &dyn SharedData, now: UnixMillis) {
        if let Some(number) = self.dropped.take() {
            self.give_back(store, now, number, &mut |record| record.note_left(now));
        }
    }

    fn give_back(&self, store: &dyn SharedData, now: UnixMillis, number: u64, note: &mut dyn FnMut(&mut T)) {
        let change = self.change(store, now, &mut |record| {
            let is_ours = record.lease_state().number == number && record.lease_state().until > 0;
            if is_ours {
                record.set_lease_state(LeaseState { until: 0, number });
                note(record);
            }
            is_ours
        });
        if change != Change::Declined {
            self.is_left.set(true);
        }
    }

    /// Reads the record, lets `decide` change it, and writes it if nobody else wrote; decides again where somebody did. Nothing is
    /// written where `decide` says no.
    fn change(&self, store: &dyn SharedData, now: UnixMillis, decide: &mut dyn FnMut(&mut T) -> bool) -> Change {
        for _ in 0..ROUNDS {
            let (_, place) = self.read(store, now);
            let mut record = self.copy().clone();
            if !decide(&mut record) {
                return Change::Declined;
            }
            let written = place.and_then(|place| self.write(store, place, &record));
            let (change, seen) = match written {
                Ok(checksum) => (Change::Written, Some(checksum)),
                Err(WriteError::Changed) => continue,
                Err(WriteError::Failed) => (Change::Alone, None),
            };
            let mut state = self.state.borrow_mut();
            (state.copy, state.seen) = (record, seen);
            return change;
        }
        Change::Lost
    }

    fn write(&self, store: &dyn SharedData, place: Place, record: &T) -> Result<Checksum, WriteError> {
        let payload = format::write(T::FORMAT, record).ok_or(WriteError::Failed)?;
        let written = place.write(store, &self.key, &payload);
        if written == Err(WriteError::Failed) {
            self.count_fault();
        }
        written
    }

    /// Reads the record, and makes it the copy where it is another. Gives the place to write to.
    fn read(&self, store: &dyn SharedData, now: UnixMillis) -> (Look, Result<Place, WriteError>) {
        let mut state = self.state.borrow_mut();
        let found = place::find(store, &self.key, &mut |payload, checksum| {
            if state.seen == Some(checksum) {
                return true;
            }
            let record = format::read::<T>(T::FORMAT, payload).and_then(|record| record.adopt(&state.copy, now));
            let is_read = record.is_some();
            if let Some(record) = record {
                (state.copy, state.seen) = (record, Some(checksum));
            }
            is_read
        });
        drop(state);
        let (look, is_fault) = match found {
            Ok(Found::Value(_)) => (Look::Found, false),
            Ok(Found::Absent(_)) => (Look::Absent, false),
            Ok(Found::Damaged(_)) => (Look::Damaged, true),
            Err(StoreFailed) => (Look::Failed, true),
        };
        if is_fault {
            self.count_fault();
        }
        (look, found.map(Found::place).map_err(|StoreFailed| WriteError::Failed))
    }
}

#[cfg(test)]
mod tests;
