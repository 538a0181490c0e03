//! Latency by entity, as Prometheus makes it of what Kong shows.

use super::support::{config, node, start};
use serde_json::json;
use std::collections::BTreeMap;
use test_harness::{DispatchFailure, LabelPattern, Node, Profile, RequestHead, UpstreamReply, Worker, drive};

const METADATA: &str = include_str!("../../../kong/filters/backstage_kong.meta.json");
const FAMILY: &str = "pw_backstage_kong_request_duration_ms";

/// Sends requests whose answers take so many milliseconds each.
fn send(node: &Node, worker: &mut Worker, route: &str, millis: &[u64]) {
    for millis in millis {
        let mut upstream = |_: &_| {
            node.advance(*millis);
            UpstreamReply { status: 200, ..UpstreamReply::default() }
        };
        let mut nobody = |_: &_| Err(DispatchFailure::Timeout);
        drive(worker, route, RequestHead::get("/"), &mut nobody, &mut upstream).unwrap();
    }
}

/// The buckets of an entity in an exposition: bounds, and how many values are at most that.
fn buckets(text: &str, entity: &str) -> Vec<(f64, f64)> {
    let prefix = format!("{FAMILY}_bucket{{entity=\"{entity}\",le=\"");
    let lines = text.lines().filter_map(|line| line.strip_prefix(&prefix)?.split_once("\"} "));
    let number = |text: &str| text.parse::<f64>().unwrap();
    let mut buckets: Vec<_> = lines.map(|(bound, count)| (number(bound), number(count))).collect();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    buckets
}

/// Prometheus' `histogram_quantile`.
fn histogram_quantile(quantile: f64, buckets: &[(f64, f64)]) -> f64 {
    let (bound, count) = *buckets.last().unwrap();
    assert!(bound.is_infinite(), "without a bucket for all values there is no quantile: {buckets:?}");
    let rank = quantile * count;
    let nth = buckets[..buckets.len() - 1].iter().position(|(_, count)| *count >= rank);
    let Some(nth) = nth else { return buckets[buckets.len() - 2].0 };
    let (low, before) = if nth == 0 { (0.0, 0.0) } else { buckets[nth - 1] };
    let (high, up_to) = buckets[nth];
    low + (high - low) * (rank - before) / (up_to - before)
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn histogram_quantile_gives_the_truth_over_what_kong_shows() {
    let node = node(Profile::Kong);
    let open = |entity: &str| config(json!({"entity": entity, "policy": {"rules": [{"allow": ["anyone"]}]}}));
    let routes = [("slow", open("api:default/slow")), ("fast", open("api:default/fast"))];
    let mut workers = [start(&node, &routes), start(&node, &routes)];
    // Buckets are first used in every order, by both workers.
    let slow: Vec<u64> = (1..=50).map(|nth| nth * 37).chain((1..=50).map(|nth| 4000 - nth)).collect();
    let fast: Vec<u64> = (1..=100).map(|nth| (101 - nth) % 40).collect();
    let taken = BTreeMap::from([("slow", slow), ("fast", fast)]);
    for (route, taken) in &taken {
        let (first, second) = taken.split_at(50);
        send(&node, &mut workers[0], route, second);
        send(&node, &mut workers[1], route, first);
    }

    let text = node.metrics_text(&LabelPattern::from_metadata(METADATA).unwrap());
    assert!(text.contains(&format!("# TYPE {FAMILY}_bucket counter\n")), "{text}");
    for (route, mut taken) in taken {
        let entity = format!("api:default/{route}");
        let buckets = buckets(&text, &entity);
        let at_most = |bound: f64| taken.iter().filter(|millis| **millis as f64 <= bound).count() as f64;
        let expected: Vec<_> = [10.0, 50.0, 250.0, 1000.0, 5000.0, f64::INFINITY].map(|le| (le, at_most(le))).into();
        assert_eq!(buckets, expected);
        for (total, value) in [("sum", taken.iter().sum::<u64>()), ("count", 100)] {
            let line = format!("\n{FAMILY}_{total}{{entity=\"{entity}\"}} {value}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
        taken.sort_unstable();
        for (quantile, rank) in [(0.5, 50), (0.95, 95), (0.99, 99)] {
            let (told, truth) = (histogram_quantile(quantile, &buckets), taken[rank - 1] as f64);
            let nth = buckets.iter().position(|(bound, _)| truth <= *bound).unwrap();
            let low = if nth == 0 { 0.0 } else { buckets[nth - 1].0 };
            println!("{entity}: quantile {quantile} is {truth} ms, told {told:.0}");
            assert!((low..=buckets[nth].0).contains(&told), "{entity}: quantile {quantile}: {told} for {truth}");
        }
    }
}
