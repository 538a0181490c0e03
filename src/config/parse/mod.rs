//! Text → [`Config`]: the one place where a configuration is judged.

mod catalog;
mod engine;
mod issuer;
mod keys;
mod policy;
mod preset;
mod quota;
mod verification;

pub use preset::group_annotation;

use super::error::{ConfigError, Problem};
use super::{Audit, Catalog, Config, ConsumerHeaders, Credentials, Mode, OnStale, Quotas, Tags, Zones, raw};
use crate::entity::{DEFAULT_NAMESPACE, EntityRef};
use serde_json::Value;
use std::collections::BTreeSet;

type Parsed<T> = Result<T, ConfigError>;

impl Config {
    /// Parses the configuration of a route.
    ///
    /// # Errors
    /// The first fault, with its path, what was found there and what is allowed. Secrets are not part of any message.
    pub fn parse(text: &[u8]) -> Result<Self, ConfigError> {
        let mut value: Value =
            serde_json::from_slice(text).map_err(|e| ConfigError::new(".", Problem::Json(e.to_string())))?;
        preset::apply(&mut value)?;
        let issuer_texts = issuer_texts(&value);
        let catalog_text = value.get("catalog").map(Value::to_string).unwrap_or_default();
        let raw = raw::read(value).map_err(|error| ConfigError::new(error.path, Problem::Shape(error.message)))?;
        let entity = raw.entity.as_deref().map(|text| self::entity(text, "entity")).transpose()?;
        let catalog = raw.catalog.map(catalog::catalog).transpose()?;
        let owner = raw.owner.as_deref().map(|text| self::owner(text, "owner")).transpose()?;
        let consumers = each(&raw.consumers.0, "consumers", |text, path| self::owner(text, path))?;
        let declared = Declared { owner: owner.is_some(), catalog: catalog.as_ref() };
        declared.check_entity(entity.is_some(), owner.is_some() || !consumers.is_empty())?;
        let policy = policy::policy(raw.policy, declared)?;
        let quotas = raw.quotas.map(|quotas| quota::quotas(quotas, declared.catalog.is_some())).transpose()?;
        let has_cost = |quotas: &Quotas| quotas.policies.iter().any(|policy| !policy.cost.is_empty());
        let depends_on_method =
            catalog.is_some() || policy.depends_on_method() || quotas.as_ref().is_some_and(has_cost);
        Ok(Self {
            depends_on_method,
            quotas,
            credentials: credentials(raw.credentials, policy.mode)?,
            policy,
            issuers: issuer::issuers(raw.issuers.0, &issuer_texts, declared, &catalog_text)?,
            entity,
            catalog,
            owner,
            consumers,
            verification: verification::verification(&raw.verification)?,
            tags: tags(&raw.tags),
            audit: audit(&raw.audit)?,
            metrics: raw.metrics.enabled,
            zones: zones(raw.shared_data)?,
            realm: raw.realm.map(|text| header_text(text, "realm")).transpose()?,
            resource_metadata: raw.resource_metadata.map(resource_metadata).transpose()?,
        })
    }
}

/// What the parts of a configuration can count on.
#[derive(Clone, Copy)]
struct Declared<'a> {
    /// That it names the owner.
    owner: bool,
    /// The catalog.
    catalog: Option<&'a Catalog>,
}

impl Declared<'_> {
    fn check_entity(self, has_entity: bool, has_own: bool) -> Parsed<()> {
        match self.catalog {
            None if !has_entity => {
                let problem = "is missing; a route without a `catalog` has to name the entity behind it";
                Err(ConfigError::new("entity", Problem::Missing(problem)))
            }
            Some(Catalog { on_stale: OnStale::Static, .. }) if !(has_entity && has_own) => {
                let problem = "is `static`, which needs the route's own `entity`, and its `owner` or `consumers`";
                Err(ConfigError::new("catalog.on_stale", Problem::Missing(problem)))
            }
            _ => Ok(()),
        }
    }
}

/// The text of each issuer's settings, members sorted, so that equal settings digest alike.
fn issuer_texts(config: &Value) -> Vec<String> {
    config.get("issuers").and_then(Value::as_array).into_iter().flatten().map(Value::to_string).collect()
}

fn credentials(raw: raw::Credentials, mode: Mode) -> Parsed<Credentials> {
    let header = raw.header.to_ascii_lowercase();
    if !is_token(&header) {
        return Err(not_allowed("credentials.header", raw.header, "a header name (RFC 9110 §5.1)"));
    }
    if !may_carry_credentials(&header) {
        let allowed = "a header that neither the gateway nor this filter uses for something else";
        return Err(not_allowed("credentials.header", raw.header, allowed));
    }
    let scheme = raw.scheme.unwrap_or_else(|| (header == "authorization").then(|| "Bearer".to_owned()));
    if let Some(scheme) = scheme.as_deref().filter(|scheme| !is_token(scheme)) {
        return Err(not_allowed("credentials.scheme", scheme, "an authentication scheme such as Bearer, or null"));
    }
    if let Some(cookie) = raw.cookie.as_deref().filter(|cookie| !is_token(cookie)) {
        return Err(not_allowed("credentials.cookie", cookie, "a cookie name (RFC 6265 §4.1.1), or null"));
    }
    let max = in_range(raw.max_token_bytes, 256, 65_536, "credentials.max_token_bytes")?;
    Ok(Credentials {
        header,
        scheme,
        cookie: raw.cookie,
        forward_token: raw.forward_token.unwrap_or(mode == Mode::Shadow),
        pass_cors_preflight: matches!(raw.cors_preflight, raw::Preflight::Pass),
        max_token_bytes: usize::try_from(max).unwrap_or(usize::MAX),
    })
}

/// Whether a header can be emptied on its way to the upstream without harm.
fn may_carry_credentials(header: &str) -> bool {
    const OTHERS: [&str; 14] = [
        "baggage",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "te",
        "traceparent",
        "tracestate",
        "transfer-encoding",
        "upgrade",
        "x-request-id",
    ];
    const TAGS: [&str; 9] = [
        "x-anonymous-consumer",
        "x-backstage-agent",
        "x-backstage-client",
        "x-backstage-entity",
        "x-backstage-groups",
        "x-backstage-owner",
        "x-backstage-user",
        "x-consumer-",
        "x-credential-",
    ];
    !OTHERS.contains(&header) && !TAGS.iter().any(|tag| header.replace('_', "-").starts_with(tag))
}

fn tags(raw: &raw::Tags) -> Tags {
    let consumer_headers = match raw.consumer_headers {
        raw::ConsumerHeaders::Strip => ConsumerHeaders::Strip,
        raw::ConsumerHeaders::Set => ConsumerHeaders::Set,
        raw::ConsumerHeaders::Keep => ConsumerHeaders::Keep,
    };
    Tags { baggage: raw.baggage, consumer_headers, context: raw.context }
}

fn audit(raw: &raw::Audit) -> Parsed<Audit> {
    let log_level = match raw.log_level {
        raw::Level::Error => log::Level::Error,
        raw::Level::Warn => log::Level::Warn,
        raw::Level::Info => log::Level::Info,
        raw::Level::Debug => log::Level::Debug,
    };
    if !(0.0..=1.0).contains(&raw.sample_allows) {
        let problem = Problem::Range { found: raw.sample_allows.to_string(), min: 0, max: 1 };
        return Err(ConfigError::new("audit.sample_allows", problem));
    }
    Ok(Audit { log_level, sample_allows: raw.sample_allows, answers: raw.answers })
}

fn zones(raw: raw::SharedData) -> Parsed<Zones> {
    let keys = zone(raw.keys_zone, "shared_data.keys_zone")?;
    let quota = zone(raw.quota_zone, "shared_data.quota_zone")?;
    let catalog = zone(raw.catalog_zone, "shared_data.catalog_zone")?;
    Ok(Zones { keys, quota, catalog })
}

/// A zone's name ends where Kong finds the first `/` of a key, and is part of an nginx directive.
fn zone(name: String, path: &str) -> Parsed<String> {
    let valid = !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if valid { Ok(name) } else { Err(not_allowed(path, name, "1 to 64 letters, digits and underscores")) }
}

fn resource_metadata(url: String) -> Parsed<String> {
    let url = header_text(url, "resource_metadata")?;
    if url.starts_with("https://") || url.starts_with("http://") {
        return Ok(url);
    }
    Err(not_allowed("resource_metadata", without_user(&url), "an http or https URL (RFC 9728)"))
}

/// A text that goes into a quoted header parameter.
fn header_text(text: String, path: &str) -> Parsed<String> {
    let valid = !text.is_empty() && text.len() <= 512 && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    if valid { Ok(text) } else { Err(not_allowed(path, without_user(&text), "1 to 512 printable ASCII characters")) }
}

fn entity(text: &str, path: &str) -> Parsed<EntityRef> {
    EntityRef::parse(text, None, DEFAULT_NAMESPACE).map_err(|error| entity_error(path, text, error))
}

/// An owner or consumer: a group unless the kind is written, never anything but a group or a user.
fn owner(text: &str, path: &str) -> Parsed<EntityRef> {
    let entity = EntityRef::parse(text, Some("group"), DEFAULT_NAMESPACE).map_err(|e| entity_error(path, text, e))?;
    if matches!(entity.kind(), "group" | "user") {
        return Ok(entity);
    }
    Err(not_allowed(path, text, "a group or a user, such as group:default/payments"))
}

fn entity_error(path: impl Into<String>, found: &str, error: crate::entity::EntityRefError) -> ConfigError {
    ConfigError::new(path, Problem::Entity { found: found.to_owned(), error })
}

fn not_allowed(path: impl Into<String>, found: impl Into<String>, allowed: impl Into<String>) -> ConfigError {
    ConfigError::new(path, Problem::NotAllowed { found: found.into(), allowed: allowed.into() })
}

/// A URL without what stands before its host: that can be a password. What is no URL either is cut at its last `@`.
fn without_user(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((before, rest)) => {
            let scheme = before.split_once("://").map(|(scheme, _)| format!("{scheme}://")).unwrap_or_default();
            format!("{scheme}…@{rest}")
        }
        None => url.to_owned(),
    }
}

fn in_range(found: u64, min: u64, max: u64, path: impl Into<String>) -> Parsed<u64> {
    if (min..=max).contains(&found) {
        return Ok(found);
    }
    Err(ConfigError::new(path, Problem::Range { found: found.to_string(), min, max }))
}

/// Parses each item under its own path, `path[index]`.
fn each<T, U>(items: &[T], path: &str, parse: impl Fn(&T, &str) -> Parsed<U>) -> Parsed<Vec<U>> {
    items.iter().enumerate().map(|(index, item)| parse(item, &format!("{path}[{index}]"))).collect()
}

/// Refuses a text that stands twice.
fn once(seen: &mut BTreeSet<String>, text: &str, path: impl Into<String>) -> Parsed<()> {
    if seen.insert(text.to_owned()) {
        return Ok(());
    }
    Err(ConfigError::new(path, Problem::Duplicate(text.to_owned())))
}

/// A token of RFC 9110 §5.6.2: header names, schemes, methods, cookie names.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod canary_tests;
#[cfg(test)]
mod tests;
