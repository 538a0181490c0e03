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
fn a_token_in_one_of_several_lines_of_cookies_does_not_go_on() {
    let token = token(json!({"groups": ["payments"]}));
    let cases = [
        (Profile::Envoy, ["theme=dark", "session=", "lang=en"], Some(vec!["theme=dark; lang=en"])),
        (Profile::Envoy, ["session=", "theme=dark", "lang=en"], Some(vec!["theme=dark; lang=en"])),
        // Kong's second lines cannot be changed.
        (Profile::Kong, ["theme=dark", "session=", "lang=en"], None),
        (Profile::Kong, ["session=", "theme=dark", "lang=en"], Some(vec!["", "theme=dark", "lang=en"])),
        (Profile::Kong, ["a=1; session=", "theme=dark", "lang=en"], Some(vec!["a=1", "theme=dark", "lang=en"])),
    ];
    for (profile, lines, left) in cases {
        let mut worker = start(&node(profile), &[("payments", config(json!({"credentials": {"cookie": "session"}})))]);
        let with_token = |line: &str| line.replace("session=", &format!("session={token}"));
        let request = RequestHead::get("/payments");
        let request = lines.iter().fold(request, |request, line| request.header("cookie", with_token(line)));
        let outcome = send(&mut worker, request);
        assert_eq!(outcome.status, if left.is_some() { 200 } else { 400 }, "{profile:?} {lines:?}");
        let cookies = outcome.upstream.map(|upstream| {
            let cookies = upstream.headers.into_iter().filter(|(name, _)| name == "cookie");
            cookies.map(|(_, value)| String::from_utf8(value).unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(cookies, left.map(|left| left.into_iter().map(str::to_owned).collect()), "{profile:?} {lines:?}");
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_request_is_refused_where_kong_cannot_list_its_headers() {
    let node = node(Profile::Kong);
    let mut worker = start(&node, &[("payments", config(json!({})))]);
    let request = get(&token(json!({"groups": ["payments"]}))).header("x_backstage-User", "user:default/root");
    send(&mut worker, request.clone());
    // With `host`.
    for (count, status) in [(10, 200), (95, 200), (96, 200), (97, 431), (98, 431), (150, 431)] {
        let request = (request.headers.len() + 1..count)
            .fold(request.clone(), |request, n| request.header(format!("x-{n}"), "v"));
        let outcome = send(&mut worker, request);
        let lists = outcome.report.host_calls.get("proxy_get_header_map_pairs").copied().unwrap_or(0);
        assert_eq!((outcome.status, lists), (status, u32::from(status == 200)), "{count} headers");
        let users = outcome.upstream.iter().flat_map(|upstream| &upstream.headers);
        let mut users = users.filter(|(name, _)| name.replace('_', "-").eq_ignore_ascii_case("x-backstage-user"));
        assert!(users.all(|(_, value)| value == b"user:default/ada"), "{count} headers");
        assert!(!worker.take_logs().iter().any(|line| format!("{line:?}").contains("truncated")), "{count} headers");
    }
    assert_eq!(
        count(
            &node,
            "decisions;entity=api:default/payments;owner=group:default/payments;group=none;decision=deny;reason=too_many_headers"
        ),
        3
    );
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
            (many, if profile == Profile::Kong { 431 } else { 200 }),
            (get(&good).header("baggage", b"\xff\xfe".to_vec()).header("x-request-id", b"\xff".to_vec()), 200),
            (get(&good).header("traceparent", b"\x80-\x80".to_vec()), 200),
            (RequestHead::get("/payments").header("authorization", b"Bearer \xff\xfe".to_vec()), 400),
            (RequestHead::get("/payments").header("authorization", "x".repeat(100_000)), 401),
            (RequestHead::get("/payments").header("authorization", format!("Bearer {}", "a".repeat(20_000))), 400),
            (RequestHead::get("/payments").header("authorization", ""), 401),
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
        let policy = json!({"rules": [{"allow": ["anyone"]}]});
        let open = config(json!({"policy": policy, "credentials": {"cors_preflight": "pass"}}));
        let mut worker = start(&node(profile), &[("payments", open)]);
        let preflight = RequestHead::new("OPTIONS", "/payments");
        let preflight =
            preflight.header("origin", "https://portal.example").header("access-control-request-method", "GET");
        for request in [RequestHead::get("/payments"), get(&token(json!({}))), preflight] {
            let request = forged.iter().fold(request, |request, name| request.header(*name, "user:default/root"));
            let upstream = send(&mut worker, request).upstream.unwrap();
            let left: Vec<_> = upstream.headers.iter().filter(|(_, value)| value == b"user:default/root").collect();
            assert!(left.is_empty(), "{profile:?}: {left:?}");
            assert_eq!(upstream.header("x-backstage-entity-ref"), Some("api:default/payments"), "{profile:?}");
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

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn an_answer_that_kong_buffers_for_another_plugin_does_not_reach_the_client() {
    for (mode, status) in [("enforce", 503), ("shadow", 200)] {
        let node = node(Profile::Kong);
        let policy = json!({"mode": mode, "rules": [{"allow": ["owner"]}]});
        let mut worker = start(&node, &[("payments", config(json!({"policy": policy})))]);
        let request = RequestHead { is_buffered: true, ..RequestHead::get("/payments") };
        let mut upstream = |_: &_| UpstreamReply {
            status: 200,
            headers: vec![("content-length".into(), b"6".to_vec())],
            body: b"secret".to_vec(),
        };
        let mut nobody = |_: &_| Err(DispatchFailure::Timeout);
        let outcome = drive(&mut worker, "payments", request, &mut nobody, &mut upstream).unwrap();
        assert_eq!((outcome.status, outcome.hung), (status, false), "{mode}");
        assert_eq!(outcome.text().contains("secret"), status == 200, "{mode}");
        assert!(outcome.logs.iter().any(|line| line.text.contains("filter_not_asked")), "{mode}: {:?}", outcome.logs);
    }
}
