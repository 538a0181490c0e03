//! How a request's cost grows with what there is, and what a worker costs before any.

use super::cost::two_windows;
use super::support::{ISSUER, KEYS, NOW_MS, config, get, module, node, send, start, token};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::time::Instant;
use test_harness::lab::peers::KeyKind;
use test_harness::{FilterModule, Profile, RequestHead, Worker, built_filter};

/// Fuel of a hot request through the route.
fn hot(worker: &mut Worker, request: &RequestHead) -> u64 {
    send(worker, request.clone());
    send(worker, request.clone());
    send(worker, request.clone()).report.fuel_used
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn with_policies(count: usize) -> Value {
    let policy = |nth| json!({"name": format!("policy-{nth}"), "per": "group", "windows": ["600/1m"]});
    config(json!({"quotas": {"policies": (0..count).map(policy).collect::<Vec<_>>()}}))
}

fn with_groups(count: usize) -> RequestHead {
    let groups: Vec<_> = (1..count).map(|nth| format!("group-{nth}")).chain(["payments".to_owned()]).collect();
    get(&token(json!({ "groups": groups })))
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_hot_request_grows_no_steeper_than_it_must() {
    let profile = Profile::Envoy;
    let request = with_groups(1);
    let base = hot(&mut start(&node(profile), &[("payments", config(two_windows()))]), &request);

    let names: Vec<_> = (0..1000).map(|nth| format!("route-{nth}")).collect();
    let mut routes: Vec<_> = names.iter().map(|name| (name.as_str(), config(two_windows()))).collect();
    routes.push(("payments", config(two_windows())));
    let of_routes = hot(&mut start(&node(profile), &routes), &request);

    let of_policies = |count| hot(&mut start(&node(profile), &[("payments", with_policies(count))]), &request);
    let policies = [of_policies(1), of_policies(8)];
    let of_groups =
        |count| hot(&mut start(&node(profile), &[("payments", config(two_windows()))]), &with_groups(count));
    let groups = [of_groups(1), of_groups(200)];
    println!("growth of fuel: base {base}; 1,001 routes {of_routes}; policies {policies:?}; groups {groups:?}");

    assert!((of_routes as f64) < base as f64 * 1.05, "of one among 1,001 routes: {of_routes}, of one alone {base}");
    assert!(policies[1] < policies[0] * 3, "eight policies are a part of a request each: {policies:?}");
    assert!(groups[1] < groups[0] * 5 / 2, "groups are looked through, and named to the upstream: {groups:?}");
}

/// Its signature costs next to nothing, so that there can be many.
fn token_by_secret(nth: usize) -> String {
    let claims = json!({
        "iss": ISSUER, "aud": "payments", "sub": "ada", "groups": ["payments"], "jti": format!("{nth:06}"),
        "exp": NOW_MS / 1000 + 3600
    });
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let message = format!("{}.{}", encode(br#"{"alg":"HS256"}"#), encode(claims.to_string().as_bytes()));
    let signature = KEYS.sign(KeyKind::Hs256, SECRET.as_bytes(), message.as_bytes()).unwrap();
    format!("{message}.{}", encode(&signature))
}

/// A worker remembers 10,000 tokens; a flood of good ones is no reason for a look-up to take longer, or for memory to grow.
#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_hot_request_costs_the_same_after_ten_tokens_and_after_a_hundred_thousand() {
    let mut change = json!({"audit": {"sample_allows": 0.0}});
    change["issuers"] = json!([{"issuer": ISSUER, "audiences": ["payments"], "secret": SECRET}]);
    let mut worker = start(&node(Profile::Envoy), &[("payments", config(change))]);
    let nth = |nth: usize| get(&token_by_secret(nth));
    let mut found = Vec::new();
    for range in [0..10, 10..10_000, 10_000..100_000] {
        let last = nth(range.end - 1);
        for token in range {
            assert_eq!(send(&mut worker, nth(token)).status, 200);
            worker.take_logs();
        }
        found.push((hot(&mut worker, &last), worker.memory_bytes()));
    }
    println!("fuel and memory after 10, 10,000 and 100,000 tokens: {found:?}");
    let [few, full, many] = found[..] else { panic!("{found:?}") };
    assert!((many.0 as f64) < few.0 as f64 * 1.05, "a look-up takes longer: {found:?}");
    assert!(many.1 <= full.1 * 11 / 10, "memory grows: {found:?}");
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_worker_starts_within_its_bounds() {
    let bytes = std::fs::read(built_filter().unwrap()).unwrap();
    let begin = Instant::now();
    FilterModule::from_bytes("filter", &bytes).unwrap();
    let compiled = begin.elapsed();
    module();
    let started = |count: usize| {
        let names: Vec<_> = (0..count).map(|nth| format!("route-{nth}")).collect();
        let routes: Vec<_> = names.iter().map(|name| (name.as_str(), config(two_windows()))).collect();
        let begin = Instant::now();
        let worker = start(&node(Profile::Kong), &routes);
        (worker.background_report().fuel_used, worker.memory_bytes(), begin.elapsed())
    };
    let (one, thousand) = (started(1), started(1000));
    let a_route = ((thousand.0 - one.0) / 999, (thousand.1 - one.1) / 999);
    println!(
        "compiled in {compiled:?}; a worker with one route {one:?}, with a thousand {thousand:?}; a route {a_route:?}"
    );
    assert!(a_route.0 < 250_000, "fuel to configure a route: {a_route:?}");
    assert!(one.1 < 2 << 20 && a_route.1 < 4096, "memory: {one:?}, {a_route:?} a route");
}
