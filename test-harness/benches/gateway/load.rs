//! Clients, each with a connection of its own that it keeps.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use test_harness::lab::http::{Base, Client, header_map};
use test_harness::lab::resolve::Resolve;

const CLIENTS: usize = 4;
const WAIT: Duration = Duration::from_secs(10);

/// What is sent: a bearer token for each request in turn, `None` for none. Thousands of signatures take minutes, and are made
/// only where they are sent.
pub(crate) type Tokens = Arc<LazyLock<Vec<Option<String>>, Box<dyn FnOnce() -> Vec<Option<String>> + Send>>>;

/// Tokens that are yet to be made.
pub(crate) fn lazily(make: impl FnOnce() -> Vec<Option<String>> + Send + 'static) -> Tokens {
    Arc::new(LazyLock::new(Box::new(make)))
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Answers {
    /// How long each request took.
    pub(crate) latencies: Vec<Duration>,
    /// How many were not answered with the status that was expected, and the first such status.
    pub(crate) others: (usize, u16),
}

/// Sends `count` requests, the tokens over and over, each client as fast as it is answered, or all together at `rate` a second.
pub(crate) async fn send(
    to: SocketAddr,
    tokens: &Tokens,
    from: usize,
    count: usize,
    rate: Option<f64>,
    status: u16,
) -> Answers {
    let begin = Instant::now();
    let clients = (0..CLIENTS).map(|nth| {
        let tokens = Arc::clone(tokens);
        tokio::spawn(async move {
            let client = Client::new(Resolve::default(), WAIT);
            let mut answers = Answers::default();
            for request in (nth..count).step_by(CLIENTS) {
                if let Some(rate) = rate {
                    let due = begin + Duration::from_secs_f64(request as f64 / rate);
                    tokio::time::sleep_until(due.into()).await;
                }
                let sent = Instant::now();
                let found = one(&client, to, tokens[(from + request) % tokens.len()].as_deref()).await;
                answers.latencies.push(sent.elapsed());
                if found != status {
                    answers.others = (answers.others.0 + 1, found);
                }
            }
            answers
        })
    });
    let mut all = Answers::default();
    for client in clients.collect::<Vec<_>>() {
        let answers = client.await.unwrap();
        all.latencies.extend(answers.latencies);
        if answers.others.0 > 0 {
            all.others = (all.others.0 + answers.others.0, answers.others.1);
        }
    }
    all.latencies.sort_unstable();
    all
}

async fn one(client: &Client, to: SocketAddr, token: Option<&str>) -> u16 {
    let mut request = Base::from(to).request(axum::http::Method::GET, "/payments/42");
    if let Some(token) = token {
        request.headers = header_map([("authorization", format!("Bearer {token}").as_bytes())]).unwrap();
    }
    client.send(request, WAIT).await.unwrap().status
}

impl Answers {
    /// The latency that so many of a hundred requests stay below.
    pub(crate) fn percentile(&self, of_hundred: f64) -> Duration {
        let nth = (self.latencies.len() as f64 * of_hundred / 100.0) as usize;
        self.latencies[nth.min(self.latencies.len() - 1)]
    }
}
