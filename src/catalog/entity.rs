//! One entity, as the catalog API writes it: only what matters at a gateway.

use crate::entity::{DEFAULT_NAMESPACE, EntityRef, EntityRefError};
use crate::json::Object;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

/// An entity.
#[derive(Debug, Clone, PartialEq)]
pub struct Entity {
    /// Its reference.
    pub reference: EntityRef,
    /// Its annotations, as far as they were asked for.
    pub annotations: BTreeMap<String, String>,
    /// `spec.lifecycle`.
    pub lifecycle: Option<String>,
    /// Its relations to other entities.
    pub relations: Vec<Relation>,
}

/// A relation of an entity to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Which.
    pub kind: RelationKind,
    /// The other entity.
    pub target: EntityRef,
}

/// The relations that matter here (`@backstage/catalog-model`, "well-known relations").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RelationKind {
    /// `ownedBy` a group or a user.
    OwnedBy,
    /// `consumesApi`.
    ConsumesApi,
    /// `providesApi`.
    ProvidesApi,
    /// `partOf` a system, among others.
    PartOf,
    /// `childOf` a group.
    ChildOf,
}

impl RelationKind {
    const ALL: [Self; 5] = [Self::OwnedBy, Self::ConsumesApi, Self::ProvidesApi, Self::PartOf, Self::ChildOf];

    /// What the catalog calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OwnedBy => "ownedBy",
            Self::ConsumesApi => "consumesApi",
            Self::ProvidesApi => "providesApi",
            Self::PartOf => "partOf",
            Self::ChildOf => "childOf",
        }
    }

    /// The kind of relation that the catalog calls so.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl Entity {
    /// An annotation that is not empty.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    /// The entities that it has a relation to.
    pub fn related(&self, kind: RelationKind) -> impl Iterator<Item = &EntityRef> {
        self.relations.iter().filter(move |relation| relation.kind == kind).map(|relation| &relation.target)
    }
}

/// The API's own shape. A part of another type than the catalog's model has is as good as not there: one odd entity must not
/// keep the others from being read.
#[derive(Deserialize)]
pub(super) struct Raw {
    kind: String,
    metadata: Object<Metadata>,
    #[serde(default)]
    spec: Option<Object<Spec>>,
    #[serde(default)]
    relations: Relations,
}

#[derive(Deserialize)]
struct Metadata {
    namespace: Option<String>,
    name: String,
    #[serde(default)]
    annotations: Option<BTreeMap<String, Text>>,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(default)]
    lifecycle: Text,
}

impl TryFrom<Raw> for Entity {
    type Error = EntityRefError;

    fn try_from(raw: Raw) -> Result<Self, EntityRefError> {
        let Object(metadata) = raw.metadata;
        let namespace = metadata.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
        let annotations = metadata.annotations.unwrap_or_default();
        Ok(Self {
            reference: EntityRef::new(&raw.kind, namespace, &metadata.name)?,
            annotations: annotations.into_iter().filter_map(|(name, text)| Some((name, text.0?))).collect(),
            lifecycle: raw.spec.and_then(|Object(spec)| spec.lifecycle.0),
            relations: raw.relations.0,
        })
    }
}

/// A text, or whatever else stands in its place.
#[derive(Default)]
struct Text(Option<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(Some(text.to_owned())))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_unit<E>(self) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Text, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Text, A::Error> {
                while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }
        }

        from.deserialize_any(TextVisitor)
    }
}

/// Relations, those that matter kept as they are read: a group may have thousands of members.
#[derive(Default)]
struct Relations(Vec<Relation>);

#[derive(Deserialize)]
struct RawRelation<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(rename = "targetRef", borrow, default)]
    target: std::borrow::Cow<'a, str>,
}

impl<'de> Deserialize<'de> for Relations {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct RelationsVisitor;

        impl<'de> Visitor<'de> for RelationsVisitor {
            type Value = Relations;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of relations")
            }

            fn visit_unit<E>(self) -> Result<Relations, E> {
                Ok(Relations(Vec::new()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Relations, A::Error> {
                let mut relations = Vec::new();
                while let Some(Object(raw)) = items.next_element::<Object<RawRelation<'de>>>()? {
                    if let Some(kind) = RelationKind::from_name(&raw.kind)
                        && let Ok(target) = EntityRef::parse_full(&raw.target)
                    {
                        relations.push(Relation { kind, target });
                    }
                }
                Ok(Relations(relations))
            }
        }

        from.deserialize_any(RelationsVisitor)
    }
}
