//! Records in shared data that are damaged, of another version, or another key's; and leases that are given back.

use super::*;
use crate::host::FaultyStore;
use crate::record::seal;

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
    type Leave = fn(Box<CatalogRead>, &dyn SharedData);
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
