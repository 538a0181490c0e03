//! What the core asks of the proxy that runs it, as traits that a test can stand in for.

mod facts;
#[cfg(test)]
mod faulty;
mod headers;
mod memory;
mod random;

pub use facts::{HostFacts, Snapshot};
#[cfg(test)]
pub(crate) use faulty::{BrokenStore, FaultyStore};
pub use headers::{Editing, KONG_LISTS, Lines, RequestHeaders, joined};
pub use memory::MemoryStore;
pub use random::random;

use std::time::Duration;

/// A point in time: milliseconds since the Unix epoch. Kong's clock is no finer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// Whole seconds since the epoch, rounded down.
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// This point moved later by `span`; stays at the end of time rather than wrapping.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }

    /// How long after `earlier` this is; zero when it is not later (clocks step back).
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Whole milliseconds, rounded down, up to the end of time. (`Duration::as_millis` counts in 128 bits, for which WebAssembly has no
/// instructions.)
pub fn millis(span: Duration) -> u64 {
    product(span.as_secs(), 1000).unwrap_or(u64::MAX).saturating_add(u64::from(span.subsec_millis()))
}

/// The product, where 64 bits hold it. What times come to is found without the 128 bits that it takes WebAssembly to tell.
pub(crate) fn product(one: u64, other: u64) -> Option<u64> {
    if (one | other) >> 32 == 0 { Some(one.wrapping_mul(other)) } else { one.checked_mul(other) }
}

/// A value in shared data with the host's version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The bytes as the host handed them out: possibly torn, possibly of another key with the same CRC32.
    pub bytes: Vec<u8>,
    /// The host's compare-and-swap number.
    pub version: u32,
}

/// What must still hold for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing is stored under the key.
    Absent,
    /// The value is still the one read with this version.
    Version(u32),
}

/// The host could not answer a read of shared data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("shared data did not answer")]
pub struct StoreFailed;

/// Why a write did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Somebody else wrote first: read again, decide again.
    #[error("another worker wrote first")]
    Changed,
    /// The host refused or failed.
    #[error("shared data did not take the value")]
    Failed,
}

/// A node's shared data: all workers see it, any of it may vanish at any time.
pub trait SharedData {
    /// Reads a value.
    ///
    /// # Errors
    /// [`StoreFailed`] when the host fails; an absent key is `Ok(None)`.
    fn get(&self, key: &str) -> Result<Option<Stored>, StoreFailed>;

    /// Writes a value (never empty) if `expect` still holds.
    ///
    /// # Errors
    /// [`WriteError::Changed`] when it does not hold any more, [`WriteError::Failed`] when the host fails.
    fn set(&self, key: &str, value: &[u8], expect: Expect) -> Result<(), WriteError>;
}

/// The host's number for a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricId(pub u32);

/// What a metric measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Counts up.
    Counter,
    /// The last value.
    Gauge,
}

/// A node's metrics. Labels are part of a name.
pub trait Metrics {
    /// The metric of this name, made if there is none; `None` when the host does not take it.
    fn define(&self, kind: MetricKind, name: &str) -> Option<MetricId>;
    /// Adds to a counter.
    fn add(&self, id: MetricId, by: u64);
    /// Sets a gauge.
    fn record(&self, id: MetricId, value: u64);
    /// What a counter stands at, over all workers.
    fn value(&self, id: MetricId) -> Option<u64>;
}
