//! Headers, local responses and properties. Numbers are those of the facts about Kong's Wasm host.

// The helpers of tests are tests too, which the lints' own exception does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use support::{BOTH, Probe, begin, get, lines, node, request, said, start, start_on};
use test_harness::{LogLevel, Profile, RequestHead, ResponseStep, Step};

/// Logs how many bytes the whole map takes, then reads its last name the way the SDK does: from the lengths.
fn walks_the_map() -> Probe {
    let walk = "
        (local $count i32) (local $base i32) (local $need i32) (local $n i32)
        (drop (call $pairs (i32.const 0) (i32.const 16) (i32.const 20)))
        (local.set $base (i32.load (i32.const 16)))
        (local.set $count (i32.load (local.get $base)))
        (local.set $need (i32.add (i32.const 4) (i32.mul (local.get $count) (i32.const 8))))
        (loop $next
          (local.set $need (i32.add (local.get $need) (i32.add (i32.const 2) (i32.add
            (i32.load (i32.add (local.get $base) (i32.add (i32.const 4) (i32.mul (local.get $n) (i32.const 8)))))
            (i32.load (i32.add (local.get $base) (i32.add (i32.const 8) (i32.mul (local.get $n) (i32.const 8)))))))))
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (br_if $next (i32.lt_u (local.get $n) (local.get $count))))
        (if (i32.gt_u (local.get $need) (i32.load (i32.const 20))) (then unreachable))";
    Probe::new().on("proxy_on_request_headers", walk)
}

// Fact 23.
#[test]
fn kongs_map_is_mis_sized_past_a_hundred_pairs() {
    for (profile, headers, status) in
        [(Profile::Kong, 90, 200), (Profile::Kong, 98, 500), (Profile::Kong, 120, 500), (Profile::Envoy, 120, 200)]
    {
        let mut worker = start(profile, walks_the_map());
        let path = format!("/{}", "long".repeat(20));
        let head = (0..headers).fold(RequestHead::get(path), |head, n| head.header(format!("x-{n}"), "v"));
        assert_eq!(request(&mut worker, head).unwrap().status, status, "{profile:?} {headers}");
    }
}

// Fact 24.
#[test]
fn authority_is_the_servers_name_on_kong_and_the_clients_on_envoy() {
    for (profile, authority, property) in
        [(Profile::Kong, "gateway:8000", "machine"), (Profile::Envoy, "shop.test", "shop.test")]
    {
        let probe = Probe::new();
        let body =
            probe.show_header(0, ":authority") + &probe.show_header(0, "host") + &probe.show_property("request.host");
        let node = node(profile).server_name("gateway:8000").build();
        let mut worker = start_on(&node, probe.on("proxy_on_request_headers", body));
        let mut head = RequestHead::get("/");
        head.authority = "shop.test".to_owned();
        request(&mut worker, head).unwrap();
        assert_eq!(said(&mut worker), [authority, "shop.test", property], "{profile:?}");
    }
}

// Fact 24.
#[test]
fn setting_path_scheme_and_host_changes_what_is_sent_on_envoy_only() {
    for (profile, path, authority) in
        [(Profile::Kong, "/a?b", "example.test"), (Profile::Envoy, "/other", "other.test")]
    {
        let probe = Probe::new();
        let body = [
            probe.edit("replace", 0, ":path", "/other"),
            probe.edit("replace", 0, ":scheme", "https"),
            probe.edit("replace", 0, "host", "other.test"),
            probe.edit("add", 0, "x-added", "1"),
            probe.remove(0, "x-secret"),
        ]
        .concat();
        let mut worker = start(profile, probe.on("proxy_on_request_headers", body));
        let outcome = request(&mut worker, RequestHead::get("/a?b").header("X-Secret", "s")).unwrap();
        let sent = outcome.upstream.unwrap();
        assert_eq!((sent.path.as_str(), sent.authority.as_str()), (path, authority), "{profile:?}");
        assert_eq!((sent.header("x-added"), sent.header("x-secret")), (Some("1"), None), "{profile:?}");
    }
}

// Read in the source of the module: its look-up does not see that nginx has marked a header as gone.
#[test]
fn a_removed_header_is_not_sent_but_still_read_on_kong() {
    for (profile, read) in [(Profile::Kong, "s"), (Profile::Envoy, "01")] {
        let probe = Probe::new();
        let body = probe.remove(0, "x-secret") + &probe.show_header(0, "x-secret");
        let mut worker = start(profile, probe.on("proxy_on_request_headers", body));
        let outcome = request(&mut worker, RequestHead::get("/").header("x-secret", "s")).unwrap();
        assert_eq!(outcome.upstream.unwrap().header("x-secret"), None);
        assert_eq!(said(&mut worker), ["00", read], "{profile:?}");
    }
}

// Read in the source of the module: nginx's own headers have one slot each, which a removal leaves occupied.
#[test]
fn kong_can_set_but_not_add_an_authorization_it_has_removed() {
    for (how, profile, sent) in [
        ("add", Profile::Kong, None),
        ("replace", Profile::Kong, Some("new")),
        ("add", Profile::Envoy, Some("new")),
        ("replace", Profile::Envoy, Some("new")),
    ] {
        let probe = Probe::new();
        let body = probe.remove(0, "authorization") + &probe.edit(how, 0, "authorization", "new");
        let mut worker = start(profile, probe.on("proxy_on_request_headers", body));
        let outcome = request(&mut worker, RequestHead::get("/").header("authorization", "old")).unwrap();
        assert_eq!(outcome.upstream.unwrap().header("authorization"), sent, "{profile:?} {how}");
        assert_eq!(said(&mut worker), ["00", "00"], "the filter is not told");
    }
}

// The same look-up finds the old value first.
#[test]
fn a_header_removed_and_set_anew_is_sent_anew_but_read_as_of_old_on_kong() {
    for (profile, read) in [(Profile::Kong, "old"), (Profile::Envoy, "new")] {
        let probe = Probe::new();
        let body =
            [probe.remove(0, "x-owner"), probe.edit("replace", 0, "x-owner", "new"), probe.show_header(0, "x-owner")]
                .concat();
        let mut worker = start(profile, probe.on("proxy_on_request_headers", body));
        let outcome = request(&mut worker, RequestHead::get("/").header("x-owner", "old")).unwrap();
        assert_eq!(outcome.upstream.unwrap().header("x-owner"), Some("new"), "{profile:?}");
        assert_eq!(said(&mut worker), ["00", "00", read], "{profile:?}");
    }
}

#[test]
fn repeated_headers_read_as_the_first_on_kong_and_joined_on_envoy() {
    for (profile, read) in [(Profile::Kong, "a"), (Profile::Envoy, "a,b")] {
        let probe = Probe::new();
        let body = probe.show_header(0, "X-Team");
        let mut worker = start(profile, probe.on("proxy_on_request_headers", body));
        let head = RequestHead::get("/").header("x-team", "a").header("x-team", "b");
        assert_eq!(request(&mut worker, head).unwrap().upstream.unwrap().headers.len(), 2);
        assert_eq!(said(&mut worker), [read], "{profile:?}");
    }
}

// nginx takes Authorization, Host and some others once only.
#[test]
fn two_authorization_lines_are_refused_before_the_filter_on_kong() {
    for (profile, status, ran) in [(Profile::Kong, 400, 0), (Profile::Envoy, 200, 1)] {
        let probe = Probe::new();
        let body = probe.show_header(0, "authorization");
        let mut worker = start(profile, probe.on("proxy_on_request_headers", body));
        let head = RequestHead::get("/").header("authorization", "a").header("Authorization", "b");
        let outcome = request(&mut worker, head).unwrap();
        let said = said(&mut worker).iter().filter(|line| *line == "a,b").count();
        assert_eq!((outcome.status, said), (status, ran), "{profile:?}");
    }
}

// Fact 21.
#[test]
fn a_local_response_gets_a_newline_and_loses_repeated_headers_on_kong() {
    for (profile, body, challenges, length) in
        [(Profile::Kong, "no\n", vec!["B"], "3"), (Profile::Envoy, "no", vec!["A", "B"], "2")]
    {
        let probe = Probe::new();
        let deny = probe.respond(401, "no", &[("www-authenticate", "A"), ("www-authenticate", "B")]);
        let (response, log) = (probe.say("response"), probe.say("log"));
        let probe = probe
            .on_returning("proxy_on_request_headers", deny, support::PAUSE)
            .on("proxy_on_response_headers", response)
            .on("proxy_on_log", log);
        let outcome = get(&mut start(profile, probe)).unwrap();
        assert_eq!((outcome.status, outcome.text().as_str()), (401, body), "{profile:?}");
        let values = outcome.headers.iter().filter(|(name, _)| name == "www-authenticate");
        let values: Vec<_> = values.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect();
        assert_eq!(values, challenges, "{profile:?}");
        assert_eq!(outcome.header("content-length"), Some(length), "{profile:?}");
        assert_eq!(lines(&outcome.logs, LogLevel::Info), ["00", "response", "log"], "{profile:?}");
        assert!(outcome.upstream.is_none());
    }
}

#[test]
fn a_second_local_response_traps_on_kong() {
    let probe = Probe::new();
    let twice = probe.respond(401, "", &[]) + &probe.respond(403, "", &[]);
    let probe = probe.on_returning("proxy_on_request_headers", twice, support::PAUSE);
    assert_eq!(get(&mut start(Profile::Kong, probe)).unwrap().status, 500);
}

// Fact 22.
#[test]
fn a_response_replaced_on_kong_needs_its_content_length_removed() {
    for (profile, removed, hangs) in
        [(Profile::Kong, false, true), (Profile::Kong, true, false), (Profile::Envoy, false, false)]
    {
        let probe = Probe::new();
        let remove = if removed { probe.remove(2, "content-length") } else { String::new() };
        let body = remove + &probe.respond(503, "a longer text", &[("x-lost", "1")]);
        let mut worker = start(profile, probe.on("proxy_on_response_headers", body));
        let outcome = get(&mut worker).unwrap();
        assert_eq!(outcome.hung, hangs, "{profile:?} {removed}");
        if !hangs {
            assert_eq!((outcome.status, outcome.text().trim_end()), (503, "a longer text"));
            assert_eq!(outcome.header("x-lost").is_some(), profile == Profile::Envoy, "Kong ignores the headers");
        }
    }
}

// Fact 22.
#[test]
fn response_phases_cannot_pause_on_kong() {
    let probe = Probe::new().on_returning("proxy_on_response_headers", "", support::PAUSE);
    let mut worker = start(Profile::Kong, probe);
    let (id, _) = begin(&mut worker, RequestHead::get("/"));
    assert_eq!(worker.response(id, 200, Vec::new()).unwrap(), ResponseStep::Hung);
}

// Fact 26.
#[test]
fn kongs_properties_are_read_written_or_trap() {
    let cases: [(&str, Option<&str>, Result<&str, ()>); 12] = [
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

// Fact 28.
#[test]
fn kong_never_says_that_a_request_ends_with_its_headers() {
    for (profile, eof) in [(Profile::Kong, "00"), (Profile::Envoy, "01")] {
        let probe = Probe::new().on("proxy_on_request_headers", "(call $say (local.get 2))");
        let mut worker = start(profile, probe);
        get(&mut worker).unwrap();
        assert_eq!(said(&mut worker), [eof], "{profile:?}");
    }
}

#[test]
fn a_body_is_seen_in_one_piece_after_the_headers() {
    for profile in BOTH {
        let show =
            "(call $show (call $buffer (i32.const 0) (i32.const 0) (i32.const 99) (i32.const 16) (i32.const 20)))";
        let mut worker = start(profile, Probe::new().on("proxy_on_request_body", show));
        let (id, step) = begin(&mut worker, RequestHead::new("POST", "/").body("hello"));
        let Step::Forward(sent) = step else { panic!("{step:?}") };
        assert_eq!((said(&mut worker), sent.body), (vec!["hello".to_owned()], b"hello".to_vec()), "{profile:?}");
        worker.abort(id).unwrap();
    }
}
