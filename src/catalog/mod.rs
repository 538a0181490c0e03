//! Backstage's catalog as a gateway needs it: which entity is behind a service, who owns and who consumes it, on what terms
//! it may be called, and which group a directory's own name for it means.
//!
//! [`Builder`] takes entities one by one, from the catalog API or from files, and makes an [`Index`] of them: a sorted text
//! that is searched as it stands, so that a worker that reads it from shared data has nothing to unpack.

mod annotations;
mod build;
mod claims;
mod entity;
mod index;
pub mod live;
mod tag;

pub use annotations::{
    ACCESS, AGENTS, APPROVED_CONSUMERS, AnnotationError, KONG_SERVICE, QUOTA_TIER, SERVICE, Terms, WRITE_ACCESS,
    approved_consumers,
};
pub use build::{Builder, Built, Fault};
pub use claims::{Claimant, Claims, settle};
pub use entity::{Entity, Relation, RelationKind};
pub use index::{CatalogEntry, Index, Section, Service};
pub use tag::{TAG_PREFIX, entity_of_tag, tag_of_entity};

#[cfg(test)]
mod tests;
