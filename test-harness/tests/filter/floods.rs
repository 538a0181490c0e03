//! Floods of tokens that are refused, through the compiled filter.

use super::support::{
    ISSUER, KEYS, NOW_MS, OTHER_KEYS, PROFILES, config, count, get, node, send, start, token, token_by,
};
use dev_keys::encode;
use serde_json::{Value, json};
use test_harness::lab::peers::KeyKind;
use test_harness::{Outcome, Profile, RequestHead};

/// What a request may cost whose token is not verified. It is about what a token seen before costs; to verify one by ES256
/// costs a hundred times as much.
const UNVERIFIED_FUEL: u64 = 135_000;

/// The issuer's name and `kid`, and a signature by somebody else's key.
pub(super) fn forged(nth: usize) -> RequestHead {
    let by = |keys| token_by(keys, KeyKind::Es256, json!({"groups": ["payments"], "jti": nth.to_string()}));
    let (good, bad) = (by(&KEYS), by(&OTHER_KEYS));
    let parts = (good.rsplit_once('.').unwrap().0, bad.rsplit_once('.').unwrap().1);
    get(&format!("{}.{}", parts.0, parts.1))
}

/// An unsigned token of 15 KB, full of the claims that cost most to build.
pub(super) fn large(issuer: &str) -> RequestHead {
    let items: Vec<_> = (0..1_350).map(|nth| json!({"a": nth % 10})).collect();
    let claims = json!({
        "groups": items, "x": {"a": {"b": [{}]}}, "iss": issuer, "aud": "payments", "exp": NOW_MS / 1000 + 300,
    });
    let header = json!({"alg": "ES256", "kid": KEYS.kid(KeyKind::Es256)});
    let [header, claims] = [header, claims].map(|part| encode(part.to_string().as_bytes()));
    get(&format!("{header}.{claims}.{}", encode(&[1; 64])))
}

/// A route that demands a scope, and a signed token without it.
pub(super) fn without_scope() -> (Value, RequestHead) {
    let mut config = config(json!({}));
    config["issuers"][0]["required_scopes"] = json!(["pay"]);
    (config, fresh("narrow"))
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
    assert!(fuel < UNVERIFIED_FUEL, "{profile:?}: {fuel}");
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
            let outcome = send(&mut worker, from(&format!("[2001:db8:{nth:x}::1]"), forged(nth)));
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
fn a_flood_from_one_site_or_a_few_addresses_keeps_out_nobody_who_has_not_failed() {
    let floods: [fn(usize) -> String; 2] =
        [|nth| format!("[2001:db8:0:{nth:x}::1]"), |nth| format!("192.0.2.{}", 100 + nth % 3)];
    for (profile, address) in PROFILES.into_iter().flat_map(|profile| floods.map(|address| (profile, address))) {
        let node = node(profile);
        let narrow =
            json!({"verification": {"per_second": 10, "burst": 30, "per_address": {"per_second": 2, "burst": 4}}});
        let mut worker = start(&node, &[("payments", config(narrow))]);
        assert_eq!(send(&mut worker, from("192.0.2.1", fresh("first"))).status, 200);
        let verified = (0..200).filter(|nth| send(&mut worker, from(&address(*nth), forged(*nth))).status == 401);
        assert!(verified.count() <= 16, "{profile:?}");
        assert_eq!(send(&mut worker, from("192.0.2.3", fresh("new"))).status, 200, "{profile:?}");
        assert_eq!(send(&mut worker, from("[2001:db8:1::1]", fresh("newer"))).status, 200, "{profile:?}");
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_token_that_one_worker_verified_passes_on_every_worker_of_the_node_in_a_flood() {
    for profile in PROFILES {
        let node = node(profile);
        let narrow = json!({"verification": {"per_second": 10, "burst": 30}});
        let [mut one, mut two] = [(); 2].map(|()| start(&node, &[("payments", config(narrow.clone()))]));
        assert_eq!(send(&mut one, from("192.0.2.1", fresh("before"))).status, 200);
        for nth in 0..100 {
            send(&mut two, from(&format!("[2001:db8:{nth:x}::1]"), forged(nth)));
        }
        assert_eq!(send(&mut two, from("192.0.2.3", fresh("new"))).status, 503, "{profile:?}: nobody knows it");
        let outcome = send(&mut two, from("192.0.2.1", fresh("before")));
        assert_eq!(outcome.status, 200, "{profile:?}: the other worker has verified it");
        assert!(outcome.report.fuel_used < 3 * UNVERIFIED_FUEL, "{profile:?}: {}", outcome.report.fuel_used);
        assert_eq!(count(&node, "verifications;result=known"), 1);
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_signed_token_without_a_scope_is_verified_once() {
    for profile in PROFILES {
        let node = node(profile);
        let (config, request) = without_scope();
        let mut worker = start(&node, &[("payments", config)]);
        for nth in 0..50 {
            let outcome = send(&mut worker, from("192.0.2.1", request.clone()));
            assert_eq!(outcome.status, 403, "{profile:?} {nth}");
            let fuel = outcome.report.fuel_used;
            assert!(nth == 0 || fuel < UNVERIFIED_FUEL, "{profile:?}: {fuel}");
        }
        assert_eq!(count(&node, "verifications;result=held"), 1, "{profile:?}");
        assert_eq!(send(&mut worker, from("192.0.2.1", forged(0))).status, 401, "{profile:?}: nothing was spent");
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn large_unsigned_tokens_spend_nothing_unless_a_signature_is_verified() {
    for profile in PROFILES {
        let node = node(profile);
        let narrow = json!({"verification": {"per_second": 10, "burst": 30}});
        let mut worker = start(&node, &[("payments", config(narrow))]);
        for nth in 0..100 {
            let outcome = send(&mut worker, from(&format!("192.0.2.{nth}"), large("https://other.example")));
            assert_eq!(outcome.status, 401, "{profile:?} {nth}");
        }
        assert_eq!(send(&mut worker, from("198.51.100.1", fresh("new"))).status, 200, "{profile:?}");
        let answers: Vec<_> =
            (0..100).map(|nth| send(&mut worker, from(&format!("192.0.2.{nth}"), large(ISSUER))).status).collect();
        let verified = answers.iter().filter(|status| **status == 401).count();
        assert_eq!((verified, answers[99]), (30, 503), "{profile:?}");
    }
}

/// An issuer with one key, and a token that looks as if it were signed with it.
fn issuer_of(alg: &str, keys: Value, signature_bytes: usize) -> (Value, RequestHead) {
    let mut config = config(json!({}));
    let mut issuer = json!({"issuer": ISSUER, "audiences": ["payments"], "algorithms": [alg]});
    issuer.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config["issuers"] = json!([issuer]);
    let claims = json!({"iss": ISSUER, "aud": "payments", "sub": "ada", "exp": NOW_MS / 1000 + 300});
    let [header, claims] = [json!({"alg": alg, "typ": "JWT"}), claims].map(|part| encode(part.to_string().as_bytes()));
    (config, get(&format!("{header}.{claims}.{}", encode(&vec![1; signature_bytes]))))
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_signature_of_each_kind_costs_about_what_the_budget_takes_for_it() {
    let public = |kind: KeyKind| {
        let keys = KEYS.public();
        let key = keys.iter().find(|key| key["kid"] == json!(KEYS.kid(kind))).unwrap();
        json!({"jwks": {"keys": [key]}})
    };
    let rsa = |bytes: usize| json!({"jwks": {"keys": [{"kty": "RSA", "e": "AQAB", "n": encode(&vec![255; bytes])}]}});
    // Any point will do, such as the generator.
    let p384 = json!({"jwks": {"keys": [{
        "kty": "EC", "crv": "P-384", "x": "qofKIr6LBTeOscce8yCtdG4dO2KLp5uYWfdB4IJUKjhVAvJdv1UpbDpUXjhydgq3",
        "y": "NhfeSpYmLG9dnpi_kpLcKfj0Hb0omhR86doxE7XwuMAKYLHOHX6BnXpDHXyQ6g5f"
    }]}});
    // The thousandths of a unit that are taken of a budget. They go by time on one machine; fuel counts instructions, whatever each takes.
    let cases = [
        ("EdDSA", public(KeyKind::EdDsa), 64, 250),
        ("RS256", rsa(256), 256, 500),
        ("PS256", rsa(256), 256, 500),
        ("RS256", rsa(384), 384, 1250),
        ("RS256", rsa(512), 512, 2250),
        ("ES256", public(KeyKind::Es256), 64, 1000),
        ("ES384", p384, 96, 4000),
    ];
    let fuel: Vec<_> = cases
        .iter()
        .map(|(alg, keys, bytes, taken)| {
            let (config, request) = issuer_of(alg, keys.clone(), *bytes);
            let mut worker = start(&node(Profile::Envoy), &[("payments", config)]);
            send(&mut worker, RequestHead::get("/payments/42"));
            let outcome = send(&mut worker, request);
            assert_eq!(outcome.status, 401, "{alg}");
            (alg, outcome.report.fuel_used, *taken)
        })
        .collect();
    println!("{fuel:?}");
    let unit = fuel.iter().find(|(.., taken)| *taken == 1000).unwrap().1;
    for (alg, fuel, taken) in fuel {
        let measured = fuel * 1000 / unit;
        assert!((taken * 2 / 3..=taken * 3 / 2).contains(&measured), "{alg}: {measured} and not {taken}");
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
