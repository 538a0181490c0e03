//! Distributions, as counters with an `le` label of our own.
//!
//! Kong shows the histograms of a Wasm filter wrongly: bucket lines lack `_bucket`, and bins add up in the order in which they were
//! made, so that their `le` is not what they count. So these are counters, named and counted as Prometheus has it for a
//! histogram: each bucket counts what is at most its bound, `histogram_quantile` gives the truth on every host, and
//! counters of several nodes add up.

use super::name::{Label, name};
use crate::host::{MetricId, Metrics};

/// Upper bounds of the buckets, in milliseconds, with what stands in the label. Few, for each is a series an entity.
const BOUNDS: [(u64, &str); 6] =
    [(10, "10"), (50, "50"), (250, "250"), (1000, "1000"), (5000, "5000"), (u64::MAX, "+Inf")];

/// The metrics of one distribution. `count` is the one that every value counts in.
pub(super) struct Histogram {
    buckets: [MetricId; BOUNDS.len()],
    sum: MetricId,
    count: MetricId,
}

impl Histogram {
    /// How many series it is.
    pub(super) const SERIES: usize = BOUNDS.len() + 2;

    /// Has `define` make its counters, all of them. `None` where the host does not take one: half a histogram tells untruths.
    pub(super) fn define(
        family: &str,
        labels: &[Label<'_>],
        define: impl Fn(&str) -> Option<MetricId>,
    ) -> Option<Self> {
        let bucket = format!("{family}_bucket");
        let sum = define(&name(&format!("{family}_sum"), labels))?;
        let count = define(&name(&format!("{family}_count"), labels))?;
        let mut buckets = [count; BOUNDS.len()];
        for (id, (_, bound)) in buckets.iter_mut().zip(BOUNDS) {
            *id = define(&name(&bucket, &[labels, &[("le", bound)]].concat()))?;
        }
        Some(Self { buckets, sum, count })
    }

    /// Whether nobody has counted a value yet, on any worker.
    pub(super) fn is_new(&self, host: &dyn Metrics) -> bool {
        host.value(self.count).is_none_or(|count| count == 0)
    }

    /// Counts a value.
    pub(super) fn observe(&self, host: &dyn Metrics, value: u64) {
        for (id, _) in self.buckets.iter().zip(BOUNDS).filter(|(_, (bound, _))| value <= *bound) {
            host.add(*id, 1);
        }
        if value > 0 {
            host.add(self.sum, value);
        }
        host.add(self.count, 1);
    }
}
