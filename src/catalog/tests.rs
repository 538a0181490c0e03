//! What the index says of entities and groups.

mod trust;

use super::entity::Raw;
use super::*;
use crate::config::{AgentAccess, Allow, Consumers};
use crate::entity::EntityRef;
use proptest::prelude::*;
use serde_json::{Value, json};

fn entity(json: Value) -> Entity {
    Entity::try_from(serde_json::from_value::<Raw>(json).unwrap()).unwrap()
}

fn reference(text: &str) -> EntityRef {
    EntityRef::parse_full(text).unwrap()
}

fn refs(texts: &[&str]) -> Vec<EntityRef> {
    texts.iter().map(|text| reference(text)).collect()
}

/// An entity `kind:default/name` with annotations and relations.
fn made(kind: &str, name: &str, annotations: Value, relations: &[(&str, &str)]) -> Entity {
    let relations: Vec<_> = relations.iter().map(|(kind, to)| json!({"type": kind, "targetRef": to})).collect();
    entity(json!({
        "kind": kind, "metadata": {"name": name, "annotations": annotations}, "spec": {"lifecycle": "production"},
        "relations": relations
    }))
}

fn built(system_consumers: bool, entities: &[Entity]) -> Built {
    built_by(Consumers::Declared, system_consumers, entities, None)
}

fn built_by(consumers: Consumers, system_consumers: bool, entities: &[Entity], before: Option<&Index>) -> Built {
    let mut builder = Builder::new(consumers, system_consumers, &["acme.example/role".to_owned()]);
    entities.iter().for_each(|entity| builder.add(entity));
    builder.finish(before)
}

fn shop() -> Vec<Entity> {
    vec![
        made(
            "API",
            "payments",
            json!({ACCESS: "owner, consumer, user:default/ada"}),
            &[("ownedBy", "group:default/payments")],
        ),
        made(
            "Component",
            "web",
            json!({}),
            &[
                ("ownedBy", "group:default/checkout"),
                ("consumesApi", "api:default/payments"),
                ("partOf", "system:default/shop"),
            ],
        ),
        made(
            "Component",
            "batch",
            json!({}),
            &[("ownedBy", "user:default/bob"), ("consumesApi", "api:default/payments")],
        ),
        made("System", "shop", json!({}), &[("ownedBy", "group:default/commerce")]),
    ]
}

#[test]
fn an_entity_has_its_owners_and_the_owners_of_what_consumes_it() {
    for (system_consumers, consumers) in [
        (false, &["group:default/checkout", "user:default/bob"][..]),
        (true, &["group:default/checkout", "group:default/commerce", "user:default/bob"]),
    ] {
        let built = built(system_consumers, &shop());
        let entry = built.index.entity(&reference("api:default/payments")).unwrap();
        assert_eq!(entry.owners, refs(&["group:default/payments"]));
        assert_eq!(entry.consumers, refs(consumers));
        assert_eq!(entry.lifecycle.as_deref(), Some("production"));
        assert_eq!(entry.terms.allow("GET").len(), 3);
        assert_eq!((built.entities, built.groups, built.faults.len()), (4, 0, 0));
    }
    assert_eq!(built(false, &shop()).index.entity(&reference("api:default/payment")), None);
}

#[test]
fn owners_are_groups_and_users_each_once() {
    let odd = made(
        "API",
        "odd",
        json!({}),
        &[
            ("ownedBy", "component:default/web"),
            ("ownedBy", "group:default/b"),
            ("ownedBy", "Group:Default/B"),
            ("ownedBy", "group:default/a"),
            ("ownedBy", "not a ref"),
            ("likes", "group:default/c"),
        ],
    );
    let entry = built(false, &[odd]).index.entity(&reference("api:default/odd")).unwrap();
    assert_eq!(entry.owners, refs(&["group:default/b", "group:default/a"]));
}

#[test]
fn a_directory_s_name_means_one_group_or_none() {
    let entities = [
        made("Group", "a", json!({"keycloak.org/id": "1", "acme.example/role": "arn:aws:iam::1:role/a"}), &[]),
        made("Group", "b", json!({"backstage.io/ldap-dn": "CN=B, OU=x", "graph.microsoft.com/group-id": "g"}), &[]),
        made("Group", "c", json!({"keycloak.org/id": "2"}), &[]),
        made("Group", "d", json!({"keycloak.org/id": "2", "other": "3"}), &[]),
    ];
    let Built { index, faults, groups, .. } = built(false, &entities);
    let cases = [
        ("keycloak.org/id", "1", Some("group:default/a")),
        ("acme.example/role", "arn:aws:iam::1:role/a", Some("group:default/a")),
        ("backstage.io/ldap-dn", "CN=B, OU=x", Some("group:default/b")),
        ("graph.microsoft.com/group-id", "g", Some("group:default/b")),
        ("keycloak.org/id", "2", None),
        ("keycloak.org/id", "g", None),
        ("other", "3", None),
    ];
    for (annotation, value, group) in cases {
        assert_eq!(index.group_by(annotation, value).as_ref().map(EntityRef::as_str), group, "{annotation} {value}");
    }
    assert_eq!(faults, [Fault::GroupId("keycloak.org/id=2".into(), refs(&["group:default/c", "group:default/d"]))]);
    assert_eq!(groups, 4);
}

#[test]
fn ancestors_are_added_once_and_cycles_are_survived() {
    let group = |name, parents: &[&str]| {
        let parents: Vec<_> = parents.iter().map(|parent| ("childOf", *parent)).collect();
        made("Group", name, json!({}), &parents)
    };
    let index = built(
        false,
        &[
            group("team", &["group:default/area", "group:default/guild"]),
            group("area", &["group:default/company"]),
            group("guild", &["group:default/company"]),
            group("company", &["group:default/team"]),
        ],
    )
    .index;
    let mut groups = refs(&["group:default/team", "group:default/unknown"]);
    index.add_ancestors(&mut groups);
    groups.sort();
    let all = [
        "group:default/area",
        "group:default/company",
        "group:default/guild",
        "group:default/team",
        "group:default/unknown",
    ];
    assert_eq!(groups, refs(&all));
    assert!(index.has_group(&reference("group:default/area")) && !index.has_group(&reference("group:default/unknown")));
}

#[test]
fn annotations_set_the_terms_and_wrong_ones_close_the_entity() {
    let terms = |annotations| {
        let built = built(false, &[made("API", "x", annotations, &[])]);
        (built.index.entity(&reference("api:default/x")).unwrap().terms, built.faults.len())
    };
    assert_eq!(terms(json!({})), (Terms::default(), 0));
    let (own, _) =
        terms(json!({ACCESS: "authenticated", WRITE_ACCESS: "owner", AGENTS: "read_only", QUOTA_TIER: "gold"}));
    assert_eq!((own.allow("GET"), own.allow("POST")), (&[Allow::Authenticated][..], &[Allow::Owner][..]));
    assert_eq!((own.agents, own.quota_tier.as_deref()), (Some(AgentAccess::ReadOnly), Some("gold")));
    for wrong in [
        json!({ACCESS: "everyone"}),
        json!({ACCESS: "owner,"}),
        json!({ACCESS: "owner\ttab"}),
        json!({ACCESS: "api:default/x"}),
        json!({WRITE_ACCESS: "group:default/a b"}),
        json!({AGENTS: "some"}),
        json!({QUOTA_TIER: "all of it"}),
        json!({ACCESS: format!("owner,{}", "group:default/x,".repeat(60))}),
    ] {
        assert_eq!(terms(wrong.clone()), (Terms::closed(), 1), "{wrong}");
    }
    assert_eq!(terms(json!({ACCESS: 7, AGENTS: ["deny"], QUOTA_TIER: {"a": 1}})), (Terms::default(), 0));
}

#[test]
fn a_group_has_a_tier_too() {
    let index =
        built(false, &[made("Group", "a", json!({QUOTA_TIER: "gold"}), &[]), made("Group", "b", json!({}), &[])]).index;
    assert_eq!(index.group_tier(&reference("group:default/a")), Some("gold"));
    assert_eq!(index.group_tier(&reference("group:default/b")), None);
    assert_eq!(index.group_tier(&reference("group:default/c")), None);
}

#[test]
fn order_does_not_matter_and_what_changed_is_seen() {
    let mut entities = shop();
    let one = built(true, &entities).index;
    entities.reverse();
    let other = built(true, &entities).index;
    assert_eq!((&one, one.entities.version()), (&other, other.entities.version()));
    entities.pop();
    let less = built(true, &entities).index;
    assert_ne!(one.entities.version(), less.entities.version());
    assert_eq!(one.groups.version(), less.groups.version());
}

proptest! {
    #[test]
    fn whatever_is_in_it_is_found_and_nothing_else(
        names in proptest::collection::btree_set("[a-c]{1,3}[-_.]?[a-c]{1,3}", 0..40), asked in "[a-c]{1,3}[-_.]?[a-c]{1,3}"
    ) {
        let entities: Vec<_> = names.iter().map(|name| made("API", name, json!({SERVICE: name}), &[])).collect();
        let index = built(false, &entities).index;
        for name in names.iter().chain([&asked]) {
            let known = names.contains(name);
            let entity = reference(&format!("api:default/{name}"));
            prop_assert_eq!(index.entity(&entity).is_some(), known);
            prop_assert_eq!(index.service(name), if known { Service::Entity(entity) } else { Service::Unknown });
        }
    }

    #[test]
    fn any_bytes_can_be_searched(bytes: Vec<u8>, key in "\\PC{0,20}") {
        let section = Section::new(bytes);
        let index = Index { entities: section.clone(), groups: section };
        let _ = (index.service(&key), index.group_by(&key, &key), index.entity(&reference("api:default/x")));
        let mut groups = refs(&["group:default/x"]);
        index.add_ancestors(&mut groups);
    }

    #[test]
    fn any_annotation_leaves_the_other_entities_alone(text in "\\PC{0,60}|[\t\n a-z]{0,60}") {
        let odd = made("API", "odd", json!({ACCESS: text, SERVICE: text, KONG_SERVICE: text}), &[]);
        let index = built(false, &[odd, made("API", "x", json!({SERVICE: "x"}), &[("ownedBy", "group:default/a")])]).index;
        prop_assert_eq!(index.entity(&reference("api:default/x")).unwrap().owners, refs(&["group:default/a"]));
        prop_assert!(index.entity(&reference("api:default/odd")).is_some());
    }
}
