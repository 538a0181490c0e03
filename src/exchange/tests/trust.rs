//! Who may call, where somebody writes into the catalog what is not theirs to say.

use super::catalog::{audit, backstage, behind, config, entity, groups, status};
use super::*;
use std::time::Duration;

#[test]
fn two_unnamed_routes_of_one_service_do_not_share_an_entity() {
    let (node, backstage) = (Node::new(), backstage());
    let route = node.route(&config(json!({})));
    let (plain, tagged) = (&[][..], &["backstage-entity:api:ledger"][..]);
    for turns in [[("1", plain), ("2", tagged), ("1", plain)], [("4", tagged), ("3", plain), ("4", tagged)]] {
        for (id, tags) in turns {
            let facts = Snapshot { route_id: Some(id.to_owned()), ..behind(Some("payments-service"), tags) };
            let sent = get(Some(&groups(&["payments"]))).told(facts);
            let (_, effect) = backstage.serve(node.send(&route, &sent), &node.cx(NOW), &sent);
            let expected = if tags.is_empty() { "api:default/payments" } else { "api:default/ledger" };
            assert_eq!(audit(effect)["what"]["entity"], json!(expected), "{id}");
        }
    }
}

#[test]
fn what_others_write_into_their_files_gives_them_reading_at_most() {
    let (node, mut backstage) = (Node::new(), backstage());
    let by_service = node.route(&config(json!({})));
    let behind_service =
        |groups: &str, method| sent(method, "/", Some(groups)).told(behind(Some("payments-service"), &[]));
    let (evil, owner) = (groups(&["evil"]), groups(&["payments"]));
    backstage.tick(&node, &by_service, NOW);
    assert_eq!(status(node.send(&by_service, &behind_service(&evil, "GET")).1), 403);

    // A claim to the service, a component that consumes the API, and terms of their own for both.
    let annotations = json!({
        "backstage-kong/service": "payments-service", "backstage-kong/access": "anyone",
        "backstage-kong/approved-consumers": "group:default/evil"
    });
    let consumes = &[("ownedBy", "group:default/evil"), ("consumesApi", "api:default/payments")];
    backstage.entities.insert(0, entity("API", "aaa", annotations.clone(), &[("ownedBy", "group:default/evil")]));
    backstage.entities.push(entity("Component", "evil", annotations, consumes));
    let later = NOW.after(Duration::from_secs(60));
    backstage.tick(&node, &by_service, later);
    for (token, method, expected) in
        [(&evil, "GET", 200), (&evil, "POST", 403), (&evil, "get", 403), (&owner, "GET", 200), (&owner, "POST", 200)]
    {
        let sent = behind_service(token, method);
        let (_, effect) = node.send_at(&by_service, later, &sent);
        let line = audit(effect);
        assert_eq!(line["what"]["entity"], json!("api:default/payments"));
        assert_eq!(line["decision"], json!(if expected == 200 { "allow" } else { "deny" }), "{method} {line}");
    }
    assert_eq!(node.metrics.counts.borrow().get("catalog_faults;backstage=backstage.example"), Some(&2));

    // Where the API has to approve them, or there are no consumers, they do not read either.
    for (consumers, approved, expected) in [
        ("approved", "group:default/checkout", 403),
        ("approved", "group:default/evil", 200),
        ("none", "group:default/evil", 403),
    ] {
        let node = Node::new();
        let named = node.route(&config(json!({"entity": "api:default/payments", "catalog": {"consumers": consumers}})));
        let payments = backstage.entities.iter_mut().find(|entity| entity["metadata"]["name"] == "payments").unwrap();
        payments["metadata"]["annotations"]["backstage-kong/approved-consumers"] = json!(approved);
        let asked = get(Some(&evil));
        let (_, effect) = backstage.serve(node.send(&named, &asked), &node.cx(NOW), &asked);
        assert_eq!(status(effect), expected, "{consumers} {approved}");
    }
}

#[test]
fn what_kong_says_goes_before_any_claim() {
    let (node, mut backstage) = (Node::new(), backstage());
    // Nobody knows who had it first: without a word of Kong's, nobody calls it.
    backstage.entities.push(entity(
        "API",
        "aaa",
        json!({"backstage-kong/service": "payments-service", "backstage-kong/access": "anyone"}),
        &[],
    ));
    let (open, named) =
        (node.route(&config(json!({}))), node.route(&config(json!({"entity": "api:default/payments"}))));
    backstage.tick(&node, &open, NOW);
    let (owner, stranger) = (groups(&["payments"]), groups(&["search"]));
    let tag = &["backstage-entity:api:payments"][..];
    for (route, tags, token, reason) in [
        (&open, &[][..], &owner, "entity_ambiguous"),
        (&open, tag, &owner, "owner"),
        (&open, tag, &stranger, "not_allowed"),
        (&named, &[], &owner, "owner"),
        (&named, &[], &stranger, "not_allowed"),
    ] {
        let facts = Snapshot { route_id: Some(format!("{tags:?}")), ..behind(Some("payments-service"), tags) };
        let (_, effect) = node.send(route, &get(Some(token)).told(facts));
        assert_eq!(audit(effect)["reason"], json!(reason), "{tags:?}");
    }
}
