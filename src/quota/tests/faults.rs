//! The limiter over stores that fail, forget, tear and collide.

use super::*;
use crate::record::seal;
use proptest::prelude::*;
use std::collections::VecDeque;

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

/// Puts another key's value where `place` is.
fn occupy(store: &MemoryStore, place: &str, value: &[u8]) {
    let expect = store.get(place).unwrap().map_or(Expect::Absent, |stored| Expect::Version(stored.version));
    store.set(place, value, expect).unwrap();
}

/// The place of the only record after group `a` was charged in a store of its own.
fn place_of_a(quotas: &Quotas) -> String {
    let store = MemoryStore::default();
    call(&store, quotas, "group:default/a", "GET", NOW);
    store.keys().pop().unwrap()
}

#[test]
fn a_record_is_found_where_it_is_when_the_place_before_it_becomes_free() {
    let store = MemoryStore::default();
    let quotas = quotas(vec![policy("p", Per::Group, 1, 60)]);
    let place = place_of_a(&quotas);
    occupy(&store, &place, &seal("another", b""));
    assert!(is_charged(&call(&store, &quotas, "group:default/a", "GET", NOW)));
    store.evict(&place);
    assert!(!is_charged(&call(&store, &quotas, "group:default/a", "GET", NOW)));
}

#[test]
fn a_place_whose_quota_record_no_longer_counts_is_taken_and_no_other() {
    let quotas = quotas(vec![policy("p", Per::Group, 1, 60)]);
    let (place, rival) = (place_of_a(&quotas), "zone/q:api:default/payments:p:group:group:default/rival");
    let store = MemoryStore::default();
    assert!(is_charged(&call(&store, &quotas, "group:default/rival", "GET", NOW)));
    let record = store.get(rival).unwrap().unwrap().bytes;
    let places: Vec<_> = (0..4).map(|n| if n == 0 { place.clone() } else { format!("{place}#{n}") }).collect();
    let values = [record, seal("zone/secret", &[7; 32]), b"foreign".to_vec(), seal("elsewhere/q:x", b"")];
    for (place, value) in places.iter().zip(&values) {
        occupy(&store, place, value);
    }
    let collision = Charge::StoreFailed(StoreFault::Collision);
    assert_eq!(call(&store, &quotas, "group:default/a", "GET", NOW.after(Duration::from_secs(60))), collision);
    let idle = NOW.after(Duration::from_secs(120));
    assert!(is_charged(&call(&store, &quotas, "group:default/a", "GET", idle)));
    assert!(!is_charged(&call(&store, &quotas, "group:default/a", "GET", idle)));
    for (place, value) in places.iter().zip(&values).skip(1) {
        assert_eq!(&store.get(place).unwrap().unwrap().bytes, value);
    }
}

#[test]
fn a_refund_takes_nothing_from_a_record_that_was_made_since() {
    let raced = Cell::new(false);
    let wide = quotas(vec![policy("wide", Per::Group, 10, 60)]);
    let narrow = quotas(vec![policy("narrow", Per::Entity, 1, 60)]);
    let store = Scripted {
        inner: MemoryStore::default(),
        before_set: |inner: &MemoryStore, key: &str| {
            if key.contains("narrow") && !raced.replace(true) {
                let place = inner.keys().into_iter().find(|key| key.contains("wide")).unwrap();
                inner.evict(&place);
                assert!(is_charged(&call(inner, &wide, "group:default/a", "GET", NOW)));
                assert!(is_charged(&call(inner, &narrow, "group:default/b", "GET", NOW)));
            }
            Ok(())
        },
    };
    let both = quotas(vec![policy("wide", Per::Group, 10, 60), policy("narrow", Per::Entity, 1, 60)]);
    assert!(matches!(call(&store, &both, "group:default/a", "GET", NOW), Charge::Exhausted(_)));
    let Charge::Charged(states) = call(&store, &wide, "group:default/a", "GET", NOW) else { panic!("denied") };
    assert_eq!(states[0].remaining, 8, "one admitted by the new record, and this one");
}

#[test]
fn a_refund_waits_until_a_torn_record_can_be_read() {
    let quotas = quotas(vec![policy("g", Per::Group, 5, 60), policy("e", Per::Entity, 1, 60)]);
    // Both records are looked for in four places and the first is written; before the second is, a rival takes its only
    // unit; it is read again, is full, and the first comes out torn more often than one look allows for.
    let script = [vec![Fault::None; 9], vec![Fault::Rival], vec![Fault::None], vec![Fault::Raced; 20]].concat();
    let store = Faulty {
        inner: MemoryStore::default(),
        script: RefCell::new(script.into()),
        quotas: &quotas,
        rivals: Cell::new(0),
    };
    assert!(matches!(call(&store, &quotas, "group:default/a", "GET", NOW), Charge::Exhausted(_)));
    assert_eq!((store.rivals.get(), used(&store.inner, &quotas, "group:default/a")), (1, vec![0, 1]));
    assert!(store.script.borrow().is_empty());
}

/// What happens to one read or write.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// The host fails.
    Failed,
    /// A read comes out torn, or a write loses a race.
    Raced,
    /// Group `b` is charged first.
    Rival,
}

/// A store with a script of faults; it is well when the script has ended.
struct Faulty<'a> {
    inner: MemoryStore,
    script: RefCell<VecDeque<Fault>>,
    quotas: &'a Quotas,
    rivals: Cell<u32>,
}

impl Faulty<'_> {
    fn next(&self) -> Fault {
        let fault = self.script.borrow_mut().pop_front().unwrap_or(Fault::None);
        if fault == Fault::Rival && is_charged(&call(&self.inner, self.quotas, "group:default/b", "GET", NOW)) {
            self.rivals.set(self.rivals.get() + 1);
        }
        fault
    }
}

impl SharedData for Faulty<'_> {
    fn get(&self, key: &str) -> Result<Option<Stored>, StoreFailed> {
        match self.next() {
            Fault::Failed => Err(StoreFailed),
            Fault::Raced => Ok(self.inner.get(key)?.map(|mut stored| {
                // Bytes newer than the version, and only half of them.
                let half = stored.bytes.len() / 2;
                stored.bytes.iter_mut().skip(half).for_each(|byte| *byte = !*byte);
                Stored { version: stored.version.wrapping_sub(1), ..stored }
            })),
            Fault::None | Fault::Rival => self.inner.get(key),
        }
    }

    fn set(&self, key: &str, value: &[u8], expect: Expect) -> Result<(), WriteError> {
        match self.next() {
            Fault::Failed => Err(WriteError::Failed),
            Fault::Raced => Err(WriteError::Changed),
            Fault::None | Fault::Rival => self.inner.set(key, value, expect),
        }
    }
}

fn used(store: &MemoryStore, quotas: &Quotas, group: &str) -> Vec<u32> {
    let free = quotas.policies.iter().map(|policy| QuotaPolicy {
        name: policy.name.clone(),
        per: policy.per,
        windows: policy.windows.clone(),
        overrides: BTreeMap::new(),
        tiers: BTreeMap::new(),
        cost: [("GET".to_owned(), 0)].into(),
    });
    let free = super::quotas(free.collect());
    let Charge::Charged(states) = call(store, &free, group, "GET", NOW) else { panic!("failed") };
    states.iter().map(|state| state.window.limit - state.remaining).collect()
}

proptest! {
    #[test]
    fn whatever_fails_no_limit_is_passed_and_what_did_not_pass_is_given_back(
        script in proptest::collection::vec(
            prop_oneof![6 => Just(Fault::None), 1 => Just(Fault::Failed), 2 => Just(Fault::Raced), 2 => Just(Fault::Rival)], 0..120
        ),
        group_limit in 1..8u32, entity_limit in 1..10u32,
    ) {
        let quotas = quotas(vec![policy("g", Per::Group, group_limit, 60), policy("e", Per::Entity, entity_limit, 60)]);
        let can_fail = script.contains(&Fault::Failed);
        let store =
            Faulty { inner: MemoryStore::default(), script: RefCell::new(script.into()), quotas: &quotas, rivals: Cell::new(0) };
        let a = (0..30).filter(|_| is_charged(&call(&store, &quotas, "group:default/a", "GET", NOW))).count() as u32;
        let b = store.rivals.get();
        prop_assert!(a <= group_limit && b <= group_limit && a + b <= entity_limit);
        let (used_a, used_b) = (used(&store.inner, &quotas, "group:default/a"), used(&store.inner, &quotas, "group:default/b"));
        prop_assert!(used_a[0] >= a && used_b[0] == b && used_a[1] >= a + b, "never less than was admitted");
        if !can_fail {
            prop_assert_eq!((used_a[0], used_a[1]), (a, a + b), "and no more, where refunds can be written");
            prop_assert!(a == group_limit || a + b == entity_limit, "nobody is refused while there is room");
        }
    }
}

#[test]
fn a_lost_secret_is_put_back_and_workers_that_differ_come_together() {
    let (store, a, b) = (MemoryStore::default(), KeySecrets::default(), KeySecrets::default());
    let later = |seconds| NOW.after(Duration::from_secs(seconds));
    let secret = a.get(&store, "zone", NOW).ok().unwrap();
    store.evict("zone/secret");
    assert!(a.get(&store, "zone", later(5)).ok() == Some(secret), "by the worker that knows it");
    assert!(b.get(&store, "zone", later(5)).ok() == Some(secret));

    store.evict("zone/secret");
    let other = KeySecrets::default().get(&store, "zone", later(6)).ok().unwrap();
    assert!(other != secret);
    assert!(a.get(&store, "zone", later(6)).ok() == Some(secret), "not looked at yet");
    assert!([&a, &b].iter().all(|worker| worker.get(&store, "zone", later(10)).ok() == Some(other)));
}

#[test]
fn a_secret_is_kept_for_each_zone_and_while_the_store_fails() {
    let (store, worker) = (MemoryStore::default(), KeySecrets::default());
    let zone = worker.get(&store, "zone", NOW).ok().unwrap();
    assert!(worker.get(&store, "other", NOW).ok().unwrap() != zone);
    struct Dead;
    impl SharedData for Dead {
        fn get(&self, _: &str) -> Result<Option<Stored>, StoreFailed> {
            Err(StoreFailed)
        }

        fn set(&self, _: &str, _: &[u8], _: Expect) -> Result<(), WriteError> {
            Err(WriteError::Failed)
        }
    }
    assert!(worker.get(&Dead, "zone", NOW.after(Duration::from_secs(60))).ok() == Some(zone));
    assert!(KeySecrets::default().get(&Dead, "zone", NOW).err() == Some(StoreFault::Unavailable));
}

#[test]
fn a_secret_leaves_other_values_alone() {
    let store = MemoryStore::default();
    let foreign = seal("zone/q:someone", b"counts");
    occupy(&store, "zone/secret", &foreign);
    let secret = KeySecret::obtain(&store, "zone").ok().unwrap();
    assert!(KeySecret::obtain(&store, "zone").ok() == Some(secret));
    assert_eq!(store.get("zone/secret").unwrap().unwrap().bytes, foreign);
}
