mod claims;
mod records;

use super::*;
use crate::config::{Catalog, Config};
use crate::entity::EntityRef;
use crate::host::{BrokenStore, Expect, MemoryStore};
use crate::http::{Call, Reply};
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
    fn read(
        &self,
        mut pass: Box<CatalogRead>,
        store: &dyn SharedData,
        now: UnixMillis,
    ) -> (ReadResult, Option<Summary>) {
        loop {
            let reply = self.answer(&pass.call());
            match pass.answered(store, now, Some(&reply)) {
                ReadProgress::Next(next) => pass = next,
                ReadProgress::Done(result, summary) => return (result, summary),
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

fn tick(catalog: &Rc<LiveCatalog>, store: &dyn SharedData, now: UnixMillis) -> Option<Box<CatalogRead>> {
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
    assert_eq!((result, summary.entities, summary.groups, summary.pages), (ReadResult::Fetched, 25, 1, 4));
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
            let ReadProgress::Next(next) = pass.answered(&store, now, Some(&reply)) else { panic!("over") };
            pass = next;
        }
        let ReadProgress::Done(result, None) = pass.answered(&store, now, fault.as_ref()) else { panic!("goes on") };
        assert_ne!(result, ReadResult::Fetched, "{index}");
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
            assert!(matches!(pass.answered(&store, at(second), None), ReadProgress::Done(ReadResult::NoAnswer, None)));
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
    assert_eq!(read(0, 0), ReadResult::Empty);
    assert_eq!(owner(&catalog, &store, at(1), "a1"), "unread");
    assert_eq!(read(25, 10), ReadResult::Fetched);
    assert_eq!(read(0, 80), ReadResult::Empty);
    assert_eq!(read(5, 100), ReadResult::Doubtful);
    assert_eq!(owner(&catalog, &store, at(101), "a20"), "a");
    assert_eq!(read(8, 200), ReadResult::Doubtful, "it says something else");
    assert_eq!(read(8, 300), ReadResult::Fetched);
    assert_eq!(owner(&catalog, &store, at(301), "a20"), "nobody");
    assert_eq!(read(13, 400), ReadResult::Fetched);
    assert_eq!(read(7, 500), ReadResult::Fetched, "half is no doubt");
}

#[test]
fn a_slow_reading_that_another_worker_overtook_changes_nothing() {
    let (store, one, other) = (MemoryStore::default(), live(), live());
    let slow = tick(&one, &store, NOW).unwrap();
    let reply = Backstage { apis: 25, owner: "old" }.answer(&slow.call());
    Backstage { apis: 25, owner: "new" }.read(tick(&other, &store, at(10)).unwrap(), &store, at(10));
    assert!(matches!(slow.answered(&store, at(11), Some(&reply)), ReadProgress::Done(ReadResult::Overtaken, None)));
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
            ReadProgress::Next(next) => pass = next,
            ReadProgress::Done(result, _) => break result,
        }
    };
    assert_eq!((result, now), (ReadResult::LeftToTicks, at(6)));
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
        assert_eq!(result, ReadResult::Fetched);
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
        let ReadProgress::Next(pass) = pass.answered(&store, NOW, Some(&groups)) else { panic!("over") };
        let path = percent_decode_str(&pass.call().to.path).decode_utf8().unwrap().into_owned();
        assert_eq!(path.contains(",metadata.annotations.backstage-kong/approved-consumers"), asked, "{path}");
    }
}
