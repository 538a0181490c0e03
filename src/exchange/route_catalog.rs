//! A route's use of a catalog: which entity is behind a request, and which groups there are.

use super::RequestContext;
use crate::catalog::Index;
use crate::catalog::live::{Availability, CatalogRead, LiveCatalog};
use crate::config::{Catalog, Config, OnStale};
use crate::entity::EntityRef;
use crate::host::HostFacts;
use crate::ownership::{Callee, NoEntity, OwnershipSource, entity_behind};
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
    /// The entity that the configuration names.
    entity: Option<EntityRef>,
    /// What the configuration says of it.
    configured: Option<Rc<Callee>>,
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
    /// The use that a route with this configuration makes of its catalog; `configured` is what it says of the entity by itself.
    pub(super) fn new(catalog: &Catalog, config: &Config, configured: Option<Rc<Callee>>, worker: &Worker) -> Self {
        Self {
            live: worker.catalogs.get(&config.zones.catalog, &catalog.source),
            max_stale: catalog.max_stale,
            on_stale: catalog.on_stale,
            entity: config.entity.clone(),
            configured,
            known: RefCell::default(),
        }
    }

    /// Leave to read the catalog for a request, where nobody else does and it cannot wait.
    pub(super) fn request(&self, cx: &RequestContext<'_>) -> Option<Box<CatalogRead>> {
        self.live.request(cx.store, cx.now)
    }

    /// What there is of the catalog.
    pub(super) fn availability(&self, cx: &RequestContext<'_>) -> Availability {
        self.live.availability(cx.store, cx.now, self.max_stale)
    }

    /// The entity behind a request.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn callee(&self, availability: &Availability, facts: &dyn HostFacts) -> Result<Rc<Callee>, NoEntity> {
        let index = match availability {
            Availability::Fresh(index) => index,
            Availability::Stale(index) => return self.without(Some(index), facts),
            Availability::Unread => return self.without(None, facts),
        };
        let named = self.entity.as_ref();
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
    fn without(&self, stale: Option<&Index>, facts: &dyn HostFacts) -> Result<Rc<Callee>, NoEntity> {
        let entity = match (&self.entity, stale) {
            (Some(entity), _) => entity.clone(),
            (None, Some(index)) => entity_behind(index, facts)?,
            (None, None) => return Err(NoEntity::CatalogUnread),
        };
        let callee = match (self.on_stale, stale) {
            (OnStale::Static, _) => self.configured.as_deref().cloned().ok_or(NoEntity::CatalogUnread)?,
            (OnStale::Allow, _) => Callee::bare(entity.clone(), OwnershipSource::Open),
            (OnStale::Deny, Some(_)) => Callee::bare(entity.clone(), OwnershipSource::CatalogStale),
            (OnStale::Deny, None) => Callee::bare(entity.clone(), OwnershipSource::CatalogUnread),
        };
        // On what terms it may be called is still what was last read: they narrow what passes without the catalog.
        let last = stale.and_then(|index| index.entity(&entity));
        let (lifecycle, terms) = last.map(|entry| (entry.lifecycle, entry.terms)).unwrap_or_default();
        Ok(Rc::new(Callee { lifecycle, terms, ..callee }))
    }

    /// The index that a caller's groups are looked up in.
    pub(super) fn groups(&self, availability: Availability) -> Option<Rc<Index>> {
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
        None => Callee::bare(entity, OwnershipSource::NotInCatalog),
    }
}
