//! Quotas over shared data that races, forgets, collides and fails.

use super::support::{NOW_MS, PROFILES, config, count, get, node, send, start, token};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use test_harness::{Profile, Worker};

fn limited(windows: Value, on_store_error: &str) -> Value {
    let policies = json!([{"name": "per-group", "per": "group", "windows": windows}, {"name": "all", "per": "entity", "windows": ["100000/1h"]}]);
    config(json!({"quotas": {"on_store_error": on_store_error, "policies": policies}}))
}

fn call(worker: &mut Worker) -> u16 {
    send(worker, get(&token(json!({"groups": ["payments"]})))).status
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn workers_that_race_on_one_quota_admit_exactly_the_limit() {
    for profile in PROFILES {
        let node = node(profile);
        let admitted = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut worker = start(&node, &[("payments", limited(json!(["100/1h"]), "deny"))]);
                    for _ in 0..60 {
                        match call(&mut worker) {
                            200 => admitted.fetch_add(1, Ordering::Relaxed),
                            429 => 0,
                            other => panic!("{profile:?}: {other}"),
                        };
                    }
                });
            }
        });
        assert_eq!(admitted.into_inner(), 100, "{profile:?}");
        assert_eq!(
            count(&node, "quota_units;entity=api:default/payments;group=group:default/payments;policy=all"),
            100
        );
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_lost_race_is_run_again_and_endless_ones_are_a_fault() {
    for profile in PROFILES {
        let node = node(profile);
        let mut deny = start(&node, &[("payments", limited(json!(["10/1h"]), "deny"))]);
        assert_eq!(call(&mut deny), 200);
        node.faults().lose_next_cas(5);
        assert_eq!(call(&mut deny), 200, "{profile:?}");
        node.faults().lose_next_cas(1000);
        assert_eq!(call(&mut deny), 503, "{profile:?}");
        let mut allow = start(&node, &[("payments", limited(json!(["10/1h"]), "allow"))]);
        assert_eq!(call(&mut allow), 200, "{profile:?}");
        assert!(count(&node, "store_faults;kind=contended") >= 1);
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn torn_reads_never_admit_more_than_the_limit() {
    for profile in PROFILES {
        let node = node(profile);
        let mut worker = start(&node, &[("payments", limited(json!(["5/1h"]), "deny"))]);
        assert_eq!(call(&mut worker), 200);
        let mut admitted = 1;
        for _ in 0..20 {
            node.faults().tear_next_reads(1);
            admitted += usize::from(call(&mut worker) == 200);
        }
        assert!(admitted <= 5, "{profile:?}: {admitted}");
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn an_evicted_record_begins_anew_and_nothing_falls_over() {
    for profile in PROFILES {
        let node = node(profile);
        let mut worker = start(&node, &[("payments", limited(json!(["1/1h"]), "deny"))]);
        assert_eq!((call(&mut worker), call(&mut worker)), (200, 429), "{profile:?}");
        node.faults().evict_all();
        assert_eq!(call(&mut worker), 200, "{profile:?}");
        assert_eq!(worker.died_of(), None);
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn two_keys_with_one_crc32_keep_their_own_counts_on_kong() {
    let node = node(Profile::Kong);
    let mut worker = start(&node, &[("payments", limited(json!(["2/1h"]), "deny"))]);
    let key =
        |group: &str| format!("backstage_kong_quota/q:api:default/payments:per-group:group:group:default/{group}");
    node.faults().collide(&key("payments"), &key("checkout"));
    let call = |worker: &mut Worker, group: &str| send(worker, get(&token(json!({"groups": [group]})))).status;
    for group in ["payments", "checkout"] {
        let answers: Vec<_> = (0..3).map(|_| call(&mut worker, group)).collect();
        assert_eq!(answers, [200, 200, 429], "{group}");
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_budget_comes_back_when_retry_after_says_and_a_clock_that_steps_back_gives_none() {
    for profile in PROFILES {
        let node = node(profile);
        let mut worker = start(&node, &[("payments", limited(json!(["2/10s"]), "deny"))]);
        assert_eq!((call(&mut worker), call(&mut worker)), (200, 200));
        let refused = send(&mut worker, get(&token(json!({"groups": ["payments"]}))));
        assert_eq!(refused.status, 429);
        let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        node.set_clock(NOW_MS - 1_000);
        assert_eq!(call(&mut worker), 429, "{profile:?}: the clock stepped back");
        node.set_clock(NOW_MS + (seconds - 1) * 1000);
        assert_eq!(call(&mut worker), 429, "{profile:?}: too early");
        node.set_clock(NOW_MS + seconds * 1000);
        assert_eq!(call(&mut worker), 200, "{profile:?}");
    }
}
