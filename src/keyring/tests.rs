use super::*;
use crate::config::FetchSettings;
use crate::host::{Expect, MemoryStore, StoreFailed, Stored, WriteError};
use crate::jose::testing;

fn remote() -> RemoteKeys {
    RemoteKeys {
        scheme: "https".into(),
        authority: "idp.example".into(),
        path: "/keys".into(),
        upstream: "idp.example:443".into(),
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

fn keys() -> &'static [u8] {
    testing::jwks().as_bytes()
}

struct Broken;

impl SharedData for Broken {
    fn get(&self, _: &str) -> Result<Option<Stored>, StoreFailed> {
        Err(StoreFailed)
    }

    fn set(&self, _: &str, _: &[u8], _: Expect) -> Result<(), WriteError> {
        Err(WriteError::Failed)
    }
}

#[test]
fn one_worker_fetches_and_all_of_the_node_have_the_set() {
    let (store, first, second) = (MemoryStore::default(), worker(), worker());
    assert!(first.current(&store, at(0)).is_none());
    let fetch = first.refresh(&store, at(0)).unwrap();
    assert!(second.refresh(&store, at(0)).is_none(), "the lease is taken");
    assert_eq!(fetch.finish(&store, at(1), Some(keys())), FetchResult::Fetched);
    assert!(second.current(&store, at(2)).is_some());
    assert!(second.refresh(&store, at(2)).is_none(), "it is fresh");
}

#[test]
fn a_set_is_refreshed_ahead_of_age_by_one_worker() {
    let (store, first, second) = (MemoryStore::default(), worker(), worker());
    first.refresh(&store, at(0)).unwrap().finish(&store, at(0), Some(keys()));
    assert!(second.refresh(&store, at(239)).is_none());
    let fetch = second.refresh(&store, at(240));
    assert!(fetch.is_some());
    assert!(first.refresh(&store, at(241)).is_none());
}

#[test]
fn the_last_good_set_serves_while_the_provider_is_down_until_it_is_too_old() {
    let (store, set) = (MemoryStore::default(), worker());
    set.refresh(&store, at(0)).unwrap().finish(&store, at(0), Some(keys()));
    for (seconds, answer) in [(300, None), (320, Some(&b"<html>"[..])), (340, Some(&br#"{"keys":[]}"#[..]))] {
        let fetch = set.refresh(&store, at(seconds)).unwrap();
        assert_ne!(fetch.finish(&store, at(seconds), answer), FetchResult::Fetched);
        assert!(set.current(&store, at(seconds)).is_some());
    }
    assert!(set.current(&store, at(3900)).is_some());
    assert!(set.current(&store, at(3901)).is_none());
}

#[test]
fn a_flood_of_unknown_keys_causes_one_fetch_a_cooldown() {
    let (store, set) = (MemoryStore::default(), worker());
    set.refresh(&store, at(0)).unwrap().finish(&store, at(0), Some(keys()));
    let mut fetches = 0;
    for tenth in 0..600 {
        let now = UnixMillis(at(0).0 + tenth * 100);
        if let Ok(fetch) = set.request_fetch(&store, now, Want::UnknownKey) {
            fetches += 1;
            fetch.finish(&store, now, Some(keys()));
        }
    }
    assert_eq!(fetches, 5, "60 s, one each 10 s, none in the first");
}

#[test]
fn requests_that_cannot_do_without_keys_fetch_too_but_only_so_many() {
    let (store, set) = (MemoryStore::default(), worker());
    let fetches: Vec<_> = (0..40).filter_map(|_| set.request_fetch(&store, at(0), Want::NoKeys).ok()).collect();
    assert_eq!(fetches.len(), 16);
    let refused = set.request_fetch(&store, at(0), Want::NoKeys).err().unwrap();
    assert!(refused.provider_down && refused.retry_after >= Duration::from_secs(1));
    drop(fetches);
    assert!(set.request_fetch(&store, at(0), Want::NoKeys).is_ok(), "places are given back");
}

#[test]
fn a_provider_that_fails_is_left_alone_for_the_cooldown() {
    let (store, set) = (MemoryStore::default(), worker());
    set.request_fetch(&store, at(0), Want::NoKeys).ok().unwrap().finish(&store, at(0), None);
    let refused = set.request_fetch(&store, at(4), Want::NoKeys).err().unwrap();
    assert_eq!(refused, NotNow { retry_after: Duration::from_secs(6), provider_down: true });
    assert!(set.request_fetch(&store, at(10), Want::NoKeys).is_ok());
}

#[test]
fn an_empty_set_is_asked_for_again_after_the_cooldown() {
    let (store, set) = (MemoryStore::default(), worker());
    let empty =
        set.request_fetch(&store, at(0), Want::NoKeys).ok().unwrap().finish(&store, at(0), Some(br#"{"keys":[]}"#));
    assert_eq!(empty, FetchResult::Empty);
    assert!(set.request_fetch(&store, at(9), Want::NoKeys).is_err());
    assert!(set.request_fetch(&store, at(10), Want::NoKeys).is_ok());
}

#[test]
fn a_lease_whose_holder_vanished_ends_by_itself() {
    let (store, first, second) = (MemoryStore::default(), worker(), worker());
    drop(first.refresh(&store, at(0)).unwrap());
    assert!(second.refresh(&store, at(2)).is_none());
    assert!(second.refresh(&store, at(4)).is_some());
}

#[test]
fn an_evicted_record_does_not_stop_a_worker_that_has_the_set() {
    let (store, set) = (MemoryStore::default(), worker());
    set.refresh(&store, at(0)).unwrap().finish(&store, at(0), Some(keys()));
    for key in store.keys() {
        store.evict(&key);
    }
    assert!(set.current(&store, at(5)).is_some());
    set.refresh(&store, at(250)).unwrap().finish(&store, at(250), Some(keys()));
    assert!(worker().current(&store, at(251)).is_some(), "it is written back");
}

#[test]
fn without_shared_data_each_worker_fetches_for_itself() {
    let set = worker();
    let fetch = set.request_fetch(&Broken, at(0), Want::NoKeys).ok().unwrap();
    assert_eq!(fetch.finish(&Broken, at(0), Some(keys())), FetchResult::Fetched);
    assert!(set.current(&Broken, at(1)).is_some());
    assert!(set.take_store_faults() > 0);
}

#[test]
fn a_record_of_another_key_is_not_taken_for_this_set() {
    let (store, set) = (MemoryStore::default(), worker());
    let sealed = crate::record::seal("another", b"{}");
    store.set(&set.key, &sealed, Expect::Absent).unwrap();
    assert!(set.current(&store, at(0)).is_none());
    let fetch = set.request_fetch(&store, at(0), Want::NoKeys).ok().unwrap();
    fetch.finish(&store, at(0), Some(keys()));
    assert!(set.current(&store, at(1)).is_some(), "the worker goes by its own memory");
}
