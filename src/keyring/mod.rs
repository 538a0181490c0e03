//! Key sets that providers serve: fetched once a node, kept in shared data, remembered by each worker.
//!
//! A worker looks into shared data at most once a second for each set. A fetch is led by whoever wins a lease there;
//! while it runs, requests that cannot be answered without it fetch too, a bounded number of them, because Kong's host
//! cannot wake one request from another. The last good set serves until it is older than `max_age + stale`.

mod discovery;
mod fetch;
mod schedule;
mod shared;

pub use fetch::{Fetch, FetchResult, Progress};

use crate::commons::Commons;
use crate::config::{RemoteKeys, RemoteSource};
use crate::digest::digest_of;
use crate::held::{Held, Write};
use crate::host::{SharedData, UnixMillis};
use crate::http::Endpoint;
use crate::jose::KeySet;
use fetch::News;
use shared::Record;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// How long a worker trusts what it last read from shared data.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Fetches of one set that requests of one worker may wait for at a time, the leader's own left out.
const MAX_FOLLOWERS: u32 = 16;
/// Added to a lease so that it outlives the fetch it covers.
const LEASE_SLACK: Duration = Duration::from_secs(1);
/// Attempts to win a lease before another worker is taken to have it.
const LEASE_ROUNDS: usize = 4;
/// How long a provider's metadata is believed before it is read again; a failure to fetch the keys ends that at once.
const METADATA_AGE: Duration = Duration::from_secs(3600);
/// How long a set may wait for its due refresh before ticks are taken not to run.
const TICKS_GRACE: Duration = Duration::from_secs(30);

/// The key sets that the routes of a worker know, each once, however many routes name it.
#[derive(Default)]
pub struct Keyring {
    sets: Commons<(String, String, RemoteKeys), RemoteKeySet>,
}

impl Keyring {
    /// The set of `issuer` at `remote`, kept under `zone`. Sets are told apart by issuer *and* place, so that no issuer can
    /// speak with another's keys.
    pub fn set(&self, zone: &str, issuer: &str, remote: &RemoteKeys) -> Rc<RemoteKeySet> {
        let id = (zone.to_owned(), issuer.to_owned(), remote.clone());
        self.sets.get(id, || Rc::new(RemoteKeySet::new(zone, issuer, remote.clone())))
    }

    /// The sets that some route uses; those of routes that are gone are forgotten.
    pub fn in_use(&self) -> Vec<Rc<RemoteKeySet>> {
        self.sets.in_use()
    }
}

/// One key set of one provider.
pub struct RemoteKeySet {
    remote: RemoteKeys,
    issuer: String,
    key: String,
    state: RefCell<State>,
    in_flight: Cell<u32>,
    store_faults: Cell<u64>,
    /// Whether a request that could not wait had an unknown key.
    is_wished: Cell<bool>,
}

#[derive(Default)]
struct State {
    keys: Option<Rc<KeySet>>,
    held: Held<Record>,
    looked: Option<UnixMillis>,
}

/// Why a fetch is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// There is no set that may serve.
    NoKeys,
    /// The set does not have the token's key.
    UnknownKey,
    /// The set has aged.
    Refresh,
}

/// No fetch now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotNow {
    /// When to ask again.
    pub retry_after: Duration,
    /// Whether the last attempt failed, so that the provider's word on a key is not known.
    pub provider_down: bool,
}

/// Who fetches for the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lease {
    /// This worker.
    Won,
    /// Another.
    Taken,
    /// Shared data failed: every worker is left to itself.
    Unknown,
}

impl RemoteKeySet {
    fn new(zone: &str, issuer: &str, remote: RemoteKeys) -> Self {
        // Whatever decides what is fetched, and when, is part of the key: one route's fetch must not replace another's keys.
        let key = format!("{zone}/jwks:{issuer} {}", digest_of(&remote));
        let (state, in_flight, store_faults, is_wished) = Default::default();
        Self { remote, issuer: issuer.to_owned(), key, state, in_flight, store_faults, is_wished }
    }

    /// Where it is fetched.
    pub fn remote(&self) -> &RemoteKeys {
        &self.remote
    }

    /// The issuer it belongs to.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The set, unless there is none or it is older than it may be.
    pub fn current(&self, store: &dyn SharedData, now: UnixMillis) -> Option<Rc<KeySet>> {
        self.look(store, now, false);
        self.serving(now)
    }

    /// The same, after looking into shared data whether or not this worker did a moment ago.
    pub fn newest(&self, store: &dyn SharedData, now: UnixMillis) -> Option<Rc<KeySet>> {
        self.look(store, now, true);
        self.serving(now)
    }

    fn serving(&self, now: UnixMillis) -> Option<Rc<KeySet>> {
        let state = self.state.borrow();
        state.keys.clone().filter(|_| state.held.record.age(now) <= self.limit())
    }

    /// The age to which a set serves.
    fn limit(&self) -> Duration {
        self.remote.fetch.max_age.saturating_add(self.remote.fetch.stale)
    }

    /// Age of the set that serves, for metrics; `None` before the first fetch.
    pub fn age(&self, now: UnixMillis) -> Option<Duration> {
        let state = self.state.borrow();
        state.keys.as_ref().map(|_| state.held.record.age(now))
    }

    /// Whether the last attempt to fetch failed.
    pub fn is_down(&self) -> bool {
        self.state.borrow().held.record.failures > 0
    }

    /// Faults of shared data since the last call, for metrics.
    pub fn take_store_faults(&self) -> u64 {
        self.store_faults.take()
    }

    /// Asks for leave to fetch on behalf of a request that has just looked at the newest set.
    ///
    /// # Errors
    /// [`NotNow`] when the provider was tried a moment ago, or enough requests wait already.
    pub fn request_fetch(
        self: &Rc<Self>,
        store: &dyn SharedData,
        now: UnixMillis,
        want: Want,
    ) -> Result<Fetch, NotNow> {
        let rest = self.rest(now, want);
        if !rest.is_zero() {
            return Err(NotNow { retry_after: rest, provider_down: self.is_down() });
        }
        let may_fetch = match self.lease(store, now, want) {
            Lease::Won => true,
            Lease::Taken => want != Want::Refresh && self.in_flight.get() < MAX_FOLLOWERS,
            Lease::Unknown => self.in_flight.get() < MAX_FOLLOWERS,
        };
        if may_fetch {
            return Ok(Fetch::new(self.clone(), now));
        }
        Err(NotNow { retry_after: Duration::from_secs(1), provider_down: true })
    }

    /// Asks for leave to fetch ahead of age, from a tick; the next one comes after `period`. At most one worker of the node
    /// is told yes.
    pub fn refresh(self: &Rc<Self>, store: &dyn SharedData, now: UnixMillis, period: Duration) -> Option<Fetch> {
        let is_due = self.is_refresh_due(store, now, period);
        let want = if self.is_wished.take() { Want::UnknownKey } else { Want::Refresh };
        let may_fetch = is_due && self.lease(store, now, want) != Lease::Taken;
        may_fetch.then(|| Fetch::new(self.clone(), now))
    }

    /// Whether it is to be fetched ahead of age.
    pub fn is_refresh_due(&self, store: &dyn SharedData, now: UnixMillis, period: Duration) -> bool {
        self.look(store, now, false);
        // What becomes due before the next survey is done at this one, or short-lived sets would outlive their age.
        let by_age = self.is_due(now.after(period)) && self.rest(now, Want::Refresh).is_zero();
        by_age || (self.is_wished.get() && self.rest(now, Want::UnknownKey).is_zero())
    }

    /// Asks the next tick to fetch it for a key that it does not have, for a request that does not wait.
    pub fn wish(&self) {
        self.is_wished.set(true);
    }

    fn is_due(&self, now: UnixMillis) -> bool {
        let state = self.state.borrow();
        state.keys.is_none() || state.held.record.refresh_at <= now.0
    }

    /// Whether the tick that should have refreshed the set evidently does not run, or never gets through (Kong resolves
    /// names for ticks with another resolver than for requests), so that a request has to.
    pub fn is_overdue(&self, now: UnixMillis) -> bool {
        let state = self.state.borrow();
        let record = &state.held.record;
        let untried = UnixMillis(record.refresh_at.max(record.retry_at)).after(TICKS_GRACE);
        state.keys.is_some() && (now >= untried || record.age(now) >= self.remote.fetch.max_age * 2)
    }

    /// How long to leave the provider alone: after a failure, and after a fetch for an unknown key before another such
    /// one. An unknown key does not wait for what failed before it: the provider may be back with new keys. While one such fetch
    /// runs, those who need the same may join it.
    fn rest(&self, now: UnixMillis, want: Want) -> Duration {
        let state = self.state.borrow();
        let record = &state.held.record;
        let is_running = record.leased_until > now.0;
        let until = match want {
            Want::UnknownKey if record.asked == 0 || is_running => UnixMillis(0),
            Want::UnknownKey => UnixMillis(record.asked).after(self.remote.fetch.cooldown),
            _ => UnixMillis(record.retry_at),
        };
        until.since(now)
    }

    /// Where the keys are, by metadata that is still believed.
    fn known_place(&self, now: UnixMillis) -> Option<Endpoint> {
        let is_believed = {
            let state = self.state.borrow();
            let record = &state.held.record;
            record.failures == 0 && now.since(UnixMillis(record.discovered)) < METADATA_AGE
        };
        is_believed.then(|| self.last_place()).flatten()
    }

    /// Where the keys were by the last metadata that was read.
    fn last_place(&self) -> Option<Endpoint> {
        let state = self.state.borrow();
        discovery::follow(&self.remote.source, state.held.record.jwks_uri.as_deref()?).ok()
    }

    fn lease(&self, store: &dyn SharedData, now: UnixMillis, want: Want) -> Lease {
        let calls = if matches!(self.remote.source, RemoteSource::Discovery { .. }) { 2 } else { 1 };
        for _ in 0..LEASE_ROUNDS {
            let mut held = self.state.borrow().held.clone();
            if held.record.leased_until > now.0 {
                return Lease::Taken;
            }
            held.record.leased_until = now.after(self.remote.fetch.timeout * calls).after(LEASE_SLACK).0;
            if want == Want::UnknownKey {
                held.record.asked = now.0;
            }
            let lease = match held.write(store, &self.key) {
                Write::Done => Lease::Won,
                Write::Failed => {
                    self.count_fault();
                    Lease::Unknown
                }
                Write::Changed => {
                    self.look(store, now, true);
                    continue;
                }
            };
            self.state.borrow_mut().held = held;
            return lease;
        }
        Lease::Taken
    }

    /// Reads shared data if it was not read a moment ago, or at once when `now_please`.
    fn look(&self, store: &dyn SharedData, now: UnixMillis, now_please: bool) {
        let mut state = self.state.borrow_mut();
        let fresh = state.looked.is_some_and(|looked| looked <= now && now.since(looked) < LOOK_AGAIN);
        if fresh && !now_please {
            return;
        }
        state.looked = Some(now);
        match Held::read(store, &self.key) {
            Ok(Some(held)) => {
                if held.version != state.held.version {
                    self.adopt(&mut state, held);
                }
            }
            // Evicted, or never there: the worker's own copy goes on serving and is written back by the next fetch.
            Ok(None) => state.held.version = None,
            Err(_) => self.count_fault(),
        }
    }

    fn adopt(&self, state: &mut State, held: Held<Record>) {
        if held.record.jwks != state.held.record.jwks {
            match held.record.jwks.as_ref().map(|text| KeySet::parse(text.as_bytes())) {
                Some(Ok(keys)) => state.keys = Some(Rc::new(keys)),
                Some(Err(_)) => return,
                None => {}
            }
        }
        state.held = held;
    }

    fn count_fault(&self) {
        self.store_faults.set(self.store_faults.get().saturating_add(1));
    }

    /// Tells every worker of the node what a fetch came to.
    fn settle(&self, store: &dyn SharedData, now: UnixMillis, outcome: Result<News, FetchResult>) -> FetchResult {
        let mut held = self.settled(now, &outcome);
        for _ in 0..LEASE_ROUNDS {
            match held.write(store, &self.key) {
                Write::Done => break,
                Write::Changed => self.look(store, now, true),
                Write::Failed => {
                    self.count_fault();
                    break;
                }
            }
            held = self.settled(now, &outcome);
        }
        // Whatever shared data made of it, this worker goes by what it was told.
        let mut state = self.state.borrow_mut();
        state.held = held;
        state.looked = Some(now);
        match outcome {
            Ok(news) => {
                state.keys = Some(news.keys);
                FetchResult::Fetched
            }
            Err(fault) => fault,
        }
    }

    fn settled(&self, now: UnixMillis, outcome: &Result<News, FetchResult>) -> Held<Record> {
        let mut held = self.state.borrow().held.clone();
        let fetch = &self.remote.fetch;
        match outcome {
            Ok(news) => {
                let refresh_at = schedule::refresh_at(fetch, &self.key, now, news.cache_control.as_deref());
                held.record.succeed(now, news, refresh_at);
            }
            Err(fault) => {
                let serves = self.limit().saturating_sub(held.record.age(now));
                held.record.fail(*fault, |failures| schedule::retry_at(fetch, &self.key, now, failures, serves));
            }
        }
        held
    }
}

#[cfg(test)]
mod tests;
