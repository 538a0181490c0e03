//! Requests on routes whose entity, owners and consumers the catalog says.

use super::*;
use crate::http::Call;
use std::time::Duration;

/// A Backstage with one page of everything.
pub(super) struct Backstage {
    pub(super) groups: Vec<Value>,
    pub(super) entities: Vec<Value>,
}

pub(super) fn entity(kind: &str, name: &str, annotations: Value, relations: &[(&str, &str)]) -> Value {
    let relations: Vec<_> = relations.iter().map(|(kind, to)| json!({"type": kind, "targetRef": to})).collect();
    let metadata = json!({"name": name, "annotations": annotations});
    json!({"kind": kind, "metadata": metadata, "spec": {"lifecycle": "production"}, "relations": relations})
}

pub(super) fn backstage() -> Backstage {
    Backstage {
        groups: vec![
            entity(
                "Group",
                "payments",
                json!({"keycloak.org/id": "kc-payments"}),
                &[("childOf", "group:default/finance")],
            ),
            entity("Group", "checkout", json!({"backstage-kong/quota-tier": "gold"}), &[]),
            entity("Group", "finance", json!({}), &[("childOf", "group:default/payments")]),
        ],
        entities: vec![
            entity(
                "API",
                "payments",
                json!({"kong-manager/service-name": "payments-service"}),
                &[("ownedBy", "group:default/payments")],
            ),
            entity(
                "Component",
                "web",
                json!({}),
                &[("ownedBy", "group:default/checkout"), ("consumesApi", "api:default/payments")],
            ),
            entity(
                "API",
                "open",
                json!({"backstage-kong/access": "anyone", "backstage-kong/write-access": "owner", "backstage-kong/agents": "deny"}),
                &[("ownedBy", "group:default/payments")],
            ),
            entity(
                "API",
                "broken",
                json!({"backstage-kong/access": "everybody"}),
                &[("ownedBy", "group:default/payments")],
            ),
            entity("API", "ledger", json!({}), &[("ownedBy", "group:default/finance")]),
        ],
    }
}

impl Backstage {
    pub(super) fn reply(&self, call: &Call) -> Reply {
        let items = if call.to.path.contains("group&") || call.to.path.ends_with("filter=kind%3Dgroup") {
            &self.groups
        } else {
            &self.entities
        };
        let body = json!({"items": items, "pageInfo": {}}).to_string().into_bytes();
        Reply { status: 200, cache_control: None, body }
    }

    /// Lets a request read the catalog, where it is the first.
    pub(super) fn serve(
        &self,
        mut step: (Exchange, Effect),
        cx: &Context<'_>,
        sent: &dyn RequestHeaders,
    ) -> (Exchange, Effect) {
        while let Effect::Dispatch(call) = &step.1 {
            let reply = self.reply(call);
            step = step.0.answered(cx, sent, Some(&reply));
        }
        step
    }

    /// Lets ticks read the catalog, page by page.
    pub(super) fn tick(&self, node: &Node, route: &Route, now: UnixMillis) {
        while let Some(call) = node.tick(route, now) {
            node.answer(now, Some(&self.reply(&call)));
        }
    }
}

/// What the gateway tells of the service behind a request.
pub(super) fn behind(service: Option<&str>, tags: &[&str]) -> Snapshot {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    Snapshot { service: service.map(str::to_owned), tags, ..Snapshot::default() }
}

pub(super) fn config(more: Value) -> Value {
    let mut config = json!({
        "catalog": {"url": "http://backstage.example", "token": "t", "max_stale_seconds": 600},
        "issuers": super::config()["issuers"]
    });
    for (name, value) in more.as_object().unwrap() {
        match (config.get_mut(name), value) {
            (Some(Value::Object(known)), Value::Object(more)) => known.extend(more.clone()),
            _ => config[name] = value.clone(),
        }
    }
    config
}

pub(super) fn groups(groups: &[&str]) -> String {
    token(json!({"groups": groups, "exp": NOW.seconds() + 3600}))
}

pub(super) fn status(effect: Effect) -> u16 {
    match effect {
        Effect::Forward(_) => 200,
        Effect::Answer(answer) => answer.status,
        Effect::Dispatch(call) => panic!("calls {call:?}"),
        Effect::Nothing => panic!("nothing happens"),
    }
}

pub(super) fn audit(effect: Effect) -> Value {
    let line = match effect {
        Effect::Forward(forward) => forward.audit,
        Effect::Answer(answer) => answer.audit,
        Effect::Dispatch(_) | Effect::Nothing => None,
    };
    serde_json::from_str(&line.unwrap().1).unwrap()
}

#[test]
fn the_first_request_reads_the_catalog_and_is_decided_by_it() {
    let (node, backstage) = (Node::new(), backstage());
    let route = node.route(&config(json!({"entity": "api:default/payments"})));
    let sent = get(Some(&groups(&["payments"])));
    let begun = node.send(&route, &sent);
    let waiting = node.send(&route, &sent);
    assert_eq!(answered(waiting.1).0, 503, "another reads already");
    let (_, effect) = backstage.serve(begun, &node.cx(NOW), &sent);
    let forward = forwarded(effect);
    assert_eq!(set(&forward, "x-backstage-owner"), Some("group:default/payments"));
    let line: Value = serde_json::from_str(&forward.audit.unwrap().1).unwrap();
    assert_eq!((&line["what"]["lifecycle"], &line["what"]["ownership"]), (&json!("production"), &json!("catalog")));
    assert_eq!((&line["rule"], &line["reason"]), (&json!("catalog"), &json!("owner")));
    assert_eq!(node.metrics.counts.borrow().get("catalog_entities;backstage=backstage.example"), Some(&5));
}

#[test]
fn owners_consumers_and_annotations_decide_and_nobody_else() {
    let (node, backstage) = (Node::new(), backstage());
    let cases = [
        ("payments", "GET", Some(&["payments"][..]), 200, "owner"),
        ("payments", "POST", Some(&["payments"]), 200, "owner"),
        // Who says that it consumes an API reads at most.
        ("payments", "GET", Some(&["checkout"]), 200, "consumer"),
        ("payments", "HEAD", Some(&["checkout"]), 200, "consumer"),
        ("payments", "POST", Some(&["checkout"]), 403, "not_allowed"),
        ("payments", "DELETE", Some(&["checkout"]), 403, "not_allowed"),
        ("payments", "GET", Some(&["search"]), 403, "not_allowed"),
        ("payments", "GET", None, 401, "credentials_required"),
        ("open", "GET", None, 200, "anyone"),
        ("open", "POST", Some(&["payments"]), 200, "owner"),
        ("open", "POST", Some(&["checkout"]), 403, "not_allowed"),
        ("broken", "GET", Some(&["payments"]), 403, "not_allowed"),
        ("unheard-of", "GET", Some(&["payments"]), 403, "entity_unknown"),
    ];
    for (name, method, caller, status, reason) in cases {
        let route = node.route(&config(json!({"entity": format!("api:default/{name}")})));
        let sent = sent(method, "/", caller.map(groups).as_deref());
        let (_, effect) = backstage.serve(node.send(&route, &sent), &node.cx(NOW), &sent);
        let decision = if status == 200 { "allow" } else { "deny" };
        let line = audit(effect);
        assert_eq!(
            (line["decision"].as_str(), line["reason"].as_str()),
            (Some(decision), Some(reason)),
            "{name} {line}"
        );
    }
}

#[test]
fn an_entity_narrows_what_agents_may_do_and_never_widens_it() {
    let (node, backstage) = (Node::new(), backstage());
    let agent = token(json!({"groups": ["payments"], "act": {"sub": "bot"}}));
    for (name, agents, expected) in [("payments", "allow", 200), ("open", "allow", 403), ("payments", "deny", 403)] {
        let route = node.route(&config(json!({"entity": format!("api:default/{name}"), "policy": {"agents": agents}})));
        let sent = get(Some(&agent));
        assert_eq!(
            status(backstage.serve(node.send(&route, &sent), &node.cx(NOW), &sent).1),
            expected,
            "{name} {agents}"
        );
    }
}

#[test]
fn a_route_that_names_nothing_is_found_by_its_service_or_a_tag() {
    let (node, backstage) = (Node::new(), backstage());
    let route = node.route(&config(json!({})));
    let cases = [
        (Some("payments-service"), &[][..], Some("api:default/payments"), 200),
        (Some("payments-service"), &["team:x", "backstage-entity:api:ledger"], Some("api:default/ledger"), 403),
        (None, &["backstage-entity:api:default:payments"], Some("api:default/payments"), 200),
        (Some("other"), &[], None, 403),
        (None, &[], None, 403),
        (Some("other"), &["backstage-entity:api:gone"], Some("api:default/gone"), 403),
    ];
    for (index, (service, tags, entity, expected)) in cases.into_iter().enumerate() {
        let facts = Snapshot { route_id: Some(format!("route {index}")), ..behind(service, tags) };
        let sent = get(Some(&groups(&["payments"]))).told(facts);
        let (_, effect) = backstage.serve(node.send_at(&route, NOW, &sent), &node.cx(NOW), &sent);
        let line = match &effect {
            Effect::Forward(forward) => forward.audit.clone(),
            Effect::Answer(answer) => answer.audit.clone(),
            _ => None,
        };
        let line: Value = serde_json::from_str(&line.unwrap().1).unwrap();
        assert_eq!(line["what"]["entity"].as_str(), entity, "{service:?} {tags:?}");
        assert_eq!(status(effect), expected, "{service:?} {tags:?}");
    }
}

#[test]
fn in_shadow_mode_a_route_without_an_entity_passes_and_is_recorded() {
    let (node, backstage) = (Node::new(), backstage());
    let route = node.route(&config(json!({"policy": {"mode": "shadow"}})));
    let asked = get(Some("a token that nobody looks at")).with("baggage", "backstage.user=user:default/root,k=v");
    let sent = asked.told(behind(Some("other"), &[]));
    assert_eq!(audit(node.send(&route, &sent).1)["reason"], "catalog_unavailable", "nobody waits for the catalog");
    backstage.tick(&node, &route, NOW);
    let effect = node.send(&route, &sent).1;
    let Effect::Forward(forward) = &effect else { panic!("not forwarded") };
    assert_eq!(set(forward, "baggage"), Some("k=v"));
    assert_eq!(edited(forward, "authorization"), None);
    let line = audit(effect);
    assert_eq!((&line["decision"], &line["reason"]), (&json!("shadow_deny"), &json!("entity_unknown")));
}

#[test]
fn a_new_owner_counts_from_the_next_reading_on_for_tokens_that_are_known_too() {
    let (node, mut backstage) = (Node::new(), backstage());
    let route = node.route(&config(json!({"entity": "api:default/ledger"})));
    let sent = get(Some(&groups(&["payments"])));
    assert_eq!(status(backstage.serve(node.send(&route, &sent), &node.cx(NOW), &sent).1), 403);
    backstage.entities[4] = entity("API", "ledger", json!({}), &[("ownedBy", "group:default/payments")]);
    assert_eq!(status(node.send(&route, &sent).1), 403);
    let later = NOW.after(Duration::from_secs(60));
    backstage.tick(&node, &route, later);
    assert_eq!(status(node.send_at(&route, later, &sent).1), 200);
}

#[test]
fn claims_are_looked_up_among_annotations_and_parents_count_where_switched_on() {
    let (node, mut backstage) = (Node::new(), backstage());
    let with = |annotation: bool, parents: bool| {
        let mut config = config(json!({"entity": "api:default/ledger", "catalog": {"parent_groups": parents}}));
        if annotation {
            config["issuers"][0]["groups"] = json!({"annotation": "keycloak.org/id"});
        }
        node.route(&config)
    };
    let cases = [
        (true, true, "kc-payments", 200),
        (true, false, "kc-payments", 403),
        (true, true, "payments", 403),
        (false, true, "payments", 200),
        (false, false, "payments", 403),
    ];
    for (annotation, parents, group, expected) in cases {
        let (route, sent) = (with(annotation, parents), get(Some(&groups(&[group]))));
        let (_, effect) = backstage.serve(node.send(&route, &sent), &node.cx(NOW), &sent);
        assert_eq!(status(effect), expected, "{annotation} {parents} {group}");
    }
    // The group's identity changes: a token that is known is looked up anew.
    backstage.groups[0] = entity("Group", "payments", json!({"keycloak.org/id": "kc-other"}), &[]);
    let (route, sent, later) =
        (with(true, true), get(Some(&groups(&["kc-payments"]))), NOW.after(Duration::from_secs(60)));
    assert_eq!(status(node.send_at(&route, NOW, &sent).1), 200);
    backstage.tick(&node, &route, later);
    assert_eq!(status(node.send_at(&route, later, &sent).1), 403);
}

#[test]
fn without_the_catalog_the_configuration_says_what_happens() {
    let backstage = backstage();
    let (owner, stranger) = (groups(&["payments"]), groups(&["search"]));
    let rules =
        json!([{"name": "health", "paths": ["/health"], "allow": ["anyone"]}, {"name": "all", "allow": ["owner"]}]);
    let cases = [
        ("deny", "/health", None, 200, "anyone"),
        ("deny", "/", None, 401, "credentials_required"),
        ("deny", "/", Some(&owner), 503, "catalog_unavailable"),
        ("allow", "/", Some(&stranger), 200, "catalog_stale"),
        ("allow", "/", None, 401, "credentials_required"),
        ("static", "/", Some(&owner), 200, "owner"),
        ("static", "/", Some(&stranger), 403, "not_allowed"),
    ];
    for (on_stale, path, token, expected, reason) in cases {
        let config = config(json!({
            "entity": "api:default/payments", "owner": "payments", "catalog": {"on_stale": on_stale}, "policy": {"rules": rules}
        }));
        for is_read in [false, true] {
            let node = Node::new();
            let (route, sent) = (node.route(&config), sent("GET", path, token.map(String::as_str)));
            let now = if is_read {
                backstage.tick(&node, &route, NOW);
                NOW.after(Duration::from_secs(601))
            } else {
                NOW
            };
            // Backstage is down.
            let mut step = node.send_at(&route, now, &sent);
            while let Effect::Dispatch(_) = step.1 {
                step = step.0.answered(&node.cx(now), &sent, None);
            }
            let line = audit(match step.1 {
                Effect::Forward(forward) => {
                    assert_eq!(expected, 200);
                    Effect::Forward(forward)
                }
                Effect::Answer(answer) => {
                    assert_eq!(answer.status, expected, "{on_stale} {path}");
                    let retry = answer.headers.iter().any(|(name, _)| *name == "retry-after");
                    assert_eq!(retry, expected == 503, "{on_stale} {path}");
                    Effect::Answer(answer)
                }
                _ => panic!("nothing happens"),
            });
            let reason =
                if is_read { reason.replace("catalog_unavailable", "catalog_stale") } else { reason.to_owned() };
            assert_eq!(line["reason"], json!(reason), "{on_stale} {path} {is_read}");
        }
    }
}

#[test]
fn the_terms_that_were_last_read_narrow_what_passes_without_the_catalog() {
    let backstage = backstage();
    let (owner, agent) = (
        groups(&["payments"]),
        token(json!({"groups": ["payments"], "act": {"sub": "bot"}, "exp": NOW.seconds() + 3600})),
    );
    let stranger = groups(&["search"]);
    for on_stale in ["allow", "static"] {
        let node = Node::new();
        let route = node.route(&config(json!({
            "entity": "api:default/open", "owner": "payments", "catalog": {"on_stale": on_stale}, "policy": {"agents": "allow"}
        })));
        backstage.tick(&node, &route, NOW);
        let late = NOW.after(Duration::from_secs(601));
        let open = if on_stale == "allow" { 200 } else { 403 };
        for (method, token, expected) in
            [("GET", &stranger, 200), ("POST", &owner, 200), ("POST", &stranger, open), ("GET", &agent, 403)]
        {
            let sent = sent(method, "/", Some(token));
            let mut step = node.send_at(&route, late, &sent);
            while let Effect::Dispatch(_) = step.1 {
                step = step.0.answered(&node.cx(late), &sent, None);
            }
            assert_eq!(status(step.1), expected, "{on_stale} {method}");
        }
    }
}

#[test]
fn a_catalog_that_is_too_old_still_tells_which_entity_it_is_about() {
    let (node, backstage) = (Node::new(), backstage());
    let route = node.route(&config(json!({"catalog": {"on_stale": "allow"}})));
    let sent = get(Some(&groups(&["search"]))).told(behind(Some("payments-service"), &[]));
    let begun = node.send_at(&route, NOW, &sent);
    let unread = begun.0.answered(&node.cx(NOW), &sent, None);
    assert_eq!(audit(unread.1)["reason"], json!("catalog_unavailable"));
    backstage.tick(&node, &route, NOW.after(Duration::from_secs(10)));
    let late = NOW.after(Duration::from_secs(700));
    let (exchange, effect) = node.send_at(&route, late, &sent);
    let Effect::Dispatch(_) = effect else { panic!("no tick came for long, so that it reads") };
    let line = audit(exchange.answered(&node.cx(late), &sent, None).1);
    assert_eq!((&line["what"]["entity"], &line["reason"]), (&json!("api:default/payments"), &json!("catalog_stale")));
}

#[test]
fn quota_tiers_come_from_the_calling_group() {
    let (node, backstage) = (Node::new(), backstage());
    let quotas = json!({"policies": [{"name": "p", "per": "group", "windows": ["1/1h"], "tiers": {"gold": ["3/1h"]}}]});
    let route = node.route(&config(json!({"entity": "api:default/payments", "quotas": quotas})));
    for (group, admitted) in [("checkout", 3), ("payments", 1)] {
        let sent = get(Some(&groups(&[group])));
        let passed = (0..5).filter(|_| {
            let (_, effect) = backstage.serve(node.send(&route, &sent), &node.cx(NOW), &sent);
            status(effect) == 200
        });
        assert_eq!(passed.count(), admitted, "{group}");
    }
}

#[test]
fn routes_share_a_catalog_and_one_tick_reads_it_for_all() {
    let (node, backstage) = (Node::new(), backstage());
    let routes: Vec<_> = (0..50)
        .map(|n| {
            node.route(&config(
                json!({"entity": format!("api:default/a{n}"), "catalog": {"max_stale_seconds": 10 + n}}),
            ))
        })
        .collect();
    let call = node.tick(&routes[0], NOW).unwrap();
    assert!(call.to.path.contains("by-query"));
    assert_eq!(node.tick(&routes[1], NOW), None, "one call at a time");
    node.answer(NOW, Some(&backstage.reply(&call)));
    backstage.tick(&node, &routes[1], NOW.after(Duration::from_secs(60)));
    assert_eq!(node.worker.catalogs.in_use().len(), 1);
}
