//! What floods of refused tokens do to good clients: how many are served and how fast, known ones and new ones, without a flood and with
//! one of each kind. In brackets is the ratio to the latency without a flood. Clients are told apart by `x-forwarded-for`, as behind a load balancer that Envoy trusts.

use crate::cpu;
use crate::load::Answers;
use crate::rivals::{answered_directly, manager, start};
use dev_keys::encode;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use test_harness::lab::http::{Base, Client, header_map};
use test_harness::lab::peers::{KeyKind, Mint, SigningKeys, TokenSpec};
use test_harness::lab::resolve::Resolve;

const ISSUER: &str = "https://idp.example";
/// Requests a second of each kind of good client, and how many are measured: five seconds of them.
const GOOD_RATE: f64 = 100.0;
const GOOD: usize = 500;
/// Requests a second of a flood, over so many connections.
const FLOOD_RATE: f64 = 2000.0;
const CONNECTIONS: usize = 8;
const WAIT: Duration = Duration::from_secs(10);
/// Where good clients are: the known one, and the gateway of a network with many of them.
const KNOWN_AT: &str = "192.0.2.1";
const NAT: &str = "192.0.2.77";

/// A request: where it comes from, and its token.
type Sent = (String, String);
/// The request with this number.
type Stream = Arc<dyn Fn(usize) -> Sent + Send + Sync>;

/// A flood, or none.
struct Flood {
    name: &'static str,
    requests: Option<Stream>,
    /// Whether new clients are behind one address, where the flood comes from too.
    behind_nat: bool,
}

/// A table in Markdown.
pub(crate) async fn table() -> String {
    let keys = SigningKeys::generate().unwrap();
    let mut lines = vec![
        "| flood | answered a second | CPU | known clients: served | p50, µs | p99, µs | new clients: served | p50, µs | p99, µs |"
            .to_owned(),
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |".to_owned(),
    ];
    let mut quiet = None;
    for flood in floods(&keys) {
        eprintln!("flood: {}", flood.name);
        let (answered, busy, groups) = measure(&keys, &flood).await;
        let percentiles =
            |answers: &Answers| [50.0, 99.0].map(|of_hundred| answers.percentile(of_hundred).as_micros() as f64);
        let found = groups.each_ref().map(percentiles);
        let quiet = *quiet.get_or_insert(found);
        let mut line = format!("| {} | {answered:.0} | {:.0} % |", flood.name, busy * 100.0);
        for (answers, (found, quiet)) in groups.iter().zip(found.into_iter().zip(quiet)) {
            let served = 100 - answers.others.0 * 100 / answers.latencies.len();
            line += &format!(" {served} % |");
            for (found, quiet) in found.into_iter().zip(quiet) {
                line += &format!(" {found:.0} ({:.1}) |", found / quiet);
            }
        }
        lines.push(line);
    }
    lines.join("\n") + "\n"
}

fn floods(keys: &SigningKeys) -> Vec<Flood> {
    let forged = token(keys, json!({"groups": ["payments"], "scope": "read"}));
    let message: Arc<str> = forged.rsplit_once('.').unwrap().0.into();
    let flood = |name, requests: Stream| Flood { name, requests: Some(requests), behind_nat: false };
    let forged_from = |address: fn(usize) -> String| -> Stream {
        let message = message.clone();
        Arc::new(move |nth| (address(nth), unsigned(&message, nth)))
    };
    let large_of = |issuer: &str| -> Stream {
        let message = large(issuer, keys);
        Arc::new(move |nth| ("203.0.113.9".to_owned(), unsigned(&message, nth)))
    };
    let without_scope: Vec<_> =
        (0..50).map(|nth| token(keys, json!({"groups": ["payments"], "jti": format!("narrow{nth}")}))).collect();
    let thousand = |nth: usize| format!("10.0.{}.{}", nth % 1000 / 250, nth % 250);
    let many = |nth: usize| format!("10.{}.{}.7", nth / 256 % 256, nth % 256);
    vec![
        Flood { name: "none", requests: None, behind_nat: false },
        flood("forged signatures, one address", forged_from(|_| "203.0.113.9".to_owned())),
        flood("forged signatures, 1,000 IPv4 addresses", forged_from(thousand)),
        flood("forged signatures, 65,536 IPv4 addresses", forged_from(many)),
        flood("forged signatures, one IPv6 site", forged_from(|nth| format!("2001:db8:0:{:x}::7", nth % 65_536))),
        flood("unsigned, 15 KB, of an unknown issuer", large_of("https://other.example")),
        flood("unsigned, 15 KB, of a known issuer", large_of(ISSUER)),
        Flood {
            name: "signed, without a scope, behind the new clients' NAT",
            requests: Some(Arc::new(move |nth| (NAT.to_owned(), without_scope[nth % without_scope.len()].clone()))),
            behind_nat: true,
        },
        Flood {
            name: "forged signatures, behind the new clients' NAT",
            requests: Some(forged_from(|_| NAT.to_owned())),
            behind_nat: true,
        },
    ]
}

fn token(keys: &SigningKeys, claims: Value) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let spec = TokenSpec {
        user: Some("ada".into()),
        key: KeyKind::Es256,
        claims: claims.as_object().unwrap().clone(),
        expires_in_seconds: Some(7200),
        ..TokenSpec::default()
    };
    Mint { issuer: ISSUER, keys, now: i64::try_from(now).unwrap() }.token(&spec).unwrap()
}

/// A payload of 15 KB, full of the claims that cost most to build, with its header.
fn large(issuer: &str, keys: &SigningKeys) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let items: Vec<_> = (0..1_350).map(|nth| json!({"a": nth % 10})).collect();
    let claims = json!({"groups": items, "iss": issuer, "aud": "payments", "exp": now + 7200});
    let header = json!({"alg": "ES256", "kid": keys.kid(KeyKind::Es256)});
    let [header, claims] = [header, claims].map(|part| encode(part.to_string().as_bytes()));
    format!("{header}.{claims}")
}

/// The message with a signature that nobody made, another one for each number.
fn unsigned(message: &str, nth: usize) -> String {
    let seed = (nth as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let bytes: Vec<_> =
        (1..=8).flat_map(|turn| seed.rotate_left(turn * 7).wrapping_mul(seed | 1).to_be_bytes()).collect();
    format!("{message}.{}", encode(&bytes))
}

/// Requests of the flood that were answered a second, how much of a CPU Envoy used, and what became of known and of new clients.
async fn measure(keys: &SigningKeys, flood: &Flood) -> (f64, f64, [Answers; 2]) {
    let filter = json!({
        "entity": "api:default/payments", "owner": "group:default/payments",
        "issuers": [{
            "issuer": ISSUER, "audiences": ["payments"], "jwks": {"keys": keys.public()}, "required_scopes": ["read"],
        }],
        "policy": {"rules": [{"allow": ["owner"]}]},
        "audit": {"sample_allows": 0.0},
    });
    let mut config = answered_directly(Some(filter), BTreeMap::new());
    let manager = manager(&mut config);
    (manager["use_remote_address"], manager["xff_num_trusted_hops"]) = (json!(true), json!(1));
    let envoy = start(&config);
    let to = envoy.gateway();
    let good = |jti: String| token(keys, json!({"groups": ["payments"], "scope": "read", "jti": jti}));
    let known: Stream = {
        let token = good("known".to_owned());
        Arc::new(move |_| (KNOWN_AT.to_owned(), token.clone()))
    };
    let tokens: Vec<_> = (0..GOOD + 50).map(|nth| good(nth.to_string())).collect();
    let behind_nat = flood.behind_nat;
    let new: Stream = Arc::new(move |nth| {
        let address = if behind_nat { NAT.to_owned() } else { format!("198.51.{}.{}", 100 + nth / 250, nth % 250) };
        (address, tokens[nth].clone())
    });
    // So that all code is compiled.
    let (warm, later) = (new.clone(), new.clone());
    at_rate(to, warm, 50, GOOD_RATE * 5.0).await;
    at_rate(to, known.clone(), 500, GOOD_RATE * 5.0).await;
    let new: Stream = Arc::new(move |nth| later(nth + 50));

    let (is_over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let flooding: Vec<_> = (0..CONNECTIONS)
        .filter_map(|nth| flood.requests.clone().map(|requests| (nth, requests)))
        .map(|(nth, requests)| tokio::spawn(keep_on(to, requests, nth, is_over.clone(), answered.clone())))
        .collect();
    // A flood has begun before it is measured.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (before, used) = (answered.load(Ordering::Relaxed), cpu::used(envoy.pid()));
    let begin = Instant::now();
    let new = async {
        // Between the known clients' requests, so that these do not wait for the signatures of the others.
        tokio::time::sleep(Duration::from_secs_f64(0.5 / GOOD_RATE)).await;
        at_rate(to, new, GOOD, GOOD_RATE).await
    };
    let (known, new) = tokio::join!(at_rate(to, known, GOOD, GOOD_RATE), new);
    let span = begin.elapsed().as_secs_f64();
    let rate = (answered.load(Ordering::Relaxed) - before) as f64 / span;
    let busy = (cpu::used(envoy.pid()) - used).as_secs_f64() / span;
    is_over.store(true, Ordering::Relaxed);
    for task in flooding {
        task.await.unwrap();
    }
    (rate, busy, [known, new])
}

/// One of a flood's connections: sends until it is over.
async fn keep_on(to: SocketAddr, requests: Stream, nth: usize, is_over: Arc<AtomicBool>, answered: Arc<AtomicUsize>) {
    let client = Client::new(Resolve::default(), WAIT);
    let begin = Instant::now();
    for turn in 0.. {
        let number = turn * CONNECTIONS + nth;
        tokio::time::sleep_until((begin + Duration::from_secs_f64(number as f64 / FLOOD_RATE)).into()).await;
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        send(&client, to, requests(number)).await;
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends requests at a rate, over two connections.
async fn at_rate(to: SocketAddr, requests: Stream, count: usize, rate: f64) -> Answers {
    let begin = Instant::now();
    let clients = (0..2).map(|nth| {
        let requests = requests.clone();
        tokio::spawn(async move {
            let client = Client::new(Resolve::default(), WAIT);
            let mut answers = Answers::default();
            for number in (nth..count).step_by(2) {
                tokio::time::sleep_until((begin + Duration::from_secs_f64(number as f64 / rate)).into()).await;
                let request = requests(number);
                let sent = Instant::now();
                let status = send(&client, to, request).await;
                answers.latencies.push(sent.elapsed());
                if status != 200 {
                    answers.others = (answers.others.0 + 1, status);
                }
            }
            answers
        })
    });
    let mut all = Answers::default();
    for client in clients.collect::<Vec<_>>() {
        let answers = client.await.unwrap();
        all.latencies.extend(answers.latencies);
        all.others.0 += answers.others.0;
    }
    all.latencies.sort_unstable();
    all
}

async fn send(client: &Client, to: SocketAddr, (address, token): Sent) -> u16 {
    let mut request = Base::from(to).request(axum::http::Method::GET, "/payments/42");
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_bytes()), ("x-forwarded-for", address.as_bytes())];
    request.headers = header_map(headers).unwrap();
    client.send(request, WAIT).await.unwrap().status
}
