//! What a request is charged to, under the keys of the node and of the cluster.

use crate::config::{QuotaPolicy, Quotas, Window};
use crate::digest::digest;
use crate::host::{SharedData, UnixMillis};
use crate::quota::account::{Account, Read};
use crate::quota::key::{KeySecret, Subject, Subjects, key};
use crate::quota::{Charge, StoreFault, limiter};
use std::borrow::Cow;
use std::fmt::Write;
use std::rc::Rc;
use std::time::Duration;

/// One line a policy.
pub struct Bill {
    pub(super) zone: String,
    pub(super) lines: Vec<Line>,
}

/// A policy's record for the subject of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub policy: Rc<str>,
    /// Its key in the node's shared data.
    pub key: String,
    /// Its key in the engine.
    pub shared: String,
    pub windows: Vec<Window>,
    pub units: u32,
}

impl Bill {
    /// The bill of a request.
    ///
    /// # Errors
    /// [`StoreFault`] where the node's own keys cannot be made.
    pub fn new(
        quotas: &Quotas,
        zone: &str,
        subjects: &Subjects<'_>,
        method: &str,
        secret: impl Fn() -> Result<KeySecret, StoreFault>,
    ) -> Result<Self, StoreFault> {
        let line = |policy: &QuotaPolicy| {
            let subject = subjects.subject(policy.per);
            Ok(Line {
                policy: policy.name.clone(),
                key: key(zone, subjects.entity, policy, &subject, &secret)?,
                shared: format!("bk:{{{}}}:{}:{}:{}", subjects.entity, policy.name, policy.per.name(), who(&subject)),
                windows: subjects.windows(policy).to_vec(),
                units: policy.cost_of(method),
            })
        };
        Ok(Self { zone: zone.to_owned(), lines: quotas.policies.iter().map(line).collect::<Result<_, _>>()? })
    }

    /// Charges the node's records, and notes what the engine is owed.
    pub fn charge(&self, store: &dyn SharedData, now: UnixMillis) -> Charge {
        match self.read(store, now) {
            Ok((accounts, reads)) => limiter::charge_read(&accounts, reads),
            Err(fault) => Charge::StoreFailed(fault),
        }
    }

    /// The same where the node's counts came from the engine no longer than `age` ago; `None` where they are older.
    pub fn charge_known(&self, store: &dyn SharedData, now: UnixMillis, age: Duration) -> Option<Charge> {
        match self.read(store, now) {
            Ok((_, reads)) if reads.iter().any(|read| is_out_of_step(read.ledger.synced, now, age)) => None,
            Ok((accounts, reads)) => Some(limiter::charge_read(&accounts, reads)),
            Err(fault) => Some(Charge::StoreFailed(fault)),
        }
    }

    fn read<'a>(
        &'a self,
        store: &'a dyn SharedData,
        now: UnixMillis,
    ) -> Result<(Vec<Account<'a>>, Vec<Read>), StoreFault> {
        let accounts: Vec<_> = self.lines.iter().map(|line| line.account(store, &self.zone, now)).collect();
        let reads = accounts.iter().map(Account::read).collect::<Result<_, _>>()?;
        Ok((accounts, reads))
    }
}

impl Line {
    pub(super) fn account<'a>(&'a self, store: &'a dyn SharedData, zone: &'a str, now: UnixMillis) -> Account<'a> {
        Account {
            store,
            zone,
            key: Cow::Borrowed(&self.key),
            policy: &self.policy,
            windows: &self.windows,
            cost: self.units,
            now,
            owes: true,
        }
    }

    /// Records with the same tag are in one slot of a Redis Cluster, and may stand in one call.
    pub(super) fn tag(&self) -> &str {
        self.shared.split_once('}').map_or(self.shared.as_str(), |(tag, _)| tag)
    }
}

/// Whether two times are more than `age` apart. The engine's clock may have been set back; then what was told before does
/// not count, rather than for ever.
fn is_out_of_step(synced: UnixMillis, now: UnixMillis, age: Duration) -> bool {
    now.since(synced).max(synced.since(now)) > age
}

/// A subject in a key of the engine. What clients may have chosen is hashed, for length and for discretion.
fn who(subject: &Subject<'_>) -> String {
    match subject {
        Subject::Entity(entity) => entity.to_string(),
        Subject::Hashed(parts) => {
            let sizes = parts.map(|part| u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            let pairs = parts.iter().zip(&sizes).flat_map(|(part, size)| [size.as_slice(), part.as_bytes()]);
            let hash: [u8; 16] = digest(&pairs.collect::<Vec<_>>());
            hash.iter().fold(String::with_capacity(32), |mut text, byte| {
                // Writing to a String does not fail.
                let _ = write!(text, "{byte:02x}");
                text
            })
        }
        Subject::Anonymous => "anonymous".to_owned(),
    }
}
