//! Request → the entity that it is about, by the route's configuration or by the catalog.

use super::identify::identify;
use super::report::Report;
use super::request::Request;
use super::route_catalog::RouteCatalog;
use super::upkeep::read_answered;
use super::verdict::deny;
use super::{Context, Effect, RequestContext, Route, State, Step};
use crate::catalog::live::CatalogRead;
use crate::denial::Denial;
use crate::http::Reply;
use std::rc::Rc;

/// A request that reads the catalog because nobody else does.
pub(super) struct AwaitingCatalog {
    route: Rc<Route>,
    request: Request,
    pass: Box<CatalogRead>,
}

pub(super) fn resolve(route: &Rc<Route>, request: Request, cx: &RequestContext<'_>) -> Step {
    let Some(catalog) = &route.catalog else {
        return identify(route, Request { callee: route.callee.clone(), ..request }, cx);
    };
    // In shadow mode nobody waits; ticks read the catalog.
    let pass = if route.is_shadow() { None } else { catalog.request(cx) };
    match pass {
        Some(pass) => AwaitingCatalog { route: route.clone(), request, pass }.ask(),
        None => resolved(route, catalog, request, cx),
    }
}

fn resolved(route: &Rc<Route>, catalog: &RouteCatalog, request: Request, cx: &RequestContext<'_>) -> Step {
    let availability = catalog.availability(cx);
    match catalog.callee(&availability, cx.facts) {
        Ok(callee) => {
            let request = Request { callee: Some(callee), catalog: catalog.groups(availability), ..request };
            identify(route, request, cx)
        }
        Err(why) => deny(Report::new(route, request), Denial::NoEntity(why), cx),
    }
}

impl AwaitingCatalog {
    fn ask(self) -> Step {
        let call = self.pass.call();
        (State::AwaitingCatalog(Box::new(self)), Effect::Dispatch(call))
    }

    /// The client is gone.
    pub(super) fn abandoned(self, cx: &Context<'_>) {
        self.pass.leave(cx.store, cx.now);
    }

    pub(super) fn answered(self, cx: &RequestContext<'_>, reply: Option<&Reply>) -> Step {
        let Self { route, request, pass } = self;
        if let Some(pass) = read_answered(pass, cx, reply) {
            return Self { route, request, pass }.ask();
        }
        let Some(catalog) = &route.catalog else { return identify(&route, request, cx) };
        resolved(&route, catalog, request, cx)
    }
}
