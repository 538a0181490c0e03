//! Caller → decision.

use super::charge::Charging;
use super::report::Report;
use super::request::Request;
use super::verdict::deny;
use super::{RequestContext, Route, Step};
use crate::denial::Denial;
use crate::policy::{self, Outcome, RequestFacts};
use crate::worker::CachedPrincipal;
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

pub(super) fn admit(
    route: &Rc<Route>,
    request: Request,
    known: Option<Rc<CachedPrincipal>>,
    cx: &RequestContext<'_>,
) -> Step {
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
