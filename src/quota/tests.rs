//! The limiter over stores that are well, and that race. Those that fail are in [`faults`].

mod faults;

use super::*;
use crate::config::{Mode, OnStoreError, Per, QuotaPolicy, Quotas};
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
        tiers: BTreeMap::new(),
        cost: [("POST".to_owned(), 5)].into(),
    }
}

fn quotas(policies: Vec<QuotaPolicy>) -> Quotas {
    Quotas {
        mode: Mode::Enforce,
        on_store_error: OnStoreError::Deny,
        engine: None,
        x_ratelimit_headers: false,
        policies,
    }
}

fn entity(text: &str) -> EntityRef {
    EntityRef::parse_full(text).unwrap()
}

fn call(store: &dyn SharedData, quotas: &Quotas, group: &str, method: &str, now: UnixMillis) -> Charge {
    let (api, group) = (entity("api:default/payments"), entity(group));
    let subjects = Subjects { entity: &api, group: Some(&group), principal: None, tiers: Tiers::default() };
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
fn a_tier_has_its_own_windows_that_of_the_group_before_that_of_the_entity() {
    let (api, group, vip) = (entity("api:default/x"), entity("group:default/a"), entity("group:default/vip"));
    let limit = |limit| vec![Window { limit, length: Duration::from_secs(60) }];
    let mut policy = policy("p", Per::Group, 1, 60);
    policy.tiers = [("gold".to_owned(), limit(9)), ("silver".to_owned(), limit(5))].into();
    policy.overrides.insert(vip.clone(), limit(3));
    let shared = QuotaPolicy {
        per: Per::Entity,
        name: "shared".into(),
        tiers: policy.tiers.clone(),
        ..self::policy("p", Per::Entity, 1, 60)
    };
    let cases = [
        (&group, None, None, 1, 1),
        (&group, Some("gold"), None, 9, 1),
        (&group, None, Some("silver"), 5, 5),
        (&group, Some("gold"), Some("silver"), 9, 5),
        (&group, Some("unheard of"), Some("silver"), 5, 5),
        (&group, Some("unheard of"), None, 1, 1),
        (&vip, Some("gold"), Some("silver"), 3, 5),
    ];
    for (group, of_group, of_entity, per_group, per_entity) in cases {
        let tiers = Tiers { group: of_group, entity: of_entity };
        let subjects = Subjects { entity: &api, group: Some(group), principal: None, tiers };
        let limits = [&policy, &shared].map(|policy| subjects.windows(policy)[0].limit);
        assert_eq!(limits, [per_group, per_entity], "{group} {tiers:?}");
    }
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
fn a_charged_request_violates_nothing_even_when_it_takes_the_last_unit() {
    let (store, quotas) = (MemoryStore::default(), quotas(vec![policy("p", Per::Group, 1, 60)]));
    let Charge::Charged(states) = call(&store, &quotas, "group:default/a", "GET", NOW) else { panic!("denied") };
    assert_eq!((states[0].remaining, states[0].violated), (0, false));
    let Charge::Exhausted(states) = call(&store, &quotas, "group:default/a", "GET", NOW) else { panic!("admitted") };
    assert!(states[0].violated);
}

#[test]
fn what_costs_nothing_passes_unwritten_when_nothing_is_left() {
    let mut policy = policy("p", Per::Group, 1, 60);
    policy.cost.insert("HEAD".to_owned(), 0);
    let (store, quotas) = (MemoryStore::default(), quotas(vec![policy]));
    assert!(is_charged(&call(&store, &quotas, "group:default/a", "HEAD", NOW)));
    assert!(store.keys().is_empty());
    assert!(is_charged(&call(&store, &quotas, "group:default/a", "GET", NOW)));
    assert!(is_charged(&call(&store, &quotas, "group:default/a", "HEAD", NOW)));
    assert!(!is_charged(&call(&store, &quotas, "group:default/a", "GET", NOW)));
}

#[test]
fn a_cost_above_the_limit_never_passes_and_waits_for_a_window() {
    let (store, quotas) = (MemoryStore::default(), quotas(vec![policy("p", Per::Group, 4, 60)]));
    let Charge::Exhausted(states) = call(&store, &quotas, "group:default/a", "POST", NOW) else { panic!("admitted") };
    assert_eq!((states[0].remaining, states[0].reset_seconds), (4, 60));
}

#[test]
fn a_route_with_fewer_windows_forgets_nothing_of_the_others() {
    let store = MemoryStore::default();
    let short = quotas(vec![policy("p", Per::Group, 100, 60)]);
    let mut both = policy("p", Per::Group, 100, 60);
    both.windows.push(Window { limit: 2, length: Duration::from_secs(86_400) });
    let both = quotas(vec![both]);
    let admitted = (0..5).filter(|_| {
        assert!(is_charged(&call(&store, &short, "group:default/a", "GET", NOW)));
        is_charged(&call(&store, &both, "group:default/a", "GET", NOW))
    });
    assert_eq!(admitted.count(), 2);
}

#[test]
fn a_clock_that_was_ahead_locks_nobody_out_and_gives_nothing_back() {
    let (store, quotas) = (MemoryStore::default(), quotas(vec![policy("p", Per::Group, 1, 60)]));
    let year = Duration::from_secs(365 * 86_400);
    assert!(is_charged(&call(&store, &quotas, "group:default/a", "GET", NOW.after(year))));
    let Charge::Exhausted(states) = call(&store, &quotas, "group:default/a", "GET", NOW) else { panic!("given back") };
    assert!(states[0].reset_seconds <= 120);
    let then = NOW.after(Duration::from_secs((states[0].reset_seconds - 1).into()));
    assert!(!is_charged(&call(&store, &quotas, "group:default/a", "GET", then)), "not before");
    let then = NOW.after(Duration::from_secs(states[0].reset_seconds.into()));
    assert!(is_charged(&call(&store, &quotas, "group:default/a", "GET", then)), "when Retry-After said");
}
