//! Secrets and keys that age.

use super::*;

/// Ended an hour ago, due since yesterday, and fine.
fn config_with_secrets(secrets: Value) -> Value {
    let mut config = config();
    let issuer = config["issuers"][0].as_object_mut().unwrap();
    issuer.remove("jwks");
    issuer.insert("secrets".into(), secrets);
    config
}

fn hmac_token(claims: Value) -> String {
    let mut all = json!({"iss": "https://idp.example", "aud": "payments", "sub": "ada", "exp": NOW.seconds() + 7200, "groups": ["payments"]});
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    testing::token("HS256", &all)
}

#[test]
fn of_several_secrets_any_that_has_not_ended_counts() {
    let other = "another-secret-that-is-long-enough-for-hs256";
    let cases = [
        (json!([{"secret": other}, {"secret": testing::SECRET}]), 200),
        (json!([{"secret": testing::SECRET, "not_after": "2025-06-15T15:06:41Z"}, {"secret": other}]), 200),
        (json!([{"secret": testing::SECRET, "not_after": "2025-06-15T15:06:40Z"}, {"secret": other}]), 401),
        (json!([{"secret": testing::SECRET, "not_after": "2025-06-15T15:06:40Z"}]), 401),
        (json!([{"secret": testing::SECRET, "rotate_by": "2025-01-01T00:00:00+02:00"}]), 200),
        (json!([{"secret": testing::SECRET, "kid": "hs256"}, {"secret": other, "kid": "next"}]), 200),
        (json!([{"secret": testing::SECRET, "kid": "another"}]), 401),
    ];
    for (secrets, status) in cases {
        let node = Node::new();
        let route = node.route(&config_with_secrets(secrets.clone()));
        match node.send(&route, &get(Some(&hmac_token(json!({}))))).1 {
            Effect::Forward(_) => assert_eq!(status, 200, "{secrets}"),
            Effect::Answer(answer) => assert_eq!(status, answer.status, "{secrets}"),
            Effect::Dispatch(_) | Effect::Nothing => panic!("{secrets}"),
        }
    }
}

#[test]
fn a_remembered_token_ends_with_its_secret() {
    let node = Node::new();
    let route =
        node.route(&config_with_secrets(json!([{"secret": testing::SECRET, "not_after": "2025-06-15T15:30:00Z"}])));
    let request = get(Some(&hmac_token(json!({}))));
    forwarded(node.send(&route, &request).1);
    let end = 1_750_001_400_000;
    forwarded(node.send_at(&route, UnixMillis(end - 1), &request).1);
    assert_eq!(answered(node.send_at(&route, UnixMillis(end), &request).1).0, 401);
}

#[test]
fn an_inline_key_past_its_end_is_not_used() {
    for (not_after, status) in [("2026-01-01T00:00:00Z", 200), ("2025-01-01T00:00:00Z", 401)] {
        let node = Node::new();
        let mut config = config();
        for key in config["issuers"][0]["jwks"]["keys"].as_array_mut().unwrap() {
            key["not_after"] = json!(not_after);
        }
        let route = node.route(&config);
        let effect = node.send(&route, &get(Some(&token(json!({"groups": ["payments"]}))))).1;
        assert_eq!(matches!(effect, Effect::Forward(_)), status == 200, "{not_after}");
    }
}

#[test]
fn keys_that_should_have_been_replaced_are_counted_and_named_once_a_day_and_node() {
    let node = Node::new();
    let route = node.route(&config_with_secrets(json!([
        {"secret": testing::SECRET, "rotate_by": "2025-06-01T00:00:00Z"},
        {"secret": testing::SECRET, "rotate_by": "2025-09-01T00:00:00Z"},
        {"secret": testing::SECRET, "not_after": "2025-01-01T00:00:00Z"}
    ])));
    assert!(route.needs_ticks());
    assert_eq!(node.tick(&route, NOW), None);
    assert_eq!(node.metrics.counts.borrow().get("keys_to_rotate;issuer=https://idp.example"), Some(&2));
    let ids = || node.store.keys().iter().filter(|key| key.contains("/rotate:")).count();
    assert_eq!(ids(), 1);
    assert!(!node.worker.warns_first(route.config.issuers[0].id, NOW.0 / 86_400_000));
    assert!(node.worker.warns_first(route.config.issuers[0].id, NOW.0 / 86_400_000 + 1));
}
