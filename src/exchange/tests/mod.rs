//! Whole requests through the core, without a proxy.

mod catalog;
mod engine;
mod floods;
mod groups;
mod leaving;
mod preflight;
mod providers;
mod rotation;
mod telling;
mod trust;
mod userinfo;

use super::*;
use crate::config::Config;
use crate::host::{Editing, Lines, MemoryStore, MetricId, MetricKind, joined};
use crate::jose::testing;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// 2025-06-15T15:06:40Z, a time in the middle of a day and of a minute.
const NOW: UnixMillis = UnixMillis(1_750_000_000_000);

struct Node {
    worker: Worker,
    background: Background,
    store: MemoryStore,
    metrics: Counts,
}

#[derive(Default)]
struct Counts {
    names: RefCell<Vec<String>>,
    counts: RefCell<BTreeMap<String, u64>>,
}

impl Metrics for Counts {
    fn define(&self, _: MetricKind, name: &str) -> Option<MetricId> {
        let mut names = self.names.borrow_mut();
        names.push(name.to_owned());
        u32::try_from(names.len() - 1).ok().map(MetricId)
    }

    fn add(&self, id: MetricId, by: u64) {
        let name = self.names.borrow()[id.0 as usize].clone();
        *self.counts.borrow_mut().entry(name).or_default() += by;
    }

    fn record(&self, id: MetricId, value: u64) {
        let name = self.names.borrow()[id.0 as usize].clone();
        self.counts.borrow_mut().insert(name, value);
    }

    fn value(&self, id: MetricId) -> Option<u64> {
        self.counts.borrow().get(&self.names.borrow()[id.0 as usize]).copied()
    }
}

/// A request, and what the host tells of it.
struct Sent {
    lines: Vec<(&'static str, String)>,
    facts: Snapshot,
    editing: Editing,
}

impl Sent {
    fn new(lines: Vec<(&'static str, String)>) -> Self {
        Self { lines, facts: Snapshot::default(), editing: Editing::EveryLine }
    }

    fn told(self, facts: Snapshot) -> Self {
        Self { facts, ..self }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.lines.push((name, value.to_owned()));
        self
    }
}

impl RequestHeaders for Sent {
    fn get(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let lines = self.lines.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        joined(name, lines.map(|(_, value)| value.as_bytes()))
    }

    fn lines(&self) -> Option<Lines<'_>> {
        Some(Box::new(self.lines.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))))
    }

    fn editing(&self) -> Editing {
        self.editing
    }
}

impl Node {
    fn new() -> Self {
        Self {
            worker: Worker::default(),
            background: Background::default(),
            store: MemoryStore::default(),
            metrics: Counts::default(),
        }
    }

    fn cx(&self, now: UnixMillis) -> Context<'_> {
        Context { worker: &self.worker, store: &self.store, metrics: &self.metrics, now }
    }

    fn route(&self, config: &Value) -> Rc<Route> {
        Route::new(Config::parse(config.to_string().as_bytes()).unwrap(), &self.worker)
    }

    fn send(&self, route: &Rc<Route>, sent: &Sent) -> (Exchange, Effect) {
        self.send_at(route, NOW, sent)
    }

    fn send_at(&self, route: &Rc<Route>, now: UnixMillis, sent: &Sent) -> (Exchange, Effect) {
        begin(route, &self.cx(now), sent, &sent.facts)
    }

    /// The call that a tick makes, if it makes one. It goes by the token 1.
    fn tick(&self, route: &Route, now: UnixMillis) -> Option<Call> {
        self.tick_as(route, now, 1)
    }

    /// The same, by another token.
    fn tick_as(&self, route: &Route, now: UnixMillis, token: u32) -> Option<Call> {
        let mut sent = None;
        tick(&self.background, route, &self.cx(now), &mut |call| {
            assert!(sent.replace(call.clone()).is_none(), "one call a tick");
            Some(token)
        });
        sent
    }

    /// The answer to that call comes.
    fn answer(&self, now: UnixMillis, reply: Option<&Reply>) {
        background_answered(&self.background, &self.cx(now), 1, reply);
    }
}

fn config() -> Value {
    json!({
        "entity": "api:default/payments",
        "owner": "group:default/payments",
        "consumers": ["group:default/checkout"],
        "issuers": [{
            "issuer": "https://idp.example", "audiences": ["payments"],
            "jwks": serde_json::from_str::<Value>(testing::jwks()).unwrap()
        }],
        "policy": {"agents": "read_only", "rules": [
            {"name": "read", "methods": ["GET"], "allow": ["owner", "consumer"]},
            {"name": "write", "allow": ["owner"]}
        ]}
    })
}

fn token(claims: Value) -> String {
    let mut all = json!({"iss": "https://idp.example", "aud": "payments", "sub": "ada", "iat": NOW.seconds(), "exp": NOW.seconds() + 300});
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    testing::token("ES256", &all)
}

fn get(token: Option<&str>) -> Sent {
    sent("GET", "/payments/42", token)
}

fn sent(method: &str, path: &str, token: Option<&str>) -> Sent {
    let mut headers = vec![(":method", method.to_owned()), (":path", path.to_owned())];
    headers.extend(token.map(|token| ("authorization", format!("Bearer {token}"))));
    Sent::new(headers)
}

fn forwarded(effect: Effect) -> Forward {
    match effect {
        Effect::Forward(forward) => forward,
        Effect::Answer(answer) => panic!("answered: {}", String::from_utf8_lossy(&answer.body)),
        Effect::Dispatch(call) => panic!("calls {call:?}"),
        Effect::Nothing => panic!("nothing happens"),
    }
}

fn answered(effect: Effect) -> (u16, Value) {
    match effect {
        Effect::Answer(answer) => (answer.status, serde_json::from_slice(&answer.body).unwrap()),
        Effect::Forward(_) => panic!("forwarded"),
        Effect::Dispatch(call) => panic!("calls {call:?}"),
        Effect::Nothing => panic!("nothing happens"),
    }
}

/// What the upstream gets under a name: nothing where the header is dropped, and `None` where it stays as it is.
fn edited<'a>(forward: &'a Forward, name: &str) -> Option<Option<&'a str>> {
    forward.edits.iter().find(|edit| edit.name.eq_ignore_ascii_case(name)).map(|edit| edit.value.as_deref())
}

fn set<'a>(forward: &'a Forward, name: &str) -> Option<&'a str> {
    edited(forward, name).flatten()
}

#[test]
fn callers_are_decided_by_what_they_own() {
    let node = Node::new();
    let route = node.route(&config());
    let cases = [
        ("GET", json!({"groups": ["checkout"]}), 200),
        ("GET", json!({"groups": ["payments"]}), 200),
        ("POST", json!({"groups": ["payments"]}), 200),
        ("POST", json!({"groups": ["checkout"]}), 403),
        ("GET", json!({"groups": []}), 403),
        ("GET", json!({"groups": ["payments"], "act": {"sub": "bot"}}), 200),
        ("POST", json!({"groups": ["payments"], "act": {"sub": "bot"}}), 403),
        ("GET", json!({"hasgroups": true}), 403),
        ("POST", json!({"groups": "payments"}), 200),
        ("POST", json!({"groups": "not payments"}), 403),
        ("GET", json!({"aud": "others"}), 401),
    ];
    for (method, claims, status) in cases {
        let (_, effect) = node.send(&route, &sent(method, "/payments/42", Some(&token(claims.clone()))));
        match status {
            200 => assert!(set(&forwarded(effect), "x-backstage-entity-ref").is_some(), "{method} {claims}"),
            status => assert_eq!(answered(effect).0, status, "{method} {claims}"),
        }
    }
    assert_eq!(answered(node.send(&route, &get(None)).1).0, 401);
}

#[test]
fn the_token_does_not_reach_the_upstream_and_tags_do() {
    let node = Node::new();
    let route = node.route(&config());
    let forward = forwarded(node.send(&route, &get(Some(&token(json!({"groups": ["payments"]}))))).1);
    assert_eq!(edited(&forward, "authorization"), Some(None));
    assert_eq!(set(&forward, "x-backstage-owner"), Some("group:default/payments"));
    assert_eq!(set(&forward, "x-backstage-user"), Some("user:default/ada"));
    assert_eq!(set(&forward, "x-backstage-groups"), Some("group:default/payments"));
}

#[test]
fn shadow_mode_records_a_denial_and_lets_pass() {
    let node = Node::new();
    let mut config = config();
    config["policy"]["mode"] = json!("shadow");
    let route = node.route(&config);
    let forward = forwarded(node.send(&route, &get(None)).1);
    let line: Value = serde_json::from_str(&forward.audit.unwrap().1).unwrap();
    assert_eq!(
        (line["decision"].as_str(), line["reason"].as_str()),
        (Some("shadow_deny"), Some("credentials_required"))
    );
    assert_eq!(edited(&forwarded(node.send(&route, &get(Some("a.b.c"))).1), "authorization"), None, "as before");
}

/// The audit line of a request that passes.
fn line(effect: Effect) -> Value {
    serde_json::from_str(&forwarded(effect).audit.unwrap().1).unwrap()
}

#[test]
fn shadow_mode_refuses_charges_and_delays_nothing() {
    let quotas = json!({"policies": [{"name": "p", "per": "group", "windows": ["1/1h"]}]});
    let mut enforced = config();
    enforced["quotas"] = quotas.clone();
    let mut shadow = enforced.clone();
    shadow["policy"]["mode"] = json!("shadow");
    shadow["issuers"]
        .as_array_mut()
        .unwrap()
        .push(json!({"issuer": "https://cold.example", "audiences": ["payments"]}));
    let node = Node::new();
    let (enforced, shadow) = (node.route(&enforced), node.route(&shadow));
    let of_group = |group: &str| get(Some(&token(json!({"groups": [group]}))));
    let cases = [
        (of_group("payments"), "allow", "owner"),
        (of_group("payments"), "shadow_deny", "quota_exceeded"),
        (of_group("strangers"), "shadow_deny", "not_allowed"),
        (get(None), "shadow_deny", "credentials_required"),
        (get(Some("a b")), "shadow_deny", "credential_malformed"),
        (get(Some("not.a.token")), "shadow_deny", "token_malformed"),
        (get(Some(&token(json!({"exp": 1})))), "shadow_deny", "token_expired"),
        (get(Some(&token(json!({"iss": "https://cold.example"})))), "shadow_deny", "keys_unavailable"),
        (get(None).with("authorization", "Basic YTpi"), "shadow_deny", "credentials_required"),
        (get(None).with("x-backstage-user", "a").with("x-backstage-user", "b"), "shadow_deny", "credentials_required"),
    ];
    for (sent, decision, reason) in cases {
        let (exchange, effect) = node.send(&shadow, &sent);
        assert!(exchange.response_headers().is_empty());
        let Effect::Forward(forward) = &effect else { panic!("{reason}: not forwarded at once") };
        assert_eq!(edited(forward, "authorization"), None, "{reason}: the credential goes on as it came");
        assert_ne!(edited(forward, "x-backstage-user").flatten(), Some("a"));
        let line = line(effect);
        assert_eq!((&line["decision"], &line["reason"]), (&json!(decision), &json!(reason)));
        assert_eq!(line["mode"], "shadow");
    }
    forwarded(node.send(&enforced, &of_group("payments")).1);
    assert_eq!(answered(node.send(&enforced, &of_group("payments")).1).0, 429, "a budget of its own");

    let mut removes = config();
    removes["policy"]["mode"] = json!("shadow");
    removes["credentials"] = json!({"forward_token": false});
    let forward = forwarded(node.send(&node.route(&removes), &of_group("payments")).1);
    assert_eq!(edited(&forward, "authorization"), Some(None), "where the configuration says so");
}

#[test]
fn in_shadow_mode_what_a_host_cannot_strip_is_refused_all_the_same() {
    let node = Node::new();
    let mut config = config();
    config["policy"]["mode"] = json!("shadow");
    let mut sent = get(None).with("x-backstage-user", "a").with("x-backstage-user", "b");
    sent.editing = Editing::FirstLine;
    let (status, problem) = answered(node.send(&node.route(&config), &sent).1);
    assert_eq!((status, &problem["reason"]), (400, &json!("header_repeated")));
}

#[test]
fn another_schemes_credential_is_the_upstreams_business() {
    let node = Node::new();
    let mut open = config();
    open["policy"]["rules"] = json!([{"allow": ["anyone"]}]);
    let (open, closed) = (node.route(&open), node.route(&config()));
    for credential in ["Basic YTpi", "AWS4-HMAC-SHA256 Credential=a, Signature=b", ""] {
        let sent = get(None).with("authorization", credential);
        assert_eq!(edited(&forwarded(node.send(&open, &sent).1), "authorization"), None, "{credential:?}");
        let (status, problem) = answered(node.send(&closed, &sent).1);
        assert_eq!((status, &problem["reason"]), (401, &json!("credentials_required")), "{credential:?}");
    }
    let two = get(None).with("authorization", "Basic YTpi").with("authorization", "Bearer a.b.c");
    assert_eq!(answered(node.send(&open, &two).1).0, 400);
}

#[test]
fn a_method_override_does_not_reach_the_upstream_where_the_method_matters() {
    let node = Node::new();
    let mut by_caller = config();
    by_caller["policy"] = json!({"agents": "allow", "rules": [{"allow": ["owner"]}]});
    let sent = || {
        let token = token(json!({"groups": ["payments"]}));
        get(Some(&token)).with("X-HTTP-Method-Override", "DELETE").with("x_http_method", "PUT")
    };
    for (config, dropped) in [(config(), Some(None)), (by_caller, None)] {
        let forward = forwarded(node.send(&node.route(&config), &sent()).1);
        assert_eq!(edited(&forward, "x-http-method-override"), dropped);
        assert_eq!(edited(&forward, "x_http_method"), dropped);
    }
}

#[test]
fn an_exhausted_quota_is_charged_to_the_group_that_granted_access() {
    let node = Node::new();
    let mut config = config();
    config["quotas"] = json!({"policies": [{"name": "per-group", "per": "group", "windows": ["2/1h"]}]});
    let route = node.route(&config);
    let call = |user: &str, group: &str| {
        let token = token(json!({"sub": user, "groups": [group]}));
        node.send(&route, &get(Some(&token)))
    };
    let (admitted, effect) = call("ada", "checkout");
    forwarded(effect);
    assert!(admitted.response_headers().iter().any(|(name, _)| name.eq_ignore_ascii_case("ratelimit")));
    forwarded(call("grace", "checkout").1);
    let (status, problem) = answered(call("ada", "checkout").1);
    assert_eq!(
        (status, problem["type"].as_str()),
        (429, Some("https://iana.org/assignments/http-problem-types#quota-exceeded"))
    );
    forwarded(call("ada", "payments").1);
}

#[test]
fn a_refused_configuration_answers_every_request_with_503() {
    let node = Node::new();
    let (_, effect) = refuse_misconfigured(&node.cx(NOW), &get(None), &Snapshot::default());
    assert_eq!(answered(effect).0, 503);
}

#[test]
fn decisions_are_counted_by_entity_owner_group_and_reason() {
    let node = Node::new();
    let route = node.route(&config());
    let (exchange, _) = node.send(&route, &get(Some(&token(json!({"groups": ["payments"]})))));
    exchange.finished(&node.cx(NOW), Some(200));
    let counts = node.metrics.counts.borrow();
    let name = "decisions;entity=api:default/payments;owner=group:default/payments;group=group:default/payments;decision=allow;reason=owner";
    assert_eq!(counts.get(name), Some(&1), "{counts:?}");
    assert!(counts.keys().any(|name| name.starts_with("responses;") && name.contains(";class=2xx")), "{counts:?}");
}
