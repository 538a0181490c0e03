//! What kills a worker of Kong's though the filter has not trapped. Numbers are those of the facts about Kong's Wasm host.

// The helpers of tests are tests too, which the lints' own exception does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use support::{BOTH, Probe, begin, calls, get, reply, request, said, start};
use test_harness::{DispatchFailure, HostError, Profile, RequestHead, Worker};

// Measured with fact 36.
#[test]
fn kong_dies_of_removing_a_cookie_that_is_not_there() {
    for (map, name, lines, dies) in [
        (0, "cookie", 0, true),
        (0, "Cookie", 1, false),
        (0, "cookie", 2, false),
        (0, "x-forwarded-for", 0, true),
        (0, "authorization", 0, false),
        (0, "x-tag", 0, false),
        (2, "cache-control", 0, true),
        (2, "cache-control", 1, false),
        (2, "link", 0, true),
        (2, "cookie", 0, false),
    ] {
        for profile in BOTH {
            let probe = Probe::new();
            let remove = probe.remove(map, name);
            let callback = if map == 0 { "proxy_on_request_headers" } else { "proxy_on_response_headers" };
            let mut worker = start(profile, probe.on(callback, remove));
            let headers = (0..lines).map(|_| (name.to_owned(), b"x".to_vec())).collect::<Vec<_>>();
            let mut head = RequestHead::get("/");
            head.headers.clone_from(&headers);
            let outcome = worker.begin("route", head).and_then(|(id, _)| worker.response(id, 200, headers));
            assert_eq!(outcome.is_err(), dies && profile == Profile::Kong, "{profile:?} {name} {lines}: {outcome:?}");
        }
    }
}

/// Calls one host after the other from a tick.
fn ticks_to(targets: &[&str]) -> Probe {
    let probe = Probe::new();
    let calls = targets
        .iter()
        .map(|target| probe.call(target, &[(":method", "GET"), (":path", "/"), (":authority", "a")], 1000));
    let calls = calls.collect::<String>();
    probe.on("proxy_on_tick", calls)
}

// Fact 37.
#[test]
fn kong_dies_of_a_call_made_in_the_answer_to_a_root_contexts_call() {
    for target in ["peer", "10.0.0.1", "[::1]:80"] {
        for profile in BOTH {
            let probe = ticks_to(&[target]);
            let next = probe.call("other", &[(":method", "GET"), (":path", "/"), (":authority", "a")], 1000);
            let mut worker = start(profile, probe.on("proxy_on_http_call_response", next));
            let call = worker.tick("route").unwrap().remove(0);
            let answered = worker.dispatch_reply(call.token, reply(200));
            assert_eq!(answered.is_err(), profile == Profile::Kong, "{profile:?} {target}: {answered:?}");
            assert_eq!(worker.died_of().is_some(), profile == Profile::Kong, "{profile:?} {target}");
        }
    }
}

// Fact 37: from a request's context a chain of calls works.
#[test]
fn a_request_may_call_again_in_the_answer_to_its_call() {
    for profile in BOTH {
        let probe = Probe::new();
        let (first, next) = (probe.good_call(), probe.good_call());
        let once = format!("(if (i32.eqz (global.get $count)) (then (global.set $count (i32.const 1)) {next}))");
        let probe = probe
            .on_returning("proxy_on_request_headers", first, support::PAUSE)
            .on("proxy_on_http_call_response", once);
        let mut worker = start(profile, probe);
        let (_, step) = begin(&mut worker, RequestHead::get("/"));
        let step = worker.dispatch_reply(calls(step)[0].token, reply(200)).unwrap();
        let next = calls(step);
        assert_eq!(next.len(), 1, "{profile:?}");
        worker.dispatch_reply(next[0].token, reply(200)).unwrap();
    }
}

// Fact 38. The real host dies only where the name is not in its cache of names.
#[test]
fn kong_dies_of_two_background_calls_to_one_name_at_a_time() {
    for (targets, dies) in [
        (&["peer", "peer"][..], true),
        (&["peer:9080", "PEER:9081"], true),
        (&["peer", "other", "peer:8080"], true),
        (&["peer", "other"], false),
        (&["10.0.0.1:80", "10.0.0.1:80"], false),
        (&["[::1]:80", "[::1]:81"], false),
        (&["unix:/run/peer.sock", "unix:/run/peer.sock"], false),
    ] {
        for profile in BOTH {
            let mut worker = start(profile, ticks_to(targets));
            let ticked = worker.tick("route");
            assert_eq!(ticked.is_err(), dies && profile == Profile::Kong, "{profile:?} {targets:?}: {ticked:?}");
        }
    }
}

// Fact 38: one at a time is safe, and whose root context it is does not matter.
#[test]
fn kong_counts_the_background_calls_of_all_routes_until_they_are_answered() {
    let node = support::node(Profile::Kong).build();
    let routes = ["route", "other"].map(|route| (route.to_owned(), b"{}".to_vec()));
    let mut worker = Worker::start(&node, &ticks_to(&["peer"]).build(), &routes).unwrap();
    let call = worker.tick("route").unwrap().remove(0);
    worker.dispatch_reply(call.token, Err(DispatchFailure::Timeout)).unwrap();
    worker.tick("other").unwrap();
    assert!(matches!(worker.tick("route"), Err(HostError::WorkerDied { .. })));
}

// Fact 38: a request may ask for the name that a tick is asking for.
#[test]
fn a_background_call_and_a_requests_call_to_one_name_do_not_harm_each_other() {
    let probe = ticks_to(&["peer"]);
    let call = probe.good_call();
    let mut worker = start(Profile::Kong, probe.on_returning("proxy_on_request_headers", call, support::PAUSE));
    let background = worker.tick("route").unwrap().remove(0);
    for _ in 0..2 {
        let (_, step) = begin(&mut worker, RequestHead::get("/"));
        worker.dispatch_reply(calls(step)[0].token, reply(200)).unwrap();
    }
    worker.dispatch_reply(background.token, reply(200)).unwrap();
}

/// Reads or writes properties in the answer to a request's call, and others in the request's headers before.
fn asks_late(early: &[&str], late: &str, value: Option<&str>) -> Probe {
    let probe = Probe::new();
    let early = early.iter().map(|path| probe.show_property(path)).collect::<String>();
    let before = early + &probe.good_call();
    let answer = match value {
        None => probe.show_property(late),
        Some(value) => probe.set_property(late, value),
    };
    probe
        .on_returning("proxy_on_request_headers", before, support::PAUSE)
        .on("proxy_on_http_call_response", answer + "(drop (call $continue (i32.const 0)))")
}

// Fact 39. The real host dies of 5 to 17 in 14,000, or answers somebody else with 500.
#[test]
fn kong_dies_of_its_properties_in_the_answer_to_a_call_unless_it_remembers_them() {
    for (early, late, value, dies) in [
        (&[][..], "kong.route_id", None, true),
        (&["kong.route_id"], "kong.route_id", None, false),
        (&["kong.route_name"], "kong.route_id", None, true),
        (&["kong.client.protocol", "kong.version"], "kong.version", None, false),
        // What there is none of is asked for again, but for route and service as a whole.
        (&["kong.service_name"], "kong.service_name", None, true),
        (&["kong.configuration.none"], "kong.configuration.none", None, true),
        (&["kong.made_up"], "kong.made_up", None, true),
        (&["kong.router.service"], "kong.router.service", None, false),
        (&["kong.router.route"], "kong.router.route", None, false),
        // These are never kept.
        (&["kong.ctx.shared.owner"], "kong.ctx.shared.owner", None, true),
        (&["kong.node.memory_stats"], "kong.node.memory_stats", None, true),
        (&[], "kong.ctx.shared.owner", Some("team"), true),
        (&[], "kong.response.status", Some("200"), true),
        (&[], "kong.made_up", Some("x"), true),
        // What is nginx's or the request's own is not Lua's.
        (&[], "ngx.remote_addr", None, false),
        (&[], "request.path", None, false),
        (&[], "source.address", None, false),
    ] {
        for profile in BOTH {
            let mut worker = start(profile, asks_late(early, late, value));
            let head = RequestHead::get("/").property("kong.route_id", "r-1").property("kong.node.memory_stats", "{}");
            let outcome = request(&mut worker, head);
            let died = matches!(outcome, Err(HostError::WorkerDied { .. }));
            assert_eq!(died, dies && profile == Profile::Kong, "{profile:?} {early:?} {late} {value:?}: {outcome:?}");
        }
    }
}

// Fact 39: set before the call, it is there for whoever reads it after the answer.
#[test]
fn kongs_shared_context_may_be_written_before_a_call() {
    let probe = Probe::new();
    let before = probe.set_property("kong.ctx.shared.owner", "team") + &probe.good_call();
    let after = probe.show_property("kong.ctx.shared.owner");
    let probe =
        probe.on_returning("proxy_on_request_headers", before, support::PAUSE).on("proxy_on_response_headers", after);
    let mut worker = start(Profile::Kong, probe);
    assert_eq!(get(&mut worker).unwrap().status, 200);
    assert_eq!(said(&mut worker), ["00", "00", "team"]);
}
