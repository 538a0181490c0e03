//! Where an issuer's keys come from.

use super::{Parsed, in_range, not_allowed, without_user};
use crate::config::error::{ConfigError, Problem};
use crate::config::{FetchSettings, KeySource, RemoteKeys, RemoteSource, Secret, raw};
use crate::host::UnixMillis;
use crate::http::Endpoint;
use crate::jose::{Algorithm, KeySet, Life};
use chrono::DateTime;
use serde_json::Value;
use std::time::Duration;

/// Shortest secret, in bytes, for HS256: the size of its hash (RFC 7518 §3.2).
const MIN_SECRET: usize = 32;
/// Most secrets that an issuer may have at a time: the one in use, the next, and those on their way out.
const MAX_SECRETS: usize = 4;
const URL: &str = "an http or https URL without user, fragment or spaces";

pub(super) fn keys(raw: &mut raw::Issuer, algorithms: &[Algorithm], path: &str) -> Parsed<KeySource> {
    let (jwks, uri, secret, secrets) = (raw.jwks.take(), raw.jwks_uri.take(), raw.secret.take(), raw.secrets.take());
    let discovery = raw.discovery_uri.take();
    let remote_only = [
        ("upstream", raw.upstream.is_some() && raw.userinfo.is_none()),
        ("jwks_upstream", raw.jwks_upstream.is_some()),
        ("fetch", raw.fetch.is_some()),
    ];
    let is_remote = jwks.is_none() && secret.is_none() && secrets.is_none();
    if let Some((setting, _)) = remote_only.iter().find(|(_, there)| *there && !is_remote) {
        let problem = Problem::Conflict("only goes with keys that the provider serves, not with `jwks` or `secret`");
        return Err(ConfigError::new(format!("{path}.{setting}"), problem));
    }
    match (jwks, uri, discovery, secret, secrets) {
        (Some(jwks), None, None, None, None) => inline(&jwks, &format!("{path}.jwks")),
        (None, Some(uri), None, None, None) => by_uri(raw, &uri, path),
        (None, None, discovery, None, None) => by_discovery(raw, discovery, path),
        (None, None, None, Some(secret), None) => {
            let plain = raw::AgedSecret { secret, kid: None, rotate_by: None, not_after: None };
            Ok(KeySource::Secrets(vec![shared(plain, algorithms, path)?]))
        }
        (None, None, None, None, Some(secrets)) => aged(secrets.0, algorithms, &format!("{path}.secrets")),
        _ => Err(ConfigError::new(
            path,
            Problem::Conflict("must have only one of `jwks`, `jwks_uri`, `discovery_uri`, `secret`, `secrets`"),
        )),
    }
}

fn inline(jwks: &Value, path: &str) -> Parsed<KeySource> {
    let mut keys = KeySet::parse(jwks.to_string().as_bytes())
        .map_err(|error| ConfigError::new(path, Problem::Keys(error.to_string())))?;
    if let Some(skipped) = keys.skipped().first() {
        return Err(ConfigError::new(path, Problem::Keys(skipped.to_string())));
    }
    if keys.is_empty() {
        return Err(ConfigError::new(path, Problem::Empty("at least one key")));
    }
    let list = jwks.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let date = |key: &Value, member: &str| match key.get(member) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(other.to_string()),
    };
    let mut lives = Vec::with_capacity(list.len());
    for (index, key) in list.iter().enumerate() {
        let path = format!("{path}.keys[{index}]");
        let text = |member| {
            date(key, member).map_err(|found| not_allowed(format!("{path}.{member}"), found, "a text, a date and time"))
        };
        lives.push(life(text("rotate_by")?.as_deref(), text("not_after")?.as_deref(), &path)?);
    }
    keys.set_lives(&lives);
    Ok(KeySource::Inline(keys))
}

fn aged(secrets: Vec<raw::AgedSecret>, algorithms: &[Algorithm], path: &str) -> Parsed<KeySource> {
    let count = u64::try_from(secrets.len()).unwrap_or(u64::MAX);
    in_range(count, 1, u64::try_from(MAX_SECRETS).unwrap_or(u64::MAX), format!("{path}.length"))?;
    let parsed = secrets
        .into_iter()
        .enumerate()
        .map(|(index, secret)| shared(secret, algorithms, &format!("{path}[{index}]")))
        .collect::<Parsed<_>>()?;
    Ok(KeySource::Secrets(parsed))
}

fn shared(raw: raw::AgedSecret, algorithms: &[Algorithm], path: &str) -> Parsed<Secret> {
    let min = algorithms.iter().map(|algorithm| algorithm.hash_bytes()).max().unwrap_or(MIN_SECRET);
    let found = raw.secret.0.len();
    if found < min {
        return Err(ConfigError::new(format!("{path}.secret"), Problem::ShortSecret { found, min }));
    }
    let life = life(raw.rotate_by.as_deref(), raw.not_after.as_deref(), path)?;
    Ok(Secret { bytes: raw.secret.0.into_bytes(), kid: raw.kid, life })
}

fn life(rotate_by: Option<&str>, not_after: Option<&str>, path: &str) -> Parsed<Life> {
    let date = |text: Option<&str>, field: &str| {
        text.map(|text| {
            let parsed = DateTime::parse_from_rfc3339(text).ok();
            let millis = parsed.and_then(|date| u64::try_from(date.timestamp_millis()).ok());
            let allowed = "a date and time of RFC 3339, such as 2027-01-31T00:00:00Z";
            millis.map(UnixMillis).ok_or_else(|| not_allowed(format!("{path}.{field}"), text, allowed))
        })
        .transpose()
    };
    let life = Life { rotate_by: date(rotate_by, "rotate_by")?, not_after: date(not_after, "not_after")? };
    if let (Some(due), Some(end)) = (life.rotate_by, life.not_after)
        && end < due
    {
        return Err(ConfigError::new(path, Problem::Conflict("ends (`not_after`) before it is due (`rotate_by`)")));
    }
    Ok(life)
}

fn by_uri(raw: &mut raw::Issuer, uri: &str, path: &str) -> Parsed<KeySource> {
    if raw.jwks_upstream.is_some() {
        let problem = Problem::Conflict("only goes with discovery; beside `jwks_uri` it is `upstream`");
        return Err(ConfigError::new(format!("{path}.jwks_upstream"), problem));
    }
    let source = RemoteSource::Jwks(endpoint(uri, raw.upstream.as_deref(), &format!("{path}.jwks_uri"), path)?);
    Ok(KeySource::Remote(RemoteKeys { source, fetch: fetch(raw.fetch.take(), path)? }))
}

/// OpenID Connect Discovery §4: the issuer, any path of it included, and `/.well-known/openid-configuration` after that.
fn by_discovery(raw: &mut raw::Issuer, uri: Option<String>, path: &str) -> Parsed<KeySource> {
    let document = match uri {
        Some(uri) => endpoint(&uri, raw.upstream.as_deref(), &format!("{path}.discovery_uri"), path)?,
        None => {
            let uri = format!("{}/.well-known/openid-configuration", raw.issuer.trim_end_matches('/'));
            Endpoint::parse(&uri, None).ok_or_else(|| {
                let problem = "has no keys; it needs one of `jwks`, `jwks_uri`, `secret`, `secrets`, or an `issuer` that is \
                               a URL, whose keys are discovered";
                ConfigError::new(path, Problem::Missing(problem))
            })?;
            endpoint(&uri, raw.upstream.as_deref(), &format!("{path}.issuer"), path)?
        }
    };
    let at = format!("{path}.jwks_upstream");
    let jwks_upstream = raw.jwks_upstream.take().map(|target| dispatch_target(&target, &at)).transpose()?;
    let source = RemoteSource::Discovery { document, jwks_upstream };
    Ok(KeySource::Remote(RemoteKeys { source, fetch: fetch(raw.fetch.take(), path)? }))
}

/// A URL and where the proxy connects for it: `upstream` or, without one, the URL's own host and port.
pub(super) fn endpoint(uri: &str, upstream: Option<&str>, at: &str, path: &str) -> Parsed<Endpoint> {
    let upstream = upstream.map(|target| dispatch_target(target, &format!("{path}.upstream"))).transpose()?;
    let found = Endpoint::parse(uri, upstream.as_deref()).ok_or_else(|| not_allowed(at, without_user(uri), URL))?;
    dispatch_target(&found.upstream, at)?;
    Ok(found)
}

fn fetch(raw: Option<raw::Fetch>, path: &str) -> Parsed<FetchSettings> {
    let raw = raw.unwrap_or_default();
    let at = |field: &str| format!("{path}.fetch.{field}");
    let seconds = |found, min, max, field| in_range(found, min, max, at(field)).map(Duration::from_secs);
    Ok(FetchSettings {
        timeout: Duration::from_millis(in_range(raw.timeout_ms, 100, 30_000, at("timeout_ms"))?),
        max_age: seconds(raw.max_age_seconds, 10, 86_400, "max_age_seconds")?,
        stale: seconds(raw.stale_seconds, 0, 604_800, "stale_seconds")?,
        cooldown: seconds(raw.cooldown_seconds, 1, 3_600, "cooldown_seconds")?,
    })
}

/// What Kong would trap on is refused here: a URL, a path, a bad port.
fn dispatch_target(target: &str, path: &str) -> Parsed<String> {
    let allowed = "host, host:port, [v6]:port or unix:/path in Kong, or a cluster name in Envoy; never a URL";
    let is_unix = target.starts_with("unix:/");
    let port_fits = match target.rsplit_once(':') {
        Some((host, port)) if !is_unix && !host.is_empty() && (!host.contains(':') || host.ends_with(']')) => {
            port.parse::<u16>().is_ok_and(|port| port > 0)
        }
        Some(_) => is_unix,
        None => true,
    };
    let clean = target.bytes().all(|b| b.is_ascii_graphic()) && (is_unix || !target.contains(['/', '?', '#', '@']));
    if target.is_empty() || !clean || !port_fits {
        return Err(not_allowed(path, without_user(target), allowed));
    }
    Ok(target.to_owned())
}
