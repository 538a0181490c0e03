//! The limiter over stores that race, fail, forget and collide.

use super::*;
use crate::config::{Mode, Per, QuotaPolicy, Quotas, StoreFault as OnStoreError};
use crate::entity::EntityRef;
use crate::host::{Expect, MemoryStore, SharedData, StoreFailed, Stored, UnixMillis, WriteError};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

const NOW: UnixMillis = UnixMillis(1_750_000_000_000);

fn policy(name: &str, per: Per, limit: u32, seconds: u64) -> QuotaPolicy {
    QuotaPolicy {
        name: name.into(),
        per,
        windows: vec![Window { limit, length: Duration::from_secs(seconds) }],
        overrides: BTreeMap::new(),
        cost: [("POST".to_owned(), 5)].into(),
    }
}

fn quotas(policies: Vec<QuotaPolicy>) -> Quotas {
    Quotas { mode: Mode::Enforce, on_store_error: OnStoreError::Deny, x_ratelimit_headers: false, policies }
}

fn entity(text: &str) -> EntityRef {
    EntityRef::parse_full(text).unwrap()
}

fn call(store: &dyn SharedData, quotas: &Quotas, group: &str, method: &str, now: UnixMillis) -> Charge {
    let (api, group) = (entity("api:default/payments"), entity(group));
    let subjects = Subjects { entity: &api, group: Some(&group), principal: None };
    charge(store, quotas, "zone", &subjects, method, now, || KeySecret::obtain(store, "zone"))
}

fn is_charged(charge: &Charge) -> bool {
    matches!(charge, Charge::Charged(_))
}

/// A store behind which something happens.
struct Scripted<F> {
    inner: MemoryStore,
    before_set: F,
}

impl<F: Fn(&MemoryStore, &str) -> Result<(), WriteError>> SharedData for Scripted<F> {
    fn get(&self, key: &str) -> Result<Option<Stored>, StoreFailed> {
        self.inner.get(key)
    }

    fn set(&self, key: &str, value: &[u8], expect: Expect) -> Result<(), WriteError> {
        (self.before_set)(&self.inner, key)?;
        self.inner.set(key, value, expect)
    }
}

struct Shared(Mutex<MemoryStore>);

impl SharedData for Shared {
    fn get(&self, key: &str) -> Result<Option<Stored>, StoreFailed> {
        self.0.lock().unwrap().get(key)
    }

    fn set(&self, key: &str, value: &[u8], expect: Expect) -> Result<(), WriteError> {
        self.0.lock().unwrap().set(key, value, expect)
    }
}

#[test]
fn each_group_has_its_own_budget_and_costs_go_by_method() {
    let (store, quotas) = (MemoryStore::default(), quotas(vec![policy("p", Per::Group, 6, 60)]));
    assert!(is_charged(&call(&store, &quotas, "group:default/a", "POST", NOW)));
    assert!(!is_charged(&call(&store, &quotas, "group:default/a", "POST", NOW)));
    assert!(is_charged(&call(&store, &quotas, "group:default/a", "GET", NOW)));
    assert!(!is_charged(&call(&store, &quotas, "group:default/a", "GET", NOW)));
    assert!(is_charged(&call(&store, &quotas, "group:default/b", "POST", NOW)));
}

#[test]
fn overrides_count_for_the_group_they_name() {
    let mut policy = policy("p", Per::Group, 1, 60);
    policy.overrides.insert(entity("group:default/vip"), vec![Window { limit: 3, length: Duration::from_secs(60) }]);
    let (store, quotas) = (MemoryStore::default(), quotas(vec![policy]));
    let admitted = |group| (0..5).filter(|_| is_charged(&call(&store, &quotas, group, "GET", NOW))).count();
    assert_eq!((admitted("group:default/vip"), admitted("group:default/a")), (3, 1));
}

#[test]
fn a_request_is_charged_to_all_policies_or_to_none() {
    let store = MemoryStore::default();
    let both = quotas(vec![policy("wide", Per::Group, 10, 60), policy("narrow", Per::Entity, 1, 60)]);
    let wide = quotas(vec![policy("wide", Per::Group, 10, 60)]);
    assert!(is_charged(&call(&store, &both, "group:default/a", "GET", NOW)));
    for _ in 0..5 {
        assert!(matches!(call(&store, &both, "group:default/a", "GET", NOW), Charge::Exhausted(_)));
    }
    let Charge::Charged(states) = call(&store, &wide, "group:default/a", "GET", NOW) else { panic!("denied") };
    assert_eq!(states[0].remaining, 8, "the five refused requests cost nothing");
}

#[test]
fn what_was_charged_is_given_back_when_a_later_policy_turns_out_full() {
    let raced = Cell::new(false);
    let narrow = quotas(vec![policy("narrow", Per::Entity, 1, 60)]);
    let store = Scripted {
        inner: MemoryStore::default(),
        before_set: |inner: &MemoryStore, key: &str| {
            if key.contains("narrow") && !raced.replace(true) {
                assert!(is_charged(&call(inner, &narrow, "group:default/b", "GET", NOW)));
            }
            Ok(())
        },
    };
    let both = quotas(vec![policy("wide", Per::Group, 10, 60), policy("narrow", Per::Entity, 1, 60)]);
    assert!(matches!(call(&store, &both, "group:default/a", "GET", NOW), Charge::Exhausted(_)));
    let wide = quotas(vec![policy("wide", Per::Group, 10, 60)]);
    let Charge::Charged(states) = call(&store, &wide, "group:default/a", "GET", NOW) else { panic!("denied") };
    assert_eq!(states[0].remaining, 9);
}

#[test]
fn a_lost_race_is_decided_again_on_what_the_winner_left() {
    let races = Cell::new(3);
    let quotas = quotas(vec![policy("p", Per::Group, 3, 60)]);
    let store = Scripted {
        inner: MemoryStore::default(),
        before_set: |inner: &MemoryStore, _: &str| {
            if races.replace(races.get().max(1) - 1) > 0 {
                call(inner, &quotas, "group:default/a", "GET", NOW);
            }
            Ok(())
        },
    };
    assert!(matches!(call(&store, &quotas, "group:default/a", "GET", NOW), Charge::Exhausted(_)));
}

#[test]
fn workers_that_race_never_admit_more_than_the_limit() {
    let store = Shared(Mutex::new(MemoryStore::default()));
    let admitted = Mutex::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let quotas =
                    quotas(vec![policy("group", Per::Group, 100, 3600), policy("all", Per::Entity, 150, 3600)]);
                for round in 0..60 {
                    let group = if round % 2 == 0 { "group:default/a" } else { "group:default/b" };
                    if is_charged(&call(&store, &quotas, group, "GET", NOW)) {
                        *admitted.lock().unwrap() += 1;
                    }
                }
            });
        }
    });
    assert_eq!(*admitted.lock().unwrap(), 150);
}

#[test]
fn endless_contention_and_failing_stores_are_faults() {
    let quotas = quotas(vec![policy("p", Per::Group, 3, 60)]);
    for (error, fault) in [(WriteError::Changed, StoreFault::Contended), (WriteError::Failed, StoreFault::Unavailable)]
    {
        let store = Scripted { inner: MemoryStore::default(), before_set: |_: &MemoryStore, _: &str| Err(error) };
        assert_eq!(call(&store, &quotas, "group:default/a", "GET", NOW), Charge::StoreFailed(fault));
    }
}

#[test]
fn another_keys_record_is_left_alone_and_the_next_place_is_taken() {
    let store = MemoryStore::default();
    let quotas = quotas(vec![policy("p", Per::Group, 1, 60)]);
    assert!(is_charged(&call(&store, &quotas, "group:default/a", "GET", NOW)));
    let place = store.keys().pop().unwrap();
    let version = store.get(&place).unwrap().unwrap().version;
    store.set(&place, &crate::record::seal("another", b""), Expect::Version(version)).unwrap();
    assert!(is_charged(&call(&store, &quotas, "group:default/a", "GET", NOW)));
    assert!(!is_charged(&call(&store, &quotas, "group:default/a", "GET", NOW)), "and found there again");
    for slot in 1..4 {
        let place = format!("{place}#{slot}");
        let expect = store.get(&place).unwrap().map_or(Expect::Absent, |stored| Expect::Version(stored.version));
        store.set(&place, &crate::record::seal("another", b""), expect).unwrap();
    }
    assert_eq!(call(&store, &quotas, "group:default/a", "GET", NOW), Charge::StoreFailed(StoreFault::Collision));
}

#[test]
fn an_evicted_or_damaged_record_begins_anew() {
    let store = MemoryStore::default();
    let quotas = quotas(vec![policy("p", Per::Group, 1, 60)]);
    assert!(is_charged(&call(&store, &quotas, "group:default/a", "GET", NOW)));
    let place = store.keys().pop().unwrap();
    store.evict(&place);
    assert!(is_charged(&call(&store, &quotas, "group:default/a", "GET", NOW)));
    let version = store.get(&place).unwrap().unwrap().version;
    store.set(&place, b"BK\x01damaged", Expect::Version(version)).unwrap();
    assert!(is_charged(&call(&store, &quotas, "group:default/a", "GET", NOW)));
}

#[test]
fn a_budget_comes_back_when_its_time_has_come_and_not_before() {
    let (store, quotas) = (MemoryStore::default(), quotas(vec![policy("p", Per::Group, 2, 10)]));
    let at = |ms| UnixMillis(NOW.0 / 10_000 * 10_000 + ms);
    call(&store, &quotas, "group:default/a", "GET", at(9_000));
    call(&store, &quotas, "group:default/a", "GET", at(9_000));
    let Charge::Exhausted(states) = call(&store, &quotas, "group:default/a", "GET", at(9_000)) else {
        panic!("admitted")
    };
    assert_eq!(states[0].reset_seconds, 6);
    assert!(!is_charged(&call(&store, &quotas, "group:default/a", "GET", at(14_999))));
    assert!(is_charged(&call(&store, &quotas, "group:default/a", "GET", at(15_000))));
}

#[test]
fn one_secret_serves_the_node() {
    let store = MemoryStore::default();
    let keys = RefCell::new(Vec::new());
    for _ in 0..2 {
        KeySecret::obtain(&store, "zone").ok().unwrap();
        keys.borrow_mut().push(store.get("zone/secret").unwrap().unwrap().bytes);
    }
    let keys = keys.into_inner();
    assert_eq!(keys[0], keys[1]);
}
