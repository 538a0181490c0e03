//! Credential → caller: known already, verified now, or verified once keys have come.

use super::report::Report;
use super::request::Request;
use super::{Around, Effect, Exchange, Route, State, admit, deny, keys_fetched};
use crate::config::KeySource;
use crate::denial::Denial;
use crate::host::RequestHeaders;
use crate::identity::{Keys, TokenError, Unverified, Verified, find_credential};
use crate::jose::KeySet;
use crate::keyring::{Fetch, NotNow, RemoteKeySet, Want};
use crate::ownership;
use crate::worker::Known;
use std::rc::Rc;

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

pub(super) fn identify(
    route: &Rc<Route>,
    request: Request,
    around: &Around<'_>,
    headers: &dyn RequestHeaders,
) -> (Exchange, Effect) {
    let token = match find_credential(&route.config.credentials, headers) {
        Ok(None) => return admit::admit(route, request, None, around, headers),
        Ok(Some(found)) => found.token,
        Err(error) => return deny(Report::new(route, request), Denial::Credential(error), around),
    };
    if let Some(known) = recall(route, &token, around) {
        return admit::admit(route, request, Some(known), around, headers);
    }
    let unverified = match Unverified::parse(&token, &route.config.issuers, around.now) {
        Ok(unverified) => unverified,
        Err(error) => return deny(Report::new(route, request), Denial::Token(error), around),
    };
    match seek(route, &unverified, around) {
        Sought::Verified(verified) => welcome(route, request, token, verified, around, headers),
        Sought::Denied(denial) => deny(Report::new(route, request), denial, around),
        Sought::Fetch(fetch) => {
            let remote = fetch.set().remote().clone();
            let awaiting = AwaitingKeys { route: route.clone(), request, token, unverified, fetch };
            (Exchange(State::AwaitingKeys(Box::new(awaiting))), Effect::FetchKeys(remote))
        }
    }
}

impl AwaitingKeys {
    pub(super) fn keys_arrived(
        self,
        around: &Around<'_>,
        headers: &dyn RequestHeaders,
        body: Option<&[u8]>,
    ) -> (Exchange, Effect) {
        let Self { route, request, token, unverified, fetch } = self;
        let set = fetch.set().clone();
        keys_fetched(fetch, around, body);
        let verified = match set.current(around.store, around.now) {
            None => Err(unavailable(&set)),
            Some(keys) => unverified.verify(Keys::Set(&keys)).map_err(|error| match error {
                TokenError::NoKey if set.is_down() => unavailable(&set),
                error => Denial::Token(error),
            }),
        };
        match verified {
            Ok(verified) => welcome(&route, request, token, verified, around, headers),
            Err(denial) => deny(Report::new(&route, request), denial, around),
        }
    }
}

/// The caller of a token that was verified before and whose key still counts.
fn recall(route: &Route, token: &str, around: &Around<'_>) -> Option<Rc<Known>> {
    let found = around.worker.tokens.borrow_mut().get(token, &route.issuer_ids, around.now);
    let known = found.and_then(|(issuer, known)| match route.key_set(issuer) {
        None => Some(known),
        Some(set) => set.current(around.store, around.now).filter(|keys| keys.has(known.key)).map(|_| known),
    });
    around.worker.telemetry.token_cache(around.metrics, known.is_some());
    known
}

fn seek(route: &Route, unverified: &Unverified, around: &Around<'_>) -> Sought {
    let issuer = unverified.issuer();
    let outcome = match (&issuer.keys, route.key_set(issuer.id)) {
        (KeySource::Inline(keys), _) => unverified.verify(Keys::Set(keys)),
        (KeySource::Secret(secret), _) => unverified.verify(Keys::Secret(secret)),
        (KeySource::Remote(_), Some(set)) => return seek_remote(set, unverified, around),
        // A remote issuer has its set from the day the route was made; without one, no key fits.
        (KeySource::Remote(_), None) => Err(TokenError::NoKey),
    };
    outcome.map_or_else(|error| Sought::Denied(Denial::Token(error)), Sought::Verified)
}

fn seek_remote(set: &Rc<RemoteKeySet>, unverified: &Unverified, around: &Around<'_>) -> Sought {
    let fetch = |want| set.request_fetch(around.store, around.now, want);
    let Some(keys) = set.current(around.store, around.now) else {
        return fetch(Want::NoKeys).map_or_else(|not_now| Sought::Denied(later(not_now)), Sought::Fetch);
    };
    if set.is_overdue(around.now)
        && let Ok(fetch) = fetch(Want::Refresh)
    {
        return Sought::Fetch(fetch);
    }
    let verify = |keys: &Rc<KeySet>| unverified.verify(Keys::Set(keys));
    // A key that this worker does not know may be one that another has fetched already.
    let newer = || set.newest(around.store, around.now).filter(|newest| !Rc::ptr_eq(newest, &keys));
    let verified = match verify(&keys) {
        Err(TokenError::NoKey) => newer().map_or(Err(TokenError::NoKey), |newer| verify(&newer)),
        verified => verified,
    };
    match verified {
        Ok(verified) => Sought::Verified(verified),
        Err(TokenError::NoKey) => match fetch(Want::UnknownKey) {
            Ok(fetch) => Sought::Fetch(fetch),
            Err(not_now) if not_now.provider_down => Sought::Denied(later(not_now)),
            Err(_) => Sought::Denied(Denial::Token(TokenError::NoKey)),
        },
        Err(error) => Sought::Denied(Denial::Token(error)),
    }
}

fn later(not_now: NotNow) -> Denial {
    let seconds = not_now.retry_after.as_millis().div_ceil(1000).max(1);
    Denial::KeysUnavailable { retry_after_seconds: u32::try_from(seconds).unwrap_or(u32::MAX) }
}

fn unavailable(set: &RemoteKeySet) -> Denial {
    later(NotNow { retry_after: set.remote().fetch.cooldown, provider_down: true })
}

/// A token has held: its caller is remembered until the token ends.
fn welcome(
    route: &Rc<Route>,
    request: Request,
    token: String,
    verified: Verified,
    around: &Around<'_>,
    headers: &dyn RequestHeaders,
) -> (Exchange, Effect) {
    let (issuer, key, expires) = (verified.issuer.id, verified.key, verified.expires);
    let principal = match ownership::principal(verified) {
        Ok(principal) => principal,
        Err(error) => return deny(Report::new(route, request), Denial::Token(error), around),
    };
    let known = Rc::new(Known { principal, key });
    around.worker.tokens.borrow_mut().insert(token, issuer, around.now, expires, known.clone());
    admit::admit(route, request, Some(known), around, headers)
}
