//! Caller → decision, and once it is charged, tags.

use super::charge::Charging;
use super::report::{Line, Report};
use super::request::Request;
use super::{Admitted, Effect, Forward, RequestContext, Route, State, Step, deny};
use crate::config::Mode;
use crate::denial::Denial;
use crate::ownership::Callee;
use crate::policy::{self, Outcome, RequestFacts};
use crate::tags;
use crate::worker::Known;
use std::rc::Rc;

/// A CORS preflight passes untouched but for header lines that only this filter may set.
pub(super) fn preflight(route: &Rc<Route>, request: Request, cx: &RequestContext<'_>) -> Step {
    pass_untagged(route, Report::new(route, request).passed_preflight(cx), cx)
}

/// Lets a request pass of which nothing is to be told. What it may not say itself, and its token, go no further all the same.
pub(super) fn pass_untagged(route: &Route, (report, audit): (Report, Option<Line>), cx: &RequestContext<'_>) -> Step {
    let edits = tags::edits(&route.config, None, None, report.lines(), cx.headers);
    let admitted = Admitted { report, response_headers: Vec::new(), has_context: false };
    (State::Admitted(admitted), Effect::Forward(Forward { edits, audit }))
}

pub(super) fn admit(route: &Rc<Route>, request: Request, known: Option<Rc<Known>>, cx: &RequestContext<'_>) -> Step {
    let config = &route.config;
    let (Some(callee), catalog) = (request.callee.clone(), request.catalog.clone()) else {
        return deny(Report::new(route, request), Denial::Configuration, cx);
    };
    let principal = known.as_ref().map(|known| &known.principal);
    let facts = RequestFacts { method: &request.method, target: &request.target };
    let decision = policy::decide(&config.policy, &callee, &facts, principal);
    let mut report = Report::new(route, request).by(known).decided(&decision);

    if let Outcome::Denied(denial) = decision.outcome {
        match config.policy.mode {
            Mode::Enforce => return deny(report, Denial::Policy(denial), cx),
            Mode::Shadow => report.note_shadow(Denial::Policy(denial)),
        }
    }
    Charging { route: route.clone(), callee, catalog, report }.begin(cx)
}

/// Lets a request pass to the upstream; its answer gets the fields.
pub(super) fn pass(
    callee: &Callee,
    report: Report,
    response_headers: Vec<(&'static str, String)>,
    cx: &RequestContext<'_>,
) -> Step {
    let (report, audit) = report.allowed(cx);
    let Some(route) = report.route() else { return deny(report, Denial::Configuration, cx) };
    let edits = tags::edits(&route.config, Some(callee), report.principal(), report.lines(), cx.headers);
    let has_context = route.config.tags.context;
    let admitted = Admitted { report, response_headers, has_context };
    (State::Admitted(admitted), Effect::Forward(Forward { edits, audit }))
}
