//! The core's traits over the SDK's host calls.
//!
//! The SDK panics on statuses it does not expect, and a panic takes the worker down in Kong, so every call here is one that
//! both hosts answer with an expected status in the phases in which it is made.

use crate::host::{
    Expect, MetricId, MetricKind, Metrics, SharedData, StoreFailed, Stored, UnixMillis, WriteError, millis,
};
use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;
use std::time::UNIX_EPOCH;

/// A compare-and-swap number that no record has. Kong takes 0 for "only if absent" and refuses any other number on an
/// absent key; Envoy takes 0 for "whatever is there" and any other number for "only if absent" on an absent key.
const NO_VERSION: u32 = u32::MAX;

/// The proxy.
pub(super) struct Host;

/// The clock of the proxy; the epoch where it does not answer.
pub(super) fn now() -> UnixMillis {
    let since_epoch = hostcalls::get_current_time().ok().and_then(|now| now.duration_since(UNIX_EPOCH).ok());
    UnixMillis(since_epoch.map_or(0, millis))
}

/// A property of the request or the node.
pub(super) fn property(path: &[&str]) -> Option<Vec<u8>> {
    hostcalls::get_property(path.to_vec()).ok().flatten()
}

impl SharedData for Host {
    fn get(&self, key: &str) -> Result<Option<Stored>, StoreFailed> {
        match hostcalls::get_shared_data(key) {
            Ok((Some(bytes), version)) => Ok(Some(Stored { bytes, version: version.unwrap_or(0) })),
            Ok((None, _)) => Ok(None),
            Err(_) => Err(StoreFailed),
        }
    }

    fn set(&self, key: &str, value: &[u8], expect: Expect) -> Result<(), WriteError> {
        let set = |cas| hostcalls::set_shared_data(key, Some(value), cas).map_err(|_| WriteError::Changed);
        match expect {
            Expect::Version(version) => set(Some(version)),
            Expect::Absent => set(Some(NO_VERSION)).or_else(|_| match self.get(key) {
                // Still absent: this is Kong, where no number at all means "only if absent".
                Ok(None) => set(None),
                Ok(Some(_)) => Err(WriteError::Changed),
                Err(StoreFailed) => Err(WriteError::Failed),
            }),
        }
    }
}

impl Metrics for Host {
    fn define(&self, kind: MetricKind, name: &str) -> Option<MetricId> {
        let kind = match kind {
            MetricKind::Counter => MetricType::Counter,
            MetricKind::Gauge => MetricType::Gauge,
        };
        hostcalls::define_metric(kind, name).ok().map(MetricId)
    }

    fn add(&self, id: MetricId, by: u64) {
        // The only failure is a metric that does not exist, and there is nobody to tell.
        let _ = hostcalls::increment_metric(id.0, i64::try_from(by).unwrap_or(i64::MAX));
    }

    fn record(&self, id: MetricId, value: u64) {
        let _ = hostcalls::record_metric(id.0, value);
    }

    fn value(&self, id: MetricId) -> Option<u64> {
        hostcalls::get_metric(id.0).ok()
    }
}
