//! What a node's workers know together of one key set.

use super::FetchResult;
use crate::host::{Expect, SharedData, StoreFailed, UnixMillis, WriteError};
use crate::record::{self, Found, seal};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The record in shared data. Times are milliseconds since the epoch, 0 for never.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// When the set came.
    pub fetched: u64,
    /// When an attempt last failed or brought no key.
    pub failed: u64,
    /// Failures since the last success.
    pub failures: u32,
    /// Until when somebody fetches.
    pub leased_until: u64,
    /// The set as the provider sent it.
    pub jwks: Option<String>,
}

impl Record {
    pub(super) fn age(&self, now: UnixMillis) -> Duration {
        now.since(UnixMillis(self.fetched))
    }

    /// Whether the provider answered, but never with a key.
    pub(super) fn is_empty_answer(&self) -> bool {
        self.jwks.is_none() && self.failed > 0
    }

    /// Notes how an attempt ended and gives the lease back.
    pub(super) fn settle(&mut self, now: UnixMillis, result: FetchResult, jwks: Option<&str>) {
        self.leased_until = 0;
        match (result, jwks) {
            (FetchResult::Fetched, Some(jwks)) => {
                self.fetched = now.0;
                self.failures = 0;
                self.jwks = Some(jwks.to_owned());
            }
            (FetchResult::Empty, _) => self.failed = now.0,
            _ => {
                self.failed = now.0;
                self.failures = self.failures.saturating_add(1);
            }
        }
    }
}

/// A record with the version under which it was read.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    pub record: Record,
    pub version: Option<Expect>,
}

/// How a write went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    Done,
    Changed,
    Failed,
}

impl Held {
    /// Reads the record. One that is damaged, or another key's, is taken for a fault: this worker then goes by its own memory.
    pub(super) fn read(store: &dyn SharedData, key: &str) -> Result<Option<Self>, StoreFailed> {
        match record::read(store, key)? {
            Found::Absent => Ok(None),
            Found::Payload(payload, expect) => {
                let record = serde_json::from_slice(&payload).map_err(|_| StoreFailed)?;
                Ok(Some(Self { record, version: Some(expect) }))
            }
            Found::OtherKey | Found::Damaged(_) => Err(StoreFailed),
        }
    }

    /// Writes the record if nobody else did since it was read. The new version is not known, so the next look reads it.
    pub(super) fn write(&mut self, store: &dyn SharedData, key: &str) -> Write {
        let Ok(payload) = serde_json::to_vec(&self.record) else { return Write::Failed };
        match store.set(key, &seal(key, &payload), self.version.unwrap_or(Expect::Absent)) {
            Ok(()) => {
                self.version = None;
                Write::Done
            }
            Err(WriteError::Changed) => Write::Changed,
            Err(WriteError::Failed) => Write::Failed,
        }
    }
}
