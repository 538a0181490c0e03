//! Backstage's catalog, from files or from a Backstage that runs.
//!
//! Both ways give the same: entities with the relations that the catalog would have, so that
//! [`Builder`](backstage_kong::catalog::Builder) makes the same index of them as the filter does.

mod args;
mod definition;
mod derive;
mod files;
mod item;
mod live;

pub use args::CatalogArgs;
pub use definition::Definition;
pub use item::{Item, Link, Relationship};

use crate::finding::{Finding, Place};
use backstage_kong::catalog::{Builder, Built, Entity, Relation};
use backstage_kong::config::Consumers;
use backstage_kong::entity::EntityRef;
use std::collections::{BTreeMap, BTreeSet};

/// A catalog.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Its entities.
    pub items: BTreeMap<EntityRef, Item>,
    /// What its entities have to do with each other.
    pub relationships: Vec<Relationship>,
    /// What is wrong with it.
    pub findings: Vec<Finding>,
}

impl Catalog {
    /// The catalog of the files that patterns name, and of those that their `Location` entities name.
    ///
    /// # Errors
    /// A pattern that is none or fits no file, or a file that cannot be read. What is wrong inside of files are findings.
    pub fn of_files(patterns: &[String]) -> anyhow::Result<Self> {
        files::read(patterns)
    }

    /// The index that the filter would have of it after a first reading.
    pub fn build(&self, consumers: Consumers, system_consumers: bool, group_annotations: &[String]) -> Built {
        let mut builder = Builder::new(consumers, system_consumers, group_annotations);
        self.entities().iter().for_each(|entity| builder.add(entity));
        builder.finish(None)
    }

    /// Its entities, as the catalog API would have them, as far as they matter to a gateway.
    pub fn entities(&self) -> Vec<Entity> {
        let mut relations: BTreeMap<&EntityRef, Vec<Relation>> = BTreeMap::new();
        for relationship in &self.relationships {
            if let Some(kind) = relationship.link.relation() {
                let relation = Relation { kind, target: relationship.to.clone() };
                relations.entry(&relationship.from).or_default().push(relation);
            }
        }
        let entity = |(reference, item): (&EntityRef, &Item)| Entity {
            reference: reference.clone(),
            annotations: item.annotations(),
            lifecycle: item.lifecycle(),
            relations: relations.remove(reference).unwrap_or_default(),
        };
        self.items.iter().map(entity).collect()
    }

    /// The groups that each user is a direct member of.
    pub fn memberships(&self) -> BTreeMap<&EntityRef, BTreeSet<&EntityRef>> {
        let mut memberships: BTreeMap<&EntityRef, BTreeSet<&EntityRef>> = BTreeMap::new();
        for relationship in self.relationships.iter().filter(|relationship| relationship.link == Link::MemberOf) {
            memberships.entry(&relationship.from).or_default().insert(&relationship.to);
        }
        memberships
    }

    /// The APIs that each entity says it provides.
    pub fn provided(&self) -> BTreeMap<&EntityRef, Vec<EntityRef>> {
        let mut provided: BTreeMap<&EntityRef, Vec<EntityRef>> = BTreeMap::new();
        for relationship in self.relationships.iter().filter(|relationship| relationship.link == Link::ProvidesApi) {
            provided.entry(&relationship.from).or_default().push(relationship.to.clone());
        }
        provided
    }

    /// Where an entity stands; for one that the catalog does not have, its name.
    pub fn place(&self, entity: &EntityRef) -> Place {
        self.items.get(entity).map_or_else(|| Place::Entity(entity.clone()), |item| item.place())
    }
}

#[cfg(test)]
mod tests;
