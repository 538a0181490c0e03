//! What a request costs: counts, which do not depend on the machine, held near today's figures. `make cost` prints them.

use super::floods::{forged, large, without_scope};
use super::support::{ISSUER, KEYS, PROFILES, config, get, measured, module, node, send, start_of, token, token_by};
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

/// An unsigned token as large as any, where large tokens are taken, after a flood.
fn large_token(issuer: &str) -> (Value, Vec<RequestHead>, RequestHead) {
    (config(two_windows()), (0..21).map(forged).chain([large(issuer)]).collect(), large(issuer))
}

const CASES: [Case; 12] = [
    Case {
        name: "token seen before",
        status: 200,
        bounds: [(88_000, 37, 7200), (77_000, 29, 6300)],
        given: || {
            let request = of_payments(KeyKind::Es256);
            (config(two_windows()), vec![request.clone(), request.clone()], request)
        },
    },
    Case {
        name: "token seen before, audited one time in a million",
        status: 200,
        bounds: [(57_000, 33, 4300), (48_000, 26, 3500)],
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
        bounds: [(7_320_000, 42, 18_700), (7_310_000, 32, 17_800)],
        given: || new_token(KeyKind::Rs256),
    },
    Case {
        name: "new token, ES256",
        status: 200,
        bounds: [(12_420_000, 42, 10_100), (12_400_000, 32, 9200)],
        given: || new_token(KeyKind::Es256),
    },
    Case {
        name: "new token, EdDSA",
        status: 200,
        bounds: [(2_390_000, 42, 10_100), (2_350_000, 32, 9200)],
        given: || new_token(KeyKind::EdDsa),
    },
    Case {
        name: "not allowed",
        status: 403,
        bounds: [(68_500, 24, 4000), (62_400, 22, 3800)],
        given: || {
            let request = get(&token(json!({"groups": ["strangers"]})));
            (config(two_windows()), vec![request.clone()], request)
        },
    },
    Case {
        name: "quota exhausted",
        status: 429,
        bounds: [(119_700, 38, 9400), (115_400, 36, 9200)],
        given: || {
            let request = of_payments(KeyKind::Es256);
            let quotas = json!({"quotas": {"policies": [{"name": "per-group", "per": "group", "windows": ["1/1h"]}]}});
            (config(quotas), vec![request.clone()], request)
        },
    },
    Case {
        name: "not looked at, in a flood",
        status: 429,
        bounds: [(106_000, 22, 5500), (100_000, 20, 5300)],
        given: || (config(two_windows()), (0..21).map(forged).collect(), forged(21)),
    },
    Case {
        name: "unsigned, 15 KB, of an unknown issuer",
        status: 401,
        bounds: [(1_570_000, 20, 46_000), (1_570_000, 18, 46_000)],
        given: || large_token("https://other.example"),
    },
    Case {
        name: "unsigned, 15 KB, not looked at, in a flood",
        status: 429,
        bounds: [(1_570_000, 22, 59_200), (1_570_000, 20, 58_900)],
        given: || large_token(ISSUER),
    },
    Case {
        name: "signed, without a scope, seen before",
        status: 403,
        bounds: [(82_000, 24, 5400), (76_000, 22, 5200)],
        given: || {
            let (config, request) = without_scope();
            (config, vec![request.clone()], request)
        },
    },
    Case {
        name: "without a token",
        status: 200,
        bounds: [(41_100, 25, 2900), (32_500, 19, 1800)],
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
