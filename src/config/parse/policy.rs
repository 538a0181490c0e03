//! Rules.

use super::{Declared, Parsed, each, is_token, not_allowed, once};
use crate::config::error::{ConfigError, Problem};
use crate::config::{AgentAccess, Allow, ClaimName, Mode, Policy, PrincipalKind, Rule, Traversal, raw};
use crate::path::PathPattern;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

const ALLOW_WORDS: &str = "anyone, authenticated, owner, consumer, catalog, a group or user such as \
                           group:default/payments, or an object {\"claims\": {…}}";
/// The name of the rule that a route has where it names none: what the catalog says.
const CATALOG_RULE: &str = "catalog";

pub(super) fn policy(raw: Option<raw::Policy>, declared: Declared<'_>) -> Parsed<Policy> {
    let missing = |path| {
        let problem = "is missing; only with a `catalog`, whose annotations then say who may call, may it be left out";
        ConfigError::new(path, Problem::Missing(problem))
    };
    if raw.is_none() && declared.catalog.is_none() {
        return Err(missing("policy"));
    }
    let raw = raw.unwrap_or_default();
    let agents = match raw.agents {
        raw::Agents::Deny => AgentAccess::Deny,
        raw::Agents::ReadOnly => AgentAccess::ReadOnly,
        raw::Agents::Allow => AgentAccess::Allow,
    };
    let traversal = match raw.traversal {
        raw::Traversal::Refuse => Traversal::Refuse,
        raw::Traversal::Pass => Traversal::Pass,
    };
    let (mode, case_sensitive) = (mode(&raw.mode), raw.case_sensitive);
    let Some(raw_rules) = raw.rules else {
        declared.catalog.ok_or_else(|| missing("policy.rules"))?;
        let (methods, paths, principals) = Default::default();
        let rule = Rule { name: CATALOG_RULE.into(), methods, paths, principals, allow: vec![Allow::Catalog] };
        return Ok(Policy { mode, agents, case_sensitive, traversal, rules: vec![rule] });
    };
    let mut names = BTreeSet::new();
    let mut rules = Vec::with_capacity(raw_rules.0.len());
    for (index, rule) in raw_rules.0.into_iter().enumerate() {
        let path = format!("policy.rules[{index}]");
        let rule = self::rule(rule, index, &path, declared)?;
        once(&mut names, &rule.name, format!("{path}.name"))?;
        rules.push(rule);
    }
    Ok(Policy { mode, agents, case_sensitive, traversal, rules })
}

pub(super) fn mode(raw: &raw::Mode) -> Mode {
    match raw {
        raw::Mode::Enforce => Mode::Enforce,
        raw::Mode::Shadow => Mode::Shadow,
    }
}

fn rule(raw: raw::Rule, index: usize, path: &str, declared: Declared<'_>) -> Parsed<Rule> {
    let name = raw.name.unwrap_or_else(|| format!("rule-{index}"));
    if name.is_empty() || name.len() > 64 || !name.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(not_allowed(format!("{path}.name"), name, "1 to 64 printable ASCII characters without spaces"));
    }
    Ok(Rule {
        name: name.into(),
        methods: each(&raw.methods.0, &format!("{path}.methods"), |text, path| method(text, path))?,
        paths: each(&raw.paths.0, &format!("{path}.paths"), |text, path| {
            PathPattern::parse(text).map_err(|problem| not_allowed(path, text, problem.to_string()))
        })?,
        principals: raw.principals.0.iter().map(kind).collect(),
        allow: each(&raw.allow.0, &format!("{path}.allow"), |value, path| allow(value, path, declared))?,
    })
}

/// Methods are compared by the letter; a lower-case one would never match.
pub(super) fn method(text: &str, path: &str) -> Parsed<String> {
    if is_token(text) && !text.bytes().any(|b| b.is_ascii_lowercase()) {
        return Ok(text.to_owned());
    }
    Err(not_allowed(path, text, "a method in upper case, such as GET"))
}

fn kind(raw: &raw::Kind) -> PrincipalKind {
    match raw {
        raw::Kind::User => PrincipalKind::User,
        raw::Kind::Service => PrincipalKind::Service,
        raw::Kind::Agent => PrincipalKind::Agent,
    }
}

fn allow(value: &Value, path: &str, declared: Declared<'_>) -> Parsed<Allow> {
    let needs = |what| Err(ConfigError::new(path, Problem::Missing(what)));
    match value {
        Value::String(word) if word == "catalog" && declared.catalog.is_some() => Ok(Allow::Catalog),
        Value::String(word) if word == "catalog" => needs("goes by the catalog, but there is no `catalog`"),
        Value::String(word) if !word.contains(':') && !Allow::WORDS.contains(&word.as_str()) => {
            Err(not_allowed(path, word, ALLOW_WORDS))
        }
        Value::String(word) => match Allow::parse(word).map_err(|problem| ConfigError::new(path, problem))? {
            Allow::Owner if !declared.owner && declared.catalog.is_none() => {
                needs("allows the owner, but the route names no `owner`, and no `catalog` that does")
            }
            allow => Ok(allow),
        },
        Value::Object(members) => claims(members, path),
        other => Err(not_allowed(path, other.to_string(), ALLOW_WORDS)),
    }
}

fn claims(members: &Map<String, Value>, path: &str) -> Parsed<Allow> {
    let claims = match (members.len(), members.get("claims")) {
        (1, Some(Value::Object(claims))) => claims,
        _ => return Err(not_allowed(path, Value::Object(members.clone()).to_string(), ALLOW_WORDS)),
    };
    if claims.is_empty() {
        return Err(ConfigError::new(format!("{path}.claims"), Problem::Empty("at least one claim and its value")));
    }
    Ok(Allow::Claims(claims.iter().map(|(name, value)| (ClaimName(name.clone()), value.clone())).collect()))
}
