//! What goes on beside requests: key sets are fetched ahead of age, and keys that should be replaced are named.

use super::{Around, Route, rotation};
use crate::http::Reply;
use crate::keyring::{Fetch, FetchResult, Progress};

/// What one worker does every few seconds for all its routes. Gives the fetches that it should make; each is led by one
/// worker of the node.
pub fn tick(route: &Route, around: &Around<'_>) -> Vec<Fetch> {
    rotation::check(&route.config.zones.keys, around);
    let sets = around.worker.keyring.in_use();
    sets.iter()
        .filter_map(|set| {
            let fetch = set.refresh(around.store, around.now);
            around.worker.telemetry.key_set_age(around.metrics, set.issuer(), set.age(around.now));
            fetch
        })
        .collect()
}

/// The answer to a fetch's call has come, or none will (`None`). Gives the fetch back where it has another call to make.
pub fn fetch_answered(fetch: Fetch, around: &Around<'_>, reply: Option<&Reply>) -> Option<Fetch> {
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
