//! What the audit trail tells of a request and its answer.

use super::*;

fn facts() -> Snapshot {
    Snapshot { client: Some("203.0.113.9".to_owned()), request_id: Some("0f".repeat(16)), ..Snapshot::default() }
}

fn with_audit(audit: Value) -> Value {
    let mut config = config();
    config["audit"] = audit;
    config
}

fn owner() -> String {
    token(json!({"groups": ["payments"]}))
}

#[test]
fn a_line_has_the_address_and_the_gateway_s_own_id_of_the_request() {
    let node = Node::new();
    let route = node.route(&config());
    let sent = get(Some(&owner())).told(facts()).with("x-request-id", "of-the-client");
    let told = line(node.send(&route, &sent).1);
    assert_eq!((&told["client_address"], &told["request_id"]), (&json!("203.0.113.9"), &json!("0f".repeat(16))));
    assert_eq!((&told["x_request_id"], told.get("status")), (&json!("of-the-client"), None));
    let Effect::Answer(answer) = node.send(&route, &get(None).told(facts())).1 else { panic!("passed") };
    let told: Value = serde_json::from_str(&answer.audit.unwrap().1).unwrap();
    assert_eq!((&told["client_address"], &told["status"]), (&json!("203.0.113.9"), &json!(401)));
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["request_id"], told["request_id"], "by which the client can ask for it");
    let without = get(Some(&owner())).with("x-request-id", "of-envoy");
    assert_eq!(line(node.send(&route, &without).1)["request_id"], "of-envoy");
}

#[test]
fn the_answer_to_a_recorded_request_is_told_where_the_route_says_so() {
    let node = Node::new();
    let later = UnixMillis(NOW.0 + 42);
    let finished = |audit: Value, token: Option<&str>, status| {
        let (exchange, _) = node.send(&node.route(&with_audit(audit)), &get(token).told(facts()));
        exchange.finished(&node.cx(later), status)
    };
    let owner = owner();
    for (token, status) in [(Some(owner.as_str()), Some(204)), (None, Some(401)), (Some(owner.as_str()), None)] {
        let (level, line) = finished(json!({"answers": true, "log_level": "info"}), token, status).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(level, log::Level::Info);
        assert_eq!(told["answer"], json!({"status": status, "duration_ms": 42}));
        assert_eq!(told["request_id"], "0f".repeat(16));
    }
    assert!(finished(json!({}), Some(&owner), Some(204)).is_none());
    assert!(finished(json!({"answers": true, "sample_allows": 0.0}), Some(&owner), Some(204)).is_none());
}

#[test]
fn a_client_cannot_choose_which_of_its_requests_are_recorded() {
    let node = Node::new();
    let route = node.route(&with_audit(json!({"sample_allows": 0.5})));
    let owner = owner();
    let sent = get(Some(&owner))
        .with("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .with("x-request-id", "always-this");
    let recorded = (0..200).filter(|_| forwarded(node.send(&route, &sent).1).audit.is_some()).count();
    assert!((50..150).contains(&recorded), "{recorded} of 200 alike");
}
