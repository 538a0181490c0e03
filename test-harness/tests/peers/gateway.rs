//! Gateways that run the compiled filter, alike to use.

use axum::http::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use test_harness::built_filter;
use test_harness::envoy::{Bootstrap, Envoy, RouteSpec, find_binary};
use test_harness::lab::http::{Base, Client, Incoming, header_map};
use test_harness::lab::peers::{DEFAULT_ISSUER, Peers};
use test_harness::lab::resolve::Resolve;
use test_harness::lab::serve::{Gateway as Laptop, Settings};
use test_harness::{FilterModule, LogLine, Profile};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const UPSTREAM: &str = "peers:9080";
/// Longer than any answer of a gateway may take.
const WAIT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Our host, as Kong, with two workers.
    OurHost,
    /// A real Envoy with two threads.
    Envoy,
}

enum Running {
    OurHost { _gateway: Laptop, lines: Arc<Mutex<Vec<LogLine>>> },
    Envoy(Envoy),
}

/// A gateway, with the upstream behind it. It ends with this value.
pub(crate) struct Gateway {
    running: Running,
    address: SocketAddr,
    client: Client,
    _peers: Peers,
}

impl Gateway {
    /// Starts one with a route `/<name>` for each configuration. `hosts` are the `host:port`s that the configurations call.
    pub(crate) async fn start(
        kind: Kind,
        name: &str,
        routes: &BTreeMap<String, Value>,
        hosts: &[(&str, SocketAddr)],
    ) -> Self {
        let peers = Peers::start("127.0.0.1:0", "127.0.0.1:0", DEFAULT_ISSUER).await.unwrap();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{kind:?}"));
        std::fs::create_dir_all(&folder).unwrap();
        let mut hosts: BTreeMap<_, _> = hosts.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect();
        hosts.insert(UPSTREAM.to_owned(), peers.upstream);
        let (running, address) = match kind {
            Kind::OurHost => our_host(&folder, routes, &hosts).await,
            Kind::Envoy => envoy(&folder, routes, hosts),
        };
        Self { running, address, client: Client::new(Resolve::default(), WAIT), _peers: peers }
    }

    /// `GET` of a route's path with a bearer token.
    pub(crate) async fn get(&self, route: &str, token: &str) -> Incoming {
        self.send(Method::GET, route, &[("authorization", format!("Bearer {token}").as_bytes())]).await
    }

    /// `POST` to it.
    pub(crate) async fn post(&self, route: &str, token: &str) -> Incoming {
        self.send(Method::POST, route, &[("authorization", format!("Bearer {token}").as_bytes())]).await
    }

    /// `GET` of a route's path.
    pub(crate) async fn plain(&self, route: &str) -> Incoming {
        self.send(Method::GET, route, &[]).await
    }

    async fn send(&self, method: Method, route: &str, headers: &[(&str, &[u8])]) -> Incoming {
        let mut request = Base::from(self.address).request(method, &format!("/{route}"));
        request.headers = header_map(headers.iter().copied()).unwrap();
        self.client.send(request, WAIT).await.unwrap_or_else(|error| panic!("{route}: {error}; {}", self.log()))
    }

    /// The last of what the filter has logged so far, without the requests that passed.
    pub(crate) fn log(&self) -> String {
        let log = match &self.running {
            Running::OurHost { lines, .. } => {
                lines.lock().unwrap().iter().map(|line| format!("{}\n", line.text)).collect()
            }
            Running::Envoy(envoy) => envoy.log(),
        };
        let lines: Vec<_> = log.lines().filter(|line| !line.contains(r#""decision":"allow""#)).collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

async fn our_host(
    folder: &Path,
    routes: &BTreeMap<String, Value>,
    hosts: &BTreeMap<String, SocketAddr>,
) -> (Running, SocketAddr) {
    let routes = routes.iter().map(|(name, config)| {
        let chain = json!([{"filters": [{"name": "backstage_kong", "config": config}]}]);
        json!({"name": name, "paths": [format!("/{name}")], "filter_chains": chain})
    });
    let services = json!([{"name": "echo", "url": format!("http://{UPSTREAM}"), "routes": routes.collect::<Vec<_>>()}]);
    let kong_yml = folder.join("kong.yml");
    std::fs::write(&kong_yml, json!({"_format_version": "3.0", "services": services}).to_string()).unwrap();
    let resolve = hosts.iter().map(|(name, at)| format!("{name}={at}").parse().unwrap());
    let settings = Settings {
        kong_yml,
        filter: FilterModule::load(built_filter().unwrap()).unwrap(),
        filters: Path::new(ROOT).join("kong/filters"),
        profile: Profile::Kong,
        workers: 2,
        listen: "127.0.0.1:0".to_owned(),
        admin: "127.0.0.1:0".to_owned(),
        resolve: Resolve::new(resolve.collect()),
    };
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    let log = Arc::new(move |line: &LogLine| sink.lock().unwrap().push(line.clone()));
    let laptop = Laptop::start(settings, log).await.unwrap();
    let address = laptop.listen;
    (Running::OurHost { _gateway: laptop, lines }, address)
}

fn envoy(
    folder: &Path,
    routes: &BTreeMap<String, Value>,
    clusters: BTreeMap<String, SocketAddr>,
) -> (Running, SocketAddr) {
    let routes = routes.iter().map(|(name, config)| RouteSpec {
        name: name.clone(),
        path_prefix: format!("/{name}"),
        upstream: UPSTREAM.to_owned(),
        strip_path: true,
        filter_config: Some(config.to_string()),
    });
    let bootstrap =
        Bootstrap { wasm: built_filter().unwrap(), routes: routes.collect(), clusters, ..Bootstrap::default() };
    let binary = find_binary(&Path::new(ROOT).join(".venv")).unwrap();
    let envoy = Envoy::start(&binary, &bootstrap, 2, folder).unwrap();
    let address = envoy.gateway();
    (Running::Envoy(envoy), address)
}
