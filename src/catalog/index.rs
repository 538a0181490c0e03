//! The catalog, ready for look-ups.

use super::annotations::{ACCESS, AGENTS, QUOTA_TIER, Terms, WRITE_ACCESS};
use crate::entity::EntityRef;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;
use std::rc::Rc;

/// Most ancestors that a caller's groups may bring.
const MAX_ANCESTORS: usize = 1000;

/// The catalog, ready for look-ups: two sorted texts of lines, `key TAB value TAB value …`, that are searched as they stand.
///
/// - `entities`: an entity's reference, then its owners, its consumers (both with spaces between them), lifecycle, and what
///   its annotations say of access, write access, agents and quota tier. `$` and a Kong service's name, then the entity that
///   holds it, or several where nobody knows which of them does, and those whose claims to it are of no effect.
/// - `groups`: a group's reference, then its parents and its quota tier. `@`, an annotation, `=` and its value, then the
///   groups that have it: more than one where that is a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Entities that can be called, and the services that they are behind.
    pub entities: Section,
    /// Groups.
    pub groups: Section,
}

/// One of the texts, and what tells it from others.
#[derive(Debug, Clone)]
pub struct Section {
    text: Rc<Vec<u8>>,
    version: u128,
}

/// What the catalog says of an entity.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogEntry {
    /// Who owns it.
    pub owners: Vec<EntityRef>,
    /// Who owns what consumes it.
    pub consumers: Vec<EntityRef>,
    /// `spec.lifecycle`, such as `production`.
    pub lifecycle: Option<String>,
    /// On what terms it may be called; closed where its annotations cannot be gone by.
    pub terms: Terms,
}

/// The entity that is behind a Kong service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Service {
    /// This one.
    Entity(EntityRef),
    /// None says so.
    Unknown,
    /// Several say so, and none of them is known to have done so before the others.
    Ambiguous,
}

impl PartialEq for Section {
    /// Versions stand for texts, which may have megabytes.
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version
    }
}

impl Eq for Section {}

impl Section {
    /// A section of sorted lines.
    pub fn new(text: Vec<u8>) -> Self {
        let mut hasher = SipHasher13::new();
        hasher.write(&text);
        Self { version: hasher.finish128().as_u128(), text: Rc::new(text) }
    }

    /// Its text.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// A digest of its text: what is equal has not changed.
    pub fn version(&self) -> u128 {
        self.version
    }

    /// The line under a key, without it.
    fn find(&self, key: &str) -> Option<&str> {
        let (text, key) = (self.text.as_slice(), key.as_bytes());
        let (mut low, mut high) = (0, text.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let start = text.get(low..middle)?.iter().rposition(|b| *b == b'\n').map_or(low, |at| low + at + 1);
            let end = text.get(middle..high)?.iter().position(|b| *b == b'\n').map_or(high, |at| middle + at);
            let line = text.get(start..end)?;
            let tab = line.iter().position(|b| *b == b'\t')?;
            match line.get(..tab)?.cmp(key) {
                std::cmp::Ordering::Equal => return std::str::from_utf8(line.get(tab + 1..)?).ok(),
                std::cmp::Ordering::Less => low = end + 1,
                std::cmp::Ordering::Greater => high = start,
            }
        }
        None
    }
}

impl Index {
    /// What the catalog says of an entity.
    pub fn entity(&self, entity: &EntityRef) -> Option<CatalogEntry> {
        let mut values = self.entities.find(entity.as_str())?.split('\t');
        let mut next = || values.next().filter(|value| !value.is_empty());
        let (owners, consumers, lifecycle) = (refs(next()), refs(next()), next().map(str::to_owned));
        let (access, write_access, agents, quota_tier) = (next(), next(), next(), next());
        let annotations = [(ACCESS, access), (WRITE_ACCESS, write_access), (AGENTS, agents), (QUOTA_TIER, quota_tier)];
        let annotation = |name| annotations.iter().find(|(known, _)| *known == name).and_then(|(_, text)| *text);
        let terms = Terms::parse(annotation).unwrap_or_else(|_| Terms::closed());
        Some(CatalogEntry { owners, consumers, lifecycle, terms })
    }

    /// The entity behind a Kong service.
    pub fn service(&self, name: &str) -> Service {
        match refs(self.claims(name).next()).as_slice() {
            [] => Service::Unknown,
            [entity] => Service::Entity(entity.clone()),
            _ => Service::Ambiguous,
        }
    }

    /// The entities that claim a Kong service, whether or not that is of any effect.
    pub fn claimants(&self, name: &str) -> Vec<EntityRef> {
        self.claims(name).flat_map(|column| refs(Some(column))).collect()
    }

    fn claims(&self, service: &str) -> impl Iterator<Item = &str> {
        self.entities.find(&format!("${service}")).unwrap_or_default().split('\t')
    }

    /// The group whose annotation has a value, if exactly one has.
    pub fn group_by(&self, annotation: &str, value: &str) -> Option<EntityRef> {
        match refs(self.groups.find(&format!("@{annotation}={value}"))).as_slice() {
            [group] => Some(group.clone()),
            _ => None,
        }
    }

    /// Adds the ancestors of groups to them. Whatever the catalog says, cycles included, each group comes once.
    pub fn add_ancestors(&self, groups: &mut Vec<EntityRef>) {
        let most = groups.len().saturating_add(MAX_ANCESTORS);
        let mut seen: std::collections::BTreeSet<EntityRef> = groups.iter().cloned().collect();
        let mut next = 0;
        while let Some(group) = groups.get(next).cloned() {
            next += 1;
            let line = self.groups.find(group.as_str()).unwrap_or_default();
            for parent in refs(line.split('\t').next()) {
                if groups.len() < most && seen.insert(parent.clone()) {
                    groups.push(parent);
                }
            }
        }
    }

    /// The quota tier of a group.
    pub fn group_tier(&self, group: &EntityRef) -> Option<&str> {
        self.groups.find(group.as_str())?.split('\t').nth(1).filter(|tier| !tier.is_empty())
    }

    /// Whether the catalog has a group.
    pub fn has_group(&self, group: &EntityRef) -> bool {
        self.groups.find(group.as_str()).is_some()
    }
}

fn refs(text: Option<&str>) -> Vec<EntityRef> {
    let texts = text.unwrap_or_default().split(' ').filter(|text| !text.is_empty());
    texts.filter_map(|text| EntityRef::parse_full(text).ok()).collect()
}
