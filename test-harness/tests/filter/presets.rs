//! The examples of identity providers: each with its sample tokens, good and bad, through the compiled filter.

use super::support::{KEYS, NOW_MS, PROFILES, key_set, start};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use test_harness::lab::peers::{KeyKind, Mint, TokenSpec};
use test_harness::{Clock, Dispatch, DispatchFailure, Node, Outcome, Profile, Reply, RequestHead, Zone};
use test_harness::{UpstreamReply, UpstreamRequest, drive};

/// A sample token and what comes of it. `iss`, `iat` and `exp` are filled in; a `null` claim is left out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    name: String,
    header: Map<String, Value>,
    claims: Map<String, Value>,
    /// What userinfo answers; without it userinfo is not asked, with `null` it answers 500.
    #[serde(default, deserialize_with = "present")]
    userinfo: Option<Value>,
    expect: Expected,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    status: u16,
    reason: Option<String>,
    kind: Option<String>,
    user: Option<String>,
    groups: Option<Vec<String>>,
    client: Option<String>,
}

fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The folders of examples that have sample tokens.
fn folders() -> Vec<PathBuf> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let folders = std::fs::read_dir(examples).unwrap().map(|entry| entry.unwrap().path());
    folders.filter(|folder| folder.join("tokens.json").is_file()).collect()
}

/// The issuer that a configuration means, which a preset may fill in.
fn issuer(config: &Value) -> String {
    let own = config.pointer("/issuers/0/issuer").and_then(Value::as_str);
    own.unwrap_or("https://accounts.google.com").to_owned()
}

fn token(sample: &Sample, issuer: &str) -> String {
    let key = match sample.header.get("alg").and_then(Value::as_str) {
        Some("ES256") => KeyKind::Es256,
        Some("EdDSA") => KeyKind::EdDsa,
        _ => KeyKind::Rs256,
    };
    // Of the claims that the development provider sets by itself only times stay.
    let mut claims: Map<String, Value> =
        ["sub", "aud", "jti", "azp", "groups"].map(|name| (name.to_owned(), Value::Null)).into_iter().collect();
    claims.extend(sample.claims.clone());
    let mut header = Map::from_iter([("typ".to_owned(), Value::Null)]);
    header.extend(sample.header.clone());
    let spec = TokenSpec { key, header, claims, ..TokenSpec::default() };
    Mint { issuer, keys: &KEYS, now: i64::try_from(NOW_MS / 1000).unwrap() }.token(&spec).unwrap()
}

fn send(profile: Profile, config: &Value, sample: &Sample) -> Outcome {
    let issuer = issuer(config);
    let clusters = ["443", "7007"].map(|port| format!("{}:{port}", issuer.split('/').nth(2).unwrap()));
    let node = Node::builder(profile)
        .zones([Zone::named("backstage_kong_keys", 1 << 20), Zone::named("backstage_kong_quota", 1 << 20)])
        .clusters(clusters.iter().map(String::as_str).chain(["www.googleapis.com:443"]))
        .clock(Clock::Manual(NOW_MS))
        .build();
    let mut worker = start(&node, &[("payments", config.clone())]);
    let jwks_uri = match issuer.as_str() {
        "https://accounts.google.com" => "https://www.googleapis.com/oauth2/v3/certs".to_owned(),
        issuer => format!("{}/keys", issuer.trim_end_matches('/')),
    };
    let answer = |status: u16, body: &Value| Reply { status, body: body.to_string().into_bytes(), ..key_set(&KEYS) };
    let mut provider = |call: &Dispatch| -> Result<Reply, DispatchFailure> {
        if call.path.ends_with("/.well-known/openid-configuration") {
            Ok(answer(200, &json!({"issuer": issuer, "jwks_uri": jwks_uri})))
        } else if call.path.ends_with("/v1/userinfo") {
            match sample.userinfo.as_ref().unwrap_or_else(|| panic!("{}: userinfo is asked", sample.name)) {
                Value::Null => Ok(answer(500, &Value::Null)),
                claims => Ok(answer(200, claims)),
            }
        } else {
            Ok(key_set(&KEYS))
        }
    };
    let request =
        RequestHead::get("/payments/42").header("authorization", format!("Bearer {}", token(sample, &issuer)));
    let mut upstream = |_: &UpstreamRequest| UpstreamReply { status: 200, ..UpstreamReply::default() };
    drive(&mut worker, "payments", request, &mut provider, &mut upstream).unwrap()
}

/// What of the audit line and the answer is not as the sample says.
fn differences(outcome: &Outcome, expect: &Expected) -> Vec<String> {
    let line = outcome.logs.iter().find_map(|line| Some(&line.text[line.text.find("{\"audit\"")?..]));
    let audit: Value = line.map_or(Value::Null, |line| serde_json::from_str(line).unwrap());
    let text = |text: &Option<String>| text.clone().map(Value::from);
    let told = [
        ("/reason", text(&expect.reason)),
        ("/who/kind", text(&expect.kind)),
        ("/who/user", text(&expect.user)),
        ("/who/client", text(&expect.client)),
        ("/who/groups", expect.groups.clone().map(Value::from)),
    ];
    let mut differences: Vec<_> = told
        .iter()
        .filter(|(pointer, value)| value.is_some() && audit.pointer(pointer) != value.as_ref())
        .map(|(pointer, _)| format!("{pointer} of {audit}"))
        .collect();
    if outcome.status != expect.status || outcome.upstream.is_some() != (expect.status == 200) {
        differences.push(format!("status {}: {audit}", outcome.status));
    }
    differences
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn the_sample_tokens_of_every_provider_come_to_what_their_example_says() {
    let folders = folders();
    assert_eq!(folders.len(), 8, "one folder a preset");
    let mut differ = Vec::new();
    let mut count = 0;
    for folder in folders {
        let config: Value = serde_json::from_str(&read(folder.join("config.json"))).unwrap();
        let samples: Vec<Sample> = serde_json::from_str(&read(folder.join("tokens.json"))).unwrap();
        for (sample, profile) in samples.iter().flat_map(|sample| PROFILES.map(|profile| (sample, profile))) {
            let outcome = send(profile, &config, sample);
            for difference in differences(&outcome, &sample.expect) {
                differ.push(format!("{} {profile:?} {}: {difference}", folder.display(), sample.name));
            }
            count += 1;
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
    assert!(count >= 2 * 40, "{count} tokens");
}
