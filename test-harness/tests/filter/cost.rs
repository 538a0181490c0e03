//! What a request costs: counts, which do not depend on the machine, held near today's figures. `make cost` prints them.

use super::support::{KEYS, PROFILES, config, get, node, send, start, token, token_by};
use serde_json::{Value, json};
use test_harness::lab::peers::KeyKind;
use test_harness::{Profile, Report, RequestHead, Worker};

/// Fuel may grow by so much before somebody has to look: tokens differ in length, and compilers in taste.
const SLACK: f64 = 1.1;

/// A kind of request, and its bounds on Kong and on Envoy: fuel, and host calls.
struct Case {
    name: &'static str,
    status: u16,
    bounds: [(u64, u32); 2],
    /// The route, what to send before, and what is measured.
    given: fn() -> (Value, Vec<RequestHead>, RequestHead),
}

fn two_windows() -> Value {
    json!({"quotas": {"policies": [{"name": "per-group", "per": "group", "windows": ["600/1m", "20000/1d"]}]}})
}

fn of_payments(key: KeyKind) -> RequestHead {
    get(&token_by(&KEYS, key, json!({"groups": ["payments"]})))
}

/// A token of another kind first, so that the keys are there.
fn new_token(key: KeyKind) -> (Value, Vec<RequestHead>, RequestHead) {
    (config(two_windows()), vec![get(&token(json!({"groups": ["payments"], "jti": "first"})))], of_payments(key))
}

const CASES: [Case; 8] = [
    Case {
        name: "token seen before",
        status: 200,
        bounds: [(121_500, 84), (126_500, 16)],
        given: || {
            let request = of_payments(KeyKind::Es256);
            (config(two_windows()), vec![request.clone(), request.clone()], request)
        },
    },
    Case {
        name: "token seen before, audited one time in a million",
        status: 200,
        bounds: [(96_500, 83), (101_500, 15)],
        given: || {
            let request = of_payments(KeyKind::Es256);
            let mut config = config(two_windows());
            config["audit"] = json!({"sample_allows": 0.000_001});
            (config, vec![request.clone(), request.clone()], request)
        },
    },
    Case {
        name: "new token, RS256",
        status: 200,
        bounds: [(7_270_000, 86), (7_270_000, 18)],
        given: || new_token(KeyKind::Rs256),
    },
    Case {
        name: "new token, ES256",
        status: 200,
        bounds: [(12_600_000, 86), (12_600_000, 18)],
        given: || new_token(KeyKind::Es256),
    },
    Case {
        name: "new token, EdDSA",
        status: 200,
        bounds: [(2_400_000, 86), (2_400_000, 18)],
        given: || new_token(KeyKind::EdDsa),
    },
    Case {
        name: "not allowed",
        status: 403,
        bounds: [(71_000, 16), (80_500, 12)],
        given: || {
            let request = get(&token(json!({"groups": ["strangers"]})));
            (config(two_windows()), vec![request.clone()], request)
        },
    },
    Case {
        name: "quota exhausted",
        status: 429,
        bounds: [(125_000, 21), (133_000, 17)],
        given: || {
            let request = of_payments(KeyKind::Es256);
            let quotas = json!({"quotas": {"policies": [{"name": "per-group", "per": "group", "windows": ["1/1h"]}]}});
            (config(quotas), vec![request.clone()], request)
        },
    },
    Case {
        name: "without a token",
        status: 200,
        bounds: [(46_500, 74), (47_000, 10)],
        given: || {
            let request = RequestHead::get("/payments/42");
            let open = json!({"policy": {"rules": [{"allow": ["anyone"]}]}});
            (config(open), vec![request.clone()], request)
        },
    },
];

fn calls(report: &Report) -> u32 {
    report.host_calls.values().sum()
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_request_of_each_kind_stays_near_todays_cost_and_dispatches_nothing() {
    println!("| | host | fuel | host calls | bytes copied |\n| --- | --- | ---: | ---: | ---: |");
    let mut over = Vec::new();
    for case in &CASES {
        for (profile, (fuel, host_calls)) in PROFILES.into_iter().zip(case.bounds) {
            let (config, before, request) = (case.given)();
            let mut worker = start(&node(profile), &[("payments", config)]);
            for request in before {
                send(&mut worker, request);
            }
            let outcome = send(&mut worker, request);
            let report = &outcome.report;
            let host = format!("{profile:?}");
            println!("| {} | {host} | {} | {} | {} |", case.name, report.fuel_used, calls(report), report.bytes_copied);
            assert_eq!((outcome.status, outcome.dispatches.len()), (case.status, 0), "{}", case.name);
            if report.fuel_used as f64 > fuel as f64 * SLACK || calls(report) > host_calls {
                over.push(format!("{} on {host}: {report:?}, and not {fuel} fuel and {host_calls} calls", case.name));
            }
        }
    }
    assert!(over.is_empty(), "{over:#?}");
}

/// Fuel of a hot request through the route.
fn hot(worker: &mut Worker, request: &RequestHead) -> u64 {
    send(worker, request.clone());
    send(worker, request.clone());
    send(worker, request.clone()).report.fuel_used
}

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

    let mut worker = start(&node(profile), &[("payments", config(two_windows()))]);
    for nth in 0..2000 {
        let secret = json!({"groups": ["payments"], "jti": nth.to_string()});
        send(&mut worker, get(&token_by(&KEYS, KeyKind::EdDsa, secret)));
    }
    let of_tokens = hot(&mut worker, &request);

    let of_policies = |count| hot(&mut start(&node(profile), &[("payments", with_policies(count))]), &request);
    let policies = [of_policies(1), of_policies(8)];
    let of_groups =
        |count| hot(&mut start(&node(profile), &[("payments", config(two_windows()))]), &with_groups(count));
    let groups = [of_groups(1), of_groups(200)];
    println!(
        "base {base}; 1,001 routes {of_routes}; 2,001 tokens {of_tokens}; policies {policies:?}; groups {groups:?}"
    );

    let about = |fuel: u64, times: f64| (fuel as f64) < base as f64 * times;
    assert!(about(of_routes, 1.05), "of one among 1,001 routes: {of_routes}, of one alone {base}");
    assert!(about(of_tokens, 1.1), "among 2,001 tokens: {of_tokens}, alone {base}");
    assert!(policies[1] < policies[0] * 4, "eight policies are a part of a request each: {policies:?}");
    assert!(groups[1] < groups[0] * 4, "groups are looked through, and named to the upstream: {groups:?}");
}
