//! Entities → [`Index`].

use super::annotations::{
    ACCESS, AGENTS, AnnotationError, GROUP_IDS, KONG_SERVICE, QUOTA_TIER, SERVICE, Terms, WRITE_ACCESS,
};
use super::index::{Index, Section};
use super::{Entity, RelationKind};
use crate::bytes::compare;
use crate::entity::EntityRef;
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

/// Longest value of an annotation that is looked up, in bytes.
const MAX_VALUE: usize = 512;
/// Longest lifecycle that is told.
const MAX_LIFECYCLE: usize = 63;
/// What does not fit on a line stands for itself no more, so that nothing that matters is made of it.
const UNREADABLE: &str = "\u{fffd}";

/// By hash: comparing references, which begin alike, is what dear look-ups are made of.
type Entities<T> = HashMap<EntityRef, T, RandomState>;

/// Collects entities, in any order.
#[derive(Debug, Default)]
pub struct Builder {
    system_consumers: bool,
    annotations: Vec<String>,
    entities: Entities<Draft>,
    groups: Entities<Group>,
    faults: Vec<Fault>,
    /// One copy of each reference, for owners recur.
    known: HashSet<EntityRef, RandomState>,
}

/// How strong an entity's claim to a service is; the smallest goes first. A component and the API that it provides are often both
/// annotated: then the API is meant, for it is what is called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
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
        let Holders { held: services, twice } = holders(self.entities.iter().flat_map(|(entity, draft)| {
            draft.services.iter().map(move |(service, claim)| (service.as_str(), (*claim, entity)))
        }));
        let mut lines = entity_lines(&self.entities, &consumers(&self.entities, self.system_consumers));
        lines.extend(services.into_iter().map(|(service, claimants)| line(&format!("${service}"), &[&claimants])));
        self.faults.extend(twice.into_iter().map(|(service, claimants)| Fault::Service(service, claimants)));
        let entities = section(lines);

        let Holders { held: ids, twice } = holders(
            self.groups
                .iter()
                .flat_map(|(group, draft)| draft.ids.iter().map(move |id| (id.as_str(), (Claim::default(), group)))),
        );
        let tier = |group: &Group| group.tier.clone().unwrap_or_default();
        let mut lines: Vec<_> = self
            .groups
            .iter()
            .map(|(name, group)| line(name.as_str(), &[&words(&group.parents), &tier(group)]))
            .collect();
        lines.extend(ids.into_iter().map(|(id, holders)| line(id, &[&holders])));
        self.faults
            .extend(twice.into_iter().map(|(id, groups)| Fault::GroupId(id.trim_start_matches('@').into(), groups)));
        Built {
            index: Index { entities, groups: section(lines) },
            entities: self.entities.len(),
            groups: self.groups.len(),
            faults: self.faults,
        }
    }
}

/// Who consumes what: the owners of each entity that has a `consumesApi` towards it, and of its systems where they count.
fn consumers(entities: &Entities<Draft>, system_consumers: bool) -> Entities<Vec<EntityRef>> {
    let mut consumers: Entities<Vec<EntityRef>> = Entities::default();
    for draft in entities.values() {
        let systems = draft.systems.iter().filter(|_| system_consumers);
        let of_systems = systems.filter_map(|system| entities.get(system)).flat_map(|system| &system.owners);
        for consumed in &draft.consumes {
            let known = consumers.entry(consumed.clone()).or_default();
            known.extend(draft.owners.iter().chain(of_systems.clone()).cloned());
        }
    }
    for known in consumers.values_mut() {
        known.sort_unstable();
        known.dedup();
    }
    consumers
}

fn entity_lines(entities: &Entities<Draft>, consumers: &Entities<Vec<EntityRef>>) -> Vec<String> {
    let consumers = |entity: &EntityRef| consumers.get(entity).map(|known| words(known)).unwrap_or_default();
    let line = |(entity, draft): (&EntityRef, &Draft)| {
        line(entity.as_str(), &[&words(&draft.owners), &consumers(entity), &draft.rest])
    };
    entities.iter().map(line).collect()
}

/// Who holds names.
struct Holders<'a> {
    /// Each name, and those who have the strongest claim to it.
    held: Vec<(&'a str, String)>,
    /// The names that several have an equal claim to.
    twice: BTreeMap<String, Vec<EntityRef>>,
}

/// Who has the strongest claim to each name.
fn holders<'a>(claims: impl Iterator<Item = (&'a str, (Claim, &'a EntityRef))>) -> Holders<'a> {
    let mut by_name: HashMap<&str, Vec<(Claim, &EntityRef)>, RandomState> = HashMap::default();
    for (name, claim) in claims {
        by_name.entry(name).or_default().push(claim);
    }
    let mut twice = BTreeMap::new();
    let strongest = |(name, mut claims): (&'a str, Vec<(Claim, &EntityRef)>)| {
        claims.sort_unstable();
        claims.dedup();
        let strongest = claims.first().map(|(claim, _)| *claim);
        let holders: Vec<_> = claims
            .into_iter()
            .filter(|(claim, _)| Some(*claim) == strongest)
            .map(|(_, entity)| entity.clone())
            .collect();
        let text = words(&holders);
        if holders.len() > 1 {
            twice.insert(name.to_owned(), holders);
        }
        (name, text)
    };
    let held = by_name.into_iter().map(strongest).collect();
    Holders { held, twice }
}

/// The entities that an entity has a relation to, those of fitting kinds, each once, in the catalog's order.
fn related(
    known: &mut HashSet<EntityRef, RandomState>,
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

fn words(entities: &[EntityRef]) -> String {
    let mut text = String::with_capacity(entities.iter().map(|entity| entity.as_str().len() + 1).sum());
    for (index, entity) in entities.iter().enumerate() {
        if index > 0 {
            text.push(' ');
        }
        text.push_str(entity.as_str());
    }
    text
}

fn line(key: &str, values: &[&str]) -> String {
    let mut line = String::with_capacity(key.len() + values.iter().map(|value| value.len() + 1).sum::<usize>());
    line.push_str(key);
    for value in values {
        line.push('\t');
        line.push_str(value);
    }
    line
}

/// Sorts by key. A tab sorts before whatever may stand in a key, so that sorted lines are sorted keys.
fn section(mut lines: Vec<String>) -> Section {
    lines.sort_unstable_by(|one, other| compare(one.as_bytes(), other.as_bytes()));
    Section::new(lines.join("\n").into_bytes())
}
