//! Caller → decision, and once it is charged, tags.

use super::charge::Charging;
use super::report::{Line, Report};
use super::request::Request;
use super::{Admitted, Around, Effect, Exchange, Forward, Route, State, deny};
use crate::config::{Config, Mode};
use crate::denial::Denial;
use crate::host::RequestHeaders;
use crate::identity::Principal;
use crate::ownership::Callee;
use crate::policy::{self, Outcome, RequestFacts};
use crate::tags;
use crate::worker::Known;
use std::borrow::Cow;
use std::rc::Rc;

/// A CORS preflight passes untouched but for headers that only this filter may set.
pub(super) fn preflight(
    route: &Rc<Route>,
    request: Request,
    around: &Around<'_>,
    headers: &dyn RequestHeaders,
) -> (Exchange, Effect) {
    pass_untagged(route, Report::new(route, request).passed_preflight(around, headers), headers)
}

/// Lets a request pass of which nothing is to be told. What it may not say itself, and its token, go no further all the same.
pub(super) fn pass_untagged(
    route: &Route,
    (report, audit): (Report, Option<Line>),
    headers: &dyn RequestHeaders,
) -> (Exchange, Effect) {
    let (remove, set) = edits(&route.config, None, None, headers);
    let admitted = Admitted { report, response_headers: Vec::new(), has_context: false };
    (Exchange(State::Admitted(admitted)), Effect::Forward(Forward { remove, set, audit }))
}

pub(super) fn admit(
    route: &Rc<Route>,
    request: Request,
    known: Option<Rc<Known>>,
    around: &Around<'_>,
    headers: &dyn RequestHeaders,
) -> (Exchange, Effect) {
    let config = &route.config;
    let (Some(callee), catalog) = (request.callee.clone(), request.catalog.clone()) else {
        return deny(Report::new(route, request), Denial::Configuration, around, headers);
    };
    let principal = known.as_ref().map(|known| &known.principal);
    let facts = RequestFacts { method: &request.method, target: &request.target };
    let decision = policy::decide(&config.policy, &callee, &facts, principal);
    let mut report = Report::new(route, request).by(known).decided(&decision);

    if let Outcome::Denied(denial) = decision.outcome {
        match config.policy.mode {
            Mode::Enforce => return deny(report, Denial::Policy(denial), around, headers),
            Mode::Shadow => report.note_shadow(Denial::Policy(denial)),
        }
    }
    Charging { route: route.clone(), callee, catalog, report }.begin(around, headers)
}

/// Lets a request pass to the upstream; its answer gets the fields.
pub(super) fn pass(
    callee: &Callee,
    report: Report,
    response_headers: Vec<(&'static str, String)>,
    around: &Around<'_>,
    headers: &dyn RequestHeaders,
) -> (Exchange, Effect) {
    let (report, audit) = report.allowed(around, headers);
    let Some(route) = report.route() else { return deny(report, Denial::Configuration, around, headers) };
    let (remove, set) = edits(&route.config, Some(callee), report.principal(), headers);
    let has_context = route.config.tags.context;
    let admitted = Admitted { report, response_headers, has_context };
    (Exchange(State::Admitted(admitted)), Effect::Forward(Forward { remove, set, audit }))
}

/// Headers to remove, and to set after that.
type Edits = (Vec<Cow<'static, str>>, Vec<(&'static str, tags::Value)>);

fn edits(
    config: &Config,
    callee: Option<&Callee>,
    principal: Option<&Principal>,
    headers: &dyn RequestHeaders,
) -> Edits {
    let mut remove = tags::strip_list(&config.tags, headers.names());
    let mut set = callee.map(|callee| tags::upstream_headers(&config.tags, callee, principal)).unwrap_or_default();
    match tags::baggage(&config.tags, callee, principal, headers.get("baggage").as_deref()) {
        Some(baggage) => set.push(("baggage", baggage.into())),
        None => remove.push("baggage".into()),
    }
    if !config.credentials.forward_token {
        tags::remove_credential(&config.credentials, headers, &mut remove, &mut set);
    }
    (remove, set)
}
