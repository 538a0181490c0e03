//! A declarative configuration of Kong.

use super::bundled;
use super::claims::Named;
use super::config::{self, Attached};
use super::indexed::IndexedCatalog;
use super::listed::{Listed, Lists, name, tags};
use crate::finding::{File, Finding};
use crate::kong::{FILTER, host_fault, method_fault, name_fault, path_fault, tag_fault};
use crate::yaml::Node;
use backstage_kong::catalog::entity_of_tag;
use backstage_kong::entity::{DEFAULT_NAMESPACE, EntityRef};
use std::collections::{BTreeMap, BTreeSet};

/// A rule for texts: what is wrong with one.
type Rule = fn(&str) -> Option<&'static str>;

/// What is wrong with a file.
pub(super) fn findings(file: &File, root: &Node, known: Option<&IndexedCatalog<'_>>) -> Vec<Finding> {
    let check = Check { file, lists: Lists::of(root), known };
    let mut findings = check.texts();
    findings.extend(check.names());
    findings.extend(check.chains());
    findings.extend(check.filters());
    findings.extend(check.open_routes());
    findings.extend(bundled::findings(file, &check.lists));
    findings
}

/// The entities that files of Kong name for its services: by the filter's configuration, or else by a tag. What is no such file
/// names none.
pub(super) fn named<'a>(roots: impl Iterator<Item = &'a Node>) -> Named {
    let mut named = Named::new();
    for lists in roots.filter(|root| root.get("_format_version").is_some()).map(Lists::of) {
        for service in &lists.services {
            let Some(name) = name(service.node) else { continue };
            let of_service = |holder: &&Listed<'_>| holder.service == Some(name) && holder.route.is_none();
            let chains = lists.chains.iter().filter(of_service);
            let filters = chains.flat_map(|chain| chain.node.get("filters").map_or(&[][..], Node::items));
            let plugins = lists.plugins.iter().filter(of_service).map(|plugin| plugin.node);
            let entities = filters.chain(plugins).filter(|filter| super::listed::name(filter) == Some(FILTER));
            let configured = entities.filter_map(|filter| {
                EntityRef::parse(filter.at(&["config", "entity"])?.value.text()?, None, DEFAULT_NAMESPACE).ok()
            });
            let tagged = tags(service.node).into_iter().find_map(entity_of_tag);
            let mut entities: BTreeSet<_> = configured.collect();
            if entities.is_empty() {
                entities.extend(tagged);
            }
            if !entities.is_empty() {
                named.entry(name.to_owned()).or_default().extend(entities);
            }
        }
    }
    named
}

/// A file that is checked.
struct Check<'a> {
    file: &'a File,
    lists: Lists<'a>,
    known: Option<&'a IndexedCatalog<'a>>,
}

impl<'a> Check<'a> {
    fn all(&self) -> impl Iterator<Item = &Listed<'a>> {
        let lists = &self.lists;
        [&lists.services, &lists.routes, &lists.chains, &lists.plugins, &lists.consumers].into_iter().flatten()
    }

    /// Texts that Kong refuses.
    fn texts(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self.all().flat_map(|item| self.texts_of(item, "tags", tag_fault)).collect();
        for item in self.lists.services.iter().chain(&self.lists.routes).chain(&self.lists.chains) {
            findings.extend(self.texts_of(item, "name", name_fault));
        }
        for route in &self.lists.routes {
            for (field, rule) in [("paths", path_fault as Rule), ("hosts", host_fault), ("methods", method_fault)] {
                findings.extend(self.texts_of(route, field, rule));
            }
        }
        findings
    }

    fn texts_of(&self, item: &Listed<'_>, field: &str, rule: Rule) -> Vec<Finding> {
        let texts = item.node.get(field).map(Node::texts).unwrap_or_default().into_iter();
        let fault = |(index, (line, text)): (usize, (usize, &str))| {
            let problem = rule(text)?;
            let index = if field == "name" { String::new() } else { format!("[{index}]") };
            let finding =
                Finding::error(self.file.line(line), format!("{}.{field}{index}: {text:?} {problem}", item.path));
            let is_entity = field == "tags" && text.contains(':') && text.contains('/');
            Some(if is_entity {
                finding.fix("an entity's tag is backstage-entity:<kind>:<namespace>:<name>")
            } else {
                finding
            })
        };
        texts.enumerate().filter_map(fault).collect()
    }

    /// Names that stand twice.
    fn names(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let lists = &self.lists;
        for (list, key) in [
            (&lists.services, "name"),
            (&lists.routes, "name"),
            (&lists.chains, "name"),
            (&lists.consumers, "username"),
        ] {
            let mut first: BTreeMap<&str, usize> = BTreeMap::new();
            for item in list {
                let Some(field) = item.node.entry(key) else { continue };
                let Some(name) = field.value.text() else { continue };
                match first.get(name) {
                    Some(line) => {
                        let message = format!("{}.{key}: {name:?} is taken on line {line}", item.path);
                        findings
                            .push(Finding::error(self.file.line(field.line), message).fix("Kong wants each name once"));
                    }
                    None => drop(first.insert(name, field.line)),
                }
            }
        }
        findings
    }

    /// Chains that belong to nothing, or to what has one already.
    fn chains(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut first: BTreeMap<(Option<&str>, Option<&str>), usize> = BTreeMap::new();
        let (services, routes) = (Lists::by_name(&self.lists.services), Lists::by_name(&self.lists.routes));
        for chain in &self.lists.chains {
            let line = chain.node.line;
            let place = self.file.line(line);
            let is_known = match (chain.service, chain.route) {
                (Some(service), None) => services.contains_key(service),
                (None, Some(route)) => routes.contains_key(route),
                // One that stands in a service or a route without a name belongs to it all the same.
                (None, None) => chain.path.contains('.'),
                (Some(_), Some(_)) => false,
            };
            if !is_known {
                let message = format!("{}: belongs neither to a service nor to a route of this file", chain.path);
                findings.push(Finding::error(place, message).fix("name one of them under `service` or `route`"));
            } else if chain.service.or(chain.route).is_some()
                && let Some(other) = first.insert((chain.service, chain.route), line)
            {
                let message = format!("{}: its service or route has a chain already, on line {other}", chain.path);
                findings.push(Finding::error(place, message).fix("put all filters into one chain"));
            }
        }
        findings
    }

    /// Each configuration of the filter.
    fn filters(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let (services, routes) = (Lists::by_name(&self.lists.services), Lists::by_name(&self.lists.routes));
        let mut check = |holder: &Listed<'a>, filter: &Node, path: String| {
            let Some(config) = filter.get("config").filter(|config| !config.is_null()) else {
                let message = format!("{path}: the filter has no configuration");
                return findings.push(Finding::error(self.file.line(filter.line), message));
            };
            let route = holder.route.and_then(|route| routes.get(route));
            let service = holder.service.or_else(|| route?.service).and_then(|service| services.get(service));
            let attached = Attached {
                path: format!("{path}.config"),
                service: service.and_then(|service| name(service.node)),
                tags: [route, service].into_iter().flatten().flat_map(|item| tags(item.node)).collect(),
            };
            findings.extend(config::findings(self.file, config, Some(&attached), self.known));
        };
        for chain in &self.lists.chains {
            for (index, filter) in chain.node.get("filters").map_or(&[][..], Node::items).iter().enumerate() {
                if name(filter) == Some(FILTER) {
                    check(chain, filter, format!("{}.filters[{index}]", chain.path));
                }
            }
        }
        for plugin in self.lists.plugins.iter().filter(|plugin| name(plugin.node) == Some(FILTER)) {
            check(plugin, plugin.node, plugin.path.clone());
        }
        findings
    }

    /// Routes that no filter decides about.
    fn open_routes(&self) -> Vec<Finding> {
        // What filters are on: named, or what they stand in.
        let (mut services, mut routes, mut around) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for holder in self.lists.holders() {
            let parent = holder.path.rsplit_once('.').map(|(parent, _)| parent);
            match (holder.route, holder.service, parent) {
                (Some(route), ..) => drop(routes.insert(route)),
                (None, Some(service), _) => drop(services.insert(service)),
                // On everything.
                (None, None, None) => return Vec::new(),
                _ => {}
            }
            around.extend(parent);
        }
        let is_open = |route: &&Listed<'_>| {
            let service = route.path.rsplit_once('.').map(|(service, _)| service);
            let inside =
                around.contains(route.path.as_str()) || service.is_some_and(|service| around.contains(service));
            let by_name = name(route.node).is_some_and(|name| routes.contains(name));
            let by_service = route.service.is_some_and(|service| services.contains(service));
            !(inside || by_name || by_service)
        };
        let finding = |route: &Listed<'_>| {
            let line = route.node.entry("name").map_or(route.node.line, |name| name.line);
            let named = name(route.node).map(|name| format!("route {name:?} ")).unwrap_or_default();
            let message =
                format!("{}: {named}has no entity: the filter is neither on it nor on its service", route.path);
            Finding::warning(self.file.line(line), message).fix(format!("give it a filter chain with {FILTER}"))
        };
        self.lists.routes.iter().filter(is_open).map(finding).collect()
    }
}
