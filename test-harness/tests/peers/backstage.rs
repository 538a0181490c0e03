//! A real Backstage backend, whose catalog is as told.

use super::process::{Process, free_port, loopback};
use axum::http::Method;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use test_harness::lab::http::{Base, Client, Incoming, header_map};
use test_harness::lab::resolve::Resolve;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/backstage");
/// Its base URL, and the host of that, which each gateway finds under another address.
pub(crate) const URL: &str = "http://backstage.test";
pub(crate) const HOST: &str = "backstage.test:80";
/// The service token that may read the catalog; one that may not, and is shown an empty one; one that may not and is told.
pub(crate) const TOKEN: &str = "test-only-token-of-the-gateway";
pub(crate) const WRITERS_TOKEN: &str = "test-only-token-of-a-writer";
pub(crate) const STRANGERS_TOKEN: &str = "test-only-token-of-a-stranger";
/// Longer than it takes to load some thousand entities.
const WAIT: Duration = Duration::from_secs(300);

pub(crate) struct Backstage {
    process: Option<Process>,
    pub(crate) address: SocketAddr,
    control: SocketAddr,
    client: Client,
}

fn run(port: u16) -> (Process, [SocketAddr; 2]) {
    assert!(Path::new(FOLDER).join("node_modules").is_dir(), "no peers; `make peers` installs them");
    let mut command = Command::new("node");
    Process::start_telling_ports(command.current_dir(FOLDER).args(["server.mjs", &port.to_string(), URL]))
}

impl Backstage {
    pub(crate) fn start() -> Self {
        let (process, [address, control]) = run(free_port());
        Self { process: Some(process), address, control, client: Client::new(Resolve::default(), WAIT) }
    }

    /// Ends it, in the middle of whatever it does. Its catalog goes with it.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again at its address, with an empty catalog.
    pub(crate) fn restart(&mut self) {
        let (process, [address, control]) = run(self.address.port());
        assert_eq!(address, loopback(self.address.port()));
        (self.process, self.control) = (Some(process), control);
    }

    /// Makes these all the entities there are, and waits until the catalog shows them.
    pub(crate) async fn set(&self, entities: &[Value]) {
        self.tell(Method::PUT, "/entities", json!(entities)).await;
    }

    /// Changes or adds an entity, and waits until the catalog shows it.
    pub(crate) async fn upsert(&self, entity: Value) {
        self.tell(Method::PATCH, "/entities", json!({"upsert": [entity]})).await;
    }

    /// What the catalog's query does wrong from now on.
    pub(crate) async fn fail(&self, faults: Value) {
        self.tell(Method::PUT, "/faults", faults).await;
    }

    /// How often the catalog was queried since this was last asked.
    pub(crate) async fn queries(&self) -> u64 {
        self.tell(Method::GET, "/counts", Value::Null).await["queries"].as_u64().unwrap()
    }

    /// Signs a user in. Gives the user's Backstage token.
    pub(crate) async fn sign_in(&self, user: &str) -> String {
        let headers = [("x-user", user.as_bytes()), ("host", b"backstage.test".as_slice())];
        let answer = self.send(self.address, Method::GET, "/api/auth/test/refresh", &headers, Value::Null).await;
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        answer["backstageIdentity"]["token"].as_str().unwrap_or_else(|| panic!("no token but {answer}")).to_owned()
    }

    async fn tell(&self, method: Method, path: &str, body: Value) -> Value {
        let headers = [("content-type", b"application/json".as_slice())];
        let answer = self.send(self.control, method, path, &headers, body).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    async fn send(
        &self,
        to: SocketAddr,
        method: Method,
        path: &str,
        headers: &[(&str, &[u8])],
        body: Value,
    ) -> Incoming {
        let mut request = Base::from(to).request(method, path);
        request.headers = header_map(headers.iter().copied()).unwrap();
        request.body = if body.is_null() { Vec::new().into() } else { body.to_string().into() };
        self.client.send(request, WAIT).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}
