mod claims;

use super::*;
use crate::config::{Catalog, Config};
use crate::entity::EntityRef;
use crate::host::{BrokenStore, Expect, FaultyStore, MemoryStore};
use crate::http::{Call, Reply};
use crate::record::seal;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

const NOW: UnixMillis = UnixMillis(1_750_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);

/// A Backstage with this many entities, in pages of ten: APIs that group `owner` owns, and one group.
struct Backstage {
    apis: usize,
    owner: &'static str,
}

impl Backstage {
    /// Answers as the catalog API does.
    fn answer(&self, call: &Call) -> Reply {
        let query = percent_decode_str(call.to.path.split_once('?').unwrap().1).decode_utf8().unwrap().into_owned();
        assert!(query.contains("limit=10&fields=kind,metadata.namespace,metadata.name"), "{query}");
        let cursor = query.split("cursor=").nth(1);
        let (items, next) = match cursor {
            None if query.contains("filter=kind=group") => (
                vec![
                    json!({"kind": "Group", "metadata": {"name": self.owner, "annotations": {"keycloak.org/id": "k"}}}),
                ],
                None,
            ),
            None => self.apis_from(0),
            Some(at) => self.apis_from(at.parse().unwrap()),
        };
        let info = next.map_or_else(|| json!({}), |next: usize| json!({"nextCursor": next.to_string()}));
        ok(&json!({"items": items, "totalItems": self.apis, "pageInfo": info}))
    }

    fn apis_from(&self, start: usize) -> (Vec<Value>, Option<usize>) {
        let end = self.apis.min(start + 10);
        let api = |n| {
            json!({
                "kind": "API", "metadata": {"name": format!("a{n}"), "namespace": "default"},
                "relations": [{"type": "ownedBy", "targetRef": format!("group:default/{}", self.owner)}]
            })
        };
        ((start..end).map(api).collect(), (end < self.apis).then_some(end))
    }

    /// Reads all of it.
    fn read(&self, mut pass: Box<Pass>, store: &dyn SharedData, now: UnixMillis) -> (PassResult, Option<Summary>) {
        loop {
            let reply = self.answer(&pass.call());
            match pass.answered(store, now, Some(&reply)) {
                Progress::Next(next) => pass = next,
                Progress::Done(result, summary) => return (result, summary),
            }
        }
    }
}

fn ok(body: &Value) -> Reply {
    reply(200, &body.to_string())
}

fn reply(status: u16, body: &str) -> Reply {
    Reply { status, cache_control: None, body: body.as_bytes().to_vec() }
}

fn settings(more: &Value) -> Catalog {
    let mut catalog = json!({"url": "http://backstage.example/", "token": "t", "refresh_seconds": 60, "page_size": 10});
    catalog.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let config = json!({"catalog": catalog, "entity": "api:default/a1", "policy": {"rules": []}});
    Config::parse(config.to_string().as_bytes()).unwrap().catalog.unwrap()
}

fn live() -> Rc<LiveCatalog> {
    Catalogs::default().get("zone", &settings(&json!({})).source)
}

fn at(seconds: u64) -> UnixMillis {
    NOW.after(Duration::from_secs(seconds))
}

fn tick(catalog: &Rc<LiveCatalog>, store: &dyn SharedData, now: UnixMillis) -> Option<Box<Pass>> {
    catalog.refresh(store, now, Duration::from_secs(5))
}

/// Who owns an API, by what this worker has; a mark before it tells an index that is too old.
fn owner(catalog: &LiveCatalog, store: &dyn SharedData, now: UnixMillis, api: &str) -> String {
    let entity = EntityRef::new("api", "default", api).unwrap();
    let owner = |index: &Index| {
        index.entity(&entity).and_then(|entry| entry.owners.first().map(|owner| owner.name().to_owned()))
    };
    match catalog.availability(store, now, HOUR) {
        Availability::Fresh(index) => owner(&index).unwrap_or_else(|| "nobody".to_owned()),
        Availability::Stale(index) => format!("stale {}", owner(&index).unwrap_or_default()),
        Availability::Unread => "unread".to_owned(),
    }
}

#[test]
fn a_catalog_is_read_page_by_page_with_only_what_is_needed() {
    let (store, catalog) = (MemoryStore::default(), live());
    let call = tick(&catalog, &store, NOW).unwrap().call();
    assert_eq!(call.authorization.as_deref(), Some("Bearer t"));
    assert_eq!((call.to.upstream.as_str(), call.to.authority.as_str()), ("backstage.example:80", "backstage.example"));
    assert!(call.to.path.starts_with("/api/catalog/entities/by-query?limit=10&fields="), "{}", call.to.path);
    assert!(!call.to.path.contains("relations"), "a group's relations name every member");

    let (result, summary) =
        Backstage { apis: 25, owner: "a" }.read(tick(&catalog, &store, at(60)).unwrap(), &store, at(62));
    let summary = summary.unwrap();
    assert_eq!((result, summary.entities, summary.groups, summary.pages), (PassResult::Fetched, 25, 1, 4));
    assert_eq!((summary.millis, summary.changed), (2000, true));
    for api in ["a0", "a9", "a10", "a24"] {
        assert_eq!(owner(&catalog, &store, at(62), api), "a", "{api}");
    }
    assert_eq!(owner(&catalog, &store, at(62), "a25"), "nobody");
}

#[test]
fn one_worker_of_a_node_reads_and_the_others_have_it_within_a_second() {
    let store = MemoryStore::default();
    let (one, other) = (live(), live());
    let pass = tick(&one, &store, NOW).unwrap();
    assert!(tick(&other, &store, NOW).is_none() && other.request(&store, NOW).is_none());
    assert_eq!(owner(&other, &store, NOW, "a1"), "unread");
    Backstage { apis: 25, owner: "a" }.read(pass, &store, NOW);
    assert_eq!(owner(&other, &store, at(1), "a1"), "a");
    assert!(tick(&other, &store, at(40)).is_none(), "it is not due");

    let pass = tick(&other, &store, at(60)).unwrap();
    Backstage { apis: 25, owner: "b" }.read(pass, &store, at(60));
    assert_eq!((owner(&other, &store, at(60), "a1"), owner(&one, &store, at(61), "a1")), ("b".into(), "b".into()));
    assert_eq!(owner(&live(), &store, at(61), "a1"), "b", "a new worker finds it there");
}

#[test]
fn a_change_takes_effect_within_one_refresh() {
    let (store, catalog) = (MemoryStore::default(), live());
    let mut read = Vec::new();
    for second in (0..600).step_by(5) {
        if let Some(pass) = tick(&catalog, &store, at(second)) {
            Backstage { apis: 1, owner: "a" }.read(pass, &store, at(second));
            read.push(second);
        }
    }
    assert!(read.windows(2).all(|pair| pair[1] - pair[0] <= 60), "{read:?}");
    assert!(read.len() <= 13, "{read:?}");
}

#[test]
fn a_reading_takes_effect_as_a_whole_or_not_at_all() {
    let (store, one, other) = (MemoryStore::default(), live(), live());
    Backstage { apis: 25, owner: "a" }.read(tick(&one, &store, NOW).unwrap(), &store, NOW);
    let faults = [
        None,
        Some(reply(500, "out of order")),
        Some(reply(401, "{}")),
        Some(reply(403, "{}")),
        Some(reply(200, "<html>Please sign in</html>")),
        Some(reply(200, "{\"items\": [{}]}")),
        Some(reply(200, "{\"items\": [")),
        Some(ok(&json!({"items": [], "pageInfo": {"nextCursor": "10"}}))),
    ];
    let mut now = at(60);
    for (index, fault) in faults.iter().enumerate() {
        let newer = Backstage { apis: 25, owner: "b" };
        let mut pass = tick(&one, &store, now).unwrap_or_else(|| panic!("{index}: not tried again"));
        // Two good pages, then the fault.
        for _ in 0..2 {
            let reply = newer.answer(&pass.call());
            let Progress::Next(next) = pass.answered(&store, now, Some(&reply)) else { panic!("over") };
            pass = next;
        }
        let Progress::Done(result, None) = pass.answered(&store, now, fault.as_ref()) else { panic!("goes on") };
        assert_ne!(result, PassResult::Fetched, "{index}");
        for worker in [&one, &other] {
            assert_eq!(owner(worker, &store, now.after(Duration::from_secs(1)), "a1"), "a", "{result}");
        }
        now = now.after(Duration::from_secs(75));
    }
    Backstage { apis: 25, owner: "b" }.read(tick(&one, &store, now).unwrap(), &store, now);
    assert_eq!(owner(&other, &store, now, "a1"), "b");
}

#[test]
fn while_backstage_fails_it_is_asked_ever_more_rarely() {
    let (store, catalog) = (MemoryStore::default(), live());
    let mut tried = Vec::new();
    for second in 0..300 {
        if let Some(pass) = tick(&catalog, &store, at(second)) {
            assert!(matches!(pass.answered(&store, at(second), None), Progress::Done(PassResult::NoAnswer, None)));
            tried.push(second);
        }
    }
    let pauses: Vec<_> = tried.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((5..=7).contains(&pauses[0]) && (60..=73).contains(pauses.last().unwrap()), "{pauses:?}");
}

#[test]
fn an_index_serves_until_it_is_too_old() {
    let (store, catalog) = (MemoryStore::default(), live());
    Backstage { apis: 5, owner: "a" }.read(tick(&catalog, &store, NOW).unwrap(), &store, NOW);
    assert_eq!(owner(&catalog, &store, at(3600), "a1"), "a");
    assert_eq!(owner(&catalog, &store, at(3601), "a1"), "stale a");
    assert_eq!(catalog.age(at(3601)), Some(Duration::from_secs(3601)));
}

#[test]
fn an_empty_catalog_never_counts_and_one_that_shrank_counts_when_it_says_so_twice() {
    let (store, catalog) = (MemoryStore::default(), live());
    let read = |apis, second| {
        Backstage { apis, owner: "a" }.read(tick(&catalog, &store, at(second)).unwrap(), &store, at(second)).0
    };
    assert_eq!(read(0, 0), PassResult::Empty);
    assert_eq!(owner(&catalog, &store, at(1), "a1"), "unread");
    assert_eq!(read(25, 10), PassResult::Fetched);
    assert_eq!(read(0, 80), PassResult::Empty);
    assert_eq!(read(5, 100), PassResult::Doubtful);
    assert_eq!(owner(&catalog, &store, at(101), "a20"), "a");
    assert_eq!(read(8, 200), PassResult::Doubtful, "it says something else");
    assert_eq!(read(8, 300), PassResult::Fetched);
    assert_eq!(owner(&catalog, &store, at(301), "a20"), "nobody");
    assert_eq!(read(13, 400), PassResult::Fetched);
    assert_eq!(read(7, 500), PassResult::Fetched, "half is no doubt");
}

#[test]
fn a_slow_reading_that_another_worker_overtook_changes_nothing() {
    let (store, one, other) = (MemoryStore::default(), live(), live());
    let slow = tick(&one, &store, NOW).unwrap();
    let reply = Backstage { apis: 25, owner: "old" }.answer(&slow.call());
    Backstage { apis: 25, owner: "new" }.read(tick(&other, &store, at(10)).unwrap(), &store, at(10));
    assert!(matches!(slow.answered(&store, at(11), Some(&reply)), Progress::Done(PassResult::Overtaken, None)));
    assert_eq!(owner(&one, &store, at(12), "a1"), "new");
}

#[test]
fn a_request_reads_where_nothing_was_ever_read_or_no_tick_comes() {
    let (store, catalog) = (MemoryStore::default(), live());
    assert_eq!(owner(&catalog, &store, NOW, "a1"), "unread");
    Backstage { apis: 5, owner: "a" }.read(catalog.request(&store, NOW).unwrap(), &store, NOW);
    assert!(catalog.request(&store, at(70)).is_none(), "the ticks may still come");
    assert!(catalog.request(&store, at(95)).is_some());
    assert!(catalog.request(&store, at(96)).is_none(), "one is enough");
}

#[test]
fn a_request_does_not_read_for_longer_than_it_can_wait() {
    let (store, catalog) = (MemoryStore::default(), live());
    let large = Backstage { apis: 300, owner: "a" };
    let (mut pass, mut now) = (catalog.request(&store, NOW).unwrap(), NOW);
    let result = loop {
        now = now.after(Duration::from_secs(1));
        let reply = large.answer(&pass.call());
        match pass.answered(&store, now, Some(&reply)) {
            Progress::Next(next) => pass = next,
            Progress::Done(result, _) => break result,
        }
    };
    assert_eq!((result, now), (PassResult::LeftToTicks, at(6)));
    for worker in [&catalog, &live()] {
        assert_eq!(owner(worker, &store, at(7), "a1"), "unread");
        assert!(worker.request(&store, at(7)).is_none());
    }
    large.read(tick(&catalog, &store, at(7)).unwrap(), &store, at(40));
    assert_eq!(owner(&catalog, &store, at(40), "a299"), "a");
}

#[test]
fn what_shared_data_forgets_is_kept_and_written_again() {
    let (store, one) = (MemoryStore::default(), live());
    Backstage { apis: 25, owner: "a" }.read(tick(&one, &store, NOW).unwrap(), &store, NOW);
    for (round, lost) in ["head", " entities ", " groups "].iter().enumerate() {
        let now = at(100 * (u64::try_from(round).unwrap() + 1));
        let is_part = |key: &String| key.contains(" entities ") || key.contains(" groups ");
        let is_lost = |key: &String| if *lost == "head" { !is_part(key) } else { key.contains(lost) };
        store.keys().iter().filter(|key| is_lost(key)).for_each(|key| store.evict(key));
        assert_eq!(owner(&one, &store, now, "a1"), "a", "{lost}: what this worker has goes on");
        let new = live();
        assert_eq!(owner(&new, &store, now, "a1"), "unread", "{lost}");
        Backstage { apis: 25, owner: "a" }.read(tick(&new, &store, now).unwrap(), &store, now);
        assert_eq!(owner(&live(), &store, now, "a1"), "a", "{lost}");
    }
}

#[test]
fn without_shared_data_each_worker_reads_for_itself() {
    for worker in [live(), live()] {
        let (result, _) =
            Backstage { apis: 25, owner: "a" }.read(tick(&worker, &BrokenStore, NOW).unwrap(), &BrokenStore, NOW);
        assert_eq!(result, PassResult::Fetched);
        assert_eq!(owner(&worker, &BrokenStore, at(50), "a1"), "a");
        assert!(tick(&worker, &BrokenStore, at(20)).is_none() && tick(&worker, &BrokenStore, at(60)).is_some());
        assert!(worker.take_store_faults() > 0);
    }
}

/// Shared data that takes no parts of sections: a zone that is too small.
struct TooSmall(MemoryStore);

impl SharedData for TooSmall {
    fn get(&self, key: &str) -> Result<Option<crate::host::Stored>, crate::host::StoreFailed> {
        self.0.get(key)
    }

    fn set(&self, key: &str, value: &[u8], expect: Expect) -> Result<(), crate::host::WriteError> {
        if key.contains(" entities ") { Err(crate::host::WriteError::Failed) } else { self.0.set(key, value, expect) }
    }
}

#[test]
fn in_a_zone_that_is_too_small_each_worker_goes_by_what_it_has_read_itself() {
    let (store, workers) = (TooSmall(MemoryStore::default()), [live(), live()]);
    for (owned_by, begin) in [("a", 0), ("b", 1000)] {
        for second in (begin..begin + 400).step_by(5) {
            for worker in &workers {
                if let Some(pass) = tick(worker, &store, at(second)) {
                    Backstage { apis: 25, owner: owned_by }.read(pass, &store, at(second));
                }
            }
        }
        let owners = workers.each_ref().map(|worker| owner(worker, &store, at(begin + 400), "a1"));
        assert_eq!(owners, [owned_by, owned_by]);
    }
}

#[test]
fn a_section_that_is_being_written_is_read_by_nobody() {
    let (store, one, other) = (MemoryStore::default(), live(), live());
    let big = |owner| Backstage { apis: 3000, owner };
    big("a").read(tick(&one, &store, NOW).unwrap(), &store, NOW);
    assert!(store.keys().iter().filter(|key| key.contains(" entities 0 ")).count() > 3, "it has several parts");
    assert_eq!(owner(&other, &store, at(1), "a1"), "a");
    // A writer that ends in the middle: some parts of the other place are there, and no head names them.
    big("b").read(tick(&one, &store, at(60)).unwrap(), &store, at(60));
    let half: Vec<_> = store.keys().into_iter().filter(|key| key.contains(" entities 0 ")).collect();
    for key in &half[..2] {
        let stored = store.get(key).unwrap().unwrap();
        store.set(key, &crate::record::seal(key, b"half of something"), Expect::Version(stored.version)).unwrap();
    }
    assert_eq!(owner(&other, &store, at(61), "a1"), "b");
    // A part of the place in force is written over: nobody takes what is left.
    let part = store.keys().into_iter().find(|key| key.contains(" entities 1 1")).unwrap();
    let stored = store.get(&part).unwrap().unwrap();
    store.set(&part, &crate::record::seal(&part, b"something else"), Expect::Version(stored.version)).unwrap();
    assert_eq!(owner(&live(), &store, at(61), "a1"), "unread");
}

#[test]
fn a_head_that_cannot_be_read_is_replaced_by_the_next_reading() {
    let key = live().shared.key().to_owned();
    let sealed = |head: Value| seal(&key, head.to_string().as_bytes());
    let mut newer = sealed(json!({"fetched": NOW.0}));
    newer[2] += 1;
    let cases = [
        ("garbage", b"garbage".to_vec()),
        ("another envelope", newer),
        ("no JSON", seal(&key, b"[")),
        ("another type", sealed(json!({"sections": 7}))),
        ("a newer format", seal(&key, b"{\"format\":99,\"leased_until\":18446744073709551615}")),
    ];
    for (what, bytes) in cases {
        let (store, one, other) = (FaultyStore::default(), live(), live());
        store.plant(&key, &bytes);
        assert_eq!(owner(&other, &store, NOW, "a1"), "unread", "{what}");
        let pass = tick(&one, &store, NOW).unwrap_or_else(|| panic!("{what}: nobody reads"));
        assert!(tick(&other, &store, NOW).is_none(), "{what}: another does");
        Backstage { apis: 25, owner: "a" }.read(pass, &store, NOW);
        assert_eq!(owner(&other, &store, at(1), "a1"), "a", "{what}");

        store.plant(&key, &bytes);
        assert_eq!(owner(&other, &store, at(30), "a1"), "a", "{what}: what a worker has goes on");
        Backstage { apis: 25, owner: "b" }.read(tick(&one, &store, at(60)).unwrap(), &store, at(60));
        assert_eq!(owner(&other, &store, at(61), "a1"), "b", "{what}");
    }
}

#[test]
fn a_damaged_chunk_is_replaced_by_who_cannot_read_it() {
    for bytes in [&b"garbage"[..], b"BK\x02 cut off"] {
        let (store, one, new) = (FaultyStore::default(), live(), live());
        Backstage { apis: 25, owner: "a" }.read(tick(&one, &store, NOW).unwrap(), &store, NOW);
        for key in store.store.keys().iter().filter(|key| key.contains(" entities ")) {
            store.plant(key, bytes);
        }
        assert_eq!(owner(&new, &store, at(1), "a1"), "unread");
        Backstage { apis: 25, owner: "a" }.read(tick(&new, &store, at(1)).unwrap(), &store, at(1));
        assert_eq!(owner(&live(), &store, at(1), "a1"), "a");
    }
}

#[test]
fn what_the_version_before_wrote_is_read() {
    let (store, one) = (FaultyStore::default(), live());
    Backstage { apis: 25, owner: "a" }.read(tick(&one, &store, NOW).unwrap(), &store, NOW);
    let places = one.shared.copy().sections.clone().unwrap();
    let head = json!({
        "fetched": NOW.0, "refresh_at": at(55).0, "failures": 0, "retry_at": 0, "leased_until": 0, "reading": 3, "entities": 25,
        "groups": 1, "sections": places, "too_long": false, "doubted": null
    });
    store.plant(one.shared.key(), &seal(one.shared.key(), head.to_string().as_bytes()));
    let new = live();
    assert_eq!(owner(&new, &store, at(1), "a1"), "a");
    assert!(tick(&new, &store, at(40)).is_none() && tick(&new, &store, at(55)).is_some());
}

#[test]
fn catalogs_whose_keys_have_one_checksum_are_both_had_by_all_workers() {
    let store = FaultyStore::default();
    let two = |url: &str| {
        let source = settings(&json!({"url": url})).source;
        [0, 1].map(|_| Catalogs::default().get("zone", &source))
    };
    let (ours, theirs) = (two("http://backstage.example"), two("http://backstage.elsewhere"));
    store.collide(ours[0].shared.key(), theirs[0].shared.key());
    let owned_by = |catalog: &LiveCatalog, now| owner(catalog, &store, now, "a1");
    for (second, [mine, other]) in [(0, ["a", "b"]), (60, ["c", "d"]), (120, ["e", "f"])] {
        for ([one, another], owner) in [(&ours, mine), (&theirs, other)] {
            let pass = tick(one, &store, at(second)).unwrap();
            assert!(tick(another, &store, at(second)).is_none());
            Backstage { apis: 500, owner }.read(pass, &store, at(second));
        }
        for ([one, another], owner) in [(&ours, mine), (&theirs, other)] {
            assert_eq!(
                (owned_by(one, at(second + 1)), owned_by(another, at(second + 1))),
                (owner.into(), owner.into())
            );
        }
    }
}

#[test]
fn what_a_request_began_to_read_and_left_is_free_at_once_and_left_to_ticks() {
    type Leave = fn(Box<Pass>, &dyn SharedData);
    let ways: [(&str, Leave); 2] = [("left", |pass, store| pass.leave(store, NOW)), ("dropped", |pass, _| drop(pass))];
    for (way, leave) in ways {
        let (store, one, other) = (MemoryStore::default(), live(), live());
        leave(one.request(&store, NOW).unwrap(), &store);
        assert!(one.is_left() && one.request(&store, NOW).is_none(), "{way}: ticks come first");
        assert!(other.request(&store, at(1)).is_none(), "{way}: for all workers");
        let reading = tick(&other, &store, at(1));
        assert!(reading.is_some(), "{way}");
        assert!(other.request(&store, at(6)).is_none(), "{way}: a tick reads");
        assert!(other.request(&store, at(9)).is_some(), "{way}: unless no tick gets through");
    }
}

#[test]
fn catalogs_are_told_apart_by_what_is_read_of_them() {
    let (catalogs, base) = (Catalogs::default(), settings(&json!({})).source);
    let known = catalogs.get("zone", &base);
    assert!(Rc::ptr_eq(
        &known,
        &catalogs.get("zone", &settings(&json!({"max_stale_seconds": 60, "on_stale": "allow"})).source)
    ));
    let more = [
        json!({"parent_groups": true}),
        json!({"system_consumers": true}),
        json!({"group_annotations": ["acme.example/role"]}),
        json!({"group_annotations": ["acme.example/role", "acme.example/team"]}),
        json!({"group_annotations": ["acme.example/roleacme.example/team"]}),
        json!({"url": "http://other"}),
        json!({"url": "https://backstage.example", "upstream": "backstage.example:80"}),
        json!({"upstream": "internal:7007"}),
        json!({"token": "u"}),
        json!({"token": null}),
        json!({"page_size": 20}),
        json!({"refresh_seconds": 30}),
        json!({"timeout_ms": 1000}),
        json!({"consumers": "approved"}),
        json!({"consumers": "none"}),
    ];
    let mut keys = std::collections::BTreeSet::from([known.shared.key().to_owned()]);
    for more in &more {
        let source = settings(more).source;
        let key = catalogs.get("zone", &source).shared.key().to_owned();
        assert_eq!(key, Catalogs::default().get("zone", &source).shared.key(), "{more}");
        assert!(keys.insert(key), "{more}");
    }
    assert!(keys.iter().all(|key| key.starts_with("zone/catalog:")), "{keys:?}");
    drop(known);
    assert_eq!(catalogs.in_use().len(), 0);
}

#[test]
fn parents_and_own_annotations_are_asked_for_where_they_count() {
    let source = settings(&json!({"parent_groups": true, "group_annotations": ["acme.example/role"]})).source;
    let call = Catalogs::default().get("zone", &source).request(&MemoryStore::default(), NOW).unwrap().call();
    let path = percent_decode_str(&call.to.path).decode_utf8().unwrap().into_owned();
    assert!(path.contains("metadata.annotations.acme.example/role,") && path.contains(",relations"), "{path}");
}

#[test]
fn approvals_are_asked_for_where_they_count() {
    for (consumers, asked) in [("declared", false), ("approved", true), ("none", false)] {
        let (store, source) = (MemoryStore::default(), settings(&json!({"consumers": consumers})).source);
        let pass = Catalogs::default().get("zone", &source).request(&store, NOW).unwrap();
        let groups = ok(&json!({"items": [], "pageInfo": {}}));
        let Progress::Next(pass) = pass.answered(&store, NOW, Some(&groups)) else { panic!("over") };
        let path = percent_decode_str(&pass.call().to.path).decode_utf8().unwrap().into_owned();
        assert_eq!(path.contains(",metadata.annotations.backstage-kong/approved-consumers"), asked, "{path}");
    }
}
