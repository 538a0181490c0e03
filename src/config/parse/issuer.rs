//! Issuers.

use super::{Parsed, each, in_range, not_allowed, once};
use crate::config::error::{ConfigError, Problem};
use crate::config::{
    Algorithm, Audiences, ClaimName, ClaimNames, FetchSettings, GroupMapping, Issuer, IssuerId, KeySource,
    NameTransform, PrincipalKind, RemoteKeys, UserMapping, raw,
};
use crate::entity::{DEFAULT_NAMESPACE, EntityRef};
use crate::jose::KeySet;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

/// Shortest secret, in bytes, for HS256: the size of its hash (RFC 7518 §3.2).
const MIN_SECRET: usize = 32;

pub(super) fn issuers(raw: Vec<raw::Issuer>, texts: &[String]) -> Parsed<Vec<Rc<Issuer>>> {
    let mut names = BTreeSet::new();
    let mut issuers = Vec::with_capacity(raw.len());
    for (index, issuer) in raw.into_iter().enumerate() {
        let path = format!("issuers[{index}]");
        once(&mut names, &issuer.issuer, format!("{path}.issuer"))?;
        let text = texts.get(index).map(String::as_str).unwrap_or_default();
        issuers.push(Rc::new(self::issuer(issuer, text, &path)?));
    }
    Ok(issuers)
}

fn issuer(raw: raw::Issuer, text: &str, path: &str) -> Parsed<Issuer> {
    if raw.issuer.is_empty() {
        return Err(ConfigError::new(format!("{path}.issuer"), Problem::Empty("the exact `iss` of its tokens")));
    }
    let algorithms = algorithms(raw.algorithms.as_ref(), raw.secret.is_some(), &format!("{path}.algorithms"))?;
    let leeway = in_range(raw.leeway_seconds, 0, 300, format!("{path}.leeway_seconds"))?;
    let max_lifetime = raw
        .max_lifetime_seconds
        .map(|seconds| in_range(seconds, 1, 31_536_000, format!("{path}.max_lifetime_seconds")))
        .transpose()?;
    Ok(Issuer {
        id: digest(text),
        audiences: audiences(raw.audiences.0, &raw.audience_match, path)?,
        keys: keys(raw.jwks, raw.jwks_uri, raw.upstream, raw.fetch, raw.secret, &algorithms, path)?,
        algorithms,
        issuer: raw.issuer,
        typ: raw.typ.0.iter().map(|typ| media_type(typ)).collect(),
        leeway: Duration::from_secs(leeway),
        max_lifetime: max_lifetime.map(Duration::from_secs),
        required_scopes: each(&raw.required_scopes.0, &format!("{path}.required_scopes"), |scope, path| {
            let valid = !scope.is_empty() && scope.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
            if valid { Ok(scope.clone()) } else { Err(not_allowed(path, scope, "a scope token (RFC 6749 §3.3)")) }
        })?,
        required_claims: raw.required_claims.into_iter().map(|(name, value)| (ClaimName(name), value)).collect(),
        default_kind: match raw.kind {
            raw::SubjectKind::User => PrincipalKind::User,
            raw::SubjectKind::Service => PrincipalKind::Service,
        },
        claims: claim_names(raw.claims, path)?,
        users: UserMapping {
            namespace: namespace(raw.users.namespace, &format!("{path}.users.namespace"))?,
            transform: transform(&raw.users.transform),
            entity_refs: raw.users.entity_refs,
        },
        groups: groups(raw.groups, &format!("{path}.groups"))?,
    })
}

fn digest(text: &str) -> IssuerId {
    let mut id = [0; 16];
    for (to, from) in id.iter_mut().zip(Sha256::digest(text.as_bytes())) {
        *to = from;
    }
    IssuerId(id)
}

fn algorithms(raw: Option<&raw::List<String>>, has_secret: bool, path: &str) -> Parsed<Vec<Algorithm>> {
    let Some(names) = raw else {
        return Ok(if has_secret {
            vec![Algorithm::Hs256]
        } else {
            vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa]
        });
    };
    let fitting: Vec<_> = Algorithm::ALL.into_iter().filter(|a| a.is_symmetric() == has_secret).collect();
    if names.0.is_empty() {
        return Err(ConfigError::new(path, Problem::Empty("at least one algorithm")));
    }
    each(&names.0, path, |name, path| {
        Algorithm::from_name(name).filter(|algorithm| fitting.contains(algorithm)).ok_or_else(|| {
            let list = fitting.iter().map(|a| a.name()).collect::<Vec<_>>().join(", ");
            let why = if has_secret { "of an issuer with a secret" } else { "of an issuer without a secret" };
            not_allowed(path, name, format!("one {why}: {list}"))
        })
    })
}

fn audiences(list: Vec<String>, matching: &raw::AudienceMatch, path: &str) -> Parsed<Audiences> {
    let path = format!("{path}.audiences");
    if list.iter().any(String::is_empty) {
        return Err(ConfigError::new(path, Problem::Empty("an audience that is not the empty text")));
    }
    match (matching, list.is_empty()) {
        (raw::AudienceMatch::Any, false) => Ok(Audiences::AnyOf(list)),
        (raw::AudienceMatch::All, false) => Ok(Audiences::AllOf(list)),
        (raw::AudienceMatch::Unchecked, true) => Ok(Audiences::Unchecked),
        (raw::AudienceMatch::Unchecked, false) => {
            Err(ConfigError::new(path, Problem::Conflict("lists audiences that `audience_match: unchecked` ignores")))
        }
        (_, true) => {
            Err(ConfigError::new(path, Problem::Empty("at least one audience, or `audience_match: unchecked`")))
        }
    }
}

fn keys(
    jwks: Option<serde_json::Value>,
    uri: Option<String>,
    upstream: Option<String>,
    fetch: Option<raw::Fetch>,
    secret: Option<raw::Secret>,
    algorithms: &[Algorithm],
    path: &str,
) -> Parsed<KeySource> {
    if uri.is_none() && (upstream.is_some() || fetch.is_some()) {
        let problem = Problem::Conflict("has `upstream` or `fetch`, which only go with `jwks_uri`");
        return Err(ConfigError::new(path, problem));
    }
    match (jwks, uri, secret) {
        (Some(jwks), None, None) => inline(&jwks, &format!("{path}.jwks")),
        (None, Some(uri), None) => remote(&uri, upstream, fetch.unwrap_or_default(), path).map(KeySource::Remote),
        (None, None, Some(secret)) => shared(secret, algorithms, &format!("{path}.secret")),
        (None, None, None) => {
            Err(ConfigError::new(path, Problem::Missing("has no keys; it needs one of `jwks`, `jwks_uri`, `secret`")))
        }
        _ => Err(ConfigError::new(path, Problem::Conflict("must have only one of `jwks`, `jwks_uri`, `secret`"))),
    }
}

fn inline(jwks: &serde_json::Value, path: &str) -> Parsed<KeySource> {
    let keys = KeySet::parse(jwks.to_string().as_bytes())
        .map_err(|error| ConfigError::new(path, Problem::Keys(error.to_string())))?;
    if let Some(skipped) = keys.skipped().first() {
        return Err(ConfigError::new(path, Problem::Keys(skipped.to_string())));
    }
    if keys.is_empty() {
        return Err(ConfigError::new(path, Problem::Empty("at least one key")));
    }
    Ok(KeySource::Inline(keys))
}

fn shared(secret: raw::Secret, algorithms: &[Algorithm], path: &str) -> Parsed<KeySource> {
    let min = algorithms.iter().map(|algorithm| algorithm.hash_bytes()).max().unwrap_or(MIN_SECRET);
    if secret.0.len() < min {
        return Err(ConfigError::new(path, Problem::ShortSecret { found: secret.0.len(), min }));
    }
    Ok(KeySource::Secret(secret.0.into_bytes()))
}

fn remote(uri: &str, upstream: Option<String>, fetch: raw::Fetch, path: &str) -> Parsed<RemoteKeys> {
    let bad_uri =
        || not_allowed(format!("{path}.jwks_uri"), uri, "an http or https URL without user, fragment or spaces");
    let (scheme, rest) = uri.split_once("://").ok_or_else(bad_uri)?;
    let (authority, location) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let clean =
        |text: &str, banned: &str| text.bytes().all(|b| b.is_ascii_graphic() && !banned.as_bytes().contains(&b));
    if !matches!(scheme, "http" | "https") || authority.is_empty() || !clean(authority, "@#\\") || !clean(location, "#")
    {
        return Err(bad_uri());
    }
    let upstream = upstream.ok_or_else(|| {
        ConfigError::new(path, Problem::Missing("has `jwks_uri` but no `upstream`, the `host:port` that serves it"))
    })?;
    let at = |field: &str| format!("{path}.fetch.{field}");
    let seconds = |found, min, max, field| in_range(found, min, max, at(field)).map(Duration::from_secs);
    Ok(RemoteKeys {
        scheme: scheme.to_owned(),
        authority: authority.to_owned(),
        path: if location.starts_with('/') { location.to_owned() } else { format!("/{location}") },
        upstream: dispatch_target(upstream, &format!("{path}.upstream"))?,
        fetch: FetchSettings {
            timeout: Duration::from_millis(in_range(fetch.timeout_ms, 100, 30_000, at("timeout_ms"))?),
            max_age: seconds(fetch.max_age_seconds, 10, 86_400, "max_age_seconds")?,
            stale: seconds(fetch.stale_seconds, 0, 604_800, "stale_seconds")?,
            cooldown: seconds(fetch.cooldown_seconds, 1, 3_600, "cooldown_seconds")?,
        },
    })
}

/// What Kong would trap on is refused here: a URL, a path, a bad port.
fn dispatch_target(target: String, path: &str) -> Parsed<String> {
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
        return Err(not_allowed(path, target, allowed));
    }
    Ok(target)
}

/// `typ` is compared without regard to case and with `application/` left out (RFC 7515 §4.1.9).
fn media_type(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").map(str::to_owned).unwrap_or(typ)
}

fn claim_names(raw: raw::Claims, path: &str) -> Parsed<ClaimNames> {
    let name = |claim: Option<String>, field: &str| match claim {
        Some(claim) if claim.is_empty() => {
            Err(ConfigError::new(format!("{path}.claims.{field}"), Problem::Empty("the name of a claim")))
        }
        claim => Ok(claim.map(ClaimName)),
    };
    let or = |claim: Option<ClaimName>, default: &str| claim.unwrap_or_else(|| ClaimName(default.to_owned()));
    Ok(ClaimNames {
        user: or(name(raw.user, "user")?, "sub"),
        groups: or(name(raw.groups, "groups")?, "groups"),
        client: name(raw.client, "client")?,
        agent: or(name(raw.agent, "agent")?, "/act/sub"),
        service: name(raw.service, "service")?,
    })
}

fn groups(raw: raw::Groups, path: &str) -> Parsed<GroupMapping> {
    let mut table = BTreeMap::new();
    for (claim, reference) in raw.table {
        let entity = EntityRef::parse(&reference, Some("group"), DEFAULT_NAMESPACE)
            .map_err(|error| super::entity_error(format!("{path}.table.{claim}"), &reference, error))?;
        if entity.kind() != "group" {
            return Err(not_allowed(format!("{path}.table.{claim}"), reference, "a group"));
        }
        table.insert(claim, entity);
    }
    Ok(GroupMapping {
        table,
        transform: raw.transform.as_ref().map(transform),
        namespace: namespace(raw.namespace, &format!("{path}.namespace"))?,
        entity_refs: raw.entity_refs,
    })
}

fn transform(raw: &raw::Transform) -> NameTransform {
    match raw {
        raw::Transform::Identity => NameTransform::Identity,
        raw::Transform::KebabCase => NameTransform::KebabCase,
        raw::Transform::LastPathSegment => NameTransform::LastPathSegment,
        raw::Transform::MsGraph => NameTransform::MsGraph,
    }
}

fn namespace(text: String, path: &str) -> Parsed<String> {
    match EntityRef::new("group", &text, "x") {
        Ok(_) => Ok(text.to_ascii_lowercase()),
        Err(_) => Err(not_allowed(path, text, "a Backstage namespace, a DNS label such as default")),
    }
}
