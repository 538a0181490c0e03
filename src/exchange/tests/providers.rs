//! Keys that a provider serves.

use super::*;
use std::time::Duration;

const ISSUER: &str = "https://idp.example";
const DOCUMENT: &str = "/.well-known/openid-configuration";

fn with(settings: Value) -> Value {
    let mut config = config();
    let issuer = config["issuers"][0].as_object_mut().unwrap();
    issuer.remove("jwks");
    issuer.extend(settings.as_object().unwrap().clone());
    config
}

pub(super) fn with_remote_keys() -> Value {
    with(json!({"jwks_uri": "https://idp.example/keys", "upstream": "idp.example:443"}))
}

pub(super) fn ok(body: impl AsRef<[u8]>) -> Reply {
    Reply { status: 200, cache_control: None, body: body.as_ref().to_vec() }
}

fn metadata(issuer: &str, jwks_uri: &str) -> Reply {
    ok(json!({"issuer": issuer, "jwks_uri": jwks_uri}).to_string())
}

fn call(effect: &Effect) -> &Call {
    match effect {
        Effect::Dispatch(call) => call,
        Effect::Answer(answer) => panic!("answered {}", answer.status),
        Effect::Forward(_) | Effect::Nothing => panic!("makes no call"),
    }
}

fn url(call: &Call) -> String {
    format!("{}://{}{} via {}", call.to.scheme, call.to.authority, call.to.path, call.to.upstream)
}

/// Lets a tick make its one call, to this path, and answers it.
fn refreshed(node: &Node, route: &Route, now: UnixMillis, path: &str, reply: Option<Reply>) {
    assert_eq!(node.tick(route, now).unwrap().to.path, path);
    node.answer(now, reply.as_ref());
}

#[test]
fn a_request_with_an_unknown_key_waits_for_one_fetch_and_is_then_answered() {
    let node = Node::new();
    let route = node.route(&with_remote_keys());
    let request = get(Some(&token(json!({"groups": ["payments"]}))));
    let (waiting, effect) = node.send(&route, &request);
    assert_eq!(url(call(&effect)), "https://idp.example/keys via idp.example:443");
    let (_, effect) = waiting.answered(&node.cx(NOW), &request, Some(&ok(testing::jwks())));
    forwarded(effect);
    forwarded(node.send(&route, &request).1);
}

#[test]
fn an_issuer_is_enough_to_find_its_keys() {
    let node = Node::new();
    let route = node.route(&with(json!({})));
    let request = get(Some(&token(json!({"groups": ["payments"]}))));
    let (waiting, effect) = node.send(&route, &request);
    let document = "https://idp.example/.well-known/openid-configuration via idp.example:443";
    assert_eq!(url(call(&effect)), document);
    let found = metadata(ISSUER, "https://idp.example/oauth/keys");
    let (waiting, effect) = waiting.answered(&node.cx(NOW), &request, Some(&found));
    assert_eq!(url(call(&effect)), "https://idp.example/oauth/keys via idp.example:443");
    let (_, effect) = waiting.answered(&node.cx(NOW), &request, Some(&ok(testing::jwks())));
    forwarded(effect);

    let soon = UnixMillis(NOW.0 + 280_000);
    refreshed(&node, &route, soon, "/oauth/keys", Some(ok(testing::jwks())));
    let late = UnixMillis(NOW.0 + 3_700_000);
    assert_eq!(url(&node.tick(&route, late).unwrap()), document, "the metadata is believed for an hour");
}

#[test]
fn metadata_that_is_not_the_issuers_lets_nobody_pass() {
    let documents = [
        metadata("https://evil.example", "https://idp.example/keys"),
        metadata(ISSUER, "https://evil.example/keys"),
        ok("<html>"),
        Reply { status: 500, ..metadata(ISSUER, "https://idp.example/keys") },
    ];
    for document in documents {
        let node = Node::new();
        let route = node.route(&with(json!({})));
        let request = get(Some(&token(json!({"groups": ["payments"]}))));
        let (waiting, _) = node.send(&route, &request);
        let (_, effect) = waiting.answered(&node.cx(NOW), &request, Some(&document));
        assert_eq!(answered(effect).0, 503, "{document:?}");
    }
}

#[test]
fn keys_stay_reachable_while_the_metadata_is_not() {
    let node = Node::new();
    let route = node.route(&with(json!({})));
    refreshed(&node, &route, NOW, DOCUMENT, Some(metadata(ISSUER, "https://idp.example/k")));
    refreshed(&node, &route, NOW, "/k", Some(ok(testing::other_jwks())));
    let later = UnixMillis(NOW.0 + 3_700_000);
    refreshed(&node, &route, later, DOCUMENT, None);
    refreshed(&node, &route, later, "/k", Some(ok(testing::jwks())));
    let request =
        get(Some(&token(json!({"groups": ["payments"], "iat": later.seconds(), "exp": later.seconds() + 60}))));
    forwarded(node.send_at(&route, later, &request).1);
}

#[test]
fn no_request_passes_because_a_fetch_failed() {
    let replies =
        [None, Some(ok("<html>")), Some(ok(r#"{"keys":[]}"#)), Some(Reply { status: 304, ..ok(testing::jwks()) })];
    for reply in replies {
        let node = Node::new();
        let route = node.route(&with_remote_keys());
        let request = get(Some(&token(json!({"groups": ["payments"]}))));
        let (waiting, _) = node.send(&route, &request);
        let (settled, effect) = waiting.answered(&node.cx(NOW), &request, reply.as_ref());
        assert_eq!(answered(effect).0, 503);
        let (_, effect) = settled.answered(&node.cx(NOW), &request, Some(&ok(testing::jwks())));
        assert!(matches!(effect, Effect::Nothing), "what is settled stays settled");
    }
}

#[test]
fn keys_that_are_too_old_have_their_own_reason() {
    let node = Node::new();
    let mut config = with_remote_keys();
    config["issuers"][0]["fetch"] = json!({"max_age_seconds": 10, "stale_seconds": 5});
    let route = node.route(&config);
    refreshed(&node, &route, NOW, "/keys", Some(ok(testing::jwks())));
    let request = get(Some(&token(json!({"groups": ["payments"]}))));
    forwarded(node.send(&route, &request).1);
    let late = UnixMillis(NOW.0 + 15_001);
    let (waiting, effect) = node.send_at(&route, late, &request);
    call(&effect);
    let (_, effect) = waiting.answered(&node.cx(late), &request, None);
    let Effect::Answer(answer) = effect else { panic!("not answered") };
    let line: Value = serde_json::from_str(&answer.audit.unwrap().1).unwrap();
    assert_eq!((answer.status, line["reason"].as_str()), (503, Some("keys_stale")));
}

#[test]
fn a_remembered_token_is_dropped_when_its_key_goes_away() {
    let node = Node::new();
    let route = node.route(&with_remote_keys());
    let request = get(Some(&token(json!({"groups": ["payments"]}))));
    let (waiting, _) = node.send(&route, &request);
    forwarded(waiting.answered(&node.cx(NOW), &request, Some(&ok(testing::jwks()))).1);

    let later = UnixMillis(NOW.0 + 280_000);
    refreshed(&node, &route, later, "/keys", Some(ok(testing::other_jwks())));
    let (waiting, effect) = node.send_at(&route, later, &request);
    call(&effect);
    let (_, effect) = waiting.answered(&node.cx(later), &request, Some(&ok(testing::other_jwks())));
    assert_eq!(answered(effect).0, 401);
    assert_eq!(
        answered(node.send_at(&route, later, &request).1).0,
        401,
        "within the cool-down it is not asked for again"
    );
}

#[test]
fn a_key_that_another_worker_has_fetched_a_moment_ago_is_found() {
    let node = Node::new();
    let route = node.route(&with_remote_keys());
    refreshed(&node, &route, NOW, "/keys", Some(ok(testing::other_jwks())));
    let later = UnixMillis(NOW.0 + 280_000);
    assert_eq!(node.tick(&route, UnixMillis(NOW.0 + 230_000)), None, "this worker has just looked");
    let other = Node { store: node.store, ..Node::new() };
    let others = other.route(&with_remote_keys());
    refreshed(&other, &others, later, "/keys", Some(ok(testing::jwks())));
    let node = Node { store: other.store, ..node };
    let request = get(Some(&token(json!({"groups": ["payments"]}))));
    forwarded(node.send_at(&route, UnixMillis(later.0 + 10), &request).1);
}

#[test]
fn one_tick_looks_after_the_keys_of_all_routes_with_one_call_at_a_time() {
    let node = Node::new();
    let routes: Vec<_> = (0..20).map(|_| node.route(&with_remote_keys())).collect();
    let other = node.route(&with(json!({"issuer": "https://other.example"})));
    let fetch = |now: UnixMillis| {
        let mut urls = Vec::new();
        while let Some(call) = node.tick(&routes[0], now) {
            assert_eq!(node.tick(&routes[1], now), None, "the call waits for its answer");
            urls.push(call.to.authority);
            node.answer(now, None);
        }
        urls
    };
    assert_eq!(fetch(NOW), ["idp.example", "other.example"]);
    drop(other);
    assert_eq!(fetch(UnixMillis(NOW.0 + 20_000)), ["idp.example"], "a route that is gone needs no keys");
}

#[test]
fn a_tick_does_not_ask_whom_a_request_waits_for_unless_by_an_address() {
    for (upstream, is_asked) in [("idp.example:443", false), ("127.0.0.1:443", true)] {
        let node = Node::new();
        let route = node.route(&with(json!({"upstream": upstream, "jwks_uri": "https://idp.example/keys"})));
        let asking = [node.background.asking(upstream), node.background.asking(upstream)];
        assert_eq!(node.tick(&route, NOW).is_some(), is_asked, "{upstream}");
        if !is_asked {
            let [first, second] = asking;
            drop(first);
            assert_eq!(node.tick(&route, NOW), None, "another request waits");
            drop(second);
            assert!(node.tick(&route, NOW).is_some(), "nothing is lost by waiting");
        }
    }
}

#[test]
fn a_provider_that_never_answers_keeps_others_waiting_for_a_minute_and_is_not_called_again() {
    let node = Node::new();
    let routes = [node.route(&with_remote_keys()), node.route(&with(json!({"issuer": "https://other.example"})))];
    assert_eq!(node.tick(&routes[0], NOW).unwrap().to.authority, "idp.example");
    let in_a_minute = NOW.after(Duration::from_secs(60));
    assert_eq!(node.tick(&routes[0], in_a_minute), None);
    let calls = |from: u64, to: u64| {
        let mut called = Vec::new();
        for second in from..to {
            let now = NOW.after(Duration::from_secs(second));
            while let Some(call) = node.tick_as(&routes[0], now, 2) {
                called.push(call.to.authority);
                background_answered(&node.background, &node.cx(now), 2, None);
            }
        }
        called.dedup();
        called
    };
    assert_eq!(calls(61, 200), ["other.example"]);
    node.answer(NOW.after(Duration::from_secs(200)), None);
    assert!(calls(200, 300).contains(&"idp.example".to_owned()), "once the host has ended its call");
}
