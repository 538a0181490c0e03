//! The gateway and `backstage-kong explain` over one table of requests: same `kong.yml`, same keys, same moments. What they say
//! must be the same, down to the audit line.
//!
//! Ignored unless asked for, because the gateway needs the compiled filter (`make wasm`); `make test` asks.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

use backstage_kong::host::UnixMillis;
use backstage_kong::http::{Call, Reply};
use backstage_kong_cli::explain::{Assumptions, Calls, Gateway as Explainer, Network, Request};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use test_harness::lab::http::{Base, Incoming, Outgoing};
use test_harness::lab::peers::{DEFAULT_ISSUER, Peers};
use test_harness::lab::resolve::Resolve;
use test_harness::lab::scenarios::{self, Target};
use test_harness::lab::serve::{Gateway, Settings};
use test_harness::{FilterModule, LogLine, Profile, built_filter};

/// What only a gateway answers: nginx refuses a second `authorization` by itself, before any filter (the filter would, too).
const NOT_EXPLAINED: [&str; 1] = ["two Authorization headers are refused"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Asks the peers where they are, and nobody at addresses where nobody is.
struct AtPeers(SocketAddr);

impl Calls for AtPeers {
    fn call(&mut self, call: &Call) -> Result<Reply, String> {
        let mut call = call.clone();
        call.to.authority = match call.to.authority.as_str() {
            "peers:9081" => self.0.to_string(),
            _ => "127.0.0.1:1".to_owned(),
        };
        Network.call(&call)
    }
}

/// The audit lines since the last look.
type Audit = Arc<Mutex<Vec<Value>>>;

async fn gateway(peers: &Peers, audit: Audit) -> Gateway {
    let entries = [format!("peers:9080={}", peers.upstream), format!("peers:9081={}", peers.idp)];
    let settings = Settings {
        kong_yml: root().join("kong/kong.yml"),
        filter: FilterModule::load(built_filter().unwrap()).unwrap(),
        filters: root().join("kong/filters"),
        profile: Profile::Kong,
        workers: 1,
        listen: "127.0.0.1:0".to_owned(),
        admin: "127.0.0.1:0".to_owned(),
        resolve: Resolve::new(entries.iter().map(|entry| entry.parse().unwrap()).collect()),
    };
    let note = move |line: &LogLine| {
        let json = line.text.find("{\"audit\"").map(|at| serde_json::from_str(&line.text[at..]).unwrap());
        audit.lock().unwrap().extend(json);
    };
    Gateway::start(settings, Arc::new(note)).await.unwrap()
}

fn asked(sent: &Outgoing) -> Request {
    let headers = sent.headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
    Request {
        method: sent.method.to_string(),
        target: sent.path.clone(),
        host: sent.host.clone(),
        headers: headers.collect(),
    }
}

/// The audit line of the last answer. A denial is answered before its line is written.
fn line(audit: &Audit) -> Option<Value> {
    let end = Instant::now() + Duration::from_millis(500);
    loop {
        let line = std::mem::take(&mut *audit.lock().unwrap()).pop();
        if line.is_some() || Instant::now() > end {
            return line;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// When the gateway decided, which its audit line says; else now.
fn moment(line: Option<&Value>) -> UnixMillis {
    let at = line.and_then(|line| chrono::DateTime::parse_from_rfc3339(line["time"].as_str()?).ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    UnixMillis(at.map_or_else(|| u64::try_from(now()).unwrap(), |at| u64::try_from(at.timestamp_millis()).unwrap()))
}

/// What differs between an answer of the gateway and its explanation.
fn differences(
    explainer: &Explainer,
    calls: &mut AtPeers,
    audit: &Audit,
    sent: &Outgoing,
    answer: &Incoming,
) -> Vec<String> {
    let line = line(audit);
    let explanation = explainer.explain(&asked(sent), None, moment(line.as_ref()), calls);
    let verdict = &explanation.verdict;
    let mut differences = Vec::new();
    // What passes gets the upstream's status, whatever that is.
    if verdict.status.is_some_and(|status| status != answer.status) {
        differences.push(format!("status {} explained as {:?} ({})", answer.status, verdict.status, verdict.reason));
    }
    // An explanation has no connection, and no gateway that gives the request an id.
    let mut told = line.clone();
    if let Some(members) = told.as_mut().and_then(Value::as_object_mut) {
        members.remove("client_address");
        if members.remove("x_request_id").map(|sent| members.insert("request_id".to_owned(), sent)).is_none() {
            members.remove("request_id");
        }
    }
    if told != verdict.log {
        differences.push(format!("audit line {} explained as {}", json!(line), json!(verdict.log)));
    }
    differences
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the release wasm; make test runs it"]
async fn gateway_and_explanation_agree_on_every_scenario() {
    let peers = Peers::start("127.0.0.1:0", "127.0.0.1:0", DEFAULT_ISSUER).await.unwrap();
    let audit = Audit::default();
    let gateway = gateway(&peers, audit.clone()).await;
    let kong_yml = std::fs::read_to_string(root().join("kong/kong.yml")).unwrap();
    let explainer = Explainer::of_kong(&kong_yml, "backstage_kong", Assumptions::default()).unwrap();
    let mut calls = AtPeers(peers.idp);
    let mut groups = scenarios::parse(scenarios::TABLE).unwrap();
    for group in &mut groups {
        group.scenarios.retain(|scenario| !NOT_EXPLAINED.contains(&scenario.name.as_str()));
    }
    let target = Target::new(Base::from(gateway.listen), Base::from(peers.idp), Resolve::default(), Profile::Kong);
    target.wait_until_up(Duration::from_secs(20)).await.unwrap();
    audit.lock().unwrap().clear();

    let mut requests = 0;
    let mut witness = |sent: &Outgoing, answer: &Incoming| {
        requests += 1;
        differences(&explainer, &mut calls, &audit, sent, answer)
    };
    let outcomes = target.run_before(&groups, None, |_| (), &mut witness).await;
    let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.passed()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(outcomes.len() > 100 && requests > outcomes.len(), "{} scenarios, {requests} requests", outcomes.len());
    gateway.stop().await;
}
