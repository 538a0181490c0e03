//! What goes on beside requests: key sets are fetched ahead of age, keys that should be replaced are named, and counts are
//! kept in step with a quota engine.

use super::{Around, Route, rotation};
use crate::http::{Call, Reply};
use crate::keyring::{Fetch, FetchResult, Progress};
use crate::quota::engine::{Push, Pushed};
use std::time::Duration;

/// How often key sets and the age of keys are looked after; ticks may come more often.
pub(super) const KEYS: Duration = Duration::from_secs(5);

/// A call to make beside requests.
pub enum Errand {
    /// For a key set.
    Keys(Fetch),
    /// For counts.
    Counts(Push),
}

/// What one worker does at each tick for all its routes. Gives the calls that it should make; each is led by one worker of the
/// node.
pub fn tick(route: &Route, around: &Around<'_>) -> Vec<Errand> {
    let mut errands = Vec::new();
    for engine in around.worker.engines.all() {
        errands.extend(engine.pushes(around.store, around.now).into_iter().map(Errand::Counts));
    }
    let kept_up = around.worker.kept_up.get();
    // Ticks are not to the millisecond: nine tenths of the time count as all of it.
    if kept_up <= around.now && around.now.since(kept_up) < KEYS * 9 / 10 {
        return errands;
    }
    around.worker.kept_up.set(around.now);
    rotation::check(&route.config.zones.keys, around);
    for set in around.worker.keyring.in_use() {
        errands.extend(set.refresh(around.store, around.now, KEYS).map(Errand::Keys));
        around.worker.telemetry.key_set_age(around.metrics, set.issuer(), set.age(around.now));
    }
    errands
}

impl Errand {
    /// The call to make now.
    pub fn call(&self) -> Call {
        match self {
            Self::Keys(fetch) => fetch.call(),
            Self::Counts(push) => push.call(),
        }
    }

    /// The answer to the call has come, or none will (`None`). Gives the errand back where it has another call to make.
    pub fn answered(self, around: &Around<'_>, reply: Option<&Reply>) -> Option<Self> {
        match self {
            Self::Keys(fetch) => fetch_answered(fetch, around, reply).map(Self::Keys),
            Self::Counts(push) => push_answered(push, around, reply).map(Self::Counts),
        }
    }
}

/// Takes the answer to a fetch's call. Gives the fetch back where it has another call to make.
pub(super) fn fetch_answered(fetch: Fetch, around: &Around<'_>, reply: Option<&Reply>) -> Option<Fetch> {
    let set = fetch.set().clone();
    let result = match fetch.answered(around.store, around.now, reply) {
        Progress::Next(fetch) => return Some(fetch),
        Progress::Done(result) => result,
    };
    around.worker.telemetry.key_fetch(around.metrics, set.issuer(), result, set.age(around.now));
    around.worker.telemetry.key_store_faults(around.metrics, set.take_store_faults());
    if result != FetchResult::Fetched {
        log::warn!("keys of issuer {} from {}: {result}", set.issuer(), set.remote().source.endpoint().upstream);
    }
    None
}

fn push_answered(push: Push, around: &Around<'_>, reply: Option<&Reply>) -> Option<Push> {
    let upstream = push.upstream().to_owned();
    let result = match push.answered(around.store, around.now, reply) {
        Pushed::Next(push) => return Some(push),
        Pushed::Done(result) => result,
    };
    around.worker.telemetry.engine_call(around.metrics, result.map_or_else(|error| error.name(), |()| "answered"));
    if let Err(error) = result {
        log::warn!("quota engine {upstream}: {error}");
    }
    None
}
