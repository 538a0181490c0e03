//! The catalog.

use super::keys::endpoint;
use super::{Parsed, in_range, not_allowed, once};
use crate::config::error::{ConfigError, Problem};
use crate::config::{Catalog, CatalogSource, Consumers, OnStale, raw};
use crate::http::Endpoint;
use std::collections::BTreeSet;
use std::time::Duration;

/// Bounds the work that each group costs.
const MAX_ANNOTATIONS: usize = 8;

pub(super) fn catalog(raw: raw::Catalog) -> Parsed<Catalog> {
    let at = |field: &str| format!("catalog.{field}");
    let seconds = |found, min, max, field| in_range(found, min, max, at(field)).map(Duration::from_secs);
    Ok(Catalog {
        max_stale: seconds(raw.max_stale_seconds, 10, 604_800, "max_stale_seconds")?,
        on_stale: match raw.on_stale {
            raw::OnStale::Deny => OnStale::Deny,
            raw::OnStale::Allow => OnStale::Allow,
            raw::OnStale::Static => OnStale::Static,
        },
        source: CatalogSource {
            backend: backend(&raw.url, raw.upstream.as_deref())?,
            authorization: raw.token.map(|token| authorization(&token.0)).transpose()?,
            refresh: seconds(raw.refresh_seconds, 5, 3_600, "refresh_seconds")?,
            timeout: Duration::from_millis(in_range(raw.timeout_ms, 100, 30_000, at("timeout_ms"))?),
            page_size: in_range(raw.page_size, 10, 2_000, at("page_size"))?,
            consumers: match raw.consumers {
                raw::Consumers::Declared => Consumers::Declared,
                raw::Consumers::Approved => Consumers::Approved,
                raw::Consumers::None => Consumers::None,
            },
            system_consumers: raw.system_consumers,
            parent_groups: raw.parent_groups,
            group_annotations: annotations(raw.group_annotations.0)?,
        },
    })
}

/// The base URL without a `/` at its end, so that paths can be put after it.
fn backend(url: &str, upstream: Option<&str>) -> Parsed<Endpoint> {
    let mut backend = endpoint(url, upstream, "catalog.url", "catalog")?;
    if backend.path.contains('?') {
        return Err(not_allowed("catalog.url", url, "the base URL of a Backstage backend, without a query"));
    }
    backend.path.truncate(backend.path.trim_end_matches('/').len());
    Ok(backend)
}

fn authorization(token: &str) -> Parsed<String> {
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        let problem = Problem::Missing("must be a text of printable ASCII characters without spaces, not empty");
        return Err(ConfigError::new("catalog.token", problem));
    }
    Ok(format!("Bearer {token}"))
}

fn annotations(names: Vec<String>) -> Parsed<Vec<String>> {
    let path = |index: usize| format!("catalog.group_annotations[{index}]");
    let found = u64::try_from(names.len()).unwrap_or(u64::MAX);
    in_range(found, 0, u64::try_from(MAX_ANNOTATIONS).unwrap_or(u64::MAX), "catalog.group_annotations.length")?;
    let mut seen = BTreeSet::new();
    for (index, name) in names.iter().enumerate() {
        let valid =
            name.len() <= 253 + 1 + 63 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b));
        if name.is_empty() || !valid {
            return Err(not_allowed(path(index), name, "the name of an annotation, such as acme.example/role"));
        }
        once(&mut seen, name, path(index))?;
    }
    Ok(names)
}
