//! Key sets that providers serve: fetched once a node, kept in shared data, remembered by each worker.
//!
//! The workers of a node share a record of each set. A fetch is led by whoever wins the lease on it; while it runs, requests that
//! cannot be answered without it fetch too, a bounded number of them, because Kong's host cannot wake one request from another. The
//! last good set serves until it is older than `max_age + stale`.

mod discovery;
mod fetch;
mod result;
mod schedule;
mod shared;

pub use fetch::{Fetch, FetchProgress};
pub use result::FetchResult;

use crate::config::{RemoteKeys, RemoteSource};
use crate::digest::digest_of;
use crate::host::{SharedData, UnixMillis};
use crate::http::Endpoint;
use crate::jose::KeySet;
use crate::semaphore::Semaphore;
use crate::shared_pool::SharedPool;
use crate::shared_record::{Lead, Lease, SharedRecord};
use fetch::News;
use shared::KeySetRecord;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// Fetches of one set that requests of one worker may wait for at a time, the leader's own left out.
const MAX_FOLLOWERS: u32 = 16;
/// Added to a lease so that it outlives the fetch it covers.
const LEASE_SLACK: Duration = Duration::from_secs(1);
/// How long a provider's metadata is believed before it is read again; a failure to fetch the keys ends that at once.
const METADATA_AGE: Duration = Duration::from_secs(3600);
/// How long a set may wait for its due refresh before ticks are taken not to run.
const TICKS_GRACE: Duration = Duration::from_secs(30);

/// The key sets that the routes of a worker know, each once, however many routes name it.
#[derive(Default)]
pub struct Keyring {
    sets: SharedPool<(String, String, RemoteKeys), RemoteKeySet>,
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

    /// Whether a fetch of one of them was begun for a request that is gone, or wished for.
    pub fn has_left(&self) -> bool {
        self.sets.has(RemoteKeySet::is_left)
    }
}

/// One key set of one provider.
pub struct RemoteKeySet {
    remote: RemoteKeys,
    issuer: String,
    shared: SharedRecord<KeySetRecord>,
    in_flight: Rc<Semaphore>,
    /// Whether a request that could not wait had an unknown key.
    is_wished: Cell<bool>,
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
    /// Whether the last attempt came to nothing, so that the provider's word on a key is not known.
    pub provider_down: bool,
}

impl RemoteKeySet {
    fn new(zone: &str, issuer: &str, remote: RemoteKeys) -> Self {
        // Whatever decides what is fetched, and when, is part of the key: one route's fetch must not replace another's keys.
        let key = format!("{zone}/jwks:{issuer} {}", digest_of(&remote));
        let (in_flight, is_wished) = Default::default();
        Self { remote, issuer: issuer.to_owned(), shared: SharedRecord::new(key), in_flight, is_wished }
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
        self.shared.look(store, now);
        self.serving(now)
    }

    /// The same, after looking into shared data whether or not this worker did a moment ago.
    pub fn newest(&self, store: &dyn SharedData, now: UnixMillis) -> Option<Rc<KeySet>> {
        self.shared.look_now(store, now);
        self.serving(now)
    }

    fn serving(&self, now: UnixMillis) -> Option<Rc<KeySet>> {
        let record = self.shared.copy();
        record.keys.clone().filter(|_| record.age(now) <= self.limit())
    }

    /// The age to which a set serves.
    fn limit(&self) -> Duration {
        self.remote.fetch.max_age.saturating_add(self.remote.fetch.stale)
    }

    /// Age of the set that serves, for metrics; `None` before the first fetch.
    pub fn age(&self, now: UnixMillis) -> Option<Duration> {
        let record = self.shared.copy();
        record.keys.as_ref().map(|_| record.age(now))
    }

    /// Whether the last attempt to fetch came to nothing, so that the provider's word on a key is not known.
    pub fn is_down(&self) -> bool {
        let record = self.shared.copy();
        record.failures > 0 || record.unanswered
    }

    /// Faults of shared data since the last call, for metrics.
    pub fn take_store_faults(&self) -> u64 {
        self.shared.take_faults()
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
        let (lease, may_fetch) = match self.lead(store, now, want) {
            Lead::Won(lease) => (Some(lease), true),
            Lead::Alone(lease) => (Some(lease), self.in_flight.are_below(MAX_FOLLOWERS)),
            Lead::Taken => (None, want != Want::Refresh && self.in_flight.are_below(MAX_FOLLOWERS)),
        };
        if may_fetch {
            return Ok(Fetch::new(self.clone(), now, lease));
        }
        Err(NotNow { retry_after: Duration::from_secs(1), provider_down: true })
    }

    /// Asks for leave to fetch ahead of age, from a tick; the next one comes after `period`. At most one worker of the node
    /// is told yes.
    pub fn refresh(self: &Rc<Self>, store: &dyn SharedData, now: UnixMillis, period: Duration) -> Option<Fetch> {
        if !self.is_refresh_due(store, now, period) {
            return None;
        }
        let want = if self.is_wished.take() { Want::UnknownKey } else { Want::Refresh };
        match self.lead(store, now, want) {
            Lead::Won(lease) | Lead::Alone(lease) => Some(Fetch::new(self.clone(), now, Some(lease))),
            Lead::Taken => None,
        }
    }

    /// Whether a fetch was begun for a request that is gone, or wished for, so that the next tick should see to it.
    pub fn is_left(&self) -> bool {
        self.shared.is_left() || self.is_wished.get()
    }

    /// Whether it is to be fetched ahead of age.
    pub fn is_refresh_due(&self, store: &dyn SharedData, now: UnixMillis, period: Duration) -> bool {
        self.shared.look(store, now);
        // What becomes due before the next survey is done at this one, or short-lived sets would outlive their age.
        let by_age = self.is_due(now.after(period)) && self.rest(now, Want::Refresh).is_zero();
        by_age || (self.is_wished.get() && self.rest(now, Want::UnknownKey).is_zero())
    }

    /// Asks the next tick to fetch it for a key that it does not have, for a request that does not wait.
    pub fn wish(&self) {
        self.is_wished.set(true);
    }

    fn is_due(&self, now: UnixMillis) -> bool {
        let record = self.shared.copy();
        record.keys.is_none() || record.refresh_at <= now.0
    }

    /// Whether the tick that should have refreshed the set evidently does not run, or never gets through (Kong resolves
    /// names for ticks with another resolver than for requests), so that a request has to.
    pub fn is_overdue(&self, now: UnixMillis) -> bool {
        let record = self.shared.copy();
        let untried = UnixMillis(record.refresh_at.max(record.retry_at)).after(TICKS_GRACE);
        record.keys.is_some() && (now >= untried || record.age(now) >= self.remote.fetch.max_age * 2)
    }

    /// How long to leave the provider alone: after a failure, and after a fetch for an unknown key before another such
    /// one. An unknown key does not wait for what failed before it: the provider may be back with new keys. While one such fetch
    /// runs, those who need the same may join it.
    fn rest(&self, now: UnixMillis, want: Want) -> Duration {
        let record = self.shared.copy();
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
            let record = self.shared.copy();
            record.failures == 0 && now.since(UnixMillis(record.discovered)) < METADATA_AGE
        };
        is_believed.then(|| self.last_place()).flatten()
    }

    /// Where the keys were by the last metadata that was read.
    fn last_place(&self) -> Option<Endpoint> {
        discovery::follow(&self.remote.source, self.shared.copy().jwks_uri.as_deref()?).ok()
    }

    fn lead(&self, store: &dyn SharedData, now: UnixMillis, want: Want) -> Lead {
        let calls = if matches!(self.remote.source, RemoteSource::Discovery { .. }) { 2 } else { 1 };
        let span = (self.remote.fetch.timeout * calls).saturating_add(LEASE_SLACK);
        self.shared.lead(store, now, span, &mut |record| {
            if want == Want::UnknownKey {
                record.asked = now.0;
            }
        })
    }

    /// Tells every worker of the node what a fetch came to.
    fn settle(
        &self,
        store: &dyn SharedData,
        now: UnixMillis,
        lease: Option<Lease>,
        outcome: Result<News, FetchResult>,
    ) -> FetchResult {
        let fetch = &self.remote.fetch;
        self.shared.settle(store, now, lease, &mut |record| match &outcome {
            Ok(news) => {
                let cache_control = news.cache_control.as_deref();
                record.succeed(now, news, schedule::refresh_at(fetch, self.shared.key(), now, cache_control));
            }
            Err(fault) => {
                let serves = self.limit().saturating_sub(record.age(now));
                let retry_at = |failures| schedule::retry_at(fetch, self.shared.key(), now, failures, serves);
                record.fail(*fault, retry_at);
            }
        });
        outcome.map_or_else(|fault| fault, |_| FetchResult::Fetched)
    }
}

#[cfg(test)]
mod tests;
