//! A real Backstage's catalog, as clients of a gateway meet it: what is changed there changes the gateway's answers.

use super::backstage::{Backstage, HOST, STRANGERS_TOKEN, TOKEN, URL, WRITERS_TOKEN};
use super::gateway::{Gateway, Kind};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use test_harness::lab::peers::{KeyKind, Mint, SigningKeys, TokenSpec};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const ISSUER: &str = "https://idp.example";
static KEYS: LazyLock<SigningKeys> = LazyLock::new(|| SigningKeys::generate().unwrap());
/// The shortest refresh, the time of a reading and of a look into shared data, and what a busy machine adds.
const REFRESH: Duration = Duration::from_secs(5);
const SLACK: Duration = Duration::from_secs(4);

fn owned(kind: &str, name: &str, owner: &str, annotations: Value, spec: Value) -> Value {
    let mut entity = json!({
        "apiVersion": "backstage.io/v1alpha1", "kind": kind,
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"type": "service", "lifecycle": "production", "owner": owner}
    });
    if kind == "API" {
        entity["spec"]["definition"] = json!("openapi: 3.0.0");
    }
    entity["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    entity
}

fn group(name: &str, annotations: Value, parent: Option<&str>) -> Value {
    let mut entity = json!({
        "apiVersion": "backstage.io/v1alpha1", "kind": "Group", "metadata": {"name": name, "annotations": annotations},
        "spec": {"type": "team", "children": []}
    });
    if let Some(parent) = parent {
        entity["spec"]["parent"] = json!(parent);
    }
    entity
}

fn user(name: &str, groups: &[&str]) -> Value {
    json!({
        "apiVersion": "backstage.io/v1alpha1", "kind": "User", "metadata": {"name": name},
        "spec": {"profile": {}, "memberOf": groups}
    })
}

fn shop() -> Vec<Value> {
    vec![
        group("payments", json!({"keycloak.org/id": "kc-payments"}), Some("finance")),
        group("checkout", json!({}), None),
        group("finance", json!({}), None),
        user("ada", &["payments"]),
        user("carol", &["checkout"]),
        // Behind the service of our host, and behind Envoy's cluster.
        owned("API", "payments", "payments", json!({"kong-manager/service-name": "echo"}), json!({})),
        owned("API", "envoys", "payments", json!({"backstage-kong/service": "peers:9080"}), json!({})),
        owned(
            "API",
            "ledger",
            "finance",
            json!({"backstage-kong/approved-consumers": "group:default/checkout"}),
            json!({}),
        ),
        owned(
            "Component",
            "web",
            "checkout",
            json!({}),
            json!({"consumesApis": ["payments", "envoys", "ledger"], "system": "shop"}),
        ),
        json!({"apiVersion": "backstage.io/v1alpha1", "kind": "System", "metadata": {"name": "shop"}, "spec": {"owner": "finance"}}),
    ]
}

fn config(more: Value) -> Value {
    let mut config = json!({
        "catalog": {
            "url": URL, "token": TOKEN, "refresh_seconds": 5, "page_size": 10, "timeout_ms": 1000, "max_stale_seconds": 20
        },
        "issuers": [{"issuer": ISSUER, "audiences": ["payments"], "jwks": {"keys": KEYS.public()}}],
    });
    for (name, value) in more.as_object().unwrap() {
        match (config.get_mut(name), value) {
            (Some(Value::Object(known)), Value::Object(more)) => known.extend(more.clone()),
            _ => config[name] = value.clone(),
        }
    }
    config
}

fn token(groups: &[&str]) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({"groups": groups}).as_object().unwrap().clone();
    let spec = TokenSpec { user: Some("bob".into()), key: KeyKind::Es256, claims, ..TokenSpec::default() };
    Mint { issuer: ISSUER, keys: &KEYS, now: i64::try_from(now).unwrap() }.token(&spec).unwrap()
}

async fn gateway(kind: Kind, name: &str, backstage: &Backstage, routes: &[(&str, Value)]) -> Gateway {
    let routes: BTreeMap<_, _> = routes.iter().map(|(name, config)| ((*name).to_owned(), config.clone())).collect();
    Gateway::start(kind, name, &routes, &[(HOST, backstage.address)]).await
}

/// Asks until the answer has that status, and says how long that took.
async fn until(gateway: &Gateway, route: &str, token: &str, status: u16, within: Duration) -> Duration {
    let begin = Instant::now();
    loop {
        let answer = gateway.get(route, token).await;
        if answer.status == status {
            return begin.elapsed();
        }
        let last = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(
            begin.elapsed() < within,
            "{route}: still {} and not {status}: {last} {}",
            answer.status,
            gateway.log()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Asks for that long, and holds every answer to a status.
async fn stays(gateway: &Gateway, route: &str, token: &str, status: u16, time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        let answer = gateway.get(route, token).await;
        assert_eq!(answer.status, status, "{route} after {:?}: {}", begin.elapsed(), gateway.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn story(kind: Kind) {
    let backstage = Backstage::start();
    backstage.set(&shop()).await;
    let by_annotation = json!([{
        "issuer": ISSUER, "audiences": ["payments"], "jwks": {"keys": KEYS.public()}, "groups": {"annotation": "keycloak.org/id"}
    }]);
    let backstages_own = json!([{"preset": "backstage", "issuer": format!("{URL}/api/auth"), "upstream": HOST}]);
    let parents = json!({"parent_groups": true});
    let gateway = gateway(
        kind,
        "catalog-story",
        &backstage,
        &[
            ("found", config(json!({}))),
            ("named", config(json!({"entity": "api:default/payments"}))),
            ("systems", config(json!({"entity": "api:default/payments", "catalog": {"system_consumers": true}}))),
            ("ledger", config(json!({"entity": "api:default/ledger"}))),
            ("parents", config(json!({"entity": "api:default/ledger", "catalog": parents}))),
            ("approved", config(json!({"entity": "api:default/ledger", "catalog": {"consumers": "approved"}}))),
            ("none", config(json!({"entity": "api:default/ledger", "catalog": {"consumers": "none"}}))),
            ("claims", config(json!({"entity": "api:default/payments", "issuers": by_annotation}))),
            ("users", config(json!({"entity": "api:default/payments", "issuers": backstages_own}))),
            ("unknown", config(json!({"entity": "api:default/unheard-of"}))),
        ],
    )
    .await;

    let [payments, checkout, finance, search] =
        ["payments", "checkout", "finance", "search"].map(|group| token(&[group]));
    let (kc, ada, carol) = (
        token(&["kc-payments"]),
        backstage.sign_in("user:default/ada").await,
        backstage.sign_in("user:default/carol").await,
    );
    let cases = [
        ("found", &payments, 200),
        ("found", &checkout, 200),
        ("found", &finance, 403),
        ("named", &payments, 200),
        ("named", &checkout, 200),
        ("named", &search, 403),
        ("systems", &finance, 200),
        ("ledger", &finance, 200),
        ("ledger", &payments, 403),
        ("parents", &payments, 200),
        ("approved", &checkout, 200),
        ("approved", &search, 403),
        ("none", &finance, 200),
        ("none", &checkout, 403),
        ("claims", &kc, 200),
        ("claims", &payments, 403),
        ("users", &ada, 200),
        ("users", &carol, 200),
        ("users", &payments, 401),
        ("unknown", &payments, 403),
    ];
    // The first request of each catalog waits until it is read; those that come meanwhile are told to come again.
    for (route, token, status) in cases {
        until(&gateway, route, token, status, Duration::from_secs(5)).await;
        assert_eq!(gateway.get(route, token).await.status, status, "{route}: {}", gateway.log());
    }

    // The owner changes in Backstage, and with it the gateway's answers: on every worker, without anybody touching the gateway.
    for (owner, allowed, denied) in [("search", &search, &payments), ("payments", &payments, &search)] {
        let name = if kind == Kind::OurHost { "payments" } else { "envoys" };
        let annotations = shop()
            .iter()
            .find(|entity| entity["kind"] == "API" && entity["metadata"]["name"] == name)
            .unwrap()["metadata"]["annotations"]
            .clone();
        backstage.upsert(owned("API", name, owner, annotations, json!({}))).await;
        let took = until(&gateway, "found", allowed, 200, REFRESH + SLACK).await;
        println!("{kind:?}: a new owner counts after {took:?}");
        tokio::time::sleep(Duration::from_secs(2)).await;
        stays(&gateway, "found", allowed, 200, Duration::from_secs(1)).await;
        stays(&gateway, "found", denied, 403, Duration::from_secs(1)).await;
    }

    // What others may write into files of their own: they read what they say they consume, and that is all.
    let (service, api) = if kind == Kind::OurHost { ("echo", "payments") } else { ("peers:9080", "envoys") };
    let claim = json!({"backstage-kong/service": service, "backstage-kong/access": "anyone"});
    backstage.upsert(owned("API", "aaa", "search", claim.clone(), json!({}))).await;
    backstage.upsert(owned("Component", "aaa", "search", claim, json!({"consumesApis": [api, "ledger"]}))).await;
    until(&gateway, "found", &search, 200, REFRESH + SLACK).await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    stays(&gateway, "found", &payments, 200, Duration::from_secs(1)).await;
    for (route, token, method, status) in [
        ("found", &search, "GET", 200),
        ("found", &search, "POST", 403),
        ("found", &payments, "POST", 200),
        ("found", &finance, "GET", 403),
        ("ledger", &search, "GET", 200),
        ("approved", &search, "GET", 403),
        ("approved", &checkout, "POST", 403),
        ("approved", &checkout, "GET", 200),
        ("none", &search, "GET", 403),
    ] {
        let answer = if method == "GET" { gateway.get(route, token).await } else { gateway.post(route, token).await };
        assert_eq!(answer.status, status, "{route} {method}: {}", gateway.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the peers and the release wasm; make test runs it"]
async fn what_changes_in_backstage_changes_the_answers_of_our_host() {
    story(Kind::OurHost).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the peers, .venv and the release wasm; make test runs it"]
async fn what_changes_in_backstage_changes_the_answers_of_envoy() {
    story(Kind::Envoy).await;
}

async fn outage(kind: Kind) {
    let mut backstage = Backstage::start();
    backstage.set(&shop()).await;
    let stale = |on_stale: &str| {
        config(
            json!({"entity": "api:default/payments", "owner": "group:default/search", "catalog": {"on_stale": on_stale}}),
        )
    };
    let public = json!({"entity": "api:default/payments", "policy": {"rules": [{"allow": ["anyone"]}]}});
    let routes =
        [("deny", stale("deny")), ("allow", stale("allow")), ("static", stale("static")), ("public", config(public))];
    let gateway = gateway(kind, "catalog-outage", &backstage, &routes).await;
    let [payments, search, nobody] = ["payments", "search", "nobody"].map(|group| token(&[group]));
    for route in ["deny", "allow", "static", "public"] {
        until(&gateway, route, &payments, 200, Duration::from_secs(5)).await;
    }

    // Whatever goes wrong with one reading, the last good one goes on.
    for faults in [
        json!({"status": 503}),
        json!({"status": 401}),
        json!({"not_json": true}),
        json!({"cut": true}),
        json!({"fail_after_pages": 1}),
        json!({"delay_ms": 1500}),
    ] {
        backstage.fail(faults).await;
        stays(&gateway, "deny", &payments, 200, Duration::from_secs(2)).await;
        stays(&gateway, "deny", &search, 403, Duration::from_millis(200)).await;
    }
    // Slow, but not too slow.
    backstage.fail(json!({"delay_ms": 400})).await;
    until_read(&gateway, &backstage, "deny", "search", &search).await;
    backstage.fail(json!({})).await;
    until_read(&gateway, &backstage, "deny", "payments", &payments).await;

    // Gone, until the last good index is too old: then each route does what its configuration says.
    backstage.kill();
    stays(&gateway, "deny", &payments, 200, Duration::from_secs(10)).await;
    until(&gateway, "deny", &payments, 503, Duration::from_secs(20)).await;
    assert!(gateway.get("deny", &payments).await.header("retry-after").is_some());
    for (route, token, status) in [
        ("allow", &nobody, 200),
        ("static", &search, 200),
        ("static", &payments, 403),
        ("public", &nobody, 200),
        ("deny", &nobody, 503),
    ] {
        until(&gateway, route, token, status, Duration::from_secs(3)).await;
    }

    // Back, at first with nothing in its catalog, which nobody believes.
    backstage.restart();
    stays(&gateway, "deny", &payments, 503, Duration::from_secs(3)).await;
    backstage.set(&shop()).await;
    until(&gateway, "deny", &payments, 200, Duration::from_secs(75)).await;
    until(&gateway, "allow", &nobody, 403, Duration::from_secs(3)).await;
}

/// Gives the API to another group, and waits for the gateway to know.
async fn until_read(gateway: &Gateway, backstage: &Backstage, route: &str, owner: &str, token: &str) {
    backstage.upsert(owned("API", "payments", owner, json!({}), json!({}))).await;
    // It may first have to come round from a pause after failures.
    until(gateway, route, token, 200, Duration::from_secs(75)).await;
    // Within a second the other workers know, too.
    tokio::time::sleep(Duration::from_millis(1500)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the peers and the release wasm; make test runs it"]
async fn our_host_lives_through_the_faults_of_backstage() {
    outage(Kind::OurHost).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the peers, .venv and the release wasm; make test runs it"]
async fn envoy_lives_through_the_faults_of_backstage() {
    outage(Kind::Envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the peers and the release wasm; make test runs it"]
async fn a_token_that_may_not_read_the_catalog_is_named_in_the_log_and_nobody_passes() {
    let backstage = Backstage::start();
    backstage.set(&shop()).await;
    let with = |token: &str| config(json!({"entity": "api:default/payments", "catalog": {"token": token}}));
    let routes = [("garbage", with("garbage")), ("stranger", with(STRANGERS_TOKEN)), ("writer", with(WRITERS_TOKEN))];
    let gateway = gateway(Kind::OurHost, "catalog-tokens", &backstage, &routes).await;
    let payments = token(&["payments"]);
    for (route, said) in [
        ("garbage", "Backstage does not take `catalog.token` (401)"),
        ("stranger", "`catalog.token` may not read the catalog (403)"),
        ("writer", "lacks the permission catalog.entity.read"),
    ] {
        assert_eq!(gateway.get(route, &payments).await.status, 503, "{route}");
        let begin = Instant::now();
        while !gateway.log().contains(said) {
            assert!(begin.elapsed() < Duration::from_secs(10), "{route}: {}", gateway.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert!(!gateway.log().contains("test-only-token"), "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the peers, .venv and the release wasm; make test runs it"]
async fn five_thousand_entities_and_every_page_boundary() {
    let backstage = Backstage::start();
    let mut entities = shop();
    let groups = (0..500).map(|n| group(&format!("g{n}"), json!({"keycloak.org/id": format!("kc{n}")}), None));
    entities.extend(groups);
    entities.extend((0..2500).map(|n| owned("API", &format!("a{n}"), &format!("g{}", n % 500), json!({}), json!({}))));
    entities.extend((0..1990).map(|n| {
        owned(
            "Component",
            &format!("c{n}"),
            &format!("g{}", (n + 1) % 500),
            json!({}),
            json!({"consumesApis": [format!("a{n}")]}),
        )
    }));
    assert_eq!(entities.len(), 5000);
    backstage.set(&entities).await;
    // 4,495 entities that can be called and 503 groups: one page of all, an exact number of pages, one more than that.
    let sizes = [2000, 899, 31, 503];
    let route = |n: usize, size: usize| {
        // Catalogs that differ in nothing but the page share what one of them has read; these differ in more.
        let own = json!([format!("acme.example/{size}")]);
        let catalog = json!({"page_size": size, "timeout_ms": 10000, "group_annotations": own});
        config(json!({"entity": format!("api:default/a{n}"), "catalog": catalog}))
    };
    for kind in [Kind::OurHost, Kind::Envoy] {
        let mut routes = Vec::new();
        for size in sizes {
            for n in [0, 1, 899, 1798, 1989, 2499] {
                routes.push((format!("p{size}-{n}"), n, route(n, size)));
            }
        }
        let named: Vec<_> = routes.iter().map(|(name, _, config)| (name.as_str(), config.clone())).collect();
        let gateway = gateway(kind, "catalog-large", &backstage, &named).await;
        for (name, n, _) in &routes {
            let [owner, consumer, stranger] =
                [n % 500, (n + 1) % 500, (n + 7) % 500].map(|g| token(&[&format!("g{g}")]));
            // Pages of 31 take longer than a request can wait, so that a tick has to read them.
            until(&gateway, name, &owner, 200, Duration::from_secs(90)).await;
            until(&gateway, name, &stranger, 403, Duration::from_secs(3)).await;
            until(&gateway, name, &consumer, if *n < 1990 { 200 } else { 403 }, Duration::from_secs(3)).await;
        }
        println!("{kind:?}: {} queries", backstage.queries().await);
    }
}

/// The entities of the sample catalog, as Backstage would read them from its files.
fn sample() -> Vec<Value> {
    let folder = Path::new(ROOT).join("examples/catalog");
    let mut entities = Vec::new();
    for file in ["apis.yaml", "components.yaml", "org.yaml"] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        for document in serde_yaml_ng::Deserializer::from_str(&text) {
            let mut entity = Value::deserialize(document).unwrap();
            if let Some(file) = entity["spec"]["definition"]["$text"].as_str().map(|file| folder.join(file)) {
                entity["spec"]["definition"] = json!(std::fs::read_to_string(file).unwrap());
            }
            entities.push(entity);
        }
    }
    entities
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the peers; make test runs it"]
async fn the_command_makes_the_same_of_a_backstage_as_of_the_files_that_it_has() {
    let backstage = Backstage::start();
    backstage.set(&sample()).await;
    // Beside this test, where cargo has put it.
    let command = std::env::current_exe().unwrap().parent().unwrap().with_file_name("backstage-kong");
    let generate = |token: &str| {
        let url = format!("http://{}", backstage.address);
        let args = ["generate", "--template", "examples/catalog/filter.yaml", "--page-size", "5", "--backstage", &url];
        let mirrored = ["--consumers", "--role-annotation", "amazonaws.com/role-arn"];
        Command::new(&command)
            .args(args)
            .args(mirrored)
            .env("BACKSTAGE_TOKEN", token)
            .current_dir(ROOT)
            .output()
            .unwrap()
    };
    let made = generate(TOKEN);
    let (said, complaints) = (String::from_utf8(made.stdout).unwrap(), String::from_utf8(made.stderr).unwrap());
    assert_eq!(
        said,
        std::fs::read_to_string(Path::new(ROOT).join("examples/catalog/kong.yml")).unwrap(),
        "{complaints}"
    );
    for token in [STRANGERS_TOKEN, "garbage"] {
        let refused = generate(token);
        let complaints = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{complaints}");
        assert!(complaints.contains("BACKSTAGE_TOKEN") && !complaints.contains(token), "{complaints}");
    }
}
