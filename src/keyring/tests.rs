use super::*;
use crate::config::FetchSettings;
use crate::host::{BrokenStore, Expect, MemoryStore};
use crate::http::Reply;
use crate::jose::testing;

/// How often a worker's ticks come.
const TICK: Duration = Duration::from_secs(5);

fn remote() -> RemoteKeys {
    RemoteKeys {
        source: RemoteSource::Jwks(Endpoint::parse("https://idp.example/keys", None).unwrap()),
        fetch: FetchSettings {
            timeout: Duration::from_secs(2),
            max_age: Duration::from_secs(300),
            stale: Duration::from_secs(3600),
            cooldown: Duration::from_secs(10),
        },
    }
}

/// A worker's view of the set.
fn worker() -> Rc<RemoteKeySet> {
    Keyring::default().set("zone", "https://idp.example", &remote())
}

fn at(seconds: u64) -> UnixMillis {
    UnixMillis((1_000_000 + seconds) * 1000)
}

fn keys() -> Option<&'static str> {
    Some(testing::jwks())
}

/// Takes an answer with this body, or none.
fn finish(fetch: Fetch, store: &dyn SharedData, now: UnixMillis, body: Option<&str>) -> FetchResult {
    let reply = body.map(|body| Reply { status: 200, cache_control: None, body: body.as_bytes().to_vec() });
    match fetch.answered(store, now, reply.as_ref()) {
        Progress::Done(result) => result,
        Progress::Next(_) => panic!("asks for more"),
    }
}

/// Asks as a request does: after a look at the newest set.
fn request(set: &Rc<RemoteKeySet>, store: &dyn SharedData, now: UnixMillis, want: Want) -> Result<Fetch, NotNow> {
    set.newest(store, now);
    set.request_fetch(store, now, want)
}

#[test]
fn one_worker_fetches_and_all_of_the_node_have_the_set() {
    let (store, first, second) = (MemoryStore::default(), worker(), worker());
    assert!(first.current(&store, at(0)).is_none());
    let fetch = first.refresh(&store, at(0), TICK).unwrap();
    assert!(second.refresh(&store, at(0), TICK).is_none(), "the lease is taken");
    assert_eq!(finish(fetch, &store, at(1), keys()), FetchResult::Fetched);
    assert!(second.current(&store, at(2)).is_some());
    assert!(second.refresh(&store, at(2), TICK).is_none(), "it is fresh");
}

#[test]
fn a_set_is_refreshed_ahead_of_age_by_one_worker() {
    let (store, first, second) = (MemoryStore::default(), worker(), worker());
    finish(first.refresh(&store, at(0), TICK).unwrap(), &store, at(0), keys());
    assert!(second.refresh(&store, at(234), TICK).is_none());
    assert!(second.refresh(&store, at(270), TICK).is_some());
    assert!(first.refresh(&store, at(271), TICK).is_none());
}

#[test]
fn a_provider_that_asks_for_it_is_asked_sooner() {
    let (store, set) = (MemoryStore::default(), worker());
    let reply = Reply { status: 200, cache_control: Some("max-age=100".into()), body: testing::jwks().into() };
    set.refresh(&store, at(0), TICK).unwrap().answered(&store, at(0), Some(&reply));
    assert!(set.refresh(&store, at(74), TICK).is_none());
    assert!(set.refresh(&store, at(90), TICK).is_some());
}

#[test]
fn the_last_good_set_serves_while_the_provider_is_down_until_it_is_too_old() {
    let (store, set) = (MemoryStore::default(), worker());
    finish(set.refresh(&store, at(0), TICK).unwrap(), &store, at(0), keys());
    for (seconds, answer) in [(300, None), (320, Some("<html>")), (350, Some(r#"{"keys":[]}"#)), (400, Some("[]"))] {
        let fetch = set.refresh(&store, at(seconds), TICK).unwrap();
        assert_ne!(finish(fetch, &store, at(seconds), answer), FetchResult::Fetched);
        assert!(set.current(&store, at(seconds)).is_some());
    }
    assert!(set.refresh(&store, at(420), TICK).is_none(), "by now it is left alone for longer than the cool-down");
    assert!(set.current(&store, at(3900)).is_some());
    assert!(set.current(&store, at(3901)).is_none());
}

#[test]
fn a_flood_of_unknown_keys_causes_one_fetch_a_cooldown() {
    let (store, set) = (MemoryStore::default(), worker());
    finish(set.refresh(&store, at(0), TICK).unwrap(), &store, at(0), keys());
    let mut fetches = 0;
    for tenth in 0..600 {
        let now = UnixMillis(at(0).0 + tenth * 100);
        if let Ok(fetch) = request(&set, &store, now, Want::UnknownKey) {
            fetches += 1;
            finish(fetch, &store, now, keys());
        }
    }
    assert_eq!(fetches, 6, "60 s, one each 10 s");
}

#[test]
fn a_key_that_came_into_use_right_after_a_refresh_is_found_at_once() {
    let (store, set) = (MemoryStore::default(), worker());
    finish(set.refresh(&store, at(0), TICK).unwrap(), &store, at(0), Some(testing::other_jwks()));
    assert!(request(&set, &store, at(1), Want::UnknownKey).is_ok());
}

#[test]
fn a_provider_that_is_back_with_a_new_key_is_found_while_refreshes_are_spaced_out() {
    let (store, set) = (MemoryStore::default(), worker());
    finish(set.refresh(&store, at(0), TICK).unwrap(), &store, at(0), keys());
    for seconds in [300, 320, 350] {
        finish(set.refresh(&store, at(seconds), TICK).unwrap(), &store, at(seconds), None);
    }
    assert!(set.refresh(&store, at(351), TICK).is_none());
    let fetch = request(&set, &store, at(351), Want::UnknownKey).ok().unwrap();
    assert_eq!(finish(fetch, &store, at(351), Some(testing::other_jwks())), FetchResult::Fetched);
}

#[test]
fn requests_that_cannot_do_without_keys_fetch_too_but_only_so_many() {
    for want in [Want::NoKeys, Want::UnknownKey] {
        let (store, set) = (MemoryStore::default(), worker());
        let fetches: Vec<_> = (0..40).filter_map(|_| request(&set, &store, at(0), want).ok()).collect();
        assert_eq!(fetches.len(), 16);
        let refused = request(&set, &store, at(0), want).err().unwrap();
        assert!(refused.provider_down && refused.retry_after >= Duration::from_secs(1));
        drop(fetches);
        assert!(request(&set, &store, at(0), want).is_ok(), "places are given back");
    }
}

#[test]
fn a_provider_that_fails_is_left_alone_for_the_cooldown() {
    let (store, set) = (MemoryStore::default(), worker());
    finish(request(&set, &store, at(0), Want::NoKeys).ok().unwrap(), &store, at(0), None);
    let refused = request(&set, &store, at(4), Want::NoKeys).err().unwrap();
    assert!(refused.provider_down && (6..=8).contains(&refused.retry_after.as_secs()), "{refused:?}");
    assert!(request(&set, &store, at(12), Want::NoKeys).is_ok());
}

#[test]
fn a_provider_whose_last_set_is_too_old_to_serve_is_tried_as_often_as_one_that_never_gave_any() {
    let (store, set) = (MemoryStore::default(), worker());
    finish(set.refresh(&store, at(0), TICK).unwrap(), &store, at(0), keys());
    let mut tried = Vec::new();
    for seconds in 300..4000 {
        if let Some(fetch) = set.refresh(&store, at(seconds), TICK) {
            finish(fetch, &store, at(seconds), None);
            tried.push(seconds);
        }
    }
    let pauses: Vec<_> = tried.windows(2).map(|pair| (pair[0], pair[1] - pair[0])).collect();
    assert!(pauses.iter().any(|(_, pause)| *pause >= 60), "spaced out while it serves: {pauses:?}");
    let past_its_age: Vec<_> = tried.iter().filter(|at| **at > 3900).collect();
    assert!(*past_its_age[0] <= 3913, "the first try waits no longer than the set lives: {tried:?}");
    assert!(past_its_age.windows(2).all(|pair| (10..=13).contains(&(pair[1] - pair[0]))), "{past_its_age:?}");
}

#[test]
fn an_empty_set_is_asked_for_again_after_the_cooldown() {
    let (store, set) = (MemoryStore::default(), worker());
    let fetch = request(&set, &store, at(0), Want::NoKeys).ok().unwrap();
    assert_eq!(finish(fetch, &store, at(0), Some(r#"{"keys":[]}"#)), FetchResult::Empty);
    assert!(request(&set, &store, at(9), Want::NoKeys).is_err());
    assert!(request(&set, &store, at(12), Want::NoKeys).is_ok());
}

#[test]
fn a_lease_whose_holder_vanished_ends_by_itself() {
    let (store, first, second) = (MemoryStore::default(), worker(), worker());
    drop(first.refresh(&store, at(0), TICK).unwrap());
    assert!(second.refresh(&store, at(2), TICK).is_none());
    assert!(second.refresh(&store, at(4), TICK).is_some());
}

#[test]
fn where_ticks_do_not_run_a_request_has_to_refresh() {
    let (store, set) = (MemoryStore::default(), worker());
    finish(set.refresh(&store, at(0), TICK).unwrap(), &store, at(0), keys());
    assert!(!set.is_overdue(at(269)));
    assert!(set.is_overdue(at(300)), "due, and nobody has tried");
    finish(set.refresh(&store, at(300), TICK).unwrap(), &store, at(300), None);
    assert!(!set.is_overdue(at(301)), "somebody has tried");
    assert!(set.is_overdue(at(600)), "twice the age, whatever was tried");
}

#[test]
fn an_evicted_record_does_not_stop_a_worker_that_has_the_set() {
    let (store, set) = (MemoryStore::default(), worker());
    finish(set.refresh(&store, at(0), TICK).unwrap(), &store, at(0), keys());
    for key in store.keys() {
        store.evict(&key);
    }
    assert!(set.current(&store, at(5)).is_some());
    finish(set.refresh(&store, at(270), TICK).unwrap(), &store, at(270), keys());
    assert!(worker().current(&store, at(271)).is_some(), "it is written back");
}

#[test]
fn without_shared_data_each_worker_fetches_for_itself() {
    let set = worker();
    let fetch = request(&set, &BrokenStore, at(0), Want::NoKeys).ok().unwrap();
    assert_eq!(finish(fetch, &BrokenStore, at(0), keys()), FetchResult::Fetched);
    assert!(set.current(&BrokenStore, at(1)).is_some());
    assert!(set.take_store_faults() > 0);
    assert!(
        finish(request(&set, &BrokenStore, at(2), Want::UnknownKey).ok().unwrap(), &BrokenStore, at(2), keys())
            == FetchResult::Fetched
    );
    assert!(
        request(&set, &BrokenStore, at(3), Want::UnknownKey).is_err(),
        "and is held to the cool-down by its own memory"
    );
}

#[test]
fn a_record_of_another_key_is_not_taken_for_this_set() {
    let (store, set) = (MemoryStore::default(), worker());
    let sealed = crate::record::seal("another", b"{}");
    store.set(&set.key, &sealed, Expect::Absent).unwrap();
    assert!(set.current(&store, at(0)).is_none());
    let fetch = request(&set, &store, at(0), Want::NoKeys).ok().unwrap();
    finish(fetch, &store, at(0), keys());
    assert!(set.current(&store, at(1)).is_some(), "the worker goes by its own memory");
}

#[test]
fn sets_are_told_apart_by_everything_that_decides_what_is_fetched() {
    let endpoint = |upstream: Option<&str>| Endpoint::parse("https://idp.example/keys", upstream).unwrap();
    let discovery = |jwks_upstream: Option<&str>| RemoteSource::Discovery {
        document: endpoint(None),
        jwks_upstream: jwks_upstream.map(str::to_owned),
    };
    let at = |source| RemoteKeys { source, ..remote() };
    let fetched = |change: fn(&mut FetchSettings)| {
        let mut remote = remote();
        change(&mut remote.fetch);
        remote
    };
    let all = [
        remote(),
        at(RemoteSource::Jwks(endpoint(Some("internal:443")))),
        at(RemoteSource::Jwks(endpoint(Some("internal:444")))),
        at(RemoteSource::Jwks(Endpoint::parse("https://idp.example/keys2", None).unwrap())),
        at(RemoteSource::Jwks(Endpoint::parse("http://idp.example/keys", Some("idp.example:443")).unwrap())),
        at(discovery(None)),
        at(discovery(Some("keys:443"))),
        at(discovery(Some("keys:444"))),
        fetched(|fetch| fetch.timeout *= 2),
        fetched(|fetch| fetch.max_age *= 2),
        fetched(|fetch| fetch.stale *= 2),
        fetched(|fetch| fetch.cooldown *= 2),
    ];
    let store = MemoryStore::default();
    let sets = all.clone().map(|remote| Keyring::default().set("zone", "https://idp.example", &remote));
    let keys: std::collections::BTreeSet<_> = sets.iter().map(|set| set.key.clone()).collect();
    assert_eq!(keys.len(), all.len(), "{keys:?}");
    assert!(keys.iter().all(|key| key.starts_with("zone/jwks:https://idp.example ")), "{keys:?}");
    for (set, remote) in sets.iter().zip(&all) {
        assert_eq!(
            Keyring::default().set("zone", "https://idp.example", remote).key,
            set.key,
            "another worker finds it"
        );
    }
    // What one route fetches replaces no other's keys.
    let fetch = request(&sets[0], &store, self::at(0), Want::NoKeys).ok().unwrap();
    finish(fetch, &store, self::at(0), Some(testing::other_jwks()));
    assert!(sets[1..].iter().all(|set| set.current(&store, self::at(1)).is_none()));
}

#[test]
fn a_set_that_no_route_uses_any_more_is_forgotten() {
    let keyring = Keyring::default();
    let set = keyring.set("zone", "https://idp.example", &remote());
    assert_eq!(keyring.in_use().len(), 1);
    assert!(Rc::ptr_eq(&set, &keyring.set("zone", "https://idp.example", &remote())));
    assert!(!Rc::ptr_eq(&set, &keyring.set("other", "https://idp.example", &remote())));
    drop(set);
    assert!(keyring.in_use().is_empty());
}
