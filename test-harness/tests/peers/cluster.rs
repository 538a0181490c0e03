//! Budgets that three gateways share: two of ours, with two workers each, and an Envoy with two threads.

use super::gateway::{Gateway, Kind};
use super::redis::RedisAndWebdis;
use super::wire::Wire;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

const WEBDIS: &str = "webdis:7379";
/// Between the nodes and the engine, in periodic mode.
const INTERVAL: Duration = Duration::from_millis(200);

/// A route that anyone may use, with a budget for all together.
fn route(name: &str, windows: &[&str], engine: &Value) -> (String, Value) {
    let mut settings = json!({"url": "http://webdis:7379", "user": "gateway", "password": "development-only"});
    settings.as_object_mut().unwrap().extend(engine.as_object().unwrap().clone());
    let config = json!({
        "entity": format!("api:default/{name}"),
        "policy": {"rules": [{"allow": ["anyone"]}]},
        "quotas": {"engine": settings, "policies": [{"name": "all", "per": "entity", "windows": windows}]},
    });
    (name.to_owned(), config)
}

/// The key of such a route's record, as the operators' documentation gives it.
fn key(name: &str) -> String {
    format!("bk:{{api:default/{name}}}:all:entity:api:default/{name}")
}

async fn three(name: &str, routes: &BTreeMap<String, Value>, webdis: SocketAddr) -> [Arc<Gateway>; 3] {
    let start = async |kind, nth: u8| {
        Arc::new(Gateway::start(kind, &format!("{name}-{nth}"), routes, &[(WEBDIS, webdis)]).await)
    };
    [start(Kind::OurHost, 1).await, start(Kind::OurHost, 2).await, start(Kind::Envoy, 3).await]
}

/// When each of `count` requests was admitted, sent one after another with a pause, and what the others were answered.
async fn send(gateway: Arc<Gateway>, route: &'static str, count: usize, pause: Duration) -> (Vec<Instant>, Vec<u16>) {
    let (mut admitted, mut refused) = (Vec::new(), Vec::new());
    for _ in 0..count {
        match gateway.plain(route).await.status {
            200 => admitted.push(Instant::now()),
            status => refused.push(status),
        }
        tokio::time::sleep(pause).await;
    }
    (admitted, refused)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the release wasm, .venv and the peers; make test runs it"]
async fn exact_budgets_are_never_passed_by_three_gateways_under_load() {
    let peers = RedisAndWebdis::start("exact");
    // A machine under load is slow to answer, which is not what is tested.
    let exact = json!({"synchronise": "exact", "on_engine_error": "deny", "timeout_ms": 5000});
    let routes = [route("exact", &["100/1d", "400/30d"], &exact)].into();
    let gateways = three("exact", &routes, peers.webdis_at).await;
    let clients: Vec<_> = gateways
        .iter()
        .flat_map(|gateway| (0..6).map(|_| tokio::spawn(send(Arc::clone(gateway), "exact", 12, Duration::ZERO))))
        .collect();
    let (mut admitted, mut refused) = (0, Vec::new());
    for client in clients {
        let (times, others) = client.await.unwrap();
        admitted += times.len();
        refused.extend(others);
    }
    assert_eq!((admitted, refused), (100, vec![429; 3 * 6 * 12 - 100]), "{}", gateways[0].log());
    assert_eq!(peers.cli(&["--scan", "--pattern", "bk:{api:default/exact}:*"]), key("exact"));
    assert_eq!(peers.cli(&["hgetall", &key("exact")]).matches(" 100").count(), 2, "both windows count the same");
    assert_eq!(peers.cli(&["del", &key("exact")]), "1");
    assert_eq!(gateways[2].plain("exact").await.status, 200, "an operator has given the budget back");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the release wasm, .venv and the peers; make test runs it"]
async fn periodic_budgets_are_passed_by_no_more_than_the_documented_bound() {
    const LIMIT: usize = 150;
    let peers = RedisAndWebdis::start("periodic");
    let periodic = json!({"sync_interval_ms": 200, "on_engine_error": "deny", "timeout_ms": 5000});
    let routes = [route("periodic", &["150/30d"], &periodic)].into();
    let gateways = three("periodic", &routes, peers.webdis_at).await;
    let begin = Instant::now();
    let clients: Vec<_> = gateways
        .iter()
        .map(|gateway| tokio::spawn(send(Arc::clone(gateway), "periodic", 120, Duration::from_millis(20))))
        .collect();
    let (mut of_each, mut refused) = (Vec::new(), Vec::new());
    for client in clients {
        let (times, others) = client.await.unwrap();
        of_each.push(times);
        refused.extend(others);
    }
    let took = begin.elapsed();
    let admitted: usize = of_each.iter().map(Vec::len).sum();
    // l + (n − 1) × what a node admits in two intervals, of the nodes that admitted most.
    let mut in_two_intervals: Vec<_> = of_each.iter().map(|times| most_within(times, INTERVAL * 2)).collect();
    in_two_intervals.sort_unstable();
    let bound = LIMIT + in_two_intervals[1] + in_two_intervals[2];
    println!("periodic: {admitted} of {LIMIT} admitted, {bound} at most, in {took:?}");
    assert!((LIMIT..=bound).contains(&admitted), "{admitted}, and not {LIMIT} to {bound}");
    assert!(refused.iter().all(|status| *status == 429) && !refused.is_empty(), "{refused:?}");

    // Each node asks once an interval, whatever its clients do; at first a request of each worker may.
    let intervals = u64::try_from(took.as_millis() / INTERVAL.as_millis()).unwrap() + 2;
    let calls = peers.script_calls();
    println!("periodic: {calls} calls in {intervals} intervals for {} requests", 3 * 120);
    assert!(calls <= 3 * (intervals + 4), "{calls} calls in {intervals} intervals");
    tokio::time::sleep(INTERVAL * 4).await;
    assert_eq!(peers.count(&key("periodic")), u64::try_from(admitted).unwrap(), "the engine knows of all");
    assert_eq!(gateways[2].plain("periodic").await.status, 429);
    peers.cli(&["del", &key("periodic")]);
    tokio::time::sleep(INTERVAL * 4).await;
    assert_eq!(gateways[2].plain("periodic").await.status, 200, "an operator has given the budget back");
}

/// One node alone never admits too much, whenever its workers are answered.
async fn admit_the_limit(kind: Kind) {
    const LIMIT: usize = 100;
    const ROUTES: [&str; 6] = ["one", "two", "three", "four", "five", "six"];
    let name = format!("alone-{kind:?}");
    let peers = RedisAndWebdis::start(&name);
    // The shortest interval, and a network that stands still most of the time: pushes and questions are under way together, and
    // are answered together.
    let wire = Wire::to(peers.webdis_at);
    let settings = json!({"sync_interval_ms": 100, "on_engine_error": "deny", "timeout_ms": 5000});
    let routes = ROUTES.map(|name| route(name, &["100/30d"], &settings));
    let gateway = Arc::new(Gateway::start(kind, &name, &routes.into(), &[(WEBDIS, wire.address)]).await);
    let pause = Duration::from_millis(5);
    let clients =
        ROUTES.iter().flat_map(|route| (0..6).map(|_| (*route, send(Arc::clone(&gateway), route, 60, pause))));
    let clients: Vec<_> = clients.map(|(route, client)| (route, tokio::spawn(client))).collect();
    for stall in (0..12).map(|nth| nth % 2 == 0) {
        tokio::time::sleep(Duration::from_millis(if stall { 40 } else { 260 })).await;
        wire.stall(stall);
    }
    wire.stall(false);
    let mut admitted = BTreeMap::new();
    for (route, client) in clients {
        let (times, refused) = client.await.unwrap();
        assert!(refused.iter().all(|status| *status == 429), "{refused:?}");
        *admitted.entry(route).or_insert(0) += times.len();
    }
    println!("{name}: {admitted:?} of {LIMIT} each");
    assert!(admitted.values().all(|admitted| *admitted == LIMIT), "{admitted:?}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let counted = ROUTES.map(|route| peers.count(&key(route)));
    assert_eq!(counted, [100; ROUTES.len()], "the engine knows of all, once");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the release wasm, .venv and the peers; make test runs it"]
async fn our_host_alone_admits_a_periodic_budget_to_the_unit() {
    admit_the_limit(Kind::OurHost).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the release wasm, .venv and the peers; make test runs it"]
async fn envoy_alone_admits_a_periodic_budget_to_the_unit() {
    admit_the_limit(Kind::Envoy).await;
}

/// The most of these times within one stretch.
fn most_within(times: &[Instant], stretch: Duration) -> usize {
    let from = |first: &Instant| times.iter().filter(|time| (*first..=*first + stretch).contains(time)).count();
    times.iter().map(from).max().unwrap_or(0)
}

const CHOICES: [&str; 3] = ["local", "deny", "allow"];

/// Sends to each route what a client would, and holds the answers to be those that its configuration chose. Returns how many
/// the route that counts by itself admitted.
async fn answered(gateway: &Gateway, time: Duration, during: &str, deny: &[u16]) -> u64 {
    let begin = Instant::now();
    let mut admitted = 0;
    while begin.elapsed() < time {
        for choice in CHOICES {
            let answer = gateway.plain(choice).await;
            let allowed = if choice == "deny" { deny } else { &[200] };
            assert!(
                allowed.contains(&answer.status),
                "{during}: {choice} answers {}: {}",
                answer.status,
                gateway.log()
            );
            if answer.status == 503 {
                assert!(answer.header("retry-after").is_some());
            }
            admitted += u64::from(choice == "local");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    admitted
}

/// Waits until the engine has been told of everything, in a time that operators are told.
async fn told(peers: &RedisAndWebdis, admitted: u64, during: &str) {
    let begin = Instant::now();
    loop {
        let found = peers.count(&key("local"));
        if found == admitted {
            return;
        }
        assert!(found < admitted, "{during}: the engine counts {found}, but only {admitted} were admitted");
        assert!(begin.elapsed() < Duration::from_secs(6), "{during}: the engine knows of {found} of {admitted}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn live_through(kind: Kind, synchronise: &str) {
    let name = format!("faults-{synchronise}-{kind:?}");
    let mut peers = RedisAndWebdis::start(&name);
    let wire = Wire::to(peers.webdis_at);
    let routes = CHOICES.map(|choice| {
        let settings = json!({
            "synchronise": synchronise, "on_engine_error": choice, "timeout_ms": 1000, "sync_interval_ms": 200,
            "breaker": {"failures": 2, "open_seconds": 1},
        });
        route(choice, &["100000/30d"], &settings)
    });
    let gateway = Gateway::start(kind, &name, &routes.into(), &[(WEBDIS, wire.address)]).await;
    let (short, long) = (Duration::from_millis(500), Duration::from_millis(1500));
    let well: &[u16] = &[200];
    let ill: &[u16] = &[200, 503];
    let mut admitted = answered(&gateway, short, "at first", well).await;
    told(&peers, admitted, "at first").await;

    peers.kill_redis();
    admitted += answered(&gateway, long, "Redis is down", ill).await;
    assert_eq!(gateway.plain("deny").await.status, 503, "Redis is down: {}", gateway.log());
    peers.start_redis();
    admitted += answered(&gateway, long, "Redis is coming back", ill).await;
    admitted += answered(&gateway, short, "Redis is back", well).await;
    told(&peers, admitted, "Redis is back").await;

    peers.kill_webdis();
    admitted += answered(&gateway, long, "Webdis is down", ill).await;
    assert_eq!(gateway.plain("deny").await.status, 503, "Webdis is down: {}", gateway.log());
    peers.start_webdis();
    admitted += answered(&gateway, long, "Webdis is coming back", ill).await;
    admitted += answered(&gateway, short, "Webdis is back", well).await;
    told(&peers, admitted, "Webdis is back").await;

    peers.cli_as("default", "gateway-development-only", &["script", "flush"]);
    admitted += answered(&gateway, short, "the script is gone", well).await;
    told(&peers, admitted, "the script is gone").await;

    // Its clock has been moved, forward and back: nothing is given back that was used.
    for windows in [-1, 1, 5] {
        peers.left_by_a_clock_ahead(&key("local"), windows);
        admitted += answered(&gateway, short, "the clock has moved", well).await;
        told(&peers, admitted, "the clock has moved").await;
    }

    // What the engine did, but could not say, counts twice; what arrives after its time does not.
    wire.stall(true);
    admitted += answered(&gateway, Duration::from_secs(4), "the network stands still", ill).await;
    assert_eq!(gateway.plain("deny").await.status, 503, "the network stands still: {}", gateway.log());
    wire.stall(false);
    admitted += answered(&gateway, Duration::from_secs(3), "the network is coming back", ill).await;
    admitted += answered(&gateway, short, "the network is back", well).await;
    tokio::time::sleep(short).await;
    let counted = peers.count(&key("local"));
    println!("{name}: {admitted} admitted, {counted} counted");
    assert!(counted >= admitted, "the engine knows of {counted} of {admitted}");
    assert!(counted <= admitted + 5, "the engine counts {counted}, for {admitted}");
}

macro_rules! through_faults {
    ($($name:ident: $kind:ident $synchronise:literal,)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        #[ignore = "needs the release wasm, .venv and the peers; make test runs it"]
        async fn $name() {
            live_through(Kind::$kind, $synchronise).await;
        }
    )*};
}

through_faults! {
    an_engines_faults_are_answered_as_configured_by_our_host_exact: OurHost "exact",
    an_engines_faults_are_answered_as_configured_by_our_host_periodic: OurHost "periodic",
    an_engines_faults_are_answered_as_configured_by_envoy_exact: Envoy "exact",
    an_engines_faults_are_answered_as_configured_by_envoy_periodic: Envoy "periodic",
}
