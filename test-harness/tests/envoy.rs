//! The compiled filter under a real Envoy.
//!
//! Needs `.venv` (`make envoy`) and the release build of the filter (`make wasm`), so these tests are ignored unless asked
//! for; `make test` asks.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests are tests too")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use test_harness::built_filter;
use test_harness::envoy::{Bootstrap, Envoy, EnvoyError, RouteSpec, find_binary};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// An upstream that answers every request with the head it received.
fn mirror() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || reflect(stream));
        }
    });
    address
}

fn reflect(mut stream: TcpStream) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let head: Vec<_> = lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let body = head.join("\n");
    let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
}

/// Status and everything that follows it.
fn request(to: SocketAddr, line: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(to).unwrap();
    write!(stream, "{line} HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

fn start(name: &str, routes: &[(&str, Option<&str>)]) -> Result<Envoy, EnvoyError> {
    let upstream = mirror();
    let routes = routes.iter().map(|(name, config)| RouteSpec {
        name: (*name).to_owned(),
        path_prefix: format!("/{name}"),
        upstream: "peers:9080".to_owned(),
        strip_path: true,
        filter_config: config.map(str::to_owned),
    });
    let bootstrap = Bootstrap {
        wasm: built_filter().unwrap(),
        routes: routes.collect(),
        clusters: BTreeMap::from([("peers:9080".to_owned(), upstream), ("peers:9081".to_owned(), upstream)]),
        ..Bootstrap::default()
    };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("envoy-{name}"));
    Envoy::start(&find_binary(&Path::new(ROOT).join(".venv"))?, &bootstrap, 2, &folder)
}

fn example(name: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join("examples").join(name)).unwrap()
}

#[test]
#[ignore = "needs .venv and the release wasm; make test runs it"]
fn each_route_has_its_own_configuration_and_paths_arrive_raw() {
    let (owned, open) = (example("minimal.json"), example("public.json"));
    let envoy = start("routes", &[("owned", Some(&owned)), ("open", Some(&open)), ("bare", None)]).unwrap();
    assert_eq!(request(envoy.gateway(), "GET /owned/x").0, 401, "{}", envoy.log());
    let (status, answer) = request(envoy.gateway(), "GET /open/a%2Fb//c?d");
    assert_eq!(status, 200, "{}", envoy.log());
    assert!(answer.contains("GET /a%2Fb//c?d HTTP/1.1"), "{answer}");
    assert!(answer.contains("x-backstage-entity-ref: component:default/website"), "{answer}");
    assert_eq!(request(envoy.gateway(), "GET /bare").0, 200);
}

#[test]
#[ignore = "needs .venv and the release wasm; make test runs it"]
fn metrics_carry_their_labels() {
    let envoy = start("metrics", &[("owned", Some(&example("minimal.json")))]).unwrap();
    request(envoy.gateway(), "GET /owned/x");
    let metrics = envoy.metrics().unwrap();
    let decisions: Vec<_> = metrics.lines().filter(|line| line.starts_with("decisions{")).collect();
    assert!(decisions.iter().any(|line| line.contains("entity=\"api:default/payments\"")), "{decisions:?}");
    assert!(decisions.iter().any(|line| line.contains("decision=\"deny\"")), "{decisions:?}");
    // Latency, in which `histogram_quantile` finds what it needs.
    for bound in ["10", "5000", "+Inf"] {
        let is_bucket = |line: &str| {
            line.starts_with("request_duration_ms_bucket{")
                && ["entity=\"api:default/payments\"", &format!("le=\"{bound}\"")]
                    .iter()
                    .all(|label| line.contains(label))
        };
        assert!(metrics.lines().any(is_bucket), "{bound}: {metrics}");
    }
}

#[test]
#[ignore = "needs .venv and the release wasm; make test runs it"]
fn a_bad_configuration_loads_and_answers_503_on_its_route_only() {
    let bad = example("invalid/unknown-field.json");
    let envoy = start("bad", &[("bad", Some(&bad)), ("open", Some(&example("public.json")))]).unwrap();
    assert_eq!(request(envoy.gateway(), "GET /bad").0, 503);
    assert_eq!(request(envoy.gateway(), "GET /open").0, 200);
    assert!(envoy.log().contains("polices"), "{}", envoy.log());
}

#[test]
#[ignore = "needs .venv and the release wasm; make test runs it"]
fn threads_that_race_on_one_quota_admit_exactly_the_limit() {
    let limited = r#"{
        "entity": "api:default/payments",
        "policy": {"rules": [{"allow": ["anyone"]}]},
        "quotas": {"policies": [{"name": "all", "per": "entity", "windows": ["100/30d"]}]}
    }"#;
    let envoy = start("race", &[("limited", Some(limited))]).unwrap();
    let gateway = envoy.gateway();
    let clients: Vec<_> = (0..8)
        .map(|_| thread::spawn(move || (0..25).map(|_| request(gateway, "GET /limited").0).collect::<Vec<_>>()))
        .collect();
    let answers: Vec<u16> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    let of = |status| answers.iter().filter(|answer| **answer == status).count();
    assert_eq!((of(200), of(429)), (100, 100), "{}", envoy.log());
}
