//! Metric names with labels in them, each defined once a worker, and only so many a node.
//!
//! Neither host has labels, so they are part of the name: `decisions;entity=api:default/payments;reason=owner`. Kong's
//! Prometheus plugin and Envoy's `stats_tags` take them out again by patterns.

use super::histogram::Histogram;
use super::name::{Label, name};
use crate::host::{MetricId, MetricKind, Metrics};
use foldhash::fast::RandomState;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

/// Counters that the workers of a node tell apart; what comes after goes into the series `other`.
///
/// Kong keeps the metrics of a node in 5 MB, and traps when they are full. Each takes 104 bytes, its name, 8 bytes, and 16 for
/// each worker, rounded up to a power of two: with 64 workers 2 KB at most, of which there are 2,540. These are shared by
/// the counters, as many again as 64 workers can define at one moment (512), `other` with its reasons, and gauges.
const MAX_SERIES: usize = 1500;
/// Gauges that a worker defines: there are as many as the configuration has issuers and catalogs, whatever the requests are.
const MAX_GAUGES: usize = 200;
/// Counts the counters that the workers of this node have defined. It outlives a reload, as they do.
const SERIES: &str = "metric_series";
/// Stands for what is not told apart any more.
const OTHER: &str = "other";

/// The series that a worker has defined.
#[derive(Default)]
pub(super) struct Registry {
    known: RefCell<HashMap<u64, Option<MetricId>, RandomState>>,
    /// The series of an entity's distribution are kept together: a request costs one look-up.
    histograms: RefCell<HashMap<u64, Option<Histogram>, RandomState>>,
    defined: Cell<usize>,
    gauges: Cell<usize>,
    /// How many there were on the node when last looked at.
    on_node: Cell<usize>,
    /// The host's number for [`SERIES`].
    total: OnceCell<Option<MetricId>>,
    hasher: RandomState,
}

impl Registry {
    /// The host's metric for a series. A known one costs a hash and no allocation.
    pub(super) fn series(
        &self,
        host: &dyn Metrics,
        kind: MetricKind,
        family: &str,
        labels: &[Label<'_>],
    ) -> Option<MetricId> {
        let hash = self.hash(family, labels);
        if let Some(known) = self.known.borrow().get(&hash) {
            return *known;
        }
        let has_room = match kind {
            MetricKind::Counter => self.has_room(host, 1),
            MetricKind::Gauge => self.gauges.get() < MAX_GAUGES,
        };
        if let Some(others) = others(labels).filter(|_| !has_room) {
            return self.series(host, kind, family, &others);
        }
        let id = host.define(kind, &name(family, labels));
        match kind {
            // One that stands at nothing is new: whoever defines a counter counts at once.
            MetricKind::Counter => {
                let is_new = id.is_none_or(|id| host.value(id).is_none_or(|value| value == 0));
                self.note(host, 1, is_new);
            }
            MetricKind::Gauge => self.gauges.set(self.gauges.get() + 1),
        }
        self.known.borrow_mut().insert(hash, id);
        id
    }

    /// Counts a value in a distribution. It has all its series or none.
    pub(super) fn observe(&self, host: &dyn Metrics, family: &str, labels: &[Label<'_>], value: u64) {
        let hash = self.hash(family, labels);
        if let Some(known) = self.histograms.borrow().get(&hash) {
            if let Some(histogram) = known {
                histogram.observe(host, value);
            }
            return;
        }
        if let Some(others) = others(labels).filter(|_| !self.has_room(host, Histogram::SERIES)) {
            return self.observe(host, family, &others, value);
        }
        let histogram = Histogram::define(family, labels, |name| host.define(MetricKind::Counter, name));
        let is_new = histogram.as_ref().is_none_or(|histogram| histogram.is_new(host));
        self.note(host, Histogram::SERIES, is_new);
        if let Some(histogram) = &histogram {
            histogram.observe(host, value);
        }
        self.histograms.borrow_mut().insert(hash, histogram);
    }

    /// Whether the node has room for so many more counters. What this worker has defined is the least that there are.
    fn has_room(&self, host: &dyn Metrics, series: usize) -> bool {
        let fits = || self.defined.get().max(self.on_node.get()).saturating_add(series) <= MAX_SERIES;
        // It never becomes less: a full node is not asked again.
        if !fits() {
            return false;
        }
        let on_node = self.total(host).and_then(|id| host.value(id)).unwrap_or(0);
        self.on_node.set(usize::try_from(on_node).unwrap_or(usize::MAX));
        fits()
    }

    /// Notes counters that this worker has defined, and for the node those that were new to it. Two workers that define one at
    /// the same moment both count it: the bound is then met a little sooner.
    fn note(&self, host: &dyn Metrics, series: usize, are_new: bool) {
        self.defined.set(self.defined.get() + series);
        if let Some(total) = self.total(host).filter(|_| are_new) {
            host.add(total, u64::try_from(series).unwrap_or(u64::MAX));
        }
    }

    fn total(&self, host: &dyn Metrics) -> Option<MetricId> {
        *self.total.get_or_init(|| host.define(MetricKind::Counter, SERIES))
    }

    /// Of the family and the values: a family always has the same labels.
    fn hash(&self, family: &str, labels: &[Label<'_>]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        // As bytes, each of which goes in by itself with its length: the end mark of a `str` costs a shift of 128 bits.
        hasher.write(family.as_bytes());
        for (_, value) in labels {
            hasher.write(value.as_bytes());
        }
        hasher.finish()
    }
}

/// The labels that stand for these where there is no room for more series; `None` where they are those already.
fn others<'a>(labels: &[Label<'a>]) -> Option<Vec<Label<'a>>> {
    let is_told_apart = |(label, value): &Label<'_>| is_identity(label) && *value != OTHER;
    labels
        .iter()
        .any(is_told_apart)
        .then(|| labels.iter().map(|(label, value)| (*label, if is_identity(label) { OTHER } else { value })).collect())
}

/// Labels with as many values as a catalog has entities.
fn is_identity(label: &str) -> bool {
    matches!(label, "entity" | "owner" | "group" | "issuer" | "policy")
}

#[cfg(test)]
mod tests;
