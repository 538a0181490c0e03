//! Callers that are known, and groups that change.

use super::catalog::{Backstage, backstage, config, entity, groups};
use super::userinfo::{backstage_token, config_with_userinfo, told};
use super::*;
use std::time::Duration;

/// When the catalog is read for the nth time.
fn reading(number: u32) -> UnixMillis {
    NOW.after(Duration::from_secs(60) * number)
}

fn verified(node: &Node) -> u64 {
    node.metrics.counts.borrow().get("verifications;result=held").copied().unwrap_or_default()
}

fn status(effect: Effect) -> u16 {
    match effect {
        Effect::Forward(_) => 200,
        effect => answered(effect).0,
    }
}

/// A Backstage where the group `payments`, with this id at the identity provider, is below these groups.
fn with_payments(id: &str, parents: &[&str]) -> Backstage {
    let mut backstage = backstage();
    let parents: Vec<_> = parents.iter().map(|parent| ("childOf", *parent)).collect();
    backstage.groups[0] = entity("Group", "payments", json!({"keycloak.org/id": id}), &parents);
    backstage
}

#[test]
fn a_changed_group_costs_tokens_that_are_known_no_signature() {
    let node = Node::new();
    let mut config = config(json!({"entity": "api:default/ledger", "catalog": {"parent_groups": true}}));
    config["issuers"][0]["groups"] = json!({"annotation": "keycloak.org/id"});
    let route = node.route(&config);
    let requests: Vec<_> = ["ada", "bob", "eve"]
        .map(|user| {
            let claims = json!({"sub": user, "groups": ["kc-payments"], "exp": NOW.seconds() + 3600});
            get(Some(&token(claims)))
        })
        .into();
    // The ledger is owned by `finance`.
    let cases = [
        ("kc-payments", &["group:default/finance"][..], 200),
        ("kc-payments", &[], 403),
        ("kc-payments", &["group:default/finance"], 200),
        ("kc-other", &["group:default/finance"], 403),
        ("kc-payments", &["group:default/finance"], 200),
    ];
    for (number, (id, parents, expected)) in (0..).zip(cases) {
        with_payments(id, parents).tick(&node, &route, reading(number));
        for sent in &requests {
            assert_eq!(status(node.send_at(&route, reading(number), sent).1), expected, "{id} {parents:?}");
            let known = node.worker.tokens.borrow().len();
            assert_eq!(status(node.send_at(&route, reading(number), sent).1), expected, "{id} {parents:?}");
            assert_eq!(node.worker.tokens.borrow().len(), known);
        }
        assert_eq!(verified(&node), 3, "{id} {parents:?}");
    }
}

#[test]
fn groups_that_an_issuer_told_are_looked_up_anew_without_asking_it_again() {
    let node = Node::new();
    let mut config = config(json!({"entity": "api:default/ledger", "catalog": {"parent_groups": true}}));
    config["issuers"] = config_with_userinfo()["issuers"].clone();
    let route = node.route(&config);
    with_payments("x", &["group:default/finance"]).tick(&node, &route, reading(0));
    let sent = get(Some(&backstage_token(json!({"exp": NOW.seconds() + 3600}))));
    let (waiting, effect) = node.send_at(&route, NOW, &sent);
    assert!(matches!(effect, Effect::Dispatch(_)));
    let answer = told("user:default/ada", json!(["group:default/payments"]));
    assert_eq!(status(waiting.answered(&node.cx(NOW), &sent, answer.as_ref()).1), 200);
    for (number, parents, expected) in [(1, &[][..], 403), (2, &["group:default/finance"], 200)] {
        with_payments("x", parents).tick(&node, &route, reading(number));
        assert_eq!(status(node.send_at(&route, reading(number), &sent).1), expected, "{parents:?}");
    }
    assert_eq!(verified(&node), 1);
}

#[test]
fn groups_that_an_issuer_did_not_tell_stay_unknown_whatever_the_catalog_says() {
    for (answer, expected) in [(None, 503), (told("user:default/ada", json!(7)), 403)] {
        let node = Node::new();
        let mut config = config(json!({"entity": "api:default/ledger", "catalog": {"parent_groups": true}}));
        config["issuers"] = config_with_userinfo()["issuers"].clone();
        let route = node.route(&config);
        with_payments("x", &["group:default/finance"]).tick(&node, &route, reading(0));
        let sent = get(Some(&backstage_token(json!({}))));
        let late = reading(1);
        let (waiting, _) = node.send_at(&route, late, &sent);
        assert_eq!(status(waiting.answered(&node.cx(late), &sent, answer.as_ref()).1), expected);
        with_payments("x", &[]).tick(&node, &route, late);
        let (_, effect) = node.send_at(&route, late.after(Duration::from_secs(1)), &sent);
        assert_eq!(status(effect), expected, "not taken for none");
    }
}

#[test]
fn a_catalog_that_comes_back_gives_known_callers_their_groups() {
    let node = Node::new();
    let mut config =
        config(json!({"entity": "api:default/payments", "catalog": {"max_stale_seconds": 100, "on_stale": "deny"}}));
    config["issuers"][0]["groups"] = json!({"annotation": "keycloak.org/id"});
    let route = node.route(&config);
    let sent = get(Some(&groups(&["kc-payments"])));
    let payments = with_payments("kc-payments", &[]);
    payments.tick(&node, &route, reading(0));
    assert_eq!(status(node.send_at(&route, reading(0), &sent).1), 200);
    let late = NOW.after(Duration::from_secs(101));
    let (waiting, effect) = node.send_at(&route, late, &sent);
    let effect =
        if let Effect::Dispatch(_) = effect { waiting.answered(&node.cx(late), &sent, None).1 } else { effect };
    assert_eq!(status(effect), 503);
    payments.tick(&node, &route, reading(3));
    assert_eq!(status(node.send_at(&route, reading(3), &sent).1), 200);
    assert_eq!(verified(&node), 1);
}
