//! Instances, contexts, ticks and ends. Numbers are those of the facts about Kong's Wasm host.

// The helpers of tests are tests too, which the lints' own exception does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use support::{BOTH, Probe, begin, get, lines, node, request, said, start, start_on};
use test_harness::{LogLevel, Metric, Profile, Reload, RequestHead, Step, Worker};

const TICK_EVERY_SECOND: &str = "(call $say (call $set_tick (i32.const 1000)))";

fn configs(of: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
    of.iter().map(|(route, config)| ((*route).to_owned(), config.as_bytes().to_vec())).collect()
}

/// Ticks every second, and traps on requests with `x-trap`.
fn ticking() -> Probe {
    let probe = Probe::new();
    let (tick, body) = (probe.say("tick"), probe.if_header("x-trap", "unreachable"));
    probe.on("proxy_on_configure", TICK_EVERY_SECOND).on("proxy_on_tick", tick).on("proxy_on_request_headers", body)
}

fn ticks_after(worker: &mut Worker, ms: u64) -> usize {
    said(worker);
    worker.node().advance(ms);
    let now = worker.node().now_ms();
    worker.run_due_ticks(now).unwrap();
    said(worker).iter().filter(|line| *line == "tick").count()
}

// Fact 29.
#[test]
fn routes_share_one_instance_and_have_a_root_context_each() {
    for profile in BOTH {
        let probe = Probe::new();
        let created =
            "(if (i32.eqz (local.get 1)) (then (global.set $count (i32.add (global.get $count) (i32.const 1)))))";
        let buffer =
            "(call $show (call $buffer (i32.const 7) (i32.const 0) (i32.const 99) (i32.const 16) (i32.const 20)))";
        let probe = probe
            .on("proxy_on_context_create", created)
            .on("proxy_on_request_headers", format!("(call $say (global.get $count)) {buffer}"));
        let all = configs(&[("route", "first"), ("other", "second")]);
        let mut worker = Worker::start(&node(profile).build(), &probe.build(), &all).unwrap();
        worker.begin("route", RequestHead::get("/")).unwrap();
        worker.begin("other", RequestHead::get("/")).unwrap();
        assert_eq!(said(&mut worker), ["02", "first", "02", "second"], "{profile:?}");
    }
}

// Fact 29.
#[test]
fn after_a_trap_kong_configures_lazily_and_without_vm_start() {
    let probe = Probe::new();
    let (started, configured) = (probe.say("vm_start"), probe.say("configure"));
    let body = probe.if_header("x-trap", "unreachable");
    let probe = probe
        .on("proxy_on_vm_start", started)
        .on("proxy_on_configure", configured)
        .on("proxy_on_request_headers", body);
    let mut worker = start(Profile::Kong, probe);
    assert_eq!(said(&mut worker), ["vm_start", "configure"]);
    request(&mut worker, RequestHead::get("/").header("x-trap", "1")).unwrap();
    assert!(said(&mut worker).is_empty(), "nobody has needed it yet");
    get(&mut worker).unwrap();
    assert_eq!(said(&mut worker), ["configure"]);
}

// Fact 30.
#[test]
fn every_trap_adds_a_tick_timer_on_kong() {
    let mut worker = start(Profile::Kong, ticking());
    assert_eq!(ticks_after(&mut worker, 1000), 1);
    for expected in 2..4 {
        request(&mut worker, RequestHead::get("/").header("x-trap", "1")).unwrap();
        get(&mut worker).unwrap();
        assert_eq!((worker.tick_timers(), ticks_after(&mut worker, 1000)), (expected, expected));
    }
}

// Fact 30.
#[test]
fn replaced_configurations_go_on_ticking_on_kong_only() {
    for (profile, ticks, done) in [(Profile::Kong, 2, 0), (Profile::Envoy, 1, 1)] {
        let probe = ticking();
        let gone = probe.say("done");
        let mut worker = start(profile, probe.on("proxy_on_done", gone));
        said(&mut worker);
        assert_eq!(worker.reload(&configs(&[("route", "new")])).unwrap(), Reload::Applied);
        assert_eq!(said(&mut worker).iter().filter(|line| *line == "done").count(), done, "{profile:?}");
        assert_eq!(ticks_after(&mut worker, 1000), ticks, "{profile:?}");
    }
}

#[test]
fn an_unchanged_configuration_keeps_its_root_context() {
    for profile in BOTH {
        let mut worker = start(profile, ticking());
        said(&mut worker);
        worker.reload(&configs(&[("route", "{}"), ("more", "{}")])).unwrap();
        assert_eq!(said(&mut worker), ["00"], "only the new one was configured: {profile:?}");
    }
}

/// Says what it finds in shared data, puts something there, and counts.
fn remembers() -> Probe {
    let probe = Probe::new();
    let name = probe.text("requests");
    let count = format!(
        "(drop (call $define (i32.const 0) {name} (i32.const 64)))
         (drop (call $increment (i32.load (i32.const 64)) (i64.const 1)))"
    );
    let body = probe.show_shared("key") + &probe.set_shared("key", Some("value"), "0") + &count;
    probe.on("proxy_on_request_headers", body)
}

// Fact 40.
#[test]
fn kong_reload_empties_the_zones_and_keeps_the_metrics() {
    let node = node(Profile::Kong).build();
    let mut old = start_on(&node, remembers());
    get(&mut old).unwrap();
    assert_eq!(said(&mut old), ["01", "00"], "nothing there at first");
    let reloaded = node.after_kong_reload();
    assert_eq!((reloaded.shared_data_bytes(), node.shared_data_bytes()), (0, 5));
    let mut new = start_on(&reloaded, remembers());
    get(&mut new).unwrap();
    assert_eq!(said(&mut new), ["01", "00"]);
    assert_eq!(reloaded.metrics()["pw:backstage_kong:requests"], Metric::Counter(2));
    // A worker that still has requests to finish has what it had.
    get(&mut old).unwrap();
    assert_eq!(said(&mut old), ["value", "08"]);
    node.advance(1000);
    assert_eq!(reloaded.now_ms(), node.now_ms());
}

// Fact 40.
#[test]
fn a_configuration_posted_to_kong_leaves_the_zones_as_they_are() {
    let mut worker = start(Profile::Kong, remembers());
    get(&mut worker).unwrap();
    assert_eq!(worker.reload(&configs(&[("route", "new")])).unwrap(), Reload::Applied);
    said(&mut worker);
    get(&mut worker).unwrap();
    assert_eq!(said(&mut worker), ["value", "08"]);
}

// Envoy has no such thing.
#[test]
fn only_kong_reloads() {
    let node = node(Profile::Envoy).build();
    let mut worker = start_on(&node, remembers());
    get(&mut worker).unwrap();
    assert_eq!(node.after_kong_reload().shared_data_bytes(), 5);
}

// Fact 30.
#[test]
fn a_second_tick_period_traps_on_kong() {
    for (profile, timers, critical) in [(Profile::Kong, 1, 1), (Profile::Envoy, 1, 0)] {
        let probe = Probe::new().on("proxy_on_configure", TICK_EVERY_SECOND).on("proxy_on_tick", TICK_EVERY_SECOND);
        let mut worker = start(profile, probe);
        worker.tick("route").unwrap();
        let logs = worker.take_logs();
        assert_eq!((worker.tick_timers(), lines(&logs, LogLevel::Critical).len()), (timers, critical), "{profile:?}");
    }
}

// Fact 30: the period may be set to nothing, and then anew.
#[test]
fn ticks_can_be_stopped() {
    let probe = Probe::new();
    let tick = probe.say("tick") + "(call $say (call $set_tick (i32.const 0)))";
    let mut worker = start(Profile::Kong, probe.on("proxy_on_configure", TICK_EVERY_SECOND).on("proxy_on_tick", tick));
    assert_eq!((ticks_after(&mut worker, 1000), ticks_after(&mut worker, 1000)), (1, 0));
    assert_eq!(worker.next_tick_due(), None);
}

// Fact 31.
#[test]
fn routes_without_a_configuration_pass_untouched() {
    for profile in BOTH {
        let probe = Probe::new();
        let body = probe.say("ran");
        let mut worker = start(profile, probe.on("proxy_on_request_headers", body));
        let (id, step) = worker.begin("elsewhere", RequestHead::get("/")).unwrap();
        assert!(matches!(step, Step::Forward(_)), "{step:?}");
        worker.finish(id, 200).unwrap();
        assert!(said(&mut worker).is_empty(), "{profile:?}");
    }
}

fn tells_its_end() -> Probe {
    let probe = Probe::new();
    let (response, done, deleted) = (probe.say("response"), probe.say("done"), probe.say("deleted"));
    let log = probe.say("log") + &probe.show_property("response.code");
    probe
        .on("proxy_on_response_headers", response)
        .on("proxy_on_done", done)
        .on("proxy_on_log", log)
        .on("proxy_on_delete", deleted)
}

// Fact 32.
#[test]
fn when_kong_finds_no_upstream_the_filter_only_loses_its_context() {
    for profile in BOTH {
        let mut worker = start(profile, tells_its_end());
        let (id, _) = begin(&mut worker, RequestHead::get("/"));
        let (head, _) = worker.gateway_error(id, 502).unwrap();
        assert_eq!(head.status, 502);
        match profile {
            Profile::Kong => assert_eq!(said(&mut worker), ["deleted"]),
            Profile::Envoy => {
                let said = said(&mut worker);
                assert_eq!((said.len(), &said[..3]), (5, &["response", "done", "log"].map(String::from)[..]));
            }
        }
    }
}

// Fact 32.
#[test]
fn kong_logs_a_client_that_left_with_499() {
    let mut worker = start(Profile::Kong, tells_its_end());
    let (id, _) = begin(&mut worker, RequestHead::get("/"));
    worker.abort(id).unwrap();
    assert_eq!(said(&mut worker), ["done", "log", "499", "deleted"]);
}

// Fact 33.
#[test]
fn kongs_clock_has_milliseconds() {
    let below = "(call $say (call $now (i32.const 40)))
        (call $say (i32.wrap_i64 (i64.rem_u (i64.load (i32.const 40)) (i64.const 1000000))))";
    let node = test_harness::Node::builder(Profile::Kong).build();
    let mut worker = start_on(&node, Probe::new().on("proxy_on_request_headers", below));
    get(&mut worker).unwrap();
    assert_eq!(said(&mut worker), ["00", "00"]);
}

// Fact 34.
#[test]
fn kong_cuts_log_lines_at_two_kilobytes() {
    for profile in BOTH {
        let probe = Probe::new();
        let body = probe.say(&"x".repeat(5000));
        let mut worker = start(profile, probe.on("proxy_on_request_headers", body));
        get(&mut worker).unwrap();
        let length = said(&mut worker)[0].len();
        assert_eq!(length < 2048, profile == Profile::Kong, "{profile:?}: {length}");
    }
}

#[test]
fn an_endless_loop_traps_when_its_fuel_is_used_up() {
    let node = node(Profile::Kong).fuel_per_call(1_000_000).build();
    let mut worker = start_on(&node, Probe::new().on("proxy_on_request_headers", "(loop $again (br $again))"));
    assert_eq!(get(&mut worker).unwrap().status, 500);
}

#[test]
fn a_node_is_shared_between_threads_and_a_worker_moves_to_one() {
    fn shared<T: Send + Sync + Clone>() {}
    fn moved<T: Send>() {}
    shared::<test_harness::Node>();
    moved::<Worker>();
}
