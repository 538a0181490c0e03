//! CORS preflights.

use super::*;

fn preflight(path: &str) -> Sent {
    Sent::new(vec![
        (":method", "OPTIONS".into()),
        (":path", path.into()),
        ("origin", "https://portal.example".into()),
        ("access-control-request-method", "GET".into()),
        ("X_Backstage-User", "user:default/root".into()),
    ])
}

#[test]
fn a_preflight_passes_without_a_token_and_without_forged_tags() {
    let node = Node::new();
    let mut passes = config();
    passes["credentials"] = json!({"cors_preflight": "pass"});
    passes["quotas"] = json!({"policies": [{"name": "p", "per": "user", "windows": ["2/1h"]}]});
    let (route, checks) = (node.route(&passes), node.route(&config()));
    let preflight = preflight("/payments");
    let forward = forwarded(node.send(&route, &preflight).1);
    assert_eq!(edited(&forward, "x_backstage-user"), Some(None));
    assert_eq!(set(&forward, "x-backstage-entity-ref"), Some("api:default/payments"));
    assert_eq!(answered(node.send(&checks, &preflight).1).0, 401, "unless the route says so, it is checked");
    forwarded(node.send(&route, &preflight).1);
    assert_eq!(answered(node.send(&route, &preflight).1).0, 429, "and charged to callers without a token");
}

#[test]
fn a_preflight_does_not_leave_its_route() {
    let node = Node::new();
    let mut passes = config();
    passes["credentials"] = json!({"cors_preflight": "pass"});
    let route = node.route(&passes);
    assert_eq!(answered(node.send(&route, &preflight("/payments/..;/admin")).1).0, 400);
}
