//! Claims of a catalog's entities to services of Kong.

use super::indexed::IndexedCatalog;
use crate::catalog::{Catalog, Item};
use crate::finding::Finding;
use backstage_kong::catalog::{Fault, KONG_SERVICE, SERVICE};
use backstage_kong::entity::EntityRef;
use std::collections::{BTreeMap, BTreeSet};

/// The entities that Kong itself names for services. They are behind them, whatever annotations say.
pub(super) type Named = BTreeMap<String, BTreeSet<EntityRef>>;

/// Claims that are in each other's way, and those that Kong's own configuration makes void.
pub(super) fn findings(catalog: &Catalog, known: &IndexedCatalog<'_>, named: &Named) -> Vec<Finding> {
    let mut findings = Vec::new();
    for fault in &known.faults {
        let Fault::Contested(service, entities) = fault else { continue };
        if !named.contains_key(service) {
            let items = entities.iter().filter_map(|entity| catalog.items.get(entity));
            findings.extend(items.map(|item| {
                let fix = "leave it to one of them, and name that one in Kong's configuration";
                Finding::error(item.place_of_annotation(claiming(item, service)), fault.to_string()).fix(fix)
            }));
        }
    }
    let provided = catalog.provided();
    for (service, holders) in named {
        for claimant in known.index.claimants(service) {
            let Some(item) = catalog.items.get(&claimant).filter(|_| !holders.contains(&claimant)) else { continue };
            // A component's claim means the API that it provides.
            if provided.get(&claimant).is_some_and(|apis| apis.iter().any(|api| holders.contains(api))) {
                continue;
            }
            let holders: Vec<_> = holders.iter().map(EntityRef::as_str).collect();
            let message = format!(
                "Kong service {service:?} is {}'s by Kong's configuration; the claim of {claimant} changes nothing",
                holders.join(" and ")
            );
            findings
                .push(Finding::warning(item.place_of_annotation(claiming(item, service)), message).fix("take it out"));
        }
    }
    findings
}

/// The annotation by which an entity claims a service.
fn claiming(item: &Item, service: &str) -> &'static str {
    if item.annotation(SERVICE) == Some(service) { SERVICE } else { KONG_SERVICE }
}
