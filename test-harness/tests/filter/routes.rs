//! Configurations and requests that break filters.

use super::support::{PROFILES, config, count, get, node, send, send_with, start, token};
use serde_json::{Value, json};
use test_harness::{DispatchFailure, Profile, RequestHead, UpstreamReply, drive};

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_bad_configuration_takes_its_own_route_down_says_why_and_comes_back_on_reload() {
    for profile in PROFILES {
        let node = node(profile);
        let good = || ("payments", config(json!({})));
        let bad = ("bad", config(json!({"polices": {}})));
        let mut worker = start(&node, &[good(), bad]);
        let said = worker.take_logs();
        assert!(
            said.iter().any(|line| line.text.contains("configuration error at polices: unknown field `polices`")),
            "{said:?}"
        );
        let mut nobody = |_: &_| Err(DispatchFailure::Timeout);
        let mut upstream = |_: &_| UpstreamReply { status: 200, ..UpstreamReply::default() };
        let request = get(&token(json!({"groups": ["payments"]})));
        let refused = drive(&mut worker, "bad", request.clone(), &mut nobody, &mut upstream).unwrap();
        assert_eq!((refused.status, refused.upstream.is_none()), (503, true), "{profile:?}");
        assert_eq!(send(&mut worker, request.clone()).status, 200, "{profile:?}: the other route is not touched");
        assert_eq!(count(&node, "configuration_errors"), 1);
        assert!(count(&node, "decisions;entity=none;owner=none;group=none;decision=deny;reason=configuration") >= 1);

        let mended = ("bad".to_owned(), config(json!({})).to_string().into_bytes());
        worker.reload(&[mended]).unwrap();
        let served = drive(&mut worker, "bad", request, &mut nobody, &mut upstream).unwrap();
        assert_eq!(served.status, 200, "{profile:?}");
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn cookies_of_several_lines_go_on_as_one_without_the_token() {
    let token = token(json!({"groups": ["payments"]}));
    for profile in PROFILES {
        let node = node(profile);
        let mut worker = start(&node, &[("payments", config(json!({"credentials": {"cookie": "session"}})))]);
        for lines in [["theme=dark", "session=", "lang=en"], ["session=", "theme=dark", "lang=en"]] {
            let with_token = |line: &str| if line == "session=" { format!("{line}{token}") } else { line.to_owned() };
            let request = RequestHead::get("/payments");
            let request = lines.iter().fold(request, |request, line| request.header("cookie", with_token(line)));
            let upstream = send(&mut worker, request).upstream.unwrap();
            let cookies: Vec<_> = upstream.headers.iter().filter(|(name, _)| name == "cookie").collect();
            assert_eq!(cookies, [&("cookie".to_owned(), b"theme=dark; lang=en".to_vec())], "{profile:?} {lines:?}");
        }
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn kong_is_asked_for_a_list_of_headers_only_where_it_can_give_one() {
    let node = node(Profile::Kong);
    let mut worker = start(&node, &[("payments", config(json!({})))]);
    let request = get(&token(json!({"groups": ["payments"]}))).header("x_backstage-User", "user:default/root");
    send(&mut worker, request.clone());
    // With `host`.
    for count in [10, 95, 96, 97, 98, 150] {
        let request = (request.headers.len() + 1..count)
            .fold(request.clone(), |request, n| request.header(format!("x-{n}"), "v"));
        let outcome = send(&mut worker, request);
        let called = |name: &str| outcome.report.host_calls.get(name).copied().unwrap_or(0);
        let lists = u32::from(count <= 96);
        assert_eq!((outcome.status, called("proxy_get_header_map_pairs")), (200, lists), "{count} headers");
        assert_eq!(called("proxy_remove_header_map_value") < 10, lists == 1, "{count} headers");
        let upstream = outcome.upstream.unwrap();
        let users =
            upstream.headers.iter().filter(|(name, _)| name.replace('_', "-").eq_ignore_ascii_case("x-backstage-user"));
        assert_eq!(
            users.map(|(_, value)| value.as_slice()).collect::<Vec<_>>(),
            [b"user:default/ada"],
            "{count} headers"
        );
        assert!(!worker.take_logs().iter().any(|line| format!("{line:?}").contains("truncated")), "{count} headers");
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn hostile_headers_do_not_trap() {
    for profile in PROFILES {
        let node = node(profile);
        let mut worker = start(&node, &[("payments", config(json!({})))]);
        let good = token(json!({"groups": ["payments"]}));
        let many = (0..150).fold(get(&good), |request, n| request.header(format!("x-{n}"), "v"));
        let hostile = [
            (many, 200),
            (get(&good).header("baggage", b"\xff\xfe".to_vec()).header("x-request-id", b"\xff".to_vec()), 200),
            (get(&good).header("traceparent", b"\x80-\x80".to_vec()), 200),
            (RequestHead::get("/payments").header("authorization", b"Bearer \xff\xfe".to_vec()), 400),
            (RequestHead::get("/payments").header("authorization", "x".repeat(100_000)), 400),
            (RequestHead::get("/payments").header("authorization", format!("Bearer {}", "a".repeat(20_000))), 400),
            (RequestHead::get("/payments").header("authorization", ""), 400),
            (RequestHead::new("G\u{e9}T", "/payments"), 401),
            (RequestHead::get(""), 401),
        ];
        for (request, status) in hostile {
            let outcome =
                send_with(&mut worker, request.clone(), &mut |_| Ok(super::support::key_set(&super::support::KEYS)))
                    .unwrap();
            assert_eq!(outcome.status, status, "{profile:?} {:?}", request.headers.first());
        }
        assert_eq!(worker.died_of(), None);
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn forged_tags_do_not_reach_the_upstream_in_any_spelling_with_or_without_a_token() {
    let forged = [
        "x-backstage-user",
        "X_Backstage_User",
        "x-backstage_user",
        "X-BACKSTAGE-ENTITY_REF",
        "x_backstage-agent",
        "x-consumer-id",
        "X_Consumer_Username",
    ];
    for profile in PROFILES {
        let open = config(json!({"policy": {"rules": [{"allow": ["anyone"]}]}}));
        let mut worker = start(&node(profile), &[("payments", open)]);
        for request in [RequestHead::get("/payments"), get(&token(json!({})))] {
            let request = forged.iter().fold(request, |request, name| request.header(*name, "user:default/root"));
            let upstream = send(&mut worker, request).upstream.unwrap();
            let left: Vec<_> = upstream.headers.iter().filter(|(_, value)| value == b"user:default/root").collect();
            assert!(left.is_empty(), "{profile:?}: {left:?}");
            assert_eq!(upstream.header("x-backstage-entity-ref"), Some("api:default/payments"));
        }
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn every_denial_is_told_in_one_short_line_without_the_token() {
    for profile in PROFILES {
        let sampled_out = config(json!({"audit": {"sample_allows": 0.0, "log_level": "warn"}}));
        let mut worker = start(&node(profile), &[("payments", sampled_out)]);
        let long = token(
            json!({"groups": (0..200).map(|n| format!("group-{n}")).collect::<Vec<_>>(), "sub": "ü".repeat(2000)}),
        );
        let route = if profile == Profile::Kong { "kong.route_name" } else { "xds.route_name" };
        let outcome = send(&mut worker, get(&long).header("x-request-id", "r-1").property(route, "pay"));
        let lines: Vec<_> = outcome.logs.iter().filter(|line| line.text.contains("\"audit\"")).collect();
        assert_eq!((outcome.status, lines.len()), (403, 1), "{profile:?}");
        let line = &lines[0].text;
        let record: Value = serde_json::from_str(line.get(line.find('{').unwrap()..).unwrap()).unwrap();
        assert_eq!((record["reason"].as_str(), record["request_id"].as_str()), (Some("not_allowed"), Some("r-1")));
        assert_eq!(record["what"]["route"], "pay", "{profile:?}");
        assert!(line.len() < 2000 && !line.contains(&long[..40]));
        let allowed = send(&mut worker, get(&token(json!({"groups": ["payments"]}))));
        assert!(allowed.logs.iter().all(|line| !line.text.contains("\"audit\"")), "{profile:?}");
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_gateway_error_and_a_lost_instance_leave_the_worker_serving() {
    let node = node(Profile::Kong);
    let mut worker = start(&node, &[("payments", config(json!({})))]);
    let request = || get(&token(json!({"groups": ["payments"]})));
    assert_eq!(send(&mut worker, request()).status, 200);
    let (id, _) = worker.begin("payments", request()).unwrap();
    worker.gateway_error(id, 502).unwrap();
    worker.lose_instance().unwrap();
    let again = send(&mut worker, request());
    assert_eq!((again.status, again.dispatches.len()), (200, 0), "keys are found again in shared data");
}
