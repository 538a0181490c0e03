//! What a node's workers know together of one catalog.

use crate::host::UnixMillis;
use crate::shared_record::{LeaseState, Record};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// For how long requests leave the catalog to ticks, after one that read it went away. A tick begins within a survey.
const TICKS_FIRST: Duration = Duration::from_secs(5);

/// The record that says what is in force. Times are milliseconds since the epoch, 0 for never.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Head {
    /// When the reading of what is in force began.
    pub fetched: u64,
    /// When the catalog is to be read anew.
    pub refresh_at: u64,
    /// Failures since the last success.
    pub failures: u32,
    /// Before when nobody tries again, after a failure.
    pub retry_at: u64,
    /// Until when somebody reads.
    pub leased_until: u64,
    /// Which reading that is.
    pub reading: u64,
    /// Entities that can be called.
    pub entities: usize,
    /// Groups.
    pub groups: usize,
    /// The sections of entities and of groups.
    pub sections: Option<[Part; 2]>,
    /// Whether a request gave up reading it because that took too long, so that requests leave it to ticks.
    pub too_long: bool,
    /// Before when no request reads it, because one that did went away.
    pub requests_after: u64,
    /// The version of the entities of a catalog that shrank so much that it is read again before it is believed.
    pub doubted: Option<String>,
}

/// Where a section is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Its version, in hexadecimal.
    pub version: String,
    /// The place, 0 or 1.
    pub slot: u8,
    /// Number of its chunks.
    pub chunks: usize,
}

impl Record for Head {
    /// Format 1 had no `requests_after`.
    const FORMAT: u32 = 2;

    fn lease_state(&self) -> LeaseState {
        LeaseState { until: self.leased_until, number: self.reading }
    }

    fn set_lease_state(&mut self, state: LeaseState) {
        (self.leased_until, self.reading) = (state.until, state.number);
    }

    /// Clients that come and go must not keep ticks from it.
    fn note_left(&mut self, now: UnixMillis) {
        self.requests_after = now.after(TICKS_FIRST).0;
    }

    fn adopt(self, _: &Self, _: UnixMillis) -> Option<Self> {
        Some(self)
    }
}
