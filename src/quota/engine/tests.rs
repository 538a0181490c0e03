//! The engine's script and the node's own windows are one algorithm, and counts come together again whatever fails.
//!
//! Redis is stood in for by its script, run on a clock that the tests move; the real one is in the harness.

mod asks;
mod interleavings;
mod pushes;
mod redis;
mod script;

use super::*;
use crate::config::{Mode as QuotaMode, OnStoreError, Per, QuotaPolicy, Quotas, Synchronise};
use crate::entity::EntityRef;
use crate::host::MemoryStore;
use crate::http::Endpoint;
use crate::quota::{Charge, KeySecret, Subjects, WindowState};
use redis::Redis;

/// The middle of a minute.
const NOW: UnixMillis = UnixMillis(1_750_000_010_000);

fn settings(synchronise: Synchronise) -> Engine {
    Engine {
        endpoint: Endpoint::parse("http://webdis:7379", None).unwrap(),
        authorization: None,
        synchronise,
        interval: Duration::from_secs(1),
        timeout: Duration::from_millis(200),
        on_error: crate::config::OnEngineError::Local,
        breaker: crate::config::Breaker { failures: 3, open: Duration::from_secs(5) },
    }
}

/// A policy for each group with these windows, and one for all.
fn quotas(windows: &[(u32, u64)]) -> Quotas {
    let windows =
        windows.iter().map(|(limit, seconds)| Window { limit: *limit, length: Duration::from_secs(*seconds) });
    let policy = |name: &str, per, windows| QuotaPolicy {
        name: name.into(),
        per,
        windows,
        overrides: BTreeMap::new(),
        tiers: BTreeMap::new(),
        cost: [("POST".to_owned(), 5), ("HEAD".to_owned(), 0)].into(),
    };
    let wide = vec![Window { limit: 40, length: Duration::from_secs(90) }];
    let policies = vec![policy("per-group", Per::Group, windows.collect()), policy("all", Per::Entity, wide)];
    Quotas {
        mode: QuotaMode::Enforce,
        on_store_error: OnStoreError::Deny,
        engine: None,
        x_ratelimit_headers: false,
        policies,
    }
}

/// One policy, for each group.
fn one_quota(limit: u32, seconds: u64) -> Quotas {
    let mut quotas = quotas(&[(limit, seconds)]);
    quotas.policies.truncate(1);
    quotas
}

/// A gateway node.
struct Node {
    store: MemoryStore,
    state: Rc<EngineState>,
}

impl Node {
    fn new(synchronise: Synchronise) -> Self {
        Self { store: MemoryStore::default(), state: Engines::default().get(&settings(synchronise)) }
    }

    fn periodic() -> Self {
        Self::new(Synchronise::Periodic)
    }

    fn exact() -> Self {
        Self::new(Synchronise::Exact)
    }

    /// Another worker of the node.
    fn worker(&self) -> Rc<EngineState> {
        Engines::default().get(self.state.engine())
    }

    fn bill(&self, quotas: &Quotas, group: &str, method: &str) -> Bill {
        let (api, group) = (entity("api:default/payments"), entity(group));
        let tiers = crate::quota::Tiers::default();
        let subjects = Subjects { entity: &api, group: Some(&group), principal: None, tiers };
        Bill::new(quotas, "zone", &subjects, method, || KeySecret::obtain(&self.store, "zone")).unwrap()
    }

    /// A request. What it was charged, and the error if the engine did not answer it.
    fn send(&self, redis: Option<&Redis>, bill: &Bill, now: UnixMillis) -> (Charge, Option<EngineError>) {
        let alone = |claims: &Claims| self.state.charge_alone(bill, claims, &self.store, now);
        let mut ask = match self.state.begin(bill, &self.store, now) {
            Begun::Charged(charge) => return (charge, None),
            Begun::Unasked => return (alone(&Claims::default()), Some(EngineError::Open)),
            Begun::Ask(ask) => ask,
        };
        loop {
            let reply = redis.and_then(|redis| redis.answer(&self.state.asked(&ask, now).to.path, now));
            match self.state.answered(bill, ask, &self.store, now, reply.as_ref()) {
                Answered::Ask(next) => ask = next,
                Answered::Charged(charge) => return (charge, None),
                Answered::Failed(error, claims) => return (alone(&claims), Some(error)),
            }
        }
    }

    /// A request that the engine has answered.
    fn charge(&self, redis: &Redis, bill: &Bill, now: UnixMillis) -> Charge {
        match self.send(Some(redis), bill, now) {
            (charge, None) => charge,
            (_, Some(error)) => panic!("{error}"),
        }
    }

    /// Whether a request is admitted.
    fn admits(&self, redis: Option<&Redis>, bill: &Bill, now: UnixMillis) -> bool {
        matches!(self.send(redis, bill, now).0, Charge::Charged(_))
    }

    /// Whether a request is admitted by what the node knows, without asking.
    fn knows(&self, bill: &Bill, now: UnixMillis) -> Option<bool> {
        knows(&self.state, &self.store, bill, now)
    }

    /// A tick. Returns how many calls it made.
    fn push(&self, redis: Option<&Redis>, now: UnixMillis) -> usize {
        self.state.next_push(&self.store, now).map_or(0, |push| self.carry_out(push, redis, now))
    }

    fn carry_out(&self, push: Push, redis: Option<&Redis>, now: UnixMillis) -> usize {
        let (mut calls, mut next) = (0, Some(push));
        while let Some(push) = next.take() {
            calls += 1;
            let reply = redis.and_then(|redis| redis.answer(&push.call(now).to.path, now));
            if let Pushed::Next(push) = push.answered(&self.store, now, reply.as_ref()) {
                next = Some(push);
            }
        }
        calls
    }
}

fn knows(worker: &EngineState, store: &MemoryStore, bill: &Bill, now: UnixMillis) -> Option<bool> {
    match worker.begin(bill, store, now) {
        Begun::Charged(charge) => Some(matches!(charge, Charge::Charged(_))),
        Begun::Ask(ask) => {
            worker.abandon(bill, &ask, store, now);
            None
        }
        Begun::Unasked => None,
    }
}

fn entity(text: &str) -> EntityRef {
    EntityRef::parse_full(text).unwrap()
}

fn after(millis: u64) -> UnixMillis {
    UnixMillis(NOW.0 + millis)
}

fn states(charge: &Charge) -> &[WindowState] {
    match charge {
        Charge::Charged(states) | Charge::Exhausted(states) => states,
        Charge::StoreFailed(fault) => panic!("{fault}"),
    }
}
