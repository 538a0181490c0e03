//! What a request is about: an entity, and who stands how to it.

use crate::catalog::{CatalogEntry, Terms};
use crate::config::Config;
use crate::entity::EntityRef;

/// The entity behind a request, and who stands how to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Callee {
    /// The entity.
    pub entity: EntityRef,
    /// Who owns it: groups or users. The first one is told in tags, metrics and audit lines.
    pub owners: Vec<EntityRef>,
    /// Who consumes it: groups or users.
    pub consumers: Vec<EntityRef>,
    /// Its lifecycle by the catalog, such as `production`.
    pub lifecycle: Option<String>,
    /// On what terms the catalog lets it be called.
    pub terms: Terms,
    /// Who says so.
    pub source: OwnershipSource,
}

/// Where owners and consumers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnershipSource {
    /// The route's configuration.
    Configuration,
    /// The catalog.
    Catalog,
    /// The catalog, which does not have the entity.
    NotInCatalog,
    /// Unknown: the catalog is too old.
    CatalogStale,
    /// Unknown: the catalog was never read.
    CatalogUnread,
    /// Unknown, and the configuration takes every valid token for an owner's then.
    Open,
}

impl OwnershipSource {
    /// Its name in the audit trail.
    pub fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Catalog => "catalog",
            Self::NotInCatalog => "not_in_catalog",
            Self::CatalogStale => "catalog_stale",
            Self::CatalogUnread => "catalog_unread",
            Self::Open => "open",
        }
    }
}

impl Callee {
    /// The callee that a route's configuration names, if it does.
    pub fn configured(config: &Config) -> Option<Self> {
        let owners = config.owner.iter().cloned().collect();
        let callee = Self::bare(config.entity.clone()?, OwnershipSource::Configuration);
        Some(Self { owners, consumers: config.consumers.clone(), ..callee })
    }

    /// An entity as the catalog has it.
    pub fn in_catalog(entity: EntityRef, entry: CatalogEntry) -> Self {
        let CatalogEntry { owners, consumers, lifecycle, terms } = entry;
        Self { entity, owners, consumers, lifecycle, terms, source: OwnershipSource::Catalog }
    }

    /// An entity of which nobody says more.
    pub fn bare(entity: EntityRef, source: OwnershipSource) -> Self {
        let (owners, consumers, lifecycle, terms) = Default::default();
        Self { entity, owners, consumers, lifecycle, terms, source }
    }

    /// The owner that is told.
    pub fn owner(&self) -> Option<&EntityRef> {
        self.owners.first()
    }
}
