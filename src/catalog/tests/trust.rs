//! What entities say of themselves gives them nothing that is others'.

use super::*;

#[test]
fn a_service_is_found_by_annotation_and_a_component_means_the_api_that_it_provides() {
    let kong = |name: &str| json!({KONG_SERVICE: name});
    let entities = [
        made("Component", "payments", kong("payments"), &[("providesApi", "api:default/payments")]),
        made("API", "payments", kong("payments"), &[]),
        made("API", "v1", kong("shared"), &[]),
        made("API", "v2", kong("shared"), &[]),
        // No annotation goes before another: who wants a service would write the stronger one.
        made("Component", "own", json!({SERVICE: "mixed"}), &[]),
        made("API", "other", kong("mixed"), &[]),
        made("API", "both", json!({SERVICE: "two", KONG_SERVICE: "two"}), &[]),
    ];
    let Built { index, faults, .. } = built(false, &entities);
    let found = |name| index.service(name);
    assert_eq!(found("payments"), Service::Entity(reference("api:default/payments")));
    assert_eq!(found("two"), Service::Entity(reference("api:default/both")));
    assert_eq!((found("mixed"), found("shared")), (Service::Ambiguous, Service::Ambiguous));
    assert_eq!(found("nobody"), Service::Unknown);
    let contested = |service: &str, entities: &[&str]| Fault::Contested(service.into(), refs(entities));
    assert_eq!(
        faults,
        [
            contested("mixed", &["api:default/other", "component:default/own"]),
            contested("shared", &["api:default/v1", "api:default/v2"])
        ]
    );
    assert_eq!(index.claimants("shared"), refs(&["api:default/v1", "api:default/v2"]));
}

#[test]
fn a_claim_never_displaces_the_holder_of_a_service() {
    let rightful = |annotations: Value| made("API", "payments", annotations, &[("ownedBy", "group:default/payments")]);
    let holds = json!({KONG_SERVICE: "pay"});
    let in_namespace = |namespace: &str, name: &str, annotations: Value| {
        entity(json!({"kind": "API", "metadata": {"namespace": namespace, "name": name, "annotations": annotations},
                      "relations": [{"type": "ownedBy", "targetRef": "group:default/payments"}]}))
    };
    let before = built(false, &[rightful(holds.clone())]).index;
    // What somebody else may write into a file of their own: the other annotation, a name that comes first, another namespace, the
    // same owner, the relation to what is theirs.
    for attack in [
        made("API", "aaa", json!({SERVICE: "pay"}), &[("ownedBy", "group:default/evil")]),
        made("API", "zzz", json!({SERVICE: " pay "}), &[("ownedBy", "group:default/payments")]),
        made("Component", "payments", json!({SERVICE: "pay", KONG_SERVICE: "pay"}), &[]),
        made("System", "payments", json!({KONG_SERVICE: "pay"}), &[]),
        in_namespace("a", "payments", json!({KONG_SERVICE: "pay", ACCESS: "anyone"})),
        made("API", "evil", json!({SERVICE: "pay"}), &[("providesApi", "api:default/payments")]),
    ] {
        let newcomer = attack.reference.clone();
        for entities in [[rightful(holds.clone()), attack.clone()], [attack.clone(), rightful(holds.clone())]] {
            let mut before = before.clone();
            // It stays so, however often the catalog is read.
            for _ in 0..2 {
                let Built { index, faults, .. } = built_by(Consumers::Declared, false, &entities, Some(&before));
                assert_eq!(index.service("pay"), Service::Entity(reference("api:default/payments")), "{newcomer}");
                let (service, holder) = ("pay".to_owned(), reference("api:default/payments"));
                assert_eq!(faults, [Fault::Newcomers { service, holder, newcomers: vec![newcomer.clone()] }]);
                assert_eq!(index.claimants("pay"), [reference("api:default/payments"), newcomer.clone()]);
                before = index;
            }
            // On a node that knows nothing yet, nobody gets it.
            assert_eq!(built(false, &entities).index.service("pay"), Service::Ambiguous, "{newcomer}");
        }
        // Whoever is gone or has dropped the claim holds nothing.
        for left in [vec![attack.clone()], vec![attack, rightful(json!({}))]] {
            let Built { index, faults, .. } = built_by(Consumers::Declared, false, &left, Some(&before));
            assert_eq!((index.service("pay"), faults), (Service::Entity(newcomer.clone()), vec![]));
        }
    }
    // Another service is another, by the letter, as Kong has it.
    let other = made("API", "aaa", json!({SERVICE: "Pay"}), &[]);
    let index = built_by(Consumers::Declared, false, &[rightful(holds), other], Some(&before)).index;
    assert_eq!(index.service("pay"), Service::Entity(reference("api:default/payments")));
    assert_eq!(index.service("Pay"), Service::Entity(reference("api:default/aaa")));
}

#[test]
fn a_new_claim_changes_the_index_so_that_it_is_told() {
    let annotated = |annotations: Value| {
        [made("API", "payments", json!({SERVICE: "pay"}), &[]), made("API", "other", annotations, &[])]
    };
    let before = built(false, &annotated(json!({}))).index;
    let after = built_by(Consumers::Declared, false, &annotated(json!({SERVICE: "pay"})), Some(&before));
    assert_ne!(before.entities.version(), after.index.entities.version());
    assert_eq!(after.faults.len(), 1);
}

#[test]
fn the_faults_that_others_can_bring_about_come_first() {
    let mut entities: Vec<_> = (0..20).map(|n| made("API", &format!("a{n}"), json!({AGENTS: "x"}), &[])).collect();
    entities.extend(["a", "b"].map(|name| made("API", name, json!({SERVICE: "s"}), &[])));
    let faults = built(false, &entities).faults;
    assert!(matches!(faults.first(), Some(Fault::Contested(..))) && faults.len() == 21, "{faults:?}");
}

#[test]
fn a_consumer_counts_by_its_own_word_by_the_api_s_or_not_at_all() {
    let with = |approved: &str| {
        let mut entities = shop();
        let annotations = json!({APPROVED_CONSUMERS: approved});
        entities[0] = made("API", "payments", annotations, &[("ownedBy", "group:default/payments")]);
        // Anybody can register this.
        entities.push(made(
            "Component",
            "evil",
            json!({APPROVED_CONSUMERS: "group:default/evil"}),
            &[("ownedBy", "group:default/evil"), ("consumesApi", "api:default/payments")],
        ));
        entities
    };
    let declared = ["group:default/checkout", "group:default/evil", "user:default/bob"];
    let all = ["group:default/checkout", "group:default/commerce", "group:default/evil", "user:default/bob"];
    let bob = "user:default/bob";
    let cases = [
        (Consumers::Declared, false, "", &declared[..]),
        (Consumers::Declared, false, "group:default/checkout", &declared),
        (Consumers::Declared, true, "nonsense", &all),
        (Consumers::None, true, "group:default/checkout", &[]),
        (Consumers::Approved, true, "", &[]),
        (Consumers::Approved, false, "group:default/checkout", &declared[..1]),
        (Consumers::Approved, false, " User:Default/Bob ,GROUP:default/Checkout", &["group:default/checkout", bob]),
        (Consumers::Approved, false, "group:default/commerce", &[]),
        (Consumers::Approved, true, "group:default/commerce", &["group:default/commerce"]),
        // Approved, but consumes nothing; and the same names elsewhere.
        (Consumers::Approved, true, "group:default/search", &[]),
        (Consumers::Approved, true, "group:other/checkout, user:default/checkout, group:default/bob", &[]),
    ];
    for (consumers, system_consumers, approved, expected) in cases {
        let Built { index, faults, .. } = built_by(consumers, system_consumers, &with(approved), None);
        let entry = index.entity(&reference("api:default/payments")).unwrap();
        assert_eq!(entry.consumers, refs(expected), "{consumers:?} {system_consumers} {approved}");
        assert_eq!((entry.owners, faults), (refs(&["group:default/payments"]), vec![]), "{consumers:?} {approved}");
    }
}

#[test]
fn a_list_of_approved_consumers_that_says_nothing_approves_nobody_and_is_told() {
    let with = |annotations: Value| {
        let mut entities = shop();
        entities[0] = made("API", "payments", annotations, &[("ownedBy", "group:default/payments")]);
        entities[1].relations.clear();
        entities[2].relations.clear();
        built_by(Consumers::Approved, false, &entities, None)
    };
    let without = with(json!({}));
    for wrong in [
        "checkout",
        "group:checkout",
        "default/checkout",
        "group:default/checkout,",
        "group:default/checkout group:default/search",
        "group:default/checkout, *",
        "component:default/web",
        "api:default/payments",
        "owner",
        "group:default/check out",
    ] {
        let built = with(json!({APPROVED_CONSUMERS: wrong}));
        let [Fault::Approval(entity, _)] = built.faults.as_slice() else { panic!("{wrong}: {:?}", built.faults) };
        assert_eq!(entity, &reference("api:default/payments"));
        let entry = built.index.entity(entity).unwrap();
        assert_eq!((entry.consumers, entry.terms), (vec![], Terms::default()), "{wrong}: its owner is not locked out");
        assert_ne!(built.index.entities.version(), without.index.entities.version(), "{wrong}: it would not be told");
    }
}

#[test]
fn by_default_consumers_read_and_only_the_owner_writes() {
    use Allow::{Anyone, Authenticated, Consumer, Owner};
    let (access, write_access) = (Some(vec![Authenticated]), Some(vec![Consumer]));
    let cases = [
        (Terms::default(), &[Owner, Consumer][..], &[Owner][..]),
        (Terms { access: access.clone(), ..Terms::default() }, &[Authenticated], &[Authenticated]),
        (
            Terms { access: Some(vec![Anyone]), write_access: write_access.clone(), ..Terms::default() },
            &[Anyone],
            &[Consumer],
        ),
        (Terms { write_access, ..Terms::default() }, &[Owner, Consumer], &[Consumer]),
        (Terms::closed(), &[], &[]),
    ];
    for (terms, reading, writing) in cases {
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert_eq!(terms.allow(method), reading, "{method} {terms:?}");
        }
        for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "get", "PROPFIND", ""] {
            assert_eq!(terms.allow(method), writing, "{method} {terms:?}");
        }
    }
}
