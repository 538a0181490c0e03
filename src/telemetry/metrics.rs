//! The catalogue of metrics.

use super::name::Label;
use super::series::Registry;
use crate::catalog::live::{ReadResult, Summary};
use crate::entity::EntityRef;
use crate::host::{MetricKind, Metrics, millis};
use crate::keyring::FetchResult;
use crate::quota::StoreFault;
use std::time::Duration;

/// Labels in the order in which they stand in a name, with the pattern that takes each out: the whole marker, and the value.
/// The filter's metadata for Kong and the `stats_tags` for Envoy are held to it by a test.
pub const LABELS: [(&str, &str); 12] = [
    ("entity", "(;entity=([^;]+))"),
    ("owner", "(;owner=([^;]+))"),
    ("group", "(;group=([^;]+))"),
    ("decision", "(;decision=([^;]+))"),
    ("reason", "(;reason=([^;]+))"),
    ("class", "(;class=([^;]+))"),
    ("policy", "(;policy=([^;]+))"),
    ("issuer", "(;issuer=([^;]+))"),
    ("result", "(;result=([^;]+))"),
    ("kind", "(;kind=([^;]+))"),
    ("backstage", "(;backstage=([^;]+))"),
    ("le", "(;le=([^;]+))"),
];

/// Stands where a label has no value.
const NONE: &str = "none";

/// The metrics of a worker.
#[derive(Default)]
pub struct Telemetry {
    registry: Registry,
}

impl Telemetry {
    /// `decisions`: counts requests by entity, owner, calling group, decision and reason.
    pub fn decision(
        &self,
        host: &dyn Metrics,
        entity: Option<&EntityRef>,
        owner: Option<&EntityRef>,
        group: Option<&EntityRef>,
        decision: &str,
        reason: &str,
    ) {
        let labels = [
            ("entity", text(entity)),
            ("owner", text(owner)),
            ("group", text(group)),
            ("decision", decision),
            ("reason", reason),
        ];
        self.add(host, "decisions", &labels, 1);
    }

    /// `responses`: counts answers by entity, owner and class of status; `none` where the client left first.
    /// `request_duration_ms_bucket`, `_sum` and `_count`: how long they took, by entity.
    pub fn response(
        &self,
        host: &dyn Metrics,
        entity: Option<&EntityRef>,
        owner: Option<&EntityRef>,
        status: Option<u16>,
        took: Duration,
    ) {
        let class = match status.map(|status| status / 100) {
            Some(1) => "1xx",
            Some(2) => "2xx",
            Some(3) => "3xx",
            Some(4) => "4xx",
            Some(5) => "5xx",
            _ => NONE,
        };
        self.add(host, "responses", &[("entity", text(entity)), ("owner", text(owner)), ("class", class)], 1);
        self.registry.observe(host, "request_duration_ms", &[("entity", text(entity))], millis(took));
    }

    /// `quota_units`: units charged, by entity, group and policy.
    pub fn quota_charged(
        &self,
        host: &dyn Metrics,
        entity: &EntityRef,
        group: Option<&EntityRef>,
        policy: &str,
        units: u32,
    ) {
        let labels = [("entity", entity.as_str()), ("group", text(group)), ("policy", policy)];
        self.add(host, "quota_units", &labels, u64::from(units));
    }

    /// `quota_exhausted`: requests that found no room, by entity, group and policy.
    pub fn quota_exhausted(&self, host: &dyn Metrics, entity: &EntityRef, group: Option<&EntityRef>, policy: &str) {
        self.add(
            host,
            "quota_exhausted",
            &[("entity", entity.as_str()), ("group", text(group)), ("policy", policy)],
            1,
        );
    }

    /// `key_fetches`: fetches of key sets by issuer and result.
    pub fn key_fetch(&self, host: &dyn Metrics, issuer: &str, result: FetchResult, age: Option<Duration>) {
        self.add(host, "key_fetches", &[("issuer", issuer), ("result", result.name())], 1);
        self.key_set_age(host, issuer, age);
    }

    /// `key_set_age_seconds`: age of the key set that serves, by issuer.
    pub fn key_set_age(&self, host: &dyn Metrics, issuer: &str, age: Option<Duration>) {
        if let Some(age) = age {
            self.gauge(host, "key_set_age_seconds", &[("issuer", issuer)], age.as_secs());
        }
    }

    /// `catalog_passes`: readings of a catalog, by Backstage and result. After a good one `catalog_entities`,
    /// `catalog_groups` and `catalog_faults` say what was found, and `catalog_pass_ms` how long it took.
    pub fn catalog_pass(&self, host: &dyn Metrics, backstage: &str, result: ReadResult, summary: Option<&Summary>) {
        self.add(host, "catalog_passes", &[("result", result.name()), ("backstage", backstage)], 1);
        let Some(Summary { entities, groups, millis, faults, .. }) = summary else { return };
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let gauges = [
            ("catalog_entities", count(*entities)),
            ("catalog_groups", count(*groups)),
            ("catalog_faults", count(faults.len())),
            ("catalog_pass_ms", *millis),
        ];
        for (family, value) in gauges {
            self.gauge(host, family, &[("backstage", backstage)], value);
        }
    }

    /// `catalog_age_seconds`: age of the index that serves, by Backstage.
    pub fn catalog_age(&self, host: &dyn Metrics, backstage: &str, age: Option<Duration>) {
        if let Some(age) = age {
            self.gauge(host, "catalog_age_seconds", &[("backstage", backstage)], age.as_secs());
        }
    }

    /// `store_faults` with kind `catalog`: faults of shared data under catalogs.
    pub fn catalog_store_faults(&self, host: &dyn Metrics, faults: u64) {
        if faults > 0 {
            self.add(host, "store_faults", &[("kind", "catalog")], faults);
        }
    }

    /// `keys_to_rotate`: keys and secrets of the configuration that should have been replaced, by issuer.
    pub fn keys_to_rotate(&self, host: &dyn Metrics, issuer: &str, count: u64) {
        self.gauge(host, "keys_to_rotate", &[("issuer", issuer)], count);
    }

    /// `userinfo`: questions to issuers about a caller's groups, by issuer and result.
    pub fn userinfo(&self, host: &dyn Metrics, issuer: &str, result: &str) {
        self.add(host, "userinfo", &[("issuer", issuer), ("result", result)], 1);
    }

    /// `token_cache`: look-ups of tokens by result, `hit` or `miss`.
    pub fn token_cache(&self, host: &dyn Metrics, hit: bool) {
        self.add(host, "token_cache", &[("result", if hit { "hit" } else { "miss" })], 1);
    }

    /// `verifications`: tokens not seen before, by what became of their signature: `held`, `known` to the node, `failed`,
    /// `address_spent`, `worker_spent`.
    pub fn verification(&self, host: &dyn Metrics, result: &str) {
        self.add(host, "verifications", &[("result", result)], 1);
    }

    /// `engine_calls`: what became of requests to the quota engine, and of pushes to it, by result.
    pub fn engine_call(&self, host: &dyn Metrics, result: &str) {
        self.add(host, "engine_calls", &[("result", result)], 1);
    }

    /// `store_faults`: faults of shared data under quotas, by kind.
    pub fn store_fault(&self, host: &dyn Metrics, fault: StoreFault) {
        self.add(host, "store_faults", &[("kind", fault.name())], 1);
    }

    /// `store_faults` with kind `keys`: faults of shared data under key sets.
    pub fn key_store_faults(&self, host: &dyn Metrics, faults: u64) {
        if faults > 0 {
            self.add(host, "store_faults", &[("kind", "keys")], faults);
        }
    }

    /// `configuration_errors`: configurations refused.
    pub fn configuration_error(&self, host: &dyn Metrics) {
        self.add(host, "configuration_errors", &[], 1);
    }

    fn gauge(&self, host: &dyn Metrics, family: &str, labels: &[Label<'_>], value: u64) {
        if let Some(id) = self.registry.series(host, MetricKind::Gauge, family, labels) {
            host.record(id, value);
        }
    }

    fn add(&self, host: &dyn Metrics, family: &str, labels: &[Label<'_>], by: u64) {
        // A counter that stands at nothing is taken for one that is new.
        if by == 0 {
            return;
        }
        if let Some(id) = self.registry.series(host, MetricKind::Counter, family, labels) {
            host.add(id, by);
        }
    }
}

fn text(entity: Option<&EntityRef>) -> &str {
    entity.map_or(NONE, EntityRef::as_str)
}
