//! What a request is charged to, under the keys of the node and of the cluster.

use crate::config::{QuotaPolicy, Quotas, Window};
use crate::digest::digest;
use crate::host::{SharedData, UnixMillis};
use crate::quota::StoreFault;
use crate::quota::account::{Account, Read};
use crate::quota::key::{KeySecret, Subject, Subjects, key};
use std::borrow::Cow;
use std::fmt::Write;
use std::rc::Rc;

/// One line a policy.
pub struct Bill {
    pub(super) lines: Vec<BillLine>,
}

/// A policy's record for the subject of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BillLine {
    /// The node's quota zone.
    pub zone: Rc<str>,
    pub policy: Rc<str>,
    /// Its key in the node's shared data.
    pub key: String,
    /// Its key in the engine. The braces around the entity mean nothing any more; without them nodes of two versions would not share
    /// their counts.
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
        let shared_zone: Rc<str> = zone.into();
        let line = |policy: &QuotaPolicy| {
            let subject = subjects.subject(policy.per);
            Ok(BillLine {
                zone: shared_zone.clone(),
                policy: policy.name.clone(),
                key: key(zone, subjects.entity, policy, &subject, &secret)?,
                shared: format!("bk:{{{}}}:{}:{}:{}", subjects.entity, policy.name, policy.per.name(), who(&subject)),
                windows: subjects.windows(policy).to_vec(),
                units: policy.cost_of(method),
            })
        };
        Ok(Self { lines: quotas.policies.iter().map(line).collect::<Result<_, _>>()? })
    }

    /// The node's records, at the engine's time.
    pub(super) fn accounts<'a>(&'a self, store: &'a dyn SharedData, now: UnixMillis) -> Vec<Account<'a>> {
        self.lines.iter().map(|line| line.account(store, now)).collect()
    }
}

impl BillLine {
    pub(super) fn account<'a>(&'a self, store: &'a dyn SharedData, now: UnixMillis) -> Account<'a> {
        Account {
            store,
            zone: &self.zone,
            key: Cow::Borrowed(&self.key),
            policy: &self.policy,
            windows: &self.windows,
            cost: self.units,
            now,
            owes: true,
        }
    }
}

/// Reads all records.
pub(super) fn read(accounts: &[Account<'_>]) -> Result<Vec<Read>, StoreFault> {
    accounts.iter().map(Account::read).collect()
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
