//! Credential → caller: known already, verified now, or verified once keys have come.

use super::caller::{NewCaller, Refusal};
use super::report::{Report, early_context};
use super::request::Request;
use super::upkeep::fetch_answered;
use super::userinfo::AwaitingUserinfo;
use super::verdict::deny;
use super::{Context, Effect, RequestContext, Route, State, Step, admit, verification};
use crate::config::{Issuer, IssuerId, KeySource};
use crate::denial::Denial;
use crate::http::Reply;
use crate::identity::{Keys, Signed, TokenError, Unverified, Verified, find_credential};
use crate::jose::{KeyId, KeySet};
use crate::keyring::{Fetch, RemoteKeySet, Want};
use crate::ownership;
use crate::tags::Value;
use crate::worker::{CachedPrincipal, GroupsBy};
use std::rc::Rc;
use std::time::Duration;

/// A request whose token needs a key that is not here yet.
pub(super) struct AwaitingKeys {
    route: Rc<Route>,
    request: Request,
    token: String,
    unverified: Unverified,
    fetch: Fetch,
}

/// What looking for a token's key came to.
enum Sought {
    Signed(Signed),
    Fetch(Fetch),
    Denied(Denial),
}

/// No key fits: the one finding that newer keys may change.
const NO_KEY: Denial = Denial::Token(TokenError::NoKey);

impl From<Result<Signed, Denial>> for Sought {
    fn from(outcome: Result<Signed, Denial>) -> Self {
        outcome.map_or_else(Self::Denied, Self::Signed)
    }
}

pub(super) fn identify(route: &Rc<Route>, request: Request, cx: &RequestContext<'_>) -> Step {
    if route.config.credentials.pass_cors_preflight && request.is_preflight(cx.headers) {
        return admit::preflight(route, request, cx);
    }
    let found = match find_credential(&route.config.credentials, cx.headers) {
        Ok(None) => return admit::admit(route, request, None, cx),
        Ok(Some(found)) => found,
        Err(error) => return deny(Report::new(route, request), Denial::Credential(error), cx),
    };
    match recall(route, &request, found.bytes(), cx) {
        Some(Ok(known)) => return admit::admit(route, request, Some(known), cx),
        Some(Err(error)) => return deny(Report::new(route, request), Denial::Token(error), cx),
        None => {}
    }
    let token = match found.token() {
        Ok(token) => token,
        Err(error) => return deny(Report::new(route, request), Denial::Credential(error), cx),
    };
    let unverified = match Unverified::parse(&token, &route.config.issuers, cx.now) {
        Ok(unverified) => unverified,
        Err(error) => return deny(Report::new(route, request), Denial::Token(error), cx),
    };
    match seek(route, &unverified, cx) {
        Sought::Signed(signed) => conclude(route, request, token, signed, cx),
        Sought::Denied(denial) => deny(Report::new(route, request), denial, cx),
        Sought::Fetch(fetch) => AwaitingKeys { route: route.clone(), request, token, unverified, fetch }.ask(),
    }
}

impl AwaitingKeys {
    fn ask(self) -> Step {
        let call = self.fetch.call();
        (State::AwaitingKeys(Box::new(self)), Effect::Dispatch(call))
    }

    pub(super) fn context(&self) -> Vec<(&'static str, Value)> {
        early_context(&self.route, self.request.callee.as_deref())
    }

    /// The client is gone.
    pub(super) fn abandoned(self, cx: &Context<'_>) {
        self.fetch.leave(cx.store, cx.now);
    }

    pub(super) fn answered(self, cx: &RequestContext<'_>, reply: Option<&Reply>) -> Step {
        let Self { route, request, token, unverified, fetch } = self;
        let set = fetch.set().clone();
        if let Some(fetch) = fetch_answered(fetch, cx, reply) {
            return Self { route, request, token, unverified, fetch }.ask();
        }
        let signed = match set.current(cx.store, cx.now) {
            None => Err(unavailable(&set, set.remote().fetch.cooldown, cx)),
            Some(keys) => verification::verify(&route, &unverified, Keys::Set(&keys), cx).map_err(|denial| {
                let is_known = denial != NO_KEY || !set.is_down();
                if is_known { denial } else { unavailable(&set, set.remote().fetch.cooldown, cx) }
            }),
        };
        match signed {
            Ok(signed) => conclude(&route, request, token, signed, cx),
            Err(denial) => deny(Report::new(&route, request), denial, cx),
        }
    }
}

/// What is known of a token that was seen before and whose key still counts: its caller, with its groups as the catalog has them
/// now, or why it is refused.
fn recall(
    route: &Route,
    request: &Request,
    token: &[u8],
    cx: &Context<'_>,
) -> Option<Result<Rc<CachedPrincipal>, TokenError>> {
    let found = recall_accepted(route, request, token, cx).map(Ok).or_else(|| {
        let refused = &cx.worker.refused;
        let (id, refused) = refused.borrow_mut().get(token, &route.issuer_ids, cx.now)?;
        issuer_of(route, id, refused.key, cx).map(|_| Err(refused.error.clone()))
    });
    cx.worker.telemetry.token_cache(cx.metrics, found.is_some());
    found
}

fn recall_accepted(route: &Route, request: &Request, token: &[u8], cx: &Context<'_>) -> Option<Rc<CachedPrincipal>> {
    let (id, known) = cx.worker.tokens.borrow_mut().get(token, &route.issuer_ids, cx.now)?;
    let issuer = issuer_of(route, id, known.key, cx)?;
    let catalog = request.catalog.as_deref();
    if known.groups_by == GroupsBy::of(issuer, catalog) {
        return Some(known);
    }
    let known = Rc::new(known.by_catalog(issuer, catalog));
    cx.worker.tokens.borrow_mut().replace(token, issuer.id, known.clone());
    Some(known)
}

/// The issuer with this id, if this key of it still counts.
fn issuer_of<'a>(route: &'a Route, id: IssuerId, key: KeyId, cx: &Context<'_>) -> Option<&'a Rc<Issuer>> {
    let (issuer, set) = route.issuer(id)?;
    let has_key = |set: &Rc<RemoteKeySet>| set.current(cx.store, cx.now).is_some_and(|keys| keys.has(key));
    set.is_none_or(has_key).then_some(issuer)
}

fn seek(route: &Route, unverified: &Unverified, cx: &RequestContext<'_>) -> Sought {
    let issuer = unverified.issuer();
    let verify = |keys: Keys<'_>| verification::verify(route, unverified, keys, cx);
    match (&issuer.keys, route.issuer(issuer.id).and_then(|(_, set)| set)) {
        (KeySource::Inline(keys), _) => verify(Keys::Set(keys)).into(),
        (KeySource::Secrets(secrets), _) => verify(Keys::Secrets(secrets)).into(),
        (KeySource::Remote(_), Some(set)) => seek_remote(set, &|keys| verify(Keys::Set(keys)), !route.is_shadow(), cx),
        // A remote issuer has its set from the day the route was made; without one, no key fits.
        (KeySource::Remote(_), None) => Sought::Denied(NO_KEY),
    }
}

fn seek_remote(
    set: &Rc<RemoteKeySet>,
    verify: &dyn Fn(&KeySet) -> Result<Signed, Denial>,
    may_wait: bool,
    cx: &Context<'_>,
) -> Sought {
    let is_found = |outcome: &Result<Signed, Denial>| !matches!(outcome, Err(NO_KEY));
    let known = set.current(cx.store, cx.now);
    if !(may_wait && set.is_overdue(cx.now))
        && let Some(outcome) = known.as_deref().map(verify).filter(is_found)
    {
        return outcome.into();
    }
    // What this worker does not know may be known to another: a set, a key, a fetch that runs.
    let newest = set.newest(cx.store, cx.now);
    let outcome = newest.as_deref().map(verify);
    let want = match &outcome {
        None => Want::NoKeys,
        Some(Err(NO_KEY)) => Want::UnknownKey,
        Some(_) => Want::Refresh,
    };
    if want == Want::NoKeys && !may_wait {
        return Sought::Denied(unavailable(set, set.remote().fetch.cooldown, cx));
    }
    if want == Want::UnknownKey && !may_wait {
        set.wish();
    } else if want != Want::Refresh || (may_wait && set.is_overdue(cx.now)) {
        match (set.request_fetch(cx.store, cx.now, want), want) {
            (Ok(fetch), _) => return Sought::Fetch(fetch),
            (Err(not_now), Want::NoKeys) => return Sought::Denied(unavailable(set, not_now.retry_after, cx)),
            (Err(not_now), Want::UnknownKey) if not_now.provider_down => {
                return Sought::Denied(unavailable(set, not_now.retry_after, cx));
            }
            (Err(_), Want::UnknownKey | Want::Refresh) => {}
        }
    }
    outcome.unwrap_or(Err(NO_KEY)).into()
}

fn unavailable(set: &RemoteKeySet, retry_after: Duration, cx: &Context<'_>) -> Denial {
    Denial::KeysUnavailable { had_keys: set.age(cx.now).is_some(), retry_after }
}

/// A signature is right. The claims may still be refused, and the groups may have to be asked for. What comes of it is remembered until
/// the token ends.
fn conclude(route: &Rc<Route>, request: Request, token: String, signed: Signed, cx: &RequestContext<'_>) -> Step {
    let Signed { issuer, expires, key, claims } = signed;
    let principal = claims.and_then(|claims| {
        let verified = Verified { issuer: issuer.clone(), claims, expires };
        ownership::principal(verified, request.catalog.as_deref())
    });
    let principal = match principal {
        Ok(principal) => principal,
        Err(error) => return Refusal { token, issuer, key, expires, error }.deny(route, request, cx),
    };
    let groups_by = GroupsBy::of(&issuer, request.catalog.as_deref());
    let known = CachedPrincipal { principal, key, groups_by, issuer_groups: None };
    let caller = NewCaller { route: route.clone(), request, token, issuer: issuer.clone(), known, expires };
    match AwaitingUserinfo::needed(&issuer, &caller.known) {
        // In shadow mode nobody waits. The caller is not remembered without its groups: other routes ask for them.
        Some(_) if route.is_shadow() => caller.admit_without_groups(cx),
        Some(userinfo) => AwaitingUserinfo::ask(userinfo, caller, cx),
        None => caller.remember(cx),
    }
}
