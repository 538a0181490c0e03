//! What is read of a payload before its signature is verified.

use super::*;
use crate::config::Config;
use proptest::prelude::*;
use serde_json::json;

fn issuers() -> Vec<Rc<Issuer>> {
    let issuer = |name: &str, audience: Value| json!({"issuer": name, "audiences": audience, "secret": "a secret that is long enough for all"});
    let mut other = issuer("https://other.example", json!(["c"]));
    other["claims"] = json!({"audience": "for"});
    let issuers = [issuer("https://idp.example", json!(["a", "b"])), other];
    let config = json!({"entity": "api:default/x", "policy": {"rules": []}, "issuers": issuers});
    Config::parse(config.to_string().as_bytes()).unwrap().issuers
}

fn peek(payload: &str) -> Option<Value> {
    Claims::peek(payload.as_bytes(), &issuers()).ok().map(|claims| Value::Object(claims.members().clone()))
}

#[test]
fn only_what_the_cheap_checks_ask_for_is_built() {
    let cases = [
        (
            json!({"iss": "i", "exp": 1, "nbf": 2.5, "iat": -3, "sub": "ada", "groups": ["x"]}),
            json!({"iss": "i", "exp": 1, "nbf": 2.5, "iat": -3}),
        ),
        (json!({"aud": "a", "for": "anything"}), json!({"aud": "a", "for": "anything"})),
        (json!({"aud": ["x", "b", "y", "a", "b", "c"]}), json!({"aud": ["b", "a", "c"]})),
        (json!({"aud": ["x", 1, [2], {"a": 3}, null, true]}), json!({"aud": [null]})),
        (json!({"iss": ["https://idp.example"], "exp": {"a": [1]}}), json!({"iss": [], "exp": {}})),
        (json!({"iss": null, "exp": true}), json!({"iss": null, "exp": true})),
        (json!({}), json!({})),
    ];
    for (payload, expected) in cases {
        assert_eq!(peek(&payload.to_string()), Some(expected), "{payload}");
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_refused_and_so_is_what_has_too_many_members() {
    let members = |count: usize| {
        let members: Vec<_> = (0..count).map(|n| format!("\"m{n}\":[{n}]")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert_eq!(peek(&members(MAX_MEMBERS)), Some(json!({})));
    for payload in [
        "",
        "[]",
        "1",
        "\"x\"",
        "null",
        "{} {}",
        "{\"a\":1",
        "{\"a\":}",
        "{\"iss\":\"a\",\"iss\":\"a\"}",
        "{\"iss\":\"a\",\"\\u0069ss\":\"b\"}",
        "{\"aud\":\"a\",\"sub\":\"x\",\"aud\":[]}",
        &members(MAX_MEMBERS + 1),
    ] {
        assert_eq!(peek(payload), None, "{payload}");
    }
}

#[test]
fn nesting_takes_no_stack() {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
    for value in [deep("[", "]"), deep("{\"a\":", "}")] {
        assert_eq!(peek(&format!("{{\"iss\":\"i\",\"x\":{value}}}")), Some(json!({"iss": "i"})));
        assert_eq!(peek(&format!("{{\"aud\":[{value}]}}")), Some(json!({"aud": [null]})));
        assert!(peek(&format!("{{\"iss\":{value}}}")).is_some());
    }
}

proptest! {
    /// Of a payload that is accepted as a whole, a peek reads the same.
    #[test]
    fn a_peek_agrees_with_the_whole(text in "[{}\\[\\]:,\"a-z0-9 .e\\\\-]{0,60}", aud in prop::collection::vec("[a-c]", 0..6)) {
        for payload in [text.clone(), json!({"iss": text, "exp": 7, "aud": aud}).to_string()] {
            if let Ok(whole) = Claims::parse(payload.as_bytes()) {
                let peek = Claims::peek(payload.as_bytes(), &issuers()).unwrap();
                prop_assert_eq!(peek.member("iss"), whole.member("iss"));
                prop_assert_eq!(peek.date("exp"), whole.date("exp"));
            }
        }
    }
}
