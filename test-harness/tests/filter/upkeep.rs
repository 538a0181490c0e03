//! What goes on beside requests: one timer a worker, one fetch a node, and no more of them under attack.

use super::support::{KEYS, OTHER_KEYS, PROFILES, config, count, get, key_set, node, send, start, token, token_by};
use serde_json::json;
use test_harness::lab::peers::Mint;
use test_harness::lab::peers::{KeyKind, TokenSpec};
use test_harness::{Node, Worker};

/// Lets time pass in steps of a tick, for all workers of a node; the provider is up. Returns how many calls they made.
fn live(node: &Node, workers: &mut [Worker], seconds: u64) -> usize {
    let mut calls = 0;
    for _ in 0..seconds / 5 {
        node.advance(5_000);
        for worker in workers.iter_mut() {
            let mut open = worker.run_due_ticks(node.now_ms()).unwrap();
            open.extend(worker.take_dispatches());
            calls += open.len();
            for call in open {
                worker.dispatch_reply(call.token, Ok(key_set(&KEYS))).unwrap();
            }
        }
    }
    calls
}

/// How often a key's age was complained of.
fn warnings(workers: &[Worker]) -> usize {
    let lines = workers.iter().flat_map(Worker::logs);
    lines.filter(|line| line.text.contains("key 0 should have been replaced")).count()
}

fn names(count: usize) -> Vec<String> {
    (1..count).map(|n| format!("route-{n}")).chain(["payments".to_owned()]).collect()
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_thousand_routes_on_four_workers_tick_once_a_worker_and_fetch_once_a_period() {
    for profile in PROFILES {
        let node = node(profile);
        let names = names(1_000);
        let routes: Vec<_> = names.iter().map(|name| (name.as_str(), config(json!({})))).collect();
        let lone = start(&node, &routes[999..]).memory_bytes();
        let mut workers: Vec<_> = (0..4).map(|_| start(&node, &routes)).collect();
        let timers: Vec<_> = workers.iter().map(Worker::tick_timers).collect();
        assert_eq!(timers, [1, 1, 1, 1], "{profile:?}");

        // The first tick finds no keys; then one refresh each 240 to 270 seconds.
        let fetches = live(&node, &mut workers, 3_600);
        assert!((14..=15).contains(&fetches), "{profile:?}: {fetches} fetches in an hour");
        assert_eq!(count(&node, "key_fetches") as usize, fetches);

        let request =
            get(&token_by(&KEYS, KeyKind::Es256, json!({"groups": ["payments"], "exp": node.now_ms() / 1000 + 60})));
        let cold = send(&mut workers[3], request.clone());
        assert_eq!(
            (cold.status, cold.dispatches.len()),
            (200, 0),
            "{profile:?}: the keys are there before the first request"
        );
        let hot = send(&mut workers[3], request);
        println!("hot among 1,000 routes on {profile:?}: {} fuel", hot.report.fuel_used);
        let per_route = (workers[3].memory_bytes() - lone) / 999;
        println!("memory on {profile:?}: {lone} bytes with one route, {per_route} for each further one");
        assert!(per_route < 8 * 1024, "{profile:?}: {per_route} bytes a route");
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn ticks_refresh_ahead_of_age_once_a_node_however_many_routes_and_workers() {
    for profile in PROFILES {
        let node = node(profile);
        let names = names(51);
        let routes: Vec<_> = names.iter().map(|name| (name.as_str(), config(json!({})))).collect();
        let mut workers = [start(&node, &routes), start(&node, &routes)];
        send(&mut workers[0], get(&token(json!({"groups": ["payments"]}))));
        assert_eq!(live(&node, &mut workers, 300), 1, "{profile:?}: at four to nine tenths of max_age");
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn the_timer_outlives_the_route_that_keeps_it() {
    for profile in PROFILES {
        let node = node(profile);
        let routes = |names: &[&str]| -> Vec<(String, Vec<u8>)> {
            names
                .iter()
                .map(|name| ((*name).to_owned(), config(json!({"realm": *name})).to_string().into_bytes()))
                .collect()
        };
        let mut workers = [start(
            &node,
            &[("first", config(json!({"realm": "first"}))), ("payments", config(json!({"realm": "payments"})))],
        )];
        assert_eq!(workers[0].tick_timers(), 1);
        assert_eq!(live(&node, &mut workers, 10), 1, "{profile:?}: the first tick fetches");
        workers[0].reload(&routes(&["payments"])).unwrap();
        send(&mut workers[0], get(&token(json!({"groups": ["payments"]}))));
        assert_eq!(workers[0].tick_timers(), 1, "{profile:?}");
        assert_eq!(live(&node, &mut workers, 290), 1, "{profile:?}: refreshed by whoever has it now");
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn routes_whose_keys_do_not_age_have_no_timer() {
    let with = |issuer: serde_json::Value| config(json!({"issuers": [issuer]}));
    let secret = "0123456789abcdef0123456789abcdef";
    let plain = with(json!({"issuer": "batch", "audiences": ["a"], "secret": secret}));
    let aging = with(
        json!({"issuer": "batch", "audiences": ["a"], "secrets": [{"secret": secret, "rotate_by": "2025-01-01T00:00:00Z"}]}),
    );
    for profile in PROFILES {
        let node = node(profile);
        assert_eq!(start(&node, &[("payments", plain.clone())]).tick_timers(), 0);
        let mut workers = [start(&node, &[("payments", aging.clone())]), start(&node, &[("payments", aging.clone())])];
        assert_eq!(workers[0].tick_timers(), 1);
        assert_eq!(live(&node, &mut workers, 60), 0);
        assert_eq!(warnings(&workers), 1, "{profile:?}: one a day and node");
        live(&node, &mut workers, 24 * 60 * 60);
        assert_eq!(warnings(&workers), 2, "{profile:?}");
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_flood_of_ten_thousand_unknown_keys_fetches_once_a_cooldown_and_others_are_served() {
    for profile in PROFILES {
        let node = node(profile);
        let mut workers =
            [start(&node, &[("payments", config(json!({})))]), start(&node, &[("payments", config(json!({})))])];
        let good = get(&token(json!({"groups": ["payments"]})));
        for worker in &mut workers {
            assert_eq!(send(worker, good.clone()).status, 200);
        }
        let mint = Mint { issuer: "https://idp.example", keys: &OTHER_KEYS, now: 1_750_000_010 };
        let mut fetches = 0;
        for n in 0..10_000_u32 {
            if n % 10 == 0 {
                node.advance(30);
            }
            let spec = TokenSpec {
                user: Some("mallory".into()),
                key: KeyKind::EdDsa,
                header: json!({"kid": format!("kid-{n}")}).as_object().unwrap().clone(),
                ..TokenSpec::default()
            };
            let worker = &mut workers[usize::from(n % 2 == 0)];
            let forged = send(worker, get(&mint.token(&spec).unwrap()));
            assert_eq!(forged.status, 401, "{profile:?}: {}", forged.text());
            fetches += forged.dispatches.len();
            if n % 100 == 0 {
                let served = send(worker, good.clone());
                assert_eq!((served.status, served.dispatches.len()), (200, 0), "{profile:?}");
            }
        }
        assert!((3..=4).contains(&fetches), "{profile:?}: {fetches} in 30 s with a cool-down of 10 s");
    }
}
