//! What comes of the answers to calls that are made for all routes: counted, and told in the log.

use super::Context;
use crate::catalog::live::{CatalogRead, LiveCatalog, ReadProgress as Reading, ReadResult, Summary};
use crate::http::Reply;
use crate::keyring::{Fetch, FetchProgress, FetchResult};
use crate::quota::engine::{Push, Pushed};

/// Mistakes of a catalog that are told one by one.
const MAX_FAULTS_TOLD: usize = 10;

/// Takes the answer to a fetch's call. Gives the fetch back where it has another call to make.
pub(super) fn fetch_answered(fetch: Fetch, cx: &Context<'_>, reply: Option<&Reply>) -> Option<Fetch> {
    let set = fetch.set().clone();
    let result = match fetch.answered(cx.store, cx.now, reply) {
        FetchProgress::Next(fetch) => return Some(fetch),
        FetchProgress::Done(result) => result,
    };
    cx.worker.telemetry.key_fetch(cx.metrics, set.issuer(), result, set.age(cx.now));
    cx.worker.telemetry.key_store_faults(cx.metrics, set.take_store_faults());
    if result != FetchResult::Fetched {
        log::warn!("keys of issuer {} from {}: {result}", set.issuer(), set.remote().source.endpoint().upstream);
    }
    None
}

/// Takes the answer to a page of a catalog. Gives the reading back where there is another page.
pub(super) fn read_answered(
    pass: Box<CatalogRead>,
    cx: &Context<'_>,
    reply: Option<&Reply>,
) -> Option<Box<CatalogRead>> {
    let catalog = pass.catalog().clone();
    let (result, summary) = match pass.answered(cx.store, cx.now, reply) {
        Reading::Next(pass) => return Some(pass),
        Reading::Done(result, summary) => (result, summary),
    };
    let backstage = &catalog.source().backend.authority;
    cx.worker.telemetry.catalog_pass(cx.metrics, backstage, result, summary.as_ref());
    tell_catalog(&catalog, cx);
    match &summary {
        Some(summary) if summary.changed => tell_change(backstage, summary),
        Some(_) => {}
        None if result == ReadResult::Overtaken => {}
        None => log::warn!("catalog of {backstage}: {result}"),
    }
    None
}

/// Gauges of a catalog.
pub(super) fn tell_catalog(catalog: &LiveCatalog, cx: &Context<'_>) {
    let telemetry = &cx.worker.telemetry;
    telemetry.catalog_age(cx.metrics, &catalog.source().backend.authority, catalog.age(cx.now));
    telemetry.catalog_store_faults(cx.metrics, catalog.take_store_faults());
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

/// Takes the answer to a push. Gives the push back where it has another call to make.
pub(super) fn push_answered(push: Push, cx: &Context<'_>, reply: Option<&Reply>) -> Option<Push> {
    let upstream = push.upstream().to_owned();
    let result = match push.answered(cx.store, cx.now, reply) {
        Pushed::Next(push) => return Some(push),
        Pushed::Done(result) => result,
    };
    cx.worker.telemetry.engine_call(cx.metrics, result.map_or_else(|error| error.name(), |()| "answered"));
    if let Err(error) = result {
        log::warn!("quota engine {upstream}: {error}");
    }
    None
}
