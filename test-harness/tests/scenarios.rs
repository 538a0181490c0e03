//! The table of requests over every gateway there is here: ours as Kong, ours as Envoy, and a real Envoy with two threads.
//!
//! The same `kong/kong.yml` configures all of them. Ignored unless asked for, because they need the compiled filter
//! (`make wasm`), and Envoy (`make envoy`); `make test` asks.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

use kong_yml::{Filters, KongYml};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use test_harness::built_filter;
use test_harness::envoy::{Bootstrap, Envoy, RouteSpec, find_binary};
use test_harness::lab::http::Base;
use test_harness::lab::peers::{DEFAULT_ISSUER, Peers};
use test_harness::lab::resolve::Resolve;
use test_harness::lab::scenarios::{self, Target};
use test_harness::lab::serve::{Gateway, Settings};
use test_harness::{FilterModule, Profile};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

async fn peers() -> Peers {
    Peers::start("127.0.0.1:0", "127.0.0.1:0", DEFAULT_ISSUER).await.unwrap()
}

/// Runs the whole table and fails with what went wrong.
async fn run(gateway: SocketAddr, peers: &Peers, kind: Profile) {
    let target = Target::new(Base::from(gateway), Base::from(peers.idp), Resolve::default(), kind);
    target.wait_until_up(Duration::from_secs(20)).await.unwrap();
    let groups = scenarios::parse(scenarios::TABLE).unwrap();
    let outcomes = target.run(&groups, None, |_| ()).await;
    println!("{}", scenarios::closing_line(&outcomes));
    let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.passed()).collect();
    assert!(outcomes.len() > 100, "the table has become short: {}", outcomes.len());
    assert!(failed.is_empty(), "{failed:#?}");
}

async fn on_our_host(profile: Profile) {
    let peers = peers().await;
    let entries = [format!("peers:9080={}", peers.upstream), format!("peers:9081={}", peers.idp)];
    let settings = Settings {
        kong_yml: root().join("kong/kong.yml"),
        filter: FilterModule::load(built_filter().unwrap()).unwrap(),
        filters: root().join("kong/filters"),
        profile,
        workers: 2,
        listen: "127.0.0.1:0".to_owned(),
        admin: "127.0.0.1:0".to_owned(),
        resolve: Resolve::new(entries.iter().map(|entry| entry.parse().unwrap()).collect()),
    };
    let gateway = Gateway::start(settings, Arc::new(|_: &_| ())).await.unwrap();
    run(gateway.listen, &peers, profile).await;
    gateway.stop().await;
}

/// One route of Envoy for each prefix of `kong.yml`.
fn routes(kong_yml: &KongYml) -> Vec<RouteSpec> {
    let spec = |route: &kong_yml::Route, path: &String| {
        let service = kong_yml.services.get(route.service)?;
        let config = route.filters.first().map(|filter| String::from_utf8_lossy(&filter.config).into_owned());
        Some(RouteSpec {
            name: route.name.clone(),
            path_prefix: path.clone(),
            upstream: format!("{}:{}", service.host, service.port),
            strip_path: route.strip_path,
            filter_config: config,
        })
    };
    kong_yml.routes.iter().flat_map(|route| route.paths.iter().filter_map(move |path| spec(route, path))).collect()
}

#[tokio::test]
#[ignore = "needs the release wasm; make test runs it"]
async fn the_table_passes_on_our_host_as_kong() {
    on_our_host(Profile::Kong).await;
}

#[tokio::test]
#[ignore = "needs the release wasm; make test runs it"]
async fn the_table_passes_on_our_host_as_envoy() {
    on_our_host(Profile::Envoy).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs .venv and the release wasm; make test runs it"]
async fn the_table_passes_on_a_real_envoy() {
    let peers = peers().await;
    let text = std::fs::read_to_string(root().join("kong/kong.yml")).unwrap();
    let (kong_yml, _) = KongYml::parse(&text, Filters::Loaded(&["backstage_kong"])).unwrap();
    let routes = routes(&kong_yml);
    let mut clusters = BTreeMap::from([("peers:9081".to_owned(), peers.idp)]);
    // What is at neither of the peers' addresses is nowhere: nothing listens on port 1.
    let address =
        |name: &str| if name == "peers:9080" { peers.upstream } else { SocketAddr::from(([127, 0, 0, 1], 1)) };
    clusters.extend(routes.iter().map(|route| (route.upstream.clone(), address(&route.upstream))));
    let bootstrap = Bootstrap { wasm: built_filter().unwrap(), routes, clusters, ..Bootstrap::default() };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("envoy-scenarios");
    let envoy = Envoy::start(&find_binary(&root().join(".venv")).unwrap(), &bootstrap, 2, &folder).unwrap();
    run(envoy.gateway(), &peers, Profile::Envoy).await;
}
