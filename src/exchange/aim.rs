//! Request → the entity that it is about, by the route's configuration or by the catalog.

use super::identify::identify;
use super::report::Report;
use super::request::Request;
use super::upkeep::pass_answered;
use super::verdict::deny;
use super::{Context, Effect, RequestContext, Route, State, Step};
use crate::catalog::Index;
use crate::catalog::live::{Availability, LiveCatalog, Pass};
use crate::config::{Catalog, Config, OnStale};
use crate::denial::Denial;
use crate::entity::EntityRef;
use crate::host::HostFacts;
use crate::http::Reply;
use crate::ownership::{Callee, NoEntity, Word, entity_behind};
use crate::worker::Worker;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// Most routes that one chain remembers the entities of.
const MAX_KNOWN: usize = 1000;

/// A route's use of a catalog.
pub(super) struct RouteCatalog {
    live: Rc<LiveCatalog>,
    max_stale: Duration,
    on_stale: OnStale,
    known: RefCell<KnownCallees>,
}

/// Callees by the service and the route of their requests, as one version of the catalog has them. Routes are told apart by id:
/// on Kong they need not have a name.
#[derive(Default)]
struct KnownCallees {
    version: Option<u128>,
    callees: HashMap<Option<Behind>, Result<Rc<Callee>, NoEntity>>,
}

/// What a request tells of the entity behind it where the configuration does not.
type Behind = (Option<String>, Option<String>);

impl RouteCatalog {
    pub(super) fn new(catalog: &Catalog, config: &Config, worker: &Worker) -> Self {
        let live = worker.catalogs.get(&config.zones.catalog, &catalog.source);
        Self { live, max_stale: catalog.max_stale, on_stale: catalog.on_stale, known: RefCell::default() }
    }

    fn callee(
        &self,
        route: &Route,
        availability: &Availability,
        facts: &dyn HostFacts,
    ) -> Result<Rc<Callee>, NoEntity> {
        let index = match availability {
            Availability::Fresh(index) => index,
            Availability::Stale(index) => return self.without(route, Some(index), facts),
            Availability::Unread => return self.without(route, None, facts),
        };
        let named = route.config.entity.as_ref();
        let behind = if named.is_some() {
            None
        } else {
            Some((facts.service().map(str::to_owned), facts.route_id().map(str::to_owned)))
        };
        let mut known = self.known.borrow_mut();
        if known.version != Some(index.entities.version()) {
            *known = KnownCallees { version: Some(index.entities.version()), ..KnownCallees::default() };
        }
        if let Some(callee) = known.callees.get(&behind) {
            return callee.clone();
        }
        let entity = named.map_or_else(|| entity_behind(index, facts), |entity| Ok(entity.clone()));
        let callee = entity.map(|entity| Rc::new(in_catalog(index, entity)));
        if known.callees.len() < MAX_KNOWN {
            known.callees.insert(behind, callee.clone());
        }
        callee
    }

    /// The callee where the catalog is too old or was never read. An index that is too old still tells which entity is behind
    /// a service.
    fn without(&self, route: &Route, stale: Option<&Index>, facts: &dyn HostFacts) -> Result<Rc<Callee>, NoEntity> {
        let entity = match (&route.config.entity, stale) {
            (Some(entity), _) => entity.clone(),
            (None, Some(index)) => entity_behind(index, facts)?,
            (None, None) => return Err(NoEntity::CatalogUnread),
        };
        let callee = match (self.on_stale, stale) {
            (OnStale::Static, _) => route.callee.as_deref().cloned().ok_or(NoEntity::CatalogUnread)?,
            (OnStale::Allow, _) => Callee::bare(entity.clone(), Word::Open),
            (OnStale::Deny, Some(_)) => Callee::bare(entity.clone(), Word::CatalogStale),
            (OnStale::Deny, None) => Callee::bare(entity.clone(), Word::CatalogUnread),
        };
        // On what terms it may be called is still what was last read: they narrow what passes without the catalog.
        let last = stale.and_then(|index| index.entity(&entity));
        let (lifecycle, terms) = last.map(|entry| (entry.lifecycle, entry.terms)).unwrap_or_default();
        Ok(Rc::new(Callee { lifecycle, terms, ..callee }))
    }

    /// The index that a caller's groups are looked up in.
    fn groups(&self, availability: Availability) -> Option<Rc<Index>> {
        match availability {
            Availability::Fresh(index) => Some(index),
            Availability::Stale(index) => (self.on_stale != OnStale::Deny).then_some(index),
            Availability::Unread => None,
        }
    }
}

fn in_catalog(index: &Index, entity: EntityRef) -> Callee {
    match index.entity(&entity) {
        Some(entry) => Callee::in_catalog(entity, entry),
        None => Callee::bare(entity, Word::NotInCatalog),
    }
}

/// A request that reads the catalog because nobody else does.
pub(super) struct AwaitingCatalog {
    route: Rc<Route>,
    request: Request,
    pass: Box<Pass>,
}

pub(super) fn aim(route: &Rc<Route>, request: Request, cx: &RequestContext<'_>) -> Step {
    let Some(catalog) = &route.catalog else {
        return identify(route, Request { callee: route.callee.clone(), ..request }, cx);
    };
    // In shadow mode nobody waits; ticks read the catalog.
    let pass = if route.is_shadow() { None } else { catalog.live.request(cx.store, cx.now) };
    match pass {
        Some(pass) => AwaitingCatalog { route: route.clone(), request, pass }.ask(),
        None => aimed(route, catalog, request, cx),
    }
}

fn aimed(route: &Rc<Route>, catalog: &RouteCatalog, request: Request, cx: &RequestContext<'_>) -> Step {
    let availability = catalog.live.availability(cx.store, cx.now, catalog.max_stale);
    match catalog.callee(route, &availability, cx.facts) {
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
        if let Some(pass) = pass_answered(pass, cx, reply) {
            return Self { route, request, pass }.ask();
        }
        let Some(catalog) = &route.catalog else { return identify(&route, request, cx) };
        aimed(&route, catalog, request, cx)
    }
}
