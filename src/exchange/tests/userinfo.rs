//! Groups that are not in the token.

use super::*;
use crate::identity::TokenError;

pub(super) fn config_with_userinfo() -> Value {
    let mut config = config();
    let own = json!({
        "preset": "backstage", "issuer": "https://portal.example/api/auth", "upstream": "portal:7007",
        "typ": [], "jwks": config["issuers"][0]["jwks"]
    });
    config["issuers"] = json!([own]);
    config
}

pub(super) fn backstage_token(claims: Value) -> String {
    let mut all = json!({"iss": "https://portal.example/api/auth", "aud": "backstage", "sub": "user:default/ada"});
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    token(all)
}

fn reply(status: u16, body: &Value) -> Option<Reply> {
    Some(Reply { status, cache_control: None, body: body.to_string().into_bytes() })
}

pub(super) fn told(subject: &str, refs: Value) -> Option<Reply> {
    reply(200, &json!({"claims": {"sub": subject, "ent": refs}}))
}

#[test]
fn ownership_is_asked_for_once_a_token_with_the_callers_own() {
    let node = Node::new();
    let route = node.route(&config_with_userinfo());
    let token = backstage_token(json!({}));
    let request = get(Some(&token));
    let (waiting, effect) = node.send(&route, &request);
    let Effect::Dispatch(call) = effect else { panic!("does not ask") };
    assert_eq!((call.to.path.as_str(), call.to.upstream.as_str()), ("/api/auth/v1/userinfo", "portal:7007"));
    assert_eq!(call.authorization.as_deref(), Some(format!("Bearer {token}").as_str()));
    let refs = json!(["user:default/ada", "group:default/payments"]);
    let (_, effect) = waiting.answered(&node.cx(NOW), &request, told("user:default/ada", refs).as_ref());
    assert_eq!(set(&forwarded(effect), "x-backstage-user"), Some("user:default/ada"));
    forwarded(node.send(&route, &request).1);
}

#[test]
fn a_token_that_says_its_ownership_is_not_asked_about() {
    let node = Node::new();
    let route = node.route(&config_with_userinfo());
    forwarded(node.send(&route, &get(Some(&backstage_token(json!({"ent": ["group:default/payments"]}))))).1);
    assert_eq!(answered(node.send(&route, &get(Some(&backstage_token(json!({"ent": []}))))).1).0, 403);
}

#[test]
fn what_the_issuer_says_of_somebody_else_does_not_count() {
    let refs = json!(["group:default/payments"]);
    let replies = [
        (told("user:default/mallory", refs.clone()), 401, "refused_by_issuer"),
        (reply(200, &json!({"claims": {"ent": refs}})), 401, "refused_by_issuer"),
        (reply(401, &json!({})), 401, "refused_by_issuer"),
        (told("user:default/ada", json!([])), 403, "not_allowed"),
        (told("user:default/ada", json!(7)), 403, "groups_unknown"),
        (reply(200, &json!([{"claims": {"sub": "user:default/ada", "ent": refs}}])), 503, "groups_unavailable"),
        (told("user:default/ada", Value::Null), 503, "groups_unavailable"),
        (reply(500, &json!({})), 503, "groups_unavailable"),
        (reply(404, &json!({})), 503, "groups_unavailable"),
        (Some(Reply { status: 200, cache_control: None, body: b"<html>".to_vec() }), 503, "groups_unavailable"),
        (None, 503, "groups_unavailable"),
    ];
    for (reply, status, reason) in replies {
        let node = Node::new();
        let route = node.route(&config_with_userinfo());
        let request = get(Some(&backstage_token(json!({}))));
        let (waiting, _) = node.send(&route, &request);
        let (_, effect) = waiting.answered(&node.cx(NOW), &request, reply.as_ref());
        let Effect::Answer(answer) = effect else { panic!("{reply:?} passes") };
        let line: Value = serde_json::from_str(&answer.audit.unwrap().1).unwrap();
        assert_eq!((answer.status, line["reason"].as_str()), (status, Some(reason)), "{reply:?}");
    }
    assert_eq!(TokenError::RefusedByIssuer.name(), "refused_by_issuer");
}

#[test]
fn an_issuer_that_does_not_tell_is_left_alone_for_a_moment_and_then_asked_again() {
    let node = Node::new();
    let route = node.route(&config_with_userinfo());
    let request = get(Some(&backstage_token(json!({}))));
    let (waiting, _) = node.send(&route, &request);
    assert_eq!(answered(waiting.answered(&node.cx(NOW), &request, None).1).0, 503);
    assert_eq!(answered(node.send_at(&route, UnixMillis(NOW.0 + 9_000), &request).1).0, 503);
    let (_, effect) = node.send_at(&route, UnixMillis(NOW.0 + 10_000), &request);
    assert!(matches!(effect, Effect::Dispatch(_)));
}

#[test]
fn an_issuer_is_asked_by_so_many_requests_at_a_time() {
    let node = Node::new();
    let mut config = config_with_userinfo();
    config["policy"]["rules"] = json!([
        {"name": "health", "paths": ["/health"], "allow": ["authenticated"]}, {"name": "read", "allow": ["owner"]}
    ]);
    let route = node.route(&config);
    let ask = |name: &str, path: &str, now: UnixMillis| {
        let request = sent("GET", path, Some(&backstage_token(json!({"jti": name}))));
        node.send_at(&route, now, &request)
    };
    let mut waiting: Vec<_> = (0..16)
        .map(|number| match ask(&format!("t{number}"), "/", NOW) {
            (exchange, Effect::Dispatch(_)) => exchange,
            (_, effect) => panic!("{:?}", answered(effect)),
        })
        .collect();
    let Effect::Answer(answer) = ask("more", "/", NOW).1 else { panic!("one too many asks") };
    let line: Value = serde_json::from_str(&answer.audit.unwrap().1).unwrap();
    assert_eq!((answer.status, line["reason"].as_str()), (503, Some("groups_unavailable")));
    assert!(answer.headers.iter().any(|(name, _)| *name == "retry-after"));
    forwarded(ask("no groups needed", "/health", NOW).1);
    // One has its answer and another one's client leaves: there are two places, for tokens that had none as well.
    let request = sent("GET", "/", Some(&backstage_token(json!({"jti": "t0"}))));
    let answer = told("user:default/ada", json!(["group:default/payments"]));
    forwarded(waiting.remove(0).answered(&node.cx(NOW), &request, answer.as_ref()).1);
    waiting.remove(0).finished(&node.cx(NOW), None);
    let later = UnixMillis(NOW.0 + 1000);
    let asking: Vec<_> = ["more", "and more"].map(|name| ask(name, "/", later)).into();
    assert!(asking.iter().all(|(_, effect)| matches!(effect, Effect::Dispatch(_))));
    assert_eq!(answered(ask("too many", "/", later).1).0, 503);
}
