//! Credential → caller: known already, verified now, or verified once keys have come.

use super::report::Report;
use super::request::Request;
use super::userinfo::AwaitingUserinfo;
use super::{Around, Effect, Exchange, Route, State, admit, deny, fetch_answered, verification};
use crate::config::{Issuer, KeySource};
use crate::denial::Denial;
use crate::host::{RequestHeaders, UnixMillis};
use crate::http::Reply;
use crate::identity::{Keys, TokenError, Unverified, Verified, find_credential};
use crate::jose::KeySet;
use crate::keyring::{Fetch, RemoteKeySet, Want};
use crate::ownership;
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

pub(super) fn identify(
    route: &Rc<Route>,
    request: Request,
    around: &Around<'_>,
    headers: &dyn RequestHeaders,
) -> (Exchange, Effect) {
    let found = match find_credential(&route.config.credentials, headers) {
        Ok(None) => return admit::admit(route, request, None, around, headers),
        Ok(Some(found)) => found,
        Err(error) => return deny(Report::new(route, request), Denial::Credential(error), around, headers),
    };
    if let Some(known) = recall(route, &request, found.bytes(), around) {
        return admit::admit(route, request, Some(known), around, headers);
    }
    let token = match found.token() {
        Ok(token) => token,
        Err(error) => return deny(Report::new(route, request), Denial::Credential(error), around, headers),
    };
    let unverified = match Unverified::parse(&token, &route.config.issuers, around.now) {
        Ok(unverified) => unverified,
        Err(error) => return deny(Report::new(route, request), Denial::Token(error), around, headers),
    };
    match seek(route, &unverified, around, headers) {
        Sought::Verified(verified) => welcome(route, request, token, verified, around, headers),
        Sought::Denied(denial) => deny(Report::new(route, request), denial, around, headers),
        Sought::Fetch(fetch) => AwaitingKeys { route: route.clone(), request, token, unverified, fetch }.ask(),
    }
}

impl AwaitingKeys {
    fn ask(self) -> (Exchange, Effect) {
        let call = self.fetch.call();
        (Exchange(State::AwaitingKeys(Box::new(self))), Effect::Dispatch(call))
    }

    pub(super) fn answered(
        self,
        around: &Around<'_>,
        headers: &dyn RequestHeaders,
        reply: Option<&Reply>,
    ) -> (Exchange, Effect) {
        let Self { route, request, token, unverified, fetch } = self;
        let set = fetch.set().clone();
        if let Some(fetch) = fetch_answered(fetch, around, reply) {
            return Self { route, request, token, unverified, fetch }.ask();
        }
        let verified = match set.current(around.store, around.now) {
            None => Err(unavailable(&set, set.remote().fetch.cooldown, around)),
            Some(keys) => {
                verification::verify(&route, &unverified, Keys::Set(&keys), around, headers).map_err(|denial| {
                    let is_known = denial != NO_KEY || !set.is_down();
                    if is_known { denial } else { unavailable(&set, set.remote().fetch.cooldown, around) }
                })
            }
        };
        match verified {
            Ok(verified) => welcome(&route, request, token, verified, around, headers),
            Err(denial) => deny(Report::new(&route, request), denial, around, headers),
        }
    }
}

/// The caller of a token that was verified before, whose key still counts, and whose groups are as the catalog has them now.
fn recall(route: &Route, request: &Request, token: &[u8], around: &Around<'_>) -> Option<Rc<Known>> {
    let found = around.worker.tokens.borrow_mut().get(token, &route.issuer_ids, around.now);
    let known = found.and_then(|(issuer, known)| match route.key_set(issuer) {
        None => Some(known),
        Some(set) => set.current(around.store, around.now).filter(|keys| keys.has(known.key)).map(|_| known),
    });
    let known = known.filter(|known| match known.groups_by {
        GroupsBy::Token => true,
        GroupsBy::Catalog(version) => version == groups_version(request),
    });
    around.worker.telemetry.token_cache(around.metrics, known.is_some());
    known
}

fn groups_version(request: &Request) -> Option<u128> {
    request.catalog.as_ref().map(|catalog| catalog.groups.version())
}

fn seek(route: &Route, unverified: &Unverified, around: &Around<'_>, headers: &dyn RequestHeaders) -> Sought {
    let issuer = unverified.issuer();
    let verify = |keys: Keys<'_>| verification::verify(route, unverified, keys, around, headers);
    match (&issuer.keys, route.key_set(issuer.id)) {
        (KeySource::Inline(keys), _) => verify(Keys::Set(keys)).into(),
        (KeySource::Secrets(secrets), _) => verify(Keys::Secrets(secrets)).into(),
        (KeySource::Remote(_), Some(set)) => seek_remote(set, &|keys| verify(Keys::Set(keys)), around),
        // A remote issuer has its set from the day the route was made; without one, no key fits.
        (KeySource::Remote(_), None) => Sought::Denied(NO_KEY),
    }
}

fn seek_remote(
    set: &Rc<RemoteKeySet>,
    verify: &dyn Fn(&KeySet) -> Result<Verified, Denial>,
    around: &Around<'_>,
) -> Sought {
    let is_found = |outcome: &Result<Verified, Denial>| !matches!(outcome, Err(NO_KEY));
    let known = set.current(around.store, around.now);
    if !set.is_overdue(around.now)
        && let Some(outcome) = known.as_deref().map(verify).filter(is_found)
    {
        return outcome.into();
    }
    // What this worker does not know may be known to another: a set, a key, a fetch that runs.
    let newest = set.newest(around.store, around.now);
    let outcome = newest.as_deref().map(verify);
    let want = match &outcome {
        None => Want::NoKeys,
        Some(Err(NO_KEY)) => Want::UnknownKey,
        Some(_) => Want::Refresh,
    };
    if want != Want::Refresh || set.is_overdue(around.now) {
        match (set.request_fetch(around.store, around.now, want), want) {
            (Ok(fetch), _) => return Sought::Fetch(fetch),
            (Err(not_now), Want::NoKeys) => return Sought::Denied(unavailable(set, not_now.retry_after, around)),
            (Err(not_now), Want::UnknownKey) if not_now.provider_down => {
                return Sought::Denied(unavailable(set, not_now.retry_after, around));
            }
            (Err(_), Want::UnknownKey | Want::Refresh) => {}
        }
    }
    outcome.unwrap_or(Err(NO_KEY)).into()
}

fn unavailable(set: &RemoteKeySet, retry_after: Duration, around: &Around<'_>) -> Denial {
    Denial::KeysUnavailable { had_keys: set.age(around.now).is_some(), retry_after }
}

/// A token has held. Its groups may have to be asked for; then its caller is remembered until the token ends.
fn welcome(
    route: &Rc<Route>,
    request: Request,
    token: String,
    verified: Verified,
    around: &Around<'_>,
    headers: &dyn RequestHeaders,
) -> (Exchange, Effect) {
    let (expires, key) = (verified.expires, verified.key);
    let issuer = verified.issuer.clone();
    let principal = match ownership::principal(verified, request.catalog.as_deref()) {
        Ok(principal) => principal,
        Err(error) => {
            let denial = verification::in_vain(route, error, around, headers);
            return deny(Report::new(route, request), denial, around, headers);
        }
    };
    let needs_catalog = issuer.groups.needs_catalog();
    let groups_by = if needs_catalog { GroupsBy::Catalog(groups_version(&request)) } else { GroupsBy::Token };
    let known = Known { principal, key, groups_by };
    let newcomer = Newcomer { route: route.clone(), request, token, issuer: issuer.clone(), known, expires };
    match AwaitingUserinfo::needed(&issuer, &newcomer.known) {
        Some(userinfo) => AwaitingUserinfo::ask(userinfo, newcomer),
        None => newcomer.remember(around, headers),
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
}

impl Newcomer {
    pub(super) fn remember(self, around: &Around<'_>, headers: &dyn RequestHeaders) -> (Exchange, Effect) {
        let known = Rc::new(self.known);
        let mut tokens = around.worker.tokens.borrow_mut();
        tokens.insert(self.token, self.issuer.id, around.now, self.expires, known.clone());
        drop(tokens);
        admit::admit(&self.route, self.request, Some(known), around, headers)
    }
}
