//! Quotas.

use super::engine::engine;
use super::policy::{method, mode};
use super::{Parsed, each, in_range, not_allowed, once, owner};
use crate::config::error::{ConfigError, Problem};
use crate::config::{OnStoreError, Per, QuotaPolicy, Quotas, Window, raw};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Bounds the size of a record in shared data and the length of the `RateLimit` fields.
const MAX_WINDOWS: usize = 8;
const MAX_POLICIES: usize = 8;

pub(super) fn quotas(raw: raw::Quotas, has_catalog: bool) -> Parsed<Quotas> {
    let on_store_error = match raw.on_store_error {
        raw::StoreFault::Deny => OnStoreError::Deny,
        raw::StoreFault::Allow => OnStoreError::Allow,
    };
    count(raw.policies.0.len(), MAX_POLICIES, "quotas.policies")?;
    let mut names = BTreeSet::new();
    let mut policies = Vec::with_capacity(raw.policies.0.len());
    for (index, policy) in raw.policies.0.into_iter().enumerate() {
        let path = format!("quotas.policies[{index}]");
        once(&mut names, &policy.name, format!("{path}.name"))?;
        if !has_catalog && !policy.tiers.is_empty() {
            let problem = Problem::Missing("names tiers, which the catalog gives, but there is no `catalog`");
            return Err(ConfigError::new(format!("{path}.tiers"), problem));
        }
        policies.push(self::policy(policy, &path)?);
    }
    Ok(Quotas {
        mode: mode(&raw.mode),
        on_store_error,
        engine: raw.engine.map(engine).transpose()?.map(Rc::new),
        x_ratelimit_headers: raw.x_ratelimit_headers,
        policies,
    })
}

fn policy(raw: raw::QuotaPolicy, path: &str) -> Parsed<QuotaPolicy> {
    let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if raw.name.is_empty() || raw.name.len() > 32 || !raw.name.bytes().all(valid) {
        return Err(not_allowed(format!("{path}.name"), raw.name, "1 to 32 letters, digits, '-', '_' and '.'"));
    }
    let mut overrides = BTreeMap::new();
    for (reference, texts) in &raw.overrides {
        let path = format!("{path}.overrides.{reference}");
        overrides.insert(owner(reference, &path)?, windows(&texts.0, &path)?);
    }
    let mut tiers = BTreeMap::new();
    for (tier, texts) in &raw.tiers {
        tiers.insert(tier.clone(), windows(&texts.0, &format!("{path}.tiers.{tier}"))?);
    }
    let mut cost = BTreeMap::new();
    for (name, units) in &raw.cost {
        let path = format!("{path}.cost.{name}");
        let units = in_range(*units, 0, 1_000_000, path.as_str())?;
        cost.insert(method(name, &path)?, u32::try_from(units).unwrap_or(u32::MAX));
    }
    let policy = QuotaPolicy {
        per: match raw.per {
            raw::Per::Group => Per::Group,
            raw::Per::User => Per::User,
            raw::Per::Client => Per::Client,
            raw::Per::Entity => Per::Entity,
        },
        windows: windows(&raw.windows.0, &format!("{path}.windows"))?,
        overrides,
        tiers,
        cost,
        name: raw.name.into(),
    };
    payable(&policy, path)?;
    Ok(policy)
}

/// A request that costs more than a window holds would be refused for good, and be told to come back later.
fn payable(policy: &QuotaPolicy, path: &str) -> Parsed<()> {
    let all = [&policy.windows].into_iter().chain(policy.overrides.values()).chain(policy.tiers.values());
    let smallest = all.flatten().map(|window| window.limit).min().unwrap_or(u32::MAX);
    for (method, units) in &policy.cost {
        in_range(u64::from(*units), 0, u64::from(smallest), format!("{path}.cost.{method}"))?;
    }
    Ok(())
}

fn windows(texts: &[String], path: &str) -> Parsed<Vec<Window>> {
    count(texts.len(), MAX_WINDOWS, path)?;
    let windows = each(texts, path, |text, path| {
        Window::parse(text).map_err(|problem| not_allowed(path, text, problem.to_string()))
    })?;
    let lengths: BTreeSet<_> = windows.iter().map(|window| window.length).collect();
    if lengths.len() < windows.len() {
        return Err(ConfigError::new(path, Problem::Conflict("has two windows of one length; keep the smaller limit")));
    }
    Ok(windows)
}

fn count(found: usize, max: usize, path: &str) -> Parsed<()> {
    let found = u64::try_from(found).unwrap_or(u64::MAX);
    in_range(found, 1, u64::try_from(max).unwrap_or(u64::MAX), path).map(|_| ())
}
