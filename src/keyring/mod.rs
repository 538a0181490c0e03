//! Key sets that providers serve: fetched once a node, kept in shared data, remembered by each worker.
//!
//! A worker looks into shared data at most once a second for each set. A fetch is led by whoever wins a lease there;
//! while it runs, requests that cannot be answered without it fetch too, a bounded number of them, because Kong's host
//! cannot wake one request from another. The last good set serves until it is older than `max_age + stale`.

mod shared;

use crate::config::RemoteKeys;
use crate::host::{SharedData, UnixMillis};
use crate::jose::KeySet;
use shared::{Held, Write};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
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

/// The key sets that the routes of a worker know, each once, however many routes name it.
#[derive(Default)]
pub struct Keyring {
    sets: RefCell<BTreeMap<(String, RemoteKeys), Rc<RemoteKeySet>>>,
}

impl Keyring {
    /// The set of `issuer` at `remote`, kept under `zone`. Sets are told apart by issuer *and* URI, so that no issuer can
    /// speak with another's keys.
    pub fn set(&self, zone: &str, issuer: &str, remote: &RemoteKeys) -> Rc<RemoteKeySet> {
        let set = || Rc::new(RemoteKeySet::new(zone, issuer, remote.clone()));
        self.sets.borrow_mut().entry((issuer.to_owned(), remote.clone())).or_insert_with(set).clone()
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
}

#[derive(Default)]
struct State {
    keys: Option<Rc<KeySet>>,
    held: Held,
    looked: Option<UnixMillis>,
}

/// Leave to fetch a set. Dropping it gives the place back, whether or not an answer came.
pub struct Fetch {
    set: Rc<RemoteKeySet>,
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

/// What fetching came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FetchResult {
    /// A set with keys.
    Fetched,
    /// No answer, or one that is not 200.
    Failed,
    /// An answer that is no key set, or is too large.
    Unusable,
    /// A set without a usable key; the last good one stays.
    Empty,
}

impl FetchResult {
    /// The word for it in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fetched => "fetched",
            Self::Failed => "failed",
            Self::Unusable => "unusable",
            Self::Empty => "empty",
        }
    }
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
        let key = format!("{zone}/jwks:{issuer} {}://{}{}", remote.scheme, remote.authority, remote.path);
        let (state, in_flight, store_faults) = Default::default();
        Self { remote, issuer: issuer.to_owned(), key, state, in_flight, store_faults }
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
        let limit = self.remote.fetch.max_age.saturating_add(self.remote.fetch.stale);
        state.keys.clone().filter(|_| state.held.record.age(now) <= limit)
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

    /// Asks for leave to fetch on behalf of a request.
    ///
    /// # Errors
    /// [`NotNow`] when the set was fetched or tried a moment ago, or enough requests wait already.
    pub fn request_fetch(
        self: &Rc<Self>,
        store: &dyn SharedData,
        now: UnixMillis,
        want: Want,
    ) -> Result<Fetch, NotNow> {
        self.look(store, now, true);
        let rest = self.rest(now, want);
        if !rest.is_zero() {
            return Err(NotNow { retry_after: rest, provider_down: self.is_down() });
        }
        let may_fetch = match self.lease(store, now) {
            Lease::Won => true,
            Lease::Taken => want != Want::Refresh && self.in_flight.get() < MAX_FOLLOWERS,
            Lease::Unknown => self.in_flight.get() < MAX_FOLLOWERS,
        };
        if may_fetch {
            return Ok(self.fetch());
        }
        Err(NotNow { retry_after: Duration::from_secs(1), provider_down: true })
    }

    /// Asks for leave to fetch ahead of age, from a tick. At most one worker of the node is told yes.
    pub fn refresh(self: &Rc<Self>, store: &dyn SharedData, now: UnixMillis) -> Option<Fetch> {
        self.look(store, now, false);
        let due = {
            let state = self.state.borrow();
            state.keys.is_none() || state.held.record.age(now) >= self.remote.fetch.max_age * 4 / 5
        };
        (due && self.rest(now, Want::Refresh).is_zero() && self.lease(store, now) != Lease::Taken).then(|| self.fetch())
    }

    /// Whether the tick that should have refreshed the set evidently does not run (Kong resolves names for ticks with
    /// another resolver than for requests), so that a request has to.
    pub fn is_overdue(&self, now: UnixMillis) -> bool {
        self.age(now).is_some_and(|age| age >= self.remote.fetch.max_age * 2)
    }

    fn fetch(self: &Rc<Self>) -> Fetch {
        self.in_flight.set(self.in_flight.get().saturating_add(1));
        Fetch { set: self.clone() }
    }

    /// How long to leave the provider alone. A set that serves is not asked for again within the cool-down, nor is a
    /// provider that failed.
    fn rest(&self, now: UnixMillis, want: Want) -> Duration {
        let state = self.state.borrow();
        let record = &state.held.record;
        let tried = record.fetched.max(record.failed);
        let never_answered = record.fetched == 0 && record.failed == 0;
        if never_answered || (want == Want::NoKeys && record.failures == 0 && !record.is_empty_answer()) {
            return Duration::ZERO;
        }
        UnixMillis(tried).after(self.remote.fetch.cooldown).since(now)
    }

    fn lease(&self, store: &dyn SharedData, now: UnixMillis) -> Lease {
        for _ in 0..LEASE_ROUNDS {
            let mut held = self.state.borrow().held.clone();
            if held.record.leased_until > now.0 {
                return Lease::Taken;
            }
            held.record.leased_until = now.after(self.remote.fetch.timeout).after(LEASE_SLACK).0;
            match held.write(store, &self.key) {
                Write::Done => return Lease::Won,
                Write::Failed => {
                    self.count_fault();
                    return Lease::Unknown;
                }
                Write::Changed => self.look(store, now, true),
            }
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

    fn adopt(&self, state: &mut State, held: Held) {
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

    fn finish(&self, store: &dyn SharedData, now: UnixMillis, answer: Option<&[u8]>) -> FetchResult {
        let parsed = answer.map(|body| (body, KeySet::parse(body)));
        let (result, fetched) = match parsed {
            None => (FetchResult::Failed, None),
            Some((_, Err(_))) => (FetchResult::Unusable, None),
            Some((_, Ok(keys))) if keys.is_empty() => (FetchResult::Empty, None),
            Some((body, Ok(keys))) => {
                (FetchResult::Fetched, Some((String::from_utf8_lossy(body).into_owned(), Rc::new(keys))))
            }
        };
        let mut held = self.settle(now, result, fetched.as_ref());
        for _ in 0..LEASE_ROUNDS {
            match held.write(store, &self.key) {
                Write::Done => break,
                Write::Changed => self.look(store, now, true),
                Write::Failed => {
                    self.count_fault();
                    break;
                }
            }
            held = self.settle(now, result, fetched.as_ref());
        }
        // Whatever shared data made of it, this worker goes by what it was told.
        let mut state = self.state.borrow_mut();
        state.held = held;
        state.looked = Some(now);
        if let Some((_, keys)) = fetched {
            state.keys = Some(keys);
        }
        result
    }

    fn settle(&self, now: UnixMillis, result: FetchResult, fetched: Option<&(String, Rc<KeySet>)>) -> Held {
        let mut held = self.state.borrow().held.clone();
        held.record.settle(now, result, fetched.map(|(text, _)| text.as_str()));
        held
    }
}

impl Fetch {
    /// The set that is fetched.
    pub fn set(&self) -> &Rc<RemoteKeySet> {
        &self.set
    }

    /// Takes the provider's answer: the body of a 200, or `None` for anything else. Tells every worker of the node.
    pub fn finish(self, store: &dyn SharedData, now: UnixMillis, answer: Option<&[u8]>) -> FetchResult {
        self.set.finish(store, now, answer)
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.set.in_flight.set(self.set.in_flight.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests;
