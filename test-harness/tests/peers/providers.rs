//! A provider's days, good and bad, as clients of a gateway live through them.

use super::gateway::{Gateway, Kind};
use super::oidc_provider::{HOST, OidcProvider, issuer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use test_harness::lab::http::Incoming;

/// The shortest of lives: keys are asked for again at 8 to 9 s, good for 10 s, served to 15 s while the provider fails.
const FETCH: &str = r#"{"timeout_ms": 500, "max_age_seconds": 10, "stale_seconds": 5, "cooldown_seconds": 1}"#;
const AGE: Duration = Duration::from_secs(10);
const STALE: Duration = Duration::from_secs(15);
/// A provider that has no set to serve from is tried each 1 to 1.2 s; and this machine's leisure.
const FOUND_AGAIN: Duration = Duration::from_secs(6);
const FAULTS: [(&str, &str); 9] = [
    ("hang", "ok"),
    ("500", "ok"),
    ("html", "ok"),
    ("huge", "ok"),
    ("wrong_issuer", "ok"),
    ("ok", "hang"),
    ("ok", "500"),
    ("ok", "huge"),
    ("ok", "empty"),
];

fn config(realm: &str) -> Value {
    json!({
        "entity": "api:default/payments",
        "owner": "group:default/payments",
        "issuers": [{
            "issuer": issuer(realm),
            "audiences": ["payments"],
            "fetch": serde_json::from_str::<Value>(FETCH).unwrap(),
        }],
        "policy": {"rules": [{"allow": ["owner"]}]},
    })
}

/// A gateway with a route for each realm, named like it.
async fn gateway(kind: Kind, name: &str, provider: &OidcProvider, realms: &[String]) -> Gateway {
    let routes: BTreeMap<_, _> = realms.iter().map(|realm| (realm.clone(), config(realm))).collect();
    Gateway::start(kind, name, &routes, &[(HOST, provider.address)]).await
}

/// Asks again until the answer has that status, for a time that a user would wait.
async fn until(gateway: &Gateway, realm: &str, token: &str, status: u16, within: Duration) {
    let begin = Instant::now();
    loop {
        let answer = gateway.get(realm, token).await;
        if answer.status == status {
            return;
        }
        assert!(begin.elapsed() < within, "{realm}: still {} and not {status}: {}", answer.status, gateway.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Sends with the token for that long, and holds every answer to be 200.
async fn served(gateway: &Gateway, realm: &str, token: &str, time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        let answer = gateway.get(realm, token).await;
        assert_eq!(answer.status, 200, "{realm} after {:?}: {}", begin.elapsed(), gateway.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is_try_again_later(answer: &Incoming) -> bool {
    let after = answer.header("retry-after").and_then(|after| after.parse::<u32>().ok());
    answer.status == 503 && after.is_some_and(|after| after >= 1)
}

async fn rotation(kind: Kind) {
    let provider = OidcProvider::start();
    let realm = "rotation".to_owned();
    let gateway = gateway(kind, "rotation", &provider, std::slice::from_ref(&realm)).await;
    let old = provider.token(&realm).await;

    let first = gateway.get(&realm, &old).await;
    assert_eq!(first.status, 200, "the first request waits for the keys: {}", gateway.log());
    served(&gateway, &realm, &old, Duration::from_secs(1)).await;
    let (metadata, keys) = provider.control(&realm, json!({})).await;
    // A tick and the first request may both find no keys.
    assert!(metadata <= 2 && (1..=2).contains(&keys), "fetched {metadata} and {keys} times");

    // The provider publishes a new key and signs with it at once.
    provider.control(&realm, json!({"keys": [2, 1]})).await;
    for _ in 0..10 {
        let new = provider.token(&realm).await;
        for token in [&new, &old] {
            assert_eq!(gateway.get(&realm, token).await.status, 200, "{}", gateway.log());
        }
        served(&gateway, &realm, &old, Duration::from_millis(100)).await;
    }
    assert_eq!(provider.control(&realm, json!({})).await, (0, 1), "one fetch finds the new key for all workers");

    // The old key goes: its tokens count until the next refresh and not longer, those of the new key always do.
    provider.control(&realm, json!({"keys": [2]})).await;
    let new = provider.token(&realm).await;
    let withdrawn = Instant::now();
    while gateway.get(&realm, &old).await.status == 200 {
        assert!(withdrawn.elapsed() < AGE + Duration::from_secs(2), "the old key lives on: {}", gateway.log());
        served(&gateway, &realm, &new, Duration::from_millis(100)).await;
    }
    // Each worker has found out by itself.
    served(&gateway, &realm, &new, Duration::from_secs(1)).await;
    for _ in 0..20 {
        assert_eq!(gateway.get(&realm, &old).await.status, 401, "{}", gateway.log());
    }
}

async fn outage(kind: Kind) {
    let mut provider = OidcProvider::start();
    let realm = "outage".to_owned();
    let gateway = gateway(kind, "outage", &provider, std::slice::from_ref(&realm)).await;
    let token = provider.token(&realm).await;
    assert_eq!(gateway.get(&realm, &token).await.status, 200, "{}", gateway.log());

    // Down for longer than a refresh, and back: nobody notices.
    provider.kill();
    served(&gateway, &realm, &token, AGE + Duration::from_secs(1)).await;
    provider.restart();
    let new = provider.token(&realm).await;
    assert_eq!(gateway.get(&realm, &new).await.status, 200, "a new token of a known key: {}", gateway.log());

    // Back with other keys than it left with: they are found without waiting for the next try.
    provider.control(&realm, json!({"keys": [3]})).await;
    let new = provider.token(&realm).await;
    until(&gateway, &realm, &new, 200, Duration::from_secs(3)).await;

    // Down until the last good keys are too old, even for tokens that were verified before.
    provider.kill();
    let begin = Instant::now();
    let answer = loop {
        let answer = gateway.get(&realm, &new).await;
        if answer.status != 200 {
            break answer;
        }
        assert!(begin.elapsed() < STALE + Duration::from_secs(2), "served with keys past their limit");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(begin.elapsed() > STALE - Duration::from_secs(2), "denied after {:?}: {}", begin.elapsed(), gateway.log());
    assert!(is_try_again_later(&answer), "{answer:?}");
    assert!(gateway.log().contains("keys_stale"), "{}", gateway.log());

    provider.restart();
    provider.control(&realm, json!({"keys": [3]})).await;
    until(&gateway, &realm, &new, 200, FOUND_AGAIN).await;
}

async fn faults(kind: Kind) {
    let provider = OidcProvider::start();
    let realms = FAULTS.map(|(metadata, keys)| format!("metadata-{metadata}-keys-{keys}").replace('_', "-"));
    for (realm, (metadata, keys)) in realms.iter().zip(FAULTS) {
        provider.fail(realm, metadata, keys).await;
    }
    let gateway = gateway(kind, "faults", &provider, &realms).await;

    let mut tokens = Vec::new();
    for realm in &realms {
        let token = provider.token(realm).await;
        let begin = Instant::now();
        let answer = gateway.get(realm, &token).await;
        assert!(is_try_again_later(&answer), "{realm}: {answer:?}: {}", gateway.log());
        // One call after another, each within its time-out; and this machine's leisure.
        assert!(begin.elapsed() < Duration::from_secs(3), "{realm}: denied after {:?}", begin.elapsed());
        tokens.push(token);
    }
    for realm in &realms {
        provider.fail(realm, "ok", "ok").await;
    }
    for (realm, token) in realms.iter().zip(&tokens) {
        until(&gateway, realm, token, 200, FOUND_AGAIN).await;
    }
    for (realm, (metadata, keys)) in realms.iter().zip(FAULTS) {
        provider.fail(realm, metadata, keys).await;
    }
    // Past the age of every set, so that each refresh has failed.
    let begin = Instant::now();
    while begin.elapsed() < AGE + Duration::from_secs(1) {
        for (realm, token) in realms.iter().zip(&tokens) {
            assert_eq!(gateway.get(realm, token).await.status, 200, "{realm}: {}", gateway.log());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for realm in &realms {
        let (metadata, keys) = provider.control(realm, json!({})).await;
        assert!(metadata + keys >= 1, "{realm}: nobody has asked");
    }
}

macro_rules! on_both_gateways {
    ($($name:ident: $what:ident,)*) => {
        mod on_our_host {$(
            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs the release wasm and the peers; make test runs it"]
            async fn $name() {
                super::$what(super::Kind::OurHost).await;
            }
        )*}
        mod under_envoy {$(
            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs the release wasm, .venv and the peers; make test runs it"]
            async fn $name() {
                super::$what(super::Kind::Envoy).await;
            }
        )*}
    };
}

on_both_gateways! {
    a_rotation_under_way_costs_no_valid_token_its_answer_and_the_old_key_dies: rotation,
    an_outage_is_not_noticed_until_the_keys_are_too_old: outage,
    a_provider_that_fails_lets_nobody_pass_when_cold_and_everybody_when_warm: faults,
}
