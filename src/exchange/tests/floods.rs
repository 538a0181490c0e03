//! Floods of forged tokens.

use super::*;

/// Another key's signature under the issuer's own `kid`.
fn forged(nth: usize) -> String {
    let good = token(json!({"groups": ["payments"], "jti": nth.to_string()}));
    let (message, _) = good.rsplit_once('.').unwrap();
    format!("{message}.{}", testing::encode([1; 64]))
}

fn from(address: &str, token: &str) -> Sent {
    get(Some(token)).told(Snapshot { client: Some(address.to_owned()), ..Snapshot::default() })
}

/// Status and reason for the log.
fn told(effect: Effect) -> (u16, String) {
    let Effect::Answer(answer) = effect else { panic!("is not answered") };
    let line: Value = serde_json::from_str(&answer.audit.unwrap().1).unwrap();
    (answer.status, line["reason"].as_str().unwrap().to_owned())
}

fn narrow(change: Value) -> Value {
    let mut config = config();
    config["verification"] = change;
    config
}

#[test]
fn a_flood_from_one_address_is_cut_off_and_nobody_else_is() {
    let node = Node::new();
    let route = node.route(&config());
    let remembered = token(json!({"groups": ["payments"], "jti": "remembered"}));
    forwarded(node.send(&route, &from("192.0.2.1:1000", &remembered)).1);
    for nth in 0..100 {
        let (status, reason) = told(node.send(&route, &from(&format!("192.0.2.1:{nth}"), &forged(nth))).1);
        assert_eq!(
            (status, reason.as_str()),
            if nth < 20 { (401, "bad_signature") } else { (429, "verification_rate") }
        );
    }
    let good = |jti: &str| token(json!({"groups": ["payments"], "jti": jti}));
    assert_eq!(told(node.send(&route, &from("192.0.2.1", &good("a"))).1), (429, "verification_rate".into()));
    forwarded(node.send(&route, &from("192.0.2.1", &remembered)).1);
    forwarded(node.send(&route, &from("192.0.2.2", &good("a"))).1);
    forwarded(node.send_at(&route, UnixMillis(NOW.0 + 100), &from("192.0.2.1", &good("b"))).1);
    let counts = node.metrics.counts.borrow();
    let of = |result: &str| counts.get(&format!("verifications;result={result}")).copied();
    assert_eq!(
        (of("held"), of("failed"), of("address_spent"), of("worker_spent")),
        (Some(3), Some(20), Some(81), None)
    );
}

#[test]
fn a_flood_from_everywhere_keeps_out_new_clients_only() {
    let node = Node::new();
    let route = node.route(&narrow(json!({"per_second": 10, "burst": 50})));
    forwarded(node.send(&route, &from("198.51.100.7", &token(json!({"groups": ["payments"], "jti": "old"})))).1);
    let refused = (0..200).filter(|nth| {
        let (status, reason) = told(node.send(&route, &from(&format!("2001:db8:{nth:x}::1"), &forged(*nth))).1);
        assert!(matches!((status, reason.as_str()), (401, "bad_signature") | (503, "verification_busy")));
        status == 503
    });
    assert_eq!(refused.count(), 150);
    let renewed = token(json!({"groups": ["payments"], "jti": "renewed"}));
    let (_, effect) = node.send(&route, &from("203.0.113.1", &renewed));
    let Effect::Answer(answer) = effect else { panic!("passes") };
    assert!(answer.headers.contains(&("retry-after", "1".to_owned())), "{:?}", answer.headers);
    forwarded(node.send(&route, &from("198.51.100.7", &renewed)).1);
}

#[test]
fn what_the_cheap_checks_refuse_costs_nothing() {
    let node = Node::new();
    let mut config = narrow(json!({"per_second": 1, "burst": 1, "per_address": {"per_second": 1, "burst": 1}}));
    config["issuers"][0]["max_lifetime_seconds"] = json!(600);
    let route = node.route(&config);
    let payload = json!({"iss": "https://idp.example", "aud": "payments", "sub": "ada", "exp": NOW.seconds() + 300});
    let cheap = [
        (token(json!({"iss": "https://other.example"})), "unknown_issuer"),
        (token(json!({"exp": NOW.seconds() - 300})), "token_expired"),
        (token(json!({"aud": "others"})), "wrong_audience"),
        (token(json!({"iat": NOW.seconds() - 900})), "lives_too_long"),
        (testing::token("HS256", &payload), "algorithm_not_allowed"),
        ("not.a.token".to_owned(), "token_malformed"),
        (format!("{}AA", forged(0)), "bad_signature"),
    ];
    for (token, reason) in cheap {
        assert_eq!(told(node.send(&route, &from("192.0.2.1", &token)).1), (401, reason.to_owned()));
    }
    assert_eq!(told(node.send(&route, &from("192.0.2.1", &forged(1))).1).0, 429, "the last one was looked at");
}

#[test]
fn a_flood_from_a_few_keeps_out_nobody_who_has_not_failed() {
    let node = Node::new();
    let route = node.route(&narrow(json!({"per_second": 10, "burst": 50})));
    let good = |jti: usize| token(json!({"groups": ["payments"], "jti": format!("good{jti}")}));
    let floods = [["192.0.2.1", "192.0.2.2"], ["2001:db8:1:1::1", "2001:db8:1:2::1"]];
    for (nth, addresses) in floods.into_iter().enumerate() {
        for address in addresses {
            let verified = (0..100).filter(|nth| told(node.send(&route, &from(address, &forged(*nth))).1).0 == 401);
            assert!(verified.count() <= 20, "{address}");
        }
        forwarded(node.send(&route, &from(&format!("198.51.100.{nth}"), &good(nth))).1);
    }
    let outcome = node.send(&route, &from("192.0.2.1", &good(9))).1;
    assert_eq!(told(outcome), (429, "verification_rate".into()), "its own share is spent");
}

#[test]
fn a_signed_token_that_is_refused_is_verified_once_and_costs_nothing() {
    let cases = [
        (json!({}), json!({"required_scopes": ["pay"]}), (403, "missing_scope")),
        (json!({}), json!({"claims": {"user": "upn"}}), (401, "no_principal")),
        (json!({}), json!({"required_claims": {"tenant": "acme"}}), (401, "required_claim")),
        (json!({}), json!({"client_required": true}), (401, "no_client")),
        (json!({"for": {"us": "x"}}), json!({"claims": {"audience": "/for/us"}}), (401, "wrong_audience")),
    ];
    for (claims, change, (status, reason)) in cases {
        let token = token(claims);
        let node = Node::new();
        let mut config = narrow(json!({"burst": 1, "per_address": {"burst": 1}}));
        config["issuers"][0].as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let route = node.route(&config);
        for _ in 0..5 {
            assert_eq!(told(node.send(&route, &from("192.0.2.1", &token)).1), (status, reason.to_owned()));
        }
        assert_eq!(node.metrics.counts.borrow().get("verifications;result=held"), Some(&1), "{reason}");
        // Another route may demand less.
        let lenient = node.route(&self::config());
        let (status, reason) = told(node.send(&lenient, &from("192.0.2.1", &token)).1);
        assert_eq!((status, reason.as_str()), (403, "not_allowed"));
        assert_eq!(told(node.send(&route, &from("192.0.2.1", &forged(1))).1).0, 401, "nothing was spent");
    }
}

#[test]
fn refused_tokens_push_out_no_accepted_one() {
    let node = Node::new();
    let mut config = config();
    config["credentials"] = json!({"max_token_bytes": 65_536});
    config["issuers"][0]["required_scopes"] = json!(["pay"]);
    let route = node.route(&config);
    let good = token(json!({"groups": ["payments"], "scope": "pay"}));
    forwarded(node.send(&route, &from("192.0.2.1", &good)).1);
    for nth in 0..40 {
        // A thousand of them are remembered, or 2 MB.
        let large = token(json!({"groups": ["payments"], "jti": format!("{nth}{}", "x".repeat(45_000))}));
        assert_eq!(told(node.send(&route, &from("192.0.2.1", &large)).1).0, 403);
    }
    assert!(node.worker.refused.borrow().len() < 40);
    forwarded(node.send(&route, &from("192.0.2.1", &good)).1);
    assert_eq!(node.metrics.counts.borrow().get("verifications;result=held"), Some(&41));
}

#[test]
fn a_token_that_one_worker_verified_passes_on_another_one_in_a_flood() {
    let mut node = Node::new();
    let route = node.route(&config());
    let good = |jti: &str| token(json!({"groups": ["payments"], "jti": jti}));
    forwarded(node.send(&route, &from("192.0.2.1", &good("old"))).1);
    assert_eq!(told(node.send(&route, &from("192.0.2.1", &forged(0))).1).0, 401, "is not remembered");

    node.worker = Worker::default();
    let route = node.route(&narrow(json!({"per_second": 1, "burst": 2})));
    for nth in 0..20 {
        told(node.send(&route, &from(&format!("203.0.113.{nth}"), &forged(nth))).1);
    }
    for address in ["203.0.113.0", "192.0.2.1"] {
        assert!(matches!(told(node.send(&route, &from(address, &forged(0))).1).0, 429 | 503));
    }
    assert_eq!(told(node.send(&route, &from("192.0.2.1", &good("new"))).1).0, 503);
    forwarded(node.send(&route, &from("192.0.2.1", &good("old"))).1);
    forwarded(node.send(&route, &from("192.0.2.1", &good("new"))).1);
    let counts = node.metrics.counts.borrow();
    assert_eq!(counts.get("verifications;result=known"), Some(&1), "and its address is a good one then");
}

#[test]
fn the_nodes_memory_honours_no_key_that_was_withdrawn_and_no_token_that_is_not_accepted() {
    let mut node = Node::new();
    let token = token(json!({"groups": ["payments"]}));
    forwarded(node.send(&node.route(&config()), &get(Some(&token))).1);
    let mut others: Value = serde_json::from_str(testing::other_jwks()).unwrap();
    others["keys"][0]["kid"] = json!("es256");
    let cases = [
        (json!({"jwks": others}), NOW, Some("bad_signature")),
        (json!({"algorithms": ["RS256"]}), NOW, Some("algorithm_not_allowed")),
        (json!({"audiences": ["others"]}), NOW, Some("wrong_audience")),
        (json!({"required_scopes": ["pay"]}), NOW, Some("missing_scope")),
        (json!({}), UnixMillis(NOW.0 + 3_600_000), Some("token_expired")),
        (json!({}), NOW, None),
    ];
    for (change, now, reason) in cases {
        node.worker = Worker::default();
        let mut config = config();
        config["issuers"][0].as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let (_, effect) = node.send_at(&node.route(&config), now, &get(Some(&token)));
        match reason {
            Some(reason) => assert_eq!(told(effect).1, reason),
            None => drop(forwarded(effect)),
        }
    }
    // Twice: where it was accepted last, and where its scope was missing.
    assert_eq!(node.metrics.counts.borrow().get("verifications;result=known"), Some(&2));
}

#[test]
fn a_signature_is_charged_by_what_it_costs() {
    let every = json!(["ES256", "ES384", "EdDSA", "Ed25519", "RS256", "PS512"]);
    // With room for twenty signatures on P-256.
    for (algorithm, verified) in [("ES384", 5), ("ES256", 20), ("RS256", 40), ("PS512", 40), ("EdDSA", 80)] {
        let node = Node::new();
        let mut config = config();
        config["issuers"][0]["algorithms"] = every.clone();
        let route = node.route(&config);
        let payload =
            json!({"iss": "https://idp.example", "aud": "payments", "sub": "ada", "exp": NOW.seconds() + 300});
        let good = testing::token(algorithm, &payload);
        let forged = format!("{}.{}", good.rsplit_once('.').unwrap().0, testing::encode([1; 64]));
        let failed = (0..100).filter(|_| told(node.send(&route, &from("192.0.2.1", &forged)).1).0 == 401).count();
        assert_eq!(failed, verified, "{algorithm}");
    }
}

#[test]
fn routes_with_the_same_settings_have_one_budget() {
    let node = Node::new();
    let (one, two) = (node.route(&config()), node.route(&config()));
    for nth in 0..20 {
        told(node.send(&one, &from("192.0.2.1", &forged(nth))).1);
    }
    assert_eq!(told(node.send(&two, &from("192.0.2.1", &forged(20))).1), (429, "verification_rate".into()));
}
