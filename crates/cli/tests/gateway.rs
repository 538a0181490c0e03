//! What `generate` makes of the sample catalog works: our gateway runs on it, and requests get the answers that the catalog means.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests are tests too")]

#[path = "support/backstage.rs"]
mod backstage;
mod support;

use backstage_kong_cli::catalog::Catalog;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use support::{Folder, root};
use test_harness::lab::http::Base;
use test_harness::lab::peers::{DEFAULT_ISSUER, Peers};
use test_harness::lab::resolve::Resolve;
use test_harness::lab::scenarios::{self, Target};
use test_harness::lab::serve::{Gateway, Settings};
use test_harness::{FilterModule, Profile, built_filter};

/// `api:default/payments` is of `payments` and consumed by `checkout`; `orders` is the other way round; `products` are for all.
const TABLE: &str = r#"
- group: payments, where the owner writes and consumers read
  scenarios:
  - name: the owner reads, and the upstream learns what the catalog says
    request: {path: /payments/1, token: payments-dev}
    expect:
      headers: {ratelimit-policy: {contains: '"per-group";q=6000;w=60'}}
      upstream: {x-backstage-entity-ref: "api:default/payments", x-backstage-owner: "group:default/payments", authorization: {empty: true}}
  - {name: the owner writes, request: {method: POST, path: /payments, token: payments-dev}, expect: {}}
  - name: a consumer reads, by its group's own tier
    request: {path: /payments/1, token: checkout-dev}
    expect: {headers: {ratelimit-policy: {contains: '"per-group";q=5;w=3600'}}}
  - {name: a consumer's service reads, request: {path: /payments/1, token: checkout-batch}, expect: {}}
  - {name: a consumer does not write, request: {method: POST, path: /payments, token: checkout-dev}, expect: {status: 403, reason: not_allowed}}
  - {name: a stranger does not read, request: {path: /payments/1, token: search-dev}, expect: {status: 403, reason: not_allowed}}
  - {name: who is in no group does not read, request: {path: /payments/1, token: intern}, expect: {status: 403, reason: not_allowed}}
  - {name: nobody passes without a token, request: {path: /payments/1}, expect: {status: 401, headers: {www-authenticate: {contains: 'realm="shop"'}}}}
  - {name: nobody passes with a forged token, request: {path: /payments/1, token: {user: payments-dev, forge: stranger_key}}, expect: {status: 401}}
  - {name: an owner's agent reads, request: {path: /payments/1, token: release-bot}, expect: {}}
  - {name: an owner's agent does not write, request: {method: DELETE, path: /payments/1, token: release-bot}, expect: {status: 403, reason: agent_read_only}}

- group: orders, by what is usual
  scenarios:
  - {name: the owner writes, request: {method: POST, path: /orders, token: checkout-dev}, expect: {}}
  - {name: a consumer reads, request: {path: /orders/1, token: payments-dev}, expect: {}}
  - {name: a consumer does not write, request: {method: POST, path: /orders, token: payments-dev}, expect: {status: 403, reason: not_allowed}}
  - {name: an agent reads what its user may, request: {path: /orders/1, token: release-bot}, expect: {}}
  - {name: an agent does not write what its user may not, request: {method: POST, path: /orders, token: release-bot}, expect: {status: 403, reason: not_allowed}}
  - {name: a stranger does not read, request: {path: /orders/1, token: search-dev}, expect: {status: 403}}

- group: products, which anyone may read
  scenarios:
  - {name: anyone reads, request: {path: /products}, expect: {upstream: {x-backstage-entity-ref: "api:default/products"}}}
  - {name: anyone reads on the other path, request: {path: "/search?q=x"}, expect: {}}
  - {name: nobody writes without a token, request: {method: POST, path: /products}, expect: {status: 401}}
  - {name: the owner writes, request: {method: POST, path: /products, token: search-dev}, expect: {}}
  - {name: a user who is named writes, request: {method: PUT, path: /products/1, token: payments-dev}, expect: {}}
  - {name: an agent writes what its user may, request: {method: PUT, path: /products/1, token: release-bot}, expect: {}}
  - {name: a consumer is not named and does not write, request: {method: POST, path: /products, token: checkout-dev}, expect: {status: 403}}

- group: quotas
  scenarios:
  - name: a group's tier ends where the template says
    steps:
    - {request: {path: /orders/1, token: checkout-dev}, expect: {status: [200, 429]}, repeat: 5}
    - {request: {path: /orders/1, token: checkout-dev}, expect: {status: 429, reason: quota_exceeded}}
    - {request: {path: /orders/1, token: payments-dev}, expect: {}}
"#;

/// `api:default/payments` has the paths of its OpenAPI definition; `products` is GraphQL, and has none.
const PATHS: &str = r#"
- group: paths
  scenarios:
  - {name: a path of the definition, request: {path: /payments/1, token: payments-dev}, expect: {}}
  - {name: another with its method, request: {method: POST, path: /payments, token: payments-dev}, expect: {}}
  - {name: HEAD goes with GET, request: {method: HEAD, path: /payments/1, token: payments-dev}, expect: {}}
  - {name: the rules are the same, request: {path: /payments/1, token: search-dev}, expect: {status: 403}}
  - {name: a method that is not defined, request: {method: PUT, path: /payments/1, token: payments-dev}, expect: {status: 404}}
  - {name: a path that is not defined, request: {path: /payments/1/secrets, token: payments-dev}, expect: {status: 404}}
  - {name: an API without OpenAPI has its prefix, request: {path: /products/1}, expect: {}}
"#;

/// The entities of the sample catalog as a Backstage serves them, with the relations that it makes.
fn served() -> Vec<Value> {
    let files = root().join("examples/catalog/all.yaml");
    let catalog = Catalog::of_files(&[files.to_string_lossy().into_owned()]).unwrap();
    let entity = |item: &backstage_kong_cli::catalog::Item| {
        let own = catalog.relationships.iter().filter(|relationship| relationship.from == item.reference);
        let relations: Vec<_> =
            own.map(|relation| json!({"type": relation.link.name(), "targetRef": relation.to.as_str()})).collect();
        let mut entity = item.node().to_json();
        entity["relations"] = json!(relations);
        entity
    };
    catalog.items.values().map(entity).collect()
}

async fn on_the_generated_file(args: &[&str], table: &str) {
    let folder = Folder::new("gateway", &[]);
    let template = std::fs::read_to_string(root().join("examples/catalog/filter.yaml")).unwrap();
    folder.write("filter.yaml", &template.replace("catalog:\n", &format!("catalog:\n  token: {}\n", backstage::TOKEN)));
    let catalog = root().join("examples/catalog/all.yaml");
    let base =
        ["generate", "--catalog", catalog.to_str().unwrap(), "--template", "filter.yaml", "--output", "kong.yml"];
    let run = folder.run(&[&base[..], args].concat());
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));

    let peers = Peers::start("127.0.0.1:0", "127.0.0.1:0", DEFAULT_ISSUER).await.unwrap();
    let (backstage, _) = backstage::serve(served(), backstage::Habits::default());
    let entries = [
        format!("peers:9080={}", peers.upstream),
        format!("peers:9081={}", peers.idp),
        format!("backstage:7007={}", backstage.trim_start_matches("http://")),
    ];
    let settings = Settings {
        kong_yml: folder.0.join("kong.yml"),
        filter: FilterModule::load(built_filter().unwrap()).unwrap(),
        filters: root().join("kong/filters"),
        profile: Profile::Kong,
        workers: 2,
        listen: "127.0.0.1:0".to_owned(),
        admin: "127.0.0.1:0".to_owned(),
        resolve: Resolve::new(entries.iter().map(|entry| entry.parse().unwrap()).collect()),
    };
    let gateway = Gateway::start(settings, Arc::new(|_: &_| ())).await.unwrap();
    let target = Target::new(Base::from(gateway.listen), Base::from(peers.idp), Resolve::default(), Profile::Kong);
    target.wait_until_up(Duration::from_secs(20)).await.unwrap();
    let outcomes = target.run(&scenarios::parse(table).unwrap(), None, |_| ()).await;
    println!("{}", scenarios::closing_line(&outcomes));
    let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.passed()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    gateway.stop().await;
}

#[tokio::test]
#[ignore = "needs the release wasm; make test runs it"]
async fn what_is_written_out_answers_as_the_catalog_means() {
    on_the_generated_file(&["--ownership", "static"], TABLE).await;
}

#[tokio::test]
#[ignore = "needs the release wasm; make test runs it"]
async fn what_is_left_to_the_catalog_answers_the_same() {
    on_the_generated_file(&["--ownership", "live"], TABLE).await;
}

#[tokio::test]
#[ignore = "needs the release wasm; make test runs it"]
async fn with_a_route_for_each_path_nothing_else_is_served() {
    on_the_generated_file(&["--routes", "per-path"], PATHS).await;
}
