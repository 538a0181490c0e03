//! What a request is about: an entity, and who stands how to it.

use crate::catalog::{Entry, Terms};
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
    pub word: Word,
}

/// On whose word owners and consumers are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// The route's configuration.
    Configuration,
    /// The catalog.
    Catalog,
    /// The catalog's, which does not know the entity.
    NotInCatalog,
    /// Nobody's: the catalog is too old.
    CatalogStale,
    /// Nobody's: the catalog was never read.
    CatalogUnread,
    /// Nobody's, and by the configuration every valid token stands for an owner then.
    Open,
}

impl Word {
    /// The word for it in the audit trail.
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
        let callee = Self::bare(config.entity.clone()?, Word::Configuration);
        Some(Self { owners, consumers: config.consumers.clone(), ..callee })
    }

    /// An entity as the catalog has it.
    pub fn in_catalog(entity: EntityRef, entry: Entry) -> Self {
        let Entry { owners, consumers, lifecycle, terms } = entry;
        Self { entity, owners, consumers, lifecycle, terms, word: Word::Catalog }
    }

    /// An entity of which nobody says more.
    pub fn bare(entity: EntityRef, word: Word) -> Self {
        let (owners, consumers, lifecycle, terms) = Default::default();
        Self { entity, owners, consumers, lifecycle, terms, word }
    }

    /// The owner that is told.
    pub fn owner(&self) -> Option<&EntityRef> {
        self.owners.first()
    }
}
