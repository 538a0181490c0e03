//! A gateway that sends nothing on: routes, the filter on each, and one node's memory.

use super::assume::Assumptions;
use super::calls::{Calls, Noted};
use super::model::{Asked, Candidate, Explanation, Routing, Verdict};
use super::request::Request;
use super::{steps, verdict};
use backstage_kong::config::{Config, ConfigError};
use backstage_kong::exchange::{self, Context, Effect, Exchange, Route};
use backstage_kong::host::{MemoryStore, MetricId, MetricKind, Metrics, Snapshot, UnixMillis};
use backstage_kong::telemetry::rfc3339;
use backstage_kong::worker::Worker;
use kong_yml::uri::{nginx_path, normalize};
use kong_yml::{Filters, Fit, KongYml, KongYmlError, RequestLine, Router};
use std::rc::Rc;

/// A gateway. Requests that it is asked about one after another are charged to the same quotas, and a key set is fetched
/// once.
pub struct Gateway {
    worker: Worker,
    store: MemoryStore,
    routes: Vec<Guarded>,
    /// Without one, there is one route, and all requests take it.
    router: Option<Router>,
    assumptions: Assumptions,
}

/// A route.
#[derive(Default)]
pub struct Site {
    /// Its name.
    pub route: Option<String>,
    /// The name of its service.
    pub service: Option<String>,
    /// Its tags, then those of its service.
    pub tags: Vec<String>,
}

impl Site {
    /// What a gateway would tell of a request there. Routes of one file are told apart by name.
    fn facts(&self) -> Snapshot {
        let (route, service, tags) = (self.route.clone(), self.service.clone(), self.tags.clone());
        Snapshot { route_id: route.clone(), route, service, tags, client: None, request_id: None }
    }
}

/// A route with the filter on it.
struct Guarded {
    site: Site,
    filter: Filter,
}

/// The filter on a route.
enum Filter {
    /// There is none.
    None,
    /// Its configuration was refused.
    Refused(ConfigError),
    /// It is configured.
    On(Rc<Route>),
}

/// Metrics that nobody reads.
struct Uncounted;

impl Metrics for Uncounted {
    fn define(&self, _: MetricKind, _: &str) -> Option<MetricId> {
        None
    }

    fn add(&self, _: MetricId, _: u64) {}

    fn record(&self, _: MetricId, _: u64) {}

    fn value(&self, _: MetricId) -> Option<u64> {
        None
    }
}

impl Gateway {
    /// A gateway with one route, configured by this text.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn of_config(config: &[u8], site: Site, assumptions: Assumptions) -> Result<Self, ConfigError> {
        let worker = Worker::default();
        let filter = Filter::On(route(config, &worker, &assumptions)?);
        let routes = vec![Guarded { site, filter }];
        Ok(Self { worker, store: MemoryStore::default(), routes, router: None, assumptions })
    }

    /// A gateway with the routes of Kong's declarative file, where the filter goes by `name`.
    ///
    /// # Errors
    /// What is wrong with the file. A filter's configuration that is refused is none: it denies, as on a gateway.
    pub fn of_kong(text: &str, name: &str, assumptions: Assumptions) -> Result<Self, KongYmlError> {
        let (config, _) = KongYml::parse(text, Filters::Among(&[name]))?;
        let worker = Worker::default();
        let router = Some(Router::new(&config));
        let KongYml { services, routes, .. } = config;
        let guarded = |found: kong_yml::Route| {
            let service = services.get(found.service);
            let tags = found.tags.iter().chain(service.into_iter().flat_map(|service| &service.tags));
            let filter = found.filters.iter().find(|filter| filter.name == name);
            let filter = filter.map_or(Filter::None, |filter| {
                route(&filter.config, &worker, &assumptions).map_or_else(Filter::Refused, Filter::On)
            });
            let service = service.map(|service| service.name.clone());
            Guarded { site: Site { tags: tags.cloned().collect(), service, route: Some(found.name.clone()) }, filter }
        };
        let routes = routes.into_iter().map(guarded).collect();
        Ok(Self { worker, store: MemoryStore::default(), routes, router, assumptions })
    }

    /// Explains what comes of a request with this token, or of one without. What it is charged stays charged.
    pub fn explain(
        &self,
        request: &Request,
        token: Option<&str>,
        now: UnixMillis,
        calls: &mut dyn Calls,
    ) -> Explanation {
        let mut explanation = Explanation {
            at: rfc3339(now),
            request: Asked {
                method: request.method.clone(),
                target: request.target.clone(),
                host: request.host.clone(),
            },
            routing: None,
            callee: None,
            credential: None,
            token: None,
            caller: None,
            groups: None,
            policy: None,
            quota: Vec::new(),
            calls: Vec::new(),
            notes: Vec::new(),
            verdict: Verdict::of_gateway(200, "no_filter", "no backstage-kong filter is on the route"),
        };
        let Some(Guarded { site, filter }) = self.chosen(request, &mut explanation) else { return explanation };
        let cx = Context { worker: &self.worker, store: &self.store, metrics: &Uncounted, now };
        match filter {
            Filter::None => explanation.verdict.by = "nobody",
            Filter::Refused(error) => {
                let (exchange, effect) = exchange::refuse_misconfigured(&cx, request, &site.facts());
                explanation.verdict = verdict::of(&exchange, effect);
                explanation.verdict.detail = Some(error.to_string());
            }
            Filter::On(route) => {
                let mut request = request.clone();
                let presented = self.assumptions.present(route.config(), token, now);
                request.headers.extend(presented.header);
                explanation.notes.extend(presented.notes);
                let mut calls = Noted::new(calls);
                let (exchange, effect) = run(route, &cx, &request, &site.facts(), &mut calls);
                explanation.verdict = verdict::of(&exchange, effect);
                steps::fill(
                    &mut explanation,
                    &steps::Run {
                        route,
                        exchange: &exchange,
                        cx: &cx,
                        request: &request,
                        calls: &calls,
                        assumed: presented.assumed,
                    },
                );
                explanation.calls.clone_from(&calls.traces);
            }
        }
        explanation
    }

    /// The route of a request. Where there is none, the verdict is the gateway's.
    fn chosen(&self, request: &Request, explanation: &mut Explanation) -> Option<&Guarded> {
        let Some(router) = &self.router else { return self.routes.first() };
        if nginx_path(request.path()).is_none() {
            let why = "the path climbs above the root, has a NUL or a broken percent-encoding: nginx refuses it";
            explanation.verdict = Verdict::of_gateway(400, "bad_path", why);
            return None;
        }
        let path = String::from_utf8_lossy(&normalize(request.path())).into_owned();
        let line = RequestLine { method: &request.method, host: &request.host, path: &path };
        let found = router.route(line).and_then(|found| self.routes.get(found.route));
        let mut is_taken = false;
        let candidate = |weighed: kong_yml::Weighed| {
            let outcome = match weighed.fit {
                Fit::Path => return None,
                Fit::Method => "method",
                Fit::Host => "host",
                Fit::Fits { .. } if is_taken => "later",
                Fit::Fits { .. } => {
                    is_taken = true;
                    "taken"
                }
            };
            let route = self.routes.get(weighed.route)?.site.route.clone()?;
            Some(Candidate { route, path: weighed.path, outcome })
        };
        let candidates = router.weigh(line).filter_map(candidate).collect();
        let site = found.map(|found| &found.site);
        let (route, service) = site.map(|site| (site.route.clone(), site.service.clone())).unwrap_or_default();
        explanation.routing = Some(Routing { path: path.clone(), route, service, candidates });
        if found.is_none() {
            explanation.verdict = Verdict::of_gateway(404, "no_route", "no route matches method, host and path");
        }
        found
    }
}

fn route(config: &[u8], worker: &Worker, assumptions: &Assumptions) -> Result<Rc<Route>, ConfigError> {
    let mut config = Config::parse(config)?;
    assumptions.adjust(&mut config);
    Ok(Route::new(config, worker))
}

/// The filter itself, and others' answers.
fn run(
    route: &Rc<Route>,
    cx: &Context<'_>,
    request: &Request,
    facts: &Snapshot,
    calls: &mut Noted<'_>,
) -> (Exchange, Effect) {
    let mut step = exchange::begin(route, cx, request, facts);
    loop {
        let (exchange, effect) = step;
        let Effect::Dispatch(call) = effect else { return (exchange, effect) };
        step = exchange.answered(cx, request, calls.call(&call).as_ref());
    }
}
