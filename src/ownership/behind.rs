//! A route that names no entity → the entity behind it.

use crate::catalog::{Index, Service, entity_of_tag};
use crate::entity::EntityRef;
use crate::host::HostFacts;

/// Why no entity is known to be behind a route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoEntity {
    /// The catalog has none for the service.
    #[error(
        "no entity of the catalog is behind the service {0:?}: none has its name in `backstage-kong/service` or \
             `kong-manager/service-name`, and neither route nor service has a tag `backstage-entity:<kind>:<name>`"
    )]
    Unknown(String),
    /// The catalog has several for the service, and does not say which of them had it first.
    #[error(
        "several entities of the catalog claim the service {0:?}, and which of them had it first is not known; a tag \
             `backstage-entity:<kind>:<name>` of the service decides"
    )]
    Ambiguous(String),
    /// The gateway does not tell the service.
    #[error("the gateway does not tell the name of the service behind the route")]
    NoService,
    /// The catalog was never read.
    #[error("the catalog was never read, and it alone says which entity is behind the route")]
    CatalogUnread,
}

impl NoEntity {
    /// The word for it in the audit trail and in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unknown(_) | Self::NoService => "entity_unknown",
            Self::Ambiguous(_) => "entity_ambiguous",
            Self::CatalogUnread => "catalog_unavailable",
        }
    }
}

/// The entity behind the route of a request: the one that a tag of the route names, or of its service, or the one whose
/// annotation names the service.
///
/// # Errors
/// Why there is none.
pub fn entity_behind(index: &Index, facts: &dyn HostFacts) -> Result<EntityRef, NoEntity> {
    if let Some(entity) = facts.tags().iter().find_map(|tag| entity_of_tag(tag)) {
        return Ok(entity);
    }
    let service = facts.service().ok_or(NoEntity::NoService)?;
    match index.service(service) {
        Service::Entity(entity) => Ok(entity),
        Service::Ambiguous => Err(NoEntity::Ambiguous(service.to_owned())),
        Service::Unknown => Err(NoEntity::Unknown(service.to_owned())),
    }
}
