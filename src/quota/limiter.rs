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

use super::account::{Account, ChargeOutcome, Read};
use super::key::{KeySecret, Subjects, key};
use super::ledger::Ledger;
use super::window::{self, Counts};
use super::{Charge, StoreFault, WindowState};
use crate::config::{QuotaPolicy, Quotas, Window};
use crate::host::{SharedData, UnixMillis};
use std::borrow::Cow;
use std::rc::Rc;

/// Charges a request to all policies, or to none.
pub fn charge(
    store: &dyn SharedData,
    quotas: &Quotas,
    zone: &str,
    subjects: &Subjects<'_>,
    method: &str,
    now: UnixMillis,
    secret: impl Fn() -> Result<KeySecret, StoreFault>,
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
    secret: impl Fn() -> Result<KeySecret, StoreFault>,
) -> Result<Vec<Account<'a>>, StoreFault> {
    let account = |policy: &'a QuotaPolicy| {
        Ok(Account {
            store,
            zone,
            key: Cow::Owned(key(zone, subjects.entity, policy, &subjects.subject(policy.per), &secret)?),
            policy: &policy.name,
            windows: subjects.windows(policy),
            cost: policy.cost_of(method),
            now,
            owes: false,
        })
    };
    quotas.policies.iter().map(account).collect()
}

/// Charges all accounts or none.
fn charge_all(accounts: &[Account<'_>]) -> Charge {
    match accounts.iter().map(Account::read).collect() {
        Ok(reads) => charge_read(accounts, reads),
        Err(fault) => Charge::StoreFailed(fault),
    }
}

/// Charges all accounts, or none, as they were read.
pub(super) fn charge_read(accounts: &[Account<'_>], reads: Vec<Read>) -> Charge {
    if accounts.iter().zip(&reads).any(|(account, read)| !account.fits(&read.ledger)) {
        for (account, read) in accounts.iter().zip(&reads).filter(|(_, read)| read.ledger.is_moved) {
            // Whoever comes next tries again.
            let _ = account.write(&read.place, &read.ledger);
        }
        let ledgers: Vec<_> = reads.into_iter().map(|read| read.ledger).collect();
        return Charge::Exhausted(states(accounts, &ledgers, false));
    }
    let mut ledgers = Vec::with_capacity(reads.len());
    let mut pairs = accounts.iter().zip(reads);
    while let Some((account, read)) = pairs.next() {
        let full = match account.charge(read) {
            Ok(ChargeOutcome::Charged(ledger)) => {
                ledgers.push(ledger);
                continue;
            }
            Ok(ChargeOutcome::Full(ledger)) => Ok(ledger),
            Err(fault) => Err(fault),
        };
        for (account, ledger) in accounts.iter().zip(&mut ledgers) {
            *ledger = account.refund(ledger);
        }
        return match full {
            Ok(full) => {
                ledgers.push(full);
                ledgers.extend(pairs.map(|(_, read)| read.ledger));
                Charge::Exhausted(states(accounts, &ledgers, false))
            }
            Err(fault) => Charge::StoreFailed(fault),
        };
    }
    Charge::Charged(states(accounts, &ledgers, true))
}

/// The states of all windows; where the request `is_charged`, none of them refused it.
pub(super) fn states(accounts: &[Account<'_>], ledgers: &[Ledger], is_charged: bool) -> Vec<WindowState> {
    let windows = accounts
        .iter()
        .zip(ledgers)
        .flat_map(|(account, ledger)| ledger.windows.iter().map(move |(window, counts)| (account, *window, *counts)));
    windows
        .map(|(account, window, counts)| state(account.policy, window, counts, account.cost, account.now, is_charged))
        .collect()
}

/// The state of one window.
pub(super) fn state(
    policy: &Rc<str>,
    window: Window,
    counts: Counts,
    cost: u32,
    now: UnixMillis,
    is_charged: bool,
) -> WindowState {
    let used = counts.used(window, now);
    let is_full = cost > 0 && !window::has_room(window, used, cost);
    let millis = if is_full { counts.wait(window, now, cost) } else { counts.span_left(window, now) };
    WindowState {
        policy: policy.clone(),
        window,
        remaining: u32::try_from(u64::from(window.limit).saturating_sub(used)).unwrap_or(0),
        reset_seconds: u32::try_from(millis.div_ceil(1000).max(1)).unwrap_or(u32::MAX),
        violated: is_full && !is_charged,
    }
}
