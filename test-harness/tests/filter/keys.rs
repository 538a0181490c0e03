//! Key sets: fetched, shared, refreshed, and never a reason to let anybody pass.

use super::support::{
    ISSUER, KEYS, NOW_MS, OTHER_KEYS, PROFILES, config, count, get, key_set, node, send, send_with, start, token,
    token_by,
};
use serde_json::json;
use test_harness::lab::peers::KeyKind;
use test_harness::{Dispatch, DispatchFailure, Reply, Step};

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
fn an_issuer_and_an_upstream_are_enough_to_find_the_keys() {
    let discovered = json!({"issuers": [{"issuer": ISSUER, "audiences": ["payments"], "upstream": "idp.example:443"}]});
    let metadata = json!({"issuer": ISSUER, "jwks_uri": format!("{ISSUER}/oauth/v1/keys")}).to_string();
    for profile in PROFILES {
        let mut worker = start(&node(profile), &[("payments", config(discovered.clone()))]);
        let mut provider = |call: &Dispatch| {
            let is_metadata = call.path == "/.well-known/openid-configuration";
            if is_metadata { reply(200, &metadata) } else { Ok(key_set(&KEYS)) }
        };
        let request = get(&token(json!({"groups": ["payments"]})));
        let cold = send_with(&mut worker, request.clone(), &mut provider).unwrap();
        let paths: Vec<_> = cold.dispatches.iter().map(|call| call.path.as_str()).collect();
        assert_eq!(
            (cold.status, paths),
            (200, vec!["/.well-known/openid-configuration", "/oauth/v1/keys"]),
            "{profile:?}"
        );
        assert_eq!(send_with(&mut worker, request, &mut provider).unwrap().dispatches.len(), 0);
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn an_answer_that_is_cut_lets_nobody_pass_and_loses_no_instance() {
    for profile in PROFILES {
        let node = node(profile);
        let mut worker = start(&node, &[("payments", config(json!({})))]);
        let cut = || Ok(Reply { is_cut: true, ..key_set(&KEYS) });
        let request = get(&token(json!({"groups": ["payments"]}))).header("x-backstage-user", "user:default/root");
        let outcome = send_with(&mut worker, request.clone(), &mut |_| cut()).unwrap();
        assert_eq!((outcome.status, outcome.dispatches.len()), (503, 1), "{profile:?}: {:?}", outcome.logs);
        assert!(outcome.upstream.is_none(), "{profile:?}");
        // The lease was given back, and the worker still counts the time until the next fetch.
        node.advance(30_000);
        let outcome = send(&mut worker, request);
        assert_eq!((outcome.status, outcome.dispatches.len()), (200, 1), "{profile:?}: {:?}", outcome.logs);
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn metadata_that_fails_or_is_another_issuers_lets_nobody_pass() {
    let discovered = json!({"issuers": [{"issuer": ISSUER, "audiences": ["payments"], "upstream": "idp.example:443"}]});
    let other = json!({"issuer": "https://evil.example", "jwks_uri": format!("{ISSUER}/keys")}).to_string();
    let elsewhere = json!({"issuer": ISSUER, "jwks_uri": "https://evil.example/keys"}).to_string();
    let failures = [
        Err(DispatchFailure::Timeout),
        reply(500, ""),
        reply(200, "<html>"),
        reply(200, &other),
        reply(200, &elsewhere),
    ];
    for profile in PROFILES {
        for failure in &failures {
            let mut worker = start(&node(profile), &[("payments", config(discovered.clone()))]);
            let request = get(&token(json!({"groups": ["payments"]})));
            let outcome = send_with(&mut worker, request, &mut |_| failure.clone()).unwrap();
            assert_eq!((outcome.status, outcome.dispatches.len()), (503, 1), "{profile:?} {failure:?}");
            assert!(outcome.upstream.is_none() && outcome.header("retry-after").is_some());
        }
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
