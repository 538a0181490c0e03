//! Routes that are in each other's way: Kong would serve one of them, and not say so.

use super::merge::Existing;
use super::output::{Route, Service};
use crate::annotations::PATHS;
use crate::catalog::Item;
use crate::finding::{Finding, Place};
use crate::yaml::Node;
use backstage_kong::catalog::SERVICE;
use std::collections::BTreeMap;

/// A path that an entity has.
struct Held<'a> {
    item: &'a Item,
    route: &'a Route,
}

/// Names of routes that stand twice, paths that two entities have, and paths below those of others.
pub(super) fn conflicts(made: &[(Service, &Item)], existing: Option<&Existing<'_>>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let foreign = existing.into_iter().flat_map(Existing::foreign_routes);
    let mut names: BTreeMap<&str, Place> =
        foreign.filter_map(|(route, place)| Some((route.get("name").and_then(Node::text)?, place))).collect();
    let mut paths: BTreeMap<&str, Vec<Held<'_>>> = BTreeMap::new();
    for (service, item) in made {
        for route in &service.routes {
            if let Some(other) = names.insert(&route.name, item.place()) {
                let message = format!("its route {:?} has the name of another, at {other}", route.name);
                findings.push(Finding::error(item.place(), message).fix(format!("give it another name by {SERVICE}")));
            }
            for path in &route.paths {
                paths.entry(path).or_default().push(Held { item, route });
            }
        }
    }
    for (path, holders) in &paths {
        for (index, held) in holders.iter().enumerate() {
            let others = holders.iter().take(index).filter(|other| other.is_in_the_way_of(held));
            findings.extend(others.map(|other| {
                let message = format!("path {path:?} is {}'s too, at {}", other.item.reference, other.place());
                Finding::error(held.place(), message).fix("each path can be one entity's")
            }));
            // Prefixes are plain text to Kong: `/pay` has `/payments` too. The longer one goes first.
            let shorter = path.char_indices().skip(1).filter_map(|(end, _)| path.get(..end));
            for (prefix, others) in shorter.filter_map(|prefix| Some((prefix, paths.get(prefix)?))) {
                let others = others.iter().filter(|other| other.is_in_the_way_of(held));
                findings.extend(others.map(|other| {
                    let whose = format!("{}'s {prefix:?}, at {}", other.item.reference, other.place());
                    Finding::warning(held.place(), format!("path {path:?} takes requests from {whose}"))
                }));
            }
        }
    }
    findings
}

impl Held<'_> {
    fn place(&self) -> Place {
        self.item.place_of_annotation(PATHS)
    }

    /// Whether two entities' routes can match one request, neither of them before the other by its hosts.
    fn is_in_the_way_of(&self, other: &Self) -> bool {
        let (one, two) = (&self.route.hosts, &other.route.hosts);
        let hosts = one.is_empty() && two.is_empty() || one.iter().any(|host| two.contains(host));
        let methods = self.route.methods.is_empty()
            || self.route.methods.iter().any(|method| other.route.methods.contains(method));
        self.item.reference != other.item.reference && hosts && methods
    }
}
