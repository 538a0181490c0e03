//! Issuers.

use super::keys::{endpoint, keys};
use super::{Declared, Parsed, each, in_range, not_allowed};
use crate::config::GROUP_IDS;
use crate::config::error::{ConfigError, Problem};
use crate::config::{
    Audiences, CatalogSource, ClaimName, ClaimNames, GroupMapping, Issuer, IssuerId, NameTransform, PrincipalKind,
    UserMapping, Userinfo, raw,
};
use crate::digest::digest;
use crate::entity::{DEFAULT_NAMESPACE, EntityRef};
use crate::jose::{Algorithm, ED25519};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

/// Settings that differ only in the catalog that their groups come from are different settings.
pub(super) fn issuers(
    raw: Vec<raw::Issuer>,
    texts: &[String],
    declared: Declared<'_>,
    catalog_text: &str,
) -> Parsed<Vec<Rc<Issuer>>> {
    let mut names = BTreeSet::new();
    let mut issuers = Vec::with_capacity(raw.len());
    for (index, mut issuer) in raw.into_iter().enumerate() {
        let path = format!("issuers[{index}]");
        if !names.insert(issuer.issuer.clone()) {
            let twice = Problem::Duplicate(super::without_user(&issuer.issuer));
            return Err(ConfigError::new(format!("{path}.issuer"), twice));
        }
        let text = texts.get(index).map(String::as_str).unwrap_or_default();
        let groups = groups(std::mem::take(&mut issuer.groups), declared, &format!("{path}.groups"))?;
        let catalog = if groups.needs_catalog() { catalog_text } else { "" };
        let id = IssuerId(digest(&[text.as_bytes(), catalog.as_bytes()]));
        issuers.push(Rc::new(self::issuer(issuer, id, groups, &path)?));
    }
    Ok(issuers)
}

fn issuer(mut raw: raw::Issuer, id: IssuerId, groups: GroupMapping, path: &str) -> Parsed<Issuer> {
    if raw.issuer.is_empty() {
        return Err(ConfigError::new(format!("{path}.issuer"), Problem::Empty("the exact `iss` of its tokens")));
    }
    let has_secret = raw.secret.is_some() || raw.secrets.is_some();
    let algorithms = algorithms(raw.algorithms.as_ref(), has_secret, &format!("{path}.algorithms"))?;
    let userinfo = userinfo(&raw, path)?;
    let leeway = in_range(raw.leeway_seconds, 0, 300, format!("{path}.leeway_seconds"))?;
    let max_lifetime = raw
        .max_lifetime_seconds
        .map(|seconds| in_range(seconds, 1, 31_536_000, format!("{path}.max_lifetime_seconds")))
        .transpose()?;
    let keys = keys(&mut raw, &algorithms, path)?;
    Ok(Issuer {
        id,
        audiences: audiences(raw.audiences.0, &raw.audience_match, path)?,
        keys,
        algorithms,
        client_required: raw.client_required,
        userinfo,
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
        groups,
    })
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
            let newer = Some(ED25519).filter(|_| !has_secret);
            let list = fitting.iter().map(|a| a.name()).chain(newer).collect::<Vec<_>>().join(", ");
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

/// `typ` is compared without regard to case and with `application/` left out (RFC 7515 §4.1.9).
fn media_type(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").map(str::to_owned).unwrap_or(typ)
}

fn claim_names(raw: raw::Claims, path: &str) -> Parsed<ClaimNames> {
    let named = |claim: String, field: &str| {
        if claim.is_empty() {
            return Err(ConfigError::new(format!("{path}.claims.{field}"), Problem::Empty("the name of a claim")));
        }
        Ok(ClaimName(claim))
    };
    let or = |claim: Option<String>, default: &str, field| named(claim.unwrap_or_else(|| default.to_owned()), field);
    let clients = raw.client.map_or_else(|| vec!["azp".to_owned(), "client_id".to_owned()], |names| names.0);
    Ok(ClaimNames {
        user: or(raw.user, "sub", "user")?,
        groups: or(raw.groups, "groups", "groups")?,
        client: clients.into_iter().map(|claim| named(claim, "client")).collect::<Parsed<_>>()?,
        agent: or(raw.agent, "/act/sub", "agent")?,
        service: raw.service.map(|mark| service(mark, &format!("{path}.claims.service"))).transpose()?,
        audience: or(raw.audience, "aud", "audience")?,
    })
}

/// `"service"`: the claim is there; `{"gty": "client-credentials"}`: it has that value.
fn service(mark: Value, path: &str) -> Parsed<(ClaimName, Option<Value>)> {
    let one = |members: &serde_json::Map<String, Value>| match members.iter().next() {
        Some((name, value)) if members.len() == 1 && !name.is_empty() => Some((ClaimName(name.clone()), value.clone())),
        _ => None,
    };
    match &mark {
        Value::String(name) if !name.is_empty() => Ok((ClaimName(name.clone()), None)),
        Value::Object(members) if let Some((name, value)) = one(members) => Ok((name, Some(value))),
        other => {
            Err(not_allowed(path, other.to_string(), "the name of a claim, or an object with one claim and its value"))
        }
    }
}

/// A `uri` that begins with `/` is a path after the issuer's own URL, at the issuer's own `upstream`.
fn userinfo(raw: &raw::Issuer, path: &str) -> Parsed<Option<Userinfo>> {
    let Some(info) = &raw.userinfo else { return Ok(None) };
    let own = format!("{path}.userinfo");
    let (uri, upstream) = match info.uri.strip_prefix('/') {
        Some(rest) => {
            (format!("{}/{rest}", raw.issuer.trim_end_matches('/')), info.upstream.as_ref().or(raw.upstream.as_ref()))
        }
        None => (info.uri.clone(), info.upstream.as_ref()),
    };
    let name = |claim: Option<&String>, default: &str| ClaimName(claim.map_or(default, String::as_str).to_owned());
    let groups = raw.claims.groups.as_deref().unwrap_or("groups");
    Ok(Some(Userinfo {
        endpoint: endpoint(&uri, upstream.map(String::as_str), &format!("{own}.uri"), &own)?,
        groups: name(info.groups.as_ref(), groups),
        subject: name(info.subject.as_ref(), "sub"),
        timeout: Duration::from_millis(in_range(info.timeout_ms, 100, 30_000, format!("{own}.timeout_ms"))?),
    }))
}

fn groups(raw: raw::Groups, declared: Declared<'_>, path: &str) -> Parsed<GroupMapping> {
    let source = declared.catalog.map(|catalog| &catalog.source);
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
        annotation: raw.annotation.map(|name| annotation(name, source, &format!("{path}.annotation"))).transpose()?,
        parents: source.is_some_and(|source| source.parent_groups),
        table,
        transform: raw.transform.as_ref().map(transform),
        namespace: namespace(raw.namespace, &format!("{path}.namespace"))?,
        entity_refs: raw.entity_refs,
        splits_text: matches!(raw.split, raw::Split::Spaces),
        limit: raw
            .limit
            .map(|limit| in_range(limit, 1, 1000, format!("{path}.limit")))
            .transpose()?
            .map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
    })
}

/// An annotation that the index of the catalog has.
fn annotation(name: String, source: Option<&CatalogSource>, path: &str) -> Parsed<String> {
    let Some(source) = source else {
        return Err(ConfigError::new(
            path,
            Problem::Missing("names an annotation of the catalog, but there is no `catalog`"),
        ));
    };
    let own = source.group_annotations.iter().map(String::as_str);
    let names: Vec<_> = GROUP_IDS.into_iter().chain(own).collect();
    if names.contains(&name.as_str()) {
        return Ok(name);
    }
    let allowed = format!("one of {}; others have to be in `catalog.group_annotations`", names.join(", "));
    Err(not_allowed(path, name, allowed))
}

fn transform(raw: &raw::Transform) -> NameTransform {
    match raw {
        raw::Transform::Identity => NameTransform::Identity,
        raw::Transform::KebabCase => NameTransform::KebabCase,
        raw::Transform::LastPathSegment => NameTransform::LastPathSegment,
        raw::Transform::TopLevelPath => NameTransform::TopLevelPath,
        raw::Transform::EmailLocalPart => NameTransform::EmailLocalPart,
        raw::Transform::MsGraph => NameTransform::MsGraph,
    }
}

fn namespace(text: String, path: &str) -> Parsed<String> {
    match EntityRef::new("group", &text, "x") {
        Ok(_) => Ok(text.to_ascii_lowercase()),
        Err(_) => Err(not_allowed(path, text, "a Backstage namespace, a DNS label such as default")),
    }
}
