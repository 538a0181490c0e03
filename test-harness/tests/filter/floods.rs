//! Floods of tokens that do not hold, through the compiled filter.

use super::support::{KEYS, OTHER_KEYS, PROFILES, config, count, get, node, send, start, token, token_by};
use serde_json::json;
use test_harness::lab::peers::KeyKind;
use test_harness::{Outcome, Profile, RequestHead};

/// What a request may cost whose token is not looked at. It is about what a token seen before costs; looking at a token by
/// ES256 costs a hundred times as much.
const UNLOOKED_FUEL: u64 = 135_000;

/// The issuer's name and `kid`, and a signature by somebody else's key.
pub(super) fn forged(nth: usize) -> RequestHead {
    let by = |keys| token_by(keys, KeyKind::Es256, json!({"groups": ["payments"], "jti": nth.to_string()}));
    let (good, bad) = (by(&KEYS), by(&OTHER_KEYS));
    let parts = (good.rsplit_once('.').unwrap().0, bad.rsplit_once('.').unwrap().1);
    get(&format!("{}.{}", parts.0, parts.1))
}

fn fresh(jti: &str) -> RequestHead {
    get(&token(json!({"groups": ["payments"], "jti": jti})))
}

fn from(address: &str, mut request: RequestHead) -> RequestHead {
    request.client = format!("{address}:4711").parse().unwrap();
    request
}

fn is_cheap(profile: Profile, outcome: &Outcome) {
    let fuel = outcome.report.fuel_used;
    assert!(fuel < UNLOOKED_FUEL, "{profile:?}: {fuel}");
    assert!(outcome.header("retry-after").is_some_and(|seconds| seconds == "1"), "{:?}", outcome.headers);
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_flood_from_one_address_costs_little_and_good_clients_are_served() {
    for profile in PROFILES {
        let node = node(profile);
        let mut worker = start(&node, &[("payments", config(json!({})))]);
        assert_eq!(send(&mut worker, from("192.0.2.1", fresh("before"))).status, 200);
        for nth in 0..60 {
            let outcome = send(&mut worker, from("192.0.2.1", forged(nth)));
            if nth < 20 {
                assert_eq!(outcome.status, 401, "{profile:?} {nth}");
            } else {
                assert_eq!(outcome.status, 429, "{profile:?} {nth}");
                is_cheap(profile, &outcome);
            }
        }
        assert_eq!(send(&mut worker, from("192.0.2.1", fresh("before"))).status, 200, "{profile:?}: is remembered");
        assert_eq!(
            send(&mut worker, from("192.0.2.2", fresh("after"))).status,
            200,
            "{profile:?}: comes from elsewhere"
        );
        assert_eq!(count(&node, "verifications;result=address_spent"), 40);
        assert_eq!(
            count(
                &node,
                "decisions;entity=api:default/payments;owner=group:default/payments;group=none;decision=deny;reason=verification_rate"
            ),
            40
        );
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_flood_from_everywhere_costs_little_and_known_clients_are_served() {
    for profile in PROFILES {
        let node = node(profile);
        let narrow = json!({"verification": {"per_second": 10, "burst": 30}});
        let mut worker = start(&node, &[("payments", config(narrow))]);
        assert_eq!(send(&mut worker, from("192.0.2.1", fresh("before"))).status, 200);
        for nth in 0..100 {
            let outcome = send(&mut worker, from(&format!("[2001:db8:0:{nth:x}::1]"), forged(nth)));
            if nth < 30 {
                assert_eq!(outcome.status, 401, "{profile:?} {nth}");
            } else {
                assert_eq!(outcome.status, 503, "{profile:?} {nth}");
                is_cheap(profile, &outcome);
            }
        }
        assert_eq!(send(&mut worker, from("192.0.2.3", fresh("before"))).status, 200, "{profile:?}: is remembered");
        assert_eq!(send(&mut worker, from("192.0.2.1", fresh("renewed"))).status, 200, "{profile:?}: was there before");
        assert_eq!(send(&mut worker, from("192.0.2.3", fresh("new"))).status, 503, "{profile:?}: was not");
        assert_eq!(count(&node, "verifications;result=worker_spent"), 71);
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_flood_does_not_grow_a_worker_without_bound() {
    let node = node(Profile::Envoy);
    // As if the worker had no bound of its own, so that each address is written down.
    let wide = json!({"verification": {"per_second": 100_000, "burst": 100_000}});
    let mut worker = start(&node, &[("payments", config(wide))]);
    let request = forged(0);
    let mut send_all = |numbers: std::ops::Range<u32>| {
        for nth in numbers {
            let address = std::net::Ipv4Addr::from(0x0a00_0000 + nth).to_string();
            assert_eq!(send(&mut worker, from(&address, request.clone())).status, 401);
        }
        worker.memory_bytes()
    };
    let full = send_all(0..4_200);
    assert_eq!(send_all(4_200..8_400), full, "4,096 addresses are known, and no more");
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn signatures_of_many_good_clients_behind_one_address_are_not_held_against_them() {
    for profile in PROFILES {
        let mut worker = start(&node(profile), &[("payments", config(json!({})))]);
        for nth in 0..300 {
            let request =
                get(&token_by(&KEYS, KeyKind::EdDsa, json!({"groups": ["payments"], "jti": nth.to_string()})));
            assert_eq!(send(&mut worker, from("192.0.2.1", request)).status, 200, "{profile:?} {nth}");
        }
    }
}
