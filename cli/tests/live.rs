//! Catalogs of a Backstage that runs: here one that answers as Backstage 1.55 does, as far as its catalog's API goes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests are tests too")]

mod support;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Folder, Run, run_with};

const TOKEN: &str = "service-token-of-the-tests";
const TEMPLATE: &str = "issuers: [{issuer: 'https://login.example.com', audiences: [x]}]\n";

/// What the catalog does besides answering.
#[derive(Clone, Copy, Default)]
struct Habits {
    delay: Duration,
    /// How many questions are answered 503 first.
    unavailable: usize,
    status: Option<StatusCode>,
    page_of_html: bool,
    endless: bool,
}

struct Backstage {
    entities: Vec<Value>,
    habits: Habits,
    asked: Mutex<Vec<String>>,
}

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

/// The address of a catalog that is up until the process ends.
fn serve(entities: Vec<Value>, habits: Habits) -> (String, Arc<Backstage>) {
    let backstage = Arc::new(Backstage { entities, habits, asked: Mutex::default() });
    let app = Router::new()
        .route("/api/catalog/entities/by-query", get(by_query))
        .route("/api/catalog/entities/by-refs", post(by_refs))
        .with_state(backstage.clone());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), app).await.unwrap();
        });
    });
    (format!("http://{address}"), backstage)
}

async fn refused(backstage: &Backstage, headers: &HeaderMap) -> Option<Response> {
    tokio::time::sleep(backstage.habits.delay).await;
    if let Some(status) = backstage.habits.status {
        return Some(status.into_response());
    }
    if backstage.habits.page_of_html {
        return Some(axum::response::Html("<!doctype html><title>Backstage</title>").into_response());
    }
    if backstage.asked.lock().unwrap().len() <= backstage.habits.unavailable {
        return Some(StatusCode::SERVICE_UNAVAILABLE.into_response());
    }
    let token = headers.get("authorization").and_then(|value| value.to_str().ok());
    match token {
        Some(token) if token == format!("Bearer {TOKEN}") => None,
        Some("Bearer bound-to-another-plugin") => Some(StatusCode::FORBIDDEN.into_response()),
        _ => Some(StatusCode::UNAUTHORIZED.into_response()),
    }
}

async fn by_query(State(backstage): State<Arc<Backstage>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let query = query.unwrap_or_default();
    backstage.asked.lock().unwrap().push(query.clone());
    if let Some(refused) = refused(&backstage, &headers).await {
        return refused;
    }
    let parameter = |name: &str| {
        let prefix = format!("{name}=");
        query.split('&').find_map(|part| part.strip_prefix(&prefix).map(str::to_owned))
    };
    // As the real one: without them a page has everything, and 20 entities are a page only for these tests.
    let size: usize = parameter("limit").map_or(20, |limit| limit.parse().unwrap());
    let from: usize = parameter("cursor").map_or(0, |cursor| cursor.parse().unwrap());
    let items = backstage.entities.iter().skip(from).take(size).cloned().map(|mut entity| {
        if parameter("fields").is_some() {
            entity["spec"].as_object_mut().unwrap().remove("definition");
            entity["metadata"].as_object_mut().unwrap().remove("uid");
        }
        entity
    });
    let items: Vec<_> = items.collect();
    let next = (from + size < backstage.entities.len() || backstage.habits.endless)
        .then(|| if backstage.habits.endless { "7".to_owned() } else { (from + size).to_string() });
    Json(json!({"items": items, "totalItems": backstage.entities.len(), "pageInfo": {"nextCursor": next}}))
        .into_response()
}

async fn by_refs(State(backstage): State<Arc<Backstage>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    backstage.asked.lock().unwrap().push(format!("by-refs {}", body["entityRefs"]));
    if let Some(refused) = refused(&backstage, &headers).await {
        return refused;
    }
    let of = |reference: &Value| {
        backstage.entities.iter().find(|entity| {
            let kind = entity["kind"].as_str().unwrap().to_ascii_lowercase();
            *reference == format!("{kind}:default/{}", entity["metadata"]["name"].as_str().unwrap())
        })
    };
    let items: Vec<_> = body["entityRefs"].as_array().unwrap().iter().map(of).collect();
    Json(json!({"items": items})).into_response()
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
