//! Metrics. Numbers are those of the facts about Kong's Wasm host.

// The helpers of tests are tests too, which the lints' own exception does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use support::{BOTH, Probe, get, node, said, start_on};
use test_harness::{HistogramBin, LabelPattern, Metric, Node, Profile};

/// A case: what it is, what the probe does, and the status Envoy gives.
type Misuse = (&'static str, Box<dyn Fn(&Probe) -> String>, &'static str);

const COUNTER: u32 = 0;
const GAUGE: u32 = 1;
const HISTOGRAM: u32 = 2;

fn define(p: &Probe, kind: u32, name: &str) -> String {
    format!("(call $say (call $define (i32.const {kind}) {} (i32.const 24)))", p.text(name))
}

fn with_held(call: &str, value: u64) -> String {
    format!("(call $say (call ${call} (i32.load (i32.const 24)) (i64.const {value})))")
}

const READ: &str = "(call $say (call $get_metric (i32.load (i32.const 24)) (i32.const 40)))";

fn run(node: &Node, write: impl Fn(&Probe) -> String) -> (u16, Vec<String>) {
    let probe = Probe::new();
    let body = write(&probe);
    let mut worker = start_on(node, probe.on("proxy_on_request_headers", body));
    let status = get(&mut worker).unwrap().status;
    (status, said(&mut worker))
}

// Fact 19.
#[test]
fn kong_stores_metrics_under_the_filters_name_and_sums_over_workers() {
    let node = node(Profile::Kong).build();
    for _ in 0..2 {
        run(&node, |p| define(p, COUNTER, "requests") + &with_held("increment", 3));
    }
    assert_eq!(node.metrics()["pw:backstage_kong:requests"], Metric::Counter(6));
    let text = node.metrics_text(&[]);
    assert!(text.contains("# TYPE pw_backstage_kong_requests counter\npw_backstage_kong_requests 6\n"), "{text}");
}

// Fact 19.
#[test]
fn a_hyphen_in_the_filters_name_costs_kongs_whole_scrape() {
    for (profile, shown) in [(Profile::Kong, false), (Profile::Envoy, true)] {
        let node = node(profile).filter_name("backstage-kong").build();
        run(&node, |p| define(p, COUNTER, "requests"));
        assert_eq!(node.metrics_text(&[]).contains("requests 0\n"), shown, "{profile:?}: {}", node.metrics_text(&[]));
    }
}

// Fact 19.
#[test]
fn kong_traps_on_names_past_256_characters() {
    let longest = 256 - 4 - "backstage_kong".len();
    for (profile, len, status) in
        [(Profile::Kong, longest, 200), (Profile::Kong, longest + 1, 500), (Profile::Envoy, longest + 1, 200)]
    {
        let (got, _) = run(&node(profile).build(), |p| define(p, COUNTER, &"n".repeat(len)));
        assert_eq!(got, status, "{profile:?} {len}");
    }
}

// Fact 19.
#[test]
fn kong_traps_when_the_slab_is_full() {
    let node = node(Profile::Kong).metrics_slab(2 * 4096 + 256).build();
    let three = |p: &Probe| ["a", "b", "c"].map(|name| define(p, COUNTER, name)).concat();
    let (status, said) = run(&node, three);
    assert_eq!(status, 500);
    assert!(!said.is_empty() && said.len() < 3, "{said:?}");
}

// Fact 19.
#[test]
fn a_metric_takes_more_of_kongs_slab_the_more_workers_there_are() {
    let three = |p: &Probe| ["a", "b", "c"].map(|name| define(p, COUNTER, name)).concat();
    for (workers, status) in [(1, 200), (32, 500)] {
        let node = node(Profile::Kong).metrics_slab(2 * 4096 + 3 * 256).workers(workers).build();
        assert_eq!(run(&node, three).0, status, "{workers} workers");
    }
}

// Fact 19.
#[test]
fn misuse_traps_on_kong_and_is_refused_by_envoy() {
    let unknown = "(i32.store (i32.const 24) (i32.const 77))";
    let cases: [Misuse; 5] = [
        ("reading a histogram", Box::new(|p| define(p, HISTOGRAM, "h") + READ), "02"),
        ("recording in a counter", Box::new(|p| define(p, COUNTER, "c") + &with_held("record", 1)), "02"),
        ("incrementing a histogram", Box::new(|p| define(p, HISTOGRAM, "h") + &with_held("increment", 1)), "02"),
        ("reading an unknown one", Box::new(move |_| unknown.to_owned() + READ), "01"),
        ("an unknown type", Box::new(|p| define(p, 9, "x")), "02"),
    ];
    for (case, script, status) in cases {
        assert_eq!(run(&node(Profile::Kong).build(), &script).0, 500, "{case}");
        let (_, said) = run(&node(Profile::Envoy).build(), &script);
        assert_eq!(said.last().map(String::as_str), Some(status), "{case}");
    }
}

#[test]
fn gauges_hold_the_last_value_and_a_second_definition_is_the_same_metric() {
    for profile in BOTH {
        let node = node(profile).build();
        let again = |p: &Probe| {
            define(p, GAUGE, "g") + &with_held("record", 7) + &define(p, GAUGE, "g") + &with_held("record", 5) + READ
        };
        assert_eq!(run(&node, again), (200, vec!["00".to_owned(); 5]), "{profile:?}");
        assert_eq!(node.metrics().into_values().collect::<Vec<_>>(), [Metric::Gauge(5)], "{profile:?}");
    }
}

// Fact 20.
#[test]
fn histograms_have_powers_of_two_and_at_most_eighteen_bins() {
    let node = node(Profile::Kong).build();
    let values = [0, 1, 2, 3, 5, 900, 1024, 3_000_000_000];
    run(&node, |p| define(p, HISTOGRAM, "h") + &values.map(|value| with_held("record", value)).concat());
    let Some(Metric::Histogram { sum, bins }) = node.metrics().remove("pw:backstage_kong:h") else { panic!("gone") };
    assert_eq!(sum, values.iter().sum::<u64>());
    let bin = |upper_bound, count| HistogramBin { upper_bound, count };
    assert_eq!(bins, [bin(1, 2), bin(2, 1), bin(4, 1), bin(8, 1), bin(1024, 2), bin(u32::MAX, 1)]);

    run(&node, |p| define(p, HISTOGRAM, "h") + &(0..31).map(|n| with_held("record", 1 << n)).collect::<String>());
    let Some(Metric::Histogram { bins, .. }) = node.metrics().remove("pw:backstage_kong:h") else { panic!("gone") };
    assert_eq!(bins.len(), 18);
    assert_eq!(bins.iter().map(|bin| bin.count).sum::<u64>(), 8 + 31, "what has no bin goes to the next one up");
}

// Fact 20.
#[test]
fn labels_are_found_in_the_name_in_the_order_of_their_patterns() {
    let node = node(Profile::Kong).build();
    run(&node, |p| define(p, COUNTER, "requests_route=pay_decision=allow") + &with_held("increment", 2));
    let pattern = |label: &str| LabelPattern::new(label, &format!("(_{label}=([^_=]+))")).unwrap();
    let ordered = node.metrics_text(&[pattern("route"), pattern("decision")]);
    assert!(ordered.contains("\npw_backstage_kong_requests{route=\"pay\",decision=\"allow\"} 2\n"), "{ordered}");
    let swapped = node.metrics_text(&[pattern("decision"), pattern("route")]);
    assert!(swapped.contains("\npw_backstage_kong_requests_route=pay{decision=\"allow\"} 2\n"), "{swapped}");
}

// Fact 20.
#[test]
fn label_values_are_not_escaped() {
    let node = node(Profile::Kong).build();
    run(&node, |p| define(p, COUNTER, "requests_route=a\"b"));
    let text = node.metrics_text(
        &LabelPattern::from_metadata(
            r#"{"metrics": {"label_patterns": [{"label": "route", "pattern": "(_route=([^_=]+))"}]}}"#,
        )
        .unwrap(),
    );
    assert!(text.contains("{route=\"a\"b\"}"), "{text}");
}

// Fact 41: lines lack `_bucket`, and what stands first is the bin that was made first, whatever its bound.
#[test]
fn kongs_histogram_lines_add_up_in_the_wrong_order() {
    let five_then_smaller = [vec![5; 98], vec![1; 344], vec![900, 3, 2]].concat();
    for (values, lines, sum) in [
        (
            five_then_smaller,
            &[("8", 98), ("1", 442), ("2", 443), ("4", 444), ("1024", 445), ("+Inf", 445)][..],
            5 * 98 + 344 + 900 + 3 + 2_u64,
        ),
        (vec![16, 32, 4, 2, 64, 8], &[("16", 1), ("2", 2), ("4", 3), ("8", 4), ("32", 5), ("64", 6), ("+Inf", 6)], 126),
        (vec![1, 2], &[("1", 1), ("2", 2), ("+Inf", 2)], 3),
        (vec![900, 1], &[("1024", 1), ("1", 2), ("+Inf", 2)], 901),
        (vec![3_000_000_000, 1], &[("1", 1), ("+Inf", 2)], 3_000_000_001),
        (vec![], &[("+Inf", 0)], 0),
    ] {
        let node = node(Profile::Kong).build();
        run(&node, |p| define(p, HISTOGRAM, "h") + &values.iter().map(|n| with_held("record", *n)).collect::<String>());
        let bins: String =
            lines.iter().map(|(le, count)| format!("pw_backstage_kong_h{{le=\"{le}\"}} {count}\n")).collect();
        let total = values.len();
        let text = node.metrics_text(&[]);
        let expected = format!("{bins}pw_backstage_kong_h_sum {sum}\npw_backstage_kong_h_count {total}\n");
        assert!(text.ends_with(&expected), "{text}\nshould end with\n{expected}");
    }
}
