//! What a node's workers know together of one key set.

use super::FetchResult;
use super::fetch::News;
use crate::host::UnixMillis;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The record in shared data. Times are milliseconds since the epoch, 0 for never.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
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
    /// Until when somebody fetches.
    pub leased_until: u64,
    /// The set as the provider sent it.
    pub jwks: Option<String>,
    /// Where the provider's metadata says that the set is.
    pub jwks_uri: Option<String>,
    /// When it said so.
    pub discovered: u64,
}

impl Record {
    pub(super) fn age(&self, now: UnixMillis) -> Duration {
        now.since(UnixMillis(self.fetched))
    }

    /// Notes a set that has come and gives the lease back.
    pub(super) fn succeed(&mut self, now: UnixMillis, news: &News, refresh_at: UnixMillis) {
        (self.leased_until, self.failures, self.retry_at) = (0, 0, 0);
        (self.fetched, self.refresh_at) = (now.0, refresh_at.0);
        self.jwks = Some(news.text.clone());
        if let Some(uri) = &news.found {
            (self.jwks_uri, self.discovered) = (Some(uri.clone()), now.0);
        }
    }

    /// Notes a failure and gives the lease back. An answer without a key is none: the provider is there, and may have its
    /// first key soon.
    pub(super) fn fail(&mut self, fault: FetchResult, retry_at: impl FnOnce(u32) -> UnixMillis) {
        self.leased_until = 0;
        let failures = if fault == FetchResult::Empty {
            1
        } else {
            self.failures = self.failures.saturating_add(1);
            self.failures
        };
        self.retry_at = retry_at(failures).0;
    }
}
