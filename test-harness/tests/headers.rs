//! Headers, bodies and local responses. Numbers are those of the facts about Kong's Wasm host.

// The helpers of tests are tests too, which the lints' own exception does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use support::{BOTH, Probe, begin, get, lines, listed, node, request, said, sent, start, start_on};
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
        ]
        .concat();
        let mut worker = start(profile, probe.on("proxy_on_request_headers", body));
        let sent = request(&mut worker, RequestHead::get("/a?b")).unwrap().upstream.unwrap();
        assert_eq!((sent.path.as_str(), sent.authority.as_str()), (path, authority), "{profile:?}");
        assert_eq!(sent.header("x-added"), Some("1"), "{profile:?}");
    }
}

/// Something a filter does to a header of that map and name.
type Edit = fn(&Probe, u32, &str) -> String;

const REQUEST: u32 = 0;
const RESPONSE: u32 = 2;

const REMOVE: Edit = |p, map, name| p.remove(map, name);
const SET: Edit = |p, map, name| p.edit("replace", map, name, "new");
const SET_EMPTY: Edit = |p, map, name| p.edit("replace", map, name, "");
const ADD: Edit = |p, map, name| p.edit("add", map, name, "new");
const REMOVE_AND_SET: Edit = |p, map, name| p.remove(map, name) + &p.edit("replace", map, name, "new");
const REMOVE_AND_ADD: Edit = |p, map, name| p.remove(map, name) + &p.edit("add", map, name, "new");
const SET_TWICE: Edit = |p, map, name| p.edit("replace", map, name, "old") + &p.edit("replace", map, name, "new");
const SET_ALL: Edit = |p, map, name| p.set_headers(map, &[(name, "new")]);

/// What became of a header that a filter has edited, a value a line: what the upstream got, what the filter then listed, what it
/// then read by name.
type Became = (Vec<String>, Vec<String>, String);

fn owned(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn edited(profile: Profile, name: &str, values: &[&str], edit: Edit) -> Became {
    let probe = Probe::new();
    let body = edit(&probe, REQUEST, name) + &probe.list_headers(REQUEST) + &probe.show_header(REQUEST, name);
    let mut worker = start(profile, probe.on("proxy_on_request_headers", body));
    let head = values.iter().fold(RequestHead::get("/"), |head, value| head.header(name, *value));
    let outcome = request(&mut worker, head).unwrap();
    let mut said = said(&mut worker);
    let (read, list) = (said.pop().unwrap(), said.pop().unwrap());
    assert!(said.iter().all(|status| status == "00"), "the filter is not told: {said:?}");
    (sent(&outcome.upstream.unwrap(), name), listed(&list, name), read)
}

// Fact 36, its table.
#[test]
fn kong_sends_what_a_filter_has_removed_and_sets_only_the_first_line() {
    for (edit, what, one, two) in [
        (REMOVE, "remove", &["client"][..], &["client1", "client2"][..]),
        (SET, "set", &["new"], &["new", "client2"]),
        (SET_EMPTY, "set to nothing", &[""], &["", "client2"]),
        (REMOVE_AND_SET, "remove, then set", &["client", "new"], &["client1", "client2", "new"]),
        (SET_ALL, "set the whole map", &["client", "new"], &["client1", "client2", "new"]),
    ] {
        for name in ["x-tag", "X-Consumer-Username", "x_tag", "cookie", "baggage"] {
            for (values, sent) in [(&["client"][..], one), (&["client1", "client2"], two)] {
                assert_eq!(edited(Profile::Kong, name, values, edit).0, sent, "{what} {name}");
            }
        }
    }
}

#[test]
fn envoy_removes_headers_and_sets_all_of_their_lines() {
    for (edit, what, left) in [
        (REMOVE, "remove", &[][..]),
        (SET, "set", &["new"]),
        (SET_EMPTY, "set to nothing", &[""]),
        (REMOVE_AND_SET, "remove, then set", &["new"]),
        (SET_ALL, "set the whole map", &["new"]),
    ] {
        for values in [&["client"][..], &["client1", "client2"]] {
            let (sent, listed, _) = edited(Profile::Envoy, "x-tag", values, edit);
            assert_eq!((sent, listed), (owned(left), owned(left)), "{what}");
        }
    }
}

// Fact 36, and the source of the module: a removed line keeps its place without its hash. Listing passes it over, looking it up by
// name does not, and setting does not find it again.
#[test]
fn what_a_filter_on_kong_sees_is_not_what_is_sent() {
    for (edit, values, sent, listed, read) in [
        (REMOVE, &["client"][..], &["client"][..], &[][..], "client"),
        (REMOVE, &["client1", "client2"], &["client1", "client2"], &[], "client1"),
        (REMOVE_AND_SET, &["client"], &["client", "new"], &["new"], "client"),
        (SET, &["client"], &["new"], &["new"], "new"),
        // Setting the first of two lines takes the hash off both.
        (SET, &["client1", "client2"], &["new", "client2"], &[], "new"),
        (SET_TWICE, &["client"], &["new"], &["new"], "new"),
        (SET_TWICE, &["client1", "client2"], &["old", "client2", "new"], &["new"], "old"),
        (ADD, &["client"], &["client", "new"], &["client", "new"], "client"),
        (SET, &[], &["new"], &["new"], "new"),
    ] {
        let became = edited(Profile::Kong, "x-tag", values, edit);
        assert_eq!(became, (owned(sent), owned(listed), read.to_owned()), "{values:?}");
    }
}

// Fact 36. nginx keeps a pointer to the first line of these names.
#[test]
fn a_removed_authorization_is_sent_by_kong_and_comes_back_when_it_is_set() {
    for (edit, sent, listed) in [
        (REMOVE, &["client"][..], &[][..]),
        (SET, &["new"], &["new"]),
        (SET_EMPTY, &[""], &[""]),
        (REMOVE_AND_SET, &["new"], &["new"]),
        (SET_ALL, &["new"], &["new"]),
        // "cannot add new builtin request header".
        (REMOVE_AND_ADD, &["client"], &[]),
        (ADD, &["client"], &["client"]),
    ] {
        let (got, list, _) = edited(Profile::Kong, "authorization", &["client"], edit);
        assert_eq!((got, list), (owned(sent), owned(listed)));
    }
}

// Measured with fact 36: setting a response header that stands twice leaves none of it, on Kong.
#[test]
fn kong_loses_a_response_header_of_two_lines_that_is_set() {
    for (profile, values, what, left) in [
        (Profile::Kong, &["a"][..], SET, &["new"][..]),
        (Profile::Kong, &["a", "b"], SET, &[]),
        (Profile::Kong, &["a", "b"], SET_TWICE, &["new"]),
        (Profile::Kong, &["a", "b"], REMOVE_AND_SET, &["new"]),
        (Profile::Kong, &["a", "b"], SET_ALL, &["new"]),
        (Profile::Kong, &["a", "b"], REMOVE, &[]),
        (Profile::Envoy, &["a", "b"], SET, &["new"]),
    ] {
        let probe = Probe::new();
        let body = what(&probe, RESPONSE, "x-two");
        let mut worker = start(profile, probe.on("proxy_on_response_headers", body));
        let (id, _) = begin(&mut worker, RequestHead::get("/"));
        let lines = values.iter().map(|value| ("x-two".to_owned(), value.as_bytes().to_vec())).collect();
        let ResponseStep::Respond(head) = worker.response(id, 200, lines).unwrap() else { panic!("hung") };
        let got: Vec<_> = head.headers.iter().map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect();
        assert_eq!(got, owned(left), "{profile:?} {values:?}");
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

const SHOW_BODY: &str =
    "(call $show (call $buffer (i32.const 0) (i32.const 0) (i32.const 99999) (i32.const 16) (i32.const 20)))";

#[test]
fn a_body_is_seen_in_one_piece_after_the_headers() {
    for profile in BOTH {
        let mut worker = start(profile, Probe::new().on("proxy_on_request_body", SHOW_BODY));
        let (id, step) = begin(&mut worker, RequestHead::new("POST", "/").body("hello"));
        let Step::Forward(sent) = step else { panic!("{step:?}") };
        assert_eq!((said(&mut worker), sent.body), (vec!["hello".to_owned()], b"hello".to_vec()), "{profile:?}");
        worker.abort(id).unwrap();
    }
}

// Fact 43.
#[test]
fn a_request_can_be_denied_for_its_body() {
    for profile in BOTH {
        let probe = Probe::new();
        let body = SHOW_BODY.to_owned() + &probe.respond(403, "no", &[]);
        let mut worker = start(profile, probe.on_returning("proxy_on_request_body", body, support::PAUSE));
        let outcome = request(&mut worker, RequestHead::new("POST", "/").body("hello")).unwrap();
        assert_eq!((outcome.status, outcome.upstream), (403, None), "{profile:?}");
        assert_eq!(said(&mut worker)[0], "hello", "{profile:?}");
    }
}

// Fact 50.
#[test]
fn kong_keeps_a_large_body_in_a_file_out_of_the_filters_reach() {
    for (profile, size, errors, read) in
        [(Profile::Kong, 8192, 0, true), (Profile::Kong, 8193, 1, false), (Profile::Envoy, 8193, 0, true)]
    {
        let probe = Probe::new();
        let body = SHOW_BODY.to_owned() + &probe.if_header("x-deny", &probe.respond(403, "no", &[]));
        let mut worker = start(profile, probe.on("proxy_on_request_body", body));
        let post = || RequestHead::new("POST", "/").body("b".repeat(size));
        let outcome = request(&mut worker, post()).unwrap();
        assert_eq!(outcome.upstream.unwrap().body.len(), size, "{profile:?} {size}");
        assert_eq!(lines(&outcome.logs, LogLevel::Error).len(), errors, "{profile:?} {size}");
        assert_eq!(lines(&outcome.logs, LogLevel::Info)[0] != "01", read, "{profile:?} {size}");
        let outcome = request(&mut worker, post().header("x-deny", "1")).unwrap();
        assert_eq!((outcome.status, outcome.upstream), (403, None), "a denial works: {profile:?} {size}");
    }
    for (profile, text) in [(Profile::Kong, "01"), (Profile::Envoy, "hello")] {
        let mut worker = start(profile, Probe::new().on("proxy_on_request_headers", SHOW_BODY));
        request(&mut worker, RequestHead::new("POST", "/").body("hello")).unwrap();
        assert_eq!(said(&mut worker), [text], "before its phase: {profile:?}");
    }
    let small = node(Profile::Kong).client_body_buffer_size(4).build();
    let mut worker = start_on(&small, Probe::new().on("proxy_on_request_body", SHOW_BODY));
    request(&mut worker, RequestHead::new("POST", "/").body("hello")).unwrap();
    assert_eq!(said(&mut worker), ["01"]);
}
