//! One policy's record for the subject of a request, in shared data.

use super::ledger::Ledger;
use super::slots::{self, ROUNDS, Slot};
use super::{StoreFault, key};
use crate::config::Window;
use crate::host::{SharedData, UnixMillis, WriteError};
use crate::record::seal_with;
use std::borrow::Cow;
use std::convert::Infallible;
use std::rc::Rc;

/// A record, and what is charged to it.
pub(super) struct Account<'a> {
    pub store: &'a dyn SharedData,
    pub zone: &'a str,
    pub key: Cow<'a, str>,
    pub policy: &'a Rc<str>,
    pub windows: &'a [Window],
    pub cost: u32,
    pub now: UnixMillis,
    /// Whether the cluster's engine has to be told of what is charged.
    pub owes: bool,
}

/// A record as it was read.
pub(super) struct Read {
    pub place: Slot,
    pub ledger: Ledger,
}

/// What charging one record came to.
pub(super) enum ChargeOutcome {
    Charged(Ledger),
    Full(Ledger),
}

impl Account<'_> {
    pub(super) fn fits(&self, ledger: &Ledger) -> bool {
        ledger.fits(self.now, self.cost)
    }

    /// Reads the record, or the place where it will be. A place of another quota record that no longer counts is free.
    pub(super) fn read(&self) -> Result<Read, StoreFault> {
        let is_free = |key: &str, record: &[u8]| key::is_quota_of(self.zone, key) && Ledger::is_idle(record, self.now);
        let read = |record: &[u8]| Ledger::read(record, self.windows, self.now);
        let (place, ledger) = slots::find(self.store, &self.key, read, is_free)?;
        let ledger = ledger.unwrap_or_else(|| Ledger::begin(self.windows, self.now));
        Ok(Read { place, ledger })
    }

    /// Charges the record, which has room, deciding again whenever somebody else wrote first. What costs nothing is not written.
    pub(super) fn charge(&self, read: Read) -> Result<ChargeOutcome, StoreFault> {
        self.commit(read, |ledger| self.fits(ledger), |ledger| ledger.charged(self.cost).owing(self.debt()))
    }

    /// Changes the record, of which `is_allowed` holds, in the same way.
    pub(super) fn commit(
        &self,
        mut read: Read,
        is_allowed: impl Fn(&Ledger) -> bool,
        change: impl Fn(Ledger) -> Ledger,
    ) -> Result<ChargeOutcome, StoreFault> {
        if self.cost == 0 {
            return Ok(ChargeOutcome::Charged(read.ledger));
        }
        for _ in 0..ROUNDS {
            let changed = change(read.ledger);
            match self.write(&read.place, &changed) {
                Ok(()) => return Ok(ChargeOutcome::Charged(changed)),
                Err(WriteError::Changed) => read = self.read()?,
                Err(WriteError::Failed) => return Err(StoreFault::Unavailable),
            }
            if !is_allowed(&read.ledger) {
                return Ok(ChargeOutcome::Full(read.ledger));
            }
        }
        Err(StoreFault::Contended)
    }

    /// Gives back what `charged` says was taken. The ledger as it then stands, or as it was where it cannot be written.
    pub(super) fn refund(&self, charged: &Ledger) -> Ledger {
        if self.cost == 0 {
            return charged.clone();
        }
        for _ in 0..ROUNDS {
            let Ok(read) = self.read() else { break };
            if read.place.is_torn {
                continue;
            }
            let Some(refunded) = read.ledger.refunded(charged, self.cost) else { return read.ledger };
            let refunded = refunded.forgiven(self.debt());
            match self.write(&read.place, &refunded) {
                Ok(()) => return refunded,
                Err(WriteError::Changed) => {}
                Err(WriteError::Failed) => break,
            }
        }
        charged.clone()
    }

    /// Changes the record whatever it holds. `None` where it could not be written.
    pub(super) fn change(&self, change: impl Fn(&Ledger) -> Ledger) -> Option<Ledger> {
        let Ok((changed, ())) = self.try_change(|ledger| Ok::<_, Infallible>((change(ledger), ())))?;
        Some(changed)
    }

    /// Changes the record unless `change` says why not. `None` where it could not be written.
    pub(super) fn try_change<T, E>(
        &self,
        change: impl Fn(&Ledger) -> Result<(Ledger, T), E>,
    ) -> Option<Result<(Ledger, T), E>> {
        for _ in 0..ROUNDS {
            let read = self.read().ok()?;
            let changed = match change(&read.ledger) {
                Ok(changed) => changed,
                Err(why) => return Some(Err(why)),
            };
            match self.write(&read.place, &changed.0) {
                Ok(()) => return Some(Ok(changed)),
                Err(WriteError::Changed) => {}
                Err(WriteError::Failed) => return None,
            }
        }
        None
    }

    fn debt(&self) -> u32 {
        if self.owes { self.cost } else { 0 }
    }

    pub(super) fn write(&self, place: &Slot, ledger: &Ledger) -> Result<(), WriteError> {
        let at = place.at(&self.key);
        let record = seal_with(&at, ledger.size(), |record| ledger.write(record));
        self.store.set(&at, &record, place.expect)
    }
}
