//! Catalogs of a Backstage that runs: here one that answers as Backstage 1.55 does, as far as its catalog's API goes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests are tests too")]

#[path = "support/backstage.rs"]
mod backstage;
mod support;

use axum::http::StatusCode;
use backstage::{Habits, TOKEN, serve};
use serde_json::{Value, json};
use std::time::Duration;
use support::{Folder, Run, run_with};

const TEMPLATE: &str = "issuers: [{issuer: 'https://login.example.com', audiences: [x]}]\n";

fn entity(kind: &str, name: &str, annotations: Value, spec: Value, relations: &[(&str, &str)]) -> Value {
    let relations: Vec<_> = relations.iter().map(|(kind, to)| json!({"type": kind, "targetRef": to})).collect();
    json!({"apiVersion": "backstage.io/v1alpha1", "kind": kind,
           "metadata": {"name": name, "namespace": "default", "uid": "x", "annotations": annotations}, "spec": spec, "relations": relations})
}

fn shop(groups: usize) -> Vec<Value> {
    let definition = "openapi: 3.1.0\nservers: [{url: 'http://payments:8080/v1'}]\npaths: {}\n";
    let mut entities = vec![
        entity(
            "API",
            "payments",
            json!({"backstage-kong/service": "pay"}),
            json!({"owner": "ignored-text", "lifecycle": "production", "definition": definition}),
            &[("ownedBy", "group:default/payments"), ("apiConsumedBy", "component:default/web")],
        ),
        entity(
            "Component",
            "web",
            json!({}),
            json!({}),
            &[("ownedBy", "group:default/g-1"), ("consumesApi", "api:default/payments")],
        ),
        entity("User", "ada", json!({}), json!({}), &[("memberOf", "group:default/payments")]),
    ];
    entities.extend((0..groups).map(|n| entity("Group", &format!("g-{n}"), json!({}), json!({}), &[])));
    entities
}

fn generate(test: &str, url: &str, args: &[&str], token: &str) -> Run {
    let folder = Folder::new(test, &[("t.yaml", TEMPLATE)]);
    let args = [&["generate", "--backstage", url, "--template", "t.yaml"], args].concat();
    run_with(&folder.0, &args, &[("BACKSTAGE_TOKEN", token)])
}

#[test]
fn a_catalog_is_read_page_by_page_with_only_what_is_needed() {
    for (groups, pages) in [(3, 1), (7, 1), (8, 2), (47, 5)] {
        let (url, backstage) = serve(shop(groups), Habits::default());
        let run = generate("pages", &url, &["--page-size", "10", "--consumers"], TOKEN);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
        let kong: Value = serde_yaml_ng::from_str(&run.stdout).unwrap();
        let service = &kong["services"][0];
        let config = &service["filter_chains"][0]["filters"][0]["config"];
        assert_eq!((&service["name"], &service["url"]), (&json!("pay"), &json!("http://payments:8080/v1")));
        assert_eq!(
            (&config["owner"], &config["consumers"]),
            (&json!("group:default/payments"), &json!(["group:default/g-1"]))
        );
        assert_eq!(kong["consumers"][0]["acls"][0]["group"], "group:default/payments");
        let asked = backstage.asked.lock().unwrap();
        assert_eq!(asked.len(), pages + 1, "{asked:?}");
        for query in &asked[..pages] {
            assert!(query.contains("fields=kind%2Cmetadata.name") && query.contains("limit=10"), "{query}");
        }
        assert!(asked[0].contains("filter=kind%3Dapi&filter=kind%3Dcomponent"), "{}", asked[0]);
        assert_eq!(asked[pages], r#"by-refs ["api:default/payments"]"#, "definitions are asked for where they matter");
    }
}

#[test]
fn both_ways_of_reading_give_the_same() {
    let (url, _) = serve(shop(3), Habits::default());
    let live = generate("same-live", &url, &["--consumers"], TOKEN);
    let files = "
kind: API
metadata: {name: payments, annotations: {backstage-kong/service: pay}}
spec: {owner: payments, lifecycle: production, definition: \"servers: [{url: 'http://payments:8080/v1'}]\"}
---
kind: Component
metadata: {name: web}
spec: {owner: g-1, consumesApis: [payments]}
---
kind: User
metadata: {name: ada}
spec: {memberOf: [payments]}
";
    let folder = Folder::new("same-files", &[("t.yaml", TEMPLATE), ("c.yaml", files)]);
    let of_files = folder.run(&["generate", "--catalog", "c.yaml", "--template", "t.yaml", "--consumers"]);
    assert_eq!((live.code, of_files.code), (0, 0), "{} {}", live.stderr, of_files.stderr);
    assert_eq!(live.stdout, of_files.stdout);
}

#[test]
fn what_keeps_the_catalog_from_being_read_is_explained() {
    let with = |habits| serve(shop(3), habits).0;
    let fine = with(Habits::default());
    let nobody = "http://127.0.0.1:1".to_owned();
    let status = |code| with(Habits { status: Some(StatusCode::from_u16(code).unwrap()), ..Habits::default() });
    for (url, token, args, expected) in [
        (fine.clone(), "wrong", &[][..], "does not take the token in BACKSTAGE_TOKEN (401)"),
        (fine.clone(), "", &[], "wants a token (401)"),
        (fine.clone(), TOKEN, &["--token-env", "OTHER"], "put one of `backend.auth.externalAccess` into OTHER"),
        (fine.clone(), "bound-to-another-plugin", &[], "need `plugin: catalog` and `permission: catalog.entity.read`"),
        (format!("{fine}/api"), TOKEN, &[], "has no catalog (404); give the base URL"),
        (status(302), TOKEN, &[], "sends elsewhere (302)"),
        (status(500), TOKEN, &[], "answers 500"),
        (nobody, TOKEN, &[], "does not answer"),
        (
            with(Habits { page_of_html: true, ..Habits::default() }),
            TOKEN,
            &[],
            "is it the backend's base URL, not the frontend's?",
        ),
        (with(Habits { endless: true, ..Habits::default() }), TOKEN, &[], "repeats its pages"),
        (
            with(Habits { delay: Duration::from_secs(3), ..Habits::default() }),
            TOKEN,
            &["--timeout", "1"],
            "does not answer: timeout",
        ),
    ] {
        let run = generate("refused", &url, args, token);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{expected}: {}", run.stderr);
        assert!(run.stderr.contains(expected), "{}\nshould contain\n{expected}", run.stderr);
        assert!(
            token.is_empty() || !run.stderr.contains(token) || token == "wrong",
            "no token is shown: {}",
            run.stderr
        );
    }
}

#[test]
fn a_backstage_that_fails_for_a_moment_is_asked_again() {
    let (url, backstage) = serve(shop(3), Habits { unavailable: 2, ..Habits::default() });
    let run = generate("again", &url, &[], TOKEN);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert_eq!(backstage.asked.lock().unwrap().len(), 4);
}

#[test]
fn mistakes_in_a_catalog_that_is_served_name_the_entity() {
    let entities = vec![entity("API", "x", json!({"backstage-kong/paths": "x"}), json!({}), &[])];
    let run = generate("served-mistakes", &serve(entities, Habits::default()).0, &[], TOKEN);
    assert_eq!(run.code, 1);
    assert_eq!(
        run.stderr,
        "api:default/x: error: backstage-kong/paths: \"x\" is no path to Kong: it has to begin with '/', or with '~/' where it is a regular expression\n"
    );
}
