use super::*;
use crate::lab::http::{Base, Client, header_map};
use crate::lab::resolve::Resolve;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(10);

async fn start() -> (Peers, Base, Base, Client) {
    let peers = Peers::start("127.0.0.1:0", "127.0.0.1:0", DEFAULT_ISSUER).await.unwrap();
    let (idp, upstream) = (Base::from(peers.idp), Base::from(peers.upstream));
    (peers, idp, upstream, Client::new(Resolve::default(), WAIT))
}

async fn post(client: &Client, base: &Base, path: &str, body: Value) -> (u16, Value) {
    let mut request = base.request(Method::POST, path);
    request.headers = header_map([("content-type", b"application/json".as_slice())]).unwrap();
    request.body = body.to_string().into();
    let answer = client.send(request, WAIT).await.unwrap();
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

async fn get(client: &Client, base: &Base, path: &str) -> (u16, Value) {
    let answer = client.get(base, path, WAIT).await.unwrap();
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

#[tokio::test]
async fn the_provider_publishes_keys_and_gives_tokens() {
    let (_peers, idp, _, client) = start().await;
    let (_, discovery) = get(&client, &idp, "/.well-known/openid-configuration").await;
    assert_eq!(discovery["issuer"], DEFAULT_ISSUER);
    let (_, keys) = get(&client, &idp, "/jwks.json").await;
    assert_eq!(keys["keys"].as_array().unwrap().len(), 3);
    let token = client.get(&idp, "/token/payments-dev?key=rs256", WAIT).await.unwrap();
    assert_eq!(String::from_utf8(token.body.to_vec()).unwrap().trim().split('.').count(), 3);
    assert_eq!(get(&client, &idp, "/token/x?forged=1").await.0, 400);
    let (status, answer) = post(&client, &idp, "/token", json!({"user": "x", "claims": {"a": 1}})).await;
    assert_eq!((status, &answer["expires_in"]), (200, &json!(600)));
    assert_eq!(post(&client, &idp, "/token", json!({"usr": "x"})).await.0, 422);
}

#[tokio::test]
async fn the_provider_misbehaves_when_told() {
    let (_peers, idp, _, client) = start().await;
    let before = get(&client, &idp, "/jwks.json").await.1;
    let (_, status) = post(&client, &idp, "/control", json!({"rotate": true, "keep_old": true})).await;
    assert_eq!(status["key_set_requests"], 1);
    let after = get(&client, &idp, "/jwks.json").await.1;
    assert_eq!(after["keys"].as_array().unwrap().len(), 6);
    assert_ne!(before["keys"][0]["kid"], after["keys"][0]["kid"]);
    for (behaviour, status) in [("empty", 200), ("garbage", 200), ("fail", 500), ("ok", 200)] {
        post(&client, &idp, "/control", json!({"key_set": behaviour})).await;
        assert_eq!(get(&client, &idp, "/jwks.json").await.0, status, "{behaviour}");
    }
    post(&client, &idp, "/control", json!({"key_set": "hang"})).await;
    let hung = client.get(&idp, "/jwks.json", Duration::from_millis(100)).await;
    assert_eq!(hung.unwrap_err(), crate::lab::http::FetchError::Timeout);
}

#[tokio::test]
async fn the_upstream_says_what_reached_it() {
    let (_peers, _, upstream, client) = start().await;
    let mut request = upstream.request(Method::PUT, "/a//../b?c=%2F");
    request.headers = header_map([("x-a", b"1".as_slice()), ("x-a", b"2\xff".as_slice())]).unwrap();
    request.body = "four".into();
    let answer = client.send(request, WAIT).await.unwrap();
    let seen: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&seen["method"], &seen["path"], &seen["query"]), (&json!("PUT"), &json!("/a//../b"), &json!("c=%2F")));
    assert_eq!((&seen["headers"]["x-a"], &seen["body_bytes"]), (&json!("1, 2\u{fffd}"), &json!(4)));
    let lines = seen["header_lines"].as_array().unwrap();
    assert_eq!(lines[..2], [json!(["x-a", "1"]), json!(["x-a", "2\u{fffd}"])], "{lines:?}");
    assert_eq!(get(&client, &upstream, "/payments/status/418").await.0, 418);
    assert_eq!(get(&client, &upstream, "/slow/1").await.0, 200);

    // More than hyper takes unless told.
    let mut request = upstream.request(Method::GET, "/");
    let names: Vec<String> = (0..500).map(|n| format!("x-{n}")).collect();
    request.headers = header_map(names.iter().map(|name| (name.as_str(), b"1".as_slice()))).unwrap();
    let answer = client.send(request, WAIT).await.unwrap();
    let seen: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(seen["header_lines"].as_array().unwrap().len(), 501);
}
