//! What the core asks of the proxy that runs it, as traits that a test can stand in for.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
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
    /// A distribution.
    Histogram,
}

/// A node's metrics. Labels are part of a name.
pub trait Metrics {
    /// The metric of this name, made if there is none; `None` when the host does not take it.
    fn define(&self, kind: MetricKind, name: &str) -> Option<MetricId>;
    /// Adds to a counter.
    fn add(&self, id: MetricId, by: u64);
    /// Sets a gauge, or adds an observation to a histogram.
    fn record(&self, id: MetricId, value: u64);
}

/// The names of a request's headers.
pub type Names<'a> = Box<dyn Iterator<Item = &'a [u8]> + 'a>;

/// The headers of a request, read by name.
pub trait RequestHeaders {
    /// The value under a lower-case name: of a repeated header all values [`joined`], and the first one where they cannot be
    /// listed.
    fn get(&self, name: &str) -> Option<Cow<'_, [u8]>>;

    /// The name of every header line, repeats included; `None` where the host cannot list them safely (Kong's, where there are
    /// very many), and callers must go by name.
    fn names(&self) -> Option<Names<'_>>;

    /// The name of the route that the host has chosen, where it tells.
    fn route(&self) -> Option<String> {
        None
    }

    /// The name of the service behind it, where it tells: Kong's service, Envoy's cluster.
    fn service(&self) -> Option<String> {
        None
    }

    /// The tags of the route, then those of the service.
    fn tags(&self) -> Vec<String> {
        Vec::new()
    }

    /// The address of the client, where the host tells: of the far end of the connection, or of whom a proxy that the host
    /// trusts names. A port may follow it.
    fn client(&self) -> Option<String> {
        None
    }
}

/// The values of a header's lines in one, as Envoy joins them: by commas, but cookies as HTTP/2 has it (RFC 9113 §8.2.3), for
/// upstreams take a comma for part of a cookie's value.
pub fn joined<'a>(name: &str, mut values: impl Iterator<Item = &'a [u8]>) -> Option<Cow<'a, [u8]>> {
    let between: &[u8] = if name == "cookie" { b"; " } else { b"," };
    let first = Cow::Borrowed(values.next()?);
    Some(values.fold(first, |joined, value| Cow::Owned([&joined, between, value].concat())))
}

/// Shared data in memory with the semantics of one well-behaved node; for tests and for tools that run without a proxy.
#[derive(Debug, Default)]
pub struct MemoryStore {
    entries: RefCell<BTreeMap<String, Stored>>,
}

impl MemoryStore {
    /// Drops a value, as a full zone would.
    pub fn evict(&self, key: &str) {
        self.entries.borrow_mut().remove(key);
    }

    /// The keys that are stored.
    pub fn keys(&self) -> Vec<String> {
        self.entries.borrow().keys().cloned().collect()
    }
}

impl SharedData for MemoryStore {
    fn get(&self, key: &str) -> Result<Option<Stored>, StoreFailed> {
        Ok(self.entries.borrow().get(key).cloned())
    }

    fn set(&self, key: &str, value: &[u8], expect: Expect) -> Result<(), WriteError> {
        let mut entries = self.entries.borrow_mut();
        let version = entries.get(key).map(|stored| stored.version);
        let expected = match expect {
            Expect::Absent => None,
            Expect::Version(version) => Some(version),
        };
        if version != expected {
            return Err(WriteError::Changed);
        }
        let stored = Stored { bytes: value.to_vec(), version: version.unwrap_or(0).wrapping_add(1) };
        entries.insert(key.to_owned(), stored);
        Ok(())
    }
}

/// Shared data that fails.
#[cfg(test)]
pub(crate) struct BrokenStore;

#[cfg(test)]
impl SharedData for BrokenStore {
    fn get(&self, _: &str) -> Result<Option<Stored>, StoreFailed> {
        Err(StoreFailed)
    }

    fn set(&self, _: &str, _: &[u8], _: Expect) -> Result<(), WriteError> {
        Err(WriteError::Failed)
    }
}
