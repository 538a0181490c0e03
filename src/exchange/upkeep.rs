//! What goes on beside requests: catalogs are read, key sets are fetched ahead of age, keys that should be replaced are named, and counts are
//! kept in step with a quota engine.

use super::{Around, Route, rotation};
use crate::catalog::live::{LiveCatalog, Pass, PassResult, Progress as Reading, Summary};
use crate::host::UnixMillis;
use crate::http::{Call, Reply};
use crate::keyring::{Fetch, FetchResult, Progress};
use crate::quota::engine::{Push, Pushed};
use std::time::Duration;

/// How often key sets and the age of keys are looked after; ticks may come more often.
pub(super) const KEYS: Duration = Duration::from_secs(5);

/// Mistakes of a catalog that are told one by one.
const MAX_FAULTS_TOLD: usize = 10;

/// A call to make beside requests.
pub enum Errand {
    /// For a catalog.
    Catalog(Box<Pass>),
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
        errands.extend(engine.next_push(around.store, around.now).map(Errand::Counts));
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
    for catalog in around.worker.catalogs.in_use() {
        errands.extend(catalog.refresh(around.store, around.now, KEYS).map(Errand::Catalog));
        tell_catalog(&catalog, around);
    }
    errands
}

impl Errand {
    /// The call to make now.
    pub fn call(&self, now: UnixMillis) -> Call {
        match self {
            Self::Catalog(pass) => pass.call(),
            Self::Keys(fetch) => fetch.call(),
            Self::Counts(push) => push.call(now),
        }
    }

    /// The answer to the call has come, or none will (`None`). Gives the errand back where it has another call to make.
    pub fn answered(self, around: &Around<'_>, reply: Option<&Reply>) -> Option<Self> {
        match self {
            Self::Catalog(pass) => pass_answered(pass, around, reply).map(Self::Catalog),
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

/// Takes the answer to a page of a catalog. Gives the reading back where there is another page.
pub(super) fn pass_answered(pass: Box<Pass>, around: &Around<'_>, reply: Option<&Reply>) -> Option<Box<Pass>> {
    let catalog = pass.catalog().clone();
    let (result, summary) = match pass.answered(around.store, around.now, reply) {
        Reading::Next(pass) => return Some(pass),
        Reading::Done(result, summary) => (result, summary),
    };
    let backstage = &catalog.source().backend.authority;
    around.worker.telemetry.catalog_pass(around.metrics, backstage, result, summary.as_ref());
    tell_catalog(&catalog, around);
    match &summary {
        Some(summary) if summary.changed => tell_change(backstage, summary),
        Some(_) => {}
        None if result == PassResult::Overtaken => {}
        None => log::warn!("catalog of {backstage}: {result}"),
    }
    None
}

/// Gauges of a catalog.
fn tell_catalog(catalog: &LiveCatalog, around: &Around<'_>) {
    let telemetry = &around.worker.telemetry;
    telemetry.catalog_age(around.metrics, &catalog.source().backend.authority, catalog.age(around.now));
    telemetry.catalog_store_faults(around.metrics, catalog.take_store_faults());
}

fn tell_change(backstage: &str, summary: &Summary) {
    let Summary { entities, groups, pages, millis, faults, .. } = summary;
    log::info!("catalog of {backstage}: {entities} entities and {groups} groups, in {pages} pages and {millis} ms");
    for fault in faults.iter().take(MAX_FAULTS_TOLD) {
        log::warn!("catalog of {backstage}: {fault}");
    }
    if faults.len() > MAX_FAULTS_TOLD {
        log::warn!("catalog of {backstage}: {} more such mistakes", faults.len() - MAX_FAULTS_TOLD);
    }
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
