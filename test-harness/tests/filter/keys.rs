//! Key sets: fetched, shared, refreshed, and never a reason to let anybody pass.

use super::support::{
    KEYS, NOW_MS, OTHER_KEYS, PROFILES, config, count, get, key_set, node, send, send_with, start, token, token_by,
};
use serde_json::json;
use test_harness::lab::peers::KeyKind;
use test_harness::{DispatchFailure, Reply, Step};

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_cold_request_fetches_once_and_every_worker_of_the_node_has_the_keys() {
    for profile in PROFILES {
        let node = node(profile);
        let mut first = start(&node, &[("payments", config(json!({})))]);
        let mut second = start(&node, &[("payments", config(json!({})))]);
        let request = || get(&token(json!({"groups": ["payments"]})));
        let cold = send(&mut first, request());
        assert_eq!((cold.status, cold.dispatches.len()), (200, 1), "{profile:?}: {:?}", cold.logs);
        let call = &cold.dispatches[0];
        assert_eq!(
            (call.target.as_str(), call.path.as_str(), call.authority.as_str()),
            ("idp.example:443", "/keys", "idp.example")
        );
        assert_eq!(call.scheme, "https");
        for worker in [&mut first, &mut second] {
            let warm = send(worker, request());
            assert_eq!((warm.status, warm.dispatches.len()), (200, 0), "{profile:?}");
        }
        assert_eq!(count(&node, "key_fetches"), 1);
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn every_key_type_verifies_in_the_compiled_filter() {
    for profile in PROFILES {
        let mut worker = start(&node(profile), &[("payments", config(json!({})))]);
        for key in [KeyKind::Rs256, KeyKind::Es256, KeyKind::EdDsa] {
            let good = send(&mut worker, get(&token_by(&KEYS, key, json!({"groups": ["payments"]}))));
            assert_eq!(good.status, 200, "{key:?}");
        }
    }
}

fn reply(status: u16, body: &str) -> Result<Reply, DispatchFailure> {
    Ok(Reply { status, ..key_set(&KEYS) }).map(|reply| Reply { body: body.as_bytes().to_vec(), ..reply })
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn no_request_passes_because_a_fetch_failed() {
    let failures = [
        Err(DispatchFailure::Timeout),
        Err(DispatchFailure::BrokenConnection),
        Err(DispatchFailure::TlsHandshake),
        Err(DispatchFailure::Resolver),
        Err(DispatchFailure::Reader),
        reply(500, ""),
        reply(404, "{\"keys\":[]}"),
        reply(200, ""),
        reply(200, "<html></html>"),
        reply(200, "{\"keys\":[]}"),
        reply(200, &" ".repeat(300 * 1024)),
    ];
    for profile in PROFILES {
        for failure in &failures {
            let mut worker = start(&node(profile), &[("payments", config(json!({})))]);
            let request = get(&token(json!({"groups": ["payments"]})));
            let outcome = send_with(&mut worker, request, &mut |_| failure.clone()).unwrap();
            assert_eq!(outcome.status, 503, "{profile:?} {failure:?}");
            assert!(outcome.upstream.is_none() && outcome.header("retry-after").is_some());
        }
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn an_upstream_the_host_does_not_know_is_a_provider_that_is_down() {
    let node = test_harness::Node::builder(test_harness::Profile::Envoy)
        .clusters(["other:443"])
        .clock(test_harness::Clock::Manual(NOW_MS))
        .build();
    let mut worker = start(&node, &[("payments", config(json!({})))]);
    assert_eq!(send(&mut worker, get(&token(json!({})))).status, 503);
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_rotated_key_is_found_by_one_fetch_and_the_old_one_no_longer_counts() {
    for profile in PROFILES {
        let node = node(profile);
        let mut worker = start(&node, &[("payments", config(json!({})))]);
        let old = token(json!({"groups": ["payments"]}));
        let new = token_by(&OTHER_KEYS, KeyKind::Es256, json!({"groups": ["payments"]}));
        assert_eq!(send(&mut worker, get(&old)).status, 200);
        node.advance(15_000);
        let rotated = send_with(&mut worker, get(&new), &mut |_| Ok(key_set(&OTHER_KEYS))).unwrap();
        assert_eq!((rotated.status, rotated.dispatches.len()), (200, 1), "{profile:?}");
        let old = send_with(&mut worker, get(&old), &mut |_| Ok(key_set(&OTHER_KEYS))).unwrap();
        assert_eq!(old.status, 401, "{profile:?}: a remembered token goes with its key");
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_flood_of_unknown_keys_fetches_once_a_cooldown() {
    for profile in PROFILES {
        let node = node(profile);
        let mut worker = start(&node, &[("payments", config(json!({})))]);
        let good = token(json!({"groups": ["payments"]}));
        send(&mut worker, get(&good));
        let forged = token_by(&OTHER_KEYS, KeyKind::Es256, json!({"groups": ["payments"]}));
        let mut fetches = 0;
        for _ in 0..400 {
            node.advance(100);
            fetches += send(&mut worker, get(&forged)).dispatches.len();
            assert_eq!(send(&mut worker, get(&good)).status, 200);
        }
        assert!((3..=4).contains(&fetches), "{profile:?}: {fetches} in 40 s with a cool-down of 10 s");
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn ticks_refresh_ahead_of_age_once_a_node_however_many_routes_and_workers() {
    for profile in PROFILES {
        let node = node(profile);
        let names: Vec<String> = (0..50).map(|n| format!("route-{n}")).chain(["payments".to_owned()]).collect();
        let routes: Vec<_> = names.iter().map(|name| (name.as_str(), config(json!({})))).collect();
        let mut workers = [start(&node, &routes), start(&node, &routes)];
        send(&mut workers[0], get(&token(json!({"groups": ["payments"]}))));
        let mut fetches = 0;
        for _ in 0..60 {
            node.advance(5_000);
            for worker in &mut workers {
                let mut calls = worker.run_due_ticks(node.now_ms()).unwrap();
                calls.extend(worker.take_dispatches());
                fetches += calls.len();
                for call in calls {
                    worker.dispatch_reply(call.token, Ok(key_set(&KEYS))).unwrap();
                }
            }
        }
        assert_eq!(fetches, 1, "{profile:?}: 300 s, one refresh at four fifths of max_age");
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn the_last_good_keys_serve_while_the_provider_is_down() {
    for profile in PROFILES {
        let node = node(profile);
        let mut worker = start(&node, &[("payments", config(json!({})))]);
        send(&mut worker, get(&token(json!({"groups": ["payments"]}))));
        node.advance(290_000);
        for call in worker.run_due_ticks(node.now_ms()).unwrap() {
            worker.dispatch_reply(call.token, Err(DispatchFailure::Timeout)).unwrap();
        }
        let unseen = token(json!({"groups": ["payments"], "jti": "unseen"}));
        let outcome = send_with(&mut worker, get(&unseen), &mut |_| Err(DispatchFailure::Timeout)).unwrap();
        assert_eq!(outcome.status, 200, "{profile:?}");
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_client_that_leaves_while_keys_are_fetched_leaves_the_worker_whole() {
    for profile in PROFILES {
        let node = node(profile);
        let mut worker = start(&node, &[("payments", config(json!({})))]);
        for _ in 0..20 {
            let (id, step) = worker.begin("payments", get(&token(json!({"groups": ["payments"]})))).unwrap();
            assert!(matches!(step, Step::Dispatch(_)), "{profile:?}: {step:?}");
            worker.abort(id).unwrap();
        }
        node.advance(4_000);
        assert_eq!(send(&mut worker, get(&token(json!({"groups": ["payments"]})))).status, 200, "{profile:?}");
        assert_eq!(worker.died_of(), None);
    }
}
