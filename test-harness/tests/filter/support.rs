//! A node, workers on it, a provider, and tokens.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use test_harness::built_filter;
use test_harness::lab::peers::{KeyKind, Mint, SigningKeys, TokenSpec};
use test_harness::{
    Clock, Dispatch, DispatchFailure, FilterModule, HostError, Metric, Node, Outcome, Profile, Reply, RequestHead,
    UpstreamReply, UpstreamRequest, Worker, Zone, drive,
};

pub(crate) const ISSUER: &str = "https://idp.example";
/// A time in the middle of a minute; tests move it by hand.
pub(crate) const NOW_MS: u64 = 1_750_000_010_000;
/// How often a worker ticks.
pub(crate) const TICK_MS: u64 = 50;
pub(crate) const PROFILES: [Profile; 2] = [Profile::Kong, Profile::Envoy];

pub(crate) static KEYS: LazyLock<SigningKeys> = LazyLock::new(|| SigningKeys::generate().unwrap());
pub(crate) static OTHER_KEYS: LazyLock<SigningKeys> = LazyLock::new(|| SigningKeys::generate().unwrap());

pub(crate) fn module() -> Arc<FilterModule> {
    FilterModule::load(built_filter().unwrap()).unwrap()
}

pub(crate) fn node(profile: Profile) -> Node {
    Node::builder(profile)
        .zones([Zone::named("backstage_kong_keys", 1 << 20), Zone::named("backstage_kong_quota", 1 << 20)])
        .clusters(["idp.example:443"])
        .clock(Clock::Manual(NOW_MS))
        .filter_name("backstage_kong")
        .build()
}

/// A route whose issuer's keys are fetched; `change` replaces top-level settings.
pub(crate) fn config(change: Value) -> Value {
    let mut config = json!({
        "entity": "api:default/payments",
        "owner": "group:default/payments",
        "consumers": ["group:default/checkout"],
        "issuers": [{
            "issuer": ISSUER, "audiences": ["payments"],
            "jwks_uri": "https://idp.example/keys", "upstream": "idp.example:443"
        }],
        "policy": {"agents": "read_only", "rules": [
            {"name": "read", "methods": ["GET"], "allow": ["owner", "consumer"]},
            {"name": "write", "allow": ["owner"]}
        ]}
    });
    config.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    config
}

/// The filter with an allocator that counts.
pub(crate) fn measured() -> Arc<FilterModule> {
    FilterModule::load(concat!(env!("CARGO_MANIFEST_DIR"), "/measured/measured.wasm")).unwrap()
}

pub(crate) fn start(node: &Node, routes: &[(&str, Value)]) -> Worker {
    start_of(&module(), node, routes)
}

pub(crate) fn start_of(module: &Arc<FilterModule>, node: &Node, routes: &[(&str, Value)]) -> Worker {
    let routes: Vec<_> =
        routes.iter().map(|(name, config)| ((*name).to_owned(), config.to_string().into_bytes())).collect();
    Worker::start(node, module, &routes).unwrap()
}

pub(crate) fn token_by(keys: &SigningKeys, key: KeyKind, claims: Value) -> String {
    let spec = TokenSpec {
        user: Some("ada".into()),
        key,
        claims: claims.as_object().unwrap().clone(),
        ..TokenSpec::default()
    };
    Mint { issuer: ISSUER, keys, now: i64::try_from(NOW_MS / 1000).unwrap() }.token(&spec).unwrap()
}

pub(crate) fn token(claims: Value) -> String {
    token_by(&KEYS, KeyKind::Es256, claims)
}

pub(crate) fn key_set(keys: &SigningKeys) -> Reply {
    let mut reply = Reply::new(200, json!({"keys": keys.public()}).to_string());
    reply.headers.push(("content-type".into(), b"application/json".to_vec()));
    reply
}

pub(crate) fn get(token: &str) -> RequestHead {
    RequestHead::get("/payments/42").header("authorization", format!("Bearer {token}"))
}

/// Sends a request through a worker; the provider answers as told, the upstream with 200.
pub(crate) fn send_with(
    worker: &mut Worker,
    request: RequestHead,
    provider: &mut dyn FnMut(&Dispatch) -> Result<Reply, DispatchFailure>,
) -> Result<Outcome, HostError> {
    let mut upstream = |_: &UpstreamRequest| UpstreamReply { status: 200, ..UpstreamReply::default() };
    drive(worker, "payments", request, provider, &mut upstream)
}

/// Sends a request; the provider is up.
pub(crate) fn send(worker: &mut Worker, request: RequestHead) -> Outcome {
    send_with(worker, request, &mut |_| Ok(key_set(&KEYS))).unwrap()
}

/// The counters whose name begins like this, added up.
pub(crate) fn count(node: &Node, prefix: &str) -> u64 {
    let metrics: BTreeMap<String, Metric> = node.metrics();
    let counters = metrics.iter().filter(|(name, _)| name.trim_start_matches("pw:backstage_kong:").starts_with(prefix));
    counters.map(|(_, metric)| if let Metric::Counter(value) = metric { *value } else { 0 }).sum()
}
