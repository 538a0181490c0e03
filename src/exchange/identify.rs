//! Credential → caller: known already, verified now, or verified once keys have come.

use super::report::{Report, early_context};
use super::request::Request;
use super::userinfo::AwaitingUserinfo;
use super::{Context, Effect, RequestContext, Route, State, Step, admit, deny, fetch_answered, verification};
use crate::config::{Issuer, KeySource};
use crate::denial::Denial;
use crate::host::UnixMillis;
use crate::http::Reply;
use crate::identity::{Entry, Groups, GroupsUnknown, Keys, TokenError, Unverified, Verified, find_credential};
use crate::jose::{Cost, KeySet};
use crate::keyring::{Fetch, RemoteKeySet, Want};
use crate::ownership;
use crate::tags::Value;
use crate::worker::{GroupsBy, Known};
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
    Verified(Verified),
    Fetch(Fetch),
    Denied(Denial),
}

/// No key fits: the one finding that newer keys may change.
const NO_KEY: Denial = Denial::Token(TokenError::NoKey);

impl From<Result<Verified, Denial>> for Sought {
    fn from(outcome: Result<Verified, Denial>) -> Self {
        outcome.map_or_else(Self::Denied, Self::Verified)
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
    if let Some(known) = recall(route, &request, found.bytes(), cx) {
        return admit::admit(route, request, Some(known), cx);
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
        Sought::Verified(verified) => welcome(route, request, token, verified, cx),
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
        let verified = match set.current(cx.store, cx.now) {
            None => Err(unavailable(&set, set.remote().fetch.cooldown, cx)),
            Some(keys) => verification::verify(&route, &unverified, Keys::Set(&keys), cx).map_err(|denial| {
                let is_known = denial != NO_KEY || !set.is_down();
                if is_known { denial } else { unavailable(&set, set.remote().fetch.cooldown, cx) }
            }),
        };
        match verified {
            Ok(verified) => welcome(&route, request, token, verified, cx),
            Err(denial) => deny(Report::new(&route, request), denial, cx),
        }
    }
}

/// The caller of a token that was verified before and whose key still counts, with its groups as the catalog has them now.
fn recall(route: &Route, request: &Request, token: &[u8], cx: &Context<'_>) -> Option<Rc<Known>> {
    let found = cx.worker.tokens.borrow_mut().get(token, &route.issuer_ids, cx.now);
    let known = found.and_then(|(id, known)| {
        let (issuer, set) = route.issuer(id)?;
        let has_key = |set: &Rc<RemoteKeySet>| set.current(cx.store, cx.now).is_some_and(|keys| keys.has(known.key));
        set.is_none_or(has_key).then_some((issuer, known))
    });
    cx.worker.telemetry.token_cache(cx.metrics, known.is_some());
    let (issuer, known) = known?;
    let catalog = request.catalog.as_deref();
    if known.groups_by == GroupsBy::of(issuer, catalog) {
        return Some(known);
    }
    let known = Rc::new(known.by_catalog(issuer, catalog));
    cx.worker.tokens.borrow_mut().replace(token, issuer.id, known.clone());
    Some(known)
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
    verify: &dyn Fn(&KeySet) -> Result<Verified, Denial>,
    may_wait: bool,
    cx: &Context<'_>,
) -> Sought {
    let is_found = |outcome: &Result<Verified, Denial>| !matches!(outcome, Err(NO_KEY));
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

/// A token has held. Its groups may have to be asked for; then its caller is remembered until the token ends.
fn welcome(route: &Rc<Route>, request: Request, token: String, verified: Verified, cx: &RequestContext<'_>) -> Step {
    let (expires, key, spent) = (verified.expires, verified.key, verified.spent);
    let issuer = verified.issuer.clone();
    let principal = match ownership::principal(verified, request.catalog.as_deref()) {
        Ok(principal) => principal,
        Err(error) => {
            let denial = verification::in_vain(route, error, spent, cx);
            return deny(Report::new(route, request), denial, cx);
        }
    };
    let groups_by = GroupsBy::of(&issuer, request.catalog.as_deref());
    let known = Known { principal, key, groups_by, told: None };
    let newcomer = Newcomer { route: route.clone(), request, token, issuer: issuer.clone(), known, expires, spent };
    match AwaitingUserinfo::needed(&issuer, &newcomer.known) {
        // In shadow mode nobody waits. The caller is not remembered without its groups: other routes ask for them.
        Some(_) if route.is_shadow() => newcomer.admit_without_groups(cx),
        Some(userinfo) => AwaitingUserinfo::ask(userinfo, newcomer, cx),
        None => newcomer.remember(cx),
    }
}

/// A caller whose token has just been verified.
pub(super) struct Newcomer {
    pub route: Rc<Route>,
    pub request: Request,
    pub token: String,
    pub issuer: Rc<Issuer>,
    pub known: Known,
    /// Until when it is remembered.
    pub expires: UnixMillis,
    /// What looking at its signature cost.
    pub spent: Cost,
}

impl Newcomer {
    fn admit_without_groups(mut self, cx: &RequestContext<'_>) -> Step {
        self.known.principal.groups = Groups::Unknown(GroupsUnknown::Unavailable);
        admit::admit(&self.route, self.request, Some(Rc::new(self.known)), cx)
    }

    pub(super) fn remember(self, cx: &RequestContext<'_>) -> Step {
        let bytes = self.known.told_bytes();
        let known = Rc::new(self.known);
        let entry =
            Entry { issuer: self.issuer.id, learned: cx.now, expires: self.expires, bytes, known: known.clone() };
        cx.worker.tokens.borrow_mut().insert(self.token, entry);
        admit::admit(&self.route, self.request, Some(known), cx)
    }
}
