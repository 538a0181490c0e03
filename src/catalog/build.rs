//! Entities → [`Index`].

use super::annotations::{
    ACCESS, AGENTS, APPROVED_CONSUMERS, AnnotationError, KONG_SERVICE, QUOTA_TIER, SERVICE, Terms, WRITE_ACCESS,
    approved_consumers,
};
use super::claims::{Claimant, Claims, settle};
use super::index::{Index, Section, Service};
use super::{Entity, RelationKind};
use crate::bytes::compare;
use crate::config::{Consumers, GROUP_IDS};
use crate::entity::EntityRef;
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

/// Longest value of an annotation that is looked up, in bytes.
const MAX_VALUE: usize = 512;
/// Longest lifecycle that is told.
const MAX_LIFECYCLE: usize = 63;
/// Most claimants of a service that its line names, and that a fault does.
const MAX_CLAIMANTS: usize = 20;
/// What does not fit on a line stands for itself no more, so that nothing that matters is made of it.
const UNREADABLE: &str = "\u{fffd}";

/// By hash: comparing references, which begin alike, is what dear look-ups are made of.
type Entities<T> = HashMap<EntityRef, T, RandomState>;

/// Collects entities, in any order.
#[derive(Debug)]
pub struct Builder {
    consumers: Consumers,
    system_consumers: bool,
    annotations: Vec<String>,
    entities: Entities<Draft>,
    groups: Entities<Group>,
    faults: Vec<Fault>,
    /// One copy of each reference, for owners recur.
    known: HashSet<EntityRef, RandomState>,
}

#[derive(Debug, Default)]
struct Draft {
    owners: Vec<EntityRef>,
    systems: Vec<EntityRef>,
    consumes: Vec<EntityRef>,
    /// The consumers that it approves, where that matters.
    approved: Approved,
    /// The Kong services that it says it is behind.
    services: Vec<String>,
    /// The APIs that it says it provides, where it is behind a service.
    provides: Vec<EntityRef>,
    /// The rest of its line: lifecycle, and what its annotations say.
    rest: String,
}

/// The consumers that an entity approves.
#[derive(Debug, Default)]
enum Approved {
    /// None of them, or nobody asks.
    #[default]
    Nobody,
    /// These.
    Listed(Vec<EntityRef>),
    /// Nobody, for what it says cannot be gone by.
    Unreadable,
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
    /// A list of approved consumers that says nothing; nobody is approved.
    Approval(EntityRef, AnnotationError),
    /// Several entities claim one Kong service, and none of them is known to have had it before; it is taken for none of theirs.
    Contested(String, Vec<EntityRef>),
    /// Entities claim a Kong service that another one holds; their claims change nothing.
    Newcomers {
        /// The service.
        service: String,
        /// Whose it is.
        holder: EntityRef,
        /// Who claims it too.
        newcomers: Vec<EntityRef>,
    },
    /// Several groups have one identity in a directory; it means none of them.
    GroupId(String, Vec<EntityRef>),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Annotation(entity, error) => write!(f, "{entity}: {error}; nobody may call it"),
            Self::Approval(entity, error) => write!(f, "{entity}: {error}; it approves no consumer"),
            Self::Contested(service, entities) => {
                let entities = list(entities);
                write!(f, "Kong service {service:?} is claimed by {entities}, and nobody knows who had it first")?;
                f.write_str("; where Kong does not name its entity, nobody may call it")
            }
            Self::Newcomers { service, holder, newcomers } => {
                let newcomers = list(newcomers);
                write!(f, "Kong service {service:?} is {holder}'s; the claim of {newcomers} changes nothing")
            }
            Self::GroupId(id, groups) => write!(f, "{id:?} is the identity of {}; it means none of them", list(groups)),
        }
    }
}

fn list(entities: &[EntityRef]) -> String {
    let named = entities.iter().take(MAX_CLAIMANTS).map(EntityRef::as_str).collect::<Vec<_>>().join(" and ");
    match entities.len().saturating_sub(MAX_CLAIMANTS) {
        0 => named,
        others => format!("{named} and {others} others"),
    }
}

impl Builder {
    /// A builder. `consumers` says whose word makes a consumer; with `system_consumers` the owners of a consumer's system count
    /// as consumers too. Groups can be looked up by these annotations besides [`GROUP_IDS`].
    pub fn new(consumers: Consumers, system_consumers: bool, annotations: &[String]) -> Self {
        let annotations = GROUP_IDS.iter().map(|name| (*name).to_owned()).chain(annotations.iter().cloned()).collect();
        let (entities, groups, faults, known) = Default::default();
        Self { consumers, system_consumers, annotations, entities, groups, faults, known }
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
        let service = |annotation| entity.annotation(annotation).filter(|service| is_line(service));
        let services: Vec<_> = [SERVICE, KONG_SERVICE].into_iter().filter_map(service).map(str::to_owned).collect();
        self.terms(entity);
        let approved = self.approved(entity);
        let lifecycle = entity.lifecycle.as_deref().filter(|text| text.len() <= MAX_LIFECYCLE && is_line(text));
        let mut rest = lifecycle.unwrap_or_default().to_owned();
        for annotation in [ACCESS, WRITE_ACCESS, AGENTS, QUOTA_TIER] {
            rest.push('\t');
            rest.push_str(
                entity.annotation(annotation).map_or("", |text| if is_line(text) { text } else { UNREADABLE }),
            );
        }
        let known = &mut self.known;
        let is_behind = !services.is_empty();
        let draft = Draft {
            owners: related(known, entity, RelationKind::OwnedBy, |kind| matches!(kind, "group" | "user")),
            systems: related(known, entity, RelationKind::PartOf, |kind| kind == "system"),
            consumes: related(known, entity, RelationKind::ConsumesApi, |_| true),
            provides: related(known, entity, RelationKind::ProvidesApi, |kind| is_behind && kind == "api"),
            approved,
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

    fn approved(&mut self, entity: &Entity) -> Approved {
        let text = entity.annotation(APPROVED_CONSUMERS).filter(|_| self.consumers == Consumers::Approved);
        match text.map(approved_consumers) {
            None => Approved::Nobody,
            Some(Ok(listed)) => Approved::Listed(listed),
            Some(Err(error)) => {
                self.faults.push(Fault::Approval(entity.reference.clone(), error));
                Approved::Unreadable
            }
        }
    }

    /// Makes the index. `before` is the one that it takes the place of: an entity that holds a service by it keeps that for as
    /// long as it claims it.
    pub fn finish(self, before: Option<&Index>) -> Built {
        let (services, claims) = services(&self.entities, before);
        let mut lines = entity_lines(&self.entities, &self.consumers());
        lines.extend(services);
        let entities = section(lines);

        let tier = |group: &Group| group.tier.clone().unwrap_or_default();
        let mut lines: Vec<_> = self
            .groups
            .iter()
            .map(|(name, group)| line(name.as_str(), &[&words(&group.parents), &tier(group)]))
            .collect();
        let (ids, twice) = ids(&self.groups);
        lines.extend(ids);
        // The first faults are told one by one: those that others can bring about go before those of an entity with itself.
        let faults = claims.into_values().chain(twice.into_values()).chain(self.faults).collect();
        Built {
            index: Index { entities, groups: section(lines) },
            entities: self.entities.len(),
            groups: self.groups.len(),
            faults,
        }
    }

    /// Who consumes what: the owners of each entity that has a `consumesApi` towards it, and of its systems where they count, as far
    /// as their word is enough or the consumed entity approves them.
    fn consumers(&self) -> Entities<Vec<EntityRef>> {
        let mut consumers: Entities<Vec<EntityRef>> = Entities::default();
        for draft in self.entities.values() {
            let systems = draft.systems.iter().filter(|_| self.system_consumers);
            let of_systems = systems.filter_map(|system| self.entities.get(system)).flat_map(|system| &system.owners);
            for consumed in &draft.consumes {
                let callers = draft.owners.iter().chain(of_systems.clone());
                let callers = callers.filter(|caller| self.is_consumer(caller, consumed));
                consumers.entry(consumed.clone()).or_default().extend(callers.cloned());
            }
        }
        for known in consumers.values_mut() {
            known.sort_unstable();
            known.dedup();
        }
        consumers
    }

    /// Whether somebody who says that it consumes an entity counts as its consumer.
    fn is_consumer(&self, caller: &EntityRef, consumed: &EntityRef) -> bool {
        match self.consumers {
            Consumers::Declared => true,
            Consumers::Approved => match self.entities.get(consumed).map(|draft| &draft.approved) {
                Some(Approved::Listed(listed)) => listed.contains(caller),
                Some(Approved::Nobody | Approved::Unreadable) | None => false,
            },
            Consumers::None => false,
        }
    }
}

fn entity_lines(entities: &Entities<Draft>, consumers: &Entities<Vec<EntityRef>>) -> Vec<String> {
    let consumers = |entity: &EntityRef, draft: &Draft| match draft.approved {
        // No consumer, but another line than without it, so that the change is told.
        Approved::Unreadable => UNREADABLE.to_owned(),
        Approved::Nobody | Approved::Listed(_) => consumers.get(entity).map(|known| words(known)).unwrap_or_default(),
    };
    let line = |(entity, draft): (&EntityRef, &Draft)| {
        line(entity.as_str(), &[&words(&draft.owners), &consumers(entity, draft), &draft.rest])
    };
    entities.iter().map(line).collect()
}

/// The lines of services, and what is wrong with the claims to them, by service.
fn services(entities: &Entities<Draft>, before: Option<&Index>) -> (Vec<String>, BTreeMap<String, Fault>) {
    let mut claimants: HashMap<&str, Vec<Claimant<'_>>, RandomState> = HashMap::default();
    for (entity, draft) in entities {
        for service in &draft.services {
            claimants.entry(service).or_default().push(Claimant { entity, provides: &draft.provides });
        }
    }
    let mut faults = BTreeMap::new();
    let line = |(service, claimants): (&str, Vec<Claimant<'_>>)| {
        let key = format!("${service}");
        // Nearly all have one, and who had a service before is dear to look up.
        if let [only] = claimants.as_slice() {
            return line(&key, &[only.entity.as_str()]);
        }
        let held_by = match before.map(|before| before.service(service)) {
            Some(Service::Entity(holder)) => Some(holder),
            Some(Service::Ambiguous | Service::Unknown) | None => None,
        };
        match settle(&claimants, held_by.as_ref()) {
            Claims::Held { holder, newcomers } if newcomers.is_empty() => line(&key, &[holder.as_str()]),
            Claims::Held { holder, newcomers } => {
                let line = line(&key, &[holder.as_str(), &first_words(&newcomers)]);
                faults.insert(key, Fault::Newcomers { service: service.to_owned(), holder, newcomers });
                line
            }
            Claims::Contested(claimants) => {
                let line = line(&key, &[&first_words(&claimants)]);
                faults.insert(key, Fault::Contested(service.to_owned(), claimants));
                line
            }
        }
    };
    (claimants.into_iter().map(line).collect(), faults)
}

/// The lines of identities of groups, and those that several groups have.
fn ids(groups: &Entities<Group>) -> (Vec<String>, BTreeMap<String, Fault>) {
    let mut ids: HashMap<&str, Vec<EntityRef>, RandomState> = HashMap::default();
    for (group, draft) in groups {
        for id in &draft.ids {
            ids.entry(id).or_default().push(group.clone());
        }
    }
    let mut faults = BTreeMap::new();
    let line = |(id, mut holders): (&str, Vec<EntityRef>)| {
        holders.sort_unstable();
        holders.dedup();
        let line = line(id, &[&words(&holders)]);
        if holders.len() > 1 {
            faults.insert(id.to_owned(), Fault::GroupId(id.trim_start_matches('@').into(), holders));
        }
        line
    };
    (ids.into_iter().map(line).collect(), faults)
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

fn first_words(entities: &[EntityRef]) -> String {
    words(entities.get(..MAX_CLAIMANTS).unwrap_or(entities))
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
