//! What the filter tells: audit lines and metrics.

use crate::support::{NOW_MS, PROFILES, config, count, get, module, send, start, start_of, token};
use serde_json::{Value, json};
use test_harness::{Clock, Metric, Node, Outcome, Profile, RequestHead, UpstreamReply, UpstreamRequest, Zone, drive};

fn lines(outcome: &Outcome) -> Vec<Value> {
    let audit = outcome.logs.iter().filter(|line| line.text.contains("\"audit\""));
    audit.map(|line| serde_json::from_str(&line.text[line.text.find('{').unwrap()..]).unwrap()).collect()
}

fn built(profile: Profile) -> test_harness::NodeBuilder {
    Node::builder(profile)
        .zones([Zone::named("backstage_kong_keys", 1 << 20), Zone::named("backstage_kong_quota", 1 << 20)])
        .clusters(["idp.example:443"])
        .clock(Clock::Manual(NOW_MS))
        .filter_name("backstage_kong")
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn audit_lines_have_the_client_the_gateway_s_request_id_and_on_demand_the_answer() {
    let id = "0f".repeat(16);
    for profile in PROFILES {
        let mut node = built(profile);
        if profile == Profile::Kong {
            node = node.property("ngx.kong_request_id", id.as_str());
        }
        let routes = [("payments", config(json!({"audit": {"answers": true}})))];
        let mut worker = start(&node.build(), &routes);
        let request = get(&token(json!({"groups": ["payments"]}))).header("x-request-id", "sent");
        let expected = if profile == Profile::Kong { id.as_str() } else { "sent" };
        // The first waits for the key set, the second does not, the third is refused.
        for (request, status) in
            [(request.clone(), 200), (request, 200), (get("a.b.c").header("x-request-id", "sent"), 401)]
        {
            let outcome = send(&mut worker, request);
            let told = lines(&outcome);
            assert_eq!((outcome.status, told.len()), (status, 2), "{profile:?}: {told:?}");
            assert!(told[0]["client_address"].as_str().is_some_and(|address| !address.is_empty()), "{told:?}");
            assert_eq!(told[0].get("status"), (status == 401).then_some(&json!(401)));
            assert_eq!(
                (told[0]["request_id"].as_str(), told[1]["request_id"].as_str()),
                (Some(expected), Some(expected))
            );
            assert_eq!(told[1]["answer"], json!({"status": status, "duration_ms": 0}), "{profile:?}");
        }
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn more_series_than_kong_has_memory_for_with_64_workers_do_not_trap() {
    const ROUTES: usize = 150;
    let node = built(Profile::Kong).workers(64).build();
    let long = "x".repeat(40);
    for worker in 0..3 {
        let route = |n: usize| {
            let open = json!({"entity": format!("api:default/{long}-{worker}-{n}"), "policy": {"rules": [{"allow": ["anyone"]}]}});
            (format!("route-{n}"), config(open))
        };
        let routes: Vec<_> = (0..ROUTES).map(route).collect();
        let routes: Vec<_> = routes.iter().map(|(name, config)| (name.as_str(), config.clone())).collect();
        let mut worker = start_of(&module(), &node, &routes);
        let mut upstream = |_: &UpstreamRequest| UpstreamReply { status: 200, ..UpstreamReply::default() };
        for (name, _) in &routes {
            let outcome = drive(&mut worker, name, RequestHead::get("/"), &mut |_| panic!("no call"), &mut upstream);
            assert_eq!(outcome.unwrap().status, 200, "{name}");
        }
    }
    let counters = node.metrics().values().filter(|metric| matches!(metric, Metric::Counter(_))).count();
    assert!((1_500..1_600).contains(&counters), "{counters}");
    assert_eq!(count(&node, "decisions"), 3 * ROUTES as u64, "each is counted, told apart or not");
}
