//! The certified `oidc-provider`, with realms that fail as told.

use super::process::{Process, free_port, loopback};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use test_harness::lab::http::{Base, Client, header_map};
use test_harness::lab::resolve::Resolve;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/oidc-provider");
/// The host of its issuers, which each gateway finds under another address.
pub(crate) const HOST: &str = "idp.test:80";
const ORIGIN: &str = "http://idp.test";
const WAIT: Duration = Duration::from_secs(10);

pub(crate) struct OidcProvider {
    process: Option<Process>,
    pub(crate) address: SocketAddr,
    client: Client,
}

pub(crate) fn issuer(realm: &str) -> String {
    format!("{ORIGIN}/realms/{realm}")
}

fn run(port: u16) -> Process {
    assert!(Path::new(FOLDER).join("node_modules").is_dir(), "no peers; `make peers` installs them");
    let mut command = Command::new("node");
    let (process, [_]) =
        Process::start_telling_ports(command.current_dir(FOLDER).args(["server.mjs", &port.to_string(), ORIGIN]));
    process
}

impl OidcProvider {
    pub(crate) fn start() -> Self {
        let address = loopback(free_port());
        Self { process: Some(run(address.port())), address, client: Client::new(Resolve::default(), WAIT) }
    }

    /// Ends it, in the middle of whatever it does.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again at its address. Realms are as they were made: with key 1.
    pub(crate) fn restart(&mut self) {
        self.process = Some(run(self.address.port()));
    }

    /// Sets keys (the first one signs) and faults of a realm, and tells how often metadata and keys were asked for since.
    pub(crate) async fn control(&self, realm: &str, wanted: Value) -> (u64, u64) {
        let counts = self.post(&format!("/control/{realm}"), "application/json", wanted.to_string()).await;
        (counts["metadata"].as_u64().unwrap(), counts["keys"].as_u64().unwrap())
    }

    /// Lets a realm's metadata and keys fail in that way, or not with `ok`.
    pub(crate) async fn fail(&self, realm: &str, metadata: &str, keys: &str) {
        self.control(realm, json!({"faults": {"metadata": metadata, "keys": keys}})).await;
    }

    /// A new access token of a service in the group `payments`, by the grant of client credentials.
    pub(crate) async fn token(&self, realm: &str) -> String {
        let form = "grant_type=client_credentials&client_id=batch&client_secret=a+secret+that+everybody+may+know";
        let path = format!("/realms/{realm}/token");
        let answer = self.post(&path, "application/x-www-form-urlencoded", form.to_owned()).await;
        answer["access_token"].as_str().unwrap_or_else(|| panic!("no token but {answer}")).to_owned()
    }

    async fn post(&self, path: &str, kind: &str, body: String) -> Value {
        let mut request = Base::from(self.address).request(axum::http::Method::POST, path);
        request.headers = header_map([("host", "idp.test".as_bytes()), ("content-type", kind.as_bytes())]).unwrap();
        request.body = body.into();
        let answer = self.client.send(request, WAIT).await.unwrap();
        serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{path}: {}", answer.status))
    }
}
