use super::*;
use crate::config::FetchSettings;
use crate::host::{BrokenStore, FaultyStore, MemoryStore};
use crate::http::Reply;
use crate::jose::testing;
use crate::record::seal;
use serde_json::json;

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
        FetchProgress::Done(result) => result,
        FetchProgress::Next(_) => panic!("asks for more"),
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
        let next = request(&set, &store, at(0), want);
        match want {
            Want::NoKeys => assert!(next.is_ok(), "places are given back"),
            // One fetch for unknown keys a cool-down: the next is a tick's.
            _ => assert!(next.is_err_and(|refused| refused.provider_down) && set.is_refresh_due(&store, at(0), TICK)),
        }
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
fn a_record_that_cannot_be_read_is_replaced_and_a_withdrawn_key_ends_with_the_next_fetch() {
    let (key, set) = (worker().shared.key().to_owned(), testing::jwks());
    let sealed = |record: serde_json::Value| seal(&key, record.to_string().as_bytes());
    let mut newer = sealed(json!({"fetched": at(0).0, "jwks": set}));
    newer[2] += 1;
    let cases = [
        ("garbage", b"garbage".to_vec()),
        ("another envelope", newer),
        ("no JSON", seal(&key, b"{\"fetched\":")),
        ("another type", sealed(json!({"fetched": "at noon"}))),
        ("a newer format", seal(&key, b"{\"format\":99,\"fetched\":0}")),
        ("keys that are none", sealed(json!({"fetched": at(0).0, "jwks": "<html>"}))),
    ];
    for (what, bytes) in cases {
        let (store, first, second) = (FaultyStore::default(), worker(), worker());
        store.plant(&key, &bytes);
        let fetch = first.refresh(&store, at(0), TICK).unwrap_or_else(|| panic!("{what}: nobody fetches"));
        assert!(second.refresh(&store, at(0), TICK).is_none(), "{what}: the lease is taken");
        finish(fetch, &store, at(0), keys());
        let old = second.current(&store, at(1)).unwrap_or_else(|| panic!("{what}: the others do not have it"));

        store.plant(&key, &bytes);
        assert!(second.current(&store, at(260)).is_some(), "{what}: what a worker has goes on");
        finish(first.refresh(&store, at(270), TICK).unwrap(), &store, at(270), Some(testing::other_jwks()));
        let new = second.current(&store, at(271)).unwrap();
        assert!(!Rc::ptr_eq(&old, &new), "{what}: the withdrawn key serves on");
    }
}

#[test]
fn what_the_version_before_wrote_is_read() {
    let (store, set) = (FaultyStore::default(), worker());
    let record = json!({
        "fetched": at(0).0, "refresh_at": at(240).0, "failures": 0, "retry_at": 0, "asked": 0, "leased_until": 0,
        "jwks": testing::jwks(), "jwks_uri": null, "discovered": 0
    });
    store.plant(set.shared.key(), &seal(set.shared.key(), record.to_string().as_bytes()));
    assert!(set.current(&store, at(1)).is_some());
    assert!(set.refresh(&store, at(1), TICK).is_none() && set.refresh(&store, at(240), TICK).is_some());
}

#[test]
fn sets_whose_keys_have_one_checksum_are_both_fetched_once_and_had_by_all() {
    let store = FaultyStore::default();
    let sets = |issuer: &str| [0, 1].map(|_| Keyring::default().set("zone", issuer, &remote()));
    let (ours, theirs) = (sets("https://idp.example"), sets("https://other.example"));
    store.collide(ours[0].shared.key(), theirs[0].shared.key());
    for [one, other] in [&ours, &theirs] {
        let fetch = one.refresh(&store, at(0), TICK).unwrap();
        assert!(other.refresh(&store, at(0), TICK).is_none());
        finish(fetch, &store, at(0), keys());
    }
    for [one, other] in [&ours, &theirs] {
        assert!(one.current(&store, at(1)).is_some() && other.current(&store, at(1)).is_some());
        assert!(one.refresh(&store, at(200), TICK).is_none() && other.refresh(&store, at(200), TICK).is_none());
        finish(other.refresh(&store, at(270), TICK).unwrap(), &store, at(270), keys());
        assert!(one.refresh(&store, at(271), TICK).is_none(), "the other worker did");
    }
}

#[test]
fn a_record_that_was_begun_anew_does_not_take_a_workers_keys_away() {
    let (store, set, new) = (MemoryStore::default(), worker(), worker());
    finish(set.refresh(&store, at(0), TICK).unwrap(), &store, at(0), keys());
    store.evict(set.shared.key());
    let fetch = new.refresh(&store, at(10), TICK).unwrap();
    assert!(set.current(&store, at(11)).is_some());
    finish(fetch, &store, at(12), None);
    assert!(set.current(&store, at(13)).is_some());
}

#[test]
fn what_a_request_began_to_fetch_and_left_is_free_at_once_and_due_for_a_tick() {
    type Leave = fn(Fetch, &dyn SharedData);
    let ways: [(&str, Leave); 2] =
        [("left", |fetch, store| fetch.leave(store, at(0))), ("dropped", |fetch, _| drop(fetch))];
    for (way, leave) in ways {
        let (store, one, other) = (MemoryStore::default(), worker(), worker());
        finish(one.refresh(&store, at(0), TICK).unwrap(), &store, at(0), keys());
        leave(request(&one, &store, at(0), Want::UnknownKey).ok().unwrap(), &store);
        assert!(one.current(&store, at(0)).is_some());
        let refused = request(&other, &store, at(1), Want::UnknownKey).err().unwrap();
        assert!(refused.provider_down, "{way}: what the provider has is not known");
        assert!(one.is_left() && one.is_refresh_due(&store, at(1), TICK), "{way}");
        assert!(other.refresh(&store, at(2), TICK).is_some(), "{way}");
    }
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
    let keys: std::collections::BTreeSet<_> = sets.iter().map(|set| set.shared.key().to_owned()).collect();
    assert_eq!(keys.len(), all.len(), "{keys:?}");
    assert!(keys.iter().all(|key| key.starts_with("zone/jwks:https://idp.example ")), "{keys:?}");
    for (set, remote) in sets.iter().zip(&all) {
        assert_eq!(
            Keyring::default().set("zone", "https://idp.example", remote).shared.key(),
            set.shared.key(),
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
