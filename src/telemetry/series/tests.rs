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

    fn value(&self, id: MetricId) -> Option<u64> {
        Some(self.of(&self.names.borrow()[id.0 as usize]).unwrap_or(0))
    }
}

/// A node's metrics: one of each name, whichever worker defines it.
#[derive(Default)]
struct Shared(Host);

impl Metrics for Shared {
    fn define(&self, kind: MetricKind, name: &str) -> Option<MetricId> {
        let known = self.0.names.borrow().iter().position(|known| known == name);
        known.map_or_else(|| self.0.define(kind, name), |at| Some(MetricId(u32::try_from(at).unwrap())))
    }

    fn add(&self, id: MetricId, by: u64) {
        self.0.add(id, by);
    }

    fn record(&self, _: MetricId, _: u64) {}

    fn value(&self, id: MetricId) -> Option<u64> {
        self.0.value(id)
    }
}

fn count(registry: &Registry, host: &dyn Metrics, group: &str) {
    let labels = [("group", group), ("reason", "owner")];
    let id = registry.series(host, MetricKind::Counter, "decisions", &labels).unwrap();
    host.add(id, 1);
    registry.observe(host, "took", &[("entity", group)], 700);
}

#[test]
fn the_workers_of_a_node_share_one_bound_whatever_each_of_them_sees() {
    let (host, workers) = (Shared::default(), [(); 64].map(|()| Registry::default()));
    for (n, registry) in workers.iter().enumerate() {
        (0..40).for_each(|group| count(registry, &host, &format!("group:default/g{n}-{group}")));
    }
    let names = host.0.names();
    assert!((MAX_SERIES..MAX_SERIES + 20).contains(&names.len()), "{}", names.len());
    assert!(host.0.of("decisions;group=other;reason=owner").unwrap() > 2_000);
    assert!(host.0.of("took_count;entity=other").unwrap() > 2_000);
}

#[test]
fn what_another_worker_has_defined_or_one_before_a_reload_is_not_counted_again() {
    let (host, workers) = (Shared::default(), [(); 64].map(|()| Registry::default()));
    for registry in &workers {
        (0..100).for_each(|group| count(registry, &host, &format!("group:default/g{group}")));
    }
    assert_eq!(host.0.names().len(), 100 * (1 + Histogram::SERIES));
    assert_eq!(host.0.of(SERIES), Some(100 * (1 + Histogram::SERIES as u64)));
    assert_eq!(host.0.of("decisions;group=group:default/g7;reason=owner"), Some(64));
}

#[test]
fn sixty_four_workers_fit_into_kongs_memory_for_metrics() {
    // A name of 256 bytes at most, as the module keeps it; two go into a page, and a page has 24 bytes of its own.
    let (workers, pages) = (64_usize, 5 * 1024 * 1024 / (4096 + 24));
    let entry = (104 + 256 + 8 + 16 * workers).next_power_of_two();
    let room = pages * (4096 / entry);
    let at_one_moment = workers * Histogram::SERIES;
    // Families times reasons and decisions that `other` still tells apart.
    let others = 300;
    assert!(MAX_SERIES + at_one_moment + MAX_GAUGES + others <= room, "{room}");
}

impl Host {
    /// What was defined, but for the count of it.
    fn names(&self) -> Vec<String> {
        self.names.borrow().iter().filter(|name| *name != SERIES).cloned().collect()
    }

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
    assert_eq!(host.names(), ["decisions;entity=api:default/x"]);
}

#[test]
fn past_the_cap_identities_become_other_and_words_stay() {
    let (host, registry) = (Host::default(), Registry::default());
    for n in 0..MAX_SERIES + 50 {
        let group = format!("group:default/g{n}");
        registry.series(&host, MetricKind::Counter, "decisions", &[("group", &group), ("reason", "owner")]);
    }
    let names = host.names();
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
    assert_eq!(host.names().len(), Histogram::SERIES, "each is defined once");
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
        let names = host.names();
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
    assert!(host.counts.borrow().keys().all(|name| name == SERIES));
    assert!(host.names().len() <= Histogram::SERIES, "nor is it tried again");
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
