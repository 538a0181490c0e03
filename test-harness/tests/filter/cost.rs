//! What a request costs: counts, which do not depend on the machine, held near today's figures. `make cost` prints them.

use super::floods::forged;
use super::support::{
    ISSUER, KEYS, NOW_MS, PROFILES, config, get, measured, module, node, send, start_of, token, token_by,
};
use dev_keys::encode;
use serde_json::{Value, json};
use test_harness::lab::peers::KeyKind;
use test_harness::{Report, RequestHead};

/// Fuel may grow by so much before somebody has to look: tokens differ in length, and compilers in taste.
const SLACK: f64 = 1.1;

/// A kind of request, and its bounds on Kong and on Envoy: fuel, host calls, and bytes allocated.
struct Case {
    name: &'static str,
    status: u16,
    bounds: [(u64, u32, u64); 2],
    /// The route, what to send before, and what is measured.
    given: fn() -> (Value, Vec<RequestHead>, RequestHead),
}

pub(super) fn two_windows() -> Value {
    json!({"quotas": {"policies": [{"name": "per-group", "per": "group", "windows": ["600/1m", "20000/1d"]}]}})
}

fn of_payments(key: KeyKind) -> RequestHead {
    get(&token_by(&KEYS, key, json!({"groups": ["payments"]})))
}

/// A token of another kind first, so that the keys are there.
fn new_token(key: KeyKind) -> (Value, Vec<RequestHead>, RequestHead) {
    (config(two_windows()), vec![get(&token(json!({"groups": ["payments"], "jti": "first"})))], of_payments(key))
}

/// An unsigned token as large as any, full of the claims that cost most to build.
fn large_token(issuer: &str) -> (Value, Vec<RequestHead>, RequestHead) {
    let mut config = config(two_windows());
    config["credentials"] = json!({"max_token_bytes": 16_384});
    let items: Vec<_> = (0..1_350).map(|nth| json!({"a": nth % 10})).collect();
    let claims =
        json!({"iss": issuer, "aud": "payments", "exp": NOW_MS / 1000 + 300, "groups": items, "x": {"a": {"b": [{}]}}});
    let [header, claims] = [json!({"alg": "ES256", "kid": KEYS.kid(KeyKind::Es256)}), claims]
        .map(|part| encode(part.to_string().as_bytes()));
    (config, (0..21).map(forged).collect(), get(&format!("{header}.{claims}.{}", encode(&[1; 64]))))
}

const CASES: [Case; 11] = [
    Case {
        name: "token seen before",
        status: 200,
        bounds: [(81_600, 34, 6900), (72_700, 27, 6100)],
        given: || {
            let request = of_payments(KeyKind::Es256);
            (config(two_windows()), vec![request.clone(), request.clone()], request)
        },
    },
    Case {
        name: "token seen before, audited one time in a million",
        status: 200,
        bounds: [(55_900, 32, 4200), (46_300, 25, 3400)],
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
        bounds: [(7_270_000, 36, 17_400), (7_270_000, 29, 16_700)],
        given: || new_token(KeyKind::Rs256),
    },
    Case {
        name: "new token, ES256",
        status: 200,
        bounds: [(12_600_000, 36, 9600), (12_600_000, 29, 8800)],
        given: || new_token(KeyKind::Es256),
    },
    Case {
        name: "new token, EdDSA",
        status: 200,
        bounds: [(2_350_000, 36, 9600), (2_350_000, 29, 8800)],
        given: || new_token(KeyKind::EdDsa),
    },
    Case {
        name: "not allowed",
        status: 403,
        bounds: [(56_600, 19, 3900), (56_500, 18, 3800)],
        given: || {
            let request = get(&token(json!({"groups": ["strangers"]})));
            (config(two_windows()), vec![request.clone()], request)
        },
    },
    Case {
        name: "quota exhausted",
        status: 429,
        bounds: [(98_500, 24, 7300), (98_500, 23, 7200)],
        given: || {
            let request = of_payments(KeyKind::Es256);
            let quotas = json!({"quotas": {"policies": [{"name": "per-group", "per": "group", "windows": ["1/1h"]}]}});
            (config(quotas), vec![request.clone()], request)
        },
    },
    Case {
        name: "not looked at, in a flood",
        status: 429,
        bounds: [(98_000, 20, 4700), (98_000, 19, 4700)],
        given: || (config(two_windows()), (0..21).map(forged).collect(), forged(21)),
    },
    Case {
        name: "of 15 KB and no issuer",
        status: 401,
        bounds: [(1_550_000, 19, 45_800), (1_550_000, 18, 45_800)],
        given: || large_token("https://other.example"),
    },
    Case {
        name: "of 15 KB and not looked at, in a flood",
        status: 429,
        bounds: [(1_550_000, 20, 58_300), (1_550_000, 19, 58_300)],
        given: || large_token(ISSUER),
    },
    Case {
        name: "without a token",
        status: 200,
        bounds: [(35_400, 23, 2100), (29_700, 18, 1600)],
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
    println!("| | host | fuel | host calls | bytes copied | allocated |\n| --- | --- | ---: | ---: | ---: | ---: |");
    let mut over = Vec::new();
    for case in &CASES {
        for (profile, (fuel, host_calls, allocated)) in PROFILES.into_iter().zip(case.bounds) {
            let of = |module| {
                let (config, before, request) = (case.given)();
                let mut worker = start_of(&module, &node(profile), &[("payments", config)]);
                for request in before {
                    send(&mut worker, request);
                }
                let outcome = send(&mut worker, request);
                assert_eq!((outcome.status, outcome.dispatches.len()), (case.status, 0), "{}", case.name);
                outcome.report
            };
            let report = Report { bytes_allocated: of(measured()).bytes_allocated, ..of(module()) };
            let (host, calls) = (format!("{profile:?}"), calls(&report));
            println!(
                "| {} | {host} | {} | {calls} | {} | {} |",
                case.name, report.fuel_used, report.bytes_copied, report.bytes_allocated
            );
            let is_over = |found: u64, bound: u64| found as f64 > bound as f64 * SLACK;
            if is_over(report.fuel_used, fuel) || calls > host_calls || is_over(report.bytes_allocated, allocated) {
                over.push(format!(
                    "{} on {host}: {report:?}, and not {fuel} fuel, {host_calls} calls, {allocated} bytes",
                    case.name
                ));
            }
        }
    }
    assert!(over.is_empty(), "{over:#?}");
}
