//! What a node's workers know together of one key set.

use super::FetchResult;
use super::fetch::News;
use crate::host::UnixMillis;
use crate::jose::KeySet;
use crate::shared_record::{self, LeaseState};
use serde::{Deserialize, Serialize};
use std::rc::Rc;
use std::time::Duration;

/// The record in shared data. Times are milliseconds since the epoch, 0 for never.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct KeySetRecord {
    /// When the set came.
    pub fetched: u64,
    /// When it is to be fetched anew.
    pub refresh_at: u64,
    /// Failures since the last success.
    pub failures: u32,
    /// Before when nobody tries again, after a failure or an answer without a key.
    pub retry_at: u64,
    /// When a token's unknown key last made somebody fetch.
    pub asked: u64,
    /// Whether the last to fetch went away before the answer came.
    pub unanswered: bool,
    /// Until when somebody fetches.
    pub leased_until: u64,
    /// Which fetch that is.
    pub fetch: u64,
    /// The set as the provider sent it.
    pub jwks: Option<String>,
    /// The same, as keys.
    #[serde(skip)]
    pub keys: Option<Rc<KeySet>>,
    /// Where the provider's metadata says that the set is.
    pub jwks_uri: Option<String>,
    /// When it said so.
    pub discovered: u64,
}

impl shared_record::Record for KeySetRecord {
    /// Format 1 had neither `fetch` nor `unanswered`.
    const FORMAT: u32 = 2;

    fn lease_state(&self) -> LeaseState {
        LeaseState { until: self.leased_until, number: self.fetch }
    }

    fn set_lease_state(&mut self, state: LeaseState) {
        (self.leased_until, self.fetch) = (state.until, state.number);
    }

    /// What a request wanted that is gone, a tick fetches.
    fn note_left(&mut self, now: UnixMillis) {
        self.refresh_at = self.refresh_at.min(now.0);
        self.unanswered = true;
    }

    /// A record with an older set than this worker's, or with none, as one that was begun anew after an eviction, leaves this worker
    /// its own.
    fn adopt(mut self, before: &Self, now: UnixMillis) -> Option<Self> {
        if self.fetched < before.fetched && before.fetched <= now.0 {
            (self.fetched, self.discovered) = (before.fetched, before.discovered);
            self.jwks.clone_from(&before.jwks);
            self.keys.clone_from(&before.keys);
            self.jwks_uri.clone_from(&before.jwks_uri);
        } else if self.jwks == before.jwks {
            self.keys.clone_from(&before.keys);
        } else if let Some(text) = &self.jwks {
            self.keys = Some(Rc::new(KeySet::parse(text.as_bytes()).ok()?));
        }
        Some(self)
    }
}

impl KeySetRecord {
    pub(super) fn age(&self, now: UnixMillis) -> Duration {
        now.since(UnixMillis(self.fetched))
    }

    /// Notes a set that has come.
    pub(super) fn succeed(&mut self, now: UnixMillis, news: &News, refresh_at: UnixMillis) {
        (self.failures, self.retry_at, self.unanswered) = (0, 0, false);
        (self.fetched, self.refresh_at) = (now.0, refresh_at.0);
        (self.jwks, self.keys) = (Some(news.text.clone()), Some(news.keys.clone()));
        if let Some(uri) = &news.found {
            (self.jwks_uri, self.discovered) = (Some(uri.clone()), now.0);
        }
    }

    /// Notes a failure. An answer without a key is none: the provider is there, and may have its first key soon.
    pub(super) fn fail(&mut self, fault: FetchResult, retry_at: impl FnOnce(u32) -> UnixMillis) {
        self.unanswered = false;
        let failures = if fault == FetchResult::Empty {
            1
        } else {
            self.failures = self.failures.saturating_add(1);
            self.failures
        };
        self.retry_at = retry_at(failures).0;
    }
}
