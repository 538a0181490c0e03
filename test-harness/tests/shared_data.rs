//! Shared data. Numbers are those of the facts about Kong's Wasm host.

// The helpers of tests are tests too, which the lints' own exception does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::HashMap;

use support::{BOTH, Probe, get, node, said, start, start_on};
use test_harness::{Eviction, Node, Profile, Zone};

const READ: u8 = b'r';

/// A step of a case: read a key, or write it with a CAS and expect a status.
type Write<'a> = (Option<&'a str>, &'a str, &'a str);

/// Runs the body in a request on that node and returns what the probe said.
fn on(node: &Node, write: impl Fn(&Probe) -> String) -> Vec<String> {
    let probe = Probe::new();
    let body = write(&probe);
    let mut worker = start_on(node, probe.on("proxy_on_request_headers", body));
    get(&mut worker).unwrap();
    said(&mut worker)
}

fn kong(zones: impl IntoIterator<Item = Zone>) -> Node {
    node(Profile::Kong).zones(zones).build()
}

// Fact 14.
#[test]
fn without_a_zone_kong_traps_and_envoy_works() {
    for (profile, status) in [(Profile::Kong, 500), (Profile::Envoy, 200)] {
        for reading in [true, false] {
            let probe = Probe::new();
            let body = if reading { probe.show_shared("k") } else { probe.set_shared("k", Some("v"), "0") };
            let mut worker = start_on(&node(profile).zones([]).build(), probe.on("proxy_on_request_headers", body));
            assert_eq!(get(&mut worker).unwrap().status, status, "{profile:?} reading: {reading}");
        }
    }
}

// Fact 14.
#[test]
fn a_prefix_picks_a_zone_and_an_unknown_one_the_default() {
    let node = kong([Zone::default_zone(1 << 20), Zone::named("quota", 0).eviction(Eviction::None)]);
    assert_eq!(on(&node, |p| p.set_shared("other/k", Some("v"), "0")), ["00"]);
    let none: [&str; 0] = [];
    assert_eq!(on(&node, |p| p.set_shared("quota/k", Some("v"), "0")), none, "no room there: trapped");
    let named_only = kong([Zone::named("quota", 1 << 20)]);
    assert_eq!(on(&named_only, |p| p.set_shared("quota/k", Some("v"), "0")), ["00"]);
    assert_eq!(on(&named_only, |p| p.set_shared("k", Some("v"), "0")), none, "no default zone: trapped");
}

// Fact 15.
#[test]
fn compare_and_swap_is_another_thing_on_each_host() {
    let cases: [(&str, &[Write<'_>], [&str; 2]); 6] = [
        ("None on an absent key writes", &[(Some("a"), "0", "")], ["00", "00"]),
        ("None on a present key", &[(Some("a"), "0", ""), (Some("b"), "0", "")], ["08", "00"]),
        ("the held CAS overwrites", &[(Some("a"), "0", ""), (Some("b"), "held", "r")], ["00", "00"]),
        ("a wrong CAS on a present key", &[(Some("a"), "0", ""), (Some("b"), "99", "")], ["08", "08"]),
        ("any CAS on an absent key", &[(Some("a"), "7", "")], ["08", "00"]),
        ("deleting an absent key", &[(None, "0", "")], ["08", "00"]),
    ];
    for (case, writes, expected) in cases {
        for (profile, expected) in BOTH.into_iter().zip(expected) {
            let said = on(&node(profile).build(), |p| {
                let one = |(value, cas, first): &Write<'_>| {
                    let read = if first.bytes().next() == Some(READ) { p.show_shared("k") } else { String::new() };
                    read + &p.set_shared("k", *value, cas)
                };
                writes.iter().map(one).collect()
            });
            assert_eq!(said.last().map(String::as_str), Some(expected), "{profile:?}: {case}");
        }
    }
}

// Fact 15.
#[test]
fn kong_deletes_with_the_held_cas_only_and_envoy_keeps_an_empty_value() {
    let script = |p: &Probe| {
        [
            p.set_shared("k", Some("v"), "0"),
            p.set_shared("k", None, "0"),
            p.show_shared("k"),
            p.set_shared("k", None, "held"),
            p.show_shared("k"),
        ]
        .concat()
    };
    assert_eq!(on(&node(Profile::Kong).build(), script), ["00", "08", "v", "00", "01"]);
    assert_eq!(on(&node(Profile::Envoy).build(), script), ["00", "00", "", "00", ""]);
}

#[test]
fn a_key_made_again_on_kong_has_its_first_cas_again() {
    let node = node(Profile::Kong).build();
    let cas = "(call $say (i32.load (i32.const 24)))";
    let make = |p: &Probe| p.set_shared("k", Some("v"), "0") + &p.show_shared("k") + cas;
    assert_eq!(on(&node, make), ["00", "v", "01"]);
    node.faults().evict("k");
    assert_eq!(on(&node, make), ["00", "v", "01"], "a CAS held from before the eviction would match");
}

fn two_keys_of_one_crc32() -> (String, String) {
    let mut seen = HashMap::new();
    // Scattered, because a CRC tells apart keys that differ in a few neighbouring bits only.
    (0_u64..)
        .find_map(|n| {
            let key = format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let hash = crc32fast::hash(key.as_bytes());
            seen.insert(hash, key.clone()).map(|other| (other, key))
        })
        .unwrap()
}

// Fact 16.
#[test]
fn keys_of_one_crc32_are_one_entry_on_kong_only() {
    let (one, other) = two_keys_of_one_crc32();
    let script = |p: &Probe| p.set_shared(&one, Some("mine"), "0") + &p.show_shared(&other);
    assert_eq!(on(&node(Profile::Kong).build(), script), ["00", "mine"]);
    assert_eq!(on(&node(Profile::Envoy).build(), script), ["00", "01"]);
}

// Fact 16.
#[test]
fn a_collision_can_be_arranged() {
    let node = node(Profile::Kong).build();
    node.faults().collide("a", "b");
    assert_eq!(on(&node, |p| p.set_shared("a", Some("mine"), "0") + &p.show_shared("b")), ["00", "mine"]);
}

// Fact 17.
#[test]
fn a_read_can_be_torn() {
    let node = node(Profile::Kong).build();
    on(&node, |p| p.set_shared("k", Some("aaaa"), "0"));
    on(&node, |p| p.show_shared("k") + &p.set_shared("k", Some("bbbb"), "held"));
    node.faults().tear_next_reads(1);
    assert_eq!(on(&node, |p| p.show_shared("k") + &p.show_shared("k")), ["bbaa", "bbbb"]);
}

// Fact 18.
#[test]
fn a_full_zone_evicts_silently_or_traps() {
    for eviction in [Eviction::Slru, Eviction::Lru, Eviction::None] {
        // Room for two entries of 128 bytes.
        let node = kong([Zone::default_zone(2 * 4096 + 256).eviction(eviction)]);
        let script = |p: &Probe| {
            [
                p.set_shared("a", Some("1"), "0"),
                p.set_shared("b", Some("2"), "0"),
                p.show_shared("a"),
                p.set_shared("c", Some("3"), "0"),
                p.show_shared("a"),
                p.show_shared("b"),
            ]
            .concat()
        };
        let expected: &[&str] = match eviction {
            Eviction::None => &["00", "00", "1"],
            _ => &["00", "00", "1", "00", "1", "01"],
        };
        assert_eq!(on(&node, script), expected, "{eviction:?}");
    }
}

// Fact 18.
#[test]
fn slru_takes_from_the_same_size_first() {
    let node = kong([Zone::default_zone(2 * 4096 + 4096 + 128)]);
    let large = "x".repeat(3000);
    let script = |p: &Probe| {
        [
            p.set_shared("large", Some(&large), "0"),
            p.set_shared("small", Some("1"), "0"),
            p.set_shared("next", Some("2"), "0"),
            p.show_shared("small"),
        ]
        .concat()
    };
    assert_eq!(on(&node, script), ["00", "00", "00", "01"]);
    assert_eq!(node.faults().entries(), 2);
}

// Fact 18: writing in place needs no memory.
#[test]
fn a_value_of_the_same_size_can_be_written_in_a_full_zone() {
    let node = kong([Zone::default_zone(1 << 20).eviction(Eviction::None)]);
    assert_eq!(on(&node, |p| p.set_shared("k", Some("aa"), "0")), ["00"]);
    node.faults().fill_zone("*");
    let none: [&str; 0] = [];
    assert_eq!(on(&node, |p| p.show_shared("k") + &p.set_shared("k", Some("bb"), "held")), ["aa", "00"]);
    assert_eq!(on(&node, |p| p.set_shared("new", Some("bb"), "0")), none);
}

#[test]
fn planned_faults_happen_once_each() {
    let node = node(Profile::Kong).build();
    on(&node, |p| p.set_shared("k", Some("v"), "0"));
    node.faults().lose_next_gets(1);
    assert_eq!(on(&node, |p| p.show_shared("k") + &p.show_shared("k")), ["01", "v"]);
    node.faults().lose_next_cas(1);
    let write = |p: &Probe| p.show_shared("k") + &p.set_shared("k", Some("w"), "held");
    assert_eq!(on(&node, write), ["v", "08"]);
    assert_eq!(on(&node, write), ["v", "00"]);
    node.faults().lose_next_cas(1);
    assert_eq!(on(&node, |p| p.set_shared("fresh", Some("w"), "0")), ["08"], "someone made it first");
    node.faults().fail_next_sets(1);
    let none: [&str; 0] = [];
    assert_eq!(on(&node, |p| p.set_shared("other", Some("v"), "0")), none);
    node.faults().evict_all();
    assert_eq!(on(&node, |p| p.show_shared("k")), ["01"]);
}

#[test]
fn workers_of_a_node_share_and_nodes_do_not() {
    for profile in BOTH {
        let here = node(profile).build();
        on(&here, |p| p.set_shared("k", Some("v"), "0"));
        assert_eq!(on(&here, |p| p.show_shared("k")), ["v"], "{profile:?}");
        assert_eq!(on(&node(profile).build(), |p| p.show_shared("k")), ["01"], "{profile:?}");
    }
}

#[test]
fn what_a_request_did_to_shared_data_is_counted() {
    let probe = Probe::new();
    let body = probe.show_shared("k") + &probe.show_shared("k") + &probe.set_shared("k", Some("v"), "0");
    let report = get(&mut start(Profile::Kong, probe.on("proxy_on_request_headers", body))).unwrap().report;
    assert_eq!((report.host_calls["proxy_get_shared_data"], report.host_calls["proxy_set_shared_data"]), (2, 1));
    assert!(report.fuel_used > 0);
}
