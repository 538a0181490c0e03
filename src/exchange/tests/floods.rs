//! Floods of tokens that do not hold.

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
fn a_flood_from_everywhere_keeps_out_newcomers_only() {
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
fn a_token_that_holds_and_is_not_remembered_is_looked_at_only_so_often() {
    let node = Node::new();
    let mut config = narrow(json!({"per_address": {"burst": 3}}));
    config["issuers"][0]["required_scopes"] = json!(["pay"]);
    config["issuers"][0]["claims"] = json!({"user": "upn"});
    let route = node.route(&config);
    for (address, token, refused) in [
        ("192.0.2.1", token(json!({})), (403, "missing_scope")),
        ("192.0.2.2", token(json!({"scope": "pay"})), (401, "no_principal")),
    ] {
        let send = || told(node.send(&route, &from(address, &token)).1);
        for _ in 0..3 {
            assert_eq!(send(), (refused.0, refused.1.to_owned()));
        }
        assert_eq!(send(), (429, "verification_rate".to_owned()));
    }
}

#[test]
fn a_signature_is_charged_by_what_it_costs() {
    let every = json!(["ES256", "ES384", "EdDSA", "Ed25519", "RS256", "PS512"]);
    // With room for twenty signatures on P-256; whoever has room for a whole one is looked at.
    for (algorithm, looked_at) in [("ES384", 5), ("ES256", 20), ("RS256", 39), ("PS512", 39), ("EdDSA", 77)] {
        let node = Node::new();
        let mut config = config();
        config["issuers"][0]["algorithms"] = every.clone();
        let route = node.route(&config);
        let payload =
            json!({"iss": "https://idp.example", "aud": "payments", "sub": "ada", "exp": NOW.seconds() + 300});
        let good = testing::token(algorithm, &payload);
        let forged = format!("{}.{}", good.rsplit_once('.').unwrap().0, testing::encode([1; 64]));
        let failed = (0..100).filter(|_| told(node.send(&route, &from("192.0.2.1", &forged)).1).0 == 401).count();
        assert_eq!(failed, looked_at, "{algorithm}");
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
