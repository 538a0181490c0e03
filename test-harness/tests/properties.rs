//! Properties. Numbers are those of the facts about Kong's Wasm host.

// The helpers of tests are tests too, which the lints' own exception does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use support::{BOTH, Probe, begin, get, node, request, said, start, start_on};
use test_harness::{Profile, RequestHead};

// Fact 26.
#[test]
fn kongs_properties_are_read_written_or_trap() {
    let cases: [(&str, Option<&str>, Result<&str, ()>); 15] = [
        ("kong.route_id", None, Ok("r-1")),
        ("kong.route_name", None, Ok("01")),
        ("kong.client.protocol", None, Ok("http")),
        ("kong.version", None, Ok("3.9.3")),
        ("kong.made_up", None, Ok("01")),
        ("kong.ctx.shared.owner", Some("team"), Ok("00")),
        ("kong.ctx.shared.none", None, Ok("01")),
        ("kong.response.source", None, Err(())),
        ("kong.service.response.status", None, Err(())),
        ("kong.made_up", Some("x"), Err(())),
        ("kong.configuration.prefix", Some("x"), Err(())),
        ("made.up", Some("x"), Ok("01")),
        // Fact 23: read-only. The SDK panics on either status.
        ("request.path", Some("x"), Ok("10")),
        ("ngx.remote_addr", Some("x"), Ok("10")),
        ("ngx.made_up", Some("x"), Ok("01")),
    ];
    for (path, value, expected) in cases {
        let probe = Probe::new();
        let body = match value {
            None => probe.show_property(path),
            Some(value) => probe.set_property(path, value),
        };
        let mut worker = start(Profile::Kong, probe.on("proxy_on_request_headers", body));
        let outcome = request(&mut worker, RequestHead::get("/").property("kong.route_id", "r-1")).unwrap();
        match expected {
            Ok(text) => assert_eq!(said(&mut worker), [text], "{path}"),
            Err(()) => assert_eq!(outcome.status, 500, "{path}"),
        }
    }
}

// Fact 49.
#[test]
fn kongs_properties_include_nginxs_variables() {
    for (path, expected) in [
        ("ngx.remote_addr", "127.0.0.1"),
        ("ngx.http_host", "example.test"),
        ("ngx.request_uri", "/a?b=c"),
        ("ngx.uri", "/a"),
        ("ngx.args", "b=c"),
        ("ngx.request_time", "0.250"),
        ("ngx.made_up", "01"),
        ("ngx.http_x_none", "01"),
        // nginx takes a dash for an underscore, and every line of the name; a removed one is passed over.
        ("ngx.http_x_team", "a, b, c"),
        ("ngx.http_cookie", "a=1; b=2"),
        ("ngx.http_x_gone", "01"),
        ("request.headers.x-team", "a"),
        ("kong.request_id", "01"),
        ("kong.client.ip", "01"),
        ("request.id", "01"),
    ] {
        let probe = Probe::new();
        let remove = probe.remove(0, "x-gone");
        let body = probe.show_property(path);
        let node = node(Profile::Kong).build();
        let probe = probe.on("proxy_on_request_headers", remove).on("proxy_on_response_headers", body);
        let mut worker = start_on(&node, probe);
        let mut head = RequestHead::get("/a?b=c").header("x-gone", "1");
        for (name, value) in [("X-Team", "a"), ("x_team", "b"), ("cookie", "a=1"), ("x-team", "c"), ("cookie", "b=2")] {
            head = head.header(name, value);
        }
        let (id, _) = begin(&mut worker, head);
        node.advance(250);
        worker.response(id, 200, Vec::new()).unwrap();
        assert_eq!(said(&mut worker)[1..], [expected.to_owned()], "{path}");
    }
}

// Fact 49.
#[test]
fn every_request_on_kong_has_an_id_of_its_own() {
    let probe = Probe::new();
    let body = probe.show_property("ngx.kong_request_id");
    let mut worker = start(Profile::Kong, probe.on("proxy_on_request_headers", body));
    for _ in 0..2 {
        get(&mut worker).unwrap();
    }
    request(&mut worker, RequestHead::get("/").property("ngx.kong_request_id", "given")).unwrap();
    let said = said(&mut worker);
    assert!(said[0].len() == 32 && said[1].len() == 32 && said[0] != said[1], "{said:?}");
    assert_eq!(said[2], "given");
}

// Fact 27.
#[test]
fn in_the_log_phase_kong_knows_only_what_was_read_before() {
    let probe = Probe::new();
    let early = probe.show_property("kong.route_id");
    let late = probe.show_property("kong.route_id") + &probe.show_property("kong.service_id");
    let probe = probe.on("proxy_on_request_headers", early).on("proxy_on_log", late);
    let mut worker = start(Profile::Kong, probe);
    let head = RequestHead::get("/").property("kong.route_id", "r-1").property("kong.service_id", "s-1");
    request(&mut worker, head).unwrap();
    assert_eq!(said(&mut worker), ["r-1", "r-1", "01"]);
}

#[test]
fn scoped_properties_outside_a_request_fail_on_kong() {
    let probe = Probe::new();
    let body = probe.show_property("kong.node.id") + &probe.show_property("plugin_name");
    let mut worker = start(Profile::Kong, probe.on("proxy_on_tick", body));
    worker.tick("route").unwrap();
    assert_eq!(said(&mut worker), ["10", "backstage_kong"]);
}

#[test]
fn the_requests_own_properties_are_there_on_both() {
    for profile in BOTH {
        let probe = Probe::new();
        let paths = ["request.path", "request.url_path", "request.query", "request.method", "request.headers.x-a"];
        let body = paths.map(|path| probe.show_property(path)).concat();
        let mut worker = start(profile, probe.on("proxy_on_request_headers", body));
        request(&mut worker, RequestHead::get("/a?b=c").header("x-a", "1")).unwrap();
        assert_eq!(said(&mut worker), ["/a?b=c", "/a", "b=c", "GET", "1"], "{profile:?}");
    }
}
