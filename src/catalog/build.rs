//! Entities → [`Index`].

use super::annotations::{
    ACCESS, AGENTS, AnnotationError, GROUP_IDS, KONG_SERVICE, QUOTA_TIER, SERVICE, Terms, WRITE_ACCESS,
};
use super::index::{Index, Section};
use super::{Entity, RelationKind};
use crate::entity::EntityRef;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Longest value of an annotation that is looked up, in bytes.
const MAX_VALUE: usize = 512;
/// Longest lifecycle that is told.
const MAX_LIFECYCLE: usize = 63;
/// What does not fit on a line stands for itself no more, so that nothing that matters is made of it.
const UNREADABLE: &str = "\u{fffd}";

/// Collects entities, in any order.
#[derive(Debug, Default)]
pub struct Builder {
    system_consumers: bool,
    annotations: Vec<String>,
    entities: BTreeMap<EntityRef, Draft>,
    groups: BTreeMap<EntityRef, Group>,
    faults: Vec<Fault>,
    /// One copy of each reference, for owners recur.
    known: BTreeSet<EntityRef>,
}

/// How strong an entity's claim to a service is; the smallest goes first. A component and the API that it provides are often both
/// annotated: then the API is meant, for it is what is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    by: u8,
    kind: u8,
}

#[derive(Debug, Default)]
struct Draft {
    owners: Vec<EntityRef>,
    systems: Vec<EntityRef>,
    consumes: Vec<EntityRef>,
    /// The Kong services that it says it is behind.
    services: Vec<(String, Claim)>,
    /// The rest of its line: lifecycle, and what its annotations say.
    rest: String,
}

#[derive(Debug, Default)]
struct Group {
    parents: Vec<EntityRef>,
    /// The keys of what directories call it.
    ids: Vec<String>,
    tier: Option<String>,
}

/// What came of the entities.
#[derive(Debug)]
pub struct Built {
    /// The index.
    pub index: Index,
    /// Entities in it that can be called.
    pub entities: usize,
    /// Groups in it.
    pub groups: usize,
    /// What the catalog's authors should mend. Each of these denies; none grants.
    pub faults: Vec<Fault>,
}

/// A mistake in the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An annotation that says nothing; the entity may be called by nobody.
    Annotation(EntityRef, AnnotationError),
    /// Several entities say that they are behind one Kong service; it is taken for none of theirs.
    Service(String, Vec<EntityRef>),
    /// Several groups have one identity in a directory; it means none of them.
    GroupId(String, Vec<EntityRef>),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Annotation(entity, error) => write!(f, "{entity}: {error}; nobody may call it"),
            Self::Service(service, entities) => {
                write!(f, "Kong service {service:?} is claimed by {}; it is taken for none of them", list(entities))
            }
            Self::GroupId(id, groups) => write!(f, "{id:?} is the identity of {}; it means none of them", list(groups)),
        }
    }
}

fn list(entities: &[EntityRef]) -> String {
    entities.iter().map(EntityRef::as_str).collect::<Vec<_>>().join(" and ")
}

impl Builder {
    /// A builder. With `system_consumers` the owners of a consumer's system count as consumers too. Groups can be looked up
    /// by these annotations besides [`GROUP_IDS`].
    pub fn new(system_consumers: bool, annotations: &[String]) -> Self {
        let all = GROUP_IDS.iter().map(|name| (*name).to_owned()).chain(annotations.iter().cloned());
        Self { system_consumers, annotations: all.collect(), ..Self::default() }
    }

    /// Takes an entity. One that comes twice counts as it came last.
    pub fn add(&mut self, entity: &Entity) {
        match entity.reference.kind() {
            "group" => self.add_group(entity),
            "user" => {}
            _ => self.add_callable(entity),
        }
    }

    fn add_group(&mut self, entity: &Entity) {
        let id = |annotation: &String| {
            entity.annotation(annotation).filter(|value| is_line(value)).map(|value| format!("@{annotation}={value}"))
        };
        let ids = self.annotations.iter().filter_map(id).collect();
        let tier = self.terms(entity).quota_tier;
        let parents = related(&mut self.known, entity, RelationKind::ChildOf, |kind| kind == "group");
        self.groups.insert(entity.reference.clone(), Group { parents, ids, tier });
    }

    fn add_callable(&mut self, entity: &Entity) {
        let kind = match entity.reference.kind() {
            "api" => 0,
            "component" => 1,
            _ => 2,
        };
        let service = |(by, annotation)| {
            let name = entity.annotation(annotation).filter(|service| is_line(service))?;
            Some((name.to_owned(), Claim { by, kind }))
        };
        let services = [(0, SERVICE), (1, KONG_SERVICE)].into_iter().filter_map(service).collect();
        self.terms(entity);
        let lifecycle = entity.lifecycle.as_deref().filter(|text| text.len() <= MAX_LIFECYCLE && is_line(text));
        let mut rest = lifecycle.unwrap_or_default().to_owned();
        for annotation in [ACCESS, WRITE_ACCESS, AGENTS, QUOTA_TIER] {
            rest.push('\t');
            rest.push_str(
                entity.annotation(annotation).map_or("", |text| if is_line(text) { text } else { UNREADABLE }),
            );
        }
        let known = &mut self.known;
        let draft = Draft {
            owners: related(known, entity, RelationKind::OwnedBy, |kind| matches!(kind, "group" | "user")),
            systems: related(known, entity, RelationKind::PartOf, |kind| kind == "system"),
            consumes: related(known, entity, RelationKind::ConsumesApi, |_| true),
            services,
            rest,
        };
        self.entities.insert(entity.reference.clone(), draft);
    }

    fn terms(&mut self, entity: &Entity) -> Terms {
        Terms::of(entity).unwrap_or_else(|error| {
            self.faults.push(Fault::Annotation(entity.reference.clone(), error));
            Terms::closed()
        })
    }

    /// Makes the index.
    pub fn finish(mut self) -> Built {
        let consumers = self.consumers();
        let none = BTreeSet::new();
        let mut entities: Vec<String> = Vec::with_capacity(self.entities.len());
        let mut services: BTreeMap<&str, BTreeSet<(Claim, &EntityRef)>> = BTreeMap::new();
        for (entity, draft) in &self.entities {
            let consumers = consumers.get(entity).unwrap_or(&none);
            entities.push(format!(
                "{entity}\t{}\t{}\t{}",
                words(&draft.owners),
                words(consumers.iter().copied()),
                draft.rest
            ));
            for (service, claim) in &draft.services {
                services.entry(service).or_default().insert((*claim, entity));
            }
        }
        for (service, claims) in services {
            let strongest = claims.first().map(|(claim, _)| *claim);
            let claimants: Vec<_> =
                claims.iter().filter(|(claim, _)| Some(*claim) == strongest).map(|(_, entity)| *entity).collect();
            entities.push(format!("${service}\t{}", words(claimants.iter().copied())));
            if claimants.len() > 1 {
                self.faults.push(Fault::Service(service.to_owned(), claimants.into_iter().cloned().collect()));
            }
        }
        let mut groups: Vec<String> = Vec::with_capacity(self.groups.len() * 2);
        let mut holders: BTreeMap<&str, BTreeSet<&EntityRef>> = BTreeMap::new();
        for (group, Group { parents, ids, tier }) in &self.groups {
            groups.push(format!("{group}\t{}\t{}", words(parents), tier.as_deref().unwrap_or_default()));
            for id in ids {
                holders.entry(id).or_default().insert(group);
            }
        }
        for (id, holders) in holders {
            groups.push(format!("{id}\t{}", words(holders.iter().copied())));
            if holders.len() > 1 {
                let id = id.trim_start_matches('@').to_owned();
                self.faults.push(Fault::GroupId(id, holders.into_iter().cloned().collect()));
            }
        }
        Built {
            index: Index { entities: section(entities), groups: section(groups) },
            entities: self.entities.len(),
            groups: self.groups.len(),
            faults: self.faults,
        }
    }

    /// Who consumes what: the owners of each entity that has a `consumesApi` towards it, and of its systems where they count.
    fn consumers(&self) -> BTreeMap<&EntityRef, BTreeSet<&EntityRef>> {
        let mut consumers: BTreeMap<&EntityRef, BTreeSet<&EntityRef>> = BTreeMap::new();
        for draft in self.entities.values() {
            let systems = draft.systems.iter().filter(|_| self.system_consumers);
            let of_systems = systems.filter_map(|system| self.entities.get(system)).flat_map(|system| &system.owners);
            let owners: Vec<_> = draft.owners.iter().chain(of_systems).collect();
            for consumed in &draft.consumes {
                consumers.entry(consumed).or_default().extend(&owners);
            }
        }
        consumers
    }
}

/// The entities that an entity has a relation to, those of fitting kinds, each once, in the catalog's order.
fn related(
    known: &mut BTreeSet<EntityRef>,
    entity: &Entity,
    relation: RelationKind,
    fits: impl Fn(&str) -> bool,
) -> Vec<EntityRef> {
    let mut found: Vec<EntityRef> = Vec::new();
    for target in entity.related(relation).filter(|target| fits(target.kind())) {
        let target = known.get(target).cloned().unwrap_or_else(|| {
            known.insert(target.clone());
            target.clone()
        });
        if !found.contains(&target) {
            found.push(target);
        }
    }
    found
}

/// Whether a text can stand on a line of the index.
fn is_line(text: &str) -> bool {
    text.len() <= MAX_VALUE && !text.chars().any(char::is_control)
}

fn words<'a>(entities: impl IntoIterator<Item = &'a EntityRef>) -> String {
    entities.into_iter().map(EntityRef::as_str).collect::<Vec<_>>().join(" ")
}

/// Sorts by key. A tab sorts before whatever may stand in a key, so that sorted lines are sorted keys.
fn section(mut lines: Vec<String>) -> Section {
    lines.sort_unstable();
    Section::new(lines.join("\n").into_bytes())
}
