//! Charging: read, decide, write if unchanged, decide again if it changed.
//!
//! All policies of a request are charged or none is. First every record is read and asked; only when all have room is any
//! written. Then each record is charged by its own compare-and-swap loop, which decides anew on what it reads after losing.
//! If one turns out full or fails, those charged before it are given back. A record therefore never holds less than what was
//! admitted, so no limit is passed; for a moment it may hold more, and if a refund cannot be written it stays so until the
//! window moves on.

use super::key::{KeySecret, Subject, Subjects, key};
use super::ledger::Ledger;
use super::{Charge, StoreFault, WindowState};
use crate::config::{QuotaPolicy, Quotas, Window};
use crate::host::{Expect, SharedData, UnixMillis, WriteError};
use crate::record::{self, Found, seal};

/// Rounds of a compare-and-swap loop before other workers are taken to have won for good.
pub(super) const ROUNDS: usize = 32;
/// Places that a key may take when others with the same CRC32 hold the first ones.
const SLOTS: usize = 4;

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
    zone: &str,
    subjects: &Subjects<'_>,
    method: &str,
    now: UnixMillis,
    secret: impl FnOnce() -> Result<KeySecret, StoreFault>,
) -> Result<Vec<Account<'a>>, StoreFault> {
    let named: Vec<_> = quotas.policies.iter().map(|policy| (policy, subjects.subject(policy.per))).collect();
    let has_text = named.iter().any(|(_, subject)| matches!(subject, Subject::Text(..)));
    let secret = has_text.then(secret).transpose()?;
    let account = |(policy, subject): &(&'a QuotaPolicy, Subject<'_>)| Account {
        store,
        key: key(zone, subjects.entity, policy, subject, secret.as_ref()),
        policy: policy.name.as_str(),
        windows: subjects.windows(policy).to_vec(),
        cost: policy.cost.get(method).copied().unwrap_or(1),
        now,
    };
    Ok(named.iter().map(account).collect())
}

/// One policy's record for the subject of a request.
struct Account<'a> {
    store: &'a dyn SharedData,
    key: String,
    policy: &'a str,
    windows: Vec<Window>,
    cost: u32,
    now: UnixMillis,
}

/// A record as it was read.
struct Read {
    place: String,
    expect: Expect,
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
        return Charge::Exhausted(states(accounts, &ledgers));
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
            return fault.map_or_else(|| Charge::Exhausted(states(accounts, &ledgers)), Charge::StoreFailed);
        }
    }
    Charge::Charged(states(accounts, &ledgers))
}

impl Account<'_> {
    fn fits(&self, ledger: &Ledger) -> bool {
        ledger.fits(self.now, self.cost)
    }

    /// Reads the record, or the place where it will be.
    fn read(&self) -> Result<Read, StoreFault> {
        for slot in 0..SLOTS {
            let place = if slot == 0 { self.key.clone() } else { format!("{}#{slot}", self.key) };
            let (record, expect) = match record::read(self.store, &place).map_err(|_| StoreFault::Unavailable)? {
                Found::OtherKey => continue,
                Found::Payload(record, expect) => (record, expect),
                Found::Damaged(expect) => (Vec::new(), expect),
                Found::Absent => (Vec::new(), Expect::Absent),
            };
            let ledger = Ledger::read(&record, &self.windows, self.now);
            return Ok(Read { place, expect, ledger });
        }
        Err(StoreFault::Collision)
    }

    /// Charges the record, deciding again whenever somebody else wrote first.
    fn charge(&self, mut read: Read) -> Result<Outcome, StoreFault> {
        for _ in 0..ROUNDS {
            if !self.fits(&read.ledger) {
                return Ok(Outcome::Full(read.ledger));
            }
            let charged = read.ledger.map(|_, counts| counts.charged(self.cost));
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
        for _ in 0..ROUNDS {
            let Ok(read) = self.read() else { break };
            let refunded = read.ledger.map(|index, counts| {
                let span = charged.0.get(index).map_or(counts.span, |(_, counts)| counts.span);
                counts.refunded(span, self.cost)
            });
            match self.write(&read, &refunded) {
                Ok(()) => return refunded,
                Err(WriteError::Changed) => {}
                Err(WriteError::Failed) => break,
            }
        }
        charged.clone()
    }

    fn write(&self, read: &Read, ledger: &Ledger) -> Result<(), WriteError> {
        self.store.set(&read.place, &seal(&read.place, &ledger.write()), read.expect)
    }
}

fn states(accounts: &[Account<'_>], ledgers: &[Ledger]) -> Vec<WindowState> {
    let pairs = accounts.iter().zip(ledgers);
    pairs
        .flat_map(|(account, ledger)| {
            ledger
                .0
                .iter()
                .map(|(window, counts)| {
                    let violated = !counts.fits(*window, account.now, account.cost);
                    let used = counts.used(*window, account.now);
                    let millis = if violated {
                        counts.wait(*window, account.now, account.cost)
                    } else {
                        counts.span_left(*window, account.now)
                    };
                    WindowState {
                        policy: account.policy.to_owned(),
                        window: *window,
                        remaining: u32::try_from(u64::from(window.limit).saturating_sub(used)).unwrap_or(0),
                        reset_seconds: u32::try_from(millis.div_ceil(1000).max(1)).unwrap_or(u32::MAX),
                        violated,
                    }
                })
                .collect::<Vec<_>>()
        })
        .collect()
}
