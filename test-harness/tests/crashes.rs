//! Traps, and what fails open. What kills without a trap is in `deaths.rs`. Numbers are those of the facts about Kong's Wasm host.

// The helpers of tests are tests too, which the lints' own exception does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use support::{BOTH, Probe, begin, calls, get, lines, reply, request, said, start, start_on};
use test_harness::{HostError, LogLevel, Profile, Reload, RequestHead, ResponseStep, StartError, Step, Worker};

/// Traps on requests with `x-trap`, waits for a call on the others.
fn waits_or_traps() -> Probe {
    let probe = Probe::new();
    let body = probe.if_header("x-trap", "unreachable") + &probe.good_call();
    probe.on_returning("proxy_on_request_headers", body, support::PAUSE)
}

fn refuses_configuration_bad() -> Probe {
    let probe = Probe::new();
    let body = probe.say("ran");
    // The second parameter is the configuration's size; "bad" has three bytes.
    probe
        .on_returning("proxy_on_configure", "", "(i32.ne (local.get 1) (i32.const 3))")
        .on("proxy_on_request_headers", body)
}

fn configs(of: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
    of.iter().map(|(route, config)| ((*route).to_owned(), config.as_bytes().to_vec())).collect()
}

// Fact 1.
#[test]
fn kong_dies_of_a_trap_while_another_call_is_pending() {
    let mut worker = start(Profile::Kong, waits_or_traps());
    let (_, step) = begin(&mut worker, RequestHead::get("/"));
    assert_eq!(calls(step).len(), 1);
    let died = worker.begin("route", RequestHead::get("/").header("x-trap", "1"));
    assert!(matches!(died, Err(HostError::WorkerDied { .. })), "{died:?}");
    assert!(matches!(get(&mut worker), Err(HostError::WorkerDied { .. })));
    assert!(worker.died_of().is_some());
}

// Fact 1.
#[test]
fn kong_answers_500_to_a_trap_and_goes_on_with_a_new_instance() {
    let mut worker = start(Profile::Kong, waits_or_traps());
    let outcome = request(&mut worker, RequestHead::get("/").header("x-trap", "1")).unwrap();
    assert_eq!(outcome.status, 500);
    assert_eq!(get(&mut worker).unwrap().status, 200);
}

// Read in the source of the module: it looks its callbacks up when it loads a filter, checks three of them, and calls the others
// without asking whether they were found.
#[test]
fn kong_dies_of_a_callback_that_the_filter_does_not_export_and_envoy_passes_it_over() {
    for callback in ["proxy_on_done", "proxy_on_log", "proxy_on_response_headers"] {
        let probe = || Probe::new().without(callback);
        assert_eq!(get(&mut start(Profile::Envoy, probe())).unwrap().status, 200);
        let died = get(&mut start(Profile::Kong, probe()));
        assert!(matches!(died, Err(HostError::WorkerDied { .. })), "{died:?}");
    }
}

#[test]
fn envoy_fails_closed_after_a_trap_until_it_is_restarted() {
    let mut worker = start(Profile::Envoy, waits_or_traps());
    let outcome = request(&mut worker, RequestHead::get("/").header("x-trap", "1")).unwrap();
    assert_eq!(outcome.status, 503);
    assert_eq!(get(&mut worker).unwrap().status, 503);
}

#[test]
fn envoy_fails_requests_in_flight_closed_after_someone_elses_trap() {
    let probe = Probe::new();
    let body = probe.if_header("x-trap", "unreachable");
    let mut worker = start(Profile::Envoy, probe.on("proxy_on_request_headers", body));
    let (first, _) = begin(&mut worker, RequestHead::get("/"));
    begin(&mut worker, RequestHead::get("/").header("x-trap", "1"));
    let ResponseStep::Respond(head) = worker.response(first, 200, Vec::new()).unwrap() else { panic!("hung") };
    assert_eq!(head.status, 503);
}

// Fact 29: an instance is shared, so one request's trap takes the contexts of the others along.
#[test]
fn kong_gives_requests_in_flight_a_fresh_context_after_someone_elses_trap() {
    let probe = Probe::new();
    let created = probe.say("created");
    let body = probe.if_header("x-trap", "unreachable");
    let response = probe.say("response");
    let probe = probe
        .on("proxy_on_context_create", created)
        .on("proxy_on_request_headers", body)
        .on("proxy_on_response_headers", response);
    let mut worker = start(Profile::Kong, probe);
    let (first, _) = begin(&mut worker, RequestHead::get("/"));
    let (second, _) = begin(&mut worker, RequestHead::get("/").header("x-trap", "1"));
    worker.finish(second, 500).unwrap();
    said(&mut worker);
    worker.response(first, 200, Vec::new()).unwrap();
    assert_eq!(said(&mut worker), ["created", "created", "response"], "root, exchange, callback");
}

// Fact 2.
#[test]
fn kong_loses_response_effects_and_dies_when_a_request_goes_on_without_waiting() {
    let probe = Probe::new();
    let call = probe.good_call();
    let edit = probe.edit("add", 2, "x-added", "1");
    let probe = probe.on("proxy_on_request_headers", call).on("proxy_on_response_headers", edit);
    let mut worker = start(Profile::Kong, probe);
    let (id, step) = begin(&mut worker, RequestHead::get("/"));
    assert!(matches!(step, Step::Forward(_)), "{step:?}");
    let call = worker.take_dispatches().remove(0);
    let ResponseStep::Respond(head) = worker.response(id, 200, Vec::new()).unwrap() else { panic!("hung") };
    assert_eq!(head.header("x-added"), None);
    worker.finish(id, 200).unwrap();
    assert!(matches!(worker.dispatch_reply(call.token, reply(200)), Err(HostError::WorkerDied { .. })));
}

#[test]
fn envoy_lets_a_request_go_on_without_waiting() {
    let probe = Probe::new();
    let call = probe.good_call();
    let heard = probe.say("heard");
    let probe = probe.on("proxy_on_request_headers", call).on("proxy_on_http_call_response", heard);
    let mut worker = start(Profile::Envoy, probe);
    let (id, step) = begin(&mut worker, RequestHead::get("/"));
    assert!(matches!(step, Step::Forward(_)), "{step:?}");
    let call = worker.take_dispatches().remove(0);
    assert_eq!(worker.dispatch_reply(call.token, reply(200)).unwrap(), Step::Background);
    assert_eq!(said(&mut worker), ["00", "heard"]);
    worker.response(id, 200, Vec::new()).unwrap();
    worker.finish(id, 200).unwrap();
}

// Fact 2: aborting while paused is safe.
#[test]
fn a_client_may_leave_while_its_request_is_paused() {
    for profile in BOTH {
        let mut worker = start(profile, waits_or_traps());
        let (id, step) = begin(&mut worker, RequestHead::get("/"));
        let call = calls(step).remove(0);
        worker.abort(id).unwrap();
        assert_eq!(worker.dispatch_reply(call.token, reply(200)).unwrap(), Step::Background, "{profile:?}");
        assert_eq!(get(&mut worker).unwrap().dispatches.len(), 1, "{profile:?}");
    }
}

// Fact 4.
#[test]
fn kong_switches_every_filter_off_when_one_configuration_is_refused_at_start() {
    let node = support::node(Profile::Kong).build();
    let module = refuses_configuration_bad().build();
    let mut worker = Worker::start(&node, &module, &configs(&[("route", "{}"), ("other", "bad")])).unwrap();
    assert_eq!(lines(worker.logs(), LogLevel::Critical).len(), 1);
    let outcome = get(&mut worker).unwrap();
    assert_eq!((outcome.status, lines(&outcome.logs, LogLevel::Info).len()), (200, 0));
}

// Fact 4.
#[test]
fn kong_keeps_the_old_configuration_when_a_reload_is_refused() {
    let mut worker = start(Profile::Kong, refuses_configuration_bad());
    let reloaded = worker.reload(&configs(&[("route", "bad")])).unwrap();
    assert!(matches!(reloaded, Reload::KeptOld { .. }), "{reloaded:?}");
    assert_eq!(lines(&get(&mut worker).unwrap().logs, LogLevel::Info), ["ran"]);
}

#[test]
fn envoy_fails_closed_on_the_route_whose_configuration_is_refused() {
    let node = support::node(Profile::Envoy).build();
    let module = refuses_configuration_bad().build();
    let mut worker = Worker::start(&node, &module, &configs(&[("other", "{}"), ("route", "bad")])).unwrap();
    assert_eq!(get(&mut worker).unwrap().status, 503);
    let (_, step) = worker.begin("other", RequestHead::get("/")).unwrap();
    assert!(matches!(step, Step::Forward(_)), "{step:?}");
}

// Facts 5 and 33.
#[test]
fn imports_decide_whether_a_module_starts() {
    let log_level = r#"(import "env" "proxy_get_log_level" (func $level (param i32) (result i32)))"#;
    let unknown = r#"(import "env" "proxy_made_up" (func $made_up (result i32)))"#;
    for (profile, import, starts) in [
        (Profile::Kong, log_level, false),
        (Profile::Envoy, log_level, true),
        (Profile::Kong, unknown, false),
        (Profile::Envoy, unknown, false),
    ] {
        let module = Probe::new().import(import).build();
        let started = Worker::start(&support::node(profile).build(), &module, &configs(&[("route", "{}")]));
        match started {
            Ok(_) => assert!(starts, "{profile:?} {import}"),
            Err(StartError::Link(_)) => assert!(!starts, "{profile:?} {import}"),
            Err(other) => panic!("{profile:?} {import}: {other}"),
        }
    }
}

// Fact 33.
#[test]
fn kong_traps_on_functions_it_only_knows_by_name() {
    for (name, arguments) in [
        ("proxy_done", 0),
        ("proxy_continue_response", 0),
        ("proxy_clear_route_cache", 0),
        ("proxy_grpc_cancel", 1),
        ("proxy_call_foreign_function", 6),
    ] {
        let parameters = "i32 ".repeat(arguments);
        let import = format!(r#"(import "env" "{name}" (func $odd (param {parameters}) (result i32)))"#);
        let body = format!("(drop (call $odd {}))", "(i32.const 0) ".repeat(arguments));
        let probe = Probe::new().import(&import).on("proxy_on_request_headers", body);
        assert_eq!(get(&mut start(Profile::Kong, probe)).unwrap().status, 500, "{name}");
    }
}

// Fact 3.
#[test]
fn an_instance_can_be_lost_without_anyones_fault() {
    let probe = Probe::new();
    let count = "(global.set $count (i32.add (global.get $count) (i32.const 1))) (call $say (global.get $count))";
    let configured = probe.say("configured");
    let probe = probe.on("proxy_on_configure", configured).on("proxy_on_request_headers", count);
    let mut worker = start(Profile::Kong, probe);
    let (in_flight, _) = begin(&mut worker, RequestHead::get("/"));
    worker.lose_instance().unwrap();
    get(&mut worker).unwrap();
    worker.response(in_flight, 200, Vec::new()).unwrap();
    worker.finish(in_flight, 200).unwrap();
    assert_eq!(said(&mut worker), ["configured", "01", "configured", "01"]);
}

// Fact 3: memory is a cache, a new instance starts empty.
#[test]
fn kongs_new_instance_remembers_nothing() {
    let count = "(global.set $count (i32.add (global.get $count) (i32.const 1))) (call $say (global.get $count))";
    let probe = Probe::new();
    let body = probe.if_header("x-trap", "unreachable") + count;
    let mut worker = start_on(&support::node(Profile::Kong).build(), probe.on("proxy_on_request_headers", body));
    get(&mut worker).unwrap();
    get(&mut worker).unwrap();
    request(&mut worker, RequestHead::get("/").header("x-trap", "1")).unwrap();
    get(&mut worker).unwrap();
    assert_eq!(said(&mut worker), ["01", "02", "01"]);
}
