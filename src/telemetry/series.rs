//! Metric names with labels in them, each defined once a worker, and only so many.
//!
//! Neither host has labels, so they are part of the name: `decisions;entity=api:default/payments;reason=owner`. Kong's
//! Prometheus plugin and Envoy's `stats_tags` take them out again by patterns.

use crate::host::{MetricId, MetricKind, Metrics};
use foldhash::fast::RandomState;
use sha2::{Digest, Sha256};
use std::cell::RefCell;
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
        let full = self.known.borrow().len() >= MAX_SERIES;
        if full && labels.iter().any(|(label, value)| is_identity(label) && *value != OTHER) {
            let others: Vec<_> =
                labels.iter().map(|(label, value)| (*label, if is_identity(label) { OTHER } else { value })).collect();
            return self.series(host, kind, family, &others);
        }
        let id = host.define(kind, &name(family, labels));
        self.known.borrow_mut().insert(hash, id);
        id
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

fn name(family: &str, labels: &[Label<'_>]) -> String {
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
    let clean = |c: char| if c.is_ascii_alphanumeric() || "-_.:/".contains(c) { c } else { '_' };
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
    use std::cell::Cell;
    use std::collections::BTreeSet;

    #[derive(Default)]
    struct Host(RefCell<Vec<String>>, Cell<u32>);

    impl Metrics for Host {
        fn define(&self, _: MetricKind, name: &str) -> Option<MetricId> {
            self.0.borrow_mut().push(name.to_owned());
            self.1.set(self.1.get() + 1);
            Some(MetricId(self.1.get()))
        }

        fn add(&self, _: MetricId, _: u64) {}

        fn record(&self, _: MetricId, _: u64) {}
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
        assert_eq!(*host.0.borrow(), ["decisions;entity=api:default/x"]);
    }

    #[test]
    fn past_the_cap_identities_become_other_and_words_stay() {
        let (host, registry) = (Host::default(), Registry::default());
        for n in 0..MAX_SERIES + 50 {
            let group = format!("group:default/g{n}");
            registry.series(&host, MetricKind::Counter, "decisions", &[("group", &group), ("reason", "owner")]);
        }
        let names = host.0.borrow();
        assert_eq!(names.len(), MAX_SERIES + 1);
        assert_eq!(names.last().unwrap(), "decisions;group=other;reason=owner");
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
