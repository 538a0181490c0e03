//! What a request is about: an entity, and who stands how to it.

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
}

impl Callee {
    /// The callee that a route's configuration names.
    pub fn configured(config: &Config) -> Self {
        Self {
            entity: config.entity.clone(),
            owners: config.owner.iter().cloned().collect(),
            consumers: config.consumers.clone(),
        }
    }

    /// The owner that is told.
    pub fn owner(&self) -> Option<&EntityRef> {
        self.owners.first()
    }
}
