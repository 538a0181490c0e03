//! Filters of a few lines, written in WebAssembly text so that no test waits for a compiler.
//!
//! A probe logs what the host gives it at level info, one line a call: the bytes, or two digits of status. Tests
//! read the log.

// Every test file compiles this on its own and uses another part of it.
#![allow(dead_code, unreachable_pub, missing_docs)]

use std::cell::RefCell;
use std::fmt::Write as _;
use std::sync::Arc;

use test_harness::{
    Clock, Dispatch, DispatchFailure, ExchangeId, FilterModule, HostError, LogLevel, LogLine, Node, NodeBuilder,
    Outcome, Profile, Reply, RequestHead, Step, UpstreamReply, UpstreamRequest, Worker, Zone, drive,
};

pub const BOTH: [Profile; 2] = [Profile::Kong, Profile::Envoy];
pub const CONTINUE: &str = "(i32.const 0)";
pub const PAUSE: &str = "(i32.const 1)";
pub const YES: &str = "(i32.const 1)";

const IMPORTS: &[(&str, &str, &str)] = &[
    ("log", "proxy_log", "i32 i32 i32"),
    ("now", "proxy_get_current_time_nanoseconds", "i32"),
    ("set_tick", "proxy_set_tick_period_milliseconds", "i32"),
    ("effective", "proxy_set_effective_context", "i32"),
    ("buffer", "proxy_get_buffer_bytes", "i32 i32 i32 i32 i32"),
    ("pairs", "proxy_get_header_map_pairs", "i32 i32 i32"),
    ("set_pairs", "proxy_set_header_map_pairs", "i32 i32 i32"),
    ("value", "proxy_get_header_map_value", "i32 i32 i32 i32 i32"),
    ("add", "proxy_add_header_map_value", "i32 i32 i32 i32 i32"),
    ("replace", "proxy_replace_header_map_value", "i32 i32 i32 i32 i32"),
    ("remove", "proxy_remove_header_map_value", "i32 i32 i32"),
    ("property", "proxy_get_property", "i32 i32 i32 i32"),
    ("set_property", "proxy_set_property", "i32 i32 i32 i32"),
    ("continue", "proxy_continue_stream", "i32"),
    ("respond", "proxy_send_local_response", "i32 i32 i32 i32 i32 i32 i32 i32"),
    ("http_call", "proxy_http_call", "i32 i32 i32 i32 i32 i32 i32 i32 i32 i32"),
    ("get_shared", "proxy_get_shared_data", "i32 i32 i32 i32 i32"),
    ("set_shared", "proxy_set_shared_data", "i32 i32 i32 i32 i32"),
    ("define", "proxy_define_metric", "i32 i32 i32 i32"),
    ("get_metric", "proxy_get_metric", "i32 i32"),
    ("record", "proxy_record_metric", "i32 i64"),
    ("increment", "proxy_increment_metric", "i32 i64"),
];

/// The library every probe has. Memory: results at 16 (pointer), 20 (length), 24 (CAS, token or id), digits at 32.
const PRELUDE: &str = r#"
  (memory (export "memory") 16)
  (global $top (mut i32) (i32.const 524288))
  (global $count (mut i32) (i32.const 0))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param $n i32) (result i32)
    (global.get $top)
    (global.set $top (i32.add (global.get $top) (i32.add (local.get $n) (i32.const 8)))))
  (func $say (param $n i32)
    (i32.store8 (i32.const 32) (i32.add (i32.const 48) (i32.rem_u (i32.div_u (local.get $n) (i32.const 10)) (i32.const 10))))
    (i32.store8 (i32.const 33) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
    (drop (call $log (i32.const 2) (i32.const 32) (i32.const 2))))
  (func $show (param $status i32)
    (if (local.get $status)
      (then (call $say (local.get $status)))
      (else (drop (call $log (i32.const 2) (i32.load (i32.const 16)) (i32.load (i32.const 20))))))
    (i64.store (i32.const 16) (i64.const 0)))
  (func $list (param $map i32)
    (local $at i32) (local $skip i32)
    (drop (call $pairs (local.get $map) (i32.const 16) (i32.const 20)))
    (local.set $at (i32.load (i32.const 16)))
    (local.set $skip (i32.add (i32.const 4) (i32.mul (i32.load (local.get $at)) (i32.const 8))))
    (drop (call $log (i32.const 2) (i32.add (local.get $at) (local.get $skip)) (i32.sub (i32.load (i32.const 20)) (local.get $skip)))))
"#;

const CALLBACKS: &[(&str, &str, Option<&str>)] = &[
    ("proxy_on_context_create", "i32 i32", None),
    ("proxy_on_vm_start", "i32 i32", Some(YES)),
    ("proxy_on_configure", "i32 i32", Some(YES)),
    ("proxy_on_tick", "i32", None),
    ("proxy_on_request_headers", "i32 i32 i32", Some(CONTINUE)),
    ("proxy_on_request_body", "i32 i32 i32", Some(CONTINUE)),
    ("proxy_on_response_headers", "i32 i32 i32", Some(CONTINUE)),
    ("proxy_on_http_call_response", "i32 i32 i32 i32 i32", None),
    ("proxy_on_done", "i32", Some(YES)),
    ("proxy_on_log", "i32", None),
    ("proxy_on_delete", "i32", None),
];

/// A probe being written.
#[derive(Default)]
pub struct Probe {
    data: RefCell<Vec<u8>>,
    bodies: Vec<(&'static str, String, Option<String>)>,
    imports: String,
    missing: Vec<&'static str>,
}

impl Probe {
    pub fn new() -> Self {
        Self::default()
    }

    /// A literal's address and length.
    pub fn text(&self, text: impl AsRef<[u8]>) -> String {
        let mut data = self.data.borrow_mut();
        let at = 1024 + data.len();
        data.extend_from_slice(text.as_ref());
        format!("(i32.const {at}) (i32.const {})", text.as_ref().len())
    }

    pub fn say(&self, text: &str) -> String {
        format!("(drop (call $log (i32.const 2) {}))", self.text(text))
    }

    /// Logs a header of a map: 0 request, 2 response, 6 call response.
    pub fn show_header(&self, map: u32, name: &str) -> String {
        format!("(call $show (call $value (i32.const {map}) {} (i32.const 16) (i32.const 20)))", self.text(name))
    }

    /// Logs a whole map in one line: names and values, a zero after each. [`listed`] takes it apart.
    pub fn list_headers(&self, map: u32) -> String {
        format!("(call $list (i32.const {map}))")
    }

    /// Puts a whole map in the place of the old one.
    pub fn set_headers(&self, map: u32, headers: &[(&str, &str)]) -> String {
        format!("(call $say (call $set_pairs (i32.const {map}) {}))", self.text(marshal(headers)))
    }

    pub fn edit(&self, how: &str, map: u32, name: &str, value: &str) -> String {
        format!("(call $say (call ${how} (i32.const {map}) {} {}))", self.text(name), self.text(value))
    }

    pub fn remove(&self, map: u32, name: &str) -> String {
        format!("(call $say (call $remove (i32.const {map}) {}))", self.text(name))
    }

    pub fn show_property(&self, path: &str) -> String {
        let path = self.text(path.replace('.', "\0"));
        format!("(call $show (call $property {path} (i32.const 16) (i32.const 20)))")
    }

    pub fn set_property(&self, path: &str, value: &str) -> String {
        format!("(call $say (call $set_property {} {}))", self.text(path.replace('.', "\0")), self.text(value))
    }

    /// Reads shared data; the CAS stays at 24.
    pub fn show_shared(&self, key: &str) -> String {
        let key = self.text(key);
        format!("(call $show (call $get_shared {key} (i32.const 16) (i32.const 20) (i32.const 24)))")
    }

    /// Writes shared data with a CAS: a number, or "held" for the one last read.
    pub fn set_shared(&self, key: &str, value: Option<&str>, cas: &str) -> String {
        let value = value.map_or("(i32.const 0) (i32.const 0)".to_owned(), |value| self.text(value));
        let cas = if cas == "held" { "(i32.load (i32.const 24))".to_owned() } else { format!("(i32.const {cas})") };
        format!("(call $say (call $set_shared {} {value} {cas}))", self.text(key))
    }

    pub fn respond(&self, status: u16, body: &str, headers: &[(&str, &str)]) -> String {
        let (body, map) = (self.text(body), self.text(marshal(headers)));
        format!("(call $say (call $respond (i32.const {status}) {} {body} {map} (i32.const -1)))", self.text("why"))
    }

    pub fn call(&self, target: &str, headers: &[(&str, &str)], timeout: u32) -> String {
        let (target, map) = (self.text(target), self.text(marshal(headers)));
        let rest =
            format!("(i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const {timeout}) (i32.const 24)");
        format!("(call $say (call $http_call {target} {map} {rest}))")
    }

    /// A call that is in order on both hosts.
    pub fn good_call(&self) -> String {
        self.call("peer", &[(":method", "GET"), (":path", "/"), (":authority", "peer")], 1000)
    }

    /// Runs the body when the request has that header.
    pub fn if_header(&self, name: &str, body: &str) -> String {
        let name = self.text(name);
        let found = format!("(i32.eqz (call $value (i32.const 0) {name} (i32.const 16) (i32.const 20)))");
        format!("(if {found} (then {body}))")
    }

    pub fn on(mut self, callback: &'static str, body: impl Into<String>) -> Self {
        self.bodies.push((callback, body.into(), None));
        self
    }

    /// A callback with another result than the usual one.
    pub fn on_returning(mut self, callback: &'static str, body: impl Into<String>, result: &str) -> Self {
        self.bodies.push((callback, body.into(), Some(result.to_owned())));
        self
    }

    /// Leaves a callback out.
    pub fn without(mut self, callback: &'static str) -> Self {
        self.missing.push(callback);
        self
    }

    pub fn import(mut self, line: &str) -> Self {
        self.imports.push_str(line);
        self
    }

    pub fn build(self) -> Arc<FilterModule> {
        let mut wat = String::from("(module\n");
        for (name, import, parameters) in IMPORTS {
            let _ = writeln!(wat, "(import \"env\" \"{import}\" (func ${name} (param {parameters}) (result i32)))");
        }
        let _ = writeln!(wat, "{}{PRELUDE}", self.imports);
        for (name, parameters, usual) in CALLBACKS.iter().filter(|(name, ..)| !self.missing.contains(name)) {
            let own = self.bodies.iter().find(|(callback, ..)| callback == name);
            let body = own.map_or("", |(_, body, _)| body.as_str());
            let result = own.and_then(|(_, _, result)| result.as_deref()).or(*usual);
            let kind = if usual.is_some() { "(result i32)" } else { "" };
            let _ = writeln!(
                wat,
                "(func (export \"{name}\") (param {parameters}) {kind} {body} {})",
                result.filter(|_| usual.is_some()).unwrap_or("")
            );
        }
        let data: String = self.data.borrow().iter().map(|byte| format!("\\{byte:02x}")).collect();
        let _ = writeln!(wat, "(data (i32.const 1024) \"{data}\"))");
        FilterModule::from_bytes("probe", wat).expect("the probe compiles")
    }
}

pub fn marshal(headers: &[(&str, &str)]) -> Vec<u8> {
    let word = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
    let mut out = word(headers.len()).to_vec();
    for (name, value) in headers {
        out.extend(word(name.len()));
        out.extend(word(value.len()));
    }
    for (name, value) in headers {
        out.extend(name.bytes().chain([0]).chain(value.bytes()).chain([0]));
    }
    out
}

pub fn node(profile: Profile) -> NodeBuilder {
    Node::builder(profile)
        .zones([Zone::default_zone(1 << 20)])
        .clock(Clock::Manual(1_700_000_000_000))
        .filter_name("backstage_kong")
}

pub fn start(profile: Profile, probe: Probe) -> Worker {
    start_on(&node(profile).build(), probe)
}

pub fn start_on(node: &Node, probe: Probe) -> Worker {
    Worker::start(node, &probe.build(), &[("route".to_owned(), b"{}".to_vec())]).expect("the probe starts")
}

/// What a probe has said, forgetting it.
pub fn said(worker: &mut Worker) -> Vec<String> {
    lines(&worker.take_logs(), LogLevel::Info)
}

/// The values of a name in a line of [`Probe::list_headers`].
pub fn listed(line: &str, name: &str) -> Vec<String> {
    let texts: Vec<&str> = line.split('\0').collect();
    let pairs = texts.chunks_exact(2).filter(|pair| pair[0].eq_ignore_ascii_case(name));
    pairs.map(|pair| pair[1].to_owned()).collect()
}

/// The values that the upstream got under a name, a line each.
pub fn sent(request: &UpstreamRequest, name: &str) -> Vec<String> {
    let lines = request.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
    lines.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
}

pub fn lines(logs: &[LogLine], level: LogLevel) -> Vec<String> {
    logs.iter().filter(|line| line.level == level).map(|line| line.text.clone()).collect()
}

pub fn begin(worker: &mut Worker, head: RequestHead) -> (ExchangeId, Step) {
    worker.begin("route", head).expect("the worker lives")
}

/// Runs a plain request whose calls all fail and whose upstream answers 200.
pub fn get(worker: &mut Worker) -> Result<Outcome, HostError> {
    request(worker, RequestHead::get("/"))
}

pub fn request(worker: &mut Worker, head: RequestHead) -> Result<Outcome, HostError> {
    drive(worker, "route", head, &mut |_: &Dispatch| Err(DispatchFailure::Timeout), &mut ok)
}

pub fn ok(_: &UpstreamRequest) -> UpstreamReply {
    UpstreamReply { status: 200, headers: vec![("content-length".into(), b"5".to_vec())], body: b"hello".to_vec() }
}

pub fn reply(status: u16) -> Result<Reply, DispatchFailure> {
    Ok(Reply::new(status, "body"))
}

pub fn calls(step: Step) -> Vec<Dispatch> {
    match step {
        Step::Dispatch(calls) => calls,
        other => panic!("not paused on calls: {other:?}"),
    }
}
