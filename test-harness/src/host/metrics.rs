//! Metrics: one store a node.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Profile, slab};

/// Kong's limit on `pw:<filter>:<name>` with the two separators.
const MAX_NAME: usize = 256;
/// A histogram has at most this many bins, the last of them unbounded.
const MAX_BINS: usize = 18;
/// A metric's type.
const TYPE: usize = 8;
/// What each worker has of a metric.
const SLOT: usize = 16;

/// One bin of a histogram: how many values were at most `upper_bound` and above the next lower bin's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistogramBin {
    /// A power of two; `u32::MAX` for the last.
    pub upper_bound: u32,
    /// Not cumulative.
    pub count: u64,
}

/// A metric's value, summed over the workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Only goes up.
    Counter(u64),
    /// What was last recorded.
    Gauge(u64),
    /// How values are spread.
    Histogram {
        /// Of all values.
        sum: u64,
        /// In the host's order: on Envoy ascending; on Kong the bin that was made first, then the others ascending.
        bins: Vec<HistogramBin>,
    },
}

/// Why a metric call failed, for the host to trap or refuse.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum MetricError {
    UnknownType,
    NameTooLong,
    NoMemory,
    NotFound,
    WrongType,
}

impl MetricError {
    pub(crate) fn message(&self) -> &'static str {
        match self {
            Self::UnknownType => "could not define metric: unknown type",
            Self::NameTooLong => "could not define metric: name too long",
            Self::NoMemory => "could not define metric: no memory (increase \"slab_size\" directive)",
            Self::NotFound => "metric not found",
            Self::WrongType => "metric is of another type",
        }
    }
}

#[derive(Debug, Default)]
struct Inner {
    by_id: BTreeMap<u32, (String, Metric)>,
    used: usize,
}

#[derive(Debug)]
pub(crate) struct MetricStore {
    profile: Profile,
    prefix: String,
    capacity: usize,
    /// Bytes of a metric's value before any bins.
    value: usize,
    inner: Mutex<Inner>,
}

impl MetricStore {
    pub(crate) fn new(profile: Profile, filter: &str, slab: usize, workers: usize) -> Self {
        let prefix = match profile {
            Profile::Kong => format!("pw:{filter}:"),
            Profile::Envoy => String::new(),
        };
        Self { profile, prefix, capacity: slab::capacity(slab), value: TYPE + SLOT * workers, inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn define(&self, kind: u32, name: &str) -> Result<u32, MetricError> {
        let metric = match kind {
            0 => Metric::Counter(0),
            1 => Metric::Gauge(0),
            2 => Metric::Histogram { sum: 0, bins: vec![HistogramBin { upper_bound: u32::MAX, count: 0 }] },
            _ => return Err(MetricError::UnknownType),
        };
        let name = format!("{}{name}", self.prefix);
        // The prefix holds the four characters Kong counts on top of the filter's name.
        if self.profile.is_kong() && name.len() > MAX_NAME {
            return Err(MetricError::NameTooLong);
        }
        let id = crc32fast::hash(name.as_bytes());
        let mut inner = self.lock();
        // Whatever type it was defined with: the second definition gets the first one's metric.
        if inner.by_id.contains_key(&id) {
            return Ok(id);
        }
        let mut cost = slab::cost(name.len(), self.value);
        if matches!(metric, Metric::Histogram { .. }) {
            cost += (16 + 8 * MAX_BINS).next_power_of_two();
        }
        if self.profile.is_kong() && inner.used + cost > self.capacity {
            return Err(MetricError::NoMemory);
        }
        inner.used += cost;
        inner.by_id.insert(id, (name, metric));
        Ok(id)
    }

    pub(crate) fn get(&self, id: u32) -> Result<u64, MetricError> {
        match self.lock().by_id.get(&id) {
            None => Err(MetricError::NotFound),
            Some((_, Metric::Counter(value) | Metric::Gauge(value))) => Ok(*value),
            Some((_, Metric::Histogram { .. })) => Err(MetricError::WrongType),
        }
    }

    pub(crate) fn record(&self, id: u32, value: u64) -> Result<(), MetricError> {
        let kong = self.profile.is_kong();
        match self.lock().by_id.get_mut(&id) {
            None => Err(MetricError::NotFound),
            Some((_, Metric::Counter(_))) => Err(MetricError::WrongType),
            Some((_, Metric::Gauge(gauge))) => {
                *gauge = value;
                Ok(())
            }
            Some((_, Metric::Histogram { sum, bins })) => {
                *sum = sum.wrapping_add(value);
                let at = bin_for(bins, upper_bound(value), kong);
                if let Some(bin) = bins.get_mut(at) {
                    bin.count += 1;
                }
                Ok(())
            }
        }
    }

    pub(crate) fn increment(&self, id: u32, offset: i64) -> Result<(), MetricError> {
        let envoy = !self.profile.is_kong();
        match self.lock().by_id.get_mut(&id) {
            None => Err(MetricError::NotFound),
            Some((_, Metric::Counter(counter))) => {
                *counter = counter.wrapping_add_signed(offset);
                Ok(())
            }
            Some((_, Metric::Gauge(gauge))) if envoy => {
                *gauge = gauge.wrapping_add_signed(offset);
                Ok(())
            }
            Some(_) => Err(MetricError::WrongType),
        }
    }

    pub(crate) fn snapshot(&self) -> BTreeMap<String, Metric> {
        self.lock().by_id.values().cloned().collect()
    }
}

/// The least power of two that is not below the value; unbounded from 2³¹ up.
fn upper_bound(value: u64) -> u32 {
    match u32::try_from(value) {
        Ok(0 | 1) => 1,
        Ok(value) if value <= u32::MAX / 2 => value.next_power_of_two(),
        _ => u32::MAX,
    }
}

/// The bin of that bound, made when there is room, or else the next one up.
///
/// Kong's module looks for the place of a new bin with an index in which 0 stands for "not found yet", so nothing is ever put before
/// the bin that was made first. The unbounded bin is there from the start, and does not count as that.
fn bin_for(bins: &mut Vec<HistogramBin>, bound: u32, kong: bool) -> usize {
    if let Some(at) = bins.iter().position(|bin| bin.upper_bound == bound) {
        return at;
    }
    let first = usize::from(kong && bins.len() > 1);
    let at = bins.iter().skip(first).position(|bin| bin.upper_bound > bound).map_or(bins.len(), |at| at + first);
    if bins.len() < MAX_BINS {
        bins.insert(at, HistogramBin { upper_bound: bound, count: 0 });
    }
    at
}
