//! The laptop gateway, with probes in the filter's place.

// The helpers of tests are tests too, which the lints' own exception does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod reload;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use support::{PAUSE, Probe};
use test_harness::lab::http::{Base, Client, Incoming, Outgoing, header_map};
use test_harness::lab::peers::{DEFAULT_ISSUER, Peers};
use test_harness::lab::resolve::Resolve;
use test_harness::lab::serve::{Gateway, Settings};
use test_harness::{LogLine, Profile};

const WAIT: Duration = Duration::from_secs(10);
/// A line that takes a while to write.
const SLOW: &str = "slow to write";

struct Lab {
    gateway: Gateway,
    base: Base,
    client: Client,
    logs: Arc<Mutex<Vec<LogLine>>>,
    kong_yml: std::path::PathBuf,
    peers: Peers,
}

const KONG_YML: &str = r#"
_format_version: "3.0"
services:
- name: echo
  url: http://peers:9080
  routes:
  - {name: kept, paths: [/kept], strip_path: false, filter_chains: [{filters: [{name: probe, config: one}]}]}
  - {name: stripped, paths: [/stripped], preserve_host: true, filter_chains: [{filters: [{name: probe, config: one}]}]}
  - {name: plain, paths: [/plain]}
- {name: nobody, url: "http://peers:1", routes: [{name: nobody, paths: [/nobody], filter_chains: [{filters: [{name: probe}]}]}]}
- {name: slow, url: "http://peers:9080", connect_timeout: 100, read_timeout: 200, routes: [{name: late, paths: [/late]}]}
"#;

async fn lab(name: &str, profile: Profile, probe: Probe) -> Lab {
    lab_with(name, profile, probe, KONG_YML).await
}

async fn lab_with(name: &str, profile: Profile, probe: Probe, text: &str) -> Lab {
    start(name, profile, probe, text, "nowhere".into()).await.unwrap()
}

/// A lab whose filter has its metadata in a folder.
async fn start(
    name: &str,
    profile: Profile,
    probe: Probe,
    text: &str,
    filters: std::path::PathBuf,
) -> anyhow::Result<Lab> {
    let peers = Peers::start("127.0.0.1:0", "127.0.0.1:0", DEFAULT_ISSUER).await.unwrap();
    let entries =
        [format!("peers:9080={}", peers.upstream), format!("peers:9081={}", peers.idp), "peers=127.0.0.1".into()];
    let resolve = Resolve::new(entries.iter().map(|entry| entry.parse().unwrap()).collect());
    let kong_yml = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.yml"));
    std::fs::write(&kong_yml, text).unwrap();
    let settings = Settings {
        kong_yml: kong_yml.clone(),
        filter: probe.build(),
        filters,
        profile,
        workers: 2,
        listen: "127.0.0.1:0".to_owned(),
        admin: "127.0.0.1:0".to_owned(),
        resolve,
    };
    let logs = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&logs);
    let log = move |line: &LogLine| {
        if line.text == SLOW {
            std::thread::sleep(Duration::from_millis(100));
        }
        sink.lock().unwrap().push(line.clone());
    };
    let gateway = Gateway::start(settings, Arc::new(log)).await?;
    let base = Base::from(gateway.listen);
    Ok(Lab { gateway, base, client: Client::new(Resolve::default(), WAIT), logs, kong_yml, peers })
}

impl Lab {
    async fn send(&self, method: &str, path: &str, headers: &[(&str, &[u8])]) -> Incoming {
        self.client.send(self.request(method, path, headers), WAIT).await.unwrap()
    }

    fn request(&self, method: &str, path: &str, headers: &[(&str, &[u8])]) -> Outgoing {
        let mut request = self.base.request(method.parse().unwrap(), path);
        request.headers = header_map(headers.iter().copied()).unwrap();
        request
    }

    async fn get(&self, path: &str, headers: &[(&str, &[u8])]) -> (u16, Value) {
        let answer = self.send("GET", path, headers).await;
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    fn said(&self, text: &str) -> usize {
        self.logs.lock().unwrap().iter().filter(|line| line.text.contains(text)).count()
    }

    async fn until_said(&self, text: &str, times: usize) {
        for _ in 0..200 {
            if self.said(text) >= times {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("never said {text:?}: {:?}", self.logs.lock().unwrap());
    }
}

fn tagging() -> Probe {
    let probe = Probe::new();
    let body = [
        probe.edit("replace", 0, "x-tag", "mine"),
        probe.if_header("x-deny", &probe.respond(403, "no", &[("x-why", "asked")])),
        probe.show_property("kong.route_name"),
        probe.show_header(0, ":path"),
    ];
    let answer = probe.edit("replace", 2, "x-answer", "mine");
    let done = probe.say("finished");
    probe.on("proxy_on_request_headers", body.concat()).on("proxy_on_response_headers", answer).on("proxy_on_log", done)
}

#[tokio::test]
async fn requests_go_through_filter_and_upstream() {
    let lab = lab("through", Profile::Kong, tagging()).await;
    let headers: &[(&str, &[u8])] = &[
        ("authorization", b"Bearer x"),
        ("x-bytes", b"a\xffb"),
        ("x_under", b"1"),
        ("x.dot", b"1"),
        ("connection", b"x-hop"),
        ("x-hop", b"1"),
        ("host", b"api.example:1234"),
    ];
    let (status, seen) = lab.get("/kept//a/%2e%2E/b%2Fc?d=%2F", headers).await;
    assert_eq!(status, 200);
    assert_eq!((&seen["path"], &seen["query"]), (&json!("/kept/b%2Fc"), &json!("d=%2F")));
    let got = &seen["headers"];
    assert_eq!((&got["x-tag"], &got["authorization"]), (&json!("mine"), &json!("Bearer x")));
    assert_eq!((&got["x-bytes"], &got["x_under"]), (&json!("a\u{fffd}b"), &json!("1")));
    assert_eq!((&got["x.dot"], &got["x-hop"]), (&Value::Null, &Value::Null));
    assert_eq!((&got["host"], &got["x-forwarded-host"]), (&json!("peers:9080"), &json!("api.example")));
    assert_eq!(got["x-forwarded-for"], "127.0.0.1");
    // A filter on Kong reads nginx's path, everything decoded.
    assert_eq!((lab.said("/kept/b/c?d=%2F"), lab.said("kept")), (1, 2));

    let (_, seen) = lab.get("/stripped/a/b", headers).await;
    assert_eq!((&seen["path"], &seen["headers"]["host"]), (&json!("/a/b"), &json!("api.example:1234")));
    assert_eq!(seen["headers"]["x-forwarded-prefix"], "/stripped");

    let answer = lab.send("GET", "/kept", &[]).await;
    assert_eq!(answer.header("x-answer").as_deref(), Some("mine"));
    let answer = lab.send("GET", "/plain", &[]).await;
    assert_eq!((answer.status, answer.header("x-answer")), (200, None));
    lab.until_said("finished", 1).await;
    lab.gateway.stop().await;
}

/// The values the upstream got under a name, a line each.
fn lines_of(seen: &Value, name: &str) -> Vec<String> {
    let lines = seen["header_lines"].as_array().unwrap().iter().filter(|line| line[0] == name);
    lines.map(|line| line[1].as_str().unwrap().to_owned()).collect()
}

// Fact 36.
#[tokio::test]
async fn the_upstream_gets_on_kong_what_the_filter_cannot_remove() {
    for (profile, authorization, tag, empty) in [
        (Profile::Kong, &["Bearer x"][..], &["mine", "2"][..], &["", "2"][..]),
        (Profile::Envoy, &[], &["mine"], &[""]),
    ] {
        let probe = Probe::new();
        let body = [
            probe.remove(0, "authorization"),
            probe.edit("replace", 0, "x-tag", "mine"),
            probe.edit("replace", 0, "x-empty", ""),
        ];
        let lab =
            lab(&format!("lines-{profile:?}"), profile, probe.on("proxy_on_request_headers", body.concat())).await;
        let headers: [(&str, &[u8]); 5] =
            [("x-tag", b"1"), ("x-tag", b"2"), ("x-empty", b"1"), ("x-empty", b"2"), ("authorization", b"Bearer x")];
        let (_, seen) = lab.get("/kept", &headers).await;
        for (name, sent) in [("authorization", authorization), ("x-tag", tag), ("x-empty", empty)] {
            assert_eq!(lines_of(&seen, name), sent, "{profile:?} {name}");
        }
    }
}

// Fact 49.
#[tokio::test]
async fn a_filter_on_kong_can_read_the_id_that_the_client_is_given() {
    let probe = Probe::new();
    let body = probe.show_property("ngx.kong_request_id");
    let lab = lab("request-id", Profile::Kong, probe.on("proxy_on_request_headers", body)).await;
    let answer = lab.send("GET", "/kept", &[]).await;
    let id = answer.header("x-kong-request-id").unwrap();
    assert_eq!(lab.said(&id), 1);
}

// Fact 47.
#[tokio::test]
async fn a_request_transformer_removes_headers_before_the_filter_on_kong() {
    let removes =
        |name: &str| format!("plugins: [{{name: request-transformer, config: {{remove: {{headers: [{name}]}}}}}}]");
    let text = KONG_YML
        .replace("  url: http://peers:9080\n", &format!("  url: http://peers:9080\n  {}\n", removes("x-service")))
        .replace("strip_path: false,", &format!("strip_path: false, {},", removes("X-Route")));
    let text = text + &removes("x-global") + "\n";
    let headers: [(&str, &[u8]); 4] = [("x-route", b"1"), ("x-route", b"2"), ("x-service", b"1"), ("x-global", b"1")];
    for (profile, path, removed) in [
        (Profile::Kong, "/kept", Some("x-route")),
        (Profile::Kong, "/plain", Some("x-service")),
        (Profile::Kong, "/other", Some("x-global")),
        (Profile::Envoy, "/kept", None),
    ] {
        let probe = Probe::new();
        let body = probe.show_header(0, "x-route");
        let name = format!("transformer-{profile:?}-{}", path.len());
        let text = text.replace("{name: late, paths: [/late]}", "{name: late, paths: [/other]}");
        let lab = lab_with(&name, profile, probe.on("proxy_on_request_headers", body), &text).await;
        let (status, seen) = lab.get(path, &headers).await;
        assert_eq!(status, 200, "{profile:?} {path}");
        for (name, lines) in [("x-route", 2), ("x-service", 1), ("x-global", 1)] {
            let left = if removed == Some(name) { 0 } else { lines };
            assert_eq!(lines_of(&seen, name).len(), left, "{profile:?} {path} {name}");
        }
        let runs_before = path == "/kept" && profile == Profile::Kong;
        assert_eq!(lab.said("01"), usize::from(runs_before), "{profile:?} {path}");
    }
}

#[tokio::test]
async fn what_the_filter_says_is_logged_before_the_client_is_answered() {
    let probe = Probe::new();
    let deny = probe.if_header("x-deny", &probe.respond(403, "no", &[]));
    let (request, response) = ([probe.say(SLOW), deny].concat(), probe.say(SLOW));
    let probe = probe.on("proxy_on_request_headers", request).on("proxy_on_response_headers", response);
    let lab = lab("logged", Profile::Kong, probe).await;
    let mut before = 0;
    for (path, headers, status) in
        [("/kept", &[][..], 200), ("/kept", &[("x-deny", &b"1"[..])][..], 403), ("/nobody", &[][..], 502)]
    {
        assert_eq!(lab.send("GET", path, headers).await.status, status);
        let said = lab.said(SLOW);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(said > before && said == lab.said(SLOW), "{path} {status}: {before}, {said}, {}", lab.said(SLOW));
        before = said;
    }
}

#[tokio::test]
async fn what_the_gateway_answers_itself() {
    let lab = lab("itself", Profile::Kong, tagging()).await;
    let denied = lab.send("GET", "/kept", &[("x-deny", b"1")]).await;
    assert_eq!((denied.status, denied.header("x-why").as_deref()), (403, Some("asked")));
    assert_eq!(&denied.body[..], b"no\n");
    let message = |answer: (u16, Value)| (answer.0, answer.1["message"].as_str().unwrap_or_default().to_owned());
    assert_eq!(message(lab.get("/other", &[]).await), (404, "no Route matched with those values".to_owned()));
    assert_eq!(message(lab.get("/kept/../..", &[]).await).0, 400);
    let (status, text) = message(lab.get("/nobody", &[]).await);
    assert_eq!((status, text.as_str()), (502, "An invalid response was received from the upstream server"));
    assert_eq!(message(lab.get("/late/slow/2000", &[]).await), (504, "The upstream server is timing out".to_owned()));
    let mut large = lab.request("POST", "/plain", &[]);
    large.body = vec![0; test_harness::lab::serve::MAX_REQUEST_BODY + 1].into();
    // The answer may come while the body is still being sent.
    assert!(lab.client.send(large, WAIT).await.is_ok_and(|answer| answer.status == 413));
    // Neither nginx nor Kong tells the filter of a 502.
    assert_eq!(lab.said("finished"), 1);
}

#[tokio::test]
async fn calls_of_the_filter_are_made_and_answered() {
    for (profile, target, text) in [
        (Profile::Kong, "peers:9081", "\"issuer\""),
        (Profile::Envoy, "peers:9081", "\"issuer\""),
        (Profile::Kong, "peers:1", "broken connection"),
    ] {
        let probe = Probe::new();
        let call = probe.call(
            target,
            &[(":method", "GET"), (":path", "/.well-known/openid-configuration"), (":authority", "peers")],
            1000,
        );
        let answer = format!(
            "{}(call $show (call $buffer (i32.const 4) (i32.const 0) (i32.const 999) (i32.const 16) (i32.const 20)))(drop (call $continue (i32.const 0)))",
            probe.show_header(6, ":dispatch_status")
        );
        let probe =
            probe.on_returning("proxy_on_request_headers", call, PAUSE).on("proxy_on_http_call_response", answer);
        let lab = lab(&format!("calls-{profile:?}-{}", target.len()), profile, probe).await;
        assert_eq!(lab.get("/kept", &[]).await.0, 200);
        assert_eq!(lab.said(text), 1, "{:?}", lab.logs.lock().unwrap());
    }
}

#[tokio::test]
async fn ticks_run_on_every_worker() {
    let probe = Probe::new();
    let ticked = probe.say("ticked");
    let set = "(drop (call $set_tick (i32.const 50)))";
    let lab = lab("ticks", Profile::Kong, probe.on("proxy_on_configure", set).on("proxy_on_tick", ticked)).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(lab.said("ticked") >= 8, "{}", lab.said("ticked"));
}

#[tokio::test]
async fn a_client_that_goes_away_is_told_to_the_filter() {
    let probe = Probe::new();
    let (call, done) =
        (probe.call("peers:9081", &[(":method", "GET"), (":path", "/jwks.json")], 9000), probe.say("gone"));
    let probe = probe.on_returning("proxy_on_request_headers", call, PAUSE).on("proxy_on_log", done);
    let lab = lab("abort", Profile::Kong, probe).await;
    let mut hang = Base::from(lab.peers.idp).request("POST".parse().unwrap(), "/control");
    hang.headers = header_map([("content-type", b"application/json".as_slice())]).unwrap();
    hang.body = r#"{"key_set":"hang"}"#.into();
    lab.client.send(hang, WAIT).await.unwrap();
    let given_up = lab.client.send(lab.request("GET", "/kept", &[]), Duration::from_millis(200)).await;
    assert!(given_up.is_err());
    lab.until_said("gone", 1).await;
}

#[tokio::test]
async fn a_configuration_that_the_schema_refuses_is_taken_neither_at_the_start_nor_by_a_reload() {
    let filters = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("filters-with-schema");
    std::fs::create_dir_all(&filters).unwrap();
    let metadata = |words: &str| {
        let text = format!(r#"{{"config_schema": {{"type": ["string", "null"], "enum": [{words}]}}}}"#);
        std::fs::write(filters.join("probe.meta.json"), text).unwrap();
    };
    let refused = |error: anyhow::Error, path: &str| {
        let (error, path) =
            (format!("{error:#}"), format!("schema.yml: services[0].routes[{path}].config: is none of "));
        assert!(
            error.contains(&path) && error.ends_with("(the filter's schema refuses this on route \"kept\")"),
            "{error}"
        );
    };
    metadata("\"two\", null");
    refused(
        start("schema", Profile::Kong, tagging(), KONG_YML, filters.clone()).await.err().unwrap(),
        "0].filter_chains[0].filters[0",
    );
    // Envoy validates nothing.
    start("schema", Profile::Envoy, tagging(), KONG_YML, filters.clone()).await.unwrap().gateway.stop().await;

    metadata("\"one\", null");
    let lab = start("schema", Profile::Kong, tagging(), KONG_YML, filters.clone()).await.unwrap();
    let disabled = "plugins: [{name: probe, enabled: false, config: two}]";
    let text = KONG_YML.replace("[/kept]", "[/new]").replacen(
        "strip_path: false,",
        &format!("strip_path: false, {disabled},"),
        1,
    );
    std::fs::write(&lab.kong_yml, &text).unwrap();
    refused(lab.gateway.reload().await.unwrap_err(), "0].plugins[0");
    refused(lab.gateway.post_config().await.unwrap_err(), "0].plugins[0");
    assert_eq!((lab.get("/kept", &[]).await.0, lab.get("/new", &[]).await.0), (200, 404));
    std::fs::write(&lab.kong_yml, text.replace("config: two", "config: one")).unwrap();
    assert!(lab.gateway.post_config().await.unwrap().starts_with("5 routes"));
    assert_eq!(lab.get("/new", &[]).await.0, 200);
}

#[tokio::test]
async fn metrics_and_status_are_served() {
    let probe = Probe::new();
    let name = probe.text("requests");
    let define = format!("(drop (call $define (i32.const 0) {name} (i32.const 64)))");
    let count = "(drop (call $increment (i32.load (i32.const 64)) (i64.const 1)))";
    let probe = probe.on("proxy_on_configure", define).on("proxy_on_request_headers", count);
    let lab = lab("metrics", Profile::Kong, probe).await;
    for _ in 0..3 {
        lab.get("/kept", &[]).await;
    }
    let admin = Base::from(lab.gateway.admin);
    let text = lab.client.get(&admin, "/metrics", WAIT).await.unwrap();
    let text = String::from_utf8(text.body.to_vec()).unwrap();
    assert!(text.contains("requests") && text.contains(" 3"), "{text}");
    let status = lab.client.get(&admin, "/status", WAIT).await.unwrap();
    let status: Value = serde_json::from_slice(&status.body).unwrap();
    assert_eq!((&status["profile"], &status["workers"]), (&json!("kong"), &json!(2)));
}
