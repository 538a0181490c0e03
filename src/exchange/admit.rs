//! Caller → decision, and once it is charged, tags.

use super::charge::Charging;
use super::report::Report;
use super::request::Request;
use super::{Admitted, Effect, Forward, RequestContext, Route, State, Step, deny};
use crate::denial::Denial;
use crate::ownership::Callee;
use crate::policy::{self, Outcome, RequestFacts};
use crate::tags;
use crate::worker::Known;
use std::rc::Rc;

/// A CORS preflight that the route lets pass: as a request of nobody's, counted and charged as such.
pub(super) fn preflight(route: &Rc<Route>, request: Request, cx: &RequestContext<'_>) -> Step {
    let (Some(callee), catalog) = (request.callee.clone(), request.catalog.clone()) else {
        return deny(Report::new(route, request), Denial::Configuration, cx);
    };
    let denial = policy::path_denial(&route.config.policy, &request.target);
    let report = Report::new(route, request);
    if let Some(denial) = denial {
        return deny(report, Denial::Policy(denial), cx);
    }
    let report = report.of_preflight();
    Charging { route: route.clone(), callee, catalog, report }.begin(cx)
}

/// Lets a request pass that shadow mode spares. What it may not say itself goes no further all the same.
pub(super) fn pass_denied(mut report: Report, denial: Denial, cx: &RequestContext<'_>) -> Step {
    report.note_shadow(denial);
    let callee = report.callee().cloned();
    pass(callee.as_ref(), report, Vec::new(), cx)
}

pub(super) fn admit(route: &Rc<Route>, request: Request, known: Option<Rc<Known>>, cx: &RequestContext<'_>) -> Step {
    let config = &route.config;
    let (Some(callee), catalog) = (request.callee.clone(), request.catalog.clone()) else {
        return deny(Report::new(route, request), Denial::Configuration, cx);
    };
    let principal = known.as_ref().map(|known| &known.principal);
    let facts = RequestFacts { method: &request.method, target: &request.target };
    let decision = policy::decide(&config.policy, &callee, &facts, principal);
    let report = Report::new(route, request).by(known).decided(&decision);
    if let Outcome::Denied(denial) = decision.outcome {
        return deny(report, Denial::Policy(denial), cx);
    }
    Charging { route: route.clone(), callee, catalog, report }.begin(cx)
}

/// Lets a request pass to the upstream; its answer gets the fields. Without a callee the upstream learns nothing of it.
pub(super) fn pass(
    callee: Option<&Callee>,
    report: Report,
    response_headers: Vec<(&'static str, String)>,
    cx: &RequestContext<'_>,
) -> Step {
    let (report, audit) = report.allowed(cx);
    let Some(route) = report.route() else { return deny(report, Denial::Configuration, cx) };
    let edits = tags::edits(&route.config, callee, report.principal(), report.lines(), cx.headers);
    let has_context = route.config.tags.context;
    let admitted = Admitted { report, response_headers, has_context };
    (State::Admitted(admitted), Effect::Forward(Forward { edits, audit }))
}
