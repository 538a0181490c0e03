//! What a request costs: counts, which do not depend on the machine, held near today's figures.

use super::support::{config, get, node, send, start, token};
use serde_json::json;
use test_harness::{Profile, Report};

/// Fuel and host calls of a hot request may grow by a tenth before somebody has to look.
const SLACK: f64 = 1.1;

struct Bound {
    profile: Profile,
    fuel: u64,
    host_calls: u32,
}

const HOT: [Bound; 2] = [
    Bound { profile: Profile::Kong, fuel: 248_000, host_calls: 84 },
    Bound { profile: Profile::Envoy, fuel: 246_000, host_calls: 27 },
];

fn calls(report: &Report) -> u32 {
    report.host_calls.values().sum()
}

fn print(what: &str, profile: Profile, report: &Report) {
    println!("{what} on {profile:?}: {} fuel, {} host calls {:?}", report.fuel_used, calls(report), report.host_calls);
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_hot_request_stays_near_todays_cost_and_dispatches_nothing() {
    let quotas =
        json!({"quotas": {"policies": [{"name": "per-group", "per": "group", "windows": ["600/1m", "20000/1d"]}]}});
    for bound in HOT {
        let node = node(bound.profile);
        let mut worker = start(&node, &[("payments", config(quotas.clone()))]);
        let request = get(&token(json!({"groups": ["payments"]})));
        print("cold", bound.profile, &send(&mut worker, request.clone()).report);
        send(&mut worker, request.clone());
        let hot = send(&mut worker, request);
        print("hot", bound.profile, &hot.report);
        assert_eq!((hot.status, hot.dispatches.len()), (200, 0));
        let fuel_bound = bound.fuel as f64 * SLACK;
        assert!((hot.report.fuel_used as f64) < fuel_bound, "{} fuel, bound {fuel_bound}", hot.report.fuel_used);
        assert!(calls(&hot.report) <= bound.host_calls, "{} host calls", calls(&hot.report));
    }
}
