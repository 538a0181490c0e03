//! Metric names with labels in them, each defined once a worker, and only so many.
//!
//! Neither host has labels, so they are part of the name: `decisions;entity=api:default/payments;reason=owner`. Kong's
//! Prometheus plugin and Envoy's `stats_tags` take them out again by patterns.

use super::histogram::Histogram;
use crate::host::{MetricId, MetricKind, Metrics};
use foldhash::fast::RandomState;
use sha2::{Digest, Sha256};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt::Write;
use std::hash::{BuildHasher, Hasher};

/// Series with labels that a worker defines; more of them go into the series `other`. Kong keeps all metrics of a node in
/// 5 MB, and traps when they are full.
const MAX_SERIES: usize = 1000;
/// Longest label value in bytes; together with the longest family and labels a name stays within the 256 bytes that Kong has
/// for it and for its own prefix.
const MAX_VALUE: usize = 44;
/// Stands for what is not told apart any more.
const OTHER: &str = "other";

/// A label and its value.
pub(super) type Label<'a> = (&'static str, &'a str);

/// The series that a worker has defined.
#[derive(Default)]
pub(super) struct Registry {
    known: RefCell<HashMap<u64, Option<MetricId>, RandomState>>,
    /// The series of an entity's distribution are kept together: a request costs one look-up.
    histograms: RefCell<HashMap<u64, Option<Histogram>, RandomState>>,
    defined: Cell<usize>,
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
        if let Some(others) = self.others(labels, 1) {
            return self.series(host, kind, family, &others);
        }
        let id = host.define(kind, &name(family, labels));
        self.defined.set(self.defined.get() + 1);
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
        if let Some(others) = self.others(labels, Histogram::SERIES) {
            return self.observe(host, family, &others, value);
        }
        let histogram = Histogram::define(family, labels, |name| host.define(MetricKind::Counter, name));
        self.defined.set(self.defined.get() + Histogram::SERIES);
        if let Some(histogram) = &histogram {
            histogram.observe(host, value);
        }
        self.histograms.borrow_mut().insert(hash, histogram);
    }

    /// The labels that stand for these where there is no room for so many more series.
    fn others<'a>(&self, labels: &[Label<'a>], series: usize) -> Option<Vec<Label<'a>>> {
        let is_told_apart = |(label, value): &Label<'_>| is_identity(label) && *value != OTHER;
        if self.defined.get() + series <= MAX_SERIES || !labels.iter().any(is_told_apart) {
            return None;
        }
        Some(labels.iter().map(|(label, value)| (*label, if is_identity(label) { OTHER } else { value })).collect())
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

/// Labels with as many values as a catalog has entities.
fn is_identity(label: &str) -> bool {
    matches!(label, "entity" | "owner" | "group" | "issuer" | "policy")
}

/// The name of a series.
pub(super) fn name(family: &str, labels: &[Label<'_>]) -> String {
    let mut name = family.to_owned();
    for (label, value) in labels {
        name.push(';');
        name.push_str(label);
        name.push('=');
        push_value(&mut name, value);
    }
    name
}

/// Writes a value with none of the characters that end a label, shortened to a prefix and a digest where it is too long.
fn push_value(name: &mut String, value: &str) {
    let clean = |c: char| if c.is_ascii_alphanumeric() || "-_.:/+".contains(c) { c } else { '_' };
    if value.len() <= MAX_VALUE {
        name.extend(value.chars().map(clean));
    } else {
        name.extend(value.chars().take(MAX_VALUE - 9).map(clean));
        // The digest is the same on every node, so that a series keeps its name. Writing to a String does not fail.
        let _ = write!(name, "_{:08x}", digest(value));
    }
}

/// Tells shortened values apart.
fn digest(text: &str) -> u32 {
    Sha256::digest(text.as_bytes()).first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[derive(Default)]
    struct Host {
        names: RefCell<Vec<String>>,
        counts: RefCell<BTreeMap<String, u64>>,
        /// What of the names it does not take.
        refused: &'static str,
    }

    impl Metrics for Host {
        fn define(&self, _: MetricKind, name: &str) -> Option<MetricId> {
            let mut names = self.names.borrow_mut();
            names.push(name.to_owned());
            let id = MetricId(u32::try_from(names.len() - 1).unwrap());
            (self.refused.is_empty() || !name.contains(self.refused)).then_some(id)
        }

        fn add(&self, id: MetricId, by: u64) {
            let name = self.names.borrow()[id.0 as usize].clone();
            *self.counts.borrow_mut().entry(name).or_default() += by;
        }

        fn record(&self, _: MetricId, _: u64) {}
    }

    impl Host {
        fn of(&self, name: &str) -> Option<u64> {
            self.counts.borrow().get(name).copied()
        }
    }

    #[test]
    fn a_series_is_defined_once() {
        let (host, registry) = (Host::default(), Registry::default());
        let ids: BTreeSet<_> = (0..3)
            .map(|_| {
                registry.series(&host, MetricKind::Counter, "decisions", &[("entity", "api:default/x")]).map(|id| id.0)
            })
            .collect();
        assert_eq!(ids.len(), 1);
        assert_eq!(*host.names.borrow(), ["decisions;entity=api:default/x"]);
    }

    #[test]
    fn past_the_cap_identities_become_other_and_words_stay() {
        let (host, registry) = (Host::default(), Registry::default());
        for n in 0..MAX_SERIES + 50 {
            let group = format!("group:default/g{n}");
            registry.series(&host, MetricKind::Counter, "decisions", &[("group", &group), ("reason", "owner")]);
        }
        let names = host.names.borrow();
        assert_eq!(names.len(), MAX_SERIES + 1);
        assert_eq!(names.last().unwrap(), "decisions;group=other;reason=owner");
    }

    #[test]
    fn each_bucket_counts_what_is_at_most_its_bound() {
        let (host, registry) = (Host::default(), Registry::default());
        let labels = [("entity", "api:default/x")];
        for value in [0, 10, 11, 250, 4999, 5001, 90_000] {
            registry.observe(&host, "took", &labels, value);
        }
        let counts: Vec<_> = ["10", "50", "250", "1000", "5000", "+Inf"]
            .map(|bound| host.of(&format!("took_bucket;entity=api:default/x;le={bound}")).unwrap())
            .into();
        assert_eq!(counts, [2, 3, 4, 4, 5, 7]);
        let totals = ["sum", "count"].map(|total| host.of(&format!("took_{total};entity=api:default/x")).unwrap());
        assert_eq!(totals, [10 + 11 + 250 + 4999 + 5001 + 90_000, 7]);
        assert_eq!(host.names.borrow().len(), Histogram::SERIES, "each is defined once");
    }

    #[test]
    fn a_distribution_has_all_its_series_or_none_wherever_the_cap_is_hit() {
        for room in 0..=Histogram::SERIES {
            let (host, registry) = (Host::default(), Registry::default());
            for n in 0..MAX_SERIES - room {
                registry.series(&host, MetricKind::Counter, "decisions", &[("group", &format!("group:default/g{n}"))]);
            }
            registry.observe(&host, "took", &[("entity", "api:default/x")], 7);
            registry.observe(&host, "took", &[("entity", "api:default/y")], 7);
            let names = host.names.borrow();
            let series = |entity| names.iter().filter(|name| name.contains(&format!(";entity={entity}"))).count();
            let (fits, all) = (room == Histogram::SERIES, Histogram::SERIES);
            let found = ["api:default/x", "api:default/y", "other"].map(series);
            assert_eq!(found, [if fits { all } else { 0 }, 0, all], "with room for {room}");
            let counted = host.of("took_bucket;entity=other;le=+Inf");
            assert_eq!(counted, Some(if fits { 1 } else { 2 }), "the bound stays, the entity is another");
        }
    }

    #[test]
    fn of_a_distribution_that_the_host_does_not_take_whole_nothing_is_counted() {
        let host = Host { refused: "le=250", ..Host::default() };
        let registry = Registry::default();
        for _ in 0..2 {
            registry.observe(&host, "took", &[("entity", "api:default/x")], 7);
        }
        assert!(host.counts.borrow().is_empty());
        assert!(host.names.borrow().len() <= Histogram::SERIES, "nor is it tried again");
    }

    #[test]
    fn names_fit_kong_and_hold_no_character_that_ends_a_label() {
        let long = format!("group:{}/{}", "n".repeat(63), "x".repeat(63));
        let labels = [
            ("entity", long.as_str()),
            ("owner", &long),
            ("group", &long),
            ("decision", "shadow_deny"),
            ("reason", "algorithm_not_allowed"),
        ];
        assert!(name("decisions", &labels).len() + "pw:backstage_kong:".len() <= 256);
        assert_eq!(name("x", &[("issuer", "a;b=c\"d\n")]), "x;issuer=a_b_c_d_");
        let other = format!("{}y", &long[..long.len() - 1]);
        assert_ne!(name("x", &[("group", &long)]), name("x", &[("group", &other)]));
    }

    proptest! {
        #[test]
        fn whatever_the_values_a_name_fits_and_only_our_markers_are_in_it(
            text in "\\PC{0,300}|[;=\"\\\\\n]{0,60}|group:[a-z]{1,63}/[a-z]{1,63}"
        ) {
            let labels = [
                ("entity", text.as_str()),
                ("owner", &text),
                ("group", &text),
                ("decision", "shadow_deny"),
                ("reason", &text),
            ];
            let name = name("decisions", &labels);
            prop_assert!(name.len() + "pw:backstage_kong:".len() <= 256);
            prop_assert!(name.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\')));
            prop_assert_eq!((name.matches(';').count(), name.matches('=').count()), (5, 5));
        }
    }
}
