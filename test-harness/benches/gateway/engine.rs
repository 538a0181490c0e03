//! What it costs to count in Redis: latencies at one rate of requests, by how nodes and engine are kept in step.

use crate::load;
use crate::redis::RedisAndWebdis;
use crate::rivals::{answered_directly, start};
use serde_json::{Value, json};
use std::time::Instant;

/// Requests a second.
const RATE: f64 = 2000.0;
const REQUESTS: usize = 10_000;
/// Of these many requests in each mode, so that a few do.
const ROUNDS: usize = 5;
const MODES: [&str; 3] = ["local", "periodic", "exact"];

/// A table in Markdown, with the medians over the rounds.
pub(crate) async fn table() -> String {
    let mut found: [Vec<[f64; 4]>; 3] = Default::default();
    for _ in 0..ROUNDS {
        for (mode, found) in MODES.iter().zip(&mut found) {
            found.push(measure(mode).await);
        }
    }
    let mut lines = vec![
        "| counted | latency p50, µs | p99, µs | requests a second | calls to Redis a second |".to_owned(),
        "| --- | ---: | ---: | ---: | ---: |".to_owned(),
    ];
    for (mode, found) in MODES.iter().zip(found) {
        let [p50, p99, rate, calls] =
            [0, 1, 2, 3].map(|which| crate::report::median(found.iter().map(|measured| measured[which]).collect()));
        lines.push(format!("| {mode} | {p50:.0} | {p99:.0} | {rate:.0} | {calls:.1} |"));
    }
    lines.join("\n") + "\n"
}

fn config(mode: &str) -> Value {
    let mut quotas = json!({"policies": [{"name": "all", "per": "entity", "windows": ["4000000000/1h"]}]});
    if mode != "local" {
        quotas["engine"] = json!({
            "url": "http://webdis:7379", "user": "gateway", "password": "development-only",
            "synchronise": mode, "on_engine_error": "deny", "timeout_ms": 2000,
        });
    }
    json!({
        "entity": "api:default/payments",
        "policy": {"rules": [{"allow": ["anyone"]}]},
        "audit": {"sample_allows": 0.0},
        "quotas": quotas,
    })
}

/// Two latencies in microseconds, requests a second, calls a second.
async fn measure(mode: &str) -> [f64; 4] {
    let peers = RedisAndWebdis::start(&format!("bench-{mode}"));
    let clusters = [("webdis:7379".to_owned(), peers.webdis_at)].into();
    let envoy = start(&answered_directly(Some(config(mode)), clusters));
    let tokens = load::lazily(|| vec![None]);
    load::send(envoy.gateway(), &tokens, 0, 2000, None, 200).await;
    let before = peers.script_calls();
    let begin = Instant::now();
    let answers = load::send(envoy.gateway(), &tokens, 0, REQUESTS, Some(RATE), 200).await;
    let seconds = begin.elapsed().as_secs_f64();
    assert_eq!(answers.others.0, 0, "{mode}: answers {}; {}", answers.others.1, envoy.log());
    let calls = (peers.script_calls() - before) as f64 / seconds;
    let micros = |of_hundred| answers.percentile(of_hundred).as_secs_f64() * 1e6;
    [micros(50.0), micros(99.0), REQUESTS as f64 / seconds, calls]
}
