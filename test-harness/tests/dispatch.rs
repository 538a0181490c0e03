//! HTTP calls. Numbers are those of the facts about Kong's Wasm host.

// The helpers of tests are tests too, which the lints' own exception does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::time::Duration;

use support::{BOTH, PAUSE, Probe, begin, calls, get, lines, reply, request, said, start, start_on};
use test_harness::{DispatchFailure, LogLevel, Profile, RequestHead, Step};

fn waits(probe: Probe, body: String) -> Probe {
    probe.on_returning("proxy_on_request_headers", body, PAUSE)
}

// Fact 6.
#[test]
fn a_failed_call_resumes_the_request_on_kong_only() {
    for profile in BOTH {
        let probe = Probe::new();
        let body = probe.good_call();
        let mut worker = start(profile, waits(probe, body));
        let (_, step) = begin(&mut worker, RequestHead::get("/"));
        let call = calls(step).remove(0);
        let step = worker.dispatch_reply(call.token, Err(DispatchFailure::Timeout)).unwrap();
        match profile {
            Profile::Kong => assert!(matches!(step, Step::Forward(_)), "{step:?}"),
            Profile::Envoy => assert_eq!(step, Step::Hung),
        }
    }
}

#[test]
fn envoy_goes_on_when_it_is_told_to() {
    let probe = Probe::new();
    let body = probe.good_call();
    let probe = waits(probe, body).on("proxy_on_http_call_response", "(drop (call $continue (i32.const 0)))");
    assert_eq!(get(&mut start(Profile::Envoy, probe)).unwrap().status, 200);
}

#[test]
fn a_request_waits_for_its_last_call() {
    let probe = Probe::new();
    let body = probe.good_call() + &probe.good_call();
    let mut worker = start(Profile::Kong, waits(probe, body));
    let (_, step) = begin(&mut worker, RequestHead::get("/"));
    let calls = calls(step);
    assert_eq!(worker.dispatch_reply(calls[0].token, reply(200)).unwrap(), Step::Dispatch(Vec::new()));
    let step = worker.dispatch_reply(calls[1].token, reply(200)).unwrap();
    assert!(matches!(step, Step::Forward(_)), "{step:?}");
}

// Fact 7.
#[test]
fn kong_lets_a_request_call_until_it_goes_upstream() {
    for (callback, on_kong) in
        [("proxy_on_request_headers", 200), ("proxy_on_request_body", 200), ("proxy_on_response_headers", 500)]
    {
        for (profile, status) in [(Profile::Kong, on_kong), (Profile::Envoy, 200)] {
            let probe = Probe::new();
            let call = probe.good_call();
            let pause = if callback == "proxy_on_response_headers" { support::CONTINUE } else { PAUSE };
            let probe = probe.on_returning(callback, call, pause);
            let go_on = "(drop (call $continue (i32.const 0)))";
            let mut worker = start(profile, probe.on("proxy_on_http_call_response", go_on));
            let outcome = request(&mut worker, RequestHead::new("POST", "/").body("hello")).unwrap();
            assert_eq!(outcome.status, status, "{profile:?} {callback}");
        }
    }
}

// Facts 4 and 7.
#[test]
fn kong_traps_on_calls_while_it_configures_and_then_runs_no_filter() {
    let probe = Probe::new();
    let (call, ran) = (probe.good_call(), probe.say("ran"));
    let mut worker = start(Profile::Kong, probe.on("proxy_on_configure", call).on("proxy_on_request_headers", ran));
    let outcome = get(&mut worker).unwrap();
    assert_eq!((outcome.status, outcome.dispatches.len()), (200, 0));
    assert!(said(&mut worker).is_empty());
}

// Fact 7.
#[test]
fn kong_traps_on_calls_from_the_log_phase() {
    let probe = Probe::new();
    let call = probe.good_call();
    let outcome = get(&mut start(Profile::Kong, probe.on("proxy_on_log", call))).unwrap();
    assert_eq!(outcome.status, 200);
    let critical = lines(&outcome.logs, LogLevel::Critical);
    assert!(critical[0].contains("can only send HTTP dispatch"), "{critical:?}");
}

// Fact 7. Answers may, too: `deaths.rs` says whose.
#[test]
fn ticks_may_call() {
    let probe = Probe::new();
    let call = probe.good_call();
    let mut worker = start(Profile::Kong, probe.on("proxy_on_tick", call));
    for _ in 0..2 {
        let calls = worker.tick("route").unwrap();
        assert_eq!((calls.len(), calls[0].exchange), (1, None));
        assert_eq!(worker.dispatch_reply(calls[0].token, reply(200)).unwrap(), Step::Background);
        assert!(worker.take_dispatches().is_empty());
    }
}

// Fact 8.
#[test]
fn kong_takes_hosts_and_traps_on_anything_else() {
    for (target, fine) in [
        ("peer", true),
        ("peer:8443", true),
        ("10.0.0.1:80", true),
        ("[::1]:8080", true),
        ("[::1]", true),
        ("unix:/run/peer.sock", true),
        ("http://peer", false),
        ("https://peer:443/", false),
        ("peer/path", false),
        ("peer?query", false),
        ("peer:", false),
        ("peer:0", false),
        ("peer:65536", false),
        ("peer:http", false),
        ("::1", false),
        ("[::1", false),
        ("[peer]:80", false),
        ("unix:", false),
        ("", false),
    ] {
        let probe = Probe::new();
        let body = probe.call(target, &[(":method", "GET"), (":path", "/")], 1000);
        let outcome = get(&mut start(Profile::Kong, waits(probe, body))).unwrap();
        assert_eq!(outcome.status, if fine { 200 } else { 500 }, "{target:?}");
    }
}

// Fact 8.
#[test]
fn kong_traps_on_calls_without_method_or_path_and_envoy_refuses_them() {
    for headers in [&[(":path", "/")][..], &[(":method", "GET")]] {
        for profile in BOTH {
            let probe = Probe::new();
            let body = probe.call("peer", headers, 1000);
            let mut worker = start(profile, probe.on("proxy_on_request_headers", body));
            let outcome = get(&mut worker).unwrap();
            match profile {
                Profile::Kong => assert_eq!(outcome.status, 500, "{headers:?}"),
                Profile::Envoy => assert_eq!(lines(&outcome.logs, LogLevel::Info), ["02"], "{headers:?}"),
            }
        }
    }
}

#[test]
fn envoy_refuses_unknown_clusters() {
    for (cluster, status) in [("peer", "00"), ("elsewhere", "02")] {
        let node = support::node(Profile::Envoy).clusters(["peer"]).build();
        let probe = Probe::new();
        let body = probe.call(cluster, &[(":method", "GET"), (":path", "/"), (":authority", "a")], 1000);
        let mut worker = start_on(&node, probe.on("proxy_on_request_headers", body));
        begin(&mut worker, RequestHead::get("/"));
        assert_eq!(said(&mut worker), [status], "{cluster}");
    }
}

// Fact 9.
#[test]
fn a_failed_call_has_no_headers_and_on_kong_a_reason() {
    for (failure, reason) in [
        (DispatchFailure::Timeout, "timeout"),
        (DispatchFailure::BrokenConnection, "broken connection"),
        (DispatchFailure::TlsHandshake, "tls handshake failure"),
        (DispatchFailure::Resolver, "resolver failure"),
        (DispatchFailure::Reader, "reader failure"),
    ] {
        for profile in BOTH {
            let probe = Probe::new();
            let body = probe.good_call();
            let count = "(call $say (local.get 2))".to_owned();
            let heard = count + &probe.show_header(6, ":status") + &probe.show_header(6, ":dispatch_status");
            let mut worker = start(profile, waits(probe, body).on("proxy_on_http_call_response", heard));
            let (_, step) = begin(&mut worker, RequestHead::get("/"));
            worker.dispatch_reply(calls(step)[0].token, Err(failure)).unwrap();
            let reason = if profile == Profile::Kong { reason } else { "01" };
            assert_eq!(said(&mut worker), ["00", "00", "01", reason], "{profile:?} {failure:?}");
        }
    }
}

#[test]
fn an_answer_has_a_status_headers_and_a_body() {
    for profile in BOTH {
        let probe = Probe::new();
        let body = probe.good_call();
        let buffer =
            "(call $show (call $buffer (i32.const 4) (i32.const 0) (i32.const 99) (i32.const 16) (i32.const 20)))";
        let heard = probe.show_header(6, ":status") + &probe.show_header(6, "x-peer") + buffer;
        let mut worker = start(profile, waits(probe, body).on("proxy_on_http_call_response", heard));
        let (_, step) = begin(&mut worker, RequestHead::get("/"));
        let mut answer = reply(201).unwrap();
        answer.headers.push(("X-Peer".into(), b"yes".to_vec()));
        worker.dispatch_reply(calls(step)[0].token, Ok(answer)).unwrap();
        assert_eq!(said(&mut worker), ["00", "201", "yes", "body"], "{profile:?}");
    }
}

// Facts 9, 10 and 12.
#[test]
fn kong_fills_in_what_a_call_leaves_out_and_drops_what_it_sets_itself() {
    let headers = [
        (":method", "POST"),
        (":path", "/a?b"),
        (":scheme", "https"),
        ("Host", "x"),
        ("connection", "x"),
        ("x-a", "1"),
    ];
    let probe = Probe::new();
    let body = probe.call("[::1]:8443", &headers, 0);
    let mut worker = start(Profile::Kong, waits(probe, body));
    let (id, step) = begin(&mut worker, RequestHead::get("/"));
    let call = calls(step).remove(0);
    assert_eq!(
        (call.method.as_str(), call.path.as_str(), call.scheme.as_str(), call.authority.as_str()),
        ("POST", "/a?b", "https", "::1")
    );
    assert_eq!(call.headers, [("x-a".to_owned(), b"1".to_vec())]);
    assert_eq!((call.timeout, call.exchange), (Duration::from_secs(60), Some(id)));
}

// Fact 13.
#[test]
fn pausing_without_a_call_hangs() {
    for profile in BOTH {
        let probe = Probe::new().on_returning("proxy_on_request_headers", "", PAUSE);
        assert!(get(&mut start(profile, probe)).unwrap().hung, "{profile:?}");
    }
}

// Fact 13.
#[test]
fn one_request_can_wake_another_on_envoy_only() {
    for profile in BOTH {
        let probe = Probe::new();
        // Context 2 is the first request: the root took the first number.
        let wake = "(drop (call $effective (i32.const 2))) (drop (call $continue (i32.const 0)))";
        let call = probe.good_call();
        let probe = waits(probe, call).on("proxy_on_http_call_response", wake);
        let mut worker = start(profile, probe);
        let (first, _) = begin(&mut worker, RequestHead::get("/first"));
        let (_, step) = begin(&mut worker, RequestHead::get("/second"));
        worker.dispatch_reply(calls(step)[0].token, reply(200)).unwrap();
        let ready = worker.take_ready();
        match profile {
            Profile::Kong => assert!(ready.is_empty(), "{ready:?}"),
            Profile::Envoy => {
                assert!(matches!(&ready[..], [(id, Step::Forward(_))] if *id == first), "{ready:?}");
            }
        }
    }
}

#[test]
fn a_local_response_cancels_the_calls_of_its_request_on_kong() {
    let probe = Probe::new();
    let body = probe.good_call() + &probe.respond(403, "no", &[]);
    let heard = probe.say("heard");
    let mut worker = start(Profile::Kong, waits(probe, body).on("proxy_on_http_call_response", heard));
    let (_, step) = begin(&mut worker, RequestHead::get("/"));
    assert!(matches!(step, Step::LocalResponse(_)), "{step:?}");
    assert!(worker.take_dispatches().is_empty());
}
