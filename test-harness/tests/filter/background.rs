//! Calls beside requests, with time passing: one at a time in a worker, whatever the providers do. On Kong two at a time, or one
//! from the answer to another, kill the worker, and our host's worker dies of them too.

use super::support::{KEYS, NOW_MS, PROFILES, TICK_MS, key_set, token_by};
use super::support::{module, start_of};
use serde_json::{Value, json};
use test_harness::lab::peers::KeyKind;
use test_harness::{
    Clock, Dispatch, DispatchFailure, ExchangeId, LogLevel, Node, Profile, Reply, RequestHead, Step, Worker, Zone,
};

/// How far time moves in one step of a simulation.
const STEP_MS: u64 = 10;

/// What a peer answers, and after how many milliseconds.
type Answer = (u64, Result<Reply, DispatchFailure>);

/// A worker and the peers that it calls, as time passes.
struct Simulation<'a> {
    node: &'a Node,
    worker: Worker,
    peers: &'a dyn Fn(&Dispatch) -> Answer,
    open: Vec<Open>,
    /// When each background call was made, and whom it called.
    background: Vec<(u64, String)>,
    /// The answers that requests got.
    statuses: Vec<u16>,
}

/// A call whose answer is on its way.
struct Open {
    due: u64,
    call: Dispatch,
    result: Result<Reply, DispatchFailure>,
}

impl<'a> Simulation<'a> {
    fn new(node: &'a Node, routes: &[(&str, Value)], peers: &'a dyn Fn(&Dispatch) -> Answer) -> Self {
        let worker = start_of(&module(), node, routes);
        Self { node, worker, peers, open: Vec::new(), background: Vec::new(), statuses: Vec::new() }
    }

    /// Lets time pass, with a request each `every` milliseconds.
    fn run(&mut self, seconds: u64, every: u64, request: &dyn Fn(u64) -> RequestHead) {
        let end = self.node.now_ms() + seconds * 1000;
        while self.node.now_ms() < end {
            self.node.advance(STEP_MS);
            let now = self.node.now_ms();
            let calls = self.worker.run_due_ticks(now).unwrap();
            self.made(calls);
            self.deliver(now);
            if every > 0 && now % every < STEP_MS {
                let (id, step) = self.worker.begin("payments", request(now)).unwrap();
                self.step(id, step);
            }
        }
    }

    fn idle(&mut self, seconds: u64) {
        self.run(seconds, 0, &|_| RequestHead::get("/"));
    }

    fn deliver(&mut self, now: u64) {
        let (due, later) = std::mem::take(&mut self.open).into_iter().partition(|open| open.due <= now);
        self.open = later;
        for Open { call, result, .. } in due {
            let step = self.worker.dispatch_reply(call.token, result).unwrap();
            match call.exchange {
                Some(id) => self.step(id, step),
                None => assert!(self.worker.take_dispatches().is_empty(), "an answer makes no call"),
            }
        }
    }

    fn step(&mut self, id: ExchangeId, step: Step) {
        match step {
            Step::Dispatch(calls) => self.made(calls),
            Step::Forward(_) => {
                self.worker.response(id, 200, Vec::new()).unwrap();
                self.ended(id, 200);
            }
            Step::LocalResponse(head) => self.ended(id, head.status),
            Step::Hung | Step::Background => panic!("a request hangs"),
        }
    }

    fn ended(&mut self, id: ExchangeId, status: u16) {
        self.statuses.push(status);
        self.worker.finish(id, status).unwrap();
    }

    fn made(&mut self, calls: Vec<Dispatch>) {
        for call in calls {
            if call.exchange.is_none() {
                let others = self.open.iter().filter(|open| open.call.exchange.is_none()).count();
                assert_eq!(others, 0, "one background call at a time");
                self.background.push((self.node.now_ms(), format!("{}{}", call.target, call.path)));
            }
            let (delay, result) = (self.peers)(&call);
            // A host ends what takes longer than was asked for.
            let limit = u64::try_from(call.timeout.as_millis()).unwrap();
            let (delay, result) = if delay > limit { (limit, Err(DispatchFailure::Timeout)) } else { (delay, result) };
            self.open.push(Open { due: self.node.now_ms() + delay, call, result });
        }
    }

    /// When calls to a peer were made, in milliseconds since the start.
    fn times(&self, peer: &str) -> Vec<u64> {
        self.background.iter().filter(|(_, call)| call.contains(peer)).map(|(at, _)| at - NOW_MS).collect()
    }
}

fn node(profile: Profile) -> Node {
    let zones = ["backstage_kong_keys", "backstage_kong_quota", "backstage_kong_catalog"];
    Node::builder(profile)
        .zones(zones.map(|zone| Zone::named(zone, 4 << 20)))
        .clusters(["idp.example:443", "other.example:443", "backstage.example:80"])
        .clock(Clock::Manual(NOW_MS))
        .filter_name("backstage_kong")
        .build()
}

/// A route with two issuers on one host, both discovered, and the catalog.
fn config() -> Value {
    let issuer = |path: &str| {
        json!({
            "issuer": format!("https://idp.example{path}"), "audiences": ["payments"],
            "fetch": {"max_age_seconds": 30, "timeout_ms": 2000}
        })
    };
    json!({
        "entity": "api:default/payments",
        "catalog": {"url": "http://backstage.example", "refresh_seconds": 10, "page_size": 500},
        "issuers": [issuer(""), issuer("/two")],
    })
}

fn ok(body: Value) -> Reply {
    let mut reply = Reply::new(200, body.to_string());
    reply.headers.push(("content-type".into(), b"application/json".to_vec()));
    reply
}

/// Metadata, keys, and a catalog of 2,000 APIs in pages of 500.
fn healthy(call: &Dispatch) -> Reply {
    if call.target.starts_with("backstage") {
        return catalog(&call.path);
    }
    if let Some(issuer) = call.path.strip_suffix("/.well-known/openid-configuration") {
        let host = call.target.trim_end_matches(":443");
        let issuer = format!("https://{host}{issuer}");
        return ok(json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")}));
    }
    key_set(&KEYS)
}

fn catalog(path: &str) -> Reply {
    if path.contains("keycloak") {
        let group = |name: &str| json!({"kind": "Group", "metadata": {"name": name}});
        return ok(json!({"items": [group("payments")], "pageInfo": {}}));
    }
    let start: usize = path.split("cursor=").nth(1).map_or(0, |cursor| cursor.parse().unwrap());
    let api = |n: usize| {
        let name = if n == 0 { "payments".to_owned() } else { format!("api-{n}") };
        let owned = json!({"type": "ownedBy", "targetRef": "group:default/payments"});
        json!({"kind": "API", "metadata": {"namespace": "default", "name": name}, "relations": [owned]})
    };
    let items: Vec<_> = (start..start + 500).map(api).collect();
    let info = if start + 500 < 2000 { json!({"nextCursor": (start + 500).to_string()}) } else { json!({}) };
    ok(json!({"items": items, "pageInfo": info}))
}

fn request(nth: u64) -> RequestHead {
    let exp = NOW_MS / 1000 + 3600;
    let token = token_by(&KEYS, KeyKind::EdDsa, json!({"groups": ["payments"], "jti": nth.to_string(), "exp": exp}));
    RequestHead::get("/payments/42").header("authorization", format!("Bearer {token}"))
}

fn catalogs_read(worker: &Worker) -> usize {
    worker.logs().iter().filter(|line| line.level == LogLevel::Info && line.text.contains("2000 entities")).count()
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn keys_and_a_catalog_of_two_thousand_are_there_a_second_after_the_start() {
    for profile in PROFILES {
        let node = node(profile);
        let peers = |call: &Dispatch| (5, Ok(healthy(call)));
        let mut simulation = Simulation::new(&node, &[("payments", config())], &peers);
        simulation.idle(1);
        // Two metadata documents, two key sets, the groups and four pages.
        assert_eq!(simulation.background.len(), 9, "{profile:?}: {:?}", simulation.background);
        assert_eq!(catalogs_read(&simulation.worker), 1, "{profile:?}");
        let calls = simulation.background.len() as u64;
        let last = simulation.background.last().unwrap().0 - NOW_MS;
        assert!(last <= calls * TICK_MS, "{profile:?}: {last} ms");
        simulation.run(1, 100, &request);
        assert!(simulation.statuses.iter().all(|status| *status == 200), "{profile:?}: {:?}", simulation.statuses);
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_minute_of_idling_and_two_under_load_keep_the_times_and_the_worker() {
    for profile in PROFILES {
        let node = node(profile);
        let peers = |call: &Dispatch| (30, Ok(healthy(call)));
        let mut simulation = Simulation::new(&node, &[("payments", config())], &peers);
        simulation.idle(60);
        simulation.run(120, 50, &request);
        assert_eq!(simulation.worker.died_of(), None, "{profile:?}");
        assert!(simulation.statuses.iter().all(|status| *status == 200), "{profile:?}");
        assert_eq!(simulation.statuses.len(), 2400);
        for set in ["example:443/keys", "example:443/two/keys"] {
            let gaps: Vec<_> = simulation.times(set).windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(gaps.iter().all(|gap| (18_000..=30_000).contains(gap)), "{profile:?} {set}: {gaps:?}");
        }
        let groups = simulation.times("keycloak");
        let gaps: Vec<_> = groups.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| (4_000..=10_500).contains(gap)), "{profile:?}: {gaps:?}");
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_provider_that_hangs_does_not_keep_others_from_their_times() {
    for profile in PROFILES {
        let node = node(profile);
        let peers = |call: &Dispatch| {
            let hangs = call.target.starts_with("other");
            (if hangs { u64::MAX } else { 5 }, Ok(healthy(call)))
        };
        let mut with_third = config();
        let third =
            json!({"issuer": "https://other.example", "audiences": ["payments"], "fetch": {"timeout_ms": 2000}});
        with_third["issuers"].as_array_mut().unwrap().push(third);
        let mut simulation = Simulation::new(&node, &[("payments", with_third)], &peers);
        simulation.run(120, 100, &request);
        assert_eq!(simulation.worker.died_of(), None, "{profile:?}");
        // The first requests come before the catalog does.
        let late = simulation.statuses.iter().skip(100).filter(|status| **status != 200).count();
        assert_eq!(late, 0, "{profile:?}: {:?}", simulation.statuses);
        let gaps: Vec<_> = simulation.times("example:443/two/keys").windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| *gap <= 30_000), "{profile:?}: {gaps:?}");
        let gaps: Vec<_> = simulation.times("keycloak").windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| *gap <= 13_000), "{profile:?}: {gaps:?}");
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_call_that_is_never_answered_is_given_up_after_a_minute() {
    for profile in PROFILES {
        let node = node(profile);
        let peers = |call: &Dispatch| (5, Ok(healthy(call)));
        let mut simulation = Simulation::new(&node, &[("payments", config())], &peers);
        node.advance(TICK_MS);
        let lost = simulation.worker.run_due_ticks(node.now_ms()).unwrap();
        assert_eq!(lost.len(), 1);
        simulation.idle(59);
        assert_eq!(simulation.background.len(), 0, "{profile:?}");
        simulation.idle(30);
        assert_eq!(catalogs_read(&simulation.worker), 1, "{profile:?}: others go on");
        assert!(
            simulation.times("idp.example").is_empty(),
            "{profile:?}: two calls at a time to one name kill a worker of Kong"
        );
        // The host ends the call after all.
        simulation.worker.dispatch_reply(lost[0].token, Ok(Reply::new(500, "late"))).unwrap();
        simulation.idle(60);
        simulation.run(1, 100, &request);
        assert!(simulation.statuses.iter().all(|status| *status == 200), "{profile:?}: {:?}", simulation.statuses);
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn a_request_that_looks_up_what_a_tick_fetches_is_served() {
    for profile in PROFILES {
        let node = node(profile);
        let peers = |call: &Dispatch| (500, Ok(healthy(call)));
        let mut simulation = Simulation::new(&node, &[("payments", config())], &peers);
        simulation.run(8, 40, &request);
        assert_eq!(simulation.worker.died_of(), None, "{profile:?}");
        // While nothing is there, requests wait for their own look-up or are told to retry; then all pass.
        let late = &simulation.statuses[simulation.statuses.len() - 50..];
        assert!(late.iter().all(|status| *status == 200), "{profile:?}: {:?}", simulation.statuses);
        assert!(simulation.statuses.iter().all(|status| matches!(status, 200 | 503)), "{profile:?}");
    }
}

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn an_idle_tick_costs_next_to_nothing() {
    for profile in PROFILES {
        let node = node(profile);
        let peers = |call: &Dispatch| (5, Ok(healthy(call)));
        let mut simulation = Simulation::new(&node, &[("payments", config())], &peers);
        simulation.idle(2);
        let before = simulation.worker.background_report().clone();
        // Short of the next survey, which comes each five seconds.
        simulation.idle(1);
        let after = simulation.worker.background_report();
        let ticks = 1000 / TICK_MS;
        let fuel = (after.fuel_used - before.fuel_used) / ticks;
        let calls =
            |report: &test_harness::Report| report.host_calls.values().map(|count| u64::from(*count)).sum::<u64>();
        let calls = (calls(after) - calls(&before)) / ticks;
        println!("an idle tick on {profile:?}: {fuel} fuel, {calls} host calls");
        assert!(fuel <= 2_000 && calls <= 1, "{profile:?}: {fuel} fuel, {calls} host calls");
    }
}
