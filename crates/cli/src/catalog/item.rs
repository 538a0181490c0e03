//! One entity, and where it stands.

use super::Definition;
use crate::finding::{File, Finding, Place};
use crate::yaml::{Entry, Node};
use backstage_kong::catalog::RelationKind;
use backstage_kong::entity::{DEFAULT_NAMESPACE, EntityRef};
use std::collections::BTreeMap;

/// An entity.
#[derive(Debug)]
pub struct Item {
    /// Its reference.
    pub reference: EntityRef,
    node: Node,
    /// The file it is from; none for one that a Backstage served.
    file: Option<File>,
    /// What its definition is, where that was asked of a Backstage.
    pub served_definition: Option<String>,
}

/// What one entity has to do with another: "well-known relations" of Backstage's catalog model, those of one direction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Relationship {
    /// The entity that has the relation.
    pub from: EntityRef,
    /// Which relation.
    pub link: Link,
    /// The other entity.
    pub to: EntityRef,
    /// Where it is said.
    pub place: Place,
}

/// A relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// `ownedBy` a group or a user.
    OwnedBy,
    /// `consumesApi`.
    ConsumesApi,
    /// `providesApi`.
    ProvidesApi,
    /// `partOf` a system, a component or a domain.
    PartOf,
    /// `childOf` a group.
    ChildOf,
    /// `memberOf` a group.
    MemberOf,
}

impl Link {
    /// What the catalog calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OwnedBy => "ownedBy",
            Self::ConsumesApi => "consumesApi",
            Self::ProvidesApi => "providesApi",
            Self::PartOf => "partOf",
            Self::ChildOf => "childOf",
            Self::MemberOf => "memberOf",
        }
    }

    /// The one that the catalog calls so.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::OwnedBy, Self::ConsumesApi, Self::ProvidesApi, Self::PartOf, Self::ChildOf, Self::MemberOf]
            .into_iter()
            .find(|link| link.name() == name)
    }

    /// The same, where it matters to a gateway.
    pub(super) fn relation(self) -> Option<RelationKind> {
        RelationKind::from_name(self.name())
    }
}

impl Item {
    /// An entity of a file, or of a Backstage.
    ///
    /// # Errors
    /// What an entity must have and this has not: the line, and what is wrong.
    pub(super) fn new(node: Node, file: Option<File>) -> Result<Self, (usize, String)> {
        let text = |path: &[&str]| {
            let entry = node.at(path);
            let found = entry.and_then(|entry| Some((entry.line, entry.value.text()?)));
            found.ok_or_else(|| {
                let line = entry.map_or(node.line, |entry| entry.line);
                (line, format!("is no entity of Backstage's catalog: it needs a text under `{}`", path.join(".")))
            })
        };
        let (kind_line, kind) = text(&["kind"])?;
        let (name_line, name) = text(&["metadata", "name"])?;
        let namespace = match node.at(&["metadata", "namespace"]) {
            Some(entry) if !entry.value.is_null() => text(&["metadata", "namespace"])?.1,
            _ => DEFAULT_NAMESPACE,
        };
        let reference = EntityRef::new(kind, namespace, name).map_err(|error| {
            let line = if error == backstage_kong::entity::EntityRefError::Kind { kind_line } else { name_line };
            (line, format!("\"{kind}:{namespace}/{name}\" {error}"))
        })?;
        Ok(Self { reference, node, file, served_definition: None })
    }

    /// All that it says.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The file it is from.
    pub fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// A line of it, or the entity where it stands on none.
    pub fn line(&self, line: usize) -> Place {
        self.file.as_ref().map_or_else(|| Place::Entity(self.reference.clone()), |file| file.line(line))
    }

    /// Where its name stands.
    pub fn place(&self) -> Place {
        self.place_of(&["metadata", "name"])
    }

    /// Where a field stands, or its name if it has none.
    pub fn place_of(&self, path: &[&str]) -> Place {
        let entry = self.node.at(path).or_else(|| self.node.at(&["metadata", "name"]));
        self.line(entry.map_or(self.node.line, |entry| entry.line))
    }

    /// Where an annotation stands.
    pub fn place_of_annotation(&self, name: &str) -> Place {
        self.place_of(&["metadata", "annotations", name])
    }

    /// An annotation that is a text and not empty, without spaces around it.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        let text = self.node.at(&["metadata", "annotations", name])?.value.text()?;
        Some(text.trim()).filter(|text| !text.is_empty())
    }

    /// The entries of its annotations, with whatever stands in them.
    pub fn annotation_entries(&self) -> &[Entry] {
        self.node.at(&["metadata", "annotations"]).map_or(&[], |annotations| annotations.value.entries())
    }

    /// Its annotations that are texts.
    pub(super) fn annotations(&self) -> BTreeMap<String, String> {
        let texts = self.annotation_entries().iter();
        texts.filter_map(|entry| Some((entry.key.clone(), entry.value.text()?.to_owned()))).collect()
    }

    /// `spec.lifecycle`.
    pub(super) fn lifecycle(&self) -> Option<String> {
        Some(self.node.at(&["spec", "lifecycle"])?.value.text()?.to_owned())
    }

    /// Whether its definition is meant to be OpenAPI.
    pub fn is_openapi(&self) -> bool {
        self.node.at(&["spec", "type"]).and_then(|entry| entry.value.text()) == Some("openapi")
    }

    /// Its API's definition.
    ///
    /// # Errors
    /// What is wrong with it, where it stands.
    pub fn definition(&self) -> Result<Option<Definition>, Finding> {
        Definition::of(self)
    }
}
