//! What a catalog knows, for configurations that name entities.

use crate::catalog::{Catalog, Item};
use crate::finding::Finding;
use backstage_kong::catalog::{
    ACCESS, APPROVED_CONSUMERS, CatalogEntry, Fault, Index, Service, Terms, WRITE_ACCESS, entity_of_tag,
};
use backstage_kong::config::{Allow, Config, Consumers, GroupMapping};
use backstage_kong::entity::EntityRef;

/// A catalog and its index.
pub(super) struct IndexedCatalog<'a> {
    catalog: &'a Catalog,
    pub index: Index,
    pub faults: Vec<Fault>,
}

impl<'a> IndexedCatalog<'a> {
    pub(super) fn new(catalog: &'a Catalog, group_annotations: &[String]) -> Self {
        let built = catalog.build(Consumers::Declared, false, group_annotations);
        Self { catalog, index: built.index, faults: built.faults }
    }

    pub(super) fn has(&self, entity: &EntityRef) -> bool {
        self.catalog.items.contains_key(entity)
    }

    /// What the catalog says of an entity.
    pub(super) fn entry(&self, entity: &EntityRef) -> Option<CatalogEntry> {
        self.index.entity(entity)
    }

    /// The entity that the filter would find behind a service or a route.
    pub(super) fn behind<'t>(&self, service: &str, tags: impl IntoIterator<Item = &'t str>) -> Service {
        let tagged = tags.into_iter().find_map(entity_of_tag);
        tagged.map_or_else(|| self.index.service(service), Service::Entity)
    }

    /// The nearest name that the catalog has, for a reference that it has not.
    pub(super) fn instead(&self, entity: &EntityRef) -> Option<String> {
        let distance = |other: &EntityRef| strsim::damerau_levenshtein(other.as_str(), entity.as_str());
        let of_kind = self.catalog.items.keys().filter(|other| other.kind() == entity.kind());
        let nearest = of_kind.min_by_key(|other| distance(other))?;
        (distance(nearest) <= 3).then(|| format!("did you mean {nearest}?"))
    }

    /// Groups and users that annotations name and the catalog does not have.
    pub(super) fn allowed_by_annotations(&self, item: &Item) -> Vec<Finding> {
        let mut findings = Vec::new();
        for name in [ACCESS, WRITE_ACCESS, APPROVED_CONSUMERS] {
            for word in item.annotation(name).into_iter().flat_map(|text| text.split(',')) {
                if let Ok(Allow::Entity(entity)) = Allow::parse(word.trim())
                    && !self.has(&entity)
                {
                    let finding =
                        Finding::error(item.place_of_annotation(name), format!("{name}: the catalog has no {entity}"));
                    findings.push(match self.instead(&entity) {
                        Some(instead) => finding.fix(instead),
                        None => finding,
                    });
                }
            }
        }
        findings
    }

    /// What lets every consumer write because only `access` is said: anybody can become a consumer who may register a component.
    pub(super) fn writing_consumers(item: &Item) -> Option<Finding> {
        let terms = Terms::parse(|name| item.annotation(name)).ok()?;
        let lets_write = terms.write_access.is_none() && terms.access?.contains(&Allow::Consumer);
        if !lets_write || item.annotation(APPROVED_CONSUMERS).is_some() {
            return None;
        }
        let message = format!("{ACCESS}: consumers write too, and whoever registers a component can be one");
        let fix = format!("say {WRITE_ACCESS}: owner, or owner, consumer if that is meant");
        Some(Finding::warning(item.place_of_annotation(ACCESS), message).fix(fix))
    }

    /// Whether an annotation holds what directories call a group.
    pub(super) fn has_annotation(&self, group: &EntityRef, annotation: &str) -> bool {
        self.catalog.items.get(group).is_some_and(|item| item.annotation(annotation).is_some())
    }
}

/// Whether the claims of some token can come to a group. Without a catalog, annotations may hold anything.
pub(super) fn can_be_held(config: &Config, group: &EntityRef, known: Option<&IndexedCatalog<'_>>) -> bool {
    let by = |mapping: &GroupMapping| {
        let annotated = |annotation: &String| known.is_none_or(|known| known.has_annotation(group, annotation));
        let named = match &mapping.annotation {
            Some(annotation) => annotated(annotation),
            None => mapping.transform.is_some() && mapping.namespace.eq_ignore_ascii_case(group.namespace()),
        };
        // Parents are held by whoever holds a child.
        named || mapping.parents || mapping.entity_refs || mapping.table.values().any(|held| held == group)
    };
    config.issuers.iter().any(|issuer| by(&issuer.groups))
}
