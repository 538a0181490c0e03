//! Credential and token: where it is, what it says, and which checks it passed.

use super::{Run, named};
use crate::explain::calls::url;
use crate::explain::model::{self, CheckOutcome, CheckTrace};
use backstage_kong::config::{Audiences, Issuer, KeySource};
use backstage_kong::denial::Denial;
use backstage_kong::exchange::Findings;
use backstage_kong::host::RequestHeaders;
use backstage_kong::identity::claims::Claims;
use backstage_kong::identity::{Check, client, find_credential};
use backstage_kong::jose::{KeyId, KeySet};
use backstage_kong::telemetry::rfc3339;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// Longest value of a header or claim that is shown.
const MAX_SHOWN: usize = 120;

/// Where a token is looked for, and the token, if one is there.
pub(super) fn credential(run: &Run<'_>) -> (model::Credential, Option<String>) {
    let credentials = &run.config().credentials;
    let scheme = credentials.scheme.as_ref().map(|scheme| format!(" ({scheme})")).unwrap_or_default();
    let cookie = credentials.cookie.as_ref().map(|name| format!(" or cookie {name}")).unwrap_or_default();
    let looked_in = format!("header {}{scheme}{cookie}", credentials.header);
    let found =
        find_credential(credentials, run.request).and_then(|found| found.map(|found| found.token()).transpose());
    match found {
        Ok(None) => (model::Credential { looked_in, found: "none".to_owned(), bytes: None }, None),
        Ok(Some(token)) => {
            let is_in_header = run.request.get(&credentials.header).is_some();
            let place = if is_in_header { "in the header" } else { "in the cookie" };
            let bytes = Some(token.len());
            (model::Credential { looked_in, found: place.to_owned(), bytes }, Some(token))
        }
        Err(error) => (model::Credential { looked_in, found: error.to_string(), bytes: None }, None),
    }
}

/// What a token says, whether or not it holds: read for this explanation only.
struct Shown {
    header: Map<String, Value>,
    claims: Option<Claims>,
}

impl Shown {
    fn read(token: &str) -> Self {
        let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap_or_default());
        let header = parts.next().and_then(|part| serde_json::from_slice(&part).ok()).unwrap_or_default();
        Self { header, claims: parts.next().and_then(|part| Claims::parse(&part).ok()) }
    }

    fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.as_ref()?.member(name)
    }

    fn issuer(&self) -> &str {
        self.claim("iss").and_then(Value::as_str).unwrap_or_default()
    }
}

pub(super) fn token(run: &Run<'_>, findings: &Findings<'_>, token: &str) -> model::Token {
    let shown = Shown::read(token);
    let failed = match findings.denial {
        Some(Denial::Token(error)) => Some((error.check(), error.to_string())),
        Some(Denial::KeysUnavailable { .. }) => Some((Check::Key, "the issuer's keys are not to be had".to_owned())),
        Some(denial @ Denial::VerificationBudget(_)) => {
            Some((Check::Signature, denial.detail().unwrap_or_else(|| denial.reason().to_owned())))
        }
        _ => None,
    };
    let issuer = run.issuer(shown.issuer());
    let asked_userinfo = issuer.and_then(|issuer| issuer.userinfo.as_ref());
    let was_asked = asked_userinfo
        .is_some_and(|userinfo| run.calls.traces.iter().any(|trace| trace.url == url(&userinfo.endpoint)));
    let checks = Check::ALL.into_iter().map(|check| {
        let (demand, detail) = detail(check, run, &shown, issuer, was_asked);
        let outcome = match &failed {
            Some((failed, _)) if check == *failed => CheckOutcome::Failed,
            Some((failed, _)) if check > *failed => CheckOutcome::NotReached,
            _ if run.assumed && is_assumed(check) => CheckOutcome::Assumed,
            _ if !demand => CheckOutcome::NotDemanded,
            _ => CheckOutcome::Passed,
        };
        let detail = match (outcome, &failed) {
            (CheckOutcome::Failed, Some((_, error))) => format!("{error}: {detail}"),
            (CheckOutcome::Assumed, _) => "taken for granted".to_owned(),
            (CheckOutcome::NotReached, _) if run.assumed && is_assumed(check) => String::new(),
            _ => detail,
        };
        CheckTrace { check: check.name(), outcome, detail }
    });
    let checks = checks.collect();
    let verified_by = findings.known.filter(|_| !run.assumed).and_then(|known| kid(run, issuer, known.key));
    let claims = shown.claims.as_ref().map(all).unwrap_or_default();
    let header = if run.assumed { Map::new() } else { shown.header };
    model::Token { header, claims, verified_by, checks }
}

fn all(claims: &Claims) -> Map<String, Value> {
    claims.members().clone()
}

/// What the token itself would have shown.
fn is_assumed(check: Check) -> bool {
    matches!(check, Check::Form | Check::Critical | Check::Algorithm | Check::Type | Check::Key | Check::Signature)
}

/// Whether a check demands anything here, and what was found for it.
fn detail(check: Check, run: &Run<'_>, shown: &Shown, issuer: Option<&Issuer>, was_asked: bool) -> (bool, String) {
    let header = |name: &str| text(shown.header.get(name));
    let known: Vec<_> = run.config().issuers.iter().map(|issuer| issuer.issuer.as_str()).collect();
    let Some(issuer) = issuer else {
        return match check {
            Check::Form => (true, "three parts, header and claims JSON".to_owned()),
            Check::Critical => (true, "crit, b64 and enc are not there".to_owned()),
            Check::Issuer => (true, format!("iss {}; the route's: {}", text(shown.claim("iss")), known.join(", "))),
            _ => (true, String::new()),
        };
    };
    match check {
        Check::Form => (true, "three parts, header and claims JSON".to_owned()),
        Check::Critical => (true, "crit, b64 and enc are not there".to_owned()),
        Check::Issuer => (true, issuer.issuer.clone()),
        Check::Algorithm => {
            let allowed: Vec<_> = issuer.algorithms.iter().map(|algorithm| algorithm.name()).collect();
            (true, format!("alg {}; allowed: {}", header("alg"), allowed.join(", ")))
        }
        Check::Type if issuer.typ.is_empty() => (false, format!("typ {}", header("typ"))),
        Check::Type => (true, format!("typ {}; demanded: {}", header("typ"), issuer.typ.join(" or "))),
        Check::Times => (true, times(issuer, shown)),
        Check::Audience => audience(issuer, shown),
        Check::Claims => {
            let demanded: Vec<_> =
                issuer.required_claims.iter().map(|(name, value)| format!("{} = {value}", name.0)).collect();
            (!demanded.is_empty(), demanded.join(", "))
        }
        Check::Client => {
            let found = shown.claims.as_ref().and_then(|claims| client(issuer, claims)).unwrap_or("none");
            (issuer.client_required, format!("{}: {}", named(&issuer.claims.client), short(found)))
        }
        Check::Key => (true, keys(run, issuer, &header("kid"))),
        Check::Signature => (true, format!("by {}", header("alg"))),
        Check::Scopes => (!issuer.required_scopes.is_empty(), issuer.required_scopes.join(", ")),
        Check::Principal => (true, format!("claim {}", issuer.claims.user.0)),
        Check::Userinfo => (was_asked, "the issuer knows the token".to_owned()),
    }
}

fn times(issuer: &Issuer, shown: &Shown) -> String {
    let date = |name: &'static str| match shown.claims.as_ref().map(|claims| claims.date(name)) {
        Some(Ok(Some(at))) => Some(format!("{name} {}", rfc3339(at))),
        Some(Ok(None)) | None => None,
        Some(Err(_)) => Some(format!("{name} {}", text(shown.claim(name)))),
    };
    let mut parts: Vec<_> = ["nbf", "iat", "exp"].into_iter().filter_map(date).collect();
    parts.push(format!("leeway {} s", issuer.leeway.as_secs()));
    parts.extend(issuer.max_lifetime.map(|longest| format!("at most {} s", longest.as_secs())));
    parts.join(", ")
}

fn audience(issuer: &Issuer, shown: &Shown) -> (bool, String) {
    let name = &issuer.claims.audience;
    let found = text(shown.claims.as_ref().and_then(|claims| claims.get(name)));
    match &issuer.audiences {
        Audiences::Unchecked => (false, format!("{} {found}", name.0)),
        Audiences::AnyOf(wanted) => (true, format!("{} {found}; one of: {}", name.0, wanted.join(", "))),
        Audiences::AllOf(wanted) => (true, format!("{} {found}; all of: {}", name.0, wanted.join(", "))),
    }
}

/// The keys of an issuer, as they are now.
fn with_keys<T>(run: &Run<'_>, issuer: &Issuer, use_them: impl FnOnce(&KeySet) -> T) -> Option<T> {
    match &issuer.keys {
        KeySource::Inline(keys) => Some(use_them(keys)),
        KeySource::Secrets(_) => None,
        KeySource::Remote(remote) => {
            let worker = run.cx.worker;
            let set = worker.keyring.set(&run.config().zones.keys, &issuer.issuer, remote);
            set.current(run.cx.store, run.cx.now).map(|keys| use_them(&keys))
        }
    }
}

fn keys(run: &Run<'_>, issuer: &Issuer, kid: &str) -> String {
    let source = match &issuer.keys {
        KeySource::Inline(_) => "given keys".to_owned(),
        KeySource::Secrets(secrets) => return format!("kid {kid}; {} shared secrets", secrets.len()),
        KeySource::Remote(remote) => url(remote.source.endpoint()),
    };
    let kids = with_keys(run, issuer, |keys| {
        let kids: Vec<_> = keys.keys().iter().map(|key| key.kid().unwrap_or("(no kid)").to_owned()).collect();
        kids.join(", ")
    });
    format!("kid {kid}; {source}: {}", kids.as_deref().unwrap_or("none"))
}

fn kid(run: &Run<'_>, issuer: Option<&Issuer>, id: KeyId) -> Option<String> {
    let issuer = issuer?;
    if matches!(issuer.keys, KeySource::Secrets(_)) {
        return Some("a shared secret".to_owned());
    }
    let found = |keys: &KeySet| {
        let key = keys.keys().iter().find(|key| key.id() == id)?;
        Some(key.kid().unwrap_or("a key without a kid").to_owned())
    };
    with_keys(run, issuer, found).flatten()
}

fn text(value: Option<&Value>) -> String {
    match value {
        None => "missing".to_owned(),
        Some(Value::String(text)) => short(text),
        Some(other) => short(&other.to_string()),
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
