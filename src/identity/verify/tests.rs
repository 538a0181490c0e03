//! Tokens that must hold, and every kind that must not.

use super::*;
use crate::config::Config;
use crate::jose::testing::{self, encode, signed};
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: UnixMillis = UnixMillis(1_750_000_000_000);

fn issuers(change: &Value) -> Vec<Rc<Issuer>> {
    let mut issuer = json!({
        "issuer": "https://idp.example", "audiences": ["payments"],
        "algorithms": ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"],
        "jwks": serde_json::from_str::<Value>(testing::jwks()).unwrap()
    });
    for (name, value) in change.as_object().unwrap() {
        issuer[name] = value.clone();
    }
    if change.get("secret").is_some() || change.get("secrets").is_some() {
        issuer.as_object_mut().unwrap().remove("jwks");
    }
    let config = json!({"entity": "api:default/x", "policy": {"rules": []}, "issuers": [issuer]});
    Config::parse(config.to_string().as_bytes()).unwrap().issuers
}

fn claims() -> Value {
    json!({"iss": "https://idp.example", "aud": "payments", "sub": "ada", "iat": NOW.seconds(), "exp": NOW.seconds() + 300})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

fn verify(token: &str, issuers: &[Rc<Issuer>]) -> Result<Verified, TokenError> {
    let unverified = Unverified::parse(token, issuers, NOW)?;
    let Signed { issuer, expires, claims, .. } = unverified.attempt(keys(unverified.issuer()), NOW)?.verify()?;
    Ok(Verified { issuer, expires, claims: claims? })
}

fn keys(issuer: &Issuer) -> Keys<'_> {
    match &issuer.keys {
        crate::config::KeySource::Inline(keys) => Keys::Set(keys),
        crate::config::KeySource::Secrets(secrets) => Keys::Secrets(secrets),
        crate::config::KeySource::Remote(_) => panic!("no remote issuers here"),
    }
}

fn outcome(token: &str, issuers: &[Rc<Issuer>]) -> Result<(), TokenError> {
    verify(token, issuers).map(|_| ())
}

#[test]
fn every_algorithm_verifies_its_own_signatures() {
    let issuers = issuers(&json!({}));
    for algorithm in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"] {
        let verified =
            verify(&testing::token(algorithm, &claims()), &issuers).unwrap_or_else(|e| panic!("{algorithm}: {e}"));
        assert_eq!(verified.expires, UnixMillis(NOW.0 + 330_000));
    }
    for algorithm in ["HS256", "HS384", "HS512"] {
        let issuers = self::issuers(&json!({"secret": testing::SECRET, "algorithms": [algorithm]}));
        assert_eq!(outcome(&testing::token(algorithm, &claims()), &issuers), Ok(()), "{algorithm}");
    }
}

#[test]
fn the_algorithm_is_the_keys_and_the_issuers_never_the_tokens() {
    let all = issuers(&json!({}));
    let payload = claims().to_string();
    let unsigned = |alg: &str| format!("{}.{}.", encode(format!("{{\"alg\":\"{alg}\"}}")), encode(&payload));
    for alg in ["none", "None", "NONE", "nOnE"] {
        assert!(matches!(outcome(&unsigned(alg), &all), Err(TokenError::Malformed(_))));
        assert_eq!(outcome(&format!("{}AAAA", unsigned(alg)), &all), Err(TokenError::AlgorithmNotAllowed));
    }
    let confused = signed("HS256", r#"{"alg":"HS256","kid":"rs256"}"#, &payload);
    assert_eq!(outcome(&confused, &all), Err(TokenError::AlgorithmNotAllowed));
    let only_rs = issuers(&json!({"algorithms": ["RS256"]}));
    assert_eq!(outcome(&testing::token("ES256", &claims()), &only_rs), Err(TokenError::AlgorithmNotAllowed));
    let mixed = signed("ES256", r#"{"alg":"RS256","kid":"es256"}"#, &payload);
    assert_eq!(outcome(&mixed, &all), Err(TokenError::NoKey));
    let wrong_case = signed("ES256", r#"{"alg":"es256","kid":"es256"}"#, &payload);
    assert_eq!(outcome(&wrong_case, &all), Err(TokenError::AlgorithmNotAllowed));
}

#[test]
fn claims_are_checked_each_with_its_own_finding() {
    use TokenError::{
        Expired, IssuedInFuture, LivesTooLong, MalformedClaim, MissingClaim, NotYetValid, RequiredClaim, UnknownIssuer,
        WrongAudience,
    };
    let issuers = issuers(&json!({"max_lifetime_seconds": 600, "required_claims": {"tenant": "acme"}}));
    let now = NOW.seconds();
    let cases = [
        ("iss", json!("https://idp.example/"), Err(UnknownIssuer)),
        ("iss", json!(["https://idp.example"]), Err(UnknownIssuer)),
        ("iss", json!(null), Err(UnknownIssuer)),
        ("aud", json!(["other", "payments"]), Ok(())),
        ("aud", json!("payments other"), Err(WrongAudience)),
        ("aud", json!(["other"]), Err(WrongAudience)),
        ("aud", json!([]), Err(WrongAudience)),
        ("aud", json!({"payments": 1}), Err(MalformedClaim("aud".into()))),
        ("aud", json!([["payments"]]), Err(MalformedClaim("aud".into()))),
        ("aud", json!(null), Err(MissingClaim("aud".into()))),
        ("exp", json!(null), Err(MissingClaim("exp".into()))),
        ("exp", json!((now + 300).to_string()), Err(MalformedClaim("exp".into()))),
        ("exp", json!(-1), Err(MalformedClaim("exp".into()))),
        ("exp", json!(1e30), Err(MalformedClaim("exp".into()))),
        ("exp", json!(now - 29), Ok(())),
        ("exp", json!(now - 30), Err(Expired)),
        ("exp", json!(now as f64 + 0.5), Ok(())),
        ("exp", json!(now + 601), Err(LivesTooLong)),
        ("nbf", json!(now + 30), Ok(())),
        ("nbf", json!(now + 31), Err(NotYetValid)),
        ("nbf", json!("0"), Err(MalformedClaim("nbf".into()))),
        ("iat", json!(now + 31), Err(IssuedInFuture)),
        ("iat", json!(true), Err(MalformedClaim("iat".into()))),
        ("iat", json!(null), Err(MissingClaim("iat".into()))),
        ("tenant", json!("other"), Err(RequiredClaim("tenant".into()))),
        ("tenant", json!(["acme", "other"]), Ok(())),
    ];
    for (name, value, expected) in cases {
        let mut claims = with("tenant", json!("acme"));
        match &value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
        assert_eq!(outcome(&testing::token("ES256", &claims), &issuers), expected, "{name} = {value}");
    }
}

#[test]
fn what_is_no_plain_compact_jwt_is_refused() {
    let issuers = issuers(&json!({}));
    let good = testing::token("ES256", &claims());
    let parts: Vec<_> = good.split('.').collect();
    let payload = claims().to_string();
    let header = |text: &str| signed("ES256", text, &payload);
    // The last character of 64 bytes has four bits to spare.
    let (start, last) = good.split_at(good.len() - 1);
    let other_bits_left_over = format!("{start}{}", char::from(last.as_bytes()[0] + 1));
    let malformed = [
        String::new(),
        "a".into(),
        "a.b".into(),
        "...".into(),
        format!("{}.{}", parts[0], parts[1]),
        format!("{good}.x"),
        format!("{}..{}", parts[0], parts[2]),
        format!("{good}="),
        format!("{}+{}", &good[..10], &good[10..]),
        "a.b.c.d.e".into(),
        other_bits_left_over,
        header(r#"{"alg":"ES256","kid":"es256","cty":"cbor"}"#),
        header(r#"{"alg":"ES256","kid":7}"#),
        json!({"payload": parts[1], "signatures": []}).to_string(),
        header("[]"),
        header("{}"),
        header(r#"["ES256","es256"]"#),
        header(r#"["ES256","es256","JWT",null,null,null,null]"#),
        header(r#"[{"alg":"ES256","kid":"es256"}]"#),
        header(r#"{"alg":"ES256","kid":null}"#),
        header(r#"{"alg":"ES256","kid":"es256","typ":null}"#),
        header(r#"{"alg":"ES256","kid":"es256","cty":null}"#),
        header(r#"{"alg":null,"kid":"es256"}"#),
        header(r#"{"alg":"ES256","alg":"ES256","kid":"es256"}"#),
        header(r#"{"alg":["ES256"],"kid":"es256"}"#),
        header(&json!({"alg": "ES256", "kid": "k".repeat(257)}).to_string()),
        header(&json!({"alg": "ES256", "kid": "es256", "x": "x".repeat(5000)}).to_string()),
        signed("ES256", r#"{"alg":"ES256","kid":"es256"}"#, "[]"),
        signed(
            "ES256",
            r#"{"alg":"ES256","kid":"es256"}"#,
            r#"{"iss":"https://idp.example","iss":"https://idp.example"}"#,
        ),
    ];
    for token in malformed {
        assert!(matches!(outcome(&token, &issuers), Err(TokenError::Malformed(_))), "{token}");
    }
    for bytes in [
        b"{\"alg\":\"ES256\",\"kid\":\"es256\",\"x\":\"\xff\"}".as_slice(),
        b"{\"alg\":\"ES256\",\"kid\":\"es256\",\"\xc0\xaf\":1}",
        b"{\"alg\":\"ES256\",\"kid\":\"es256\",\"x\":{\"y\":[\"\xed\xa0\x80\"]}}",
    ] {
        let token = signed("ES256", bytes, payload.as_bytes());
        assert!(matches!(outcome(&token, &issuers), Err(TokenError::Malformed(_))), "{bytes:?} is not UTF-8");
    }
    for text in [
        r#"{"alg":"ES256","crit":null}"#,
        r#"{"alg":"ES256","b64":null}"#,
        r#"{"alg":"ES256","enc":null}"#,
        r#"{"alg":"ES256","crit":[]}"#,
        r#"{"alg":"ES256","crit":["exp"]}"#,
        r#"{"alg":"ES256","b64":false,"crit":["b64"]}"#,
        r#"{"alg":"ES256","b64":true}"#,
        r#"{"alg":"ES256","enc":"A128GCM"}"#,
    ] {
        assert_eq!(outcome(&header(text), &issuers), Err(TokenError::Critical), "{text}");
    }
}

#[test]
fn ed25519_has_two_names_and_both_are_one_algorithm() {
    let header = |alg: &str| json!({"alg": alg, "kid": "eddsa"}).to_string();
    let token = |alg: &str| signed("EdDSA", header(alg), claims().to_string());
    let mut keys: Value = serde_json::from_str(testing::jwks()).unwrap();
    for key_alg in [json!("EdDSA"), json!("Ed25519"), Value::Null] {
        match &key_alg {
            Value::Null => drop(keys["keys"][2].as_object_mut().unwrap().remove("alg")),
            alg => keys["keys"][2]["alg"] = alg.clone(),
        }
        for allowed in ["EdDSA", "Ed25519"] {
            let issuers = issuers(&json!({"jwks": keys, "algorithms": [allowed]}));
            for alg in ["EdDSA", "Ed25519"] {
                assert_eq!(outcome(&token(alg), &issuers), Ok(()), "{alg} where {allowed} may, by a key of {key_alg}");
            }
            for alg in ["ed25519", "Ed448", "EDDSA"] {
                assert_eq!(outcome(&token(alg), &issuers), Err(TokenError::AlgorithmNotAllowed), "{alg}");
            }
        }
    }
    let others = issuers(&json!({"algorithms": ["ES256"]}));
    assert_eq!(outcome(&token("Ed25519"), &others), Err(TokenError::AlgorithmNotAllowed));
}

#[test]
fn every_key_of_a_kid_is_tried_and_costs() {
    let own = serde_json::from_str::<Value>(testing::jwks()).unwrap()["keys"][0].clone();
    let mut other = serde_json::from_str::<Value>(testing::other_jwks()).unwrap()["keys"][0].clone();
    other["kid"] = json!("es256");
    let token = testing::token("ES256", &claims());
    for (before, after, units) in [(0, 0, 1), (0, 4, 5), (4, 0, 5), (19, 1, 20)] {
        let keys = [vec![other.clone(); before], vec![own.clone()], vec![other.clone(); after]].concat();
        let issuers = issuers(&json!({"jwks": {"keys": keys}}));
        let unverified = Unverified::parse(&token, &issuers, NOW).unwrap();
        let attempt = unverified.attempt(self::keys(unverified.issuer()), NOW).unwrap();
        assert_eq!(attempt.cost().thousandths(), units * 1000, "{before}");
        assert_eq!(outcome(&token, &issuers), Ok(()), "{before}");
    }
    let beyond = [vec![other; 20], vec![own]].concat();
    let found = outcome(&token, &issuers(&json!({"jwks": {"keys": beyond}})));
    assert_eq!(found, Err(TokenError::BadSignature), "twenty are the most that a token is worth");
}

#[test]
fn only_a_key_that_may_sign_for_the_issuer_now_is_taken_for_the_signer() {
    let public: Value = serde_json::from_str(testing::jwks()).unwrap();
    let key = |index: usize| KeySet::parse(json!({"keys": [public["keys"][index]]}).to_string().as_bytes()).unwrap();
    let (es256, es384) = (key(0).keys()[0].id(), key(1).keys()[0].id());
    let mut others: Value = serde_json::from_str(testing::other_jwks()).unwrap();
    others["keys"][0]["kid"] = json!("es256");
    let cases = [
        (json!({}), es256, true),
        (json!({}), es384, false),
        (json!({"jwks": others}), es256, false),
        (json!({"secret": testing::SECRET, "algorithms": ["HS256"]}), KeyId([0; 16]), false),
    ];
    for (change, key, is_taken) in cases {
        let issuers = issuers(&change);
        let algorithm = if change.get("secret").is_some() { "HS256" } else { "ES256" };
        let token = testing::token(algorithm, &with("scope", json!("read")));
        let unverified = Unverified::parse(&token, &issuers, NOW).unwrap();
        let attempt = unverified.attempt(keys(unverified.issuer()), NOW).unwrap();
        let signed = attempt.signed_by(key);
        assert_eq!(signed.is_some(), is_taken, "{change}");
        assert!(signed.is_none_or(|signed| signed.key == key && signed.claims.is_ok()));
    }
    let strict = issuers(&json!({"required_scopes": ["pay"]}));
    let unverified = Unverified::parse(&testing::token("ES256", &claims()), &strict, NOW).unwrap();
    let signed = unverified.attempt(keys(unverified.issuer()), NOW).unwrap().signed_by(es256).unwrap();
    assert_eq!(signed.claims, Err(TokenError::MissingScope("pay".into())), "claims are checked all the same");
}

#[test]
fn keys_that_a_token_brings_along_are_not_looked_at() {
    let issuers = issuers(&json!({}));
    let other = testing::other_jwks();
    for brought in [
        format!(r#""jwk":{other}"#),
        r#""jku":"https://evil.example/keys""#.into(),
        r#""x5u":"https://evil.example/c""#.into(),
        r#""x5c":["MIIB"]"#.into(),
    ] {
        let header = format!(r#"{{"alg":"ES256","kid":"es256",{brought}}}"#);
        assert_eq!(outcome(&signed("ES256", header, claims().to_string()), &issuers), Ok(()), "{brought}");
        let header = format!(r#"{{"alg":"ES256","kid":"unknown",{brought}}}"#);
        assert_eq!(
            outcome(&signed("ES256", header, claims().to_string()), &issuers),
            Err(TokenError::NoKey),
            "{brought}"
        );
    }
}

#[test]
fn types_are_told_apart_where_the_issuer_demands_one() {
    let issuers = issuers(&json!({"typ": ["application/at+JWT", "vnd.backstage.user"]}));
    let typed = |typ: Option<&str>| {
        let header = json!({"alg": "ES256", "kid": "es256", "typ": typ});
        let header = if typ.is_some() { header.to_string() } else { r#"{"alg":"ES256","kid":"es256"}"#.to_owned() };
        outcome(&signed("ES256", header, claims().to_string()), &issuers)
    };
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "vnd.backstage.user"] {
        assert_eq!(typed(Some(typ)), Ok(()), "{typ}");
    }
    for typ in [Some("JWT"), Some("vnd.backstage.limited-user"), Some("vnd.backstage.plugin"), Some(""), None] {
        assert_eq!(typed(typ), Err(TokenError::WrongType), "{typ:?}");
    }
}

#[test]
fn audiences_are_any_of_or_all_of_or_not_looked_at() {
    let aud = |change: Value, aud: Value| outcome(&testing::token("ES256", &with("aud", aud)), &issuers(&change));
    let all = json!({"audiences": ["a", "b"], "audience_match": "all"});
    assert_eq!(aud(all.clone(), json!(["b", "c", "a"])), Ok(()));
    assert_eq!(aud(all, json!(["a"])), Err(TokenError::WrongAudience));
    let unchecked = json!({"audiences": [], "audience_match": "unchecked"});
    assert_eq!(aud(unchecked, json!(null)), Ok(()));
}

#[test]
fn a_missing_scope_is_told_only_to_holders_of_a_valid_token() {
    let issuers = issuers(&json!({"required_scopes": ["read"]}));
    let good = testing::token("ES256", &claims());
    assert_eq!(outcome(&good, &issuers), Err(TokenError::MissingScope("read".into())));
    let forged = format!("{}.{}", good.rsplit_once('.').unwrap().0, encode([1; 64]));
    assert_eq!(outcome(&forged, &issuers), Err(TokenError::BadSignature));
    assert_eq!(outcome(&testing::token("ES256", &with("scope", json!("read write"))), &issuers), Ok(()));
}

#[test]
fn what_only_the_whole_payload_tells_is_told_only_to_holders_of_a_signed_token() {
    let header = r#"{"alg":"ES256","kid":"es256"}"#;
    let start = claims().to_string().trim_end_matches('}').to_owned();
    let pointer = json!({"claims": {"audience": "/for/us"}});
    let cases = [
        (json!({}), format!(r#"{start},"x":1,"x":2}}"#), Claims::MALFORMED),
        (json!({}), format!(r#"{start},"x":{{"a":1,"a":2}}}}"#), Claims::MALFORMED),
        (json!({}), format!(r#"{start},"x":{}{}}}"#, "[".repeat(200), "]".repeat(200)), Claims::MALFORMED),
        (json!({"required_claims": {"x": 1}}), format!("{start}}}"), TokenError::RequiredClaim("x".into())),
        (json!({"client_required": true}), format!("{start}}}"), TokenError::NoClient),
        (pointer.clone(), format!(r#"{start},"for":{{"us":"others"}}}}"#), TokenError::WrongAudience),
        (pointer, format!("{start}}}"), TokenError::MissingClaim("/for/us".into())),
    ];
    for (change, payload, expected) in cases {
        let issuers = issuers(&change);
        let token = signed("ES256", header, &payload);
        let forged = format!("{}.{}", token.rsplit_once('.').unwrap().0, encode([1; 64]));
        assert_eq!(outcome(&forged, &issuers), Err(TokenError::BadSignature), "{payload}");
        assert_eq!(outcome(&token, &issuers), Err(expected), "{payload}");
    }
}

#[test]
fn a_secret_does_not_verify_with_another_one() {
    let other = issuers(&json!({"secret": "another secret that is long enough!!", "algorithms": ["HS256"]}));
    assert_eq!(outcome(&testing::token("HS256", &claims()), &other), Err(TokenError::BadSignature));
}

proptest! {
    #[test]
    fn a_token_with_one_bit_changed_does_not_hold(at in any::<prop::sample::Index>(), bit in 0..7u8) {
        let mut token = testing::token("ES256", &claims()).into_bytes();
        let at = at.index(token.len());
        token[at] ^= 1 << bit;
        if let Ok(token) = String::from_utf8(token) {
            let issuers = issuers(&json!({}));
            prop_assert!(outcome(&token, &issuers).is_err());
        }
    }

    #[test]
    fn no_text_holds_by_accident_or_panics(token in "\\PC{0,60}|[A-Za-z0-9_.-]{0,200}") {
        let issuers = issuers(&json!({}));
            prop_assert!(outcome(&token, &issuers).is_err());
    }
}
