//! Keys fetched over TLS, as a real Envoy does it: the cluster says whom to trust and which name to ask for.
//!
//! Needs `.venv` (`make envoy`), Python and the release build of the filter (`make wasm`); `make test` asks for it. The
//! certificates in `tests/tls` are made up, for the name `idp.example`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests are tests too")]

use serde_json::json;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use test_harness::built_filter;
use test_harness::envoy::{Bootstrap, ClusterTls, Envoy, RouteSpec, find_binary};
use test_harness::lab::http::{Base, Client, header_map};
use test_harness::lab::peers::{KeyKind, Mint, Peers, SigningKeys, TokenSpec};
use test_harness::lab::resolve::Resolve;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls");
const ISSUER: &str = "https://idp.example/realms/acme";
const WAIT: Duration = Duration::from_secs(10);

/// A provider that speaks TLS; it ends with this value.
struct Provider {
    child: Child,
    address: SocketAddr,
}

impl Provider {
    fn start(folder: &Path, keys: &SigningKeys) -> Self {
        let documents = folder.join("documents.json");
        let metadata = json!({"issuer": ISSUER, "jwks_uri": "https://idp.example/realms/acme/keys"});
        let paths = json!({
            "/realms/acme/.well-known/openid-configuration": metadata,
            "/realms/acme/keys": {"keys": keys.public()},
        });
        std::fs::write(&documents, paths.to_string()).unwrap();
        let file = |name: &str| Path::new(FILES).join(name);
        let mut child = Command::new("python3")
            .args([file("provider.py"), file("idp.pem"), file("idp.key"), documents])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { child, address: SocketAddr::from(([127, 0, 0, 1], port.trim().parse().unwrap())) }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The status of a request with a good token, where the cluster trusts `authority` and asks for `name`.
async fn status(case: &str, authority: &str, name: &str) -> u16 {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tls-{case}"));
    std::fs::create_dir_all(&folder).unwrap();
    let keys = SigningKeys::generate().unwrap();
    let provider = Provider::start(&folder, &keys);
    let peers = Peers::start("127.0.0.1:0", "127.0.0.1:0", ISSUER).await.unwrap();
    let config = json!({
        "entity": "api:default/payments",
        "issuers": [{"issuer": ISSUER, "audiences": ["payments"]}],
        "policy": {"rules": [{"allow": ["authenticated"]}]}
    });
    let route = RouteSpec {
        name: "payments".to_owned(),
        path_prefix: "/".to_owned(),
        upstream: "peers:9080".to_owned(),
        strip_path: false,
        filter_config: Some(config.to_string()),
    };
    let tls =
        ClusterTls { authorities: Path::new(FILES).join(authority).canonicalize().unwrap(), name: name.to_owned() };
    let bootstrap = Bootstrap {
        wasm: built_filter().unwrap(),
        routes: vec![route],
        clusters: BTreeMap::from([
            ("idp.example:443".to_owned(), provider.address),
            ("peers:9080".to_owned(), peers.upstream),
        ]),
        tls: BTreeMap::from([("idp.example:443".to_owned(), tls)]),
        ..Bootstrap::default()
    };
    let envoy = Envoy::start(&find_binary(&Path::new(ROOT).join(".venv")).unwrap(), &bootstrap, 1, &folder).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let spec = TokenSpec { user: Some("ada".into()), key: KeyKind::Es256, ..TokenSpec::default() };
    let token = Mint { issuer: ISSUER, keys: &keys, now: i64::try_from(now).unwrap() }.token(&spec).unwrap();
    let mut request = Base::from(envoy.gateway()).request(axum::http::Method::GET, "/payments");
    let bearer = format!("Bearer {token}");
    request.headers = header_map([("authorization", bearer.as_bytes())]).unwrap();
    let answer = Client::new(Resolve::default(), WAIT).send(request, WAIT).await.unwrap();
    answer.status
}

#[tokio::test]
#[ignore = "needs .venv and the release wasm; make test runs it"]
async fn keys_come_over_tls_from_a_provider_that_the_cluster_trusts() {
    assert_eq!(status("trusted", "authority.pem", "idp.example").await, 200);
}

#[tokio::test]
#[ignore = "needs .venv and the release wasm; make test runs it"]
async fn a_provider_that_nobody_vouches_for_gives_no_keys() {
    assert_eq!(status("stranger", "stranger.pem", "idp.example").await, 503);
}

#[tokio::test]
#[ignore = "needs .venv and the release wasm; make test runs it"]
async fn a_provider_of_another_name_gives_no_keys() {
    assert_eq!(status("name", "authority.pem", "login.example").await, 503);
}
