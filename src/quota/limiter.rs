//! Charging: read, decide, write if unchanged, decide again if it changed.
//!
//! All policies of a request are charged or none is. First every record is read and asked; only when all have room is any
//! written. Then each record is charged by its own compare-and-swap loop, which decides anew on what it reads after losing.
//! If one turns out full or fails, those charged before it are given back.
//!
//! **Why no limit is passed.** A request passes only after each of its records was written with its cost in it, and each
//! write took the place of exactly the counts that had room for it. What is given back was charged by a request that did not
//! pass, to the same record: where that was lost and made again, [`Ledger::refunded`] leaves the charges of others alone. So
//! a record never holds less than what was admitted in its life. For a moment it may hold more, and then refuse a request
//! that had room; if a refund cannot be written it stays so until the window moves on. What a host drops from a full zone is
//! forgotten, and counts from zero.

use super::key::{KeySecret, Subject, Subjects, is_quota_of, key};
use super::ledger::Ledger;
use super::slots::{self, Place};
use super::{Charge, StoreFault, WindowState};
use crate::config::{QuotaPolicy, Quotas, Window};
use crate::host::{SharedData, UnixMillis, WriteError};
use crate::record::seal;

/// Rounds of a compare-and-swap loop before other workers are taken to have won for good.
pub(super) const ROUNDS: usize = 32;

/// Charges a request to all policies, or to none.
pub fn charge(
    store: &dyn SharedData,
    quotas: &Quotas,
    zone: &str,
    subjects: &Subjects<'_>,
    method: &str,
    now: UnixMillis,
    secret: impl FnOnce() -> Result<KeySecret, StoreFault>,
) -> Charge {
    match accounts(store, quotas, zone, subjects, method, now, secret) {
        Ok(accounts) => charge_all(&accounts),
        Err(fault) => Charge::StoreFailed(fault),
    }
}

fn accounts<'a>(
    store: &'a dyn SharedData,
    quotas: &'a Quotas,
    zone: &'a str,
    subjects: &Subjects<'_>,
    method: &str,
    now: UnixMillis,
    secret: impl FnOnce() -> Result<KeySecret, StoreFault>,
) -> Result<Vec<Account<'a>>, StoreFault> {
    let named: Vec<_> = quotas.policies.iter().map(|policy| (policy, subjects.subject(policy.per))).collect();
    let is_hashed = named.iter().any(|(_, subject)| matches!(subject, Subject::Hashed(_)));
    let secret = is_hashed.then(secret).transpose()?;
    let account = |(policy, subject): &(&'a QuotaPolicy, Subject<'_>)| Account {
        store,
        zone,
        key: key(zone, subjects.entity, policy, subject, secret.as_ref()),
        policy: policy.name.as_str(),
        windows: subjects.windows(policy).to_vec(),
        cost: policy.cost_of(method),
        now,
    };
    Ok(named.iter().map(account).collect())
}

/// One policy's record for the subject of a request.
struct Account<'a> {
    store: &'a dyn SharedData,
    zone: &'a str,
    key: String,
    policy: &'a str,
    windows: Vec<Window>,
    cost: u32,
    now: UnixMillis,
}

/// A record as it was read.
struct Read {
    place: Place,
    ledger: Ledger,
}

/// What charging one record came to.
enum Outcome {
    Charged(Ledger),
    Full(Ledger),
}

fn charge_all(accounts: &[Account<'_>]) -> Charge {
    let reads: Result<Vec<_>, _> = accounts.iter().map(Account::read).collect();
    let reads = match reads {
        Ok(reads) => reads,
        Err(fault) => return Charge::StoreFailed(fault),
    };
    let mut ledgers: Vec<_> = reads.iter().map(|read| read.ledger.clone()).collect();
    if accounts.iter().zip(&ledgers).any(|(account, ledger)| !account.fits(ledger)) {
        for (account, read) in accounts.iter().zip(&reads).filter(|(_, read)| read.ledger.is_moved) {
            // Whoever comes next tries again.
            let _ = account.write(read, &read.ledger);
        }
        return Charge::Exhausted(states(accounts, &ledgers, false));
    }
    for (index, (account, read)) in accounts.iter().zip(reads).enumerate() {
        let outcome = account.charge(read);
        let (ledger, result) = match outcome {
            Ok(Outcome::Charged(ledger)) => (Some(ledger), None),
            Ok(Outcome::Full(ledger)) => (Some(ledger), Some(None)),
            Err(fault) => (None, Some(Some(fault))),
        };
        if let (Some(slot), Some(ledger)) = (ledgers.get_mut(index), ledger) {
            *slot = ledger;
        }
        if let Some(fault) = result {
            for (account, ledger) in accounts.iter().zip(&mut ledgers).take(index) {
                *ledger = account.refund(ledger);
            }
            return fault.map_or_else(|| Charge::Exhausted(states(accounts, &ledgers, false)), Charge::StoreFailed);
        }
    }
    Charge::Charged(states(accounts, &ledgers, true))
}

impl Account<'_> {
    fn fits(&self, ledger: &Ledger) -> bool {
        ledger.fits(self.now, self.cost)
    }

    /// Reads the record, or the place where it will be. A place of another quota record that no longer counts is free.
    fn read(&self) -> Result<Read, StoreFault> {
        let is_free = |key: &str, record: &[u8]| is_quota_of(self.zone, key) && Ledger::is_idle(record, self.now);
        let place = slots::find(self.store, &self.key, &Ledger::is_known, &is_free)?;
        let record = place.held.as_deref().and_then(|record| Ledger::read(record, &self.windows, self.now));
        let ledger = record.unwrap_or_else(|| Ledger::begin(&self.windows, self.now));
        Ok(Read { place, ledger })
    }

    /// Charges the record, deciding again whenever somebody else wrote first. What costs nothing is not written.
    fn charge(&self, mut read: Read) -> Result<Outcome, StoreFault> {
        if self.cost == 0 {
            return Ok(Outcome::Charged(read.ledger));
        }
        for _ in 0..ROUNDS {
            if !self.fits(&read.ledger) {
                return Ok(Outcome::Full(read.ledger));
            }
            let charged = read.ledger.charged(self.cost);
            match self.write(&read, &charged) {
                Ok(()) => return Ok(Outcome::Charged(charged)),
                Err(WriteError::Changed) => read = self.read()?,
                Err(WriteError::Failed) => return Err(StoreFault::Unavailable),
            }
        }
        Err(StoreFault::Contended)
    }

    /// Gives back what `charged` says was taken. The ledger as it then stands, or as it was where it cannot be written.
    fn refund(&self, charged: &Ledger) -> Ledger {
        if self.cost == 0 {
            return charged.clone();
        }
        for _ in 0..ROUNDS {
            let Ok(read) = self.read() else { break };
            if read.place.is_torn {
                continue;
            }
            let Some(refunded) = read.ledger.refunded(charged, self.cost) else { return read.ledger };
            match self.write(&read, &refunded) {
                Ok(()) => return refunded,
                Err(WriteError::Changed) => {}
                Err(WriteError::Failed) => break,
            }
        }
        charged.clone()
    }

    fn write(&self, read: &Read, ledger: &Ledger) -> Result<(), WriteError> {
        self.store.set(&read.place.at, &seal(&read.place.at, &ledger.write()), read.place.expect)
    }
}

/// The states of all windows; where the request `is_charged`, none of them refused it.
fn states(accounts: &[Account<'_>], ledgers: &[Ledger], is_charged: bool) -> Vec<WindowState> {
    let windows = accounts
        .iter()
        .zip(ledgers)
        .flat_map(|(account, ledger)| ledger.windows.iter().map(move |(window, counts)| (account, *window, *counts)));
    windows
        .map(|(account, window, counts)| {
            let is_full = account.cost > 0 && !counts.fits(window, account.now, account.cost);
            let millis = if is_full {
                counts.wait(window, account.now, account.cost)
            } else {
                counts.span_left(window, account.now)
            };
            let used = counts.used(window, account.now);
            WindowState {
                policy: account.policy.to_owned(),
                window,
                remaining: u32::try_from(u64::from(window.limit).saturating_sub(used)).unwrap_or(0),
                reset_seconds: u32::try_from(millis.div_ceil(1000).max(1)).unwrap_or(u32::MAX),
                violated: is_full && !is_charged,
            }
        })
        .collect()
}
