//! One configuration of the filter.

use super::indexed::{IndexedCatalog, can_be_held};
use crate::finding::{File, Finding};
use crate::kong::config_fault;
use crate::yaml::{Node, Value, line_of};
use backstage_kong::config::{Catalog, Config, Consumers, Issuer, OnStale};
use backstage_kong::entity::{DEFAULT_NAMESPACE, EntityRef};
use std::rc::Rc;

/// Where in Kong a configuration is.
pub(super) struct Attached<'a> {
    /// The path to it, such as `services[0].filter_chains[0].filters[0].config`.
    pub path: String,
    /// Its service's name, if it has one.
    pub service: Option<&'a str>,
    /// The tags of its route and its service.
    pub tags: Vec<&'a str>,
}

/// What is wrong with a configuration, at the lines that it is on.
pub(super) fn findings(
    file: &File,
    node: &Node,
    attached: Option<&Attached<'_>>,
    known: Option<&IndexedCatalog<'_>>,
) -> Vec<Finding> {
    // Kong takes a text in the place of an object, but only where the filter has no metadata beside it.
    if let Value::Text(text) = &node.value {
        let outer = Checked { file, node, is_text: None, attached, known };
        let mut findings: Vec<_> = outer.violation().into_iter().collect();
        match crate::yaml::load(text) {
            Ok(documents) => {
                let inner = documents.first();
                let inner = inner.map(|inner| Checked { file, node: inner, is_text: Some(node.line), attached, known });
                findings.extend(inner.iter().flat_map(Checked::findings));
            }
            Err(error) => {
                findings.push(Finding::error(file.line(node.line), format!("the configuration {}", error.problem)));
            }
        }
        return findings;
    }
    Checked { file, node, is_text: None, attached, known }.findings()
}

struct Checked<'a> {
    file: &'a File,
    node: &'a Node,
    /// The line of the text that it is in, if it is in one.
    is_text: Option<usize>,
    attached: Option<&'a Attached<'a>>,
    known: Option<&'a IndexedCatalog<'a>>,
}

impl Checked<'_> {
    fn findings(&self) -> Vec<Finding> {
        let parsed = serde_json::to_vec(&self.node.to_json()).map(|json| Config::parse(&json));
        let config = match parsed {
            Ok(Ok(config)) => config,
            Ok(Err(error)) => {
                return vec![self.error(&error.path, format!("{}: {}", self.path(&error.path), error.problem))];
            }
            Err(error) => return vec![self.error(".", format!("is nothing that JSON can say: {error}"))],
        };
        let mut findings = self.ownership(&config);
        findings.extend(self.nobody_s_rules(&config));
        findings.extend(self.merging_transforms(&config));
        findings.extend(self.violation());
        for (path, entity) in self.references() {
            let is_known = self.known.is_none_or(|known| known.has(&entity));
            if !is_known {
                let finding = self.error(&path, format!("{}: the catalog has no {entity}", self.path(&path)));
                let instead = self.known.and_then(|known| known.instead(&entity));
                findings.push(if let Some(instead) = instead { finding.fix(instead) } else { finding });
            } else if entity.kind() == "group"
                && !path.contains(".table.")
                && !can_be_held(&config, &entity, self.known)
            {
                let message = format!("{}: no claim of any issuer here comes to {entity}", self.path(&path));
                findings.push(
                    self.warning(&path, message).fix("see issuers[].groups: table, transform, namespace, annotation"),
                );
            }
        }
        findings
    }

    /// Rules for consumers where there are none.
    fn nobody_s_rules(&self, config: &Config) -> Vec<Finding> {
        let is_without =
            |catalog: &Catalog| catalog.source.consumers == Consumers::None && catalog.on_stale != OnStale::Static;
        if !config.catalog.as_ref().is_some_and(is_without) {
            return Vec::new();
        }
        let mut findings = Vec::new();
        let rules = self.node.at(&["policy", "rules"]).map(|rules| &rules.value);
        for (rule_index, rule) in items(rules).iter().enumerate() {
            for (index, allow) in items(rule.get("allow")).iter().enumerate() {
                if allow.text() == Some("consumer") {
                    let path = format!("policy.rules[{rule_index}].allow[{index}]");
                    let message = format!("{}: `catalog.consumers` is `none`, so nobody is one", self.path(&path));
                    findings.push(self.warning(&path, message).fix("take it out, or say declared or approved"));
                }
            }
        }
        findings
    }

    /// Transforms by which one group of the directory can have the access of another.
    fn merging_transforms(&self, config: &Config) -> Vec<Finding> {
        let finding = |(index, issuer): (usize, &Rc<Issuer>)| {
            let groups = &issuer.groups;
            let transform = groups.transform.filter(|_| groups.annotation.is_none())?;
            let (one, other) = transform.merges()?;
            let path = format!("issuers[{index}].groups.transform");
            let message = format!(
                "{}: `{}` can make one group of two, as of {one:?} and {other:?}; who may create groups in the directory can take \
                 another's access",
                self.path(&path),
                transform.name()
            );
            let fix = "go by ids: groups.annotation, or groups.table with transform: null";
            Some(self.warning(&path, message).fix(fix))
        };
        config.issuers.iter().enumerate().filter_map(finding).collect()
    }

    /// What Kong refuses by the filter's schema, before the filter sees it.
    fn violation(&self) -> Option<Finding> {
        let (path, problem) = config_fault(&self.node.to_json())?;
        Some(self.error(&path, format!("{}: {problem}", self.path(&path))).fix("Kong does not load it as it is"))
    }

    /// Whether somebody owns what is behind the route, and whether the catalog agrees.
    fn ownership(&self, config: &Config) -> Vec<Finding> {
        let mut findings = Vec::new();
        let entry = match (&config.entity, self.known) {
            (Some(entity), Some(known)) => match known.entry(entity) {
                Some(entry) => Some(entry),
                None => {
                    let finding = self.error("entity", format!("{}: the catalog has no {entity}", self.path("entity")));
                    let instead = known.instead(entity);
                    findings.push(if let Some(instead) = instead { finding.fix(instead) } else { finding });
                    None
                }
            },
            (None, Some(known)) => match self.attached.and_then(|attached| Some((attached.service?, &attached.tags))) {
                Some((service, tags)) => match known.behind(service, tags.iter().copied()) {
                    backstage_kong::catalog::Service::Entity(entity) => known.entry(&entity),
                    _ => {
                        let message = format!(
                            "names no entity, and the catalog does not say which one is behind service {service:?}"
                        );
                        let fix = "name it, annotate it with backstage-kong/service, or tag the service with backstage-entity:<kind>:<name>";
                        findings.push(self.error(".", message).fix(fix));
                        None
                    }
                },
                None => None,
            },
            _ => None,
        };
        let by_catalog = entry.as_ref().and_then(|entry| entry.owners.first());
        match (&config.owner, by_catalog) {
            (Some(owner), Some(other)) if !entry.as_ref().is_some_and(|entry| entry.owners.contains(owner)) => {
                let message = format!("{}: is {owner}, but the catalog has {other}", self.path("owner"));
                findings.push(self.warning("owner", message).fix("generate it, or let the filter ask the catalog"));
            }
            (None, Some(_)) if config.catalog.is_some() => {}
            (None, None) if config.catalog.is_some() && entry.is_none() => {}
            (None, None) if config.catalog.is_some() => {
                findings.push(
                    self.warning("entity", "its entity has no owner in the catalog".to_owned()).fix("say spec.owner"),
                );
            }
            (None, _) => {
                let entity = config.entity.as_ref().map_or("the route", EntityRef::as_str);
                let message = format!("{}: {entity} has no owner here", self.path("owner"));
                findings.push(self.warning("entity", message).fix("name the owner, or a catalog"));
            }
            _ => {}
        }
        findings
    }

    /// The groups and users that the configuration names, with the paths to them.
    fn references(&self) -> Vec<(String, EntityRef)> {
        let mut found = Vec::new();
        let mut add = |path: String, text: Option<&str>| {
            let entity = text.and_then(|text| EntityRef::parse(text, Some("group"), DEFAULT_NAMESPACE).ok());
            found.extend(entity.map(|entity| (path, entity)));
        };
        add("owner".to_owned(), self.node.get("owner").and_then(Node::text));
        for (index, consumer) in items(self.node.get("consumers")).iter().enumerate() {
            add(format!("consumers[{index}]"), consumer.text());
        }
        let rules = self.node.at(&["policy", "rules"]).map(|rules| &rules.value);
        for (rule_index, rule) in items(rules).iter().enumerate() {
            for (index, allow) in items(rule.get("allow")).iter().enumerate() {
                // A word is no reference.
                add(
                    format!("policy.rules[{rule_index}].allow[{index}]"),
                    allow.text().filter(|text| text.contains(':')),
                );
            }
        }
        for (index, issuer) in items(self.node.get("issuers")).iter().enumerate() {
            for entry in issuer.at(&["groups", "table"]).map_or(&[][..], |table| table.value.entries()) {
                add(format!("issuers[{index}].groups.table.{}", entry.key), entry.value.text());
            }
        }
        let policies = self.node.at(&["quotas", "policies"]).map(|policies| &policies.value);
        for (index, policy) in items(policies).iter().enumerate() {
            for entry in policy.get("overrides").map_or(&[][..], Node::entries) {
                add(format!("quotas.policies[{index}].overrides.{}", entry.key), Some(&entry.key));
            }
        }
        found
    }

    fn path(&self, path: &str) -> String {
        match self.attached {
            Some(attached) if path == "." => attached.path.clone(),
            Some(attached) => format!("{}.{path}", attached.path),
            None => path.to_owned(),
        }
    }

    fn error(&self, path: &str, message: String) -> Finding {
        Finding::error(self.file.line(self.line(path)), message)
    }

    fn warning(&self, path: &str, message: String) -> Finding {
        Finding::warning(self.file.line(self.line(path)), message)
    }

    fn line(&self, path: &str) -> usize {
        self.is_text.unwrap_or_else(|| line_of(self.node, path))
    }
}

fn items(node: Option<&Node>) -> &[Node] {
    node.map_or(&[], Node::items)
}
